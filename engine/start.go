package engine

import (
	"context"
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
