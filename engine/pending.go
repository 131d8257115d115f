package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// PendingMessage is a message in the inbox of an instance, which it has not taken in yet.
type PendingMessage struct {
	// ID counts messages in the order in which they are taken in, of all instances together.
	ID int64
	// Kind is START, EVENT, RESULT, TIMER, SUSPEND, RESUME or CANCEL, or, of an entity, REQUEST.
	Kind string
	// Name is that of an event, or the operation of a request.
	Name string
	// TaskID is the decision that a result or timer answers; -1 of other messages.
	TaskID int32
	// At is when it was sent; nil where that is not known.
	At *time.Time
	// Value is what it carries, if anything.
	Value history.Payload
	// Held says why it waits: the instance is suspended, or the message is for later.
	Held bool
}

var messageKinds = map[int16]string{
	msgStart: "START", msgEvent: "EVENT", msgResult: "RESULT", msgTimer: "TIMER", msgSuspend: "SUSPEND", msgResume: "RESUME", msgCancel: "CANCEL",
	msgHolder: "REQUEST", msgLater: "REQUEST",
}

// PendingMessages lists what an instance has been sent and not yet taken in, the oldest first, at most limit.
func (e *Engine) PendingMessages(ctx context.Context, i *Instance, limit int) ([]*PendingMessage, error) {
	rows, err := e.q.ListInbox(ctx, e.pool, store.ListInboxParams{No: i.no, MaxRows: int32(min(limit, math.MaxInt32))})
	if err != nil {
		return nil, fmt.Errorf("list pending messages: %w", err)
	}
	out := make([]*PendingMessage, len(rows))
	for n, r := range rows {
		m := &PendingMessage{ID: r.ID, Kind: messageKinds[r.Kind], TaskID: -1, Held: r.Kind == msgLater || i.Status == history.Suspended && r.Kind != msgSuspend && r.Kind != msgResume}
		if r.Kind == msgResult || r.Kind == msgTimer {
			m.TaskID = r.Task
		}
		out[n] = m
		if r.Payload == nil {
			continue
		}
		events, err := history.Decode(history.JSON, r.Payload)
		if err != nil || len(events) == 0 {
			continue // the instance is held for it, which says more
		}
		if at := events[0].Time(); !at.IsZero() {
			m.At = &at
		}
		switch ev := events[0].(type) {
		case *history.EventRaised:
			m.Name = ev.Name
		case *history.EntityRequest:
			m.Kind, m.Name = "REQUEST", ev.Operation
		}
		history.EachValue(events[0], func(v *history.Payload) { m.Value = *v })
	}
	return out, nil
}
