package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// StartRequest asks for a new instance.
type StartRequest struct {
	Hub  string
	Name string
	// ID is the instance id; empty has one made up.
	ID      string
	Version string
	Input   history.Payload
	// At is the time before which the instance is not to start; zero or past means now.
	At time.Time
}

// Started is a new instance.
type Started struct {
	ID string
	no int64
}

// check tests a request and fills in what it leaves open.
func (e *Engine) check(r *StartRequest, index int) error {
	at := func(field string) string {
		if index < 0 {
			return field
		}
		return fmt.Sprintf("%s[%d]", field, index)
	}
	if r.ID == "" {
		r.ID = newUUID()
	}
	return errors.Join(
		first(CheckName(at("name"), r.Name), CheckID(at("id"), r.ID), CheckVersion(at("version"), r.Version),
			e.checkPayload(at("input"), r.Input)))
}

// first returns the first error there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Start starts an instance: one commit, shared with whatever else is being committed at the time. Errors:
// INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (hub), ALREADY_EXISTS, UNAVAILABLE.
func (e *Engine) Start(ctx context.Context, r StartRequest) (Started, error) {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return Started{}, err
	}
	if err := e.check(&r, -1); err != nil {
		return Started{}, err
	}
	s, large, err := e.newStart(ctx, hub, &r)
	if err != nil {
		return Started{}, err
	}
	u := &unit{no: s.no, starts: []start{s}, large: large}
	u.conflict = func(u *unit, _ int, _ store.FindInstancesRow) bool {
		u.done(u, outcome{err: idTaken("id", r.ID)})
		return false
	}
	if _, err := e.commit(ctx, u); err != nil {
		return Started{}, err
	}
	e.ids.put(instanceName{hub.no, r.ID}, s.no)
	return Started{ID: r.ID, no: s.no}, nil
}

func idTaken(field, id string) error {
	return &Error{Code: CodeAlreadyExists, Field: field, Message: fmt.Sprintf("an instance with the id %q exists", id)}
}

func (e *Engine) newStart(ctx context.Context, hub *Hub, r *StartRequest) (start, []largePayload, error) {
	no, err := e.instanceNos.one(ctx)
	if err != nil {
		return start{}, nil, fmt.Errorf("start: %w", err)
	}
	input, large, err := e.externalizeCopy(ctx, no, r.Input)
	if err != nil {
		return start{}, nil, err
	}
	s := start{no: no, hub: hub.no, id: r.ID, name: r.Name, version: r.Version, input: input}
	if r.At.IsZero() || !r.At.After(time.Now()) {
		if s.turnJob, err = e.jobIDs.one(ctx); err != nil {
			return start{}, nil, fmt.Errorf("start: %w", err)
		}
	} else {
		s.scheduledAt = r.At
	}
	return s, large, nil
}

// startsPerUnit bounds the starts that succeed or fail in one commit.
const startsPerUnit = 100

// StartMany starts instances of one hub, many in a commit. Each is a start of its own: the errors are those of
// Start, one for each request, nil where the instance was started.
func (e *Engine) StartMany(ctx context.Context, hubName string, requests []StartRequest) ([]Started, []error) {
	var (
		out  = make([]Started, len(requests))
		errs = make([]error, len(requests))
		left int
		done = make(chan int, len(requests)/startsPerUnit+1)
	)
	fail := func(err error) ([]Started, []error) {
		for i := range errs {
			errs[i] = err
		}
		return out, errs
	}
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return fail(err)
	}
	l, err := e.callLane(ctx)
	if err != nil {
		return fail(err)
	}
	seen := make(map[string]bool, len(requests))
	var (
		u       *unit
		indexes []int
	)
	flush := func() {
		if u == nil {
			return
		}
		mine := indexes
		u.conflict = func(u *unit, i int, _ store.FindInstancesRow) bool {
			errs[mine[i]] = idTaken(fmt.Sprintf("id[%d]", mine[i]), u.starts[i].id)
			u.starts = append(u.starts[:i:i], u.starts[i+1:]...)
			mine = append(mine[:i:i], mine[i+1:]...)
			if len(u.starts) == 0 {
				u.done(u, outcome{})
				return false
			}
			return true
		}
		u.done = func(_ *unit, o outcome) {
			for _, i := range mine {
				errs[i] = o.err
			}
			done <- 1
		}
		left++
		l.submit(u)
		u, indexes = nil, nil
	}
	for i := range requests {
		r := &requests[i]
		if errs[i] = e.check(r, i); errs[i] != nil {
			continue
		}
		if seen[r.ID] {
			errs[i] = idTaken(fmt.Sprintf("id[%d]", i), r.ID)
			continue
		}
		seen[r.ID] = true
		s, large, err := e.newStart(ctx, hub, r)
		if err != nil {
			errs[i] = err
			continue
		}
		out[i] = Started{ID: r.ID, no: s.no}
		if u == nil {
			u = &unit{no: s.no}
		}
		u.starts, u.large = append(u.starts, s), append(u.large, large...)
		indexes = append(indexes, i)
		if len(u.starts) == startsPerUnit || u.size() > maxBatchBytes/4 {
			flush()
		}
	}
	flush()
	for ; left > 0; left-- {
		<-done // not cut short by ctx: the answers are written into errs until then
	}
	return out, errs
}

// StartTx starts an instance in the caller's own transaction: it exists if and when that commits. Errors: as
// Start; ALREADY_EXISTS leaves the transaction usable.
func (e *Engine) StartTx(ctx context.Context, tx pgx.Tx, r StartRequest) (Started, error) {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return Started{}, err
	}
	if err := e.check(&r, -1); err != nil {
		return Started{}, err
	}
	no, err := e.instanceNos.one(ctx)
	if err != nil {
		return Started{}, fmt.Errorf("start: %w", err)
	}
	input, large, err := e.externalizeCopy(ctx, no, r.Input)
	if err != nil {
		return Started{}, err
	}
	var ref *int64
	if len(large) > 0 {
		ref = &large[0].id
		sql := "INSERT INTO " + e.table("payloads") + " (id, instance_no, data) VALUES ($1, $2, $3)"
		if _, err := tx.Exec(ctx, sql, large[0].id, no, large[0].data); err != nil {
			return Started{}, fmt.Errorf("start: %w", err)
		}
	}
	var at *time.Time
	if !r.At.IsZero() {
		at = &r.At
	}
	var got *int64
	err = tx.QueryRow(ctx, "SELECT "+e.table("start_instance")+"($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9)",
		hub.no, no, r.ID, r.Name, r.Version, input.Inline(), ref, at, e.db.RiverChannel()).Scan(&got)
	if err != nil {
		return Started{}, fmt.Errorf("start: %w", err)
	}
	if got == nil {
		return Started{}, idTaken("id", r.ID)
	}
	return Started{ID: r.ID, no: no}, nil
}

// table qualifies a name of the weir schema, for statements in the transactions of others.
func (e *Engine) table(name string) string { return pgx.Identifier{e.cfg.Schema, name}.Sanitize() }

// RaiseRequest asks for an event to be delivered to an instance.
type RaiseRequest struct {
	Hub      string
	Instance string
	Name     string
	Input    history.Payload
	// Key makes the raise idempotent: of several raises to one instance with the same key only the first
	// counts, for as long as the instance exists. Empty means none.
	Key string
}

func (e *Engine) checkRaise(r *RaiseRequest) error {
	err := first(CheckID("instance", r.Instance), CheckEvent("event", r.Name), checkText("key", r.Key, maxKey, true),
		e.checkPayload("payload", r.Input))
	return err
}

func (e *Engine) raised(no int64, large []largePayload, r *RaiseRequest, input history.Payload) (*unit, error) {
	payload, err := history.Encode([]history.Event{&history.EventRaised{Header: history.Header{At: time.Now().UTC().Truncate(time.Microsecond)}, Name: r.Name, Input: input}})
	if err != nil {
		return nil, err
	}
	return &unit{no: no, large: large, raises: []raise{{r.Key, payload}}}, nil
}

// Raise delivers an event: when it returns, the event is in the instance's inbox. Errors: INVALID_ARGUMENT,
// TOO_LARGE, NOT_FOUND, FAILED_PRECONDITION when the instance has finished, UNAVAILABLE.
func (e *Engine) Raise(ctx context.Context, r RaiseRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := e.checkRaise(&r); err != nil {
		return err
	}
	name := instanceName{hub.no, r.Instance}
	for {
		no, cached := e.ids.get(name)
		if !cached {
			if no, err = e.find(ctx, name); err != nil {
				return err
			}
		}
		input, large, err := e.externalizeCopy(ctx, no, r.Input)
		if err != nil {
			return err
		}
		u, err := e.raised(no, large, &r, input)
		if err != nil {
			return err
		}
		o, err := e.commit(ctx, u)
		switch {
		case err != nil:
			return err
		case o.landed:
			return e.landedRaise(ctx, no)
		case !o.found:
			e.ids.drop(name)
			if cached {
				continue // purged; another may have its id
			}
			return instanceNotFound(r.Instance)
		case !o.status.Live():
			e.ids.drop(name)
			if cached {
				continue
			}
			return finished(r.Instance, o.status)
		}
		return nil
	}
}

// landedRaise judges a raise whose answer was lost with the connection: it was applied if the instance was live.
func (e *Engine) landedRaise(ctx context.Context, no int64) error {
	row, err := e.q.GetOutcome(ctx, e.pool, no)
	if err == nil && statusOf(row.Status).Live() {
		return nil
	}
	return &Error{Code: CodeUnavailable, Message: "the connection broke while the instance finished: whether the event came before is not known"}
}

func instanceNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "instance", Message: fmt.Sprintf("there is no instance %q", id)}
}

func finished(id string, status history.Status) error {
	return &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("instance %q has finished: it is %s", id, status)}
}

// find returns an instance's number. Errors: NOT_FOUND.
func (e *Engine) find(ctx context.Context, name instanceName) (int64, error) {
	rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{name.hub}, Ids: []string{name.id}})
	if err != nil {
		return 0, fmt.Errorf("find instance: %w", err)
	}
	if len(rows) == 0 {
		return 0, instanceNotFound(name.id)
	}
	e.ids.put(name, rows[0].No)
	return rows[0].No, nil
}

// RaiseTx raises an event in the caller's own transaction: it is delivered, once and in order, some
// milliseconds after that commits. The target is not looked at: an event to an instance that does not exist or
// has finished by then is dropped and counted. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (hub).
func (e *Engine) RaiseTx(ctx context.Context, tx pgx.Tx, r RaiseRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := e.checkRaise(&r); err != nil {
		return err
	}
	u, err := e.raised(0, nil, &r, r.Input)
	if err != nil {
		return err
	}
	var key *string
	if r.Key != "" {
		key = &r.Key
	}
	var id int64
	err = tx.QueryRow(ctx, "SELECT "+e.table("outbox_event")+"($1, $2, $3, $4, $5)",
		hub.no, r.Instance, key, u.raises[0].payload, e.db.RiverChannel()).Scan(&id)
	if err != nil {
		return fmt.Errorf("raise: %w", err)
	}
	return nil
}

// Deliver moves the events that wait in the outbox for an instance into its inbox, and deletes the River job
// that asked for it. It may run twice at once.
func (n *Node) Deliver(ctx context.Context, hub int32, target string, jobID int64) error {
	no, err := n.e.find(ctx, instanceName{hub, target})
	if errors.Is(err, ErrNotFound) {
		no, err = 0, nil
	}
	if err != nil {
		return err
	}
	answer := make(chan outcome, 1)
	n.lane.submit(&unit{no: no, deliveries: []delivery{{hub, target}}, deleteJobs: []int64{jobID}, done: func(_ *unit, o outcome) { answer <- o }})
	select {
	case o := <-answer:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TerminateRequest asks for an instance to be ended at once.
type TerminateRequest struct {
	Hub      string
	Instance string
	Reason   string
	// Output becomes the instance's output.
	Output history.Payload
}

// Terminate ends an instance by a commit of its own: it needs no worker, and whatever the instance's session is
// doing loses. Timers, waiting tasks and unread messages go; a parent is told; children run on. Errors:
// INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND, FAILED_PRECONDITION when the instance has finished, UNAVAILABLE.
func (e *Engine) Terminate(ctx context.Context, r TerminateRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := first(CheckID("instance", r.Instance), checkText("reason", r.Reason, maxReason, true), e.checkPayload("output", r.Output)); err != nil {
		return err
	}
	rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{hub.no}, Ids: []string{r.Instance}})
	if err != nil {
		return fmt.Errorf("terminate: %w", err)
	}
	if len(rows) == 0 {
		return instanceNotFound(r.Instance)
	}
	row := rows[0]
	if !statusOf(row.Status).Live() {
		return finished(r.Instance, statusOf(row.Status))
	}
	u, err := e.termination(ctx, row, r)
	if err != nil {
		return err
	}
	o, err := e.commit(ctx, u)
	if err != nil {
		return err
	}
	if !o.terminated && !o.landed {
		return finished(r.Instance, history.Completed)
	}
	if o.owner != 0 {
		// Its session would find out with its next commit; told, it stops the tasks it runs.
		payload := fmt.Sprintf("!%d", row.No)
		err := e.q.NotifyChannel(ctx, e.pool, store.NotifyChannelParams{Channel: e.db.Channel(fmt.Sprintf("wake.%d", o.owner)), Payload: payload})
		if err != nil {
			e.log.WarnContext(ctx, "tell the owner of a terminated instance", "error", err)
		}
	}
	return nil
}

func (e *Engine) termination(ctx context.Context, row store.FindInstancesRow, r TerminateRequest) (*unit, error) {
	output, large, err := e.externalizeCopy(ctx, row.No, r.Output)
	if err != nil {
		return nil, err
	}
	why := &history.Failure{Type: history.Terminated.String(), Message: "terminated", NonRetriable: true}
	if r.Reason != "" {
		why.Message = "terminated: " + r.Reason
	}
	header := history.Header{At: time.Now().UTC().Truncate(time.Microsecond)}
	events, err := history.Encode([]history.Event{
		&history.ExecutionTerminated{Header: header, Reason: r.Reason, Output: output},
		&history.ExecutionCompleted{Header: header, ID: -1, Status: history.Terminated, Result: output, Failure: why},
	})
	if err != nil {
		return nil, err
	}
	reason, err := json.Marshal(why)
	if err != nil {
		return nil, err
	}
	u := &unit{
		kind: unitTerminate, no: row.No, events: events, count: 2, output: output, failure: reason, large: large,
		dropInbox: true, dropTimers: true, dropTasks: true,
	}
	if row.ParentNo != 0 {
		answer, err := history.Encode([]history.Event{&history.SubOrchestrationInstanceFailed{Header: header, TaskID: row.ParentTask, Failure: why}})
		if err != nil {
			return nil, err
		}
		u.messages = []message{{no: row.ParentNo, gen: row.ParentGen, task: row.ParentTask, kind: msgResult, payload: answer}}
	}
	return u, nil
}

// Outcome is how an instance has ended, or how it stands.
type Outcome struct {
	Status  history.Status
	Output  history.Payload
	Failure *history.Failure
}

// Wait returns the outcome of an instance once it has ended, or ctx's error. Errors: NOT_FOUND, also when the
// instance is purged meanwhile.
func (e *Engine) Wait(ctx context.Context, hubName, id string) (Outcome, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return Outcome{}, err
	}
	if CheckID("instance", id) != nil { // no instance has such an id, and Postgres would refuse some
		return Outcome{}, instanceNotFound(id)
	}
	name := instanceName{hub.no, id}
	no, known := e.ids.get(name)
	if !known {
		if no, err = e.find(ctx, name); err != nil {
			return Outcome{}, err
		}
	}
	if err := e.feed.start(ctx); err != nil {
		return Outcome{}, err
	}
	changed, stop := e.feed.wait(no)
	defer stop()
	for {
		out, err := e.outcome(ctx, no)
		if errors.Is(err, pgx.ErrNoRows) {
			e.ids.drop(name)
			if known { // purged since, and perhaps started anew
				return e.Wait(ctx, hubName, id)
			}
			return Outcome{}, instanceNotFound(id)
		}
		if err != nil {
			return Outcome{}, err
		}
		if !out.Status.Live() {
			return out, nil
		}
		select {
		case t := <-changed:
			if t.output.Present() {
				return Outcome{Status: t.status, Output: t.output}, nil
			}
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

func (e *Engine) outcome(ctx context.Context, no int64) (Outcome, error) {
	row, err := e.q.GetOutcome(ctx, e.pool, no)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Status: statusOf(row.Status)}
	if out.Output, err = e.value(ctx, row.Output, &row.OutputRef); err != nil {
		return out, err
	}
	if row.Failure != nil {
		out.Failure = &history.Failure{}
		if err := json.Unmarshal(row.Failure, out.Failure); err != nil {
			return out, fmt.Errorf("read failure: %w", err)
		}
	}
	return out, nil
}

// holdsToken tells whether a token is still there, once those that hold its row have ended.
func (e *Engine) holdsToken(ctx context.Context, conn *pgx.Conn, token int64) (bool, error) {
	var id int64
	err := conn.QueryRow(ctx, "SELECT id FROM "+pgx.Identifier{e.db.RiverSchema, "river_job"}.Sanitize()+" WHERE id = $1 FOR UPDATE", token).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// finishTx is Task.FinishTx.
func (e *Engine) finishTx(ctx context.Context, tx pgx.Tx, t *Task, output history.Payload) error {
	now := t.node.clock.now()
	a := t.attempt
	answer := a.outcome(Result{Output: output}, now)
	if failed, ok := answer.(*history.TaskFailed); ok {
		return failed.Failure
	}
	events := []history.Event{answer}
	large, err := e.externalize(ctx, t.key.no, events)
	if err != nil {
		return err
	}
	payload, err := history.Encode(events)
	if err != nil {
		return err
	}
	var (
		batch pgx.Batch
		owner *int32
	)
	for _, p := range large {
		batch.Queue("INSERT INTO "+e.table("payloads")+" (id, instance_no, data) VALUES ($1, $2, $3)", p.id, p.no, p.data)
	}
	batch.Queue("SELECT "+e.table("finish_task")+"($1, $2, $3, $4, $5, $6, $7)",
		a.row(), t.key.no, t.key.gen, t.key.task, payload, t.node.no, e.db.RiverChannel()).QueryRow(func(row pgx.Row) error {
		return row.Scan(&owner)
	})
	batch.Queue("COMMIT")
	if err := tx.Conn().SendBatch(ctx, &batch).Close(); err != nil {
		_ = tx.Rollback(ctx)
		if store.Code(err) == store.CodeNoToken {
			return ErrNoToken
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
