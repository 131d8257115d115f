package durable

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/tracing"
)

// Operation names an operation of an entity, "entity/operation", with the types of the entity's state and of what goes
// in and comes out:
//
//	const Deposit durable.Operation[Balance, Money, Money] = "account/deposit"
//
// An entity is a piece of state with a key, such as one customer's account. It is there as soon as it is turned to, and
// its operations are carried out one at a time, in the order in which each sender has asked for them. Names compare
// without regard to case.
type Operation[S, I, O any] string

// EntityID names an entity.
type EntityID = engine.EntityID

// split returns the name of the entity and of the operation.
func (p Operation[S, I, O]) split() (entity, operation string) {
	entity, operation, _ = strings.Cut(string(p), "/")
	return entity, operation
}

// ID names the entity with a key that the operation belongs to.
func (p Operation[S, I, O]) ID(key string) EntityID {
	entity, _ := p.split()
	return EntityID{Name: strings.ToLower(entity), Key: key}
}

// Handler binds the operation to the function that carries it out on the entity's state, which is the zero value when the
// entity has none. What fn leaves in *S is stored together with the operation's answer and with what it sends; if fn
// returns an error or panics, state and messages are as if it had never run, and a caller gets the error. All operations
// of an entity have the same state type, and belong to the same worker.
//
// fn may do what it likes, I/O included, but it keeps the entity busy. Should the process die before what it did is
// committed, it runs again.
func (p Operation[S, I, O]) Handler(fn func(*EntityContext, *S, I) (O, error)) Handler {
	entity, operation := p.split()
	return Handler{
		name: entity, operation: operation, kind: operationHandler, stateType: reflect.TypeFor[S](),
		operate: func(ctx *EntityContext, box *entityState, input history.Payload) (history.Payload, error) {
			v := ctx.values
			var in I
			if err := v.decode(ctx, input, &in); err != nil {
				return history.Payload{}, unreadable(string(p), err)
			}
			s, ok := box.value.(*S)
			if !ok {
				s = new(S)
				if err := v.decode(ctx, box.payload, s); err != nil {
					return history.Payload{}, finalError("state of "+ctx.id.String(), err)
				}
			}
			box.value = nil // until it is known to be as stored
			out, err := fn(ctx, s, in)
			if err != nil {
				return history.Payload{}, err
			}
			result, err := v.encode(ctx, out)
			if err != nil || result.Size() > box.limit {
				return history.Payload{}, errors.Join(err, tooLarge("the result", result, box.limit))
			}
			if ctx.deleted {
				box.payload = history.Payload{}
				return result, nil
			}
			state, err := v.encode(ctx, *s)
			if err != nil || state.Size() > box.limit {
				return history.Payload{}, errors.Join(err, tooLarge("the state", state, box.limit))
			}
			if box.payload, box.value = state, s; string(state.Data()) == "null" {
				box.payload = history.Payload{}
			}
			return result, nil
		},
	}
}

func tooLarge(what string, p history.Payload, limit int) error {
	if p.Size() <= limit {
		return nil
	}
	return &engine.Error{Code: engine.CodeTooLarge, Message: fmt.Sprintf("%s has %d bytes, the limit is %d", what, p.Size(), limit)}
}

// Sender is what sends signals: an orchestration's *Context, or an *EntityContext.
type Sender interface {
	signal(to EntityID, operation string, in any, at time.Time) error
}

// SignalOption is an option of a signal.
type SignalOption interface{ applySignal(*engine.SignalRequest) }

func (t At) applySignal(r *engine.SignalRequest)    { r.At = time.Time(t) }
func (k Key) applySignal(r *engine.SignalRequest)   { r.Key = string(k) }
func (d Delay) applySignal(r *engine.SignalRequest) { r.At = time.Now().Add(time.Duration(d)) }

// Signal has the entity carry the operation out, and waits for nothing: from an orchestration, or from an operation of
// another entity. It goes out with what its sender commits. Options: At, and Delay within operations.
func (p Operation[S, I, O]) Signal(from Sender, key string, in I, opts ...SignalOption) error {
	_, operation := p.split()
	var r engine.SignalRequest
	for _, opt := range opts {
		if d, relative := opt.(Delay); relative {
			if c, ok := from.(*Context); ok { // whose time is not the clock's
				r.At = c.Now().Add(time.Duration(d))
				continue
			}
		}
		opt.applySignal(&r)
	}
	id := p.ID(key)
	err := engine.CheckEntity("entity", id)
	switch {
	case err != nil:
	case r.Key != "":
		err = &engine.Error{Code: engine.CodeInvalid, Field: "Key", Message: "is for signals from clients: those of orchestrations and entities go out once in any case"}
	default:
		err = from.signal(id, operation, in, r.At)
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", p, err)
	}
	return nil
}

// Call has the entity carry the operation out, and waits for what it returns. An error is a *TaskError.
func (p Operation[S, I, O]) Call(ctx *Context, key string, in I) (O, error) {
	return p.Go(ctx, key, in).Await()
}

// Go is Call that returns a future.
func (p Operation[S, I, O]) Go(ctx *Context, key string, in I) *Future[O] {
	_, operation := p.split()
	id := p.ID(key)
	return newFuture[O](ctx.call("operation "+string(p), func() *core { return ctx.run.callEntity(id, operation, in) }))
}

// Invoke signals the entity from outside, and returns when the request is safely recorded. Errors: ErrInvalid,
// ErrTooLarge, ErrNotFound for the hub. Options: At, Delay, Key.
func (p Operation[S, I, O]) Invoke(ctx context.Context, c *Client, key string, in I, opts ...SignalOption) error {
	e, r, err := p.request(ctx, c, key, in, opts)
	if err == nil {
		err = e.SignalEntity(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", p, err)
	}
	return nil
}

// Ask calls the operation from outside and waits for what it returns. An error of the operation is a *TaskError. When ctx
// ends first, the operation is carried out nevertheless. Errors: as Invoke.
func (p Operation[S, I, O]) Ask(ctx context.Context, c *Client, key string, in I) (O, error) {
	var out O
	e, r, err := p.request(ctx, c, key, in, nil)
	if err != nil {
		return out, fmt.Errorf("call %s: %w", p, err)
	}
	result, err := e.CallEntity(ctx, r)
	switch {
	case err != nil:
		return out, fmt.Errorf("call %s: %w", p, err)
	case result.Failure != nil:
		return out, fromFailure("operation "+string(p), result.Failure, 0)
	}
	return out, c.values.decode(ctx, result.Output, &out)
}

// State reads the entity's state as it was last committed; found tells whether it has one.
func (p Operation[S, I, O]) State(ctx context.Context, c *Client, key string) (state S, found bool, err error) {
	e, err := c.engine(ctx)
	if err != nil {
		return state, false, err
	}
	got, err := e.Entity(ctx, c.hub, p.ID(key))
	switch {
	case errors.Is(err, ErrNotFound):
		return state, false, nil
	case err != nil:
		return state, false, err
	case !got.State.Present():
		return state, false, nil
	}
	return state, true, c.values.decode(ctx, got.State, &state)
}

func (p Operation[S, I, O]) request(ctx context.Context, c *Client, key string, in I, opts []SignalOption) (*engine.Engine, engine.SignalRequest, error) {
	_, operation := p.split()
	r := engine.SignalRequest{Hub: c.hub, Entity: p.ID(key), Operation: operation}
	for _, opt := range opts {
		opt.applySignal(&r)
	}
	e, err := c.engine(ctx)
	if err != nil {
		return nil, r, err
	}
	r.Input, err = c.values.encode(ctx, in)
	return e, r, err
}

// EntityContext is the context of an operation of an entity.
type EntityContext struct {
	context.Context
	id        EntityID
	hub       string
	operation string
	sender    string
	values    *values
	version   Version // of instances whose start names none
	limit     int
	trace     string // as tracing.Format writes it
	deleted   bool
	signals   []engine.EntitySignal
	starts    []engine.EntityStart
}

// ID names the entity.
func (c *EntityContext) ID() EntityID { return c.id }

// Key is the entity's key.
func (c *EntityContext) Key() string { return c.id.Key }

// Hub is the task hub.
func (c *EntityContext) Hub() string { return c.hub }

// Operation is the name of the operation, as its sender spelt it.
func (c *EntityContext) Operation() string { return c.operation }

// Sender is the id of the instance that asks, "" for a client.
func (c *EntityContext) Sender() string { return c.sender }

// Delete takes the entity's state away when the operation has succeeded: that deletes it. A later operation finds the
// zero value.
func (c *EntityContext) Delete() { c.deleted = true }

func (c *EntityContext) signal(to EntityID, operation string, in any, at time.Time) error {
	if err := engine.CheckOperation("operation", operation); err != nil {
		return err
	}
	input, err := c.values.encode(c, in)
	if err != nil {
		return err
	}
	if err := tooLarge("the input", input, c.limit); err != nil {
		return err
	}
	c.signals = append(c.signals, engine.EntitySignal{To: to, Operation: operation, Input: input, At: at, Trace: c.trace})
	return nil
}

// StartFrom starts an instance from an operation of an entity, with what that commits; nobody waits for it. If an
// instance with the id lives, it is left as it is. It returns the instance's id. Options: ID, Version, Delay, At.
func (o Orchestration[I, O]) StartFrom(c *EntityContext, in I, opts ...StartOption) (string, error) {
	options, err := startOptionsOf(opts)
	if err != nil {
		return "", fmt.Errorf("start %s: %w", o, err)
	}
	if options.tags != nil || len(options.ids) > 0 {
		return "", fmt.Errorf("start %s: %w", o, &engine.Error{Code: engine.CodeInvalid, Field: "opts", Message: "an entity starts instances with ID, Version, Delay and At only"})
	}
	input, err := c.values.encode(c, in)
	if err != nil {
		return "", fmt.Errorf("start %s: %w", o, err)
	}
	req := options.request(c.hub, c.version, string(o), input)
	if req.ID == "" {
		req.ID = engine.NewID()
	}
	for _, err := range []error{
		engine.CheckName("name", req.Name), engine.CheckID("id", req.ID), engine.CheckVersion("version", req.Version), tooLarge("the input", input, c.limit),
	} {
		if err != nil {
			return "", fmt.Errorf("start %s: %w", o, err)
		}
	}
	c.starts = append(c.starts, engine.EntityStart{ID: req.ID, Name: req.Name, Version: req.Version, Input: input, At: req.At, Trace: c.trace})
	return req.ID, nil
}

// entityState is an entity's state between operations: as stored, and decoded where that is known to be the same.
type entityState struct {
	payload history.Payload
	value   any
	limit   int
}

// Operate implements engine.Executor.
func (x *executor) Operate(ctx context.Context, b *engine.EntityBatch) (*engine.EntityResult, error) {
	operations := x.entities[b.ID.Name]
	if operations == nil {
		return nil, engine.ErrNoHandler
	}
	box := &entityState{payload: b.State, limit: b.Limit}
	result := &engine.EntityResult{Results: make([]engine.OperationResult, len(b.Operations))}
	for i := range b.Operations {
		op := &b.Operations[i]
		h := operations[strings.ToLower(op.Name)]
		if h == nil {
			f := toFailure(&engine.Error{Code: engine.CodeNotFound, Field: "operation", Message: fmt.Sprintf("entity %s has no operation %q", b.ID.Name, op.Name)})
			f.NonRetriable = true
			result.Results[i].Failure = f
			continue
		}
		c := &EntityContext{
			Context: tracing.With(ctx, op.Trace), id: b.ID, hub: b.Hub, operation: op.Name, sender: op.Sender, values: x.values,
			version: x.versions.Default, limit: b.Limit, trace: tracing.Format(op.Trace),
		}
		before := box.payload
		if op.Trace.IsValid() {
			result.Results[i].Began = time.Now()
		}
		out, err := guarded(func() (history.Payload, error) { return h.operate(c, box, op.Input) })
		if op.Trace.IsValid() {
			result.Results[i].Ended = time.Now()
		}
		if err != nil {
			box.payload, box.value = before, nil
			result.Results[i].Failure = toFailure(err)
			continue
		}
		result.Results[i].Output = out
		result.Signals = append(result.Signals, c.signals...)
		result.Starts = append(result.Starts, c.starts...)
	}
	result.State = box.payload
	return result, nil
}

// addOperation registers a handler of an operation.
func (x *executor) addOperation(h *Handler) error {
	if err := engine.CheckEntity("entity", EntityID{Name: h.name, Key: "-"}); err != nil {
		return err
	}
	if err := engine.CheckOperation("operation", h.operation); err != nil {
		return fmt.Errorf("%w: an operation is named entity/operation", err)
	}
	entity, operation := strings.ToLower(h.name), strings.ToLower(h.operation)
	if x.entities[entity] == nil {
		x.entities[entity] = map[string]*Handler{}
	}
	for _, other := range x.entities[entity] {
		if other.stateType != h.stateType {
			return fmt.Errorf("operations %s and %s of entity %q have different states, %s and %s: %w", other.operation, h.operation, entity,
				other.stateType, h.stateType, ErrInvalid)
		}
	}
	if x.entities[entity][operation] != nil {
		return fmt.Errorf("operation %q of entity %q has two handlers: %w", operation, entity, ErrInvalid)
	}
	x.entities[entity][operation] = h
	return nil
}

// Entity reads an entity with its state, backlog and lock. Errors: ErrNotFound.
func (c *Client) Entity(ctx context.Context, id EntityID) (*engine.Entity, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return nil, err
	}
	return e.Entity(ctx, c.hub, id)
}

// Entities lists entities in the order of their ids; the hub is the client's. Errors: ErrInvalid.
func (c *Client) Entities(ctx context.Context, f engine.EntityFilter) ([]*engine.Entity, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return nil, err
	}
	f.Hub = c.hub
	return e.Entities(ctx, f)
}

// ReleaseEntityLock takes an entity's lock from whoever holds it, which lets others' operations go on in the midst of its
// critical section. Errors: ErrNotFound, ErrWrongState when it is not locked.
func (c *Client) ReleaseEntityLock(ctx context.Context, id EntityID) error {
	e, err := c.engine(ctx)
	if err != nil {
		return err
	}
	return e.ReleaseEntityLock(ctx, c.hub, id)
}

// CleanEntities removes entities that have no state and nothing to do, and releases locks whose holder has ended. Both
// happen by themselves too, a little later.
func (c *Client) CleanEntities(ctx context.Context) (engine.EntityCleanUp, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return engine.EntityCleanUp{}, err
	}
	return e.CleanEntities(ctx, c.hub)
}

// Signal is what signals an entity, for package durabletest.
func (h *Host) Signal(now time.Time, id EntityID, operation string, in any, opts ...SignalOption) (engine.SignalRequest, error) {
	r := engine.SignalRequest{Entity: id, Operation: operation}
	for _, opt := range opts {
		if d, relative := opt.(Delay); relative {
			r.At = now.Add(time.Duration(d))
			continue
		}
		opt.applySignal(&r)
	}
	var err error
	r.Input, err = h.Encode(in)
	return r, err
}

// Name is the name of the operation, without the entity's.
func (p Operation[S, I, O]) Name() string {
	_, operation := p.split()
	return operation
}
