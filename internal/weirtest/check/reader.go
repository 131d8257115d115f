package check

import (
	"fmt"

	"github.com/weir-dev/weir/engine/history"
)

// reader follows a history.
type reader struct {
	at     int64
	events int
	faults []string

	open    map[int32]bool // decisions without an answer
	nextID  int32
	started bool
	ended   bool

	terminated bool
}

func (r *reader) wrongf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

func (r *reader) row(seq int64, n int32, events []history.Event) {
	first := seq - int64(n) + 1
	if r.at != 0 && first != r.at+1 {
		r.wrongf("event %d follows event %d", first, r.at)
	}
	if int(n) != len(events) {
		r.wrongf("row %d says %d events and has %d", seq, n, len(events))
	}
	if len(events) > 0 {
		switch events[0].(type) {
		case *history.OrchestratorStarted, *history.ExecutionTerminated, *history.ExecutionCancelRequested:
		default:
			r.wrongf("row %d begins with %s", seq, history.TypeName(events[0]))
		}
	}
	for _, e := range events {
		r.event(e)
	}
	r.at = seq
	r.events += len(events)
}

func (r *reader) event(e history.Event) {
	if r.ended {
		if _, next := e.(*history.OrchestratorStarted); !next {
			r.wrongf("%s after the end", history.TypeName(e))
		}
		r.open, r.nextID, r.started, r.ended, r.terminated = nil, 0, false, false, false
	}
	decide := func(id int32) {
		if id != r.nextID {
			r.wrongf("%s has id %d, want %d", history.TypeName(e), id, r.nextID)
		}
		r.nextID++
		if r.open == nil {
			r.open = map[int32]bool{}
		}
		r.open[id] = true
	}
	answer := func(id int32) {
		if !r.open[id] {
			r.wrongf("%s answers decision %d, which is not open", history.TypeName(e), id)
		}
		delete(r.open, id)
	}
	switch e := e.(type) {
	case *history.ExecutionStarted:
		if r.started {
			r.wrongf("started twice")
		}
		r.started = true
	case *history.TaskScheduled:
		decide(e.ID)
	case *history.TimerCreated:
		decide(e.ID)
	case *history.SubOrchestrationInstanceCreated:
		decide(e.ID)
	case *history.EventSent:
		decide(e.ID)
		delete(r.open, e.ID)
	case *history.PatchRecorded:
		decide(e.ID)
		delete(r.open, e.ID)
	case *history.EntityOperationSignaled:
		decide(e.ID)
		delete(r.open, e.ID)
	case *history.EntityUnlockSent:
		decide(e.ID)
		delete(r.open, e.ID)
	case *history.EntityOperationCalled:
		decide(e.ID)
	case *history.EntityLockRequested:
		decide(e.ID)
	case *history.EntityOperationCompleted:
		answer(e.TaskID)
	case *history.EntityOperationFailed:
		answer(e.TaskID)
	case *history.EntityLockGranted:
		answer(e.TaskID)
	case *history.TaskCanceled:
		decide(e.ID)
		delete(r.open, e.ID)
		delete(r.open, e.TaskID) // its answer, if it has come in this turn, came too late for the code
	case *history.ExecutionCancelRequested: // before the start, it is the end
		r.terminated = !r.started
	case *history.TaskCompleted:
		answer(e.TaskID)
	case *history.TaskFailed:
		answer(e.TaskID)
	case *history.TimerFired:
		answer(e.TimerID)
	case *history.SubOrchestrationInstanceCompleted:
		answer(e.TaskID)
	case *history.SubOrchestrationInstanceFailed:
		answer(e.TaskID)
	case *history.ExecutionCompleted:
		switch {
		case !r.terminated:
			decide(e.ID)
		case e.ID != -1 || e.Status != history.Terminated && e.Status != history.Canceled:
			r.wrongf("terminated, and then %s with id %d", e.Status, e.ID)
		}
		r.ended = e.Status != history.ContinuedAsNew
		if !r.ended { // the next generation numbers anew
			r.open, r.nextID, r.started = nil, 0, false
		}
	case *history.ExecutionTerminated: // its end follows, which is nobody's decision
		r.terminated = true
	}
}
