package durable

import (
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// maxLocks is how many entities one critical section may lock.
const maxLocks = 100

// section is a critical section: entities that this orchestration has locked, or is about to.
type section struct {
	entities []string
	calling  map[string]bool // a call to it is under way
}

func (s *section) holds(id EntityID) bool { return slices.Contains(s.entities, id.String()) }

// Lock begins a critical section: it waits until all the entities are locked for this orchestration, and returns what
// unlocks them. Until then others' operations on them wait. The locks are durable, and go when unlock is called, or when
// the orchestration ends, however it does; what was done under them stays.
//
//	unlock, err := durable.Lock(ctx, Deposit.ID("a"), Deposit.ID("b"))
//	if err != nil {
//		return err
//	}
//	defer unlock()
//
// So that no two orchestrations can wait for each other, these rules hold within: no other critical section; no child
// orchestrations; calls only to the locked entities, and to each one at a time; signals only to other entities. What
// breaks a rule fails with ErrWrongState. Entities are locked one after another, in the order of their ids, each once.
func Lock(ctx *Context, entities ...EntityID) (unlock func(), err error) {
	none := func() {}
	r := ctx.run
	if r.section != nil {
		return none, fmt.Errorf("lock: %w", againstTheRules("the orchestration has locked entities already: critical sections cannot be nested"))
	}
	if n := len(entities); n == 0 || n > maxLocks {
		return none, fmt.Errorf("lock: %w", &engine.Error{Code: engine.CodeInvalid, Field: "entities", Message: fmt.Sprintf("are %d, want 1 to %d", n, maxLocks)})
	}
	ids := make([]string, len(entities))
	for i, id := range entities {
		if err := engine.CheckEntity(fmt.Sprintf("entities[%d]", i), id); err != nil {
			return none, fmt.Errorf("lock: %w", err)
		}
		ids[i] = id.String()
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	s := &section{entities: ids, calling: map[string]bool{}}
	granted := newFuture[None](ctx.call("the lock of "+ids[0], func() *core {
		r.section = s
		return r.decide("the lock", &history.EntityLockRequested{ID: r.number(), Entities: ids})
	}))
	if _, err := granted.Await(); err != nil {
		if r.section == s {
			r.section = nil
		}
		return none, fmt.Errorf("lock: %w", err)
	}
	return func() {
		if r.section != s || r.closed || r.ended {
			return
		}
		r.touch()
		r.section = nil
		r.decide("unlock", &history.EntityUnlockSent{ID: r.number(), Entities: ids})
	}, nil
}

func againstTheRules(format string, args ...any) error {
	return &engine.Error{Code: engine.CodeWrongState, Field: "lock", Message: fmt.Sprintf(format, args...)}
}

// callEntity decides on a call of an operation.
func (r *run) callEntity(id EntityID, operation string, in any) *core {
	what := "operation " + id.Name + "/" + operation
	if err := engine.CheckEntity("entity", id); err != nil {
		return r.refuse(what, err)
	}
	if err := engine.CheckOperation("operation", operation); err != nil {
		return r.refuse(what, err)
	}
	s, entity := r.section, id.String()
	switch {
	case s == nil:
	case !s.holds(id):
		return r.refuse(what, againstTheRules("%s is not locked: within a critical section only locked entities can be called", entity))
	case s.calling[entity]:
		return r.refuse(what, againstTheRules("a call to %s is under way: within a critical section one is made at a time", entity))
	}
	input, err := r.encode(in)
	if err != nil {
		return r.refuse(what, err)
	}
	c := r.decide(what, &history.EntityOperationCalled{ID: r.number(), EntityID: entity, Operation: operation, Input: input})
	if s != nil {
		s.calling[entity] = true
		c.observers = append(c.observers, func() { delete(s.calling, entity) })
	}
	return c
}

// signal implements Sender.
func (c *Context) signal(to EntityID, operation string, in any, at time.Time) error {
	r := c.run
	r.touch()
	if err := c.Err(); err != nil {
		return err
	}
	if err := engine.CheckOperation("operation", operation); err != nil {
		return err
	}
	if s := r.section; s != nil && s.holds(to) {
		return againstTheRules("%s is locked: within a critical section locked entities are called, not signaled", to)
	}
	input, err := r.encode(in)
	if err != nil {
		return err
	}
	if !at.IsZero() {
		at = at.UTC().Truncate(time.Microsecond)
	}
	r.decide("signal", &history.EntityOperationSignaled{ID: r.number(), EntityID: to.String(), Operation: operation, Input: input, ScheduledAt: at})
	return nil
}
