package history

import "fmt"

// Follower follows a stored history row by row, and notes what cannot be: rows follow each other without a gap, decisions
// are numbered from 0 in each generation, every decision has at most one answer, after it, and nothing comes after an
// end. The zero value is ready to follow one.
type Follower struct {
	// At is the number of the last event, and Events how many there were.
	At     int64
	Events int
	Faults []Fault

	open    map[int32]bool // decisions without an answer
	nextID  int32
	started bool
	ended   bool

	terminated bool
	result     *ExecutionCompleted
}

// Fault is something in a history that cannot be.
type Fault struct {
	Kind FaultKind
	Text string
}

// FaultKind is what a fault is about.
type FaultKind int

// The kinds of faults.
const (
	// FaultOrder: rows, events or decisions do not follow each other.
	FaultOrder FaultKind = iota
	// FaultAnswer: an answer to a decision that is not open, such as the second one of an activity. FaultTimer and FaultChild
	// are the same of a timer and of a child.
	FaultAnswer
	FaultTimer
	FaultChild
	// FaultEnd: the history and its instance do not agree on the end.
	FaultEnd
)

// Result is the end of the history, nil if the last generation has none.
func (r *Follower) Result() *ExecutionCompleted {
	if !r.ended {
		return nil
	}
	return r.result
}

// Close compares the history with what its instance says of itself: its last event, the first of its generation, and
// its status.
func (r *Follower) Close(seq, base int64, status Status) {
	if r.At != seq {
		r.wrongf(FaultOrder, "the history ends at event %d, the instance is at %d", r.At, seq)
	}
	ended := r.ended && seq >= base // else restarted, and not begun: what ended was the generation before
	if status.Live() == ended {
		r.wrongf(FaultEnd, "status %s, but the history says ended = %v", status, ended)
	}
}

func (r *Follower) wrongf(kind FaultKind, format string, args ...any) {
	r.Faults = append(r.Faults, Fault{kind, fmt.Sprintf(format, args...)})
}

// Row takes in a row: n events, of which the last has the number seq.
func (r *Follower) Row(seq int64, n int32, events []Event) {
	first := seq - int64(n) + 1
	if r.At != 0 && first != r.At+1 {
		r.wrongf(FaultOrder, "event %d follows event %d", first, r.At)
	}
	if int(n) != len(events) {
		r.wrongf(FaultOrder, "row %d says %d events and has %d", seq, n, len(events))
	}
	if len(events) > 0 {
		switch events[0].(type) {
		case *OrchestratorStarted, *ExecutionTerminated, *ExecutionCancelRequested:
		default:
			r.wrongf(FaultOrder, "row %d begins with %s", seq, TypeName(events[0]))
		}
	}
	for _, e := range events {
		r.event(e)
	}
	r.At = seq
	r.Events += len(events)
}

func (r *Follower) event(e Event) {
	if r.ended {
		if _, next := e.(*OrchestratorStarted); !next {
			r.wrongf(FaultOrder, "%s after the end", TypeName(e))
		}
		r.open, r.nextID, r.started, r.ended, r.terminated = nil, 0, false, false, false
	}
	decide := func(id int32) {
		if id != r.nextID {
			r.wrongf(FaultOrder, "%s has id %d, want %d", TypeName(e), id, r.nextID)
		}
		r.nextID++
		if r.open == nil {
			r.open = map[int32]bool{}
		}
		r.open[id] = true
	}
	answer := func(kind FaultKind, id int32) {
		if !r.open[id] {
			r.wrongf(kind, "%s answers decision %d, which is not open", TypeName(e), id)
		}
		delete(r.open, id)
	}
	switch e := e.(type) {
	case *ExecutionStarted:
		if r.started {
			r.wrongf(FaultOrder, "started twice")
		}
		r.started = true
	case *TaskScheduled:
		decide(e.ID)
	case *TimerCreated:
		decide(e.ID)
	case *SubOrchestrationInstanceCreated:
		decide(e.ID)
	case *EventSent:
		decide(e.ID)
		delete(r.open, e.ID)
	case *PatchRecorded:
		decide(e.ID)
		delete(r.open, e.ID)
	case *EntityOperationSignaled:
		decide(e.ID)
		delete(r.open, e.ID)
	case *EntityUnlockSent:
		decide(e.ID)
		delete(r.open, e.ID)
	case *EntityOperationCalled:
		decide(e.ID)
	case *EntityLockRequested:
		decide(e.ID)
	case *EntityOperationCompleted:
		answer(FaultAnswer, e.TaskID)
	case *EntityOperationFailed:
		answer(FaultAnswer, e.TaskID)
	case *EntityLockGranted:
		answer(FaultAnswer, e.TaskID)
	case *TaskCanceled:
		decide(e.ID)
		delete(r.open, e.ID)
		delete(r.open, e.TaskID) // its answer, if it has come in this turn, came too late for the code
	case *ExecutionCancelRequested: // before the start, it is the end
		r.terminated = !r.started
	case *TaskCompleted:
		answer(FaultAnswer, e.TaskID)
	case *TaskFailed:
		answer(FaultAnswer, e.TaskID)
	case *TimerFired:
		answer(FaultTimer, e.TimerID)
	case *SubOrchestrationInstanceCompleted:
		answer(FaultChild, e.TaskID)
	case *SubOrchestrationInstanceFailed:
		answer(FaultChild, e.TaskID)
	case *ExecutionCompleted:
		switch {
		case !r.terminated:
			decide(e.ID)
		case e.ID != -1 || e.Status != Terminated && e.Status != Canceled:
			r.wrongf(FaultOrder, "terminated, and then %s with id %d", e.Status, e.ID)
		}
		r.ended, r.result = e.Status != ContinuedAsNew, e
		if !r.ended { // the next generation numbers anew
			r.open, r.nextID, r.started = nil, 0, false
		}
	case *ExecutionTerminated: // its end follows, which is nobody's decision
		r.terminated = true
	}
}
