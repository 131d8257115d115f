package engine

import (
	"context"
	"errors"
	"fmt"
)

// RestartRequest asks for an instance that has ended to be started again.
type RestartRequest struct {
	Hub      string
	Instance string
	// New starts another instance like it and leaves it as it is (DTS: restart with a new instance id). NewID is its
	// id; empty has one made up. Without New the instance itself begins a new generation.
	New   bool
	NewID string
}

// Restart starts an instance that has ended again, with the name, version and input it has: of one that continued as
// new, those of its last generation (O-57). In its own place it is PENDING when this returns; no parent waits for it,
// keys of raised events count anew, and the history of the generation that ended is kept until the next. Errors:
// INVALID_ARGUMENT, TOO_LARGE (the input of a new instance), NOT_FOUND, FAILED_PRECONDITION when it has not ended,
// ALREADY_EXISTS when the new id is taken, UNAVAILABLE.
func (e *Engine) Restart(ctx context.Context, r RestartRequest) (Started, error) {
	switch {
	case !r.New && r.NewID != "":
		return Started{}, invalid("newId", "is given for an instance that is to start in its own place")
	case r.NewID != "":
		if err := CheckID("newId", r.NewID); err != nil {
			return Started{}, err
		}
	}
	if err := CheckID("instance", r.Instance); err != nil {
		return Started{}, err
	}
	i, err := e.Get(ctx, r.Hub, r.Instance)
	if err != nil {
		return Started{}, err
	}
	if i.Status.Live() {
		return Started{}, notEnded(i)
	}
	if r.New {
		return e.startLike(ctx, i, r.NewID)
	}
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return Started{}, err
	}
	if err := e.noteVersion(ctx, hub.no, i.Name, i.Version); err != nil {
		return Started{}, err
	}
	o, err := e.commit(ctx, &unit{kind: unitRestart, no: i.no})
	if err != nil {
		return Started{}, err
	}
	if !o.restarted && !o.landed {
		// Somebody was faster, or it is gone.
		if i, err = e.Get(ctx, r.Hub, r.Instance); err != nil {
			return Started{}, err
		}
		return Started{}, notEnded(i)
	}
	return Started{ID: i.ID, no: i.no}, nil
}

func notEnded(i *Instance) error {
	return &Error{
		Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("%q is %s: only an instance that has ended can be started again", i.ID, i.Status),
	}
}

// startLike starts another instance with what an instance was started with.
func (e *Engine) startLike(ctx context.Context, i *Instance, id string) (Started, error) {
	rows, err := e.q.ReadInputs(ctx, e.pool, []int64{i.no})
	if err != nil {
		return Started{}, fmt.Errorf("restart: %w", err)
	}
	if len(rows) == 0 {
		return Started{}, instanceNotFound(i.ID)
	}
	input, err := e.value(ctx, rows[0].Value, rows[0].Ref)
	if errors.Is(err, ErrNotFound) { // purged meanwhile
		return Started{}, instanceNotFound(i.ID)
	}
	if err != nil {
		return Started{}, err
	}
	started, err := e.Start(ctx, StartRequest{Hub: i.Hub, Name: i.Name, ID: id, Version: i.Version, Tags: i.Tags, Priority: int(i.Priority), Input: input})
	var coded *Error
	if errors.As(err, &coded) && coded.Field == "id" {
		return Started{}, &Error{Code: coded.Code, Field: "newId", Message: coded.Message}
	}
	return started, err
}
