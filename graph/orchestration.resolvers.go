package graph

// The resolvers of orchestration.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// Waiting is the resolver for the waiting field.
func (r *orchestrationResolver) Waiting(ctx context.Context, obj *model.Orchestration) (*model.WaitReason, error) {
	why, err := r.engine.Explain(ctx, obj.Instance)
	if err != nil {
		return nil, err
	}
	return reason(why), nil
}

// DoingNow is the resolver for the doingNow field.
func (r *orchestrationResolver) DoingNow(ctx context.Context, obj *model.Orchestration) (*string, error) {
	if status := obj.Instance.CustomStatus; status != nil && !model.Redacted(ctx) {
		return text(oneLine(status)), nil
	}
	served, err := r.served(ctx, obj.Hub)
	if err != nil {
		return nil, err
	}
	return text(obj.Short(served, time.Now())), nil
}

// Input is the batch resolver for the input field.
func (r *orchestrationResolver) Input(ctx context.Context, objs []*model.Orchestration) ([]*model.Payload, error) {
	return r.payloads(ctx, objs, r.engine.Inputs)
}

// Output is the batch resolver for the output field.
func (r *orchestrationResolver) Output(ctx context.Context, objs []*model.Orchestration) ([]*model.Payload, error) {
	return r.payloads(ctx, objs, r.engine.Outputs)
}

// History is the resolver for the history field.
func (r *orchestrationResolver) History(ctx context.Context, obj *model.Orchestration, after int64, first int32) (*model.HistoryPage, error) {
	if err := check("first", int(first), 0, maxEvents); err != nil {
		return nil, err
	}
	reset := stale(obj.Instance, after)
	if reset {
		after = 0
	}
	events, more, err := r.engine.History(ctx, obj.Instance, after, int(first), false)
	if err != nil {
		return nil, err
	}
	page := &model.HistoryPage{Events: r.events(events), LastSeq: after, HasMore: more, Reset: reset}
	if n := len(events); n > 0 {
		page.LastSeq = events[n-1].Seq
	}
	return page, nil
}

// Children is the resolver for the children field.
func (r *orchestrationResolver) Children(ctx context.Context, obj *model.Orchestration, statuses []model.OrchestrationStatus, first int32, after *string) (*model.OrchestrationConnection, error) {
	id := obj.InstanceID()
	filter := &model.OrchestrationFilter{ParentInstanceID: graphql.OmittableOf(&id), Statuses: graphql.OmittableOf(statuses)}
	return r.page(ctx, obj.TaskHub().Name, filter, pageArgs{first: &first, after: after})
}

// PendingTasks is the resolver for the pendingTasks field.
func (r *orchestrationResolver) PendingTasks(ctx context.Context, obj *model.Orchestration) ([]*model.PendingTask, error) {
	found, err := r.engine.PendingTasks(ctx, obj.Instance)
	if err != nil {
		return nil, err
	}
	out := make([]*model.PendingTask, len(found))
	for i, t := range found {
		out[i] = &model.PendingTask{
			TaskID: t.ID, Name: t.Name, State: model.PendingTaskState(t.State), Attempt: int32(t.Attempt), StartedAt: t.StartedAt,
			NextAttemptAt: t.NextAttemptAt, LastError: text(t.LastError), Worker: text(t.Worker),
		}
	}
	return out, nil
}

// TotalCount is the resolver for the totalCount field.
func (r *orchestrationConnectionResolver) TotalCount(ctx context.Context, obj *model.OrchestrationConnection, limit int32) (*model.Count, error) {
	counts, err := r.counts(ctx, obj.Hub, obj.Filter, int(limit))
	if err != nil {
		return nil, err
	}
	return &model.Count{Value: counts.All, Exact: counts.Exact}, nil
}

// StatusCounts is the resolver for the statusCounts field.
func (r *orchestrationConnectionResolver) StatusCounts(ctx context.Context, obj *model.OrchestrationConnection, limit int32) (*model.StatusCounts, error) {
	f := obj.Filter
	f.Statuses = nil
	return r.counts(ctx, obj.Hub, f, int(limit))
}

// Text is the resolver for the text field.
func (r *payloadResolver) Text(ctx context.Context, obj *model.Payload, maxBytes int32) (string, error) {
	if err := check("maxBytes", int(maxBytes), 0, maxText); err != nil {
		return "", err
	}
	if err := scopeOf(ctx).spend(min(int(obj.Size()), int(maxBytes))); err != nil {
		return "", err
	}
	return obj.Text(ctx, int(maxBytes))
}

// Truncated is the resolver for the truncated field.
func (r *payloadResolver) Truncated(ctx context.Context, obj *model.Payload, maxBytes int32) (bool, error) {
	if err := check("maxBytes", int(maxBytes), 0, maxText); err != nil {
		return false, err
	}
	return obj.Truncated(int(maxBytes)), nil
}

// Orchestration returns generated.OrchestrationResolver implementation.
func (r *Resolver) Orchestration() generated.OrchestrationResolver { return &orchestrationResolver{r} }

// OrchestrationConnection returns generated.OrchestrationConnectionResolver implementation.
func (r *Resolver) OrchestrationConnection() generated.OrchestrationConnectionResolver {
	return &orchestrationConnectionResolver{r}
}

// Payload returns generated.PayloadResolver implementation.
func (r *Resolver) Payload() generated.PayloadResolver { return &payloadResolver{r} }

type (
	orchestrationResolver           struct{ *Resolver }
	orchestrationConnectionResolver struct{ *Resolver }
	payloadResolver                 struct{ *Resolver }
)
