package durable_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

func restart[O any](b *bundle, i *durable.Instance[O], opts ...durable.RestartOption) *durable.Instance[O] {
	b.t.Helper()
	again, err := i.Restart(b.ctx, opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	return again
}

func TestRestart(t *testing.T) {
	t.Parallel()
	t.Run("InItsPlace", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 2)
		stop := b.worker(nil, Collect.Handler(collect))
		raise(b, Item, inst.ID(), "a", durable.Key("k"))
		raise(b, Item, inst.ID(), "b")
		wait(b, inst)
		stop()
		for n := range 3 {
			if again := restart(b, inst); again.ID() != inst.ID() {
				t.Errorf("it is %s", again.ID())
			}
			if got := status(b, inst); got.Status != "PENDING" || got.CustomStatus != nil {
				t.Errorf("got %+v", got)
			}
			raise(b, Item, inst.ID(), "c", durable.Key("k")) // counts anew
			stop := b.worker(nil, Collect.Handler(collect))
			raise(b, Item, inst.ID(), "d")
			if got := wait(b, inst); !slices.Equal(got, []string{"c", "d"}) {
				t.Errorf("got %q", got)
			}
			stop()
			// The generation that has ended is kept, the one before it is not.
			if got := strings.Count(story(b, inst), "ExecutionStarted"); got != 2 {
				t.Errorf("after restart %d the history has %d starts", n+1, got)
			}
		}
		if n := b.count("SELECT gen FROM weir.instances"); n != 3 {
			t.Errorf("generation %d", n)
		}
		b.atRest()
	})

	t.Run("AsAnother", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(_ *durable.Context, in string) (string, error) { return in, nil }))
		for name, in := range map[string]string{"small": "x", "large": strings.Repeat("x", 100<<10)} {
			inst := start(b, Text, in, durable.ID(name))
			wait(b, inst)
			second, third := restart(b, inst, durable.ID(name+"-2")), restart(b, inst, durable.ID(""))
			if second.ID() != name+"-2" || third.ID() == "" || third.ID() == name {
				t.Errorf("they are %s and %s", second.ID(), third.ID())
			}
			b.until("the first is as it was", func() bool { return status(b, inst).Status == "COMPLETED" })
			for _, again := range []*durable.Instance[string]{second, third} {
				if got := wait(b, again); got != in {
					t.Errorf("%s: got %d bytes", again.ID(), len(got))
				}
				if got := wait(b, restart(b, again)); got != in {
					t.Errorf("%s in its place: got %d bytes", again.ID(), len(got))
				}
			}
			if _, err := inst.Restart(b.ctx, durable.ID(name+"-2")); !errors.Is(err, durable.ErrExists) || !strings.Contains(err.Error(), "newId") {
				t.Errorf("got %v", err)
			}
		}
		b.atRest()
	})

	// However it ended; of one that continued as new, the last generation is started again.
	t.Run("Failed", func(t *testing.T) {
		b := setup(t)
		fail := true
		stop := b.worker(nil, Number.Handler(func(_ *durable.Context, n int) (int, error) {
			if fail {
				return 0, errors.New("not today")
			}
			return n, nil
		}))
		inst := start(b, Number, 7)
		if _, err := inst.Wait(b.ctx); err == nil {
			t.Error("it did not fail")
		}
		stop()
		fail = false
		b.worker(nil, Number.Handler(func(_ *durable.Context, n int) (int, error) { return n, nil }))
		if got := wait(b, restart(b, inst)); got != 7 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})
	t.Run("TerminatedBeforeItBegan", func(t *testing.T) {
		b := setup(t)
		soon, late := start(b, Collect, 0), start(b, Collect, 0, durable.Delay(time.Hour))
		for _, inst := range []*durable.Instance[[]string]{soon, late} {
			if err := inst.Terminate(b.ctx, ""); err != nil {
				t.Fatal(err)
			}
			restart(b, inst)
		}
		b.worker(nil, Collect.Handler(collect))
		wait(b, soon)
		wait(b, late) // at once: it is started now
		b.atRest()
	})
	t.Run("AfterContinueAsNew", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Loop.Handler(func(ctx *durable.Context, s loopState) ([]string, error) {
			if len(s.Seen) == s.Want {
				return s.Seen, nil
			}
			s.Seen = append(s.Seen, "x")
			return Loop.ContinueAsNew(ctx, s)
		}))
		inst := start(b, Loop, loopState{Want: 2})
		wait(b, inst)
		if got := wait(b, restart(b, inst)); !slices.Equal(got, []string{"x", "x"}) {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})

	// Tags go with it, in lists too; and the code sees them, though it was suspended before it began.
	t.Run("WithTags", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Text, "", durable.Tags{"team": "red"})
		if err := inst.Terminate(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		second := restart(b, inst, durable.ID("second"))
		restart(b, inst)
		e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		found, err := e.List(b.ctx, durable.DefaultHub, engine.Filter{Tags: map[string]string{"team": "red"}, Statuses: []history.Status{history.Pending}}, engine.Page{Limit: 5})
		if err != nil || len(found) != 2 || found[0].ID != inst.ID() || found[1].ID != second.ID() {
			t.Errorf("found %v, %v", found, err)
		}
		suspend(b, inst)
		b.worker(&durable.Config{IdleRelease: time.Millisecond}, Text.Handler(func(ctx *durable.Context, _ string) (string, error) { return ctx.Tags()["team"], nil }))
		letGo(b, inst)
		resume(b, inst)
		for _, i := range []*durable.Instance[string]{inst, second} {
			if got := wait(b, i); got != "red" {
				t.Errorf("%s: %q", i.ID(), got)
			}
		}
		b.atRest()
	})

	// A child that is started again is nobody's child: its parent heard of it once.
	t.Run("AChild", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect), Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			first, err := Collect.Call(ctx, 1, durable.ID("the-child"))
			if err != nil {
				return "", err
			}
			second, err := Item.Wait(ctx)
			return strings.Join(first, "") + second, err
		}))
		parent := start(b, Text, "")
		b.until("the child is there", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE id = 'the-child'") == 1 })
		raise(b, Item, "the-child", "a")
		child := Collect.Instance(b.client, "the-child")
		wait(b, child)
		restart(b, child)
		raise(b, Item, "the-child", "b")
		wait(b, child)
		raise(b, Item, parent.ID(), "c")
		if got := wait(b, parent); got != "ac" {
			t.Errorf("got %q", got)
		}
		if got := strings.Count(story(b, parent), "SubOrchestrationInstanceCompleted"); got != 1 {
			t.Errorf("the parent heard of it %d times", got)
		}
		b.atRest()
	})

	// Who waits hears of the run he waits for, never of one before.
	t.Run("WhileManyWait", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 1)
		raise(b, Item, inst.ID(), "0")
		wait(b, inst)
		for want := range strings.SplitSeq("123456789", "") {
			restart(b, inst)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if got, err := inst.Wait(b.ctx); err != nil || strings.Join(got, "") != want {
						t.Errorf("got %q, %v, want %s", got, err, want)
					}
				})
			}
			raise(b, Item, inst.ID(), want)
			all.Wait()
		}
		b.atRest()
	})

	// Of those that come together one starts it again.
	t.Run("ManyAtOnce", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 1)
		if err := inst.Terminate(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		done := make(chan error, 32)
		for range cap(done) {
			all.Go(func() { _, err := inst.Restart(b.ctx); done <- err })
		}
		all.Wait()
		close(done)
		restarts := 0
		for err := range done {
			switch {
			case err == nil:
				restarts++
			case !errors.Is(err, durable.ErrWrongState):
				t.Error(err)
			}
		}
		if gen := b.count("SELECT gen FROM weir.instances"); restarts != 1 || gen != 1 {
			t.Errorf("%d restarts, generation %d", restarts, gen)
		}
	})

	t.Run("Refused", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 1)
		if _, err := inst.Restart(b.ctx); engine.CodeOf(err) != engine.CodeWrongState || !strings.Contains(err.Error(), "PENDING") {
			t.Errorf("got %v", err)
		}
		suspend(b, inst)
		if _, err := inst.Restart(b.ctx, durable.ID("other")); engine.CodeOf(err) != engine.CodeWrongState || !strings.Contains(err.Error(), "SUSPENDED") {
			t.Errorf("got %v", err)
		}
		if _, err := Collect.Instance(b.client, "nobody").Restart(b.ctx); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		for _, id := range []durable.ID{"@x", "grün", durable.ID(strings.Repeat("x", 201))} {
			if _, err := inst.Restart(b.ctx, id); engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "newId") {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}
