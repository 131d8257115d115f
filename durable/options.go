package durable

import (
	"fmt"
	"reflect"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// CallOption is an option of a call from an orchestration.
type CallOption interface{ applyCall(*callOptions) }

// HandlerOption is an option of a handler.
type HandlerOption interface{ applyHandler(*handlerOptions) }

// StartOption is an option of the start of an instance.
type StartOption interface{ applyStart(*startOptions) }

// RaiseOption is an option of the raise of an event.
type RaiseOption interface{ applyRaise(*engine.RaiseRequest) }

// TerminateOption is an option of the termination of an instance.
type TerminateOption interface {
	applyTerminate(*engine.TerminateRequest)
}

// RestartOption is an option of the restart of an instance.
type RestartOption interface {
	applyRestart(*engine.RestartRequest)
}

type callOptions struct {
	retry *Retry
	again RetryFunc
	bounds
	queue    string
	id       string
	version  *Version
	tags     Tags
	limit    int    // of a Map
	named    string // limit of the hub
	key      string
	priority int
}

type handlerOptions struct {
	retry *Retry
	bounds
	version Version
}

type startOptions struct {
	id      string
	ids     []string
	version *Version
	delay   time.Duration
	at      time.Time
	reuse   engine.ReusePolicy
	tags    Tags
	// priority is 0 where none is given.
	priority int
	wrong    error // of an option
}

// startOptionsOf reads options. Errors: ErrInvalid for what an option says, or for two that exclude each other.
func startOptionsOf(opts []StartOption) (startOptions, error) {
	var o startOptions
	for _, opt := range opts {
		opt.applyStart(&o)
	}
	if o.wrong == nil && o.delay > 0 && !o.at.IsZero() {
		o.wrong = &engine.Error{Code: engine.CodeInvalid, Field: "at", Message: "excludes a delay: give At or Delay"}
	}
	return o, o.wrong
}

// request is what to ask of the engine; version is that of instances whose start names none.
func (o *startOptions) request(hub string, version Version, name string, input history.Payload) engine.StartRequest {
	r := engine.StartRequest{
		Hub: hub, Name: name, ID: o.id, Version: o.version.or(version), Input: input, At: o.at, Reuse: o.reuse, Tags: o.tags, Priority: o.priority,
	}
	if o.delay > 0 {
		r.At = time.Now().Add(o.delay)
	}
	return r
}

func callOptionsOf(opts []CallOption) callOptions {
	if len(opts) == 0 {
		return callOptions{}
	}
	var o callOptions
	for _, opt := range opts {
		opt.applyCall(&o)
	}
	return o
}

// Retry says how often and when a failed attempt is tried again. A call's Retry goes before the handler's, the
// handler's before the worker's. Retries are made where the activity runs: parallel activities retry in
// parallel, and the orchestration is not woken by them.
type Retry struct {
	// Attempts is the greatest number of attempts, the first included. 0 means no limit of this kind; then Until
	// should set one.
	Attempts int
	// Initial is the wait before the second attempt; 0 means a second.
	Initial time.Duration
	// Factor multiplies the wait after each further attempt; 0 and 1 leave it.
	Factor float64
	// Max bounds one wait; 0 means an hour.
	Max time.Duration
	// Until bounds the time since the first attempt after which no further one starts; 0 means none.
	Until time.Duration
	// Jitter is the share of each wait that is drawn at random, so that many failures at once do not come back at
	// once; 0 means a tenth, negative none.
	Jitter float64
	// Except are the classes of errors that no attempt mends, besides declared failures: the Code of the TaskError they
	// become, or of one it comes from.
	Except []Failure
}

func (r Retry) applyCall(o *callOptions)       { o.retry = &r }
func (r Retry) applyHandler(o *handlerOptions) { o.retry = &r }

// policy is the record of r that travels.
func (r *Retry) policy() *history.Retry {
	if r == nil {
		return nil
	}
	p := &history.Retry{
		Attempts: r.Attempts, Initial: history.Duration(r.Initial), Factor: r.Factor, Max: history.Duration(r.Max),
		Until: history.Duration(r.Until), Jitter: r.Jitter,
	}
	for _, class := range r.Except {
		p.Except = append(p.Except, string(class))
	}
	if p.Initial == 0 {
		p.Initial = history.Duration(time.Second)
	}
	switch {
	case p.Jitter == 0:
		p.Jitter = 0.1
	case p.Jitter < 0:
		p.Jitter = 0
	}
	return p
}

// next is the policy for children, whose retries are the orchestration's own steps; its random share comes from
// the orchestration, so that a replay draws the same.
func (r *Retry) next(ctx *Context, err error, attempt int, since time.Duration) (time.Duration, bool) {
	p := r.policy()
	jitter := p.Jitter
	p.Jitter = 0
	wait, again := engine.NextAttempt(p, toFailure(err), attempt, since)
	if again && jitter > 0 {
		wait -= time.Duration(ctx.Rand().Float64() * jitter * float64(wait))
	}
	return wait, again
}

// RetryFunc decides in the orchestration's code, after each failed attempt at a call, whether there is another and after
// which wait; attempt counts from 1, elapsed is the time since the first began. It is replayed like all code there, and
// may wait, call and share variables. It is not asked about declared failures and cancellations, which are final. A Retry
// of the same call only bounds it: its Attempts, Until and Except win. Each attempt is a call of its own in the history,
// and policies of the handler and the worker do not apply. nil is as if it was not given.
type RetryFunc func(ctx *Context, failed *TaskError, attempt int, elapsed time.Duration) (wait time.Duration, again bool)

func (f RetryFunc) applyCall(o *callOptions) { o.again = f }

// once leaves retries to the orchestration.
var once = Retry{Attempts: 1}

// retried makes a call until it succeeds, or the policy or the function ends it: as steps of the orchestration's own.
func retried[O any](ctx *Context, o callOptions, call func(*Context, callOptions) *Future[O]) *Future[O] {
	policy, again := o.retry, o.again
	o.retry, o.again = &once, nil
	return Go(ctx, func(ctx *Context) (O, error) {
		first := ctx.Now()
		for attempt := 1; ; attempt++ {
			out, err := call(ctx, o).Await()
			if err == nil {
				return out, nil
			}
			wait, more := policy.following(ctx, again, err, attempt, ctx.Now().Sub(first))
			if !more {
				return out, err
			}
			if err := ctx.Sleep(wait); err != nil {
				return out, err
			}
		}
	})
}

// following tells whether another attempt follows a failed one, by the policy, the function, or both.
func (r *Retry) following(ctx *Context, again RetryFunc, err error, attempt int, elapsed time.Duration) (wait time.Duration, more bool) {
	if again == nil {
		return r.next(ctx, err, attempt, elapsed)
	}
	failed, ok := err.(*TaskError) //nolint:errorlint // as the call returned it
	if !ok {                       // the result could not be read
		f := toFailure(err)
		failed = &TaskError{Task: "the call", Code: Failure(f.Type), Message: f.Message, Details: f}
	}
	failed.Attempts = attempt
	if failed.Details != nil && failed.Details.NonRetriable {
		return 0, false
	}
	if r != nil {
		if _, more := r.next(ctx, err, attempt, elapsed); !more {
			return 0, false
		}
	}
	if wait, more = again(ctx, failed, attempt, elapsed); r != nil && r.Until > 0 && elapsed+wait > r.Until {
		more = false
	}
	return wait, more
}

// Queue names the group of workers that may run the activity; without it any worker of the hub may.
type Queue string

func (q Queue) applyCall(o *callOptions) { o.queue = string(q) }

// ID is an instance id, 1 to 200 printable ASCII characters; without it one is made up.
type ID string

func (id ID) applyCall(o *callOptions)   { o.id = string(id) }
func (id ID) applyStart(o *startOptions) { o.id = string(id) }

func (id ID) applyRestart(r *engine.RestartRequest) { r.New, r.NewID = true, string(id) }

// IDs are the instance ids of StartMany, one for each input.
type IDs []string

func (ids IDs) applyStart(o *startOptions) { o.ids = ids }

// Limit bounds calls. A number says how many calls of a Map are under way at once. A name is that of a limit of the hub,
// which bounds an activity's calls over all workers: how many are under way at once, how many begin in a time, or both. See
// Client.PutLimit; calls wait until there is such a limit. With a Key they are bounded with those of the same key only.
func Limit[T ~int | ~string](bound T) CallOption {
	switch b := any(bound).(type) {
	case int:
		return mapLimit(b)
	case string:
		return namedLimit(b)
	}
	if v := reflect.ValueOf(bound); v.CanInt() { // of a type of the caller's own
		return mapLimit(v.Int())
	}
	return namedLimit(reflect.ValueOf(bound).String())
}

type mapLimit int

func (l mapLimit) applyCall(o *callOptions) { o.limit = int(l) }

type namedLimit string

func (l namedLimit) applyCall(o *callOptions) { o.named = string(l) }

// Delay puts the start of an instance off.
type Delay time.Duration

func (d Delay) applyStart(o *startOptions) { o.delay = time.Duration(d) }

// At is the time before which an instance is not to start; one that is past means at once. It excludes Delay.
type At time.Time

func (t At) applyStart(o *startOptions) { o.at = time.Time(t) }

// Reuse says what a start does when its id is taken; without it, it is refused with ErrExists. It needs an ID. It
// holds under races: of several starts of one id that come together, each is answered as if they had come one after
// another.
type Reuse struct {
	// Replace lists the statuses in which the present instance gives way to the new one, as State has them. An
	// instance that is live (PENDING, RUNNING, SUSPENDED) is terminated and deleted in the commit that starts the new
	// one; who allows that has to list TERMINATED too. StartTx cannot replace.
	Replace []string
	// Existing returns the present instance where it does not give way; Instance.Existing tells.
	Existing bool
}

func (r Reuse) applyStart(o *startOptions) {
	o.reuse = engine.ReusePolicy{Existing: r.Existing}
	for _, name := range r.Replace {
		var s history.Status
		if err := s.UnmarshalText([]byte(name)); err != nil {
			o.wrong = &engine.Error{Code: engine.CodeInvalid, Field: "reuse", Message: fmt.Sprintf("there is no status %q", name)}
		}
		o.reuse.Replace = append(o.reuse.Replace, s)
	}
}

// Tags are names with values to find an instance by: at most 32, names of 64 bytes, values of 256.
type Tags map[string]string

func (t Tags) applyStart(o *startOptions) { o.tags = t }
func (t Tags) applyCall(o *callOptions)   { o.tags = t }

// Key makes a raise idempotent: of several to one instance with the same key only the first counts. Of a call of an activity
// it says with which others it shares its Limit: those of the same key. At most 200 characters.
type Key string

func (k Key) applyCall(o *callOptions) { o.key = string(k) }

func (k Key) applyRaise(r *engine.RaiseRequest) { r.Key = string(k) }

// Recursive ends an instance's children, and theirs, together with it: each some milliseconds after its parent, by
// any worker or server that runs.
type Recursive bool

func (r Recursive) applyTerminate(q *engine.TerminateRequest) { q.Recursive = bool(r) }
