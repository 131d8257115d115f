package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

const (
	Trip  durable.Orchestration[string, string] = "trip"
	Leg   durable.Orchestration[string, string] = "leg"
	Inner durable.Orchestration[string, string] = "inner"
	Work  durable.Activity[string, string]      = "work"
	GoOn  durable.Event[string]                 = "goOn"
)

// workshop counts what its activity is asked to do, and fails what it is told to.
type workshop struct {
	mu    sync.Mutex
	done  map[string]int
	fails map[string]bool
}

func newWorkshop(fails ...string) *workshop {
	w := &workshop{done: map[string]int{}, fails: map[string]bool{}}
	for _, f := range fails {
		w.fails[f] = true
	}
	return w
}

func (w *workshop) mend() { w.mu.Lock(); defer w.mu.Unlock(); clear(w.fails) }

func (w *workshop) count(what string) int { w.mu.Lock(); defer w.mu.Unlock(); return w.done[what] }

func (w *workshop) handler() durable.Handler {
	return Work.Handler(func(_ context.Context, what string) (string, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done[what]++
		if w.fails[what] {
			return "", errors.New(what + " is broken")
		}
		return strings.ToUpper(what), nil
	})
}

func fails[O any](b *bundle, i *durable.Instance[O]) {
	b.t.Helper()
	if _, err := i.Wait(b.ctx); err == nil {
		b.t.Fatalf("instance %s has not failed", i.ID())
	}
}

func TestRewindFromTheFailure(t *testing.T) {
	b := setup(t)
	w := newWorkshop("c", "d")
	var ids atomic.Pointer[string]
	b.worker(nil, w.handler(), Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
		id := ctx.NewID()
		if before := ids.Swap(&id); before != nil && *before != id {
			return "", fmt.Errorf("an id became another: %s, then %s", *before, id)
		}
		sleeps := ctx.Timer(10 * time.Millisecond)
		a, err := Work.Call(ctx, "a")
		if err != nil {
			return "", err
		}
		if _, err := sleeps.Await(); err != nil {
			return "", err
		}
		got, err := GoOn.Wait(ctx)
		if err != nil {
			return "", err
		}
		parts, err := Work.Map(ctx, []string{"b", "c", "d"}, durable.Retry{Attempts: 2, Initial: time.Millisecond})
		if err != nil {
			if _, undone := Work.Call(ctx, "undo"); undone != nil {
				return "", undone
			}
			return "", err
		}
		return in + a + got + strings.Join(parts, ""), nil
	}))
	inst := start(b, Trip, "x", durable.Tags{"k": "v"})
	raise(b, GoOn, inst.ID(), "!")
	fails(b, inst)
	before := b.count("SELECT seq FROM weir.instances")
	w.mend()
	if err := inst.Rewind(b.ctx, "mended"); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "xA!BCD" {
		t.Errorf("got %q", got)
	}
	for what, want := range map[string]int{"a": 1, "b": 1, "c": 3, "d": 3, "undo": 1} {
		if n := w.count(what); n != want {
			t.Errorf("%s was done %d times, want %d", what, n, want)
		}
	}
	if n := b.count("SELECT count(*) FROM weir.instances WHERE gen = 1 AND base_seq = $1 AND outcome = 1", before+1); n != 1 {
		t.Error("it is not a second generation that has completed, with a history of its own")
	}
	if n := b.events(inst.ID(), "ExecutionRewound"); n != 1 {
		t.Errorf("%d events ExecutionRewound", n)
	}
	b.atRest()
}

func TestRewindToAStep(t *testing.T) {
	b := setup(t)
	w := newWorkshop()
	b.worker(nil, w.handler(), Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
		for _, part := range []string{"a", "b", "c"} {
			out, err := Work.Call(ctx, part)
			if err != nil {
				return "", err
			}
			in += out
		}
		got, err := GoOn.Wait(ctx)
		return in + got, err
	}))
	inst := start(b, Trip, "x")
	raise(b, GoOn, inst.ID(), "!")
	if got := wait(b, inst); got != "xABC!" {
		t.Fatalf("got %q", got)
	}
	if err := inst.Rewind(b.ctx, "why not"); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("error %v, want ErrWrongState: it has not failed", err)
	}
	if err := inst.Rewind(b.ctx, "again", durable.FromStep(1)); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "xABC!" { // the event comes again
		t.Errorf("got %q", got)
	}
	if w.count("a") != 1 || w.count("b") != 2 || w.count("c") != 2 {
		t.Errorf("done %v", w.done)
	}
	if err := inst.Rewind(b.ctx, "and again", durable.FromStep(2)); err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	if w.count("a") != 1 || w.count("b") != 2 || w.count("c") != 3 {
		t.Errorf("done %v", w.done)
	}
	if n := b.count("SELECT count(DISTINCT seq) FROM weir.history h WHERE seq < (SELECT base_seq FROM weir.instances)"); n == 0 {
		t.Error("the generation before is gone")
	}
	for name, c := range map[string]struct {
		reason string
		step   int
		want   error
	}{"unknown step": {"r", 77, durable.ErrInvalid}, "negative step": {"r", -1, durable.ErrInvalid}, "no reason": {"", 1, durable.ErrInvalid}, "bad text": {"a\x00b", 1, durable.ErrInvalid}} {
		if err := inst.Rewind(b.ctx, c.reason, durable.FromStep(c.step)); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	if err := Trip.Instance(b.client, "nobody").Rewind(b.ctx, "r"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	live := start(b, Trip, "y")
	if err := live.Rewind(b.ctx, "r"); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("error %v, want ErrWrongState", err)
	}
	raise(b, GoOn, live.ID(), "!")
	wait(b, live)
	b.atRest()
}

func TestRewindWithChildren(t *testing.T) {
	b := setup(t)
	w := newWorkshop("deep")
	var plain atomic.Bool
	b.worker(nil, w.handler(),
		Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
			legs, err := Leg.Map(ctx, []string{"one", "deep", "plain"})
			return in + strings.Join(legs, ""), err
		}),
		Leg.Handler(func(ctx *durable.Context, what string) (string, error) {
			if what == "plain" { // fails of itself, and has nothing to take back
				if !plain.Load() {
					return "", errors.New("not yet")
				}
				return "P", nil
			}
			if _, err := Work.Call(ctx, what+" first"); err != nil {
				return "", err
			}
			return Inner.Call(ctx, what)
		}),
		Inner.Handler(func(ctx *durable.Context, what string) (string, error) { return Work.Call(ctx, what) }))
	inst := start(b, Trip, "x")
	fails(b, inst)
	w.mend()
	plain.Store(true)
	if err := inst.Rewind(b.ctx, "mended"); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "xONEDEEPP" {
		t.Errorf("got %q", got)
	}
	for what, want := range map[string]int{"one": 1, "one first": 1, "deep first": 1, "deep": 2} {
		if n := w.count(what); n != want {
			t.Errorf("%s was done %d times, want %d", what, n, want)
		}
	}
	if n := b.count("SELECT count(*) FROM weir.instances"); n != 6 {
		t.Errorf("there are %d instances, want 6: children keep their ids", n)
	}
	b.atRest()
}

// TestRewindToAChild: a child that has completed begins anew when its result is taken back; of one that is gone the result
// comes again.
func TestRewindToAChild(t *testing.T) {
	b := setup(t)
	var runs atomic.Int32
	b.worker(nil,
		Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
			out, err := Leg.Call(ctx, "leg", durable.ID("leg"))
			return in + out, err
		}),
		Leg.Handler(func(ctx *durable.Context, _ string) (string, error) {
			return durable.Step(ctx, "count", func(context.Context) (string, error) { return fmt.Sprint(runs.Add(1)), nil })
		}))
	inst := start(b, Trip, "x")
	if got := wait(b, inst); got != "x1" {
		t.Fatalf("got %q", got)
	}
	if err := inst.Rewind(b.ctx, "once more", durable.FromStep(0)); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "x2" {
		t.Errorf("got %q, want x2", got)
	}
	if done, err := b.client.Purge(b.ctx, durable.Purge{IDs: []string{"leg"}}); err != nil || done.Deleted != 1 {
		t.Fatal(done, err)
	}
	if err := inst.Rewind(b.ctx, "once more", durable.FromStep(0)); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "x2" {
		t.Errorf("got %q, want x2", got)
	}
	b.atRest()
}

// TestRewindWhileAChildIsAtWork: a child that lives has its session in memory, and tells the new generation all the same.
func TestRewindWhileAChildIsAtWork(t *testing.T) {
	b := setup(t)
	w := newWorkshop("bad")
	b.worker(&durable.Config{IdleRelease: time.Minute}, w.handler(),
		Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
			leg := Leg.Go(ctx, "leg", durable.ID("leg"))
			bad, err := Work.Call(ctx, "bad")
			if err != nil {
				return "", err
			}
			out, err := leg.Await()
			return in + bad + out, err
		}),
		Leg.Handler(func(ctx *durable.Context, _ string) (string, error) { return GoOn.Wait(ctx) }))
	inst := start(b, Trip, "x")
	fails(b, inst)
	b.until("the child is held in memory", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE id = 'leg' AND owner IS NOT NULL") == 1
	})
	w.mend()
	if err := inst.Rewind(b.ctx, "mended"); err != nil {
		t.Fatal(err)
	}
	raise(b, GoOn, "leg", "!")
	if got := wait(b, inst); got != "xBAD!" {
		t.Errorf("got %q", got)
	}
	b.atRest()
}

func TestRewindAfterTermination(t *testing.T) {
	b := setup(t)
	w := newWorkshop()
	b.worker(nil, w.handler(), Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
		a, err := Work.Call(ctx, "a")
		if err != nil {
			return "", err
		}
		sleep := ctx.Timer(300 * time.Millisecond)
		got, err := GoOn.Wait(ctx)
		if err != nil {
			return "", err
		}
		_, err = sleep.Await()
		return in + a + got, err
	}))
	inst := start(b, Trip, "x")
	b.until("it sleeps", func() bool { return b.events(inst.ID(), "TimerCreated") == 1 })
	if err := inst.Terminate(b.ctx, "by mistake"); err != nil {
		t.Fatal(err)
	}
	if err := inst.Rewind(b.ctx, "it was a mistake"); err != nil {
		t.Fatal(err)
	}
	raise(b, GoOn, inst.ID(), "!")
	if got := wait(b, inst); got != "xA!" || w.count("a") != 1 {
		t.Errorf("got %q, a was done %d times", got, w.count("a"))
	}
	never := start(b, Trip, "x", durable.Delay(time.Hour))
	if err := never.Terminate(b.ctx, "before it began"); err != nil {
		t.Fatal(err)
	}
	if err := never.Rewind(b.ctx, "r"); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("error %v, want ErrWrongState", err)
	}
	b.atRest()
}

// TestRewindOfASuspendedInstance: it was suspended where it goes on from, and does go on.
func TestRewindOfASuspendedInstance(t *testing.T) {
	b := setup(t)
	b.worker(nil, Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
		got, err := GoOn.Wait(ctx)
		return in + got, err
	}))
	inst := start(b, Trip, "x")
	b.until("it waits", func() bool { return status(b, inst).Status == "RUNNING" })
	if err := inst.Suspend(b.ctx, "for a while"); err != nil {
		t.Fatal(err)
	}
	b.until("it is suspended", func() bool { return status(b, inst).Status == "SUSPENDED" })
	if err := inst.Terminate(b.ctx, "by mistake"); err != nil {
		t.Fatal(err)
	}
	if err := inst.Rewind(b.ctx, "it was a mistake"); err != nil {
		t.Fatal(err)
	}
	raise(b, GoOn, inst.ID(), "!")
	if got := wait(b, inst); got != "x!" {
		t.Errorf("got %q", got)
	}
	b.atRest()
}

// TestRewindOfWhatHasNotBegun: an instance that was suspended before its time has a history, and nothing in it to go on
// from.
func TestRewindOfWhatHasNotBegun(t *testing.T) {
	b := setup(t)
	inst := start(b, Trip, "x", durable.Delay(time.Hour))
	for _, err := range []error{inst.Suspend(b.ctx, "not yet"), inst.Terminate(b.ctx, "never")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := inst.Rewind(b.ctx, "r"); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("error %v, want ErrWrongState", err)
	}
	b.atRest()
}

func TestRewindKeepsLargeValues(t *testing.T) {
	b := setup(t)
	w := newWorkshop("bad")
	large := strings.Repeat("x", 200_000)
	b.worker(nil, w.handler(), Trip.Handler(func(ctx *durable.Context, in string) (string, error) {
		out, err := Work.Call(ctx, in)
		if err != nil {
			return "", err
		}
		_, err = Work.Call(ctx, "bad", durable.Overall(20*time.Second))
		return fmt.Sprint(len(in), len(out)), err
	}))
	inst := start(b, Trip, large)
	fails(b, inst)
	for range 2 { // the second time what the first has kept is the generation before
		if err := inst.Rewind(b.ctx, "once more"); err != nil {
			t.Fatal(err)
		}
		fails(b, inst)
	}
	w.mend()
	if err := inst.Rewind(b.ctx, "mended"); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "200000 200000" || w.count(large) != 1 || w.count("bad") != 4 {
		t.Errorf("got %q, done %d and %d times", got, w.count(large), w.count("bad"))
	}
	b.atRest()
}
