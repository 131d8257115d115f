package durable

import (
	"context"
	"iter"
	"time"

	"github.com/weir-dev/weir/engine"
)

// DeadLetter is a turn of an instance, or one of its activities, with which in hand worker after worker has died: ten, if
// SetMaxDeaths does not say otherwise. It rests longer after each, and then is not given out any more. Nothing of it is lost.
type DeadLetter struct {
	InstanceID string
	// Name and Version are those of the orchestration.
	Name, Version string
	// Activity is the name of the activity, and Task its number; of a turn they are empty and -1.
	Activity string
	Task     int
	// Deaths is how many workers died, Worker the name of the last one, LastAt when it died.
	Deaths int
	Worker string
	LastAt time.Time
	// HeldAt is since when it is a dead letter.
	HeldAt time.Time
}

// DeadLetters reads the dead letters of the hub, the latest first; the sequence ends with the first error.
func (c *Client) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return paged(ctx, c, func(e *engine.Engine, after *engine.LetterPosition, limit int) ([]*engine.DeadLetter, error) {
		return e.DeadLetters(ctx, c.hub, after, limit)
	}, func(d *engine.DeadLetter) *engine.LetterPosition { p := d.Position(); return &p }, func(d *engine.DeadLetter) DeadLetter {
		return DeadLetter{d.InstanceID, d.Name, d.Version, d.Activity, int(d.Task), d.Deaths, d.Worker, d.LastAt, d.HeldAt}
	})
}

// Redrive gives out again what of an instance is a dead letter, or rests because workers have died of it, and returns how
// many turns and activities that were. Errors: ErrNotFound, ErrWrongState when there is nothing of the kind.
func (c *Client) Redrive(ctx context.Context, id string) (int, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return 0, err
	}
	return e.Redrive(ctx, c.hub, id, nil)
}

// RedriveAll redrives all dead letters of the hub, and returns how many there were.
func (c *Client) RedriveAll(ctx context.Context) (int, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return 0, err
	}
	return e.RedriveAll(ctx, c.hub)
}

// SetMaxDeaths says how many workers may die with the same turn or activity of the hub in hand until it is a dead letter; 0
// means any number. It is 10 if nobody says otherwise. Errors: ErrInvalid.
func (c *Client) SetMaxDeaths(ctx context.Context, most int) error {
	e, err := c.engine(ctx)
	if err != nil {
		return err
	}
	return e.SetMaxDeaths(ctx, c.hub, most)
}

// MaxDeaths tells what SetMaxDeaths has set; 0 means any number.
func (c *Client) MaxDeaths(ctx context.Context) (int, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return 0, err
	}
	return e.MaxDeaths(ctx, c.hub)
}
