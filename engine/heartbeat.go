package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

const (
	// tendTasksEvery is how often heartbeats are saved, and how soon a task is told that nobody waits for it.
	tendTasksEvery = time.Second
	// maxBeat is the largest heartbeat, in bytes; and maxBeats, how many bytes of them are saved in one statement.
	maxBeat  = 64 << 10
	maxBeats = 256 << 10
)

// errNotWaited is why the context of a task ends whose result nobody may use any more.
var errNotWaited = fmt.Errorf("nobody waits for this call any more: %w", context.Canceled)

// Beat says that the attempt makes progress. details, at most 64 KB, are kept for the attempt that follows; they are
// saved within a second. Errors: TOO_LARGE.
func (t *Task) Beat(details []byte) error {
	if len(details) > maxBeat {
		return &Error{Code: CodeTooLarge, Field: "details", Message: fmt.Sprintf("a heartbeat has %d bytes, the limit is %d", len(details), maxBeat)}
	}
	if t.rehearsed != nil {
		t.rehearsed.setBeat(details)
		return nil
	}
	a := t.attempt
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beat, a.beatAt, a.unsavedBeat = details, a.n.clock.now(), true
	return nil
}

// LastBeat returns the details of the call's last heartbeat, of this attempt or of one before it, and whether there was
// one. A process that died may have taken those of its last second with it.
func (t *Task) LastBeat(ctx context.Context) ([]byte, bool, error) {
	if t.rehearsed != nil {
		beat, found := t.rehearsed.lastBeat()
		return beat, found, nil
	}
	a := t.attempt
	a.mu.Lock()
	beat, at := a.beat, a.beatAt
	a.mu.Unlock()
	if !at.IsZero() {
		return beat, true, nil
	}
	beat, err := t.e.q.ReadHeartbeat(ctx, t.e.pool, store.ReadHeartbeatParams{No: t.key.no, Gen: t.key.gen, Task: t.key.task})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read heartbeat: %w", err)
	}
	return beat, true, nil
}

// setCommitting says whether a TxHandler's commit is on its way: that the token is gone then tells nothing.
func (a *attempt) setCommitting(now bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committing = now
}

// hasBeaten tells whether the call has had a heartbeat in this process.
func (a *attempt) hasBeaten() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.beatAt.IsZero()
}

// tendTasks saves heartbeats and ends tasks that nobody waits for, once a second.
func (n *Node) tendTasks(ctx context.Context) error {
	tick := time.NewTicker(tendTasksEvery)
	defer tick.Stop()
	tidied := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var all []*attempt
		n.mu.Lock()
		for _, a := range n.attempts {
			all = append(all, a)
		}
		n.mu.Unlock()
		if err := n.saveBeats(ctx, all); err != nil {
			n.warn(ctx, "save heartbeats", err)
		}
		if n.isLeader() && time.Since(tidied) >= tidyEvery {
			tidied = time.Now()
			if err := n.e.q.ForgetHeartbeats(ctx, n.e.pool); err != nil {
				n.warn(ctx, "forget heartbeats", err)
			}
		}
		if err := n.endLost(ctx, all); err != nil {
			n.warn(ctx, "look for lost tasks", err)
		}
	}
}

// saveBeats writes the heartbeats that are not saved yet.
func (n *Node) saveBeats(ctx context.Context, all []*attempt) error {
	for len(all) > 0 {
		var (
			p     store.SaveHeartbeatsParams
			taken []*attempt
			size  int
		)
		for len(all) > 0 && size < maxBeats {
			a := all[0]
			all = all[1:]
			a.mu.Lock()
			if a.unsavedBeat {
				a.unsavedBeat = false
				p.Nos, p.Gens, p.Tasks = append(p.Nos, a.task.key.no), append(p.Gens, a.task.key.gen), append(p.Tasks, a.task.key.task)
				p.Attempts, p.Ats = append(p.Attempts, int16(min(a.task.Attempt, unlimited))), append(p.Ats, a.beatAt)
				p.Details = append(p.Details, a.beat)
				size += len(a.beat)
				taken = append(taken, a)
			}
			a.mu.Unlock()
		}
		if len(taken) == 0 {
			return nil
		}
		if err := n.e.q.SaveHeartbeats(ctx, n.e.pool, p); err != nil {
			for _, a := range taken {
				a.mu.Lock()
				a.unsavedBeat = true // again in a second
				a.mu.Unlock()
			}
			return err
		}
	}
	return nil
}

// saveBeat writes the attempt's heartbeat before another process may make the next attempt.
func (a *attempt) saveBeat() {
	if err := a.n.saveBeats(a.n.ctx, []*attempt{a}); err != nil {
		a.n.warn(a.n.ctx, "save heartbeat", err)
	}
}

// endLost ends the contexts of tasks whose token is gone: their instance has ended, or has gone on without them, or
// their time is over. Tasks with a session hear of it from that.
func (n *Node) endLost(ctx context.Context, all []*attempt) error {
	var (
		ids []int64
		of  = map[int64]*attempt{}
	)
	for _, a := range all {
		a.mu.Lock()
		if a.session == nil && a.token != 0 && !a.committing {
			ids = append(ids, a.token)
			of[a.token] = a
		}
		a.mu.Unlock()
	}
	if len(ids) == 0 {
		return nil
	}
	lost, err := n.e.q.LostTokens(ctx, n.e.pool, ids)
	if err != nil {
		return err
	}
	for _, id := range lost {
		a := of[id]
		a.mu.Lock()
		over := a.token == id && !a.committing
		a.mu.Unlock()
		if over {
			a.cancel(errNotWaited)
		}
	}
	return nil
}

// Heartbeat is the last sign of progress of a call that has not ended.
type Heartbeat struct {
	Task    int32
	Attempt int
	At      time.Time
	Details []byte
}

// Heartbeats lists the last heartbeats of the instance's calls, by task.
func (e *Engine) Heartbeats(ctx context.Context, i *Instance) ([]Heartbeat, error) {
	rows, err := e.q.ListHeartbeats(ctx, e.pool, store.ListHeartbeatsParams{No: i.no, Gen: int32(i.Generation)})
	if err != nil {
		return nil, fmt.Errorf("read heartbeats: %w", err)
	}
	out := make([]Heartbeat, len(rows))
	for k, r := range rows {
		out[k] = Heartbeat{Task: r.Task, Attempt: int(r.Attempt), At: r.At, Details: r.Details}
	}
	return out, nil
}
