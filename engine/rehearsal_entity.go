package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-dev/weir/engine/history"
)

// rehearsedEntity is an entity of a Rehearsal. What a lock does to it is entity's, as in a session.
type rehearsedEntity struct {
	entity

	letters []letter
	queued  bool
}

// send hands a request to an entity, when its time has come.
func (r *Rehearsal) send(m entityMessage, from *history.Requester) {
	req := *m.request
	req.At = r.now
	if req.From == nil {
		req.From = from
	}
	if at := req.ScheduledAt; at.After(r.now) {
		r.schedule(at, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.send(m, req.From)
		})
		return
	}
	x := r.entities[m.to]
	if x == nil {
		id, err := ParseEntityID("entity", m.to)
		if err != nil { // not possible: the code that asks has checked it
			return
		}
		x = &rehearsedEntity{entity: entity{id: id}}
		r.entities[m.to] = x
	}
	x.letters = append(x.letters, letter{kind: m.kind, events: []history.Event{&req}})
	r.wakeEntity(x)
}

func (r *Rehearsal) wakeEntity(x *rehearsedEntity) {
	for i := range x.letters {
		if !x.queued && x.admits(&x.letters[i]) {
			x.queued = true
			r.busy = append(r.busy, x)
		}
	}
}

// requesterOf is an instance as the entities that it turns to know it.
func (i *rehearsed) requesterOf(task int32) *history.Requester {
	return &history.Requester{InstanceID: i.info.InstanceID, No: i.no, Gen: i.state.gen, TaskID: task}
}

// unlockAll gives back what an instance has locked, which ends.
func (r *Rehearsal) unlockAll(i *rehearsed) {
	for id, x := range r.entities {
		if x.lock != nil && x.lock.No == i.no {
			holder := x.lock.Requester
			r.send(entityMessage{id, -1, msgHolder, &history.EntityRequest{Unlock: true}, -1}, &holder)
		}
	}
}

// returnLocks gives back locks that were granted too late.
func (r *Rehearsal) returnLocks(i *rehearsed, letters []letter) {
	for n := range letters {
		for _, e := range letters[n].events {
			if granted, ok := e.(*history.EntityLockGranted); ok && !i.state.fits(&letters[n]) {
				for _, m := range unlocking(granted.Entities) {
					r.send(m, i.requesterOf(-1))
				}
			}
		}
	}
}

// operate runs a turn of an entity.
func (r *Rehearsal) operate(ctx context.Context, x *rehearsedEntity) error {
	r.mu.Lock()
	x.queued = false
	var taken []letter
	taken, x.letters = x.take(nil, x.letters)
	var (
		asked []*history.EntityRequest
		lock  *history.EntityRequest
		batch = EntityBatch{Hub: r.cfg.Hub, ID: x.id, State: x.state, Limit: r.limits.payload}
	)
	for n := range taken {
		if len(taken[n].events) == 0 {
			continue
		}
		req, ok := taken[n].events[0].(*history.EntityRequest)
		switch {
		case !ok:
		case req.Unlock || len(req.Lock) > 0:
			lock = req
		default:
			asked = append(asked, req)
			batch.Operations = append(batch.Operations, operationOf(req))
		}
	}
	r.mu.Unlock()
	result := &EntityResult{State: x.state}
	if len(asked) > 0 {
		var err error
		if result, err = r.cfg.Executor.Operate(ctx, &batch); errors.Is(err, ErrNoHandler) {
			return fmt.Errorf("entity %q has no handler", x.id)
		} else if err != nil {
			return fmt.Errorf("entity %q: %w", x.id, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x.state = result.State
	for n, req := range asked {
		r.answer(req.From, result.Results[n])
	}
	for _, g := range result.Signals {
		m := entityMessage{g.To.String(), -1, msgEvent, &history.EntityRequest{Operation: g.Operation, Input: g.Input, ScheduledAt: g.At}, -1}
		r.send(m, &history.Requester{InstanceID: x.id.String(), TaskID: -1})
	}
	for _, o := range result.Starts {
		if i := r.instances[o.ID]; i == nil || !i.instance.Status.Live() {
			r.start(&StartRequest{ID: o.ID, Name: o.Name, Version: o.Version, Input: o.Input, At: o.At}, parentOf{})
		}
	}
	if lock != nil {
		if _, next, granted := x.change(lock, r.now); granted {
			r.tellRequester(lock.From, &history.EntityLockGranted{TaskID: lock.From.TaskID, Entities: lock.Lock})
		} else if next != nil {
			r.send(*next, lock.From)
		}
	}
	r.wakeEntity(x)
	return nil
}

func operationOf(r *history.EntityRequest) EntityOperation {
	op := EntityOperation{Name: r.Operation, Input: r.Input}
	if r.From != nil {
		op.Sender = r.From.InstanceID
	}
	return op
}

func (r *Rehearsal) answer(to *history.Requester, result OperationResult) {
	switch {
	case to == nil:
	case to.Reply != "":
		if fn := r.replies[to.Reply]; fn != nil {
			delete(r.replies, to.Reply)
			fn(result)
		}
	case to.TaskID < 0:
	case result.Failure != nil:
		r.tellRequester(to, &history.EntityOperationFailed{TaskID: to.TaskID, Failure: result.Failure})
	default:
		r.tellRequester(to, &history.EntityOperationCompleted{TaskID: to.TaskID, Result: result.Output})
	}
}

// tellRequester delivers an answer, if who asked still lives in the same generation.
func (r *Rehearsal) tellRequester(to *history.Requester, answer history.Event) {
	if i := r.instances[to.InstanceID]; i != nil && i.no == to.No && i.state.gen == to.Gen {
		r.deliver(i, letter{kind: msgResult, gen: to.Gen, task: to.TaskID, events: []history.Event{answer}})
	}
}

// Signal is Engine.SignalEntity. If answered is not nil it is called, from Next, with what the operation returns.
func (r *Rehearsal) Signal(req SignalRequest, answered func(OperationResult)) error {
	if err := r.checks.checkSignal(&req); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	to := req.Entity.String()
	from := &history.Requester{TaskID: -1}
	switch {
	case answered != nil:
		r.made++
		from.Reply = fmt.Sprint("reply-", r.made)
		r.replies[from.Reply] = answered
	case req.Key != "":
		if r.signaled[to+"\x00"+req.Key] {
			return nil
		}
		r.signaled[to+"\x00"+req.Key] = true
	}
	r.send(entityMessage{to, -1, msgEvent, &history.EntityRequest{Operation: req.Operation, Input: req.Input, ScheduledAt: req.At}, -1}, from)
	return nil
}

// Entity returns an entity's state, absent if it has none, and who has it locked.
func (r *Rehearsal) Entity(id EntityID) (history.Payload, *history.EntityLock) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.entities[id.String()]; x != nil {
		return x.state, x.lock
	}
	return history.Payload{}, nil
}
