package durabletest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/durabletest"
	"github.com/weir-dev/weir/engine/history"
)

const (
	Approve durable.Orchestration[string, string] = "approve"
	Month   durable.Orchestration[int, int]       = "month"
	Charge  durable.Activity[int, string]         = "charge"
	Slow    durable.Activity[string, string]      = "slow"
	Yes     durable.Event[bool]                   = "yes"
	Tick    durable.Event[int]                    = "tick"

	ErrLate     durable.Failure = "late"
	ErrDeclined durable.Failure = "declined"
)

func approve(ctx *durable.Context, what string) (string, error) {
	ctx.SetStatus("waiting")
	yes, ok, err := Yes.WaitFor(ctx, 30*24*time.Hour)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", fmt.Errorf("%s: %w", what, ErrLate)
	case !yes:
		return "no", nil
	}
	return Charge.Call(ctx, len(what))
}

func charge(_ context.Context, n int) (string, error) { return fmt.Sprintf("charged %d", n), nil }

func TestThirtyDaysTakeMilliseconds(t *testing.T) {
	t.Parallel()
	env := durabletest.New(t, Approve.Handler(approve), Charge.Handler(charge))
	began, from := time.Now(), env.Now()
	run := durabletest.Start(env, Approve, "bike")
	var seen durable.State
	run.After(29*24*time.Hour, func() { seen = run.State() })
	_, err := run.Await()
	if !errors.Is(err, ErrLate) {
		t.Errorf("got %v", err)
	}
	if seen.Status != "RUNNING" || string(seen.CustomStatus) != `"waiting"` {
		t.Errorf("after 29 days it was %s, %s", seen.Status, seen.CustomStatus)
	}
	if got := env.Now().Sub(from); got != 30*24*time.Hour {
		t.Errorf("it took %s of virtual time", got)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s of real time", took)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	t.Run("Raised", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, Approve.Handler(approve), Charge.Handler(charge))
		run := durabletest.Start(env, Approve, "bike")
		run.After(time.Hour, func() { durabletest.Raise(run, Yes, true) })
		if out, err := run.Await(); err != nil || out != "charged 4" {
			t.Errorf("got %q, %v", out, err)
		}
		if err := durabletest.TryRaise(run, Yes, true); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("an event to what has ended: %v", err)
		}
		if err := durabletest.TryRaise(durabletest.Instance(env, Approve, "nobody"), Yes, true); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("an event to nobody: %v", err)
		}
	})
	t.Run("KeyCountsOnce", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, Month.Handler(func(ctx *durable.Context, n int) (int, error) {
			sum := 0
			for range n {
				v, err := Tick.Wait(ctx)
				if err != nil {
					return 0, err
				}
				sum += v
			}
			return sum, nil
		}))
		run := durabletest.Start(env, Month, 2)
		durabletest.Raise(run, Tick, 1, durable.Key("a"))
		durabletest.Raise(run, Tick, 1, durable.Key("a"))
		durabletest.Raise(run, Tick, 10, durable.Key("b"))
		if out, err := run.Await(); err != nil || out != 11 {
			t.Errorf("got %d, %v", out, err)
		}
	})
	t.Run("ToAnInstanceThatHasNotBegun", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, Approve.Handler(approve), Charge.Handler(charge))
		run := durabletest.Start(env, Approve, "x", durable.Delay(48*time.Hour), durable.ID("later"))
		durabletest.Raise(run, Yes, true)
		env.Advance(47 * time.Hour)
		if s := run.State(); s.Status != "PENDING" {
			t.Errorf("it is %s", s.Status)
		}
		if out, err := run.Await(); err != nil || out != "charged 1" {
			t.Errorf("got %q, %v", out, err)
		}
	})
}

func TestRetriesTakeVirtualTime(t *testing.T) {
	t.Parallel()
	var attempts []int
	env := durabletest.New(t,
		Approve.Handler(func(ctx *durable.Context, _ string) (string, error) { return Charge.Call(ctx, 1) }),
		Charge.Handler(func(ctx context.Context, _ int) (string, error) {
			task, _ := durable.Task(ctx)
			attempts = append(attempts, task.Attempt)
			if task.Attempt < 4 {
				return "", errors.New("busy")
			}
			return "done", nil
		}, durable.Retry{Attempts: 5, Initial: time.Hour, Factor: 2, Max: 24 * time.Hour}),
	)
	from := env.Now()
	run := durabletest.Start(env, Approve, "")
	if out, err := run.Await(); err != nil || out != "done" {
		t.Errorf("got %q, %v", out, err)
	}
	if !slices.Equal(attempts, []int{1, 2, 3, 4}) {
		t.Errorf("attempts %v", attempts)
	}
	if got := env.Now().Sub(from); got != 7*time.Hour {
		t.Errorf("they took %s", got)
	}
	var done *history.TaskCompleted
	for _, e := range run.History() {
		if c, ok := e.(*history.TaskCompleted); ok {
			done = c
		}
	}
	if done == nil || done.Attempts != 4 || len(done.Earlier) != 3 || done.Earlier[0].Message != "busy" {
		t.Errorf("the history has %+v", done)
	}
}

func TestSleepAndTimeout(t *testing.T) {
	t.Parallel()
	slow := Slow.Handler(func(ctx context.Context, d string) (string, error) {
		long, err := time.ParseDuration(d)
		if err != nil {
			return "", err
		}
		if err := durabletest.Sleep(ctx, long); err != nil {
			return "", fmt.Errorf("woken: %w", err)
		}
		return "slept " + d, nil
	}, durable.Timeout(time.Hour))
	t.Run("TheFasterIsFirst", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, slow, Approve.Handler(func(ctx *durable.Context, _ string) (string, error) {
			a, b, late := Slow.Go(ctx, "50m"), Slow.Go(ctx, "10m"), ctx.Timer(40*time.Minute)
			first, err := "", error(nil)
			if durable.First(a, b, late) == durable.Awaitable(b) {
				first, err = b.Await()
			}
			if durable.First(a, late) != durable.Awaitable(late) {
				return "", errors.New("the timer was not second")
			}
			last, err2 := a.Await()
			return first + ", " + last, errors.Join(err, err2)
		}))
		if out, err := durabletest.Start(env, Approve, "").Await(); err != nil || out != "slept 10m, slept 50m" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("TimeoutEndsTheContext", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, slow, Approve.Handler(func(ctx *durable.Context, d string) (string, error) { return Slow.Call(ctx, d) }))
		from := env.Now()
		_, err := durabletest.Start(env, Approve, "2h").Await()
		if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
			t.Errorf("got %v", err)
		}
		if got := env.Now().Sub(from); got != time.Hour {
			t.Errorf("it took %s", got)
		}
	})
	t.Run("TerminateEndsTheContext", func(t *testing.T) {
		t.Parallel()
		woken := make(chan error, 1)
		env := durabletest.New(t,
			Approve.Handler(func(ctx *durable.Context, d string) (string, error) { return Slow.Call(ctx, d) }),
			Slow.Handler(func(ctx context.Context, _ string) (string, error) {
				err := durabletest.Sleep(ctx, time.Hour)
				woken <- err
				return "", err
			}))
		run := durabletest.Start(env, Approve, "")
		run.After(time.Minute, func() {
			if err := run.Terminate("enough"); err != nil {
				t.Error(err)
			}
		})
		if _, err := run.Await(); err == nil || !strings.Contains(err.Error(), "terminated: enough") {
			t.Errorf("got %v", err)
		}
		if s := run.State(); s.Status != "TERMINATED" {
			t.Errorf("it is %s", s.Status)
		}
		if err := <-woken; !errors.Is(err, context.Canceled) {
			t.Errorf("the activity was told %v", err)
		}
		if err := run.Terminate("again"); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("a second time: %v", err)
		}
	})
}

// TestSameEachTime: whatever goroutines do, what a test sees is the same.
func TestSameEachTime(t *testing.T) {
	t.Parallel()
	program := func() string {
		env := durabletest.New(t, Approve.Handler(func(ctx *durable.Context, _ string) (string, error) {
			var all []*durable.Future[string]
			for n := range 20 {
				all = append(all, Charge.Go(ctx, n))
			}
			order := []string{ctx.NewID()}
			for n := range durable.Completed(all...) {
				order = append(order, strconv.Itoa(n))
			}
			return strings.Join(order, " "), nil
		}), Charge.Handler(charge))
		out, err := durabletest.Start(env, Approve, "").Await()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	once := program()
	for range 20 {
		if again := program(); again != once {
			t.Fatalf("%s, and then %s", once, again)
		}
	}
}

// fatal is a test that notes its end, so that failures can be tested.
type fatal struct {
	testing.TB
	log  strings.Builder
	text string
}

type stop struct{}

func (f *fatal) Helper()                 {}
func (f *fatal) Cleanup(fn func())       { f.TB.Cleanup(fn) }
func (f *fatal) Log(args ...any)         { fmt.Fprintln(&f.log, args...) }
func (f *fatal) Logf(s string, a ...any) { fmt.Fprintf(&f.log, s+"\n", a...) }
func (f *fatal) Fatalf(s string, a ...any) {
	f.text = fmt.Sprintf(s, a...)
	panic(stop{})
}

// failure is how a test fails that does this.
func failure(t *testing.T, test func(testing.TB)) string {
	f := &fatal{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(stop); !ok {
					panic(p)
				}
			}
		}()
		test(f)
	}()
	return f.text
}

func TestFailuresSayWhy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		want []string
		test func(testing.TB)
	}{
		{"NothingLeftToHappen", []string{`"instance-1" has not ended`, `waits for event "yes"`}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(func(ctx *durable.Context, _ string) (string, error) {
				_, err := Yes.Wait(ctx)
				return "", err
			}))
			_, _ = durabletest.Start(env, Approve, "").Await()
		}},
		{"CodeThatDoesNotRepeatItself", []string{"is held", `the history has activity "charge", the code does a timer`}, func(t testing.TB) {
			var runs atomic.Int32
			env := durabletest.New(t, Charge.Handler(charge), Approve.Handler(func(ctx *durable.Context, _ string) (string, error) {
				if runs.Add(1) > 1 {
					return "", ctx.Sleep(time.Second)
				}
				return Charge.Call(ctx, 1)
			}))
			_, _ = durabletest.Start(env, Approve, "").Await()
		}},
		{"PanicOfAnOrchestration", []string{"is held", "panics: oh no", "env_test.go"}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(func(*durable.Context, string) (string, error) { panic("oh no") }))
			_, _ = durabletest.Start(env, Approve, "").Await()
		}},
		{"NoOrchestration", []string{`instance "instance-1": orchestration "approve", version "2", has no handler`}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(approve))
			_, _ = durabletest.Start(env, Approve, "", durable.Version("2")).Await()
		}},
		{"NoActivity", []string{`activity "charge" has no handler`}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(approve))
			run := durabletest.Start(env, Approve, "")
			durabletest.Raise(run, Yes, true)
			_, _ = run.Await()
		}},
		{"TxHandlerWithoutAFake", []string{`activity "charge" has a TxHandler`, "a fake in its place"}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(approve), Charge.TxHandler(func(context.Context, pgx.Tx, int) (string, error) { return "", nil }))
			run := durabletest.Start(env, Approve, "")
			durabletest.Raise(run, Yes, true)
			_, _ = run.Await()
		}},
		{"IDTaken", []string{"id: an instance with the id \"a\" exists"}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(approve))
			durabletest.Start(env, Approve, "", durable.ID("a"))
			durabletest.Start(env, Approve, "", durable.ID("a"))
		}},
		{"BadOption", []string{"reuse: there is no status"}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(approve))
			durabletest.Start(env, Approve, "", durable.Reuse{Replace: []string{"GONE"}}, durable.ID("a"))
		}},
		{"ReuseWithoutAnID", []string{"reuse: needs an id"}, func(t testing.TB) {
			env := durabletest.New(t, Approve.Handler(approve))
			durabletest.Start(env, Approve, "", durable.Reuse{Existing: true})
		}},
		{"BadHandler", []string{"handler: must not be empty"}, func(t testing.TB) { durabletest.New(t, durable.Handler{}) }},
		{"NoSuchInstance", []string{`there is no instance "x"`}, func(t testing.TB) {
			durabletest.Instance(durabletest.New(t), Approve, "x").State()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := failure(t, c.test)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("the test fails with %q, which does not say %q", got, want)
				}
			}
		})
	}
}

// TestFakeReplacesHandler: the last of several handlers counts.
func TestFakeReplacesHandler(t *testing.T) {
	t.Parallel()
	env := durabletest.New(t,
		Approve.Handler(approve), Charge.TxHandler(func(context.Context, pgx.Tx, int) (string, error) { return "real", nil }),
		Charge.Handler(func(context.Context, int) (string, error) { return "", fmt.Errorf("card: %w", ErrDeclined) }),
	)
	run := durabletest.Start(env, Approve, "bike")
	durabletest.Raise(run, Yes, true)
	if _, err := run.Await(); !errors.Is(err, ErrDeclined) {
		t.Errorf("got %v", err)
	}
}

func TestReuse(t *testing.T) {
	t.Parallel()
	env := durabletest.New(t, Approve.Handler(approve), Charge.Handler(charge))
	one := durabletest.Start(env, Approve, "first", durable.ID("a"))
	env.Settle()
	if same := durabletest.Start(env, Approve, "second", durable.ID("a"), durable.Reuse{Existing: true}); !same.Existing() || one.Existing() {
		t.Error("the second start does not return the first instance")
	}
	two := durabletest.Start(env, Approve, "second!", durable.ID("a"), durable.Reuse{Replace: []string{"RUNNING", "TERMINATED"}})
	if two.Existing() {
		t.Error("the first instance does not give way")
	}
	durabletest.Raise(two, Yes, true)
	if out, err := two.Await(); err != nil || out != "charged 7" {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestLongHistory: opening the code anew after each turn does not make long histories slow.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	const n = 3000
	env := durabletest.New(t, Charge.Handler(charge), Month.Handler(func(ctx *durable.Context, n int) (int, error) {
		for i := range n {
			if _, err := Charge.Call(ctx, i); err != nil {
				return 0, err
			}
		}
		return n, nil
	}))
	began := time.Now()
	if out, err := durabletest.Start(env, Month, n).Await(); err != nil || out != n {
		t.Errorf("got %d, %v", out, err)
	}
	t.Logf("%d activities took %s", n, time.Since(began))
}
