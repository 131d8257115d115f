package engine

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

const (
	// auditEvery is how often a node looks at its own rows, and the leader at the next stretch of instances.
	auditEvery = 10 * time.Second
	// auditAge is how long an instance has been let alone before the audit looks at it.
	auditAge = time.Minute
	// auditChunk is how many instances the leader looks at in a round, and auditHub how many a hub counts for that
	// has fewer.
	auditChunk = 1000
	auditHub   = 20
	// auditNamed is how many instances or jobs a log line names.
	auditNamed = 10
)

// auditor is the net under the commit protocol: what it finds is somebody else's doing (an operator's, with River's
// tools or SQL), an answer that was lost, or a bug. It belongs to one goroutine.
type auditor struct {
	n *Node
	// How far the leader has come among the live instances, in the order of the index instances_outcome.
	hub int32
	at  time.Time
	no  int64
	// suspects are rows that ran in this node's name in the last round without the node knowing of it. The time
	// of the attempt tells one execution from the next.
	suspects map[int64]time.Time
}

// audit runs until ctx ends.
func (n *Node) audit(ctx context.Context) error {
	a := &auditor{n: n}
	tick := time.NewTicker(n.cfg.AuditEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := a.ownRows(ctx); err != nil {
			n.warn(ctx, "audit the rows that run here", err)
		}
		if n.isLeader() {
			if err := a.walk(ctx); err != nil {
				n.warn(ctx, "audit instances", err)
			}
		}
	}
}

// repaired counts and tells what was found: instances by id, or jobs by number.
func repaired[T any](ctx context.Context, n *Node, what string, found []T) {
	if len(found) == 0 {
		return
	}
	n.metrics.auditRepairs.Add(len(found))
	n.log.WarnContext(ctx, "audit: "+what, logkey.Count, len(found), logkey.First, found[:min(len(found), auditNamed)])
}

// walk looks at the next stretch of live instances, over as many hubs as it takes, and at each at most once.
func (a *auditor) walk(ctx context.Context) error {
	q, pool := a.n.e.q, a.n.e.pool
	for left := auditChunk; left > 0; {
		if a.hub == 0 {
			if err := a.nextHub(ctx); err != nil || a.hub == 0 {
				return err
			}
		}
		rows, err := q.AuditInstances(ctx, pool, store.AuditInstancesParams{
			Age: a.n.cfg.AuditAge.Seconds(), Hub: a.hub, AfterAt: a.at, AfterNo: a.no, Chunk: int32(left),
		})
		if err != nil {
			return err
		}
		var jobs, turns, waits, seqs []int64
		seen := 0
		for _, row := range rows {
			seen = max(seen, int(row.Ord))
			a.at, a.no = row.CreatedAt, row.No
			switch row.Found {
			case 1:
				turns, jobs = append(turns, row.No), append(jobs, row.TurnJob)
			case 2:
				waits, seqs = append(waits, row.No), append(seqs, row.Seq)
			}
		}
		if err := a.n.replaceLostTurns(ctx, turns, jobs); err != nil {
			return err
		}
		if err := a.n.wakeForTasks(ctx, waits, seqs); err != nil {
			return err
		}
		if seen >= left {
			return nil
		}
		if err := a.nextHub(ctx); err != nil || a.hub == 0 {
			return err
		}
		left -= max(seen, auditHub)
	}
	return nil
}

// nextHub goes to the first instance of the next hub; behind the last there is none, and the walk begins anew.
func (a *auditor) nextHub(ctx context.Context) (err error) {
	a.at, a.no = time.Time{}, 0
	a.hub, err = a.n.e.q.NextHub(ctx, a.n.e.pool, a.hub)
	return err
}

// replaceCancelled gives new turn jobs to instances whose turn job somebody has cancelled, soon after that.
func (n *Node) replaceCancelled(ctx context.Context) error {
	rows, err := n.e.q.FindFinalizedTurns(ctx, n.e.pool)
	if err != nil {
		return err
	}
	var nos, ids []int64
	for _, row := range rows {
		nos, ids = append(nos, row.No), append(ids, row.ID)
	}
	return n.replaceLostTurns(ctx, nos, ids)
}

// replaceLostTurns replaces the turn jobs of live instances that are finalized, or gone: nobody would ever work them,
// and no message make another one. Finalized ones that no instance names are deleted.
func (n *Node) replaceLostTurns(ctx context.Context, nos, ids []int64) error {
	if len(nos) == 0 {
		return nil
	}
	q := n.e.q
	var (
		moved []store.ReplaceLostTurnsRow
		gone  []int64
	)
	err := pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
		free, err := q.LockFreeInstances(ctx, tx, nos)
		if err != nil {
			return err
		}
		if moved, err = q.ReplaceLostTurns(ctx, tx, free); err != nil {
			return err
		}
		if gone, err = q.DeleteFinalizedTurns(ctx, tx, ids); err != nil {
			return err
		}
		var queues []string
		for _, m := range moved {
			queues = append(queues, TurnQueue(m.Hub))
			if m.Owner == 0 {
				continue
			}
			// A session that is still at work there has lost its instance.
			err := q.NotifyChannel(ctx, tx, store.NotifyChannelParams{
				Channel: n.e.db.Channel("wake." + strconv.Itoa(int(m.Owner))), Payload: "!" + strconv.FormatInt(m.No, 10),
			})
			if err != nil {
				return err
			}
		}
		return q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: n.e.db.RiverChannel(), Queues: queues})
	})
	if err != nil {
		return err
	}
	lost := make(map[int64]bool, len(moved))
	var named []string
	for _, m := range moved {
		lost[m.LostJob] = true
		named = append(named, m.ID)
	}
	stray := slices.DeleteFunc(gone, func(id int64) bool { return lost[id] })
	repaired(ctx, n, "turn jobs of these instances were cancelled or deleted, and are replaced", named)
	repaired(ctx, n, "these cancelled turn jobs are of no instance, and are deleted", stray)
	return nil
}

// wakeForTasks gives turn jobs to instances that wait for activities which nobody runs: the session that opens
// dispatches them again.
func (n *Node) wakeForTasks(ctx context.Context, nos, seqs []int64) error {
	if len(nos) == 0 {
		return nil
	}
	q := n.e.q
	var woken []store.WakeForTasksRow
	err := pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
		free, err := q.LockFreeInstances(ctx, tx, nos)
		if err != nil {
			return err
		}
		p := store.WakeForTasksParams{Nos: free}
		for _, no := range free {
			p.Seqs = append(p.Seqs, seqs[slices.Index(nos, no)])
		}
		if woken, err = q.WakeForTasks(ctx, tx, p); err != nil {
			return err
		}
		var queues []string
		for _, w := range woken {
			queues = append(queues, TurnQueue(w.Hub))
		}
		return q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: n.e.db.RiverChannel(), Queues: queues})
	})
	if err != nil {
		return err
	}
	var named []string
	for _, w := range woken {
		named = append(named, w.ID)
	}
	repaired(ctx, n, "activities of these instances have neither a job nor a result, and are dispatched again", named)
	return nil
}

// ownRows gives away the rows that run in this node's name and that it knows nothing of, in two rounds in a row: the
// answer to River's fetch was lost, or what ended their run was. River itself rescues nothing here. Between the
// fetch and the start of a job, and between its end and River's note of it, a row is unknown for moments only.
func (a *auditor) ownRows(ctx context.Context) error {
	n := a.n
	p := store.FindRunningParams{Client: n.RiverClient(), Age: n.cfg.AuditEvery.Seconds() / 2}
	if n.hub != nil {
		p.Hub = n.hub.no
	}
	rows, err := n.e.q.FindRunning(ctx, n.e.pool, p)
	if err != nil {
		return err
	}
	var (
		suspects = map[int64]time.Time{}
		lost     = store.LockRunningParams{Client: p.Client}
		nos      []int64
	)
	for i := range rows {
		row := &rows[i]
		if row.AttemptedAt == nil || n.atWork(row) {
			continue
		}
		suspects[row.ID] = *row.AttemptedAt
		if before, known := a.suspects[row.ID]; known && before.Equal(*row.AttemptedAt) {
			lost.Ids, lost.AttemptedAts = append(lost.Ids, row.ID), append(lost.AttemptedAts, before)
			nos = append(nos, rowInstance(row))
		}
	}
	a.suspects = suspects
	if len(lost.Ids) == 0 {
		return nil
	}
	return n.giveAway(ctx, &lost, nos)
}

// atWork tells whether this process runs what the row stands for, has it queued, or cannot know.
func (n *Node) atWork(row *store.FindRunningRow) bool {
	key, isTask := parseTaskKey(row.UniqueKey)
	if isTask {
		kind := NoActivity
		if n.exec != nil {
			kind = n.activityOf(row.Kind)
		}
		if kind != PlainActivity && kind != TxActivity {
			return true // River runs it, or somebody else beside this node
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if isTask {
		return n.attempts[key] != nil || n.handed[row.ID]
	}
	return n.sessions[row.No] != nil
}

// hand notes that River has handed a task's row to this process, until it calls done.
func (n *Node) hand(row int64) (done func()) {
	n.mu.Lock()
	n.handed[row] = true
	n.mu.Unlock()
	return func() {
		n.mu.Lock()
		delete(n.handed, row)
		n.mu.Unlock()
	}
}

// rowInstance is the number of the instance that a row belongs to; 0 for a delivery.
func rowInstance(row *store.FindRunningRow) int64 {
	if key, ok := parseTaskKey(row.UniqueKey); ok {
		return key.no
	}
	return row.No
}

// giveAway replaces rows of this node's own as those of the dead are, if they still run as they did when they were
// found.
func (n *Node) giveAway(ctx context.Context, lost *store.LockRunningParams, nos []int64) error {
	var ids []int64
	err := pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
		free, err := n.e.q.LockFreeInstances(ctx, tx, nos)
		if err != nil {
			return err
		}
		mine := store.LockRunningParams{Client: lost.Client}
		for i, no := range nos {
			if _, ok := slices.BinarySearch(free, no); ok || no == 0 {
				mine.Ids, mine.AttemptedAts = append(mine.Ids, lost.Ids[i]), append(mine.AttemptedAts, lost.AttemptedAts[i])
			}
		}
		if ids, err = n.e.q.LockRunning(ctx, tx, mine); err != nil {
			return err
		}
		_, err = n.replaceRows(ctx, tx, lost.Client, ids, free)
		return err
	})
	if err != nil {
		return err
	}
	repaired(ctx, n, "these jobs ran in this worker's name and were not known here, and are given away", ids)
	return nil
}
