package durable

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// CancelFunc cancels a scope. Calls after the first do nothing.
type CancelFunc func()

// scope is what one cancellation reaches: the calls made on its contexts, and inner scopes. All of it belongs to the
// run, so it needs no lock, and a replay goes through the same cancellations.
type scope struct {
	run    *run
	parent *scope // nil for the root, and for one that is on its own
	inner  map[*scope]struct{}
	open   []*core // calls that are not done, in no order
	// why is set once it is cancelled.
	why  *history.Failure
	done *core // made when asked for
}

func newScope(r *run, parent *scope) *scope {
	s := &scope{run: r, parent: parent}
	if parent == nil {
		return s
	}
	if s.why = parent.why; s.why == nil {
		if parent.inner == nil {
			parent.inner = map[*scope]struct{}{}
		}
		parent.inner[s] = struct{}{}
	}
	return s
}

// WithCancel returns a context whose calls can be given up together. When cancel is called, those of its calls that
// are not done fail with ErrCanceled, in the order in which they were made, and later ones fail at once: activities
// are not started any more or their context ends, timers go, waits for events are taken back and leave the event to
// the next wait, children are asked to cancel themselves. An activity that ignores its context runs on; its result
// counts no more. Cancel scopes of scopes with them:
//
//	ctx, cancel := durable.WithCancel(ctx)
//	defer cancel()
func WithCancel(ctx *Context) (*Context, CancelFunc) {
	s := newScope(ctx.run, ctx.scope)
	return &Context{run: ctx.run, scope: s}, func() { s.cancelByCode(canceled("")) }
}

// WithTimeout is WithCancel for a scope that also cancels itself after d; its calls then fail with an error that is
// both ErrCanceled and ErrTimeout. Call cancel when it is no longer needed: it takes the timer back.
func WithTimeout(ctx *Context, d time.Duration) (*Context, CancelFunc) {
	inner, cancel := WithCancel(ctx)
	timer := inner.timer(inner.run.now.Add(d))
	timer.observers = append(timer.observers, func() {
		if timer.failure == nil { // it fired
			inner.scope.cancel(overTime(d))
		}
	})
	return inner, cancel
}

// WithoutCancel returns a context that no cancellation reaches, not even the one of the whole instance: for what has
// to be undone or told after one.
func WithoutCancel(ctx *Context) *Context {
	return &Context{run: ctx.run, scope: newScope(ctx.run, nil)}
}

// Err is nil until the context is cancelled, then an error that is ErrCanceled.
func (c *Context) Err() error {
	if c.scope.why == nil {
		return nil
	}
	return fromFailure("the context", c.scope.why, 0)
}

// Done returns a future that is done once the context is cancelled, for First. Its Await returns the error.
func (c *Context) Done() *Future[None] {
	s := c.scope
	if s.done == nil {
		s.done = s.run.newCore("the context")
		if s.why != nil {
			s.run.complete(s.done, history.Payload{}, s.why, 0)
		}
	}
	return newFuture[None](s.done)
}

// call makes a call of the context's scope: it is given up when that is, and not made when that has been.
func (c *Context) call(what string, begin func() *core) *core {
	s := c.scope
	if s.why != nil {
		s.run.touch()
		return s.run.given(what, s.why)
	}
	made := begin()
	if !made.done {
		s.enter(made)
	}
	return made
}

func (s *scope) enter(c *core) {
	c.scope, c.place = s, len(s.open)
	s.open = append(s.open, c)
}

func (s *scope) leave(c *core) {
	last := len(s.open) - 1
	s.open[c.place] = s.open[last]
	s.open[c.place].place = c.place
	s.open[last] = nil
	s.open = s.open[:last]
	c.scope = nil
}

func (c *Context) child(name string, in any, o callOptions) *core {
	return c.call("orchestration "+name, func() *core { return c.run.child(name, in, o) })
}

func (c *Context) timer(at time.Time) *core {
	return c.call("timer", func() *core { return c.run.timer(at) })
}

// cancelByCode is cancel as code calls it: nothing to do once the code has ended or is unwound.
func (s *scope) cancelByCode(why *history.Failure) {
	if s.run.closed {
		return
	}
	s.run.touch()
	s.cancel(why)
}

// cancel gives up the scope's open calls and those of inner scopes, in the order in which they were made.
func (s *scope) cancel(why *history.Failure) {
	if s.why != nil || s.run.ended {
		return
	}
	if s.parent != nil {
		delete(s.parent.inner, s)
	}
	var open, done []*core
	s.collect(why, &open, &done)
	slices.SortFunc(open, func(a, b *core) int { return cmp.Compare(a.made, b.made) })
	for _, c := range open {
		if !c.done {
			s.run.giveUp(c, why)
		}
	}
	slices.SortFunc(done, func(a, b *core) int { return cmp.Compare(a.made, b.made) })
	for _, c := range done {
		s.run.complete(c, history.Payload{}, why, 0)
	}
}

// collect marks the scope and inner ones as cancelled and gathers their open calls.
func (s *scope) collect(why *history.Failure, open, done *[]*core) {
	s.why = why
	*open = append(*open, s.open...)
	if s.done != nil {
		*done = append(*done, s.done)
	}
	for inner := range s.inner {
		inner.collect(why, open, done)
	}
	s.inner = nil
}

// giveUp takes back a call.
func (r *run) giveUp(c *core, why *history.Failure) {
	if c.decided {
		r.skipPatches()
		delete(r.pending, c.id)
		delete(r.steps, c.id)
		r.decisions = append(r.decisions, &history.TaskCanceled{ID: r.nextID, TaskID: c.id})
		r.nextID++
	} else {
		r.forgetEvent(c)
	}
	r.complete(c, history.Payload{}, why, 0)
}

// given returns a future that has failed already, because its scope was cancelled before.
func (r *run) given(what string, why *history.Failure) *core {
	c := r.newCore(what)
	r.complete(c, history.Payload{}, why, 0)
	return c
}

// cancelRequested is the wish from outside that the instance end by itself.
func (r *run) cancelRequested(e *history.ExecutionCancelRequested) {
	if r.canceling == nil {
		r.canceling = e
		r.ctx.scope.cancel(canceled(e.Reason))
	}
}

func canceled(reason string) *history.Failure {
	f := &history.Failure{Type: string(engine.CodeCanceled), Message: "canceled", NonRetriable: true}
	if reason != "" {
		f.Message += ": " + reason
	}
	return f
}

func overTime(d time.Duration) *history.Failure {
	f := canceled(fmt.Sprintf("it took longer than %s", d))
	f.Inner = &history.Failure{Type: string(engine.CodeTimeout), Message: f.Message, NonRetriable: true}
	return f
}

// within makes a call that is cancelled if it is not done after d, and fails with ErrTimeout then; 0 lets it take its
// time.
func within[T any](ctx *Context, what string, d time.Duration, call func(*Context) *Future[T]) *Future[T] {
	if d <= 0 {
		return call(ctx)
	}
	return Go(ctx, func(ctx *Context) (T, error) {
		inner, cancel := WithTimeout(ctx, d)
		defer cancel()
		out, err := call(inner).Await()
		if err != nil && inner.Err() != nil && ctx.Err() == nil { // not a cancellation: it may be tried again
			f := overTime(d).Inner
			f.NonRetriable = false
			err = fromFailure(what, f, 0)
		}
		return out, err
	})
}
