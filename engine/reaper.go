package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

const (
	// silentAfter is how long a node may go without a heartbeat before others end its connections: it is hung,
	// stopped, or cut off from the database.
	silentAfter = 15 * time.Second
	// sweepQuick is how often orphaned rows are looked for after a death, because a fenced process may fetch
	// once more; sweepSlow is how often otherwise.
	sweepQuick = 500 * time.Millisecond
	sweepSlow  = 5 * time.Second
	quickFor   = 30 * time.Second
	tidyEvery  = time.Minute
)

// probe asks, on the lock connection, which other nodes are dead, and hands them to reap. It is a statement of
// its own transaction: a session-level lock taken by a prober that is then stopped would stop all the others.
func (n *Node) probe(ctx context.Context) error {
	dead, err := n.e.q.FindDeadWorkers(ctx, n.conn, n.no)
	if err != nil {
		return err
	}
	for _, no := range dead {
		select {
		case n.deaths <- no:
		default: // the next probe finds it again
		}
	}
	return nil
}

// lookAround finds nodes that hold their lock and do nothing, and sees whether the place of the leader is free.
func (n *Node) lookAround(ctx context.Context) error {
	silent, err := n.e.q.FindSilentWorkers(ctx, n.conn, store.FindSilentWorkersParams{Me: n.no, Seconds: silentAfter.Seconds()})
	if err != nil {
		return err
	}
	for _, w := range silent {
		n.log.WarnContext(ctx, "a worker is silent, its connections are ended", logkey.OtherWorker, w.No)
		for _, b := range n.backendsOf(ctx, w.No) {
			if err := store.TerminateBackend(ctx, n.conn, b.Pid, b.BackendStart); err != nil {
				return err
			}
		}
		if err := store.TerminateBackend(ctx, n.conn, w.LockPid, w.LockBackendStart); err != nil {
			return err
		}
	}
	leader := n.isLeader()
	if !leader {
		if leader, err = n.lead(ctx); err != nil {
			return err
		}
	}
	n.mu.Lock()
	n.leader = leader
	n.mu.Unlock()
	return nil
}

// lead takes the lock of the one node that reads timers ahead and tidies up. It is held as long as the lock
// connection.
func (n *Node) lead(ctx context.Context) (bool, error) {
	var got bool
	err := n.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtext(current_schema() || '.leader'), 0)").Scan(&got)
	return got, err
}

func (n *Node) isLeader() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leader
}

func (n *Node) backendsOf(ctx context.Context, no int32) []store.ListLaneBackendsRow {
	rows, err := n.e.q.ListLaneBackends(ctx, n.conn, no)
	if err != nil {
		return nil
	}
	return rows
}

// reap fences the dead and gives away what they held.
func (n *Node) reap(ctx context.Context) error {
	tick := time.NewTicker(sweepQuick)
	defer tick.Stop()
	var lastSweep, lastTidy time.Time
	for {
		var dead int32
		select {
		case <-ctx.Done():
			return ctx.Err()
		case dead = <-n.deaths:
		case <-tick.C:
		}
		if dead != 0 && !n.bury(ctx, dead) {
			continue
		}
		every := sweepSlow
		if time.Since(n.lastFence) < quickFor || n.suspects.waiting {
			every = sweepQuick
		}
		if dead != 0 || time.Since(lastSweep) >= every {
			lastSweep = time.Now()
			n.gather(ctx)
		}
		if n.isLeader() && time.Since(lastTidy) >= tidyEvery {
			lastTidy = time.Now()
			if err := n.tidy(ctx); err != nil {
				n.warn(ctx, "tidy up", err)
			}
		}
	}
}

// bury fences a dead node and has the feed's watchers read anew what it had committed and not told of; false if it
// could not.
func (n *Node) bury(ctx context.Context, dead int32) bool {
	fenced, err := n.fenceDead(ctx, dead)
	if err != nil {
		n.warn(ctx, "fence dead worker", err)
		return false
	}
	if fenced {
		n.log.InfoContext(ctx, "fenced a dead worker", logkey.OtherWorker, dead)
		n.lastFence = time.Now()
		poke(n.operationsNoted) // it may have run some
		if n.watched(ctx, nil) == watchEverything {
			n.e.herald.resync()
		}
	}
	return true
}

// gather gives away what the dead held, and what is in nobody's hands.
func (n *Node) gather(ctx context.Context) {
	if err := n.sweep(ctx); err != nil {
		n.warn(ctx, "sweep orphaned jobs", err)
	}
	if err := n.HarvestNative(ctx); err != nil {
		n.warn(ctx, "harvest river jobs", err)
	}
	if err := n.replaceCancelled(ctx); err != nil {
		n.warn(ctx, "replace cancelled turn jobs", err)
	}
	if !n.isLeader() {
		return
	}
	if err := n.giveOut(ctx); err != nil {
		n.warn(ctx, "give out suspects", err)
	}
	if err := n.e.limiter.sweep(ctx); err != nil {
		n.warn(ctx, "sweep limits", err)
	}
	if _, err := n.e.releaseOrphans(ctx); err != nil {
		n.warn(ctx, "release orphan locks", err)
	}
}

func (n *Node) warn(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		n.log.WarnContext(ctx, what, logkey.Err, err)
	}
}

// fenceDead makes it impossible, in one transaction, for a dead node to commit anything more. Bumping its
// lanes waits for a batch still in flight; if that does not end, its backend is ended.
func (n *Node) fenceDead(ctx context.Context, no int32) (bool, error) {
	q, fenced := n.e.q, false
	run := func() error {
		return pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '300ms'"); err != nil {
				return err
			}
			_, err := q.FenceWorker(ctx, tx, no)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // somebody else did, or it lives after all
			}
			if err != nil {
				return err
			}
			if err := q.FenceLanes(ctx, tx, no); err != nil {
				return err
			}
			fenced = true
			return q.MarkWorker(ctx, tx, store.MarkWorkerParams{State: 1, No: no})
		})
	}
	err := run()
	if err == nil || !store.IsLockWait(err) {
		return fenced, err
	}
	conn, err := n.e.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	rows, err := q.ListLaneBackends(ctx, conn, no)
	for _, b := range rows {
		err = errors.Join(err, store.TerminateBackend(ctx, conn.Conn(), b.Pid, b.BackendStart))
	}
	conn.Release()
	if err != nil {
		return false, err
	}
	return fenced, run()
}

// sweep gives away the River rows that run in the name of nodes that do not live: each is deleted and replaced
// by a row with a new id, so that nothing the dead still do by id can touch it.
func (n *Node) sweep(ctx context.Context) error {
	q := n.e.q
	switch ended, err := store.EndHandlers(ctx, n.e.pool); {
	case err != nil:
		return err
	case ended > 0:
		n.log.InfoContext(ctx, "ended transactions of dead workers", logkey.Count, ended)
	}
	for {
		orphans, err := q.FindOrphans(ctx, n.e.pool)
		if err != nil {
			return err
		}
		if len(orphans) == 0 {
			return nil
		}
		var ids, nos []int64
		for _, o := range orphans {
			ids, nos = append(ids, o.ID), append(nos, o.No, o.TaskNo)
		}
		moved := 0
		err = pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
			if err := q.LockOrphanInstances(ctx, tx, nos); err != nil {
				return err
			}
			moved, err = n.replaceRows(ctx, tx, "", ids, nos)
			return err
		})
		if err != nil {
			return err
		}
		n.metrics.orphans.Add(moved)
		if moved > 0 {
			n.log.InfoContext(ctx, "took over orphaned jobs", logkey.Count, moved)
		}
		if len(orphans) < 500 {
			return nil
		}
	}
}

// replaceRows deletes rows that run in the name of a dead node, or of the client, and puts others in their place. It
// returns how many. The caller has locked their instances. Activities go first: where one was in hand together with its
// instance's turn, it is to blame for the death.
func (n *Node) replaceRows(ctx context.Context, tx pgx.Tx, client string, ids, nos []int64) (int, error) {
	q := n.e.q
	tested, err := q.AnyTested(ctx, tx, store.AnyTestedParams{Ids: ids, Nos: nos})
	if err != nil {
		return 0, fmt.Errorf("suspects: %w", err)
	}
	tasks, err := q.SweepTasks(ctx, tx, store.SweepTasksParams{Ids: ids, Client: client, Tested: tested})
	if err != nil {
		return 0, fmt.Errorf("tasks: %w", err)
	}
	var queues []string
	blamed := make([]int64, len(tasks))
	for i, t := range tasks {
		queues, blamed[i] = append(queues, t.Queue), t.No
		if t.Rests {
			n.suspect(ctx, "activity "+t.Kind, t.Instance, t.Deaths, t.Held)
		}
	}
	turns, err := q.SweepTurns(ctx, tx, store.SweepTurnsParams{Ids: ids, Nos: nos, Client: client, Tested: tested, Blamed: blamed})
	if err != nil {
		return 0, fmt.Errorf("turns: %w", err)
	}
	for _, t := range turns {
		queues = append(queues, t.Queue)
		if t.Rests {
			n.suspect(ctx, "turn", t.ID, t.Deaths, t.Held)
		}
	}
	system, err := q.SweepSystem(ctx, tx, store.SweepSystemParams{Ids: ids, Client: client})
	if err != nil {
		return 0, fmt.Errorf("deliveries: %w", err)
	}
	queues = append(queues, system...)
	return len(queues), q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: n.e.db.RiverChannel(), Queues: queues})
}

// tidy removes what is left of processes long gone.
func (n *Node) tidy(ctx context.Context) error {
	q, pool := n.e.q, n.e.pool
	return errors.Join(q.ForgetWorkers(ctx, pool), q.ForgetLanes(ctx, pool), q.ForgetPayloads(ctx, pool), q.ForgetVersions(ctx, pool),
		q.ForgetDeaths(ctx, pool), n.forgetSchedules(ctx), n.tidyEntities(ctx), q.ForgetBuckets(ctx, pool), q.ForgetLimitCalls(ctx, pool),
		q.ForgetOperations(ctx, pool, finishedFor.Seconds()))
}
