package engine

import (
	"slices"

	"github.com/weir-dev/weir/engine/history"
)

// What an orchestration has to do with entities: the part of state and decide that concerns them.

// entityMessage is a request on its way to an entity.
type entityMessage struct {
	to string
	// task is the decision that waits for the answer; -1 for none.
	task    int32
	kind    int16 // of the message
	request *history.EntityRequest
	// decision is the number of the decision that sends it; -1 for none that is traced.
	decision int32
}

func (s *state) applyEntity(e history.Event) {
	switch e := e.(type) {
	case *history.EntityOperationSignaled:
		s.nextID = e.ID + 1
	case *history.EntityOperationCalled:
		s.pending[e.ID] = &pending{call: e}
		s.nextID = e.ID + 1
	case *history.EntityLockRequested:
		s.pending[e.ID] = &pending{lock: e}
		s.section = e
		s.nextID = e.ID + 1
	case *history.EntityUnlockSent:
		s.section = nil
		s.nextID = e.ID + 1
	case *history.EntityOperationCompleted:
		delete(s.pending, e.TaskID)
	case *history.EntityOperationFailed:
		delete(s.pending, e.TaskID)
	case *history.EntityLockGranted:
		delete(s.pending, e.TaskID)
	case *history.EntityState:
		s.started = true
		s.lockedFor(e.LockedBy)
	}
}

// lockedFor notes who has the entity locked. A locked entity is suspended: it takes in only what its holder sends.
func (s *state) lockedFor(l *history.EntityLock) {
	s.suspended = nil
	if l != nil {
		s.suspended = &Suspension{At: l.Since, By: l.InstanceID}
	}
}

// turnTo puts what the code wants of entities into the plan.
func (s *state) turnTo(p *plan, d history.Event) {
	switch d := d.(type) {
	case *history.EntityOperationSignaled:
		p.requests = append(p.requests, entityMessage{d.EntityID, -1, s.kindFor(d.EntityID), &history.EntityRequest{
			Operation: d.Operation, Input: d.Input, ScheduledAt: d.ScheduledAt,
		}, d.ID})
	case *history.EntityOperationCalled:
		p.requests = append(p.requests, entityMessage{d.EntityID, d.ID, s.kindFor(d.EntityID), &history.EntityRequest{
			Operation: d.Operation, Input: d.Input,
		}, d.ID})
	case *history.EntityLockRequested:
		p.requests = append(p.requests, entityMessage{d.Entities[0], d.ID, msgEvent, &history.EntityRequest{Lock: d.Entities}, -1})
	}
}

// kindFor is how a request reaches an entity: past its lock, if that is this orchestration's own.
func (s *state) kindFor(entity string) int16 {
	if s.section != nil && s.pending[s.section.ID] == nil && slices.Contains(s.section.Entities, entity) {
		return msgHolder
	}
	return msgEvent
}

// leaveSection is called before d is applied: where that ends the critical section, the entities are unlocked.
func (s *state) leaveSection(p *plan, d history.Event) {
	switch d := d.(type) {
	case *history.EntityUnlockSent:
		s.unlock(p)
	case *history.TaskCanceled:
		if s.section != nil && s.section.ID == d.TaskID { // it waits no longer for the lock
			s.unlock(p)
		}
	}
}

// unlock has the entities of the critical section unlocked: those that are locked, and those that were to be.
func (s *state) unlock(p *plan) {
	if s.section == nil {
		return
	}
	p.requests = append(p.requests, unlocking(s.section.Entities)...)
	s.section = nil
}

func unlocking(entities []string) []entityMessage {
	out := make([]entityMessage, len(entities))
	for i, to := range entities {
		out[i] = entityMessage{to, -1, msgHolder, &history.EntityRequest{Unlock: true}, -1}
	}
	return out
}
