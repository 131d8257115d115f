package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// Suspension is who has suspended an instance, when and why.
type Suspension struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
}

// encode is the instance's column while it is suspended, and what clears it if it is not.
func (s *Suspension) encode() []byte {
	if s == nil {
		return []byte{}
	}
	out, err := json.Marshal(s)
	if err != nil { // text and a time only
		panic(err)
	}
	return out
}

// control is what a unit tells an instance that a session has.
type control struct {
	kind    int16 // of the message
	payload []byte
}

// ControlRequest asks for an instance to be suspended or resumed.
type ControlRequest struct {
	Hub      string
	Instance string
	// Reason and By are for the record: at most 2000 and 200 characters.
	Reason string
	By     string
}

// Suspend stops an instance until it is resumed (DTS: suspend). It needs no worker. What the instance has scheduled
// goes on, and all that reaches it is kept; it takes nothing in. An instance that a session has is suspended before its
// next turn, so that nothing it has in memory is lost; any other has the status SUSPENDED when this returns. One that
// is suspended already stays as it is. Errors: INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION when the instance has
// finished, UNAVAILABLE.
func (e *Engine) Suspend(ctx context.Context, r ControlRequest) error {
	return e.control(ctx, r, msgSuspend)
}

// Resume lets a suspended instance go on; one that is not suspended stays as it is. Errors: as Suspend.
func (e *Engine) Resume(ctx context.Context, r ControlRequest) error {
	return e.control(ctx, r, msgResume)
}

func (e *Engine) control(ctx context.Context, r ControlRequest, kind int16) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := first(CheckID("instance", r.Instance), checkText("reason", r.Reason, maxReason, true), checkText("by", r.By, maxBy, true)); err != nil {
		return err
	}
	rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{hub.no}, Ids: []string{r.Instance}})
	if err != nil {
		return fmt.Errorf("suspend or resume: %w", err)
	}
	if len(rows) == 0 {
		return instanceNotFound(r.Instance)
	}
	return e.controlFound(ctx, rows[0], r, kind)
}

// controlFound suspends or resumes an instance that was found.
func (e *Engine) controlFound(ctx context.Context, row store.FindInstancesRow, r ControlRequest, kind int16) error {
	if status := statusOf(row.Status); !status.Live() {
		return finished(row.ID, status)
	}
	at := history.Header{At: time.Now().UTC().Truncate(time.Microsecond)}
	var event history.Event = &history.ExecutionResumed{Header: at, Reason: r.Reason, By: r.By}
	var why *Suspension
	if kind == msgSuspend {
		event = &history.ExecutionSuspended{Header: at, Reason: r.Reason, By: r.By}
		why = &Suspension{At: at.At, Reason: r.Reason, By: r.By}
	}
	payload, err := history.Encode([]history.Event{event})
	if err != nil {
		return err
	}
	events, err := history.Encode([]history.Event{&history.OrchestratorStarted{Header: history.Header{At: event.Time()}}, event})
	if err != nil {
		return err
	}
	u := &unit{kind: unitControl, no: row.No, control: &control{kind, payload}, events: events, count: 2}
	if why != nil {
		u.suspended = why.encode()
	}
	o, err := e.commit(ctx, u)
	switch {
	case err != nil:
		return err
	case o.landed:
		return nil // recorded, unless the instance has just finished, when it means nothing
	case !o.found:
		return instanceNotFound(row.ID)
	case !o.status.Live():
		return finished(row.ID, o.status)
	}
	return nil
}
