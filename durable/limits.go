package durable

import (
	"context"
	"iter"
	"time"

	"github.com/weir-dev/weir/engine"
)

// Bounds are what a limit of the hub allows, over all workers together; those that are zero bound nothing. Calls name it by
// the option Limit; those that also have a Key share it with the calls of the same key only.
type Bounds struct {
	// Concurrency is how many calls may be under way at once, at most 1,000,000. A call holds its place from when it is let
	// through until it ends or waits more than a second for its next attempt, also while its worker is dead and another takes
	// it up.
	Concurrency int
	// Rate is how many calls may be let through in each Period, at most 1,000,000; Period is 1 ms to 366 days, 0 means a
	// second.
	Rate   int
	Period time.Duration
	// Burst is how many calls may be let through at once after a pause, at most 1,000,000; 0 means as many as Rate.
	Burst int
}

// LimitState is a limit and how it stands.
type LimitState struct {
	Name string
	Bounds
	// Defined is false for a limit that calls name and nobody has put: they wait until somebody does.
	Defined bool
	// Holding is how many calls are under way, Waiting how many wait to be, of all keys together.
	Holding, Waiting int
}

// PutLimit creates a limit of the hub, or changes its bounds; name has 1 to 80 characters. Calls that are under way go on.
// Errors: ErrInvalid, which names the bound and what is allowed.
func (c *Client) PutLimit(ctx context.Context, name string, b Bounds) error {
	e, err := c.engine(ctx)
	if err != nil {
		return err
	}
	_, err = e.PutLimit(ctx, c.hub, engine.Limit{Name: name, Concurrency: b.Concurrency, Rate: b.Rate, Period: b.Period, Burst: b.Burst})
	return err
}

// DeleteLimit deletes a limit that no call waits for or holds a place in. Errors: ErrNotFound, ErrWrongState.
func (c *Client) DeleteLimit(ctx context.Context, name string) error {
	e, err := c.engine(ctx)
	if err != nil {
		return err
	}
	return e.DeleteLimit(ctx, c.hub, name)
}

// LimitState reads a limit. Errors: ErrNotFound.
func (c *Client) LimitState(ctx context.Context, name string) (LimitState, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return LimitState{}, err
	}
	l, err := e.Limit(ctx, c.hub, name)
	if err != nil {
		return LimitState{}, err
	}
	return limitStateOf(l), nil
}

// Limits reads the limits of the hub, by name; the sequence ends with the first error.
func (c *Client) Limits(ctx context.Context) iter.Seq2[LimitState, error] {
	return paged(ctx, c, func(e *engine.Engine, after string, limit int) ([]*engine.LimitState, error) {
		return e.Limits(ctx, c.hub, after, limit)
	}, func(l *engine.LimitState) string { return l.Name }, limitStateOf)
}

func limitStateOf(l *engine.LimitState) LimitState {
	return LimitState{
		Name: l.Name, Bounds: Bounds{Concurrency: l.Concurrency, Rate: l.Rate, Period: l.Period, Burst: l.Burst}, Defined: l.Defined,
		Holding: int(l.Holding), Waiting: int(l.Waiting),
	}
}
