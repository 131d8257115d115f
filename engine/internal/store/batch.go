package store

import (
	"context"
	"errors"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Batch gathers what many units want committed, one field a statement, and runs the statements as one
// pipeline with one Sync: one round trip, one implicit transaction, no moment in which this process holds
// locks while it computes. Fields that stay empty cost nothing. The order of Run is the protocol's.
type Batch struct {
	WorkerNo     int32
	RiverChannel string

	Lane          AdvanceLaneParams
	Firings       FireSchedulesParams
	Locks         []int64
	Purges        PurgeInstancesParams
	Turns         ApplyTurnsParams
	Continues     ContinueInstancesParams
	Claims        ClaimInstancesParams
	Holds         HoldInstancesParams
	TakeOvers     TakeOverInstancesParams
	Terminates    TerminateInstancesParams
	Tags          SetTagsParams
	Controls      ControlInstancesParams
	Restarts      []int64
	CancelPending CancelPendingParams
	Starts        InsertInstancesParams
	History       InsertHistoryParams
	Progress      AppendProgressParams
	Values        RecordValuesParams
	Cuts          CutHistoryParams
	Consumed      DeleteConsumedParams
	DropInboxes   []int64
	Tasks         FinishTasksParams
	Timers        FireTimersParams
	Retries       FireRetriesParams
	Raises        RaiseEventsParams
	Deliveries    DeliverOutboxParams
	Messages      InsertMessagesParams
	Sends         InsertOutboxParams
	Cancels       CancelTasksParams
	NewTimers     InsertTimersParams
	DropTimers    []int64
	Jobs          InsertJobsParams
	DeleteJobs    []int64
	DropTasks     []int64
	Replaces      ReplaceJobsParams
	Parks         ParkJobsParams
	HandOvers     HandOverInstancesParams
	Releases      ReleaseInstancesParams
	Wakes         WakeInstancesParams
	RiverQueues   []string
	Notifications []NotifyChannelParams
	Inboxes       ReadInboxesParams
	Flow          FlowBatch
	Entities      EntityBatch
}

// Result is what a batch's statements answered.
type Result struct {
	Purged     map[int64]PurgeInstancesRow
	TakenOver  map[int64]bool
	Terminated map[int64]TerminateInstancesRow
	Controlled map[int64]ControlInstancesRow
	Restarted  map[int64]RestartInstancesRow
	Statuses   map[int64]ReadStatusesRow
	Tags       map[int64]SetTagsRow
	// Progress has the order of the records that were taken; nil if there were none.
	Progress map[int64]bool
	Parked   map[int64]bool
	Released map[int64]bool
	// Delivered counts the messages that reached each instance's inbox.
	Delivered map[int64]int
	// Waiting are the buckets of limits in which places are free, or calls wait.
	Waiting []Bucket
	// Mine are instances that got a message and whose session is in this process.
	Mine    []int64
	Inboxes []Inbox
}

// queuer lets the methods that sqlc wrote queue their statement instead of running it, so that it is sqlc
// that puts the arguments in order. Rows go to read once the pipeline delivers them.
type queuer struct {
	pipeline *Pipeline
	failed   *error // the first that could not be queued
	read     func(pgx.Rows) error
}

var errQueued = errors.New("queued")

func (q queuer) add(ctx context.Context, sql string, args []any) error {
	if err := q.pipeline.add(ctx, sql, args, q.read); err != nil && *q.failed == nil {
		*q.failed = err
	}
	return errQueued
}

func (q queuer) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, q.add(ctx, sql, args)
}

func (q queuer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return nil, q.add(ctx, sql, args)
}

func (q queuer) QueryRow(context.Context, string, ...any) pgx.Row { return nil }

// Reset empties the batch for the next one and keeps its memory.
func (b *Batch) Reset() { empty(reflect.ValueOf(b).Elem()) }

func empty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			empty(field)
		}
	case reflect.Slice:
		v.Clear() // what it refers to must not be kept
		v.SetLen(0)
	default:
		v.SetZero()
	}
}

// Run commits the batch. The error is the first statement's that failed; then nothing was applied, unless
// ServerAnswered says that this cannot be known.
func (b *Batch) Run(ctx context.Context, p *Pipeline) (*Result, error) {
	var failed error
	s := &sending{
		q: New(), pipeline: p, failed: &failed, db: queuer{pipeline: p, failed: &failed},
		r: &Result{
			Purged: map[int64]PurgeInstancesRow{}, TakenOver: map[int64]bool{}, Terminated: map[int64]TerminateInstancesRow{}, Controlled: map[int64]ControlInstancesRow{},
			Restarted: map[int64]RestartInstancesRow{}, Statuses: map[int64]ReadStatusesRow{}, Tags: map[int64]SetTagsRow{},
			Parked: map[int64]bool{}, Released: map[int64]bool{}, Delivered: map[int64]int{},
		},
	}
	defer p.reset()
	if !b.queueOne(ctx, s) {
		b.queueRows(ctx, s)
	}
	b.queueMessages(ctx, s)
	b.queueEffects(ctx, s)
	if failed != nil {
		return nil, failed
	}
	err := p.run(ctx)
	if code := Code(err); code == codePlanChanged || code == codeNoStatement {
		p.forget()
	}
	if err != nil {
		return nil, err
	}
	return s.r, nil
}

// sending is a batch on its way.
type sending struct {
	q        *Queries
	pipeline *Pipeline
	failed   *error
	db       queuer // for statements whose rows do not matter
	r        *Result
}

// rows is where a statement is queued whose rows go to read.
func (s *sending) rows(read func(pgx.Rows) error) queuer { return queuer{s.pipeline, s.failed, read} }

// do and ask mark statements that are queued here: they fail when the batch is sent, not before.
func do(error)       {}
func ask(any, error) {}

// suspended is the status of instances that are, and of entities that are locked.
const suspended = 7

// queueOne queues a batch of one turn or one start, which is what a batch is under light load, in the one statement
// that does the same (migration 0002), and takes what that did out of the batch. What else the unit brings, such as
// River rows and the notification of an end, follows as in any batch.
func (b *Batch) queueOne(ctx context.Context, s *sending) bool {
	others := len(b.Locks) + len(b.Purges.Nos) + len(b.Continues.Nos) + len(b.Claims.Nos) + len(b.Holds.Nos) + len(b.TakeOvers.Nos) +
		len(b.Terminates.Nos) + len(b.Controls.Nos) + len(b.Restarts) + len(b.CancelPending.Nos) + len(b.Releases.Nos) + len(b.Firings.Nos)
	if others > 0 || b.Lane.WorkerNo == 0 {
		return false
	}
	lane, turns, history, starts, jobs := b.Lane, &b.Turns, &b.History, &b.Starts, &b.Jobs
	switch {
	case len(turns.Nos) == 1 && turns.Suspensions[0] == nil && turns.Statuses[0] != suspended && len(history.Nos) == 1 && len(starts.Nos) == 0:
		do(s.q.CommitTurn(ctx, s.db, CommitTurnParams{
			WorkerNo: lane.WorkerNo, Lane: lane.Lane, Inc: lane.Inc, Previous: lane.Previous,
			No: turns.Nos[0], Base: turns.Bases[0], Epoch: turns.Epochs[0], Job: turns.Jobs[0], Seq: turns.Seqs[0],
			Status: turns.Statuses[0], Output: turns.Outputs[0], OutputRef: turns.OutputRefs[0], Failure: turns.Failures[0],
			CustomStatus: turns.CustomStatuses[0], Count: history.Counts[0], Events: history.Events[0],
		}))
		history.Nos = history.Nos[:0]
		return true
	case len(starts.Nos) == 1 && starts.TurnJobs[0] != 0 && starts.Tags[0] == nil && len(starts.Traces) == 0 && len(turns.Nos) == 0 && len(jobs.Ids) == 1:
		do(s.q.CommitStart(ctx, s.db, CommitStartParams{
			WorkerNo: lane.WorkerNo, Lane: lane.Lane, Inc: lane.Inc, Previous: lane.Previous,
			No: starts.Nos[0], Hub: starts.Hubs[0], ID: starts.Ids[0], Name: starts.Names[0], Version: starts.Versions[0],
			Input: starts.Inputs[0], InputRef: starts.InputRefs[0],
			Job: jobs.Ids[0], Priority: jobs.Priorities[0], Kind: jobs.Kinds[0], Queue: jobs.Queues[0], Args: jobs.Args[0],
			MaxAttempts: jobs.MaxAttempts[0], RiverChannel: b.RiverChannel,
		}))
		jobs.Ids, b.RiverQueues = jobs.Ids[:0], b.RiverQueues[:0]
		return true
	}
	return false
}

// queueRows queues B0 to B3: the fence, the locks, and the instances' own rows.
func (b *Batch) queueRows(ctx context.Context, s *sending) {
	if b.Lane.WorkerNo != 0 { // B0
		do(s.q.AdvanceLane(ctx, s.db, b.Lane))
	}
	if len(b.Firings.Nos) > 0 {
		do(s.q.LockSchedules(ctx, s.db, b.Firings.Nos))
		do(s.q.FireSchedules(ctx, s.db, b.Firings))
	}
	if len(b.Locks) > 0 { // B1
		do(s.q.LockInstances(ctx, s.db, b.Locks))
	}
	if len(b.Purges.Nos) > 0 {
		ask(s.q.PurgeInstances(ctx, s.rows(each(func(row PurgeInstancesRow) { s.r.Purged[row.No] = row })), b.Purges))
	}
	if len(b.Turns.Nos) > 0 { // B2
		b.Turns.WorkerNo = b.WorkerNo
		do(s.q.ApplyTurns(ctx, s.db, b.Turns))
	}
	if len(b.Continues.Nos) > 0 {
		b.Continues.WorkerNo = b.WorkerNo
		do(s.q.ContinueInstances(ctx, s.db, b.Continues))
	}
	if len(b.Claims.Nos) > 0 {
		b.Claims.WorkerNo = b.WorkerNo
		do(s.q.ClaimInstances(ctx, s.db, b.Claims))
	}
	if len(b.Holds.Nos) > 0 {
		b.Holds.WorkerNo = b.WorkerNo
		do(s.q.HoldInstances(ctx, s.db, b.Holds))
	}
	if len(b.TakeOvers.Nos) > 0 {
		b.TakeOvers.WorkerNo = b.WorkerNo
		ask(s.q.TakeOverInstances(ctx, s.rows(marks(s.r.TakenOver)), b.TakeOvers))
	}
	if len(b.Terminates.Nos) > 0 {
		ask(s.q.TerminateInstances(ctx, s.rows(each(func(row TerminateInstancesRow) { s.r.Terminated[row.No] = row })), b.Terminates))
	}
	if len(b.Tags.Nos) > 0 {
		ask(s.q.SetTags(ctx, s.rows(each(func(row SetTagsRow) { s.r.Tags[row.No] = row })), b.Tags))
	}
	if len(b.Controls.Nos) > 0 {
		ask(s.q.ControlInstances(ctx, s.rows(each(func(row ControlInstancesRow) { s.r.Controlled[row.No] = row })), b.Controls))
	}
	if len(b.Restarts) > 0 {
		ask(s.q.RestartInstances(ctx, s.rows(each(func(row RestartInstancesRow) { s.r.Restarted[row.No] = row })), b.Restarts))
	}
	if len(b.CancelPending.Nos) > 0 {
		do(s.q.CancelPending(ctx, s.db, b.CancelPending))
	}
	if len(b.Starts.Nos) > 0 { // B3
		do(s.q.InsertInstances(ctx, s.db, b.Starts))
	}
}

// queueMessages queues B4 to B6: history, and what is consumed from and delivered to inboxes.
func (b *Batch) queueMessages(ctx context.Context, s *sending) {
	if len(b.History.Nos) > 0 { // B4
		do(s.q.InsertHistory(ctx, s.db, b.History))
	}
	if len(b.Values.Ids) > 0 {
		do(s.q.RecordValues(ctx, s.db, b.Values))
	}
	b.queueProgress(ctx, s)
	if len(b.Cuts.Nos) > 0 {
		do(s.q.CutHistory(ctx, s.db, b.Cuts))
	}
	if len(b.Consumed.Nos) > 0 { // B5
		do(s.q.DeleteConsumed(ctx, s.db, b.Consumed))
	}
	if len(b.DropInboxes) > 0 {
		do(s.q.DropInbox(ctx, s.db, b.DropInboxes))
	}
	if len(b.Tasks.Tokens) > 0 { // B6
		ask(s.q.FinishTasks(ctx, s.rows(counts(s.r.Delivered)), b.Tasks))
	}
	if len(b.Timers.Nos) > 0 {
		ask(s.q.FireTimers(ctx, s.rows(counts(s.r.Delivered)), b.Timers))
	}
	b.Flow.queueMessages(ctx, s)
	if len(b.Retries.Nos) > 0 {
		b.Retries.RiverChannel = b.RiverChannel
		ask(s.q.FireRetries(ctx, s.rows(each(func(row FireRetriesRow) { s.r.free(Bucket(row)) })), b.Retries))
	}
	if len(b.Raises.Nos) > 0 {
		ask(s.q.ReadStatuses(ctx, s.rows(each(func(row ReadStatusesRow) { s.r.Statuses[row.No] = row })), b.Raises.Nos))
		ask(s.q.RaiseEvents(ctx, s.rows(counts(s.r.Delivered)), b.Raises))
	}
	if len(b.Deliveries.Nos) > 0 {
		ask(s.q.DeliverOutbox(ctx, s.rows(counts(s.r.Delivered)), b.Deliveries))
	}
	if len(b.Messages.Nos) > 0 {
		ask(s.q.InsertMessages(ctx, s.rows(counts(s.r.Delivered)), b.Messages))
	}
	if len(b.Sends.Hubs) > 0 {
		do(s.q.InsertOutbox(ctx, s.db, b.Sends))
	}
}

// queueEffects queues B7 to B10: timers and River rows, releases, wake-ups, and the late look into inboxes.
func (b *Batch) queueEffects(ctx context.Context, s *sending) {
	if len(b.Cancels.Nos) > 0 { // B7
		do(s.q.CancelTasks(ctx, s.db, b.Cancels))
	}
	if len(b.DropTimers) > 0 {
		do(s.q.DropTimers(ctx, s.db, b.DropTimers))
	}
	if len(b.NewTimers.Nos) > 0 {
		do(s.q.InsertTimers(ctx, s.db, b.NewTimers))
	}
	if len(b.DropTasks) > 0 {
		ask(s.q.DropTaskJobs(ctx, s.rows(each(func(row DropTaskJobsRow) { s.r.free(Bucket(row)) })), b.DropTasks))
	}
	if len(b.DeleteJobs) > 0 {
		do(s.q.DeleteJobs(ctx, s.db, b.DeleteJobs))
	}
	b.Flow.queueEffects(ctx, s)
	b.Entities.queueEffects(ctx, s)
	if len(b.Replaces.Olds) > 0 {
		do(s.q.ReplaceJobs(ctx, s.db, b.Replaces))
	}
	if len(b.Parks.Tokens) > 0 {
		ask(s.q.ParkJobs(ctx, s.rows(marks(s.r.Parked)), b.Parks))
	}
	if len(b.Jobs.Ids) > 0 {
		do(s.q.InsertJobs(ctx, s.db, b.Jobs))
	}
	b.Flow.queueLimits(ctx, s)
	if len(b.HandOvers.Nos) > 0 { // B8
		do(s.q.HandOverInstances(ctx, s.db, b.HandOvers))
	}
	if len(b.Releases.Nos) > 0 {
		b.Releases.WorkerNo = b.WorkerNo
		ask(s.q.ReleaseInstances(ctx, s.rows(marks(s.r.Released)), b.Releases))
	}
	if len(b.Wakes.Nos) > 0 { // B9
		b.Wakes.RiverChannel, b.Wakes.WorkerNo = b.RiverChannel, b.WorkerNo
		mine := func(no int64) {
			if no != 0 {
				s.r.Mine = append(s.r.Mine, no)
			}
		}
		ask(s.q.WakeInstances(ctx, s.rows(each(mine)), b.Wakes))
	}
	for _, queue := range b.RiverQueues {
		do(s.q.NotifyChannel(ctx, s.db, NotifyChannelParams{Channel: b.RiverChannel, Payload: `{"queue":"` + queue + `"}`}))
	}
	for _, n := range b.Notifications {
		do(s.q.NotifyChannel(ctx, s.db, n))
	}
	if len(b.Inboxes.Nos) > 0 { // B10
		ask(s.q.ReadInboxes(ctx, s.rows(each(func(row Inbox) { s.r.Inboxes = append(s.r.Inboxes, row) })), b.Inboxes))
	}
}

// each returns a reader that calls fn for every row, scanned by position.
func each[T any](fn func(T)) func(pgx.Rows) error {
	scan := pgx.RowToStructByPos[T]
	if _, ok := any(*new(T)).(int64); ok {
		scan = pgx.RowTo[T]
	}
	return func(rows pgx.Rows) error {
		for rows.Next() {
			row, err := scan(rows)
			if err != nil {
				return err
			}
			fn(row)
		}
		return rows.Err()
	}
}

func marks(into map[int64]bool) func(pgx.Rows) error { return each(func(no int64) { into[no] = true }) }

func counts(into map[int64]int) func(pgx.Rows) error { return each(func(no int64) { into[no]++ }) }
