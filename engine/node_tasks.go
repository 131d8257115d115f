package engine

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
)

// newAttempt makes the entry of a task that this process is to run.
func (n *Node) newAttempt(s *session, key taskKey, t *history.TaskScheduled, retry *history.Retry, tx bool, token int64) *attempt {
	a := &attempt{
		n: n, session: s, retry: retry, tx: tx, token: token, limited: t.Limit != "",
		task: Task{
			Hub: s.info.Hub, InstanceID: s.info.InstanceID, ID: t.ID, Name: t.Name, Version: t.Version, Input: t.Input, Attempt: 1,
			Timeout: time.Duration(t.Timeout), Heartbeat: time.Duration(t.Heartbeat), key: key, e: n.e, node: n, trace: s.row.Trace,
		},
		startBy: startBy(t), endBy: endBy(t),
	}
	a.task.attempt = a
	if t.Step {
		// Looked up here, on the session's goroutine: only it may touch the code.
		if a.task.Step = s.code.Step(t.ID); a.task.Step == nil {
			a.task.Step = func(context.Context) Result { return Result{Gone: true} }
		}
	}
	a.ctx, a.cancel = context.WithCancelCause(n.ctx)
	n.mu.Lock()
	n.attempts[key] = a
	n.mu.Unlock()
	return a
}

// forget removes a task of this process from the books.
func (n *Node) forget(a *attempt) {
	a.cancel(errNotWaited)
	n.mu.Lock()
	if n.attempts[a.task.key] == a {
		delete(n.attempts, a.task.key)
	}
	n.mu.Unlock()
}

// abandon stops a task whose result nobody here may use any more.
func (n *Node) abandon(a *attempt) {
	a.mu.Lock()
	a.session = nil
	launched := !a.queuedAt.IsZero()
	entry := a.entry
	a.mu.Unlock()
	if !launched {
		n.slots.cancel()
	} else if entry != nil {
		n.slots.steal(entry)
	}
	n.forget(a)
}

// running tells whether this process runs the task.
func (n *Node) running(key taskKey) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attempts[key] != nil
}

// delivered follows a TxHandler's commit: its result is in the inbox.
func (n *Node) delivered(a *attempt) {
	n.forget(a)
	if a.limited {
		n.freeLater(a.task.key)
	}
	a.mu.Lock()
	s := a.session
	a.session = nil
	a.mu.Unlock()
	if s != nil {
		s.post(func(m *mail) { m.settled = append(m.settled, a); m.wake = true })
	}
}

// finishTask delivers an outcome by the task's token.
func (n *Node) finishTask(a *attempt, answer history.Event) {
	n.forget(a)
	n.submitToken(a.row(), a.task.key, a.limited, answer, func(o outcome) {
		if o.err != nil && n.ctx.Err() == nil {
			n.log.Warn("deliver result", logkey.Instance, a.task.InstanceID, logkey.Activity, a.task.Name, logkey.Err, o.err)
		}
	})
	a.mu.Lock()
	s := a.session
	a.session = nil
	a.mu.Unlock()
	if s != nil {
		s.post(func(m *mail) { m.settled = append(m.settled, a); m.wake = true })
	}
}

func (n *Node) submitToken(token int64, key taskKey, limited bool, answer history.Event, done func(outcome)) {
	events := []history.Event{answer}
	large, err := n.e.externalize(n.ctx, key.no, events)
	if err != nil {
		done(outcome{err: err})
		return
	}
	payload, err := history.Encode(events)
	if err != nil {
		done(outcome{err: err})
		return
	}
	u := &unit{
		no: key.no, large: large, tokens: []tokenResult{{token, key, payload}},
		done: func(_ *unit, o outcome) { done(o) },
	}
	if limited {
		u.freed = []taskKey{key}
	}
	n.lane.submit(u)
}

// parkTask puts a task with a token aside until its next attempt.
func (n *Node) parkTask(a *attempt) {
	n.forget(a)
	a.mu.Lock()
	s, until, why := a.session, a.parkUntil, a.parkErr
	a.session = nil
	a.mu.Unlock()
	n.submitPark(a.row(), a.task.key, a.limited, until, why, func(o outcome) {
		if o.err != nil && n.ctx.Err() == nil {
			n.log.Warn("park task", logkey.Instance, a.task.InstanceID, logkey.Activity, a.task.Name, logkey.Err, o.err)
		}
	})
	if s != nil {
		s.post(func(m *mail) { m.settled = append(m.settled, a) })
	}
}

func (n *Node) submitPark(token int64, key taskKey, limited bool, until time.Time, why []byte, done func(outcome)) {
	fresh, err := n.e.jobIDs.one(n.ctx)
	if err != nil {
		done(outcome{err: err})
		return
	}
	u := &unit{
		no: key.no, parks: []parkedTask{{token: token, fresh: fresh, key: key, fireAt: until, err: why}},
		done: func(_ *unit, o outcome) {
			if o.err == nil && o.parked {
				n.timers.hold([]newTimer{{timerKey: timerKey{key, timerRetry}, fireAt: until, holder: n.no}})
			}
			done(o)
		},
	}
	if limited {
		u.freed = []taskKey{key}
	}
	n.lane.submit(u)
}
