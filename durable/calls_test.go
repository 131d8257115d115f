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

	"github.com/weir-dev/weir/durable"
)

const (
	Text   durable.Orchestration[string, string] = "text"
	Number durable.Orchestration[int, int]       = "number"
	Many   durable.Orchestration[[]int, []int]   = "many"
	Echo   durable.Activity[string, string]      = "echo"
	Double durable.Activity[int, int]            = "double"
	ErrOdd durable.Failure                       = "odd_number"
)

func echo(_ context.Context, s string) (string, error) { return s, nil }

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

func TestCall(t *testing.T) {
	t.Parallel()
	t.Run("OK", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			var out strings.Builder
			for i := range 3 {
				v, err := Echo.Call(ctx, fmt.Sprintf("%s%d ", s, i))
				if err != nil {
					return "", err
				}
				out.WriteString(v)
			}
			return out.String(), nil
		}))
		if got, want := wait(b, start(b, Text, "x")), "x0 x1 x2 "; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("NoInputNoOutput", func(t *testing.T) {
		const (
			nothing durable.Orchestration[durable.None, durable.None] = "nothing"
			idle    durable.Activity[durable.None, durable.None]      = "idle"
		)
		b := setup(t)
		b.worker(nil,
			nothing.Handler(func(ctx *durable.Context, _ durable.None) (durable.None, error) {
				return idle.Call(ctx, durable.None{})
			}),
			idle.Handler(func(context.Context, durable.None) (durable.None, error) { return durable.None{}, nil }))
		wait(b, start(b, nothing, durable.None{}))
	})
	t.Run("FailureKeepsItsIdentity", func(t *testing.T) {
		b := setup(t)
		b.worker(nil,
			Double.Handler(func(_ context.Context, n int) (int, error) { return 0, fmt.Errorf("got %d: %w", n, ErrOdd) }, durable.Retry{Attempts: 5}),
			Number.Handler(func(ctx *durable.Context, n int) (int, error) {
				_, err := Double.Call(ctx, n)
				if !errors.Is(err, ErrOdd) {
					return 0, fmt.Errorf("want odd_number in %w", err)
				}
				return 0, fmt.Errorf("doubling: %w", err)
			}))
		_, err := start(b, Number, 3).Wait(b.ctx)
		var task *durable.TaskError
		if !errors.Is(err, ErrOdd) || !errors.As(err, &task) {
			t.Fatalf("got %v, want a TaskError that is %v", err, ErrOdd)
		}
		if want := "got 3: odd_number"; !strings.Contains(task.Message, want) {
			t.Errorf("message %q does not contain %q", task.Message, want)
		}
	})
	t.Run("PlainErrorFailsTheInstance", func(t *testing.T) {
		b := setup(t)
		b.worker(nil,
			Double.Handler(func(context.Context, int) (int, error) { return 0, errors.New("out of order") }),
			Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n) }))
		inst := start(b, Number, 3)
		_, err := inst.Wait(b.ctx)
		if err == nil || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("got %v", err)
		}
		if s := status(b, inst); s.Status != "FAILED" {
			t.Errorf("status %s", s.Status)
		}
		b.atRest()
	})
	t.Run("PanicOfAnActivityIsAFailure", func(t *testing.T) {
		b := setup(t)
		b.worker(nil,
			Double.Handler(func(context.Context, int) (int, error) { panic("boom") }),
			Echo.Handler(echo),
			Number.Handler(func(ctx *durable.Context, n int) (int, error) {
				_, err := Double.Call(ctx, n)
				var task *durable.TaskError
				if !errors.As(err, &task) || task.Code != "panic" || !strings.Contains(task.Details.Stack, "calls_test.go") {
					return 0, fmt.Errorf("want a panic with its stack, got %w", err)
				}
				return 1, nil
			}))
		wait(b, start(b, Number, 3))
	})
}

func TestFanOut(t *testing.T) {
	t.Parallel()
	t.Run("MapKeepsOrder", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Double.Handler(double), Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) { return Double.Map(ctx, in) }))
		in := make([]int, 500)
		for i := range in {
			in[i] = i
		}
		got := wait(b, start(b, Many, in))
		for i, v := range got {
			if v != 2*i {
				t.Fatalf("result %d is %d", i, v)
			}
		}
		b.atRest()
	})
	t.Run("LimitIsKept", func(t *testing.T) {
		b := setup(t)
		var now, most atomic.Int32
		b.worker(nil, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) {
			return Double.Map(ctx, in, durable.Limit(3))
		}), Double.Handler(func(_ context.Context, n int) (int, error) {
			for {
				was, is := most.Load(), now.Add(1)
				if is <= was || most.CompareAndSwap(was, is) {
					break
				}
				now.Add(-1)
			}
			time.Sleep(2 * time.Millisecond) // work
			now.Add(-1)
			return n, nil
		}))
		in := make([]int, 40)
		wait(b, start(b, Many, in))
		if m := most.Load(); m > 3 {
			t.Errorf("%d ran at once", m)
		}
	})
	t.Run("OverflowGoesThroughRiver", func(t *testing.T) {
		b := setup(t)
		var ran sync.Map
		b.worker(&durable.Config{Activities: 2}, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) { return Double.Map(ctx, in) }),
			Double.Handler(func(ctx context.Context, n int) (int, error) {
				info, _ := durable.Task(ctx)
				if _, twice := ran.LoadOrStore(info.TaskID, true); twice {
					t.Errorf("task %d ran twice", info.TaskID)
				}
				return 2 * n, nil
			}))
		in := make([]int, 100) // 2 slots and 8 places in memory: the rest becomes River jobs
		if got := wait(b, start(b, Many, in)); len(got) != 100 {
			t.Errorf("%d results", len(got))
		}
		b.atRest()
	})
	t.Run("FirstErrorByArgument", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) { return Double.Map(ctx, in) }),
			Double.Handler(func(_ context.Context, n int) (int, error) {
				if n%2 == 1 {
					return 0, fmt.Errorf("number %d: %w", n, ErrOdd)
				}
				return 2 * n, nil
			}))
		_, err := start(b, Many, []int{2, 4, 5, 6, 7}).Wait(b.ctx)
		if !errors.Is(err, ErrOdd) || !strings.Contains(err.Error(), "number 5") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("CompletedYieldsInOrderOfCompletion", func(t *testing.T) {
		b := setup(t)
		release := []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
		b.worker(nil, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) {
			fs := make([]*durable.Future[int], len(in))
			for i, n := range in {
				fs[i] = Double.Go(ctx, n)
			}
			var order []int
			for i, f := range durable.Completed(fs...) {
				if _, err := f.Await(); err != nil {
					return nil, err
				}
				order = append(order, i)
				ctx.SetStatus(order)
			}
			return order, nil
		}), Double.Handler(func(_ context.Context, n int) (int, error) {
			<-release[n]
			return n, nil
		}))
		inst := start(b, Many, []int{0, 1, 2})
		for k, n := range []int{2, 0, 1} {
			close(release[n])
			b.until("it is seen", func() bool {
				return strings.Count(string(status(b, inst).CustomStatus), ",") == k && len(status(b, inst).CustomStatus) > 2
			})
		}
		if got, want := wait(b, inst), []int{2, 0, 1}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestBranches(t *testing.T) {
	b := setup(t)
	b.worker(nil, Double.Handler(double), Number.Handler(func(ctx *durable.Context, n int) (int, error) {
		total := 0 // shared, without a lock
		var fs []*durable.Future[int]
		for i := range n {
			fs = append(fs, durable.Go(ctx, func(ctx *durable.Context) (int, error) {
				a, err := Double.Call(ctx, i)
				if err != nil {
					return 0, err
				}
				b, err := Double.Call(ctx, a)
				total += b
				return b, err
			}))
		}
		if _, err := durable.All(fs...); err != nil {
			return 0, err
		}
		return total, nil
	}))
	if got, want := wait(b, start(b, Number, 10)), 4*45; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	b.atRest()
}

func TestTimers(t *testing.T) {
	t.Parallel()
	t.Run("SleepIsNeverShort", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			began := ctx.Now()
			if err := ctx.Sleep(time.Duration(n) * time.Millisecond); err != nil {
				return 0, err
			}
			return int(ctx.Now().Sub(began).Microseconds()), nil
		}))
		for _, ms := range []int{1, 50, 300} {
			if got := wait(b, start(b, Number, ms)); got < ms*1000 {
				t.Errorf("slept %d us instead of %d ms", got, ms)
			}
		}
		b.atRest()
	})
	t.Run("FirstOfTimerAndActivity", func(t *testing.T) {
		b := setup(t)
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		b.worker(nil, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			slow, deadline := Echo.Go(ctx, s), ctx.Timer(20*time.Millisecond)
			switch durable.First(slow, deadline) {
			case slow:
				return "activity", nil
			case deadline:
				return "timer", nil
			}
			return "neither", nil
		}), Echo.Handler(func(ctx context.Context, s string) (string, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return s, nil
		}))
		if got := wait(b, start(b, Text, "")); got != "timer" {
			t.Errorf("got %q", got)
		}
	})
}

func TestDeterminism(t *testing.T) {
	b := setup(t)
	type drawn struct {
		ID   string
		Rand int
		Now  time.Time
	}
	const draw durable.Orchestration[int, [][]drawn] = "draw"
	var mu sync.Mutex
	var logged []string
	logger := durableLogger(func(line string) { mu.Lock(); logged = append(logged, line); mu.Unlock() })
	seen := make(chan []drawn, 100)
	handler := draw.Handler(func(ctx *durable.Context, n int) ([][]drawn, error) {
		var mine []drawn
		for i := range n {
			mine = append(mine, drawn{ctx.NewID(), ctx.Rand().Int(), ctx.Now()})
			ctx.Logger().Info("step", "i", i)
			if _, err := Echo.Call(ctx, "x"); err != nil {
				return nil, err
			}
			seen <- slices.Clone(mine)
		}
		return [][]drawn{mine}, nil
	})
	w, err := durable.NewWorker(b.pool, &durable.Config{Logger: logger, Cache: 1, DrainTimeout: time.Second}, handler, Echo.Handler(echo))
	if err != nil {
		t.Fatal(err)
	}
	b.run(w)
	final := wait(b, start(b, draw, 5))[0]
	close(seen)
	for part := range seen {
		if !slices.Equal(part, final[:len(part)]) {
			t.Errorf("a run saw %v, another %v", part, final)
		}
	}
	ids := map[string]bool{}
	for _, d := range final {
		ids[d.ID] = true
	}
	if len(ids) != 5 {
		t.Errorf("ids are not unique: %v", final)
	}
	mu.Lock()
	defer mu.Unlock()
	steps := 0
	for _, line := range logged {
		if strings.HasPrefix(line, "step") {
			steps++
		}
	}
	if steps != 5 {
		t.Errorf("logged %d steps, want 5: replays must be silent", steps)
	}
}

func TestStep(t *testing.T) {
	t.Parallel()
	t.Run("RunsOnce", func(t *testing.T) {
		b := setup(t)
		var ran atomic.Int32
		b.worker(nil, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			v, err := durable.Step(ctx, "read", func(context.Context) (string, error) {
				ran.Add(1)
				return s + "!", nil
			})
			if err != nil {
				return "", err
			}
			return Echo.Call(ctx, v)
		}))
		if got := wait(b, start(b, Text, "x")); got != "x!" {
			t.Errorf("got %q", got)
		}
		if n := ran.Load(); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
	t.Run("Retries", func(t *testing.T) {
		b := setup(t)
		var ran atomic.Int32
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			return durable.Step(ctx, "flaky", func(context.Context) (string, error) {
				if ran.Add(1) < 3 {
					return "", errors.New("not yet")
				}
				return "ok", nil
			}, durable.Retry{Attempts: 3, Initial: time.Millisecond})
		}))
		if got := wait(b, start(b, Text, "")); got != "ok" {
			t.Errorf("got %q", got)
		}
	})
}

// TestRefusedStatus: a status that cannot be kept holds the turn, which says why and goes on with mended code.
func TestRefusedStatus(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]struct{ status, why string }{
		"TooLarge":    {strings.Repeat("x", 1000), "the custom status has 1002 bytes, the limit is 1000"},
		"InvalidUTF8": {"a\xffb", "set status: encode string: value is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			text := func(status string) durable.Handler {
				return Text.Handler(func(ctx *durable.Context, in string) (string, error) {
					ctx.SetStatus(status)
					return in, nil
				})
			}
			stop := b.worker(&durable.Config{PayloadLimit: 1000}, text(refused.status))
			inst := start(b, Text, "in")
			b.until("the turn is held", func() bool {
				s := status(b, inst)
				if s.Status == "FAILED" {
					t.Fatal("it has failed")
				}
				return strings.Contains(s.Held, refused.why)
			})
			stop()
			b.worker(&durable.Config{PayloadLimit: 1000}, text("short"))
			if out := wait(b, inst); out != "in" {
				t.Errorf("got %q", out)
			}
			if s := status(b, inst); string(s.CustomStatus) != `"short"` {
				t.Errorf("the status is %s", s.CustomStatus)
			}
		})
	}
}

func TestCustomStatus(t *testing.T) {
	b := setup(t)
	const next durable.Event[durable.None] = "next"
	b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
		ctx.SetStatus(map[string]int{"done": 1})
		if _, err := next.Wait(ctx); err != nil {
			return "", err
		}
		ctx.SetStatus(nil)
		_, err := next.Wait(ctx)
		return "", err
	}))
	inst := start(b, Text, "")
	b.until("the status is set", func() bool { return string(status(b, inst).CustomStatus) == `{"done":1}` })
	if err := next.Raise(b.ctx, b.client, inst.ID(), durable.None{}); err != nil {
		t.Fatal(err)
	}
	b.until("the status is cleared", func() bool { return status(b, inst).CustomStatus == nil })
	if err := next.Raise(b.ctx, b.client, inst.ID(), durable.None{}); err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
}
