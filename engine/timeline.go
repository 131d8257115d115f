package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// SpanKind is what a span of a timeline is.
type SpanKind string

// The kinds of spans.
const (
	SpanActivity  SpanKind = "ACTIVITY"
	SpanStep      SpanKind = "STEP"
	SpanTimer     SpanKind = "TIMER"
	SpanChild     SpanKind = "CHILD"
	SpanEvent     SpanKind = "EVENT" // one that arrived: it has no length
	SpanSent      SpanKind = "SENT"  // an event or a signal that was sent: it has no length
	SpanOperation SpanKind = "OPERATION"
	SpanLock      SpanKind = "LOCK"
	SpanSuspended SpanKind = "SUSPENDED"
)

// SpanState is how a span stands.
type SpanState string

// The states of spans.
const (
	SpanOpen      SpanState = "OPEN"
	SpanCompleted SpanState = "COMPLETED"
	SpanFailed    SpanState = "FAILED"
	SpanCanceled  SpanState = "CANCELED"
	// SpanAbandoned is for what had no answer when the instance ended.
	SpanAbandoned SpanState = "ABANDONED"
)

// TimelineSpan is a stretch of what an instance has done: an activity from its being scheduled to its result, a timer, a child.
type TimelineSpan struct {
	// TaskID is the number of the decision; -1 for what was not decided by the code.
	TaskID int32
	Kind   SpanKind
	State  SpanState
	// Name is that of the activity, child or event; of an operation the entity's id and what it is to do.
	Name string
	// From and To bound it; To is nil while it is open. BegunAt is when the attempt that counts began.
	From    time.Time
	BegunAt *time.Time
	To      *time.Time
	// Seq is the number of the event that opened it.
	Seq int64
	// Attempts counts those of an activity; 0 for everything else. Worker made the last.
	Attempts int
	Worker   string
	// InstanceID is the child, or whom an event was sent to.
	InstanceID string
	// Failure is why it failed.
	Failure *history.Failure
	// DueAt is when a timer fires.
	DueAt *time.Time
}

// Timeline is the history of the present generation of an instance, folded into spans.
type Timeline struct {
	// Spans are in the order in which they began; the newest are left out when there are more than asked for.
	Spans []TimelineSpan
	// Total counts all spans among the events that were read, Turns the turns. Events is how many were read: Truncated says
	// that there are more of these.
	Total, Turns, Events int
	Truncated            bool
}

// maxTimeline is how many events are folded.
const maxTimeline = 100_000

// Timeline folds the history of an instance into at most limit spans.
func (e *Engine) Timeline(ctx context.Context, i *Instance, limit int) (*Timeline, error) {
	fold := newTimelineFold()
	after := i.FirstSeq - 1
	more := true
	for n := 0; more && n < maxTimeline; {
		var (
			events []NumberedEvent
			err    error
		)
		if events, more, err = e.History(ctx, i, after, min(5000, maxTimeline-n), false); err != nil {
			return nil, fmt.Errorf("timeline: %w", err)
		}
		if len(events) == 0 {
			break
		}
		for _, ev := range events {
			fold.add(ev)
		}
		n += len(events)
		after = events[len(events)-1].Seq
	}
	return fold.end(limit, more), nil
}

// timelineFold is a timeline in the making. It is pure.
type timelineFold struct {
	spans     []*TimelineSpan
	open      map[int32]*TimelineSpan
	suspended *TimelineSpan
	out       Timeline
}

func newTimelineFold() *timelineFold { return &timelineFold{open: map[int32]*TimelineSpan{}} }

func (f *timelineFold) begin(n NumberedEvent, id int32, kind SpanKind, name string) *TimelineSpan {
	s := &TimelineSpan{TaskID: id, Kind: kind, State: SpanOpen, Name: name, From: n.Event.Time(), Seq: n.Seq}
	f.spans = append(f.spans, s)
	if id >= 0 {
		f.open[id] = s
	}
	return s
}

// point is a span without length.
func (f *timelineFold) point(n NumberedEvent, id int32, kind SpanKind, name string) *TimelineSpan {
	s := f.begin(n, id, kind, name)
	at := n.Event.Time()
	s.State, s.To = SpanCompleted, &at
	delete(f.open, id)
	return s
}

func (f *timelineFold) answer(n NumberedEvent, id int32, state SpanState) *TimelineSpan {
	s := f.open[id]
	if s == nil {
		return &TimelineSpan{} // of a decision that was rewound away
	}
	delete(f.open, id)
	at := n.Event.Time()
	s.State, s.To = state, &at
	return s
}

func (s *TimelineSpan) run(r history.Run) {
	s.Attempts, s.Worker = max(r.Attempts, 1), r.Worker
	if !r.StartedAt.IsZero() {
		s.BegunAt = &r.StartedAt
	}
}

func (f *timelineFold) add(n NumberedEvent) {
	f.out.Events++
	switch e := n.Event.(type) {
	case *history.OrchestratorStarted:
		f.out.Turns++
	case *history.TaskScheduled:
		kind := SpanActivity
		if e.Step {
			kind = SpanStep
		}
		f.begin(n, e.ID, kind, e.Name)
	case *history.TaskCompleted:
		f.answer(n, e.TaskID, SpanCompleted).run(e.Run)
	case *history.TaskFailed:
		s := f.answer(n, e.TaskID, SpanFailed)
		s.run(e.Run)
		s.Failure = e.Failure
	case *history.TimerCreated:
		f.begin(n, e.ID, SpanTimer, "").DueAt = &e.FireAt
	case *history.TimerFired:
		f.answer(n, e.TimerID, SpanCompleted)
	case *history.SubOrchestrationInstanceCreated:
		f.begin(n, e.ID, SpanChild, e.Name).InstanceID = e.InstanceID
	case *history.SubOrchestrationInstanceCompleted:
		f.answer(n, e.TaskID, SpanCompleted)
	case *history.SubOrchestrationInstanceFailed:
		f.answer(n, e.TaskID, SpanFailed).Failure = e.Failure
	case *history.EntityOperationCalled:
		f.begin(n, e.ID, SpanOperation, e.EntityID+" "+e.Operation).InstanceID = e.EntityID
	case *history.EntityOperationCompleted:
		f.answer(n, e.TaskID, SpanCompleted)
	case *history.EntityOperationFailed:
		f.answer(n, e.TaskID, SpanFailed).Failure = e.Failure
	case *history.EntityLockRequested:
		f.begin(n, e.ID, SpanLock, "")
	case *history.EntityLockGranted:
		// It is held from here on, until it is given back.
		if s := f.open[e.TaskID]; s != nil {
			at := e.At
			s.BegunAt = &at
		}
	case *history.EntityUnlockSent:
		f.unlock(n)
	case *history.EventRaised:
		f.point(n, -1, SpanEvent, e.Name)
	case *history.EventSent:
		f.point(n, e.ID, SpanSent, e.Name).InstanceID = e.InstanceID
	case *history.EntityOperationSignaled:
		f.point(n, e.ID, SpanSent, e.EntityID+" "+e.Operation).InstanceID = e.EntityID
	case *history.TaskCanceled:
		f.answer(n, e.TaskID, SpanCanceled)
	case *history.ExecutionSuspended:
		f.suspended = f.begin(n, -1, SpanSuspended, e.Reason)
	case *history.ExecutionResumed:
		f.resume(e.At)
	case *history.ExecutionCompleted:
		f.abandon(e.At)
	case *history.ExecutionTerminated:
		f.abandon(e.At)
	}
}

// unlock ends the lock that is held: there is one at a time.
func (f *timelineFold) unlock(n NumberedEvent) {
	for id, s := range f.open {
		if s.Kind == SpanLock && s.BegunAt != nil {
			f.answer(n, id, SpanCompleted)
		}
	}
}

func (f *timelineFold) resume(at time.Time) {
	if f.suspended != nil {
		f.suspended.State, f.suspended.To, f.suspended = SpanCompleted, &at, nil
	}
}

// abandon ends what is open, because the instance has ended.
func (f *timelineFold) abandon(at time.Time) {
	for id, s := range f.open {
		s.State, s.To = SpanAbandoned, &at
		delete(f.open, id)
	}
	f.resume(at)
}

func (f *timelineFold) end(limit int, truncated bool) *Timeline {
	f.out.Total, f.out.Truncated = len(f.spans), truncated
	f.out.Spans = make([]TimelineSpan, 0, min(limit, len(f.spans)))
	for _, s := range slices.Clip(f.spans)[:min(limit, len(f.spans))] {
		f.out.Spans = append(f.out.Spans, *s)
	}
	return &f.out
}
