package durable

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Client starts instances, raises events to them and waits for them. It needs no worker and no server, only the
// database. It is safe for use by many goroutines; what they commit at the same time is committed together.
type Client struct {
	pool   *pgxpool.Pool
	cfg    engine.Config
	values values
	hub    string
	// version is that of instances whose start names none.
	version Version

	mu     sync.Mutex
	e      *engine.Engine
	closed bool
}

// ClientOption is an option of NewClient.
type ClientOption interface{ applyClient(*Client) }

// Hub names a task hub; the default is "default".
type Hub string

func (h Hub) applyClient(c *Client) { c.hub = string(h) }

// Schemas says where the tables live; the defaults are "weir" and "river".
type Schemas struct{ Weir, River string }

func (s Schemas) applyClient(c *Client) { c.cfg.Schema, c.cfg.RiverSchema = s.Weir, s.River }

// PayloadLimit bounds one value, in bytes; the default is 16 MiB.
type PayloadLimit int

func (l PayloadLimit) applyClient(c *Client) { c.cfg.PayloadLimit = int(l) }

// WithCodec encrypts or compresses values.
func WithCodec(c Codec) ClientOption {
	return clientFunc(func(client *Client) { client.values.codec = c })
}

// WithConverter says how values become bytes.
func WithConverter(c Converter) ClientOption {
	return clientFunc(func(client *Client) { client.values.converter = c })
}

type clientFunc func(*Client)

func (f clientFunc) applyClient(c *Client) { f(c) }

// DefaultHub is the hub that is used where none is named.
const DefaultHub = "default"

// NewClient makes a client on the database of a pool. It connects on first use, with connections of its own.
// Options: Hub, Schemas, PayloadLimit, DefaultVersion, WithCodec, WithConverter, WithTracing.
func NewClient(pool *pgxpool.Pool, opts ...ClientOption) (*Client, error) {
	if pool == nil {
		return nil, &engine.Error{Code: engine.CodeInvalid, Field: "pool", Message: "must not be nil"}
	}
	c := &Client{pool: pool, hub: DefaultHub, cfg: engine.Config{Pool: pool, Logger: slog.Default()}}
	for _, opt := range opts {
		opt.applyClient(c)
	}
	return c, nil
}

// engine opens the engine on first use.
func (c *Client) engine(ctx context.Context) (*engine.Engine, error) {
	if isReplay() {
		return nil, awaitReplay(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, &engine.Error{Code: engine.CodeUnavailable, Message: "the client is closed"}
	}
	if c.e == nil {
		e, err := engine.Open(ctx, c.cfg)
		if err != nil {
			return nil, err
		}
		c.e = e
	}
	return c.e, nil
}

// Close ends the client and closes its connections.
func (c *Client) Close() {
	c.mu.Lock()
	e := c.e
	c.e, c.closed = nil, true
	c.mu.Unlock()
	if e != nil {
		e.Close()
	}
}

// Instance is a handle on one execution of an orchestration.
type Instance[O any] struct {
	client   *Client
	id       string
	existing bool
}

// ID is the instance's id.
func (i *Instance[O]) ID() string { return i.id }

// Existing tells whether Start has found the instance instead of starting it, as its option Reuse allowed.
func (i *Instance[O]) Existing() bool { return i.existing }

// Wait waits until the instance has ended and returns its output. If it failed or was terminated, the error is a
// *TaskError. Other errors: ErrNotFound, and the context's.
func (i *Instance[O]) Wait(ctx context.Context) (O, error) {
	var out O
	e, err := i.client.engine(ctx)
	if err != nil {
		return out, err
	}
	end, err := e.Wait(ctx, i.client.hub, i.id)
	if err != nil {
		return out, err
	}
	if end.Status != history.Completed {
		return out, fromFailure("instance "+i.id, end.Failure, 0)
	}
	return out, i.client.values.decode(ctx, end.Output, &out)
}

// WaitStarted waits until a worker has taken the instance up, or it has ended without, and returns how it stands then.
// Errors: ErrNotFound, and the context's.
func (i *Instance[O]) WaitStarted(ctx context.Context) (State, error) {
	e, err := i.client.engine(ctx)
	if err != nil {
		return State{}, err
	}
	inst, err := e.WaitStarted(ctx, i.client.hub, i.id)
	if err != nil {
		return State{}, err
	}
	return stateOf(inst), nil
}

// State is how an instance stands.
type State struct {
	// Status is PENDING, RUNNING, SUSPENDED, COMPLETED, FAILED, CANCELED or TERMINATED.
	Status string
	// CustomStatus is what the orchestration set, as JSON; nil if nothing.
	CustomStatus []byte
	// Tags are what it has been given at its start and since; nil if nothing.
	Tags Tags
	// Held is why its turn is held: its code does not match its history, or panics; "" if it is not.
	Held string
}

// State reads how the instance stands. Errors: ErrNotFound.
func (i *Instance[O]) State(ctx context.Context) (State, error) {
	e, err := i.client.engine(ctx)
	if err != nil {
		return State{}, err
	}
	inst, err := e.Get(ctx, i.client.hub, i.id)
	if err != nil {
		return State{}, err
	}
	return stateOf(inst), nil
}

func stateOf(inst *engine.Instance) State {
	s := State{Status: inst.Status.String(), CustomStatus: inst.CustomStatus, Tags: inst.Tags}
	if inst.Held != nil {
		s.Held = inst.Held.Message
	}
	return s
}

// Reason is why an instance is not further than it is.
type Reason struct {
	// Kind classes it: ENDED, HELD, SUSPENDED, SCHEDULED, NO_WORKER (none for the orchestration or for its version, or for
	// the activity that it waits for), QUEUED, EVENT, TIMER, ACTIVITY, RETRY, ORCHESTRATION, ENTITY, LOCK or RUNNING.
	Kind string
	// Text is a sentence or two for people, with times in UTC.
	Text string
	// Since is when it began to wait, and Until when that ends by itself; zero if that is not known.
	Since, Until time.Time
}

// Reason tells why the instance is not further: exactly, by its history and by what the workers that live can run.
// Errors: ErrNotFound.
func (i *Instance[O]) Reason(ctx context.Context) (Reason, error) {
	e, err := i.client.engine(ctx)
	if err != nil {
		return Reason{}, err
	}
	inst, err := e.Get(ctx, i.client.hub, i.id)
	if err != nil {
		return Reason{}, err
	}
	why, err := e.Explain(ctx, inst)
	if err != nil {
		return Reason{}, err
	}
	r := Reason{Kind: string(why.Kind), Text: why.Text(time.Now())}
	if why.Since != nil {
		r.Since = *why.Since
	}
	if why.Until != nil {
		r.Until = *why.Until
	}
	return r, nil
}

// Terminate ends the instance at once. It needs no worker. Options: Recursive. Errors: ErrNotFound, ErrFinished.
func (i *Instance[O]) Terminate(ctx context.Context, reason string, opts ...TerminateOption) error {
	e, err := i.client.engine(ctx)
	if err != nil {
		return err
	}
	r := engine.TerminateRequest{Hub: i.client.hub, Instance: i.id, Reason: reason}
	for _, opt := range opts {
		opt.applyTerminate(&r)
	}
	return e.Terminate(ctx, r)
}

// Suspend stops the instance until it is resumed: it takes in nothing, and what reaches it is kept. Activities that
// are scheduled run on. It needs no worker. An instance that a worker is at work on is suspended before its next turn.
// reason, at most 2000 characters, is for the record. One that is suspended stays so. Errors: ErrNotFound, ErrFinished.
func (i *Instance[O]) Suspend(ctx context.Context, reason string) error {
	e, err := i.client.engine(ctx)
	if err != nil {
		return err
	}
	return e.Suspend(ctx, engine.ControlRequest{Hub: i.client.hub, Instance: i.id, Reason: reason})
}

// Resume lets a suspended instance go on; one that is not suspended stays as it is. Errors: ErrNotFound, ErrFinished.
func (i *Instance[O]) Resume(ctx context.Context, reason string) error {
	e, err := i.client.engine(ctx)
	if err != nil {
		return err
	}
	return e.Resume(ctx, engine.ControlRequest{Hub: i.client.hub, Instance: i.id, Reason: reason})
}

// Restart starts an instance that has ended again, with the input of its last generation: in its place, with its id, or,
// with the option ID, as another instance (ID("") has an id made up). In its place it is a new generation, which no
// parent waits for; the history of the one before is kept until the next. It returns the handle on what was started,
// which is PENDING. Options: ID. Errors: ErrNotFound, ErrWrongState when it has not ended, ErrExists when the other id is
// taken.
func (i *Instance[O]) Restart(ctx context.Context, opts ...RestartOption) (*Instance[O], error) {
	e, err := i.client.engine(ctx)
	if err != nil {
		return nil, err
	}
	r := engine.RestartRequest{Hub: i.client.hub, Instance: i.id}
	for _, opt := range opts {
		opt.applyRestart(&r)
	}
	started, err := e.Restart(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Instance[O]{client: i.client, id: started.ID}, nil
}

// SetTags gives tags of the instance new values, and takes away those it names in remove; the others stay. The
// instance may be live or ended. Its code does not see the change. Errors: ErrNotFound, ErrInvalid.
func (i *Instance[O]) SetTags(ctx context.Context, set Tags, remove ...string) error {
	e, err := i.client.engine(ctx)
	if err != nil {
		return err
	}
	return e.SetTags(ctx, i.client.hub, i.id, set, remove)
}

// Cancel asks the instance to end by itself: the calls of its code fail with ErrCanceled, the code may undo what it has
// done on a context that WithoutCancel makes, and when it returns that error the instance is CANCELED. One that nobody
// has begun is CANCELED at once. Cancel returns when the request is safely recorded. Errors: ErrNotFound, ErrFinished,
// ErrInvalid.
func (i *Instance[O]) Cancel(ctx context.Context, reason string) error {
	e, err := i.client.engine(ctx)
	if err != nil {
		return err
	}
	return e.Cancel(ctx, engine.CancelRequest{Hub: i.client.hub, Instance: i.id, Reason: reason})
}

// IsFailure tells whether err is, or wraps, the declared failure. It is errors.Is, for those who look for it.
func IsFailure(err error, f Failure) bool { return errors.Is(err, f) }

// Watch reports how the instance stands whenever that changes. Close the watch when done. Errors: ErrNotFound.
func (i *Instance[O]) Watch(ctx context.Context) (*Watch, error) {
	e, err := i.client.engine(ctx)
	if err != nil {
		return nil, err
	}
	inst, err := e.Get(ctx, i.client.hub, i.id)
	if err != nil {
		return nil, err
	}
	sub, err := e.SubscribeTo(ctx, inst.No())
	if err != nil {
		return nil, err
	}
	return &Watch{e: e, sub: sub, no: inst.No(), hub: i.client.hub, id: i.id}, nil
}

// Watch is a stream of an instance's states. States that follow each other quickly may be reported as one; the
// last is never missed.
type Watch struct {
	e   *engine.Engine
	sub *engine.Subscription
	no  int64
	hub string
	id  string
}

// Next waits for a change and returns the state after it; at first, the present one. Errors: ErrNotFound when the
// instance is gone, and the context's.
func (w *Watch) Next(ctx context.Context) (State, error) {
	for {
		select {
		case <-w.sub.C:
		case <-ctx.Done():
			return State{}, ctx.Err()
		}
		changed, resync := w.sub.Take()
		if c, mine := changed[w.no]; mine && !c.OnlyProgress || resync {
			inst, err := w.e.Get(ctx, w.hub, w.id)
			if err != nil {
				return State{}, err
			}
			if w.no != inst.No() { // the instance was replaced
				w.no = inst.No()
				w.sub.Follow(w.no)
			}
			return stateOf(inst), nil
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() { w.sub.Close() }

// RewindOption is an option of a rewind.
type RewindOption interface {
	applyRewind(*engine.RewindRequest)
}

// FromStep is the number of the activity, timer or child whose result is taken back, as TaskInfo.TaskID and the history
// have it.
type FromStep int

func (s FromStep) applyRewind(r *engine.RewindRequest) {
	step := int32(s)
	r.Step = &step
}

// Rewind lets an instance that has ended go on from an earlier point of its history: from what it failed of, or, with the
// option FromStep, from any step. What it did until then is kept and not done again; activities that failed run again with
// new attempts, and children that failed are rewound themselves; timers, events and results that came later come again.
// The history of what ended is kept until the next generation. reason, at most 2000 characters, is for the record.
// Options: FromStep. Errors: ErrNotFound, ErrInvalid, ErrWrongState when it has not ended or there is nothing to take back.
func (i *Instance[O]) Rewind(ctx context.Context, reason string, opts ...RewindOption) error {
	e, err := i.client.engine(ctx)
	if err != nil {
		return err
	}
	r := engine.RewindRequest{Hub: i.client.hub, Instance: i.id, Reason: reason}
	for _, opt := range opts {
		opt.applyRewind(&r)
	}
	return e.Rewind(ctx, r)
}
