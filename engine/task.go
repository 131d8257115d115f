package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// TaskJob is an activity that River has handed to this process.
type TaskJob struct {
	ID      int64
	Key     []byte // the row's unique key
	Name    string
	Version string
	Attempt int
	Args    TaskArgs
	// Errors are the failed attempts that the row remembers, as far as River's library reads them.
	Errors []TaskError
}

// TaskError is a failed attempt that the row remembers, with what every River program knows of it.
type TaskError struct {
	At      time.Time
	Attempt int
	Message string
}

// RunTask runs an activity that came through River and delivers its outcome by the row, which is its token. It
// reports whether the row is dealt with; if not, the job has to become available again.
func (n *Node) RunTask(ctx context.Context, j TaskJob) (done bool, err error) {
	key, ok := parseTaskKey(j.Key)
	if !ok {
		return false, fmt.Errorf("job %d has no task key", j.ID)
	}
	defer n.hand(j.ID)()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(nil) })()

	input := j.Args.payload()
	if id, elsewhere := input.Stored(); elsewhere {
		if input, err = n.e.value(ctx, nil, &id); err != nil {
			return false, err
		}
	}
	if err := n.slots.acquire(ctx); err != nil {
		return false, nil // the process stops: the job goes back
	}
	kind, retry := n.exec.Activity(j.Name, j.Version)
	if j.Args.Retry != nil {
		retry = j.Args.Retry
	}
	a := &attempt{
		n: n, retry: retry, tx: kind == TxActivity, token: j.ID, ctx: ctx, cancel: cancel, endBy: j.Args.EndBy, limited: j.Args.Limit != "",
		task: Task{
			InstanceID: j.Args.Instance, ID: key.task, Name: j.Name, Version: j.Version, Input: input, Attempt: max(j.Attempt, 1),
			Timeout: time.Duration(j.Args.Timeout), Heartbeat: time.Duration(j.Args.Heartbeat), key: key, e: n.e, node: n, trace: j.Args.Trace,
		},
	}
	if n.hub != nil {
		a.task.Hub = n.hub.Name
	}
	a.task.attempt = a
	for _, e := range n.failures(ctx, j) {
		if a.firstAt.IsZero() || e.StartedAt.Before(a.firstAt) {
			a.firstAt = e.StartedAt
		}
		a.earlier = append(a.earlier, e)
	}
	a.earlier = a.earlier[max(0, len(a.earlier)-maxEarlier):]
	n.mu.Lock()
	n.attempts[key] = a
	n.mu.Unlock()
	defer n.forget(a)
	done, slot := a.runHere(ctx)
	if slot {
		n.slots.finish(false)
	}
	return done, nil
}

// failures are the failed attempts that the job's row remembers. River's library drops what of them is ours, so
// they are read again; without that, they have no length and no type.
func (n *Node) failures(ctx context.Context, j TaskJob) []history.Attempt {
	if len(j.Errors) == 0 {
		return nil
	}
	rows, err := n.e.q.ReadTaskErrors(ctx, n.e.pool, j.ID)
	if err != nil || len(rows) < len(j.Errors) { // if the row is gone, so is the right to deliver
		out := make([]history.Attempt, len(j.Errors))
		for i, e := range j.Errors {
			out[i] = history.Attempt{N: e.Attempt, StartedAt: e.At, EndedAt: e.At, Message: e.Message}
		}
		return out
	}
	out := make([]history.Attempt, 0, len(rows))
	for _, row := range rows {
		var e riverError
		if json.Unmarshal(row, &e) != nil {
			continue // written by none of us: a failure less to show
		}
		if e.EndedAt.IsZero() { // written by River itself, which knows only when it ended
			e.EndedAt = e.At
		}
		out = append(out, history.Attempt{N: e.Attempt, StartedAt: e.At, EndedAt: e.EndedAt, Type: e.Type, Message: e.Error})
	}
	return out
}

// runHere makes attempts on the caller's goroutine, in a slot of the caller's, until the row is dealt with or ctx ends.
// slot tells whether the slot is still the caller's: code that outlives its attempt keeps it.
func (a *attempt) runHere(ctx context.Context) (done, slot bool) {
	slot = true
	for {
		if !slot {
			if a.n.slots.acquire(ctx) != nil {
				return false, false
			}
			slot = true
		}
		r := a.tryOnce(ctx)
		if r.Running != nil {
			a.n.slots.finishAfter(r.Running, false)
			slot = false
		}
		if ctx.Err() != nil && !r.Delivered {
			if errors.Is(context.Cause(ctx), errNotWaited) {
				return true, slot // its row is gone
			}
			return false, slot // the process stops; the attempt does not count
		}
		now := a.n.clock.now()
		wait, again := time.Duration(0), false
		if r.Failure != nil {
			wait, again = a.next(r.Failure, now)
		}
		if again {
			a.failedOnce(r.Failure, now)
		}
		switch {
		case r.Gone, r.Delivered:
			if a.limited {
				a.n.freeLater(a.task.key)
			}
			a.n.wake([]int64{a.task.key.no}) // no one is notified of what this process itself delivers
			return true, slot
		case again && wait < shortRetry:
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return false, slot
			}
			continue
		}
		answer := make(chan outcome, 1)
		if again {
			a.saveBeat()
			a.n.submitPark(a.token, a.task.key, a.limited, now.Add(wait), encodeErrors(a.unsaved), func(o outcome) { answer <- o })
		} else {
			a.n.submitToken(a.token, a.task.key, a.limited, a.outcome(r, now), func(o outcome) { answer <- o })
		}
		o := <-answer
		return o.err == nil, slot // if not, it is snoozed and tried again
	}
}

// tryOnce makes an attempt, unless the call's time is over.
func (a *attempt) tryOnce(ctx context.Context) Result {
	if why := a.late(a.n.clock.now()); why != nil {
		return Result{Failure: why}
	}
	task := a.begin()
	began := time.Now()
	r := a.n.exec.Run(task.traced(ctx), &task)
	a.n.metrics.ran(task.Name, time.Since(began), r.Failure != nil)
	return r
}

// announceAfter is how long after a job was given back its queue is told of it: River announces nothing then,
// and would poll seconds later.
const announceAfter = 300 * time.Millisecond

// AnnounceLater tells the queue's producers that a job was given back.
func (n *Node) AnnounceLater(queue string) {
	time.AfterFunc(announceAfter, func() {
		ctx, cancel := context.WithTimeout(n.e.ctx, 5*time.Second)
		defer cancel()
		err := n.e.q.NotifyQueues(ctx, n.e.pool, store.NotifyQueuesParams{RiverChannel: n.e.db.RiverChannel(), Queues: []string{queue}})
		if err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "announce job", logkey.Queue, queue, logkey.Err, err)
		}
	})
}

// RetryHeld makes the held turns of these kinds available at once: a worker with other code has come.
func (n *Node) RetryHeld(ctx context.Context, kinds []string) error {
	if n.hub == nil || len(kinds) == 0 {
		return nil
	}
	queue := TurnQueue(n.hub.no)
	if _, err := n.e.q.RetryHeldTurns(ctx, n.e.pool, store.RetryHeldTurnsParams{Queue: queue, Kinds: kinds}); err != nil {
		return fmt.Errorf("retry held turns: %w", err)
	}
	return n.e.q.NotifyQueues(ctx, n.e.pool, store.NotifyQueuesParams{RiverChannel: n.e.db.RiverChannel(), Queues: []string{queue}})
}

// harvestWithin is how far back finalized jobs are looked for: every sweep looks, so most are seconds old.
const harvestWithin = 10 * time.Minute

// HarvestNative delivers the outcomes of plain River jobs that serve as activities. River runs and finalizes
// them by its own rules; their finalized row is the token.
//
// Recent ones are looked at; all of them at first, and every hour by the leader, in case nobody looked for a while.
func (n *Node) HarvestNative(ctx context.Context) error {
	within := harvestWithin
	n.mu.Lock()
	all := n.harvested.IsZero() || n.leader && time.Since(n.harvested) > time.Hour
	n.mu.Unlock()
	if all {
		within = 100 * 365 * 24 * time.Hour
	}
	rows, err := n.e.q.FindFinalized(ctx, n.e.pool, within.Seconds())
	if err != nil {
		return err
	}
	if all {
		n.mu.Lock()
		n.harvested = time.Now()
		n.mu.Unlock()
	}
	for _, row := range rows {
		key, ok := parseTaskKey(row.UniqueKey)
		if !ok {
			continue
		}
		n.submitToken(row.ID, key, row.Bounded, nativeOutcome(key.task, row, n.clock.now()), func(o outcome) {
			if o.err != nil && n.ctx.Err() == nil {
				n.log.Warn("deliver result of a river job", logkey.Job, row.ID, logkey.Err, o.err)
			}
		})
	}
	return nil
}

// nativeOutcome reads what River recorded.
func nativeOutcome(task int32, row store.FindFinalizedRow, now time.Time) history.Event {
	run := history.Run{Attempts: int(row.Attempt), Worker: row.Client}
	if row.AttemptedAt != nil {
		run.StartedAt = *row.AttemptedAt
	}
	at := history.Header{At: now}
	if row.FinalizedAt != nil {
		at.At = row.FinalizedAt.UTC()
	}
	if row.State == "completed" {
		var meta struct {
			Output json.RawMessage `json:"output"`
		}
		_ = json.Unmarshal(row.Metadata, &meta) // no output recorded: an absent result
		done := &history.TaskCompleted{Header: at, TaskID: task, Run: run}
		if meta.Output != nil {
			done.Result = history.Bytes(meta.Output)
		}
		return done
	}
	why := &history.Failure{Type: "river_job_" + row.State, Message: "the River job was " + row.State, NonRetriable: true}
	if len(row.Errors) > 0 {
		var last riverError
		if json.Unmarshal(row.Errors[len(row.Errors)-1], &last) == nil && last.Error != "" {
			why.Type, why.Message, why.Stack = "error", last.Error, last.Trace
		}
	}
	return &history.TaskFailed{Header: at, TaskID: task, Failure: why, Run: run}
}
