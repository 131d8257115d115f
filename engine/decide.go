package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// plan is what a turn means: the events that history gets, and the effects that must commit with them.
type plan struct {
	events   []history.Event
	tasks    []*history.TaskScheduled
	timers   []*history.TimerCreated
	children []*history.SubOrchestrationInstanceCreated
	sends    []*history.EventSent
	requests []entityMessage
	cancels  []canceledTask
	// refused are decisions that cannot be carried out; each is answered with the failure at once.
	refused []refusal
	end     *history.ExecutionCompleted
	status  []byte // custom status: nil leaves it, empty clears it
	// progress is what the code said of how far it is.
	progress []history.Payload
	// hadTimers and hadTasks tell an ending generation what may be left of it.
	hadTimers bool
	hadTasks  bool
}

// canceledTask is a decision of an earlier turn that the code has given up.
type canceledTask struct {
	id  int32
	was *pending
}

// cancel gives up a decision. What was decided in this very turn is simply not begun; what was answered meanwhile is
// left alone, the answer having come too late for the code.
func (p *plan) cancel(id int32, was *pending) {
	if was == nil {
		return
	}
	begun := len(p.tasks) + len(p.timers) + len(p.children)
	p.tasks = slices.DeleteFunc(p.tasks, func(t *history.TaskScheduled) bool { return t.ID == id })
	p.timers = slices.DeleteFunc(p.timers, func(t *history.TimerCreated) bool { return t.ID == id })
	p.children = slices.DeleteFunc(p.children, func(c *history.SubOrchestrationInstanceCreated) bool { return c.ID == id })
	if len(p.tasks)+len(p.timers)+len(p.children) == begun {
		p.cancels = append(p.cancels, canceledTask{id, was})
	}
}

// refusal is a decision that cannot be carried out, and why.
type refusal struct {
	id      int32
	kind    refusedKind
	failure *history.Failure
}

type refusedKind int

const (
	refusedTask refusedKind = iota
	refusedChild
	refusedOperation
)

// answer is what the code hears of it.
func (r refusal) answer(at time.Time) history.Event {
	switch r.kind {
	case refusedChild:
		return &history.SubOrchestrationInstanceFailed{Header: history.Header{At: at}, TaskID: r.id, Failure: r.failure}
	case refusedOperation:
		return &history.EntityOperationFailed{Header: history.Header{At: at}, TaskID: r.id, Failure: r.failure}
	}
	return &history.TaskFailed{Header: history.Header{At: at}, TaskID: r.id, Failure: r.failure}
}

// limits bound what a turn may decide.
type limits struct {
	payload   int
	decisions int
}

// decide is the core of the engine: from the state after the arrived events, those events, and what the code
// decided, it makes the plan and moves the state on. It is pure: no clock, no database, no concurrency. The
// decisions are checked, because they may come from another language's SDK: *Held tells what is wrong.
func (s *state) decide(arrived []history.Event, turn Turn, lim limits) (*plan, error) {
	p := &plan{events: arrived}
	if turn.CustomStatus.Present() {
		if size := turn.CustomStatus.Size(); size > lim.payload {
			// The code that set it gets no answer, and an instance need not end for want of a status.
			return nil, &Held{Kind: "limit", Step: s.nextID, Message: tooLargeFailure("the custom status", size, lim).Message}
		}
		p.status = turn.CustomStatus.Data()
		if p.status == nil {
			p.status = []byte{}
		}
	}
	if err := s.checkProgress(turn.Progress, lim); err != nil {
		return nil, err
	}
	p.progress = turn.Progress
	if len(turn.Decisions) > lim.decisions {
		return nil, &Held{
			Kind: "limit", Step: s.nextID,
			Message: fmt.Sprintf("one turn decided on %d things, at most %d are allowed: use Limit, or child orchestrations", len(turn.Decisions), lim.decisions),
		}
	}
	now := s.lastTurn
	for i, d := range turn.Decisions {
		id, ok := DecisionID(d)
		if !ok || id != s.nextID || s.ended {
			return nil, &Held{
				Kind: "protocol", Step: s.nextID,
				Message: fmt.Sprintf("decision %d of the turn is %s with id %d, want id %d", i+1, history.TypeName(d), id, s.nextID),
			}
		}
		history.SetTime(d, now)
		tooLarge := 0
		history.EachValue(d, func(v *history.Payload) {
			if v.Size() > lim.payload {
				tooLarge = v.Size()
			}
		})
		if tooLarge > 0 {
			switch d := d.(type) {
			case *history.TaskScheduled:
				p.refused = append(p.refused, refusal{id: id, failure: tooLargeFailure("the input of activity "+d.Name, tooLarge, lim)})
				d.Input = history.Payload{}
				s.apply(d)
				p.events = append(p.events, d)
				continue
			case *history.SubOrchestrationInstanceCreated:
				p.refused = append(p.refused, refusal{id: id, kind: refusedChild, failure: tooLargeFailure("the input of orchestration "+d.Name, tooLarge, lim)})
				d.Input = history.Payload{}
				s.apply(d)
				p.events = append(p.events, d)
				continue
			case *history.EntityOperationCalled:
				p.refused = append(p.refused, refusal{id: id, kind: refusedOperation, failure: tooLargeFailure("the input of operation "+d.Operation, tooLarge, lim)})
				d.Input = history.Payload{}
				s.apply(d)
				p.events = append(p.events, d)
				continue
			case *history.EntityOperationSignaled:
				return s.refuse(p, "the input of operation "+d.Operation, tooLarge, lim)
			case *history.EventSent:
				return s.refuse(p, "the payload of event "+d.Name, tooLarge, lim)
			default:
				return s.refuse(p, "the output", tooLarge, lim)
			}
		}
		if c, ok := d.(*history.TaskCanceled); ok {
			p.cancel(c.TaskID, s.pending[c.TaskID])
		}
		s.leaveSection(p, d)
		s.apply(d)
		p.events = append(p.events, d)
		switch d := d.(type) {
		case *history.TaskScheduled:
			p.tasks = append(p.tasks, d)
		case *history.TimerCreated:
			p.timers = append(p.timers, d)
		case *history.SubOrchestrationInstanceCreated:
			p.children = append(p.children, d)
		case *history.EventSent:
			p.sends = append(p.sends, d)
		case *history.ExecutionCompleted:
			s.close(p, d)
		default:
			s.turnTo(p, d)
		}
	}
	s.awaits = turn.Awaits
	return p, nil
}

// refuse ends the generation because it produced something that cannot be stored and that nobody waits for,
// so that no answer could tell the code.
func (s *state) refuse(p *plan, what string, size int, lim limits) (*plan, error) {
	end := &history.ExecutionCompleted{ID: s.nextID, Status: history.Failed, Failure: tooLargeFailure(what, size, lim)}
	history.SetTime(end, s.lastTurn)
	s.apply(end)
	p.events = append(p.events, end)
	s.close(p, end)
	return p, nil
}

// close ends the generation: what it scheduled in this very turn is not started any more, except what it sent.
func (s *state) close(p *plan, end *history.ExecutionCompleted) {
	p.end = end
	s.unlock(p)
	end.LeftOpen = s.leftOpen()
	for _, waiting := range s.pending {
		switch {
		case waiting.timer != nil:
			p.hadTimers = true
		case waiting.task != nil && !waiting.task.Step:
			p.hadTasks = true
			p.hadTimers = p.hadTimers || bounded(waiting.task)
		}
	}
	p.tasks, p.timers = nil, nil
}

// maxLeftOpen bounds how much of what is left open the last event lists.
const maxLeftOpen = 100

// leftOpen lists the decisions that wait for an answer, in their order. The code has returned without them: their
// answers count no more.
func (s *state) leftOpen() []int32 {
	ids := slices.Sorted(maps.Keys(s.pending))
	return ids[:min(len(ids), maxLeftOpen)]
}

func tooLargeFailure(what string, size int, lim limits) *history.Failure {
	return failure(CodeTooLarge, "%s has %d bytes, the limit is %d", what, size, lim.payload)
}

// DecisionID returns the number of a decision, and whether the event is one at all.
func DecisionID(e history.Event) (int32, bool) {
	switch e := e.(type) {
	case *history.TaskScheduled:
		return e.ID, true
	case *history.TimerCreated:
		return e.ID, true
	case *history.SubOrchestrationInstanceCreated:
		return e.ID, true
	case *history.EventSent:
		return e.ID, true
	case *history.PatchRecorded:
		return e.ID, true
	case *history.TaskCanceled:
		return e.ID, true
	case *history.EntityOperationSignaled:
		return e.ID, true
	case *history.EntityOperationCalled:
		return e.ID, true
	case *history.EntityLockRequested:
		return e.ID, true
	case *history.EntityUnlockSent:
		return e.ID, true
	case *history.ExecutionCompleted:
		return e.ID, true
	}
	return -1, false
}
