package engine

import (
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// state is what the engine remembers of one generation of an instance: the fold of its history. It holds what
// is pending, not what has been; everything else is in the history or in the orchestration's code.
type state struct {
	gen      int32
	started  bool
	ended    bool
	lastTurn time.Time
	// suspended is who has suspended it, nil if it is not.
	suspended *Suspension
	// canceling is the first request to end by itself.
	canceling *history.ExecutionCancelRequested
	nextID    int32
	pending   map[int32]*pending
	// awaits names the events the code said it waits for after its last turn.
	awaits []string
	// section are the entities that the code has locked, or has asked to be locked; nil outside of critical sections.
	section *history.EntityLockRequested
	// tags are those the instance was started with.
	tags map[string]string
	// began is when the generation began, or was rewound; links are the contexts of events that were sent within a trace.
	began time.Time
	links []string
}

// pending is a decision that waits for its answer. One of its fields is set.
type pending struct {
	task  *history.TaskScheduled
	timer *history.TimerCreated
	child *history.SubOrchestrationInstanceCreated
	call  *history.EntityOperationCalled
	lock  *history.EntityLockRequested
}

func newState(gen int32) *state { return &state{gen: gen, pending: map[int32]*pending{}} }

// apply takes in one event of the history.
func (s *state) apply(e history.Event) {
	switch e := e.(type) {
	case *history.OrchestratorStarted:
		// Not back: a suspension that needed no session was recorded by another clock.
		if e.At.After(s.lastTurn) {
			s.lastTurn = e.At
		}
	case *history.ExecutionSuspended:
		s.suspended = &Suspension{At: e.At, Reason: e.Reason, By: e.By}
	case *history.ExecutionResumed:
		s.suspended = nil
	case *history.ExecutionStarted:
		s.started, s.tags, s.began = true, e.Tags, e.At
	case *history.ExecutionRewound:
		s.suspended = nil // whoever rewinds wants it to go on
		s.began = e.At
		for _, p := range s.pending {
			if p.task != nil { // its bounds begin anew; the history keeps when it was decided on
				again := *p.task
				again.At = e.At
				p.task = &again
			}
		}
	case *history.TaskScheduled:
		s.pending[e.ID] = &pending{task: e}
		s.nextID = e.ID + 1
	case *history.TimerCreated:
		s.pending[e.ID] = &pending{timer: e}
		s.nextID = e.ID + 1
	case *history.SubOrchestrationInstanceCreated:
		s.pending[e.ID] = &pending{child: e}
		s.nextID = e.ID + 1
	case *history.EventSent:
		s.nextID = e.ID + 1
	case *history.PatchRecorded:
		s.nextID = e.ID + 1
	case *history.TaskCanceled:
		s.nextID = e.ID + 1
		delete(s.pending, e.TaskID)
		if s.section != nil && s.section.ID == e.TaskID {
			s.section = nil
		}
	case *history.EventRaised:
		if e.Trace != "" && len(s.links) < maxLinks {
			s.links = append(s.links, e.Trace)
		}
	case *history.ExecutionCancelRequested:
		if s.canceling == nil {
			s.canceling = e
		}
	case *history.TaskCompleted:
		delete(s.pending, e.TaskID)
	case *history.TaskFailed:
		delete(s.pending, e.TaskID)
	case *history.TimerFired:
		delete(s.pending, e.TimerID)
	case *history.SubOrchestrationInstanceCompleted:
		delete(s.pending, e.TaskID)
	case *history.SubOrchestrationInstanceFailed:
		delete(s.pending, e.TaskID)
	case *history.ExecutionCompleted:
		s.nextID = e.ID + 1
		s.ended = true
	default:
		s.applyEntity(e)
	}
}

// letter is a message an instance has received: from its inbox, or from an activity of this process.
type letter struct {
	id     int64 // of the inbox row; 0 = in memory
	also   int64 // another row that goes with it; 0 = none
	kind   int16
	gen    int32
	task   int32
	events []history.Event
}

// inMemory tells that the letter exists nowhere else: an inbox row is read again, and so is the row of an instance
// that is to start.
func (l *letter) inMemory() bool { return l.id == 0 && l.kind != msgStart }

// fits tells whether an answer is for a decision that still waits for it, in this generation.
func (s *state) fits(l *letter) bool {
	switch l.kind {
	case msgResult:
		p := s.pending[l.task]
		return l.gen == s.gen && p != nil && p.timer == nil
	case msgTimer:
		p := s.pending[l.task]
		return l.gen == s.gen && p != nil && p.timer != nil
	case msgStart:
		return !s.started
	case msgSuspend:
		return s.suspended == nil
	case msgResume:
		return s.suspended != nil
	}
	return s.started
}

// status is what the instance's row says while it lives.
func (s *state) status() history.Status {
	switch {
	case s.suspended != nil:
		return history.Suspended
	case !s.started:
		return history.Pending
	}
	return history.Running
}

// admit turns letters into the events of a new turn, in the order in which they are to be processed: suspensions and
// resumptions, the start of the generation, then by arrival. Letters that mean nothing any more (a late or duplicate
// answer) are dropped. It returns nil when nothing is left. The first event is OrchestratorStarted; its time never
// goes back.
func (s *state) admit(now time.Time, letters []letter) []history.Event {
	if now.Before(s.lastTurn) {
		now = s.lastTurn
	}
	slices.SortStableFunc(letters, func(a, b letter) int { return a.rank() - b.rank() })
	events := []history.Event{&history.OrchestratorStarted{Header: history.Header{At: now}}}
	for i := range letters {
		l := &letters[i]
		if !s.fits(l) {
			continue
		}
		arrived := l.events
		if l.kind == msgTimer {
			arrived = []history.Event{&history.TimerFired{TimerID: l.task, FireAt: s.pending[l.task].timer.FireAt}}
		}
		for _, e := range arrived {
			if e.Time().IsZero() {
				history.SetTime(e, now)
			}
			s.apply(e)
			events = append(events, e)
		}
	}
	if len(events) == 1 {
		return nil
	}
	s.lastTurn = now
	return events
}
