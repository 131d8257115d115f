package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

const Upper durable.Activity[string, string] = "upper"

func suspend[O any](b *bundle, i *durable.Instance[O]) {
	b.t.Helper()
	if err := i.Suspend(b.ctx, "stock-taking"); err != nil {
		b.t.Fatal(err)
	}
}

func resume[O any](b *bundle, i *durable.Instance[O]) {
	b.t.Helper()
	if err := i.Resume(b.ctx, "done"); err != nil {
		b.t.Fatal(err)
	}
}

// isSuspended waits until an instance that a session may have is suspended.
func isSuspended[O any](b *bundle, i *durable.Instance[O]) {
	b.t.Helper()
	b.until("it is suspended", func() bool { return status(b, i).Status == "SUSPENDED" })
}

// letGo waits until no session has an instance, and none is due.
func letGo[O any](b *bundle, i *durable.Instance[O]) {
	b.t.Helper()
	b.until("nobody has it", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE id = $1 AND owner IS NULL AND turn_job IS NULL", i.ID()) == 1
	})
}

// messages counts those of a kind that wait in an instance's inbox.
func messages[O any](b *bundle, i *durable.Instance[O], kind int) int {
	return b.count("SELECT count(*) FROM weir.inbox x JOIN weir.instances i ON i.no = x.instance_no WHERE i.id = $1 AND x.kind = $2", i.ID(), kind)
}

// story is the types of an instance's history events, turns left out.
func story[O any](b *bundle, i *durable.Instance[O]) string {
	b.t.Helper()
	var out string
	err := b.pool.QueryRow(b.ctx, `SELECT string_agg(e->>'type', ' ' ORDER BY h.seq, e.n) FROM weir.history h JOIN weir.instances i ON i.no = h.instance_no,
		jsonb_array_elements(convert_from(h.events, 'UTF8')::jsonb) WITH ORDINALITY AS e(e, n)
		WHERE i.id = $1 AND e->>'type' <> 'OrchestratorStarted'`, i.ID()).Scan(&out)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	quick, keeps := durable.Config{IdleRelease: time.Millisecond}, durable.Config{IdleRelease: time.Hour}
	for name, cfg := range map[string]durable.Config{"ThatNobodyHas": quick, "ThatASessionHas": keeps} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.worker(&cfg, Collect.Handler(collect))
			inst, other := start(b, Collect, 4), start(b, Collect, 1)
			raise(b, Item, inst.ID(), "a")
			b.until("it waits for the second", func() bool { return string(status(b, inst).CustomStatus) == "1" })
			if cfg.IdleRelease == time.Millisecond {
				letGo(b, inst)
			}
			suspend(b, inst)
			if cfg.IdleRelease == time.Millisecond {
				if got := status(b, inst).Status; got != "SUSPENDED" {
					t.Errorf("at once it is %s", got)
				}
			}
			isSuspended(b, inst)
			for _, v := range []string{"b", "c"} {
				raise(b, Item, inst.ID(), v)
			}
			raise(b, Item, other.ID(), "x")
			wait(b, other) // the worker has been told of later events
			if got := status(b, inst); got.Status != "SUSPENDED" || string(got.CustomStatus) != "1" || messages(b, inst, 2) != 2 {
				t.Errorf("got %+v, %d events wait", got, messages(b, inst, 2))
			}
			suspend(b, inst) // again: it stays so
			resume(b, inst)
			b.until("it has taken in what was kept", func() bool { return string(status(b, inst).CustomStatus) == "3" })
			if got := status(b, inst).Status; got != "RUNNING" {
				t.Errorf("resumed, it is %s", got)
			}
			resume(b, inst)
			raise(b, Item, inst.ID(), "d")
			if got := strings.Join(wait(b, inst), ""); got != "abcd" {
				t.Errorf("got %q", got)
			}
			want := "ExecutionStarted EventRaised ExecutionSuspended ExecutionResumed EventRaised EventRaised EventRaised ExecutionCompleted"
			if got := story(b, inst); got != want {
				t.Errorf("got %s", got)
			}
			b.atRest()
		})
	}

	// What is under way goes on, and its result is there once it is resumed: exactly once, however it has run.
	for _, how := range []string{"Here", "ByRiver", "InATransaction", "AsAStep"} {
		for name, cfg := range map[string]durable.Config{"": keeps, "AndLetGoOf": quick} {
			t.Run("WhileAnActivityRuns"+how+name, func(t *testing.T) {
				b := setup(t)
				var (
					runs    atomic.Int32
					release = make(chan struct{})
					large   = strings.Repeat("x", 100<<10) // stored elsewhere
				)
				run := func(ctx context.Context, in string) (string, error) {
					runs.Add(1)
					select {
					case <-release:
					case <-ctx.Done():
					}
					return in + large, ctx.Err()
				}
				handlers := []durable.Handler{Text.Handler(func(ctx *durable.Context, in string) (string, error) {
					if how == "AsAStep" {
						return durable.Step(ctx, "slow", func(ctx context.Context) (string, error) { return run(ctx, in) })
					}
					return Upper.Call(ctx, in)
				})}
				switch how {
				case "Here":
					handlers = append(handlers, Upper.Handler(run))
				case "InATransaction":
					handlers = append(handlers, Upper.TxHandler(func(ctx context.Context, _ pgx.Tx, in string) (string, error) { return run(ctx, in) }))
				case "ByRiver":
					b.worker(nil, Upper.Handler(run))
				}
				b.worker(&cfg, handlers...)
				inst := start(b, Text, "a")
				b.until("the activity runs", func() bool { return runs.Load() == 1 })
				suspend(b, inst)
				isSuspended(b, inst)
				close(release)
				b.until("its result is kept", func() bool { return messages(b, inst, 3) == 1 })
				if cfg.IdleRelease == time.Millisecond {
					letGo(b, inst)
				}
				if got := status(b, inst).Status; got != "SUSPENDED" {
					t.Errorf("it is %s", got)
				}
				resume(b, inst)
				if got := wait(b, inst); got != "a"+large {
					t.Errorf("got %d bytes", len(got))
				}
				if got := story(b, inst); runs.Load() != 1 || strings.Count(got, "TaskCompleted") != 1 {
					t.Errorf("%d runs, %s", runs.Load(), got)
				}
				b.atRest()
			})
		}
	}

	t.Run("WhileATimerAndAChildEnd", func(t *testing.T) {
		b := setup(t)
		b.worker(&quick, Collect.Handler(collect), Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			child := Collect.Go(ctx, 1, durable.ID("the-child"))
			if err := ctx.Sleep(50 * time.Millisecond); err != nil {
				return "", err
			}
			out, err := child.Await()
			return strings.Join(out, ""), err
		}))
		inst := start(b, Text, "")
		b.until("the child is there", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE id = 'the-child'") == 1 })
		suspend(b, inst)
		isSuspended(b, inst)
		raise(b, Item, "the-child", "x")
		b.until("both have ended", func() bool {
			return messages(b, inst, 3) == 1 && messages(b, inst, 4)+strings.Count(story(b, inst), "TimerFired") == 1
		})
		resume(b, inst)
		if got := wait(b, inst); got != "x" {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})

	t.Run("BeforeAnybodyTakesItUp", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 2)
		suspend(b, inst)
		if got := status(b, inst).Status; got != "SUSPENDED" {
			t.Errorf("it is %s", got)
		}
		raise(b, Item, inst.ID(), "a")
		b.worker(&quick, Collect.Handler(collect))
		letGo(b, inst) // its turn job has been looked at
		if n := b.count("SELECT count(*) FROM weir.instances WHERE started_at IS NULL AND status = 7"); n != 1 {
			t.Error("it has begun")
		}
		resume(b, inst)
		raise(b, Item, inst.ID(), "b")
		if got := strings.Join(wait(b, inst), ""); got != "ab" {
			t.Errorf("got %q", got)
		}
		if got := story(b, inst); !strings.HasPrefix(got, "ExecutionSuspended ExecutionResumed ExecutionStarted EventRaised") {
			t.Errorf("got %s", got)
		}
		b.atRest()
	})

	t.Run("AndResumedBeforeAnybodyTakesItUp", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 0)
		suspend(b, inst)
		resume(b, inst)
		if got := status(b, inst).Status; got != "PENDING" {
			t.Errorf("it is %s", got)
		}
		b.worker(nil, Collect.Handler(collect))
		wait(b, inst)
		b.atRest()
	})

	t.Run("BeforeItsStartIsDue", func(t *testing.T) {
		b := setup(t)
		b.worker(&quick, Collect.Handler(collect))
		soon, late := start(b, Collect, 1, durable.Delay(500*time.Millisecond)), start(b, Collect, 1, durable.Delay(time.Hour))
		for _, inst := range []*durable.Instance[[]string]{soon, late} {
			suspend(b, inst)
			raise(b, Item, inst.ID(), "x")
			if got := status(b, inst).Status; got != "SUSPENDED" {
				t.Errorf("it is %s", got)
			}
		}
		b.until("its start has come", func() bool { return messages(b, soon, 1) == 1 })
		resume(b, soon)
		wait(b, soon)
		resume(b, late)
		if got := status(b, late).Status; got != "PENDING" || messages(b, late, 2) != 1 {
			t.Errorf("it is %s", got)
		}
	})

	t.Run("WhileItsTurnIsHeld", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(&quick, Number.Handler(func(*durable.Context, int) (int, error) { panic("out of cheese") }))
		inst := start(b, Number, 1)
		b.until("it is held", func() bool { return status(b, inst).Held != "" })
		suspend(b, inst)
		isSuspended(b, inst)
		stop()
		b.worker(&quick, Number.Handler(func(_ *durable.Context, n int) (int, error) { return n, nil }))
		letGo(b, inst)
		resume(b, inst)
		if got := wait(b, inst); got != 1 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})

	t.Run("WhileItsWorkerLeaves", func(t *testing.T) {
		b := setup(t)
		var runs atomic.Int32
		handlers := func() []durable.Handler {
			return []durable.Handler{
				Number.Handler(func(ctx *durable.Context, n int) (int, error) {
					first := Double.Go(ctx, n)
					second, err := Double.Call(ctx, -n)
					if err != nil {
						return 0, err
					}
					one, err := first.Await()
					return one - second, err
				}),
				Double.Handler(func(ctx context.Context, n int) (int, error) {
					if n > 0 && runs.Add(1) == 1 {
						<-ctx.Done()
						return 0, ctx.Err()
					}
					return 2 * n, nil
				}),
			}
		}
		stop := b.worker(&durable.Config{IdleRelease: time.Hour, DrainTimeout: 50 * time.Millisecond}, handlers()...)
		inst := start(b, Number, 1)
		b.until("one activity runs and the other has ended", func() bool {
			return runs.Load() == 1 && strings.Contains(story(b, inst), "TaskCompleted")
		})
		suspend(b, inst)
		isSuspended(b, inst)
		stop()
		if got := status(b, inst).Status; got != "SUSPENDED" {
			t.Errorf("it is %s", got)
		}
		b.worker(&quick, handlers()...)
		b.until("the other worker has run it", func() bool { return messages(b, inst, 3) == 1 })
		resume(b, inst)
		if got := wait(b, inst); got != 4 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})

	t.Run("AndTerminated", func(t *testing.T) {
		b := setup(t)
		b.worker(&keeps, Collect.Handler(collect))
		inst := start(b, Collect, 1)
		b.until("it runs", func() bool { return status(b, inst).Status == "RUNNING" })
		suspend(b, inst)
		isSuspended(b, inst)
		raise(b, Item, inst.ID(), "x")
		if err := inst.Terminate(b.ctx, "enough"); err != nil {
			t.Fatal(err)
		}
		if got := status(b, inst).Status; got != "TERMINATED" {
			t.Errorf("it is %s", got)
		}
		if n := b.count("SELECT count(*) FROM weir.instances WHERE suspended IS NOT NULL"); n != 0 {
			t.Error("it is still said to be suspended")
		}
		b.atRest()
	})

	t.Run("ContinuesAsNewAfterwards", func(t *testing.T) {
		b := setup(t)
		b.worker(&keeps, Loop.Handler(func(ctx *durable.Context, s loopState) ([]string, error) {
			v, err := Item.Wait(ctx)
			if err != nil {
				return nil, err
			}
			if s.Seen = append(s.Seen, v); len(s.Seen) == s.Want {
				return s.Seen, nil
			}
			return Loop.ContinueAsNew(ctx, s)
		}))
		inst := start(b, Loop, loopState{Want: 3})
		b.until("it runs", func() bool { return status(b, inst).Status == "RUNNING" })
		for n := range 3 {
			suspend(b, inst)
			isSuspended(b, inst)
			raise(b, Item, inst.ID(), fmt.Sprint(n))
			resume(b, inst)
			b.until("it goes on", func() bool { return status(b, inst).Status != "SUSPENDED" })
		}
		if got := strings.Join(wait(b, inst), ""); got != "012" {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})

	// Many suspend and resume it while events come. None is lost, and the last word counts.
	t.Run("OverAndOver", func(t *testing.T) {
		b := setup(t)
		b.worker(&quick, Collect.Handler(collect))
		b.worker(&durable.Config{IdleRelease: 20 * time.Millisecond}, Collect.Handler(collect))
		const n = 60
		inst := start(b, Collect, n)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for range 20 {
					if err := errors.Join(inst.Suspend(b.ctx, ""), inst.Resume(b.ctx, "")); err != nil && !errors.Is(err, durable.ErrFinished) {
						t.Error(err)
						return
					}
				}
			})
		}
		var want []string
		for i := range n {
			raise(b, Item, inst.ID(), fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		all.Wait()
		if err := inst.Resume(b.ctx, ""); err != nil && !errors.Is(err, durable.ErrFinished) {
			t.Fatal(err)
		}
		if got := wait(b, inst); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		b.atRest()
	})

	t.Run("Refused", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 0)
		wait(b, inst)
		for name, fn := range map[string]func(context.Context, string) error{"suspend": inst.Suspend, "resume": inst.Resume} {
			if err := fn(b.ctx, ""); !errors.Is(err, durable.ErrFinished) || !strings.Contains(err.Error(), "COMPLETED") {
				t.Errorf("%s: %v", name, err)
			}
			for _, reason := range []string{strings.Repeat("x", 2001), "a\x00", "a\xff"} {
				if err := fn(b.ctx, reason); engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "reason") {
					t.Errorf("%s for %.10q: %v", name, reason, err)
				}
			}
		}
		nobody := Collect.Instance(b.client, "nobody")
		if err := nobody.Suspend(b.ctx, ""); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// TestReasonWhileSuspended: by whom, why and since when, exactly and in lists.
func TestReasonWhileSuspended(t *testing.T) {
	b := setup(t)
	inst := start(b, Collect, 1)
	e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	began := time.Now()
	if err := e.Suspend(b.ctx, engine.ControlRequest{Hub: durable.DefaultHub, Instance: inst.ID(), Reason: "stock-taking", By: "Ada"}); err != nil {
		t.Fatal(err)
	}
	i, err := e.Get(b.ctx, durable.DefaultHub, inst.ID())
	if err != nil {
		t.Fatal(err)
	}
	why, err := e.Explain(b.ctx, i)
	if err != nil {
		t.Fatal(err)
	}
	if got := why.Text(time.Now()); why.Kind != engine.ReasonSuspended || why.Since.Sub(began).Abs() > time.Minute || !strings.Contains(got, " by Ada: stock-taking.") {
		t.Errorf("the reason is %s since %v: %s", why.Kind, why.Since, got)
	}
	list, err := e.List(b.ctx, durable.DefaultHub, engine.Filter{}, engine.Page{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if got := list[0].Short(func(engine.Definition) bool { return false }, time.Now()); got != "suspended: stock-taking" {
		t.Errorf("in lists it is %q", got)
	}
}

// TestEventBetweenDueAndStart: an event that comes after a delayed start is due, and before it has fired, is kept.
func TestEventBetweenDueAndStart(t *testing.T) {
	b := setup(t)
	inst := start(b, Collect, 1, durable.Delay(time.Second)) // no worker: nothing fires
	b.until("its start is due", func() bool { return b.count("SELECT count(*) FROM weir.timers WHERE fire_at < now()") == 1 })
	raise(b, Item, inst.ID(), "x")
	b.worker(nil, Collect.Handler(collect))
	if got := wait(b, inst); !slices.Equal(got, []string{"x"}) {
		t.Errorf("got %v", got)
	}
	b.atRest()
}
