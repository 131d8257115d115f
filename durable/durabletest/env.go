package durabletest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Env is a world in memory with instances in it. Its methods, and those of its runs, belong to the test's goroutine;
// Raise and Start may be used by activities too.
type Env struct {
	t    testing.TB
	host *durable.Host
	r    *engine.Rehearsal
}

// stuckAfter is how long the clock waits for an activity before the test's log names it.
const stuckAfter = 5 * time.Second

// New makes an environment that runs handlers until the test ends. Log lines go to the test's log.
func New(t testing.TB, handlers ...durable.Handler) *Env {
	t.Helper()
	log := &testLog{t: t}
	host, err := durable.NewHost(&durable.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, handlers...)
	if err != nil {
		t.Fatalf("durabletest: %v", err)
	}
	e := &Env{t: t, host: host, r: engine.NewRehearsal(engine.RehearsalConfig{Executor: host.Executor()})}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stuckAfter)
		defer cancel()
		e.r.Close(ctx)
		if running := e.r.Running(); ctx.Err() != nil {
			t.Logf("durabletest: still running at the end of the test, although their contexts have ended: %s", strings.Join(running, ", "))
		}
	})
	return e
}

// testLog writes log lines to the test's log.
type testLog struct{ t testing.TB }

// Write implements io.Writer.
func (l *testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

var _ io.Writer = (*testLog)(nil)

// Now is the virtual time.
func (e *Env) Now() time.Time { return e.r.Now() }

// After calls fn, on the test's goroutine, when d of virtual time has passed. The clock goes on in Await, Advance and
// Settle.
func (e *Env) After(d time.Duration, fn func()) { e.r.At(e.r.Now().Add(d), fn) }

// Advance lets d of virtual time pass, and everything happen that is due meanwhile.
func (e *Env) Advance(d time.Duration) {
	e.t.Helper()
	e.until(e.r.Now().Add(d), func() bool { return false })
}

// Settle lets everything happen that can without time passing.
func (e *Env) Settle() {
	e.t.Helper()
	e.Advance(0)
}

// until runs until a condition holds (true), or until nothing is left to do before a time; zero is the end of time.
func (e *Env) until(at time.Time, done func() bool) bool {
	e.t.Helper()
	for !done() {
		ctx, cancel := context.WithTimeout(e.t.Context(), stuckAfter)
		more, err := e.r.Next(ctx, at)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			e.t.Logf("durabletest: the clock waits for %s: an activity that is to take time calls durabletest.Sleep",
				strings.Join(e.r.Running(), ", "))
		case err != nil:
			e.t.Fatalf("durabletest: %v", err)
		case !more:
			return done()
		}
	}
	return true
}

// Sleep lets the activity that ctx belongs to take time: virtual time in an Env, real time elsewhere. It returns the
// context's error if that ends before.
func Sleep(ctx context.Context, d time.Duration) error { return engine.RehearsedSleep(ctx, d) }

// Run is an instance of an Env.
type Run[O any] struct {
	env      *Env
	id       string
	existing bool
}

// Start starts an instance, or fails the test. Options: as Orchestration.Start; an instance without an ID is called
// instance-1, instance-2 and so on.
func Start[I, O any](e *Env, o durable.Orchestration[I, O], in I, opts ...durable.StartOption) *Run[O] {
	e.t.Helper()
	req, err := e.host.Request(e.r.Now(), string(o), in, opts...)
	if err != nil {
		e.t.Fatalf("durabletest: start %s: %v", o, err)
	}
	s, err := e.r.Start(req)
	if err != nil {
		e.t.Fatalf("durabletest: start %s: %v", o, err)
	}
	return &Run[O]{e, s.ID, s.Existing}
}

// Instance is a run that something else has started, or will: a child.
func Instance[I, O any](e *Env, _ durable.Orchestration[I, O], id string) *Run[O] {
	return &Run[O]{env: e, id: id}
}

// Raise delivers an event to a run, as Event.Raise does. It fails the test if there is no such instance, or it has
// finished; TryRaise returns that. Options: Key.
func Raise[T, O any](r *Run[O], event durable.Event[T], payload T, opts ...durable.RaiseOption) {
	r.env.t.Helper()
	if err := TryRaise(r, event, payload, opts...); err != nil {
		r.env.t.Fatalf("durabletest: raise %s: %v", event, err)
	}
}

// TryRaise is Raise for tests of what happens to events that nobody can take. Errors: those of Event.Raise.
func TryRaise[T, O any](r *Run[O], event durable.Event[T], payload T, opts ...durable.RaiseOption) error {
	input, err := r.env.host.Encode(payload)
	if err != nil {
		return err
	}
	return r.env.r.Raise(r.env.host.Event(r.id, string(event), input, opts...))
}

// ID is the instance's id.
func (r *Run[O]) ID() string { return r.id }

// Existing tells whether Start found the instance there, as a Reuse option allows.
func (r *Run[O]) Existing() bool { return r.existing }

// After is Env.After.
func (r *Run[O]) After(d time.Duration, fn func()) { r.env.After(d, fn) }

// Await lets time pass until the instance has ended, and returns what Instance.Wait would: its output, or a
// *durable.TaskError. It fails the test if the instance is held, or if it waits for something that cannot happen any
// more; the test's log then tells what each instance waits for.
func (r *Run[O]) Await() (O, error) {
	r.env.t.Helper()
	var out O
	if !r.env.until(time.Time{}, func() bool { i := r.get(); return i.Held != nil || !i.Status.Live() }) {
		r.env.t.Fatalf("durabletest: instance %q has not ended, and nothing is left that could happen:\n%s", r.id, r.env.r.Report())
	}
	i := r.get()
	switch {
	case i.Held != nil:
		r.env.t.Fatalf("durabletest: instance %q is held: %s\n%s", r.id, i.Held.Message, i.Held.Stack)
	case i.Status != history.Completed:
		return out, r.env.host.Error(r.id, i.Failure)
	}
	output, err := r.env.r.Output(r.id)
	if err != nil {
		return out, err
	}
	return out, r.env.host.Decode(output, &out)
}

// State is how the instance stands.
func (r *Run[O]) State() durable.State {
	r.env.t.Helper()
	i := r.get()
	s := durable.State{Status: i.Status.String(), CustomStatus: i.CustomStatus}
	if i.Held != nil {
		s.Held = i.Held.Message
	}
	return s
}

// Cancel asks the instance to end by itself. Errors: ErrNotFound, ErrFinished, ErrInvalid.
func (r *Run[O]) Cancel(reason string) error {
	return r.env.r.Cancel(engine.CancelRequest{Instance: r.id, Reason: reason})
}

// Terminate ends the instance at once. Errors: ErrNotFound, ErrFinished.
func (r *Run[O]) Terminate(reason string) error {
	return r.env.r.Terminate(engine.TerminateRequest{Instance: r.id, Reason: reason})
}

// History is what the instance has done in its present generation, and in the one before.
func (r *Run[O]) History() []history.Event {
	r.env.t.Helper()
	events, err := r.env.r.History(r.id, true)
	if err != nil {
		r.env.t.Fatalf("durabletest: %v", err)
	}
	return events
}

func (r *Run[O]) get() *engine.Instance {
	r.env.t.Helper()
	i, err := r.env.r.Get(r.id)
	if err != nil {
		r.env.t.Fatalf("durabletest: %v", err)
	}
	return i
}
