package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// DeadLetter is a turn or an activity with which in hand worker after worker has died. Nothing of it is lost; it is not
// given out until it is redriven.
type DeadLetter struct {
	Hub        string
	InstanceID string
	Name       string
	Version    string
	Status     history.Status
	// Task is the number of the activity, and Activity its name; of a turn they are -1 and empty.
	Task     int32
	Activity string
	// Deaths counts the workers that died of it, the last one Worker, at LastAt.
	Deaths int
	Worker string
	LastAt time.Time
	// HeldAt is since when it is a dead letter.
	HeldAt time.Time

	no int64
}

// wholeTurn is the task number that means a turn, and anyTask the one that means whatever there is.
const (
	wholeTurn = -1
	anyTask   = -2
)

// LetterPosition is a place in the list of dead letters.
type LetterPosition struct {
	HeldAt time.Time
	No     int64
	Task   int32
}

// Position is the letter's own place in the list.
func (d *DeadLetter) Position() LetterPosition { return LetterPosition{d.HeldAt, d.no, d.Task} }

// DeadLetters lists a hub's dead letters, the latest first, at most limit after a position; nil means from the first.
// Errors: NOT_FOUND (hub).
func (e *Engine) DeadLetters(ctx context.Context, hubName string, after *LetterPosition, limit int) ([]*DeadLetter, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	p := store.ListLettersParams{Hub: hub.no, MaxRows: int32(min(limit, math.MaxInt32))}
	if after != nil {
		p.AfterAt, p.AfterNo, p.AfterTask = after.HeldAt, after.No, after.Task
	}
	rows, err := e.q.ListLetters(ctx, e.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	out := make([]*DeadLetter, len(rows))
	for i, r := range rows {
		out[i] = &DeadLetter{
			Hub: hubName, InstanceID: r.ID, Name: r.Name, Version: deref(r.Version), Status: statusOf(r.Status), Task: r.Task,
			Deaths: int(r.Deaths), Worker: r.Worker, LastAt: r.LastAt, HeldAt: deref(r.HeldAt), no: r.No,
		}
		if r.Task != wholeTurn {
			out[i].Activity, _, _ = strings.Cut(r.Kind, "<")
		}
	}
	return out, nil
}

// Redrive gives out again, at once, what of an instance is a dead letter, or rests because workers have died of it: the
// turn, all activities, or the one with the number task if that is not nil. Deaths are counted anew. It returns how many
// there were. Errors: NOT_FOUND (hub, or instance), FAILED_PRECONDITION when there is nothing of the kind.
func (e *Engine) Redrive(ctx context.Context, hubName, id string, task *int32) (int, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return 0, err
	}
	if _, err := ParseEntityID("instance", id); err != nil && CheckID("instance", id) != nil {
		return 0, instanceNotFound(id) // and Postgres would refuse some
	}
	which := int32(anyTask)
	if task != nil {
		if which = *task; which < 0 {
			return 0, invalid("task", "is %d: activities have numbers from 0", which)
		}
	}
	var (
		n    int
		free []store.Bucket
	)
	err = pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		i, err := e.q.LockInstance(ctx, tx, store.LockInstanceParams{Hub: hub.no, ID: id})
		if errors.Is(err, pgx.ErrNoRows) {
			return instanceNotFound(id)
		}
		if err != nil {
			return err
		}
		taken, err := e.q.TakeLetters(ctx, tx, store.TakeLettersParams{No: i.No, Gen: i.Gen, Task: which})
		if err != nil {
			return err
		}
		var p store.GiveOutParams
		for _, t := range taken {
			p.Nos, p.Gens, p.Tasks = append(p.Nos, t.No), append(p.Gens, t.Gen), append(p.Tasks, t.Task)
		}
		if n, free, err = e.release(ctx, tx, p); err == nil && n == 0 {
			err = &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("nothing of instance %q is a dead letter", id)}
		}
		return err
	})
	var coded *Error
	switch {
	case errors.As(err, &coded):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("redrive: %w", err)
	}
	e.limiter.let(free)
	return n, nil
}

// RedriveAll redrives all dead letters that a hub has at the time of the call, one instance after the other, and returns
// how many there were. What was done stays done when ctx ends. Errors: NOT_FOUND (hub).
func (e *Engine) RedriveAll(ctx context.Context, hubName string) (int, error) {
	total := 0
	var after *LetterPosition
	for {
		found, err := e.DeadLetters(ctx, hubName, after, 100)
		if err != nil {
			return total, err
		}
		for _, d := range found {
			n, err := e.Redrive(ctx, hubName, d.InstanceID, nil)
			if err != nil && !errors.Is(err, ErrWrongState) && !errors.Is(err, ErrNotFound) { // somebody else was quicker
				return total, err
			}
			total += n
		}
		if len(found) < 100 {
			return total, nil
		}
		p := found[len(found)-1].Position()
		after = &p
	}
}

// maxMaxDeaths bounds what SetMaxDeaths takes.
const maxMaxDeaths = 1_000_000

// SetMaxDeaths says how many workers may die with the same turn or activity of a hub in hand until it is a dead letter: 1 to
// 1,000,000, 0 for any number. It is 10 if nobody has set it. What is a dead letter stays one. Errors: NOT_FOUND (hub),
// INVALID_ARGUMENT.
func (e *Engine) SetMaxDeaths(ctx context.Context, hub string, most int) error {
	if most < 0 || most > maxMaxDeaths {
		return invalid("maxDeaths", "is %d, allowed are 0, which means any number, to %d", most, maxMaxDeaths)
	}
	if CheckHub("hub", hub) != nil {
		return hubNotFound(hub)
	}
	n, err := e.q.SetHubMaxDeaths(ctx, e.pool, store.SetHubMaxDeathsParams{MaxDeaths: int32(most), Name: hub})
	if err != nil {
		return fmt.Errorf("set hub option: %w", err)
	}
	if n == 0 {
		return hubNotFound(hub)
	}
	return nil
}

// MaxDeaths reads what SetMaxDeaths has set; 0 means any number. Errors: NOT_FOUND (hub).
func (e *Engine) MaxDeaths(ctx context.Context, hub string) (int, error) {
	if CheckHub("hub", hub) != nil {
		return 0, hubNotFound(hub)
	}
	row, err := e.q.GetHub(ctx, e.pool, hub)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, hubNotFound(hub)
	}
	if err != nil {
		return 0, fmt.Errorf("read hub: %w", err)
	}
	return int(row.MaxDeaths), nil
}
