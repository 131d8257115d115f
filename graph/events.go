package graph

import (
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph/model"
)

// events turns history events into the API's.
func (r *Resolver) events(in []engine.NumberedEvent) []model.HistoryEvent {
	out := make([]model.HistoryEvent, len(in))
	for n, e := range in {
		out[n] = r.event(e)
	}
	return out
}

func (r *Resolver) event(n engine.NumberedEvent) model.HistoryEvent {
	var (
		seq, at = n.Seq, n.Event.Time()
		kind    = model.HistoryEventType(history.TypeName(n.Event))
		value   = func(v history.Payload) *model.Payload { return model.NewPayload(v, r.engine.ReadValue) }
	)
	switch e := n.Event.(type) {
	case *history.ExecutionStarted:
		return &model.ExecutionStarted{
			Seq: seq, At: at, Type: kind, Name: e.Name, Version: text(e.Version), ExecutionID: e.ExecutionID, Generation: int32(e.Generation), Input: value(e.Input),
			Tags: model.NewTags(e.Tags),
		}
	case *history.ExecutionCompleted:
		return &model.ExecutionCompleted{
			Seq: seq, At: at, Type: kind, Status: model.OrchestrationStatus(e.Status.String()), Result: value(e.Result), Failure: model.NewFailure(e.Failure),
			LeftOpen: append([]int32{}, e.LeftOpen...),
		}
	case *history.ExecutionTerminated:
		return &model.ExecutionTerminated{Seq: seq, At: at, Type: kind, Reason: text(e.Reason)}
	case *history.ExecutionSuspended:
		return &model.ExecutionSuspended{Seq: seq, At: at, Type: kind, Reason: text(e.Reason), By: text(e.By)}
	case *history.ExecutionResumed:
		return &model.ExecutionResumed{Seq: seq, At: at, Type: kind, Reason: text(e.Reason), By: text(e.By)}
	case *history.ExecutionRewound:
		return &model.ExecutionRewound{Seq: seq, At: at, Type: kind, Reason: text(e.Reason)}
	case *history.TaskScheduled:
		return &model.TaskScheduled{
			Seq: seq, At: at, Type: kind, TaskID: e.ID, Name: e.Name, Version: text(e.Version), Step: e.Step, Native: e.Native, Queue: text(e.Queue), Input: value(e.Input),
			Priority: some(e.Priority), Limit: text(e.Limit), LimitKey: text(e.Key),
		}
	case *history.TaskCompleted:
		return &model.TaskCompleted{
			Seq: seq, At: at, Type: kind, TaskID: e.TaskID, Result: value(e.Result), StartedAt: moment(e.StartedAt), Worker: text(e.Worker),
			Attempts: int32(max(e.Attempts, 1)), Earlier: attempts(e.Earlier),
		}
	case *history.TaskFailed:
		return &model.TaskFailed{
			Seq: seq, At: at, Type: kind, TaskID: e.TaskID, Failure: model.NewFailure(e.Failure), StartedAt: moment(e.StartedAt), Worker: text(e.Worker),
			Attempts: int32(max(e.Attempts, 1)), Earlier: attempts(e.Earlier),
		}
	case *history.TimerCreated:
		return &model.TimerCreated{Seq: seq, At: at, Type: kind, TaskID: e.ID, FireAt: e.FireAt}
	case *history.TimerFired:
		return &model.TimerFired{Seq: seq, At: at, Type: kind, TaskID: e.TimerID, FireAt: e.FireAt}
	case *history.SubOrchestrationInstanceCreated:
		return &model.SubOrchestrationInstanceCreated{
			Seq: seq, At: at, Type: kind, TaskID: e.ID, InstanceID: e.InstanceID, Name: e.Name, Version: text(e.Version), Input: value(e.Input),
			Priority: some(e.Priority), Tags: model.NewTags(e.Tags),
		}
	case *history.SubOrchestrationInstanceCompleted:
		return &model.SubOrchestrationInstanceCompleted{Seq: seq, At: at, Type: kind, TaskID: e.TaskID, Result: value(e.Result)}
	case *history.SubOrchestrationInstanceFailed:
		return &model.SubOrchestrationInstanceFailed{Seq: seq, At: at, Type: kind, TaskID: e.TaskID, Failure: model.NewFailure(e.Failure)}
	case *history.EventSent:
		return &model.EventSent{Seq: seq, At: at, Type: kind, TaskID: e.ID, InstanceID: e.InstanceID, Name: e.Name, Payload: value(e.Input)}
	case *history.PatchRecorded:
		return &model.PatchRecorded{Seq: seq, At: at, Type: kind, TaskID: e.ID, Change: e.Change}
	case *history.TaskCanceled:
		return &model.TaskCanceled{Seq: seq, At: at, Type: kind, TaskID: e.TaskID}
	case *history.ExecutionCancelRequested:
		return &model.ExecutionCancelRequested{Seq: seq, At: at, Type: kind, Reason: text(e.Reason), By: text(e.By)}
	case *history.EntityOperationSignaled:
		return &model.EntityOperationSignaled{
			Seq: seq, At: at, Type: kind, TaskID: e.ID, EntityID: e.EntityID, Operation: e.Operation, Input: value(e.Input), ScheduledAt: moment(e.ScheduledAt),
		}
	case *history.EntityOperationCalled:
		return &model.EntityOperationCalled{Seq: seq, At: at, Type: kind, TaskID: e.ID, EntityID: e.EntityID, Operation: e.Operation, Input: value(e.Input)}
	case *history.EntityOperationCompleted:
		return &model.EntityOperationCompleted{Seq: seq, At: at, Type: kind, TaskID: e.TaskID, Result: value(e.Result)}
	case *history.EntityOperationFailed:
		return &model.EntityOperationFailed{Seq: seq, At: at, Type: kind, TaskID: e.TaskID, Failure: model.NewFailure(e.Failure)}
	case *history.EntityLockRequested:
		return &model.EntityLockRequested{Seq: seq, At: at, Type: kind, TaskID: e.ID, Entities: e.Entities}
	case *history.EntityLockGranted:
		return &model.EntityLockGranted{Seq: seq, At: at, Type: kind, TaskID: e.TaskID}
	case *history.EntityUnlockSent:
		return &model.EntityUnlockSent{Seq: seq, At: at, Type: kind, TaskID: e.ID, Entities: e.Entities}
	case *history.EventRaised:
		return &model.EventRaised{Seq: seq, At: at, Type: kind, Name: e.Name, Payload: value(e.Input)}
	}
	return &model.OrchestratorStarted{Seq: seq, At: at, Type: kind}
}

func attempts(in []history.Attempt) []*model.FailedAttempt {
	out := make([]*model.FailedAttempt, len(in))
	for i, a := range in {
		out[i] = &model.FailedAttempt{Attempt: a}
	}
	return out
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// some is null for none.
func some(n int) *int32 {
	if n == 0 {
		return nil
	}
	v := int32(n)
	return &v
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
