package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
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
	// Tags are names with values to find the instance by: at most 32, of 64 and 256 bytes. Its further generations keep
	// them.
	Tags map[string]string
	// Priority is where its turns and activities stand in the queue: 1 goes first, 4 last; 0 means DefaultPriority. Its
	// children have it too, unless they are given one.
	Priority int
	// Reuse says what to do when the id is taken.
	Reuse ReusePolicy
}

// Started is a new instance, or one that was there already.
type Started struct {
	ID string
	// Existing says that the id was taken, and that this is the instance that has it: StartRequest.Reuse allowed it.
	Existing bool
	no       int64
}

// maxYear is the last year in which something can be put off to.
const maxYear = 9999

// check tests a request and fills in what it leaves open.
func (e *Engine) check(r *StartRequest, index int) error {
	at := func(field string) string {
		if index < 0 {
			return field
		}
		return fmt.Sprintf("%s[%d]", field, index)
	}
	if err := r.Reuse.check(at("reuse"), r.ID); err != nil {
		return err
	}
	if r.ID == "" {
		r.ID = newUUID()
	}
	if r.At.UTC().Year() > maxYear {
		return invalid(at("at"), "is after the year %d", maxYear)
	}
	return errors.Join(
		first(CheckName(at("name"), r.Name), CheckID(at("id"), r.ID), CheckVersion(at("version"), r.Version),
			CheckTags(at("tags"), r.Tags), CheckPriority(at("priority"), r.Priority), e.checkPayload(at("input"), r.Input)))
}

// NewID makes up an id for an instance, as a start without one does.
func NewID() string { return newUUID() }

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
// INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (hub), ALREADY_EXISTS where the id is taken and r.Reuse does not say
// otherwise, UNAVAILABLE.
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
	started := Started{ID: r.ID, no: s.no}
	u.conflict = func(u *unit, _ int, taken store.FindInstancesRow) bool {
		replaced, existing, err := r.Reuse.decide(taken)
		switch {
		case err != nil:
		case replaced != nil:
			u.purges = append(u.purges[:0], *replaced)
			return true
		case existing:
			started = Started{ID: r.ID, Existing: true, no: taken.No} // read once the outcome has come
		default:
			err = idTaken("id", r.ID)
		}
		u.done(u, outcome{err: err})
		return false
	}
	o, err := e.commit(ctx, u)
	if err != nil {
		return Started{}, err
	}
	e.evictPurged(ctx, o)
	e.ids.put(instanceName{hub.no, r.ID}, started.no)
	return started, nil
}

// evictPurged tells the owners of instances that a unit has deleted.
func (e *Engine) evictPurged(ctx context.Context, o outcome) {
	for _, p := range o.purged {
		e.evict(ctx, p.No, p.Owner)
	}
}

func (e *Engine) newStart(ctx context.Context, hub *Hub, r *StartRequest) (start, []largePayload, error) {
	if err := e.noteVersion(ctx, hub.no, r.Name, r.Version); err != nil {
		return start{}, nil, fmt.Errorf("start: %w", err)
	}
	no, err := e.instanceNos.one(ctx)
	if err != nil {
		return start{}, nil, fmt.Errorf("start: %w", err)
	}
	input, large, err := e.externalizeCopy(ctx, no, r.Input)
	if err != nil {
		return start{}, nil, err
	}
	origin := e.cfg.Tracing.Root(ctx)
	s := start{no: no, hub: hub.no, id: r.ID, name: r.Name, version: r.Version, input: input, tags: encodeTags(r.Tags), priority: int16(cmp.Or(r.Priority, DefaultPriority))}
	if r.At.IsZero() || !r.At.After(time.Now()) {
		if s.turnJob, err = e.jobIDs.one(ctx); err != nil {
			return start{}, nil, fmt.Errorf("start: %w", err)
		}
	} else {
		s.scheduledAt = r.At
	}
	if origin.Context.IsValid() && !isEntity(r.ID) { // an entity lives for many callers
		s.trace = tracing.Format(origin.Context)
		if origin.Recording() {
			kept := origin // only those that are traced are allocated
			s.origin = &kept
		}
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
		done = make(chan outcome, len(requests)/startsPerUnit+1)
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
		u.conflict = func(u *unit, i int, taken store.FindInstancesRow) bool {
			replaced, existing, err := requests[mine[i]].Reuse.decide(taken)
			switch {
			case err != nil:
				errs[mine[i]] = err
			case replaced != nil:
				u.dropping(*replaced)
				return true
			case existing:
				out[mine[i]] = Started{ID: u.starts[i].id, Existing: true, no: taken.No}
			default:
				errs[mine[i]] = idTaken(fmt.Sprintf("id[%d]", mine[i]), u.starts[i].id)
			}
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
			done <- o
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
		e.evictPurged(ctx, <-done) // not cut short by ctx: the answers are written into errs until then
	}
	return out, errs
}

// StartTx starts an instance in the caller's own transaction: it exists if and when that commits. It may answer with
// the instance that has the id, but not replace it: that would keep the other's row locked for as long as the
// transaction likes. Errors: as Start; ALREADY_EXISTS leaves the transaction usable.
func (e *Engine) StartTx(ctx context.Context, tx pgx.Tx, r StartRequest) (Started, error) {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return Started{}, err
	}
	if err := e.check(&r, -1); err != nil {
		return Started{}, err
	}
	if len(r.Reuse.Replace) > 0 {
		return Started{}, invalid("reuse", "a start in a transaction cannot replace an instance")
	}
	if err := e.noteVersion(ctx, hub.no, r.Name, r.Version); err != nil {
		return Started{}, fmt.Errorf("start: %w", err)
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
	err = tx.QueryRow(ctx, "SELECT "+e.table("start_instance")+"($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, $10)",
		hub.no, no, r.ID, r.Name, r.Version, input.Inline(), ref, at, int16(cmp.Or(r.Priority, DefaultPriority)), e.db.RiverChannel()).Scan(&got)
	if err != nil {
		return Started{}, fmt.Errorf("start: %w", err)
	}
	if got == nil {
		if !r.Reuse.Existing {
			return Started{}, idTaken("id", r.ID)
		}
		return Started{ID: r.ID, Existing: true}, nil
	}
	origin := e.cfg.Tracing.Root(ctx)
	if tags, traced := encodeTags(r.Tags), tracing.Format(origin.Context); tags != nil || traced != "" { // of a row that nobody else sees yet
		sql := "UPDATE " + e.table("instances") + " SET tags = $1, trace = nullif($2, '') WHERE no = $3"
		if _, err := tx.Exec(ctx, sql, tags, traced, no); err != nil {
			return Started{}, fmt.Errorf("start: %w", err)
		}
	}
	e.cfg.Tracing.End(&origin, tracing.Named("create_orchestration", r.Name, r.Version), tracing.Producer, nil, startAttrs(r.Name, r.Version, r.ID, no)...)
	return Started{ID: r.ID, no: no}, nil
}
