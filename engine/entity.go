package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// EntityID names an entity: a piece of state with operations, which are carried out one at a time. Names compare
// without regard to case.
type EntityID struct{ Name, Key string }

// String is the entity's id: @name@key, the name in lower case (DTS: EntityInstanceId).
func (id EntityID) String() string { return "@" + strings.ToLower(id.Name) + "@" + id.Key }

// ParseEntityID reads what String wrote. Errors: INVALID_ARGUMENT.
func ParseEntityID(field, s string) (EntityID, error) {
	if rest, ok := strings.CutPrefix(s, "@"); ok {
		if name, key, ok := strings.Cut(rest, "@"); ok {
			id := EntityID{strings.ToLower(name), key}
			return id, CheckEntity(field, id)
		}
	}
	return EntityID{}, invalid(field, "%q is not the id of an entity: want @name@key", s)
}

// Limits of the parts of an entity's id, in characters.
const (
	maxEntityName = 73
	maxEntityKey  = 200
)

// CheckEntity tests an entity's id: a name of 1 to 73 characters without @, a key of 1 to 200 characters.
func CheckEntity(field string, id EntityID) error {
	if err := checkText(field+".name", id.Name, maxEntityName, false); err != nil {
		return err
	}
	if strings.Contains(id.Name, "@") {
		return invalid(field+".name", "must not contain @")
	}
	return checkText(field+".key", id.Key, maxEntityKey, false)
}

// CheckOperation tests the name of an operation: 1 to 200 characters.
func CheckOperation(field, name string) error { return checkText(field, name, maxEvent, false) }

// EntityKind is how an entity's name stands among those of orchestrations: in instances, and in River's kinds.
func EntityKind(name string) string { return entityKind + strings.ToLower(name) }

// entityKind is the prefix of EntityKind, which no orchestration's name has.
const entityKind = "entity:"

// isEntity tells whether an instance's id is an entity's.
func isEntity(id string) bool { return strings.HasPrefix(id, "@") }

// EntityBatch is what an entity is asked to do: operations, in their order, one after another.
type EntityBatch struct {
	Hub        string
	ID         EntityID
	State      history.Payload // absent if the entity has none
	Operations []EntityOperation
	// Limit bounds the state after each operation and what that returns, in bytes.
	Limit int
}

// EntityOperation is one operation to carry out.
type EntityOperation struct {
	Name  string
	Input history.Payload
	// Sender is the instance that asks, empty for a client.
	Sender string
	// Trace is the context that its code runs in; invalid if nobody traces it.
	Trace trace.SpanContext
}

// EntityResult is what became of a batch.
type EntityResult struct {
	// State is the state after the last operation that did not fail; absent if there is none.
	State   history.Payload
	Results []OperationResult // of each operation
	// Signals and Starts are what the operations that did not fail want to be done.
	Signals []EntitySignal
	Starts  []EntityStart
}

// OperationResult is what an operation returned, or why it failed.
type OperationResult struct {
	Output  history.Payload
	Failure *history.Failure
	// Began and Ended are when its code ran, where it is traced.
	Began time.Time
	Ended time.Time
}

// EntitySignal is an operation that an entity wants another to carry out.
type EntitySignal struct {
	To        EntityID
	Operation string
	Input     history.Payload
	At        time.Time // zero: at once
	// Trace is the context of the operation that sends it, as tracing.Format writes it.
	Trace string
}

// EntityStart is an orchestration that an entity wants to be started. Nothing is started if one with its id lives.
type EntityStart struct {
	ID      string // empty: made up
	Name    string
	Version string
	Input   history.Payload
	At      time.Time // zero: at once
	// Trace is that of EntitySignal.
	Trace string
}

// SignalRequest asks for an operation of an entity to be carried out.
type SignalRequest struct {
	Hub       string
	Entity    EntityID
	Operation string
	Input     history.Payload
	// At is the time before which it is not carried out; zero or past means now.
	At time.Time
	// Key makes a signal idempotent, as RaiseRequest.Key does; not for calls.
	Key string
}

func (e *Engine) checkSignal(r *SignalRequest) error {
	if r.At.UTC().Year() > maxYear {
		return invalid("at", "is after the year %d", maxYear)
	}
	return first(CheckEntity("entity", r.Entity), CheckOperation("operation", r.Operation), checkText("key", r.Key, maxKey, true),
		e.checkPayload("input", r.Input))
}

// SignalEntity has an entity carry out an operation: when it returns, the request is in the entity's inbox. An entity is
// there as soon as it is turned to. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (hub), UNAVAILABLE.
func (e *Engine) SignalEntity(ctx context.Context, r SignalRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := e.checkSignal(&r); err != nil {
		return err
	}
	origin := e.cfg.Tracing.Below(ctx)
	_, err = e.request(ctx, hub, r.Entity, r.Key, &history.EntityRequest{
		Operation: r.Operation, Input: r.Input, ScheduledAt: r.At, Trace: tracing.Format(origin.Context),
	})
	e.cfg.Tracing.End(&origin, entitySpan(r.Entity, r.Operation), tracing.Producer, err, operationAttrs(r.Entity.String(), r.Operation)...)
	return err
}

// CallEntity has an entity carry out an operation and waits for what it returns, or ctx's end: the operation is
// carried out in any case, then. Errors: those of SignalEntity. The result is the operation's own.
func (e *Engine) CallEntity(ctx context.Context, r SignalRequest) (OperationResult, error) {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return OperationResult{}, err
	}
	if err := e.checkSignal(&r); err != nil {
		return OperationResult{}, err
	}
	if r.Key != "" {
		return OperationResult{}, invalid("key", "must be empty: of two calls with the same key one would wait for ever")
	}
	sub, err := e.Subscribe(ctx)
	if err != nil {
		return OperationResult{}, err
	}
	defer sub.Close()
	origin := e.cfg.Tracing.Below(ctx)
	reply := newUUID()
	no, err := e.request(ctx, hub, r.Entity, "", &history.EntityRequest{
		Operation: r.Operation, Input: r.Input, ScheduledAt: r.At, From: &history.Requester{Reply: reply, TaskID: -1},
		Trace: tracing.Format(origin.Context),
	})
	if err != nil {
		return OperationResult{}, err
	}
	sub.Follow(no)
	safety := time.NewTicker(pollEvery)
	defer safety.Stop()
	for {
		select {
		case <-sub.C:
			if changed, resync := sub.Take(); !resync {
				if _, mine := changed[no]; !mine {
					continue
				}
			}
		case <-safety.C: // notifications can be lost
		case <-ctx.Done():
			return OperationResult{}, ctx.Err()
		}
		payload, err := e.q.TakeReply(ctx, e.pool, reply)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return OperationResult{}, fmt.Errorf("read the answer: %w", err)
		default:
			out, err := e.readReply(ctx, payload)
			why := err
			if out.Failure != nil {
				why = errors.New(out.Failure.Message)
			}
			e.cfg.Tracing.End(&origin, entitySpan(r.Entity, r.Operation), tracing.Client, why, operationAttrs(r.Entity.String(), r.Operation)...)
			return out, err
		}
	}
}

func (e *Engine) readReply(ctx context.Context, payload []byte) (OperationResult, error) {
	events, err := history.Decode(history.JSON, payload)
	if err != nil {
		return OperationResult{}, err
	}
	if err := e.fetchValues(ctx, inTransit, events); err != nil {
		return OperationResult{}, err
	}
	switch a := events[0].(type) {
	case *history.EntityOperationCompleted:
		return OperationResult{Output: a.Result}, nil
	case *history.EntityOperationFailed:
		return OperationResult{Failure: a.Failure}, nil
	}
	return OperationResult{}, fmt.Errorf("the answer is a %s event", history.TypeName(events[0]))
}

// request puts a request into an entity's inbox, and makes the entity if there is none. It returns its number.
func (e *Engine) request(ctx context.Context, hub *Hub, id EntityID, key string, r *history.EntityRequest) (int64, error) {
	r.Header = history.Header{At: time.Now().UTC().Truncate(time.Microsecond)}
	name := instanceName{hub.no, id.String()}
	value := r.Input
	for {
		no, cached := e.ids.get(name)
		if !cached {
			var err error
			if no, err = e.find(ctx, name); errors.Is(err, ErrNotFound) {
				if no, err = e.newEntity(ctx, hub, id, key, r); errors.Is(err, errLive) {
					continue
				}
				return no, err
			}
			if err != nil {
				return 0, err
			}
		}
		input, large, err := e.externalizeCopy(ctx, no, value)
		if err != nil {
			return 0, err
		}
		r.Input = input
		payload, err := history.Encode([]history.Event{r})
		if err != nil {
			return 0, err
		}
		o, err := e.commit(ctx, &unit{no: no, large: large, raises: []raise{{key, payload}}})
		switch {
		case err != nil:
			return 0, err
		case o.landed || o.found:
			return no, nil
		}
		e.ids.drop(name) // removed meanwhile, because it was empty
	}
}

// newEntity makes an entity, with a request in its inbox unless r is nil. Errors: errLive when it is there.
func (e *Engine) newEntity(ctx context.Context, hub *Hub, id EntityID, key string, r *history.EntityRequest) (int64, error) {
	s, large, err := e.newStart(ctx, hub, &StartRequest{ID: id.String(), Name: EntityKind(id.Name)})
	if err != nil {
		return 0, err
	}
	u := &unit{no: s.no, starts: []start{s}, large: large}
	if r != nil {
		input, more, err := e.externalizeCopy(ctx, s.no, r.Input)
		if err != nil {
			return 0, err
		}
		asked := *r
		asked.Input = input
		payload, err := history.Encode([]history.Event{&asked})
		if err != nil {
			return 0, err
		}
		u.large = append(u.large, more...)
		u.raises = []raise{{key, payload}}
	}
	u.conflict = func(u *unit, _ int, _ store.FindInstancesRow) bool {
		u.done(u, outcome{err: errLive})
		return false
	}
	if _, err := e.commit(ctx, u); err != nil {
		return 0, err
	}
	e.ids.put(instanceName{hub.no, id.String()}, s.no)
	return s.no, nil
}
