package engine

import (
	"context"
	"errors"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// entity is what a session knows of an entity. Its turn is a batch of requests: operations, which user code carries out,
// and at most one change of its lock, which ends the batch.
type entity struct {
	id       EntityID
	state    history.Payload
	lock     *history.EntityLock
	deferred int32 // requests put off so far; each has a timer of this number
	later    map[int32]letter
}

// maxRequests is how many requests an entity takes in with one turn.
const maxRequests = 1000

// entityEvents is how many events an entity's history row holds.
const entityEvents = 2

// openEntity brings an entity to where its last history row says it is.
func (s *session) openEntity(ctx context.Context, row *store.OpenSessionsRow) error {
	id, err := ParseEntityID("id", row.ID)
	if err != nil {
		return err
	}
	s.state = newState(row.Gen)
	s.entity = &entity{id: id, later: map[int32]letter{}}
	if row.Seq == 0 {
		return nil
	}
	past, err := s.n.loader.history(ctx, s.no, row.Seq-entityEvents+1, row.Seq)
	if err != nil {
		return err
	}
	for _, e := range past {
		s.state.apply(e)
		if e, ok := e.(*history.EntityState); ok {
			s.entity.state, s.entity.lock, s.entity.deferred = e.State, e.LockedBy, e.Deferred
		}
	}
	return nil
}

// puts tells whether a letter is one to be put aside until its timer fires, and turns that timer's into it.
func (e *entity) puts(l *letter) (aside bool) {
	switch l.kind {
	case msgLater:
		e.later[l.task] = *l
		return true
	case msgTimer:
		was := e.later[l.task]
		delete(e.later, l.task)
		l.kind, l.also, l.events = msgEvent, was.id, was.events
		for _, ev := range l.events {
			if r, ok := ev.(*history.EntityRequest); ok {
				r.ScheduledAt = time.Time{}
			}
		}
	}
	return false
}

// admits tells whether a letter may be taken in now.
func (e *entity) admits(l *letter) bool {
	return e.lock == nil || l.kind == msgHolder || l.kind == msgStart
}

// lockRequest is what a letter says about the entity's lock; nil if it says nothing.
func lockRequest(l *letter) *history.EntityRequest {
	for _, ev := range l.events {
		if r, ok := ev.(*history.EntityRequest); ok && (r.Unlock || len(r.Lock) > 0) {
			return r
		}
	}
	return nil
}

// take takes the letters of the next batch and leaves the rest: none comes before one that was sent earlier, but for
// those that pass a lock. Who gives back a lock that it does not have yet wants it no more: its request, which came
// before, is taken and forgotten.
func (e *entity) take(into, letters []letter) (taken, rest []letter) {
	rest = letters[:0]
	full := false
	for _, l := range letters {
		if full || !e.admits(&l) {
			rest = append(rest, l)
			continue
		}
		into = append(into, l)
		about := lockRequest(&l)
		full = len(into) == maxRequests || about != nil
		if about == nil || !about.Unlock {
			continue
		}
		kept := rest[:0]
		for _, earlier := range rest {
			if r := lockRequest(&earlier); r != nil && !r.Unlock && r.From.Same(about.From) {
				earlier.events = nil
				into = append(into, earlier)
			} else {
				kept = append(kept, earlier)
			}
		}
		rest = kept
	}
	clear(letters[len(rest):])
	return into, rest
}

// change locks or unlocks the entity, if the request can do so, and says what follows: a request for a lock goes on to
// the next entity, or is granted.
func (e *entity) change(r *history.EntityRequest, now time.Time) (changed bool, next *entityMessage, granted bool) {
	switch {
	case r.From == nil:
		return false, nil, false
	case r.Unlock:
		if e.lock == nil || !e.lock.Same(r.From) {
			return false, nil, false // long unlocked, or locked by another meanwhile
		}
		e.lock = nil
		return true, nil, false
	}
	e.lock = &history.EntityLock{Requester: *r.From, Since: now}
	if at := r.Position + 1; at < len(r.Lock) {
		return true, &entityMessage{r.Lock[at], -1, msgEvent, &history.EntityRequest{Lock: r.Lock, Position: at, From: r.From}, -1}, false
	}
	return true, nil, true
}

// entityTurn runs one turn of an entity.
func (s *session) entityTurn(ctx context.Context) error {
	f := s.newFlight(unitTurn)
	f.letters, s.letters = s.entity.take(f.letters, s.letters)
	s.failing = f
	now := s.n.clock.now()
	if now.Before(s.state.lastTurn) {
		now = s.state.lastTurn
	}
	s.state.lastTurn = now
	b := &entityTurn{s: s, f: f, u: &f.unit, now: now, batch: EntityBatch{
		Hub: s.hub.Name, ID: s.entity.id, State: s.entity.state, Limit: s.n.limits.payload,
	}}
	var arrived []history.Event
	for i := range f.letters {
		l := &f.letters[i]
		for _, id := range []int64{l.id, l.also} {
			if id != 0 {
				f.unit.consumed = append(f.unit.consumed, id)
			}
		}
		arrived = append(arrived, l.events...)
		for _, e := range l.events {
			if r, ok := e.(*history.EntityRequest); ok {
				b.takeIn(r)
			}
		}
	}
	s.n.metrics.turns.Inc()
	result := &EntityResult{State: s.entity.state}
	if len(b.batch.Operations) > 0 {
		began := time.Now()
		s.turnBegan.Store(began.UnixNano())
		var err error
		result, err = s.n.exec.Operate(ctx, &b.batch)
		s.turnBegan.Store(0)
		s.n.metrics.turnTime.observe(time.Since(began).Seconds())
		if err != nil {
			return err
		}
	}
	s.state.started = true
	s.entity.state = result.State
	// Large inputs go with the history row that follows: nothing keeps them.
	f.unit.values = storedValues(arrived)
	f.unit.actions[EntityAction] += int32(len(b.asked))
	b.trace(result)
	if err := b.fill(ctx, result); err != nil {
		return err
	}
	s.failing = nil
	s.submit(f)
	return nil
}

// entityTurn is a turn of an entity in the making.
type entityTurn struct {
	s     *session
	f     *flight
	u     *unit
	now   time.Time
	batch EntityBatch
	asked []*history.EntityRequest // of each operation
	later []*history.EntityRequest
	lock  *history.EntityRequest // the change of the lock, if there is one
}

// takeIn sorts a request.
func (t *entityTurn) takeIn(r *history.EntityRequest) {
	switch {
	case r.Unlock || len(r.Lock) > 0:
		t.lock = r
	case r.ScheduledAt.After(t.now):
		t.later = append(t.later, r)
	default:
		op := operationOf(r)
		op.Trace = t.s.n.e.operationTrace(r)
		t.batch.Operations = append(t.batch.Operations, op)
		t.asked = append(t.asked, r)
	}
}

// fill puts all that the turn means into the unit.
func (t *entityTurn) fill(ctx context.Context, result *EntityResult) error {
	if len(result.Results) != len(t.asked) {
		return errors.New("the worker answered another number of operations than it was given")
	}
	for i, r := range t.asked {
		if err := t.answer(ctx, r.From, result.Results[i]); err != nil {
			return err
		}
	}
	var messages []entityMessage
	for _, g := range result.Signals {
		messages = append(messages, entityMessage{g.To.String(), -1, msgEvent, &history.EntityRequest{
			Operation: g.Operation, Input: g.Input, ScheduledAt: g.At, From: &history.Requester{InstanceID: t.s.info.InstanceID, TaskID: -1},
			Trace: g.Trace,
		}, -1})
	}
	locks, err := t.changeLock()
	if err != nil {
		return err
	}
	messages = append(messages, locks...)
	if err := t.s.sendRequests(ctx, t.u, messages, t.now); err != nil {
		return err
	}
	for _, o := range result.Starts {
		if err := t.start(ctx, o); err != nil {
			return err
		}
	}
	if err := t.putOff(ctx); err != nil {
		return err
	}
	return t.record(ctx)
}

// record is the history row: it holds the entity as it is now, and the one before goes.
func (t *entityTurn) record(ctx context.Context) error {
	s, u := t.s, t.u
	kept := &history.EntityState{State: s.entity.state, LockedBy: s.entity.lock, Deferred: s.entity.deferred}
	events := []history.Event{&history.OrchestratorStarted{Header: history.Header{At: t.now}}, kept}
	history.SetTime(kept, t.now)
	large, err := s.n.e.externalize(ctx, s.no, events)
	if err != nil {
		return err
	}
	s.entity.state = kept.State // with its number
	u.large = append(u.large, large...)
	u.values = append(u.values, storedValues(events)...)
	if u.events, err = history.AppendEncode(u.events, events); err != nil {
		return err
	}
	u.count = entityEvents
	u.seq = s.aheadSeq + entityEvents
	u.cutBefore = u.seq
	u.status = s.state.status()
	return nil
}

// answer tells whoever waits for an operation what became of it.
func (t *entityTurn) answer(ctx context.Context, to *history.Requester, r OperationResult) error {
	if to == nil || to.TaskID < 0 && to.Reply == "" {
		return nil
	}
	holder := to.No
	if to.Reply != "" {
		holder = inTransit
	}
	out, large, err := t.s.n.e.externalizeCopy(ctx, holder, r.Output)
	if err != nil {
		return err
	}
	t.u.large = append(t.u.large, large...)
	at := history.Header{At: t.now}
	var answer history.Event = &history.EntityOperationCompleted{Header: at, TaskID: to.TaskID, Result: out}
	if r.Failure != nil {
		answer = &history.EntityOperationFailed{Header: at, TaskID: to.TaskID, Failure: r.Failure}
	}
	return t.tell(to, answer)
}

func (t *entityTurn) tell(to *history.Requester, answer history.Event) error {
	payload, err := history.Encode([]history.Event{answer})
	if err != nil {
		return err
	}
	if to.Reply != "" {
		t.u.replies = append(t.u.replies, reply{to.Reply, payload})
		return nil
	}
	t.u.messages = append(t.u.messages, message{no: to.No, gen: to.Gen, task: to.TaskID, kind: msgResult, payload: payload})
	return nil
}

// changeLock locks or unlocks the entity.
func (t *entityTurn) changeLock() ([]entityMessage, error) {
	if t.lock == nil {
		return nil, nil
	}
	s, r := t.s, t.lock
	changed, next, granted := s.entity.change(r, t.now)
	if !changed {
		return nil, nil
	}
	if t.u.unlocked = r.Unlock; !r.Unlock {
		t.u.lockedFor = r.From
	}
	s.state.lockedFor(s.entity.lock)
	t.u.suspended = s.state.suspended.encode()
	switch {
	case granted:
		return nil, t.tell(r.From, &history.EntityLockGranted{Header: history.Header{At: t.now}, TaskID: r.From.TaskID, Entities: r.Lock})
	case next != nil:
		return []entityMessage{*next}, nil
	}
	return nil, nil
}

// putOff gives requests that are due later a timer each, and puts them back into the inbox.
func (t *entityTurn) putOff(ctx context.Context) error {
	s := t.s
	for _, r := range t.later {
		value, large, err := s.n.e.externalizeCopy(ctx, s.no, r.Input)
		if err != nil {
			return err
		}
		put := *r
		put.Input = value
		payload, err := history.Encode([]history.Event{&put})
		if err != nil {
			return err
		}
		t.u.large = append(t.u.large, large...)
		s.entity.deferred++
		key := taskKey{s.no, s.state.gen, s.entity.deferred}
		t.u.messages = append(t.u.messages, message{no: s.no, gen: s.state.gen, task: key.task, kind: msgLater, payload: payload})
		s.addTimer(t.f, newTimer{timerKey: timerKey{key, timerTask}, fireAt: r.ScheduledAt.Truncate(time.Microsecond)})
	}
	return nil
}

// start starts an orchestration that nobody waits for.
func (t *entityTurn) start(ctx context.Context, o EntityStart) error {
	s, e := t.s, t.s.n.e
	if o.ID == "" {
		o.ID = newUUID()
	}
	begin, large, err := e.newStart(tracing.With(ctx, tracing.Parse(o.Trace)), s.hub, &StartRequest{ID: o.ID, Name: o.Name, Version: o.Version, Input: o.Input, At: o.At})
	if err != nil {
		return err
	}
	t.u.large = append(t.u.large, large...)
	t.u.starts = append(t.u.starts, begin)
	t.u.conflict = func(u *unit, i int, taken store.FindInstancesRow) bool {
		if statusOf(taken.Status).Live() {
			u.starts = append(u.starts[:i:i], u.starts[i+1:]...) // it is there, and that is all that was wanted
		} else {
			u.dropping(purge{no: taken.No, mask: endedStatuses})
		}
		return true
	}
	return nil
}

// sendRequests sends messages to entities: through the outbox, like events, so that this commit need not lock them.
func (s *session) sendRequests(ctx context.Context, u *unit, messages []entityMessage, now time.Time) error {
	for _, m := range messages {
		r := *m.request
		r.Header = history.Header{At: now}
		if r.From == nil {
			r.From = &history.Requester{InstanceID: s.info.InstanceID, No: s.no, Gen: s.state.gen, TaskID: m.task}
		}
		input, large, err := s.n.e.externalizeCopy(ctx, inTransit, r.Input)
		if err != nil {
			return err
		}
		r.Input = input
		if m.decision >= 0 {
			r.Trace = s.sent(m.decision)
		}
		u.large = append(u.large, large...)
		ref, _ := input.Stored()
		payload, err := history.Encode([]history.Event{&r})
		if err != nil {
			return err
		}
		if err := s.send(ctx, u, send{hub: s.hub.no, target: m.to, kind: m.kind, payload: payload, ref: ref}); err != nil {
			return err
		}
	}
	return nil
}

// returnLocks gives back locks that were granted too late: the code waits for them no more.
func (s *session) returnLocks(ctx context.Context, u *unit, letters []letter) error {
	for i := range letters {
		l := &letters[i]
		for _, e := range l.events {
			if granted, ok := e.(*history.EntityLockGranted); ok && !s.state.fits(l) {
				if err := s.sendRequests(ctx, u, unlocking(granted.Entities), s.n.clock.now()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
