package durable

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// None is the input or output of what has none.
type None = struct{}

// Orchestration names an orchestration with the types of its input and output. The name is the identity: it is
// in histories, so it never changes; the Go function that implements it may be renamed at will.
type Orchestration[I, O any] string

// Activity names an activity with the types of its input and output. It may be implemented by any worker of the
// hub, in any language: only the name travels.
type Activity[I, O any] string

// Event names an external event with the type of its payload. Names compare without regard to case.
type Event[T any] string

// Handler binds the orchestration to the function that implements it.
//
// The function is replayed: it runs again from the start whenever the instance is brought back into memory, so
// it must do the same each time it sees the same history. It uses ctx for time, ids and random numbers, and
// does its I/O in activities and steps. A returned error ends the instance as FAILED. A panic, or code that no
// longer matches the history, holds the turn: nothing is lost, and the instance goes on once a worker with
// fitting code comes.
//
// Options: Version.
func (o Orchestration[I, O]) Handler(fn func(*Context, I) (O, error), opts ...HandlerOption) Handler {
	var options handlerOptions
	for _, opt := range opts {
		opt.applyHandler(&options)
	}
	return Handler{
		name: string(o), version: string(options.version), options: options, kind: orchestrationHandler,
		orchestrate: func(ctx *Context, input history.Payload) (history.Payload, error) {
			var in I
			if err := ctx.run.decode(input, &in); err != nil {
				return history.Payload{}, fmt.Errorf("input of %s: %w", o, err)
			}
			out, err := fn(ctx, in)
			if err != nil {
				return history.Payload{}, err
			}
			return ctx.run.encode(out)
		},
	}
}

// Call runs the orchestration as a child and waits for its output. An error is a *TaskError.
// A child without a Version has the worker's default one (Versions.Default). Timeout bounds one attempt at the child and
// Overall all of them; what is not done by then is cancelled, and fails with ErrTimeout.
//
// Options: ID, Version, Tags, Priority, Retry, RetryFunc, Timeout, Overall.
func (o Orchestration[I, O]) Call(ctx *Context, in I, opts ...CallOption) (O, error) {
	return o.Go(ctx, in, opts...).Await()
}

// Go starts the orchestration as a child and returns the future of its output. Options: as Call.
func (o Orchestration[I, O]) Go(ctx *Context, in I, opts ...CallOption) *Future[O] {
	options := callOptionsOf(opts)
	call := func(ctx *Context, options callOptions) *Future[O] {
		return within(ctx, "orchestration "+string(o), options.timeout, func(ctx *Context) *Future[O] {
			return newFuture[O](ctx.child(string(o), in, options))
		})
	}
	return within(ctx, "orchestration "+string(o), options.overall, func(ctx *Context) *Future[O] {
		if options.retry == nil && options.again == nil {
			return call(ctx, options)
		}
		return retried(ctx, options, call)
	})
}

// Map runs the orchestration as a child for each input and returns the outputs in the order of the inputs,
// once all have ended. The error is that of the first input that failed. Options: as Call, and Limit.
func (o Orchestration[I, O]) Map(ctx *Context, in []I, opts ...CallOption) ([]O, error) {
	return mapAll(len(in), opts, func(i int) *Future[O] { return o.Go(ctx, in[i], opts...) })
}

// ContinueAsNew ends this generation of an eternal orchestration and starts the next with a new input and an
// empty history. Events that were received and not consumed are carried over, in order; what else is pending is
// dropped. Use it as the last statement:
//
//	return Monitor.ContinueAsNew(ctx, next)
//
// Options: Version, to migrate.
func (o Orchestration[I, O]) ContinueAsNew(ctx *Context, in I, opts ...CallOption) (O, error) {
	var none O
	input, err := ctx.run.encode(in)
	if err != nil {
		return none, fmt.Errorf("input of %s: %w", o, err)
	}
	options := callOptionsOf(opts)
	if err := engine.CheckVersion("version", options.version.or("")); err != nil {
		return none, fmt.Errorf("continue %s as new: %w", o, err)
	}
	return none, &continueAsNew{input: input, version: options.version.or("")}
}

// Start starts an instance and returns when it is safely recorded. Errors: ErrExists, ErrInvalid, ErrTooLarge.
// Options: ID, Version, Delay, At, Reuse, Tags, Priority.
func (o Orchestration[I, O]) Start(ctx context.Context, c *Client, in I, opts ...StartOption) (*Instance[O], error) {
	e, req, err := o.request(ctx, c, in, opts)
	if err != nil {
		return nil, err
	}
	s, err := e.Start(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o, err)
	}
	return &Instance[O]{client: c, id: s.ID, existing: s.Existing}, nil
}

// StartMany starts an instance for each input, many in a commit. The instances are in the order of the inputs,
// nil where the start failed; the error joins what failed. Options: IDs, Version, Delay, At, Reuse, Tags, Priority.
func (o Orchestration[I, O]) StartMany(ctx context.Context, c *Client, in []I, opts ...StartOption) ([]*Instance[O], error) {
	options, err := startOptionsOf(opts)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o, err)
	}
	if options.ids != nil && len(options.ids) != len(in) {
		return nil, fmt.Errorf("start %s: %d inputs, %d ids: %w", o, len(in), len(options.ids), ErrInvalid)
	}
	e, err := c.engine(ctx)
	if err != nil {
		return nil, err
	}
	reqs := make([]engine.StartRequest, len(in))
	for i := range in {
		input, err := c.values.encode(ctx, in[i])
		if err != nil {
			return nil, fmt.Errorf("start %s: input %d: %w", o, i, err)
		}
		reqs[i] = options.request(c.hub, c.version, string(o), input)
		if options.ids != nil {
			reqs[i].ID = options.ids[i]
		}
	}
	started, errs := e.StartMany(ctx, c.hub, reqs)
	out := make([]*Instance[O], len(in))
	for i := range out {
		if errs[i] == nil {
			out[i] = &Instance[O]{client: c, id: started[i].ID, existing: started[i].Existing}
		}
	}
	return out, joinStartErrors(string(o), errs)
}

// StartTx starts an instance inside the caller's transaction: it exists if and when that commits. Options: as Start,
// but a Reuse must not replace.
func (o Orchestration[I, O]) StartTx(ctx context.Context, c *Client, tx pgx.Tx, in I, opts ...StartOption) (*Instance[O], error) {
	e, req, err := o.request(ctx, c, in, opts)
	if err != nil {
		return nil, err
	}
	s, err := e.StartTx(ctx, tx, req)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o, err)
	}
	return &Instance[O]{client: c, id: s.ID, existing: s.Existing}, nil
}

// Starter says what to start: see Event.RaiseOrStart.
type Starter struct {
	name    string
	input   history.Payload
	options startOptions
	err     error
}

// With says what to start, for Event.RaiseOrStart. Options: ID, Version, Delay, At, Reuse, Tags, Priority.
func (o Orchestration[I, O]) With(in I, opts ...StartOption) Starter {
	s := Starter{name: string(o)}
	if s.options, s.err = startOptionsOf(opts); s.err == nil {
		s.input, s.err = encode(in)
	}
	return s
}

func (o Orchestration[I, O]) request(ctx context.Context, c *Client, in I, opts []StartOption) (*engine.Engine, engine.StartRequest, error) {
	options, err := startOptionsOf(opts)
	if err != nil {
		return nil, engine.StartRequest{}, fmt.Errorf("start %s: %w", o, err)
	}
	input, err := c.values.encode(ctx, in)
	if err != nil {
		return nil, engine.StartRequest{}, fmt.Errorf("start %s: input: %w", o, err)
	}
	e, err := c.engine(ctx)
	return e, options.request(c.hub, c.version, string(o), input), err
}

// Instance returns a handle on an instance that may or may not exist.
func (o Orchestration[I, O]) Instance(c *Client, id string) *Instance[O] {
	return &Instance[O]{client: c, id: id}
}

// Handler binds the activity to a function. The function may run more than once for one call: when its process
// dies, when a retry policy says so; exactly one result is recorded. A plain error is tried again as the retry
// policy says; an error with a Failure in its chain is final.
//
// Options: Retry, Timeout, HeartbeatTimeout, Version: a worker may have an activity in several versions.
func (a Activity[I, O]) Handler(fn func(context.Context, I) (O, error), opts ...HandlerOption) Handler {
	h := a.handler(opts)
	h.kind = activityHandler
	h.run = func(ctx context.Context, v *values, t *engine.Task) (history.Payload, error) {
		var in I
		if err := v.decode(ctx, t.Input, &in); err != nil {
			return history.Payload{}, unreadable(string(a), err)
		}
		out, err := fn(ctx, in)
		if err != nil {
			return history.Payload{}, err
		}
		return v.encode(ctx, out)
	}
	return h
}

// TxHandler binds the activity to a function that works in a transaction: what it writes and its result are
// committed together, once, or not at all. The transaction belongs to the handler's caller: committing it is not
// the function's business. Options: as Handler.
func (a Activity[I, O]) TxHandler(fn func(context.Context, pgx.Tx, I) (O, error), opts ...HandlerOption) Handler {
	h := a.handler(opts)
	h.kind = txHandler
	h.runTx = func(ctx context.Context, v *values, tx pgx.Tx, t *engine.Task) (history.Payload, error) {
		var in I
		if err := v.decode(ctx, t.Input, &in); err != nil {
			return history.Payload{}, unreadable(string(a), err)
		}
		out, err := fn(ctx, tx, in)
		if err != nil {
			return history.Payload{}, err
		}
		return v.encode(ctx, out)
	}
	return h
}

func (a Activity[I, O]) handler(opts []HandlerOption) Handler {
	h := Handler{name: string(a)}
	for _, opt := range opts {
		opt.applyHandler(&h.options)
	}
	h.version = string(h.options.version)
	return h
}

// Call runs the activity and waits for its output. An error is a *TaskError. A call without a Version has that of its
// instance, if the worker that makes the call has the activity in that version, else none.
//
// Options: Retry, RetryFunc, Timeout, StartTimeout, Overall, HeartbeatTimeout, Queue, Priority, Limit, Key, Version.
func (a Activity[I, O]) Call(ctx *Context, in I, opts ...CallOption) (O, error) {
	return a.Go(ctx, in, opts...).Await()
}

// Go schedules the activity and returns the future of its output. Options: as Call.
func (a Activity[I, O]) Go(ctx *Context, in I, opts ...CallOption) *Future[O] {
	args, native := any(in).(river.JobArgs)
	native = native && args.Kind() == string(a)
	call := func(ctx *Context, options callOptions) *Future[O] {
		return newFuture[O](ctx.call("activity "+string(a), func() *core { return ctx.run.activity(string(a), in, native, options) }))
	}
	options := callOptionsOf(opts)
	if options.again == nil {
		return call(ctx, options)
	}
	return retried(ctx, options, call)
}

// Map runs the activity for each input and returns the outputs in the order of the inputs, once all have ended.
// The error is that of the first input that failed. Options: as Call, and Limit.
func (a Activity[I, O]) Map(ctx *Context, in []I, opts ...CallOption) ([]O, error) {
	return mapAll(len(in), opts, func(i int) *Future[O] { return a.Go(ctx, in[i], opts...) })
}

// Next returns the future of the next event of this name that no earlier Next has taken. Events that arrive
// while nobody waits are kept, in order.
func (e Event[T]) Next(ctx *Context) *Future[T] {
	return newFuture[T](ctx.call("event "+string(e), func() *core { return ctx.run.nextEvent(string(e)) }))
}

// Wait waits for the next event of this name.
func (e Event[T]) Wait(ctx *Context) (T, error) { return e.Next(ctx).Await() }

// WaitFor waits for the next event of this name, for at most d. ok is false when the time was up; an event that
// arrives later is kept for the next wait.
func (e Event[T]) WaitFor(ctx *Context, d time.Duration) (payload T, ok bool, err error) {
	event, deadline := e.Next(ctx), ctx.Timer(d)
	if First(event, deadline) == Awaitable(event) {
		payload, err = event.Await()
		return payload, err == nil, err
	}
	ctx.run.forgetEvent(event.core)
	return payload, false, nil
}

// Send raises the event to another instance of the hub. It is delivered some milliseconds after this turn
// commits, once and in order; an event to an instance that does not exist or has finished is dropped.
func (e Event[T]) Send(ctx *Context, instance string, payload T) error {
	if err := engine.CheckID("instance", instance); err != nil {
		return fmt.Errorf("send %s: %w", e, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("send %s: %w", e, err)
	}
	input, err := ctx.run.encode(payload)
	if err != nil {
		return fmt.Errorf("send %s: %w", e, err)
	}
	ctx.run.send(string(e), instance, input)
	return nil
}

// Raise delivers the event to an instance and returns when it is safely recorded. Errors: ErrNotFound,
// ErrFinished, ErrInvalid, ErrTooLarge. Options: Key.
func (e Event[T]) Raise(ctx context.Context, c *Client, instance string, payload T, opts ...RaiseOption) error {
	eng, req, err := e.request(ctx, c, instance, payload, opts)
	if err != nil {
		return err
	}
	if err := eng.Raise(ctx, req); err != nil {
		return fmt.Errorf("raise %s: %w", e, err)
	}
	return nil
}

// RaiseOrStart delivers the event to the instance that s names, and starts it if there is none, in one commit: of many
// callers at once one starts it, and it gets the events of all. It needs an ID among the options of s. An instance that
// has ended gives way if a Reuse says so, else the call fails with ErrExists; one that is live never does. existing
// tells that it was there. Errors: as Start and Raise. Options: Key.
func (e Event[T]) RaiseOrStart(ctx context.Context, c *Client, s Starter, payload T, opts ...RaiseOption) (existing bool, err error) {
	if s.err != nil {
		return false, fmt.Errorf("start %s: %w", s.name, s.err)
	}
	eng, req, err := e.request(ctx, c, s.options.id, payload, opts)
	if err != nil {
		return false, err
	}
	started, err := eng.RaiseOrStart(ctx, req, s.options.request(c.hub, c.version, s.name, s.input))
	if err != nil {
		return false, fmt.Errorf("raise %s or start %s: %w", e, s.name, err)
	}
	return started.Existing, nil
}

// RaiseTx raises the event inside the caller's transaction: it is delivered, once and in order, after that
// commits. An event to an instance that does not exist or has finished by then is dropped.
func (e Event[T]) RaiseTx(ctx context.Context, c *Client, tx pgx.Tx, instance string, payload T, opts ...RaiseOption) error {
	eng, req, err := e.request(ctx, c, instance, payload, opts)
	if err != nil {
		return err
	}
	if err := eng.RaiseTx(ctx, tx, req); err != nil {
		return fmt.Errorf("raise %s: %w", e, err)
	}
	return nil
}

func (e Event[T]) request(ctx context.Context, c *Client, instance string, payload T, opts []RaiseOption) (*engine.Engine, engine.RaiseRequest, error) {
	req := engine.RaiseRequest{Hub: c.hub, Instance: instance, Name: string(e)}
	for _, opt := range opts {
		opt.applyRaise(&req)
	}
	var err error
	if req.Input, err = c.values.encode(ctx, payload); err != nil {
		return nil, req, fmt.Errorf("raise %s: %w", e, err)
	}
	eng, err := c.engine(ctx)
	return eng, req, err
}
