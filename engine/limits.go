package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// Limit bounds calls of activities that name it, over all workers of the hub. Calls that also give a key are bounded
// with those of the same key only.
type Limit struct {
	// Name is 1 to 80 characters, unique in the hub.
	Name string
	// Concurrency is how many calls may be under way at once, at most 1,000,000; 0 bounds none. A call holds its place
	// from when it is let through until it ends or waits for its next attempt, also while its worker is dead and another
	// takes it up.
	Concurrency int
	// Rate is how many calls may be let through in each Period, at most 1,000,000; 0 bounds none. Each attempt that waited
	// for its time in the database is let through anew. Period is 1 ms to 366 days; 0 means a second.
	Rate   int
	Period time.Duration
	// Burst is how many calls may be let through at once after a pause, at most 1,000,000; 0 means as many as Rate.
	Burst int
}

// LimitState is a limit and how it stands.
type LimitState struct {
	Limit

	Hub string
	// Defined is false for a limit that calls name and nobody has put: they wait until somebody does.
	Defined bool
	// Holding and Waiting count calls, of all keys together.
	Holding   int64
	Waiting   int64
	CreatedAt *time.Time
	UpdatedAt *time.Time
}

// Holder is a call that holds a place in a limit.
type Holder struct {
	InstanceID string
	Generation int
	// Task is the number of the call.
	Task  int32
	Key   string
	Since time.Time
}

// Bounds of limits.
const (
	maxLimit  = 1_000_000
	minPeriod = time.Millisecond
	maxPeriod = 366 * 24 * time.Hour
)

// CheckLimit tests the name of a limit: 1 to 80 characters, none of them control characters.
func CheckLimit(field, name string) error { return checkText(field, name, maxName, false) }

// CheckLimitKey tests the key of a call: at most 200 characters.
func CheckLimitKey(field, key string) error { return checkText(field, key, maxKey, true) }

// check tests a limit and fills in what it leaves open.
func (l *Limit) check() error {
	if err := CheckLimit("name", l.Name); err != nil {
		return err
	}
	for _, n := range []struct {
		field string
		value int
	}{{"concurrency", l.Concurrency}, {"rate", l.Rate}, {"burst", l.Burst}} {
		if n.value < 0 || n.value > maxLimit {
			return invalid(n.field, "is %d, allowed are 0 to %d", n.value, maxLimit)
		}
	}
	switch {
	case l.Concurrency == 0 && l.Rate == 0:
		return invalid("concurrency", "is 0, and so is rate: one of them must bound something")
	case l.Rate == 0 && (l.Period != 0 || l.Burst != 0):
		return invalid("rate", "is 0: without it there is no period and no burst")
	}
	if l.Period == 0 {
		l.Period = time.Second
	}
	if l.Burst == 0 {
		l.Burst = l.Rate
	}
	if l.Period < minPeriod || l.Period > maxPeriod {
		return invalid("period", "is %s, allowed are %s to %s", l.Period, minPeriod, maxPeriod)
	}
	return nil
}

func limitNotFound(name string) error {
	return &Error{Code: CodeNotFound, Field: "name", Message: fmt.Sprintf("there is no limit %q", name)}
}

// PutLimit creates a limit, or changes its bounds. Calls that hold places keep them, and calls that may be let through now
// are, some milliseconds later. Errors: INVALID_ARGUMENT, NOT_FOUND (hub).
func (e *Engine) PutLimit(ctx context.Context, hubName string, l Limit) (*LimitState, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	err = e.q.PutLimit(ctx, e.pool, store.PutLimitParams{
		Hub: hub.no, Name: l.Name, Concurrency: int32(l.Concurrency), Rate: int32(l.Rate), Burst: int32(l.Burst), Period: l.Period.Seconds(),
	})
	if err != nil {
		return nil, fmt.Errorf("put limit: %w", err)
	}
	keys, err := e.q.ListWaitingKeys(ctx, e.pool, store.ListWaitingKeysParams{Hub: hub.no, Name: l.Name})
	if err != nil {
		return nil, fmt.Errorf("put limit: %w", err)
	}
	buckets := make([]store.Bucket, len(keys))
	for i, key := range keys {
		buckets[i] = store.Bucket{Hub: hub.no, Name: l.Name, Key: key}
	}
	e.limiter.let(buckets)
	return e.Limit(ctx, hubName, l.Name)
}

// DeleteLimit deletes a limit that no call holds a place in or waits for: those would wait for ever. Errors: NOT_FOUND,
// FAILED_PRECONDITION when there are such calls.
func (e *Engine) DeleteLimit(ctx context.Context, hubName, name string) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	if CheckLimit("name", name) != nil { // there is none, and Postgres would refuse some
		return limitNotFound(name)
	}
	row, err := e.q.DeleteLimit(ctx, e.pool, store.DeleteLimitParams{Hub: hub.no, Name: name})
	switch {
	case err != nil:
		return fmt.Errorf("delete limit: %w", err)
	case !row.Found:
		return limitNotFound(name)
	case row.Calls > 0:
		return &Error{Code: CodeWrongState, Field: "name", Message: fmt.Sprintf(
			"%d calls are bound by limit %q: it can be deleted when they have ended", row.Calls, name)}
	}
	return nil
}

// Limit reads a limit. Errors: NOT_FOUND.
func (e *Engine) Limit(ctx context.Context, hubName, name string) (*LimitState, error) {
	if CheckLimit("name", name) != nil {
		return nil, limitNotFound(name)
	}
	rows, err := e.listLimits(ctx, hubName, store.ListLimitsParams{One: name, MaxRows: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, limitNotFound(name)
	}
	return rows[0], nil
}

// Limits lists a hub's limits by name, at most limit after the given name, those that waiting calls name and nobody has
// put among them. Errors: NOT_FOUND (hub).
func (e *Engine) Limits(ctx context.Context, hubName, after string, limit int) ([]*LimitState, error) {
	if CheckLimitKey("after", after) != nil {
		return nil, invalid("after", "is no name of a limit")
	}
	return e.listLimits(ctx, hubName, store.ListLimitsParams{After: after, MaxRows: int32(min(limit, math.MaxInt32))})
}

func (e *Engine) listLimits(ctx context.Context, hubName string, p store.ListLimitsParams) ([]*LimitState, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	p.Hub = hub.no
	rows, err := e.q.ListLimits(ctx, e.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	out := make([]*LimitState, len(rows))
	for i, r := range rows {
		out[i] = &LimitState{
			Limit: Limit{Name: r.Name, Concurrency: int(r.Concurrency), Rate: int(r.Rate), Period: seconds(r.Period), Burst: int(r.Burst)},
			Hub:   hubName, Defined: r.Found, Holding: r.Holding, Waiting: r.Waiting, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		}
	}
	return out, nil
}

// seconds reads an interval, which Postgres keeps in microseconds.
func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s*1e6)) * time.Microsecond
}

// Holders lists the calls that hold places in a limit, the oldest first, at most limit. Errors: NOT_FOUND (hub).
func (e *Engine) Holders(ctx context.Context, hubName, name string, limit int) ([]Holder, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if CheckLimit("name", name) != nil {
		return nil, nil //nolint:nilerr // no limit has such a name
	}
	rows, err := e.q.ListHolders(ctx, e.pool, store.ListHoldersParams{Hub: hub.no, Name: name, MaxRows: int32(min(limit, math.MaxInt32))})
	if err != nil {
		return nil, fmt.Errorf("list holders of a limit: %w", err)
	}
	out := make([]Holder, len(rows))
	for i, r := range rows {
		out[i] = Holder{InstanceID: r.InstanceID, Generation: int(r.Gen), Task: r.Task, Key: r.Key, Since: deref(r.GrantedAt)}
	}
	return out, nil
}

// freeLater gives back the place of a call whose result was committed by other means than a lane.
func (n *Node) freeLater(key taskKey) {
	n.lane.submit(&unit{no: key.no, flowParts: flowParts{freed: []taskKey{key}}, done: func(_ *unit, o outcome) {
		if o.err != nil && !errors.Is(o.err, ErrUnavailable) && n.ctx.Err() == nil {
			n.log.Warn("give back a place in a limit", logkey.InstanceNo, key.no, logkey.Err, o.err) // the sweep does
		}
	}})
}
