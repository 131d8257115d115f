package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-dev/weir/engine/history"
)

// turn runs a turn of an instance, as session.turn does: letters in, decisions out, effects.
func (r *Rehearsal) turn(ctx context.Context, i *rehearsed) error {
	r.mu.Lock()
	if !i.instance.Status.Live() {
		r.mu.Unlock()
		return nil
	}
	letters := slices.Clone(i.letters[:min(len(i.letters), maxLetters)])
	i.letters = slices.Delete(i.letters, 0, len(letters))
	r.returnLocks(i, letters)
	arrived := i.state.admit(r.now, letters)
	if arrived == nil {
		r.wake(i)
		r.mu.Unlock()
		return nil
	}
	i.turning = true
	r.mu.Unlock()
	p, err := r.decide(ctx, i, arrived)
	r.mu.Lock()
	defer r.mu.Unlock()
	i.turning = false
	if !i.instance.Status.Live() { // ended from outside meanwhile: what the code decided is void
		i.unwind()
		return nil
	}
	if err == nil {
		err = r.apply(i, p)
	}
	var held *Held
	switch {
	case errors.As(err, &held):
		i.instance.Held = held
		i.unwind()
		return nil
	case errors.Is(err, ErrNoHandler):
		return fmt.Errorf("instance %q: orchestration %q%s has no handler", i.info.InstanceID, i.info.Name, ofVersion(i.info.Version))
	case err != nil:
		return fmt.Errorf("instance %q: %w", i.info.InstanceID, err)
	}
	r.wake(i)
	return nil
}

func ofVersion(v string) string {
	if v == "" {
		return ""
	}
	return fmt.Sprintf(", version %q,", v)
}

// decide lets the code run, without the lock, and says what it means. Then it opens the code anew on the history: what a
// worker that has never seen this instance would do.
func (r *Rehearsal) decide(ctx context.Context, i *rehearsed, arrived []history.Event) (*plan, error) {
	var err error
	if i.code == nil {
		if i.code, err = r.cfg.Executor.Open(ctx, i.info, i.past); err != nil {
			return nil, err
		}
	}
	decided, err := i.code.Turn(ctx, arrived)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	p, err := i.state.decide(arrived, decided, r.limits)
	if err == nil {
		p.events, err = stored(p.events)
	}
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	past := slices.Concat(i.past, p.events)
	check := len(past) >= i.checkAt
	for _, waits := range i.state.pending {
		check = check && (waits.task == nil || !waits.task.Step) // the function of a step uses what its code holds
	}
	if p.end != nil && !slices.Contains(decided.Decisions, history.Event(p.end)) {
		check = false // the end is not the code's own
	}
	r.mu.Unlock()
	if !check {
		return p, nil
	}
	if i.checkAt = len(past) + 1; len(past) > alwaysChecked {
		i.checkAt = 2 * len(past)
	}
	i.unwind()
	i.code, err = r.cfg.Executor.Open(ctx, i.info, past)
	return p, err
}

// stored returns events in the form in which they come out of a database.
func stored(events []history.Event) ([]history.Event, error) {
	data, err := history.Encode(events)
	if err != nil {
		return nil, err
	}
	return history.Decode(history.JSON, data)
}

func (i *rehearsed) unwind() {
	if i.code != nil {
		i.code.Close()
		i.code = nil
	}
}

// apply carries a plan out, in the order in which a batch does.
func (r *Rehearsal) apply(i *rehearsed, p *plan) error {
	i.record(p.events)
	i.instance.Status, i.instance.UpdatedAt = history.Running, r.now
	if i.instance.StartedAt == nil {
		at := r.now
		i.instance.StartedAt = &at
	}
	if p.status != nil {
		i.instance.CustomStatus = p.status
		if len(p.status) == 0 {
			i.instance.CustomStatus = nil
		}
	}
	r.said(i, p.progress)
	for _, c := range p.cancels {
		r.cancel(i, c)
	}
	for id := range i.tasks {
		if i.state.pending[id] == nil { // answered
			delete(i.tasks, id)
		}
	}
	for _, c := range p.children {
		r.startChild(i, c)
	}
	for _, refused := range p.refused {
		r.deliver(i, letter{kind: msgResult, gen: i.state.gen, task: refused.id, events: []history.Event{refused.answer(r.now)}})
	}
	for _, s := range p.sends {
		if to := r.instances[s.InstanceID]; to != nil { // what is sent to nobody is dropped
			r.deliver(to, letter{events: []history.Event{&history.EventRaised{Header: s.Header, Name: s.Name, Input: s.Input}}})
		}
	}
	for _, m := range p.requests {
		r.send(m, i.requesterOf(m.task))
	}
	switch {
	case p.end == nil:
	case p.end.Status == history.ContinuedAsNew:
		r.continueAsNew(i, p.end)
		return nil
	default:
		r.ended(i, p.end.Status, p.end.Result, p.end.Failure)
		r.tell(i.parent, func(task int32) history.Event { return childOutcome(task, p.end) })
		return nil
	}
	for _, t := range p.timers {
		r.setTimer(i, t)
	}
	for _, t := range p.tasks {
		if err := r.dispatch(i, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rehearsal) startChild(i *rehearsed, c *history.SubOrchestrationInstanceCreated) {
	if taken := r.instances[c.InstanceID]; taken != nil && taken.instance.Status.Live() {
		r.deliver(i, letter{kind: msgResult, gen: i.state.gen, task: c.ID, events: []history.Event{childRefused(c.ID, c.InstanceID, r.now)}})
		return
	}
	r.start(&StartRequest{Name: c.Name, ID: c.InstanceID, Version: c.Version, Input: c.Input, Tags: c.Tags}, parentOf{i, i.state.gen, c.ID})
}

// cancel stops what the code has given up.
func (r *Rehearsal) cancel(i *rehearsed, c canceledTask) {
	if t := i.tasks[c.id]; t != nil {
		t.abandon()
		delete(i.tasks, c.id)
	}
	if e := i.timers[c.id]; e != nil {
		e.fn = nil
		delete(i.timers, c.id)
	}
	if c.was.child == nil {
		return
	}
	if child := r.instances[c.was.child.InstanceID]; child != nil && child.parent == (parentOf{i, i.state.gen, c.id}) {
		r.deliver(child, letter{kind: msgCancel, events: []history.Event{&history.ExecutionCancelRequested{
			Header: history.Header{At: i.state.lastTurn}, Reason: givenUp, By: i.info.InstanceID,
		}}})
	}
}

func (r *Rehearsal) setTimer(i *rehearsed, t *history.TimerCreated) {
	gen := i.state.gen
	i.timers[t.ID] = r.schedule(t.FireAt, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(i.timers, t.ID)
		r.deliver(i, letter{kind: msgTimer, gen: gen, task: t.ID})
	})
}

// continueAsNew begins the next generation.
func (r *Rehearsal) continueAsNew(i *rehearsed, end *history.ExecutionCompleted) {
	i.drop()
	i.unwind()
	before := i.state
	i.state = newState(i.state.gen + 1)
	i.info.Generation, i.info.ExecutionID = int(i.state.gen), executionID(i.no, i.state.gen)
	i.info.Version = cmp.Or(end.NewVersion, i.info.Version)
	i.before, i.past, i.checkAt = i.past, nil, 0
	i.instance.Generation, i.instance.ExecutionID, i.instance.Version = i.info.Generation, i.info.ExecutionID, i.info.Version
	i.instance.FirstSeq = i.instance.Seq + 1
	r.deliver(i, letter{kind: msgStart, gen: i.state.gen, events: opening(i.info, end, before)})
}

// ended notes the end of an instance.
func (r *Rehearsal) ended(i *rehearsed, status history.Status, output history.Payload, why *history.Failure) {
	at := r.now
	i.instance.Status, i.instance.CompletedAt, i.instance.UpdatedAt = status, &at, at
	i.instance.Failure, i.instance.Held = why, nil
	i.output, i.letters = output, nil
	r.unlockAll(i)
	i.drop()
	if !i.turning {
		i.unwind()
	}
}

// drop takes back what a generation had under way.
func (i *rehearsed) drop() {
	for _, t := range i.tasks {
		t.abandon()
	}
	for _, e := range i.timers {
		e.fn = nil
	}
	clear(i.tasks)
	clear(i.timers)
}
