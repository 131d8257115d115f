package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
)

// Outcome is how an instance has ended, or how it stands.
type Outcome struct {
	Status  history.Status
	Output  history.Payload
	Failure *history.Failure

	base int64 // number of the first event of its generation
}

// Wait returns the outcome of an instance once it has ended, or ctx's error. If the instance is replaced meanwhile by
// another with its id, that one is waited for. Errors: NOT_FOUND, also when the instance is purged meanwhile.
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
			return e.Wait(ctx, hubName, id) // purged, and perhaps started anew
		}
		if err != nil {
			return Outcome{}, err
		}
		if !out.Status.Live() {
			return out, nil
		}
		select {
		case t := <-changed:
			if t.output.Present() && t.seq >= out.base { // else of a generation before a restart
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
	out := Outcome{Status: statusOf(row.Status), base: row.BaseSeq}
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
