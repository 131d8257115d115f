package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Handler binds a definition to the function that implements it. Handlers are made by the definitions' Handler
// and TxHandler methods and by RiverHandler, and given to NewWorker.
type Handler struct {
	name    string
	version string
	kind    handlerKind
	options handlerOptions

	orchestrate func(*Context, history.Payload) (history.Payload, error)
	run         func(context.Context, *values, *engine.Task) (history.Payload, error)
	runTx       func(context.Context, *values, pgx.Tx, *engine.Task) (history.Payload, error)
	addNative   func(*river.Workers)

	// Of an operation of the entity that name names.
	operation string
	stateType reflect.Type
	operate   func(*EntityContext, *entityState, history.Payload) (history.Payload, error)
}

type handlerKind int

const (
	orchestrationHandler handlerKind = iota + 1
	activityHandler
	txHandler
	nativeHandler
	operationHandler
)

// Name is the name of the definition.
func (h Handler) Name() string { return h.name }

// RiverHandler makes an existing River worker an activity: its kind is the activity's name, its arguments are
// the activity's input, and what it records with river.RecordOutput is the output. River runs it as it always
// does, with its own retries.
//
//	const Resize durable.Activity[ResizeArgs, ResizeResult] = "resize" // ResizeArgs.Kind() is "resize"
//	durable.NewWorker(pool, cfg, durable.RiverHandler(&ResizeWorker{}))
func RiverHandler[T river.JobArgs](w river.Worker[T]) Handler {
	var args T
	return Handler{name: args.Kind(), kind: nativeHandler, addNative: func(workers *river.Workers) { river.AddWorker(workers, w) }}
}

// executor runs the handlers of a worker. It implements engine.Executor.
type executor struct {
	orchestrations map[engine.Definition]*Handler
	activities     map[engine.Definition]*Handler
	entities       map[string]map[string]*Handler // by name and operation, in lower case
	retry          *Retry
	values         *values
	pool           *pgxpool.Pool // the user's, for TxHandlers
	versions       Versions
	logger         *slog.Logger
}

func newExecutor(handlers []Handler, pool *pgxpool.Pool, retry *Retry, versions *Versions, logger *slog.Logger) (*executor, error) {
	if err := versions.check(); err != nil {
		return nil, err
	}
	x := &executor{
		orchestrations: map[engine.Definition]*Handler{}, activities: map[engine.Definition]*Handler{}, entities: map[string]map[string]*Handler{}, retry: retry, values: &values{}, pool: pool, versions: *versions, logger: logger,
	}
	for i := range handlers {
		h := &handlers[i]
		if h.kind == operationHandler {
			if err := x.addOperation(h); err != nil {
				return nil, err
			}
			continue
		}
		if err := engine.CheckName("handler", h.name); err != nil {
			return nil, err
		}
		if err := engine.CheckVersion("handler "+h.name+": version", h.version); err != nil {
			return nil, err
		}
		def := engine.Definition{Name: h.name, Version: h.version}
		switch h.kind {
		case orchestrationHandler:
			def.Version = cmp.Or(def.Version, string(x.versions.Current))
			if x.orchestrations[def] != nil {
				return nil, fmt.Errorf("orchestration %q, version %q, has two handlers: %w", h.name, def.Version, ErrInvalid)
			}
			x.orchestrations[def] = h
		case activityHandler, txHandler, nativeHandler:
			if x.activities[def] != nil {
				return nil, fmt.Errorf("activity %q, version %q, has two handlers: %w", h.name, h.version, ErrInvalid)
			}
			x.activities[def] = h
		default:
			return nil, fmt.Errorf("handler %d is empty: use a definition's Handler method: %w", i, ErrInvalid)
		}
	}
	return x, nil
}

// Kinds implements engine.Executor.
func (x *executor) Kinds() engine.Capabilities {
	c := engine.Capabilities{Match: engine.Match(x.versions.Match), FailUnmatched: x.versions.Unmatched == FailUnmatched}
	for def := range x.orchestrations {
		c.Orchestrations = append(c.Orchestrations, def)
	}
	for name := range x.entities {
		c.Entities = append(c.Entities, name)
	}
	for def := range x.activities {
		c.Activities = append(c.Activities, def)
	}
	return c
}

// orchestration finds the handler that runs instances of a version; nil if none does.
func (x *executor) orchestration(name, version string) *Handler {
	if h := x.orchestrations[engine.Definition{Name: name, Version: version}]; h != nil {
		return h
	}
	var have []string
	for def := range x.orchestrations {
		if def.Name == name {
			have = append(have, def.Version)
		}
	}
	chosen, ok := engine.Match(x.versions.Match).Choose(have, version)
	if !ok {
		return nil
	}
	return x.orchestrations[engine.Definition{Name: name, Version: chosen}]
}

// activityVersion is the version of a call that names none: that of its instance, if the activity is here in that.
func (x *executor) activityVersion(name, instance string) string {
	if x.activities[engine.Definition{Name: name, Version: instance}] == nil {
		return ""
	}
	return instance
}

// Open implements engine.Executor.
func (x *executor) Open(_ context.Context, info engine.Info, past []history.Event) (engine.Orchestration, error) {
	h := x.orchestration(info.Name, info.Version)
	if h == nil {
		return nil, engine.ErrNoHandler
	}
	r := newRun(x, h, info)
	if err := r.replay(past); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Activity implements engine.Executor.
func (x *executor) Activity(name, version string) (engine.ActivityKind, *history.Retry) {
	h := x.activities[engine.Definition{Name: name, Version: version}]
	if h == nil {
		return engine.NoActivity, nil
	}
	retry := h.options.retry
	if retry == nil {
		retry = x.retry
	}
	switch h.kind {
	case txHandler:
		return engine.TxActivity, retry.policy()
	case nativeHandler:
		return engine.NativeActivity, nil
	}
	return engine.PlainActivity, retry.policy()
}

// Run implements engine.Executor.
func (x *executor) Run(ctx context.Context, t *engine.Task) engine.Result {
	h := x.activities[engine.Definition{Name: t.Name, Version: t.Version}]
	b := x.boundsOf(h, t)
	run := func(ctx context.Context) engine.Result {
		switch {
		case t.Step != nil:
			return t.Step(ctx)
		case h == nil:
			return engine.Result{Failure: toFailure(fmt.Errorf("no handler for activity %q, version %q, in this worker", t.Name, t.Version))}
		case h.kind == txHandler:
			return x.runTx(ctx, h, t)
		}
		return attempt(func() (history.Payload, error) { return h.run(ctx, x.values, t) })
	}
	task := &taskContext{
		Context: ctx, work: t, values: x.values, task: TaskInfo{Hub: t.Hub, InstanceID: t.InstanceID, TaskID: int(t.ID), Name: t.Name, Version: t.Version, Attempt: t.Attempt},
	}
	if b.none() {
		return run(task)
	}
	bounded, cancel := b.context(ctx, t)
	defer cancel()
	if b.heartbeat > 0 {
		var (
			stop      context.CancelCauseFunc
			stopWatch func()
		)
		bounded, stop = context.WithCancelCause(bounded)
		task.alive, stopWatch = t.Watch(b.heartbeat, func() {
			stop(&attemptEnd{fmt.Sprintf("the attempt had no heartbeat for %s", b.heartbeat), false})
		})
		defer stopWatch()
		defer stop(nil)
	}
	task.Context = bounded
	return x.within(bounded, t, func() engine.Result { return run(task) })
}

// boundsOf are the limits of an attempt: those of the call, else those of the handler.
func (x *executor) boundsOf(h *Handler, t *engine.Task) bounds {
	b := bounds{timeout: t.Timeout, overall: t.Left, heartbeat: t.Heartbeat}
	if h != nil && t.Step == nil {
		b.timeout = cmp.Or(b.timeout, h.options.timeout)
		b.heartbeat = cmp.Or(b.heartbeat, h.options.heartbeat)
	}
	return b
}

// attempt runs user code once, and takes its panics for failures.
func attempt(fn func() (history.Payload, error)) (r engine.Result) {
	out, err := guarded(fn)
	if err != nil {
		return engine.Result{Failure: toFailure(err)}
	}
	return engine.Result{Output: out}
}

func guarded(fn func() (history.Payload, error)) (out history.Payload, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, string(debug.Stack())}
		}
	}()
	return fn()
}

const (
	// serializationTries is how often a transaction that Postgres aborted to keep it serializable is run again at
	// once, within one attempt.
	serializationTries = 5
	// connectionTries is how often a transaction whose connection was lost is run again, within one attempt.
	connectionTries = 10
)

// runTx runs a TxHandler: in a transaction on the user's pool, ended by the engine's delivery. A loss of the
// connection is not the handler's failure: the transaction is gone and is run again. Whether a commit whose
// answer was lost has landed, the token tells the next try.
func (x *executor) runTx(ctx context.Context, h *Handler, t *engine.Task) engine.Result {
	unsure := false // whether an earlier try has committed
	for try := 1; ; try++ {
		r, lost, err := x.tryTx(ctx, h, t, &unsure)
		if err == nil {
			return r
		}
		var (
			pg   *pgconn.PgError
			wait time.Duration
		)
		switch {
		case lost && try < connectionTries:
			wait = min(20*time.Millisecond<<try, time.Second)
		case errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") && try < serializationTries:
			wait = time.Duration(try) * 2 * time.Millisecond
		default:
			return engine.Result{Failure: toFailure(err)}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return engine.Result{Failure: toFailure(err)}
		}
	}
}

// tryTx runs a TxHandler once. lost tells that an error comes with the loss of the connection.
func (x *executor) tryTx(ctx context.Context, h *Handler, t *engine.Task, unsure *bool) (r engine.Result, lost bool, err error) {
	conn, err := x.pool.Acquire(ctx)
	if err != nil {
		var connect *pgconn.ConnectError
		return engine.Result{}, errors.As(err, &connect), fmt.Errorf("begin: %w", err)
	}
	defer conn.Release()
	if *unsure {
		waiting, err := t.Waiting(ctx, conn.Conn())
		switch {
		case err != nil:
			return engine.Result{}, conn.Conn().IsClosed(), fmt.Errorf("begin: %w", err)
		case !waiting:
			return engine.Result{Gone: true}, false, nil
		}
		*unsure = false
	}
	tx, err := t.BeginTx(ctx, conn.Conn())
	if err != nil {
		return engine.Result{}, conn.Conn().IsClosed(), fmt.Errorf("begin: %w", err)
	}
	out, err := guarded(func() (history.Payload, error) { return h.runTx(ctx, x.values, handlerTx{tx}, t) })
	if err != nil {
		// A context that the handler gave to a query and that has ended closes the connection too.
		lost = conn.Conn().IsClosed() && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return engine.Result{}, lost, err
	}
	if ctx.Err() != nil { // its time is up, and another attempt may be under way
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return engine.Result{}, false, context.Cause(ctx)
	}
	err = t.FinishTx(ctx, tx, out)
	switch {
	case errors.Is(err, engine.ErrNoToken):
		return engine.Result{Gone: true}, false, nil
	case err != nil:
		*unsure = conn.Conn().IsClosed()
		return engine.Result{}, *unsure, err
	}
	return engine.Result{Delivered: true}, false, nil
}

// handlerTx is the transaction as a TxHandler sees it: ending it is not its business.
type handlerTx struct{ pgx.Tx }

var errNotYours = errors.New("durable: a TxHandler's transaction is committed together with its result, when the handler returns")

// Commit implements pgx.Tx.
func (handlerTx) Commit(context.Context) error { return errNotYours }

// Rollback implements pgx.Tx.
func (handlerTx) Rollback(context.Context) error { return errNotYours }

type taskKey struct{}

// TaskInfo is what an activity or step may know of the call it serves. InstanceID and TaskID together name the
// call for good, whatever the attempt: use them as idempotency key towards other systems.
type TaskInfo struct {
	Hub        string
	InstanceID string
	TaskID     int
	Name       string
	// Version is the version of the activity that the call asks for; "" for none.
	Version string
	Attempt int
}

// taskContext is the context of an activity or step.
type taskContext struct {
	context.Context
	values *values
	task   TaskInfo
	work   *engine.Task
	alive  func() // puts the end off that comes with silence; nil if none does
}

// Value implements context.Context.
func (c *taskContext) Value(key any) any {
	if _, ok := key.(taskKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// Task returns the call that ctx serves, and whether there is one.
func Task(ctx context.Context) (TaskInfo, bool) {
	c, ok := ctx.Value(taskKey{}).(*taskContext)
	if !ok {
		return TaskInfo{}, false
	}
	return c.task, true
}
