package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/tracing"
)

// RaiseRequest asks for an event to be delivered to an instance.
type RaiseRequest struct {
	Hub      string
	Instance string
	Name     string
	Input    history.Payload
	// Key makes the raise idempotent: of several raises to one instance with the same key only the first
	// counts, for as long as the instance exists. Empty means none.
	Key string
}

func (e *Engine) checkRaise(r *RaiseRequest) error {
	err := first(CheckID("instance", r.Instance), CheckEvent("event", r.Name), checkText("key", r.Key, maxKey, true),
		e.checkPayload("payload", r.Input))
	return err
}

func (e *Engine) raised(no int64, large []largePayload, r *RaiseRequest, input history.Payload, from *tracing.Origin) (*unit, error) {
	payload, err := history.Encode([]history.Event{&history.EventRaised{Header: history.Header{At: time.Now().UTC().Truncate(time.Microsecond)}, Name: r.Name, Input: input, Trace: tracing.Format(from.Context)}})
	if err != nil {
		return nil, err
	}
	return &unit{no: no, large: large, raises: []raise{{r.Key, payload}}}, nil
}

// Raise delivers an event: when it returns, the event is in the instance's inbox. Errors: INVALID_ARGUMENT,
// TOO_LARGE, NOT_FOUND, FAILED_PRECONDITION when the instance has finished, UNAVAILABLE.
func (e *Engine) Raise(ctx context.Context, r RaiseRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := e.checkRaise(&r); err != nil {
		return err
	}
	origin := e.cfg.Tracing.Below(ctx)
	err = e.raise(ctx, hub, &r, &origin)
	e.cfg.Tracing.End(&origin, eventSpan(r.Name), tracing.Producer, err, eventAttrs(r.Name, r.Instance)...)
	return err
}

func (e *Engine) raise(ctx context.Context, hub *Hub, r *RaiseRequest, origin *tracing.Origin) error {
	name := instanceName{hub.no, r.Instance}
	for {
		no, cached := e.ids.get(name)
		if !cached {
			var err error
			if no, err = e.find(ctx, name); err != nil {
				return err
			}
		}
		input, large, err := e.externalizeCopy(ctx, no, r.Input)
		if err != nil {
			return err
		}
		u, err := e.raised(no, large, r, input, origin)
		if err != nil {
			return err
		}
		o, err := e.commit(ctx, u)
		switch {
		case err != nil:
			return err
		case o.landed:
			return e.landedRaise(ctx, no)
		case !o.found:
			e.ids.drop(name)
			continue // purged; another may have its id
		case !o.status.Live():
			e.ids.drop(name)
			if cached {
				continue
			}
			return finished(r.Instance, o.status)
		}
		return nil
	}
}

// landedRaise judges a raise whose answer was lost with the connection: it was applied if the instance was live.
func (e *Engine) landedRaise(ctx context.Context, no int64) error {
	row, err := e.q.GetOutcome(ctx, e.pool, no)
	if err == nil && statusOf(row.Status).Live() {
		return nil
	}
	return &Error{Code: CodeUnavailable, Message: "the connection broke while the instance finished: whether the event came before is not known"}
}

// RaiseTx raises an event in the caller's own transaction: it is delivered, once and in order, some
// milliseconds after that commits. The target is not looked at: an event to an instance that does not exist or
// has finished by then is dropped and counted. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (hub).
func (e *Engine) RaiseTx(ctx context.Context, tx pgx.Tx, r RaiseRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := e.checkRaise(&r); err != nil {
		return err
	}
	origin := e.cfg.Tracing.Below(ctx)
	u, err := e.raised(0, nil, &r, r.Input, &origin)
	if err != nil {
		return err
	}
	var key *string
	if r.Key != "" {
		key = &r.Key
	}
	var id int64
	err = tx.QueryRow(ctx, "SELECT "+e.table("outbox_event")+"($1, $2, $3, $4, $5)",
		hub.no, r.Instance, key, u.raises[0].payload, e.db.RiverChannel()).Scan(&id)
	if err != nil {
		return fmt.Errorf("raise: %w", err)
	}
	e.cfg.Tracing.End(&origin, eventSpan(r.Name), tracing.Producer, nil, eventAttrs(r.Name, r.Instance)...)
	return nil
}
