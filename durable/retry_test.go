package durable_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine/history"
)

// TestEarlierAttempts fails a task three times. The wait after the first failure is short and passes in memory, the others
// are spent in the database. The result tells of each failure when it was, how long it took, and why.
func TestEarlierAttempts(t *testing.T) {
	t.Parallel()
	policy := durable.Retry{Attempts: 4, Initial: 10 * time.Millisecond, Factor: 200, Max: 1100 * time.Millisecond, Jitter: -1}
	for name, run := range map[string]func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)){
		// It has no row before it is parked.
		"InProcess": func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)) {
			b.worker(nil, call, Pay.Handler(func(ctx context.Context, _ int) (string, error) { return pay(ctx) }))
		},
		// Its row is there from the start.
		"TxHandler": func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)) {
			b.worker(nil, call, Pay.TxHandler(func(ctx context.Context, _ pgx.Tx, _ int) (string, error) { return pay(ctx) }))
		},
		// River hands it over before its first attempt.
		"ThroughRiver": func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)) {
			b.worker(nil, call)
			b.worker(nil, Pay.Handler(func(ctx context.Context, _ int) (string, error) { return pay(ctx) }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			var (
				mu    sync.Mutex
				tries int
			)
			run(b, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
				_, err := Pay.Call(ctx, n, policy)
				return n, err
			}), func(ctx context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				tries++
				info, _ := durable.Task(ctx)
				if info.Attempt != tries {
					return "", fmt.Errorf("call %d is told that it is attempt %d", tries, info.Attempt)
				}
				if tries < 4 {
					time.Sleep(2 * time.Millisecond) // so that it has a length
					return "", fmt.Errorf("failure %d", tries)
				}
				return "paid", nil
			})
			inst := start(b, Number, 1)
			wait(b, inst)
			done := taskCompleted(b)
			if done.Attempts != 4 || len(done.Earlier) != 3 {
				t.Fatalf("%d attempts, earlier are %+v", done.Attempts, done.Earlier)
			}
			last := time.Time{}
			for i, e := range done.Earlier {
				if e.N != i+1 || e.Message != fmt.Sprintf("failure %d", i+1) || e.Type == "" {
					t.Errorf("failure %d is %+v", i+1, e)
				}
				if e.StartedAt.Before(last) || !e.EndedAt.After(e.StartedAt) {
					t.Errorf("failure %d began at %s, after %s, and ended at %s", i+1, e.StartedAt, last, e.EndedAt)
				}
				last = e.EndedAt
			}
			b.atRest()
		})
	}
}

// TestStepRetriesAfterALongWait: a step runs where its orchestration runs, however long it has waited.
func TestStepRetriesAfterALongWait(t *testing.T) {
	b := setup(t)
	var calls atomic.Int32
	b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
		return durable.Step(ctx, "count", func(ctx context.Context) (int, error) {
			info, _ := durable.Task(ctx)
			if calls.Add(1); info.Attempt < 3 {
				return 0, errors.New("not yet")
			}
			return n * info.Attempt, nil
		}, durable.Retry{Attempts: 3, Initial: 10 * time.Millisecond, Factor: 200, Max: 1100 * time.Millisecond, Jitter: -1})
	}))
	if out := wait(b, start(b, Number, 5)); out != 15 || calls.Load() != 3 {
		t.Errorf("got %d after %d calls", out, calls.Load())
	}
	b.atRest()
}

// taskCompleted finds the one result of an activity in the history of all instances.
func taskCompleted(b *bundle) *history.TaskCompleted {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, "SELECT codec, events FROM weir.history ORDER BY seq")
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	var found *history.TaskCompleted
	for rows.Next() {
		var (
			codec int16
			doc   []byte
		)
		if err := rows.Scan(&codec, &doc); err != nil {
			b.t.Fatal(err)
		}
		events, err := history.Decode(codec, doc)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range events {
			if done, ok := e.(*history.TaskCompleted); ok {
				found = done
			}
		}
	}
	if err := rows.Err(); err != nil || found == nil {
		b.t.Fatalf("no result in the history: %v", err)
	}
	return found
}

// TestRetryFunc: the code decides about retries, in step with the history.
func TestRetryFunc(t *testing.T) {
	t.Parallel()
	errBusy := errors.New("busy")
	// flaky fails so many times.
	flaky := func(times int32, err error) (durable.Handler, *atomic.Int32) {
		var calls atomic.Int32
		return Echo.Handler(func(_ context.Context, s string) (string, error) {
			if calls.Add(1) <= times {
				return "", err
			}
			return s, nil
		}, durable.Retry{Attempts: 50, Initial: time.Millisecond}), &calls // which does not count
	}
	ask := func(asked *[]string, more int) durable.RetryFunc {
		return func(_ *durable.Context, failed *durable.TaskError, attempt int, elapsed time.Duration) (time.Duration, bool) {
			if asked != nil {
				*asked = append(*asked, fmt.Sprint(attempt, " ", failed.Message, " ", elapsed >= time.Duration(attempt-1)*time.Millisecond))
			}
			return time.Millisecond, attempt <= more
		}
	}
	t.Run("AsksAfterEachFailure", func(t *testing.T) {
		b := setup(t)
		fails, calls := flaky(2, errBusy)
		b.worker(nil, fails, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			var asked []string
			out, err := Echo.Call(ctx, s, ask(&asked, 10))
			return fmt.Sprint(out, " ", asked), err
		}))
		inst := start(b, Text, "x")
		if got, want := wait(b, inst), "x [1 busy true 2 busy true]"; got != want || calls.Load() != 3 {
			t.Errorf("got %q after %d calls, want %q", got, calls.Load(), want)
		}
		if n := b.events(inst.ID(), "TaskScheduled"); n != 3 {
			t.Errorf("%d calls in the history", n)
		}
		b.atRest()
	})
	t.Run("GivesUp", func(t *testing.T) {
		b := setup(t)
		fails, calls := flaky(10, errBusy)
		b.worker(nil, fails, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			_, err := Echo.Call(ctx, s, ask(nil, 2))
			return fmt.Sprint(err), nil
		}))
		if got, want := wait(b, start(b, Text, "x")), "activity echo failed after 3 attempts: busy"; got != want || calls.Load() != 3 {
			t.Errorf("got %q after %d calls, want %q", got, calls.Load(), want)
		}
	})
	for name, c := range map[string]struct {
		policy durable.Retry
		err    error
		calls  int32
	}{
		"AttemptsWin":         {durable.Retry{Attempts: 2}, errBusy, 2},
		"UntilWins":           {durable.Retry{Until: time.Nanosecond}, errBusy, 1},
		"ExceptWins":          {durable.Retry{Attempts: 5, Except: []durable.Failure{"error"}}, errBusy, 1},
		"FailureIsNotAskedOf": {durable.Retry{Attempts: 5}, ErrOdd, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			fails, calls := flaky(10, c.err)
			b.worker(nil, fails, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
				_, err := Echo.Call(ctx, s, c.policy, ask(nil, 20))
				return "", err
			}))
			if _, err := start(b, Text, "x").Wait(b.ctx); err == nil || calls.Load() != c.calls {
				t.Errorf("%d calls, %v", calls.Load(), err)
			}
		})
	}
	t.Run("ChildrenStepsAndReplay", func(t *testing.T) {
		b := setup(t)
		var steps atomic.Int32
		handlers := []durable.Handler{
			Child.Handler(func(ctx *durable.Context, n int) (int, error) {
				if _, err := Item.Wait(ctx); err != nil {
					return 0, err
				}
				return 0, errBusy
			}),
			Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
				_, err := Child.Call(ctx, 1, durable.ID("child"), ask(nil, 1))
				n, stepped := durable.Step(ctx, "step", func(context.Context) (int32, error) {
					if steps.Add(1) < 3 {
						return 0, errBusy
					}
					return steps.Load(), nil
				}, ask(nil, 5))
				return fmt.Sprint(n, " ", err), stepped
			}),
		}
		inst := start(b, Text, "")
		for range 2 { // each attempt of the child is seen by another worker
			stop := b.worker(nil, handlers...)
			b.turnsEnded("child", 0)
			stop()
			raise(b, Item, "child", "")
		}
		b.worker(nil, handlers...)
		if got, want := wait(b, inst), "3 orchestration child failed after 2 attempts: busy"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("CancelEndsIt", func(t *testing.T) {
		b := setup(t)
		fails, _ := flaky(1000, errBusy)
		b.worker(nil, fails, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			return Echo.Call(ctx, s, durable.RetryFunc(func(*durable.Context, *durable.TaskError, int, time.Duration) (time.Duration, bool) {
				ctx.SetStatus("waits")
				return time.Hour, true
			}))
		}))
		inst := start(b, Text, "x")
		b.until("it waits", func() bool { return len(status(b, inst).CustomStatus) > 0 })
		if err := inst.Cancel(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := inst.Wait(b.ctx); !errors.Is(err, durable.ErrCanceled) {
			t.Errorf("got %v", err)
		}
		b.atRest()
	})
}

// TestExcept: classes of errors that no attempt mends, where the policy of the call, the handler or the worker says so.
func TestExcept(t *testing.T) {
	t.Parallel()
	policy := durable.Retry{Attempts: 5, Initial: time.Millisecond, Except: []durable.Failure{"*durable_test.brokenError", "panic"}}
	for name, c := range map[string]struct {
		fails func() error
		calls int32
	}{
		"Excepted": {func() error { return &brokenError{} }, 1},
		"Wrapped":  {func() error { return fmt.Errorf("no: %w", &brokenError{}) }, 1},
		"Panic":    {func() error { panic("no") }, 1},
		"Other":    {func() error { return errors.New("no") }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			var calls [3]atomic.Int32
			handler := func(a durable.Activity[string, string], i int, opts ...durable.HandlerOption) durable.Handler {
				return a.Handler(func(context.Context, string) (string, error) { calls[i].Add(1); return "", c.fails() }, opts...)
			}
			b.worker(&durable.Config{Retry: policy}, handler("of-worker", 0), handler("of-handler", 1, policy), handler("of-call", 2),
				Number.Handler(func(ctx *durable.Context, _ int) (int, error) {
					for _, call := range []*durable.Future[string]{
						durable.Activity[string, string]("of-worker").Go(ctx, ""),
						durable.Activity[string, string]("of-handler").Go(ctx, ""),
						durable.Activity[string, string]("of-call").Go(ctx, "", policy),
					} {
						if _, err := call.Await(); err == nil {
							return 0, errors.New("no error")
						}
					}
					// A child that failed by one of them is not started again either.
					_, err := Child.Call(ctx, 1, policy)
					return ctx.Generation(), ifNot(err, durable.Failure("*durable_test.brokenError"))
				}), Child.Handler(func(ctx *durable.Context, _ int) (int, error) {
					_, err := durable.Step(ctx, "breaks", func(context.Context) (int, error) { return 0, &brokenError{} })
					return 0, fmt.Errorf("child: %w", err)
				}))
			wait(b, start(b, Number, 1))
			for i := range calls {
				if n := calls[i].Load(); n != c.calls {
					t.Errorf("policy %d: %d calls, want %d", i, n, c.calls)
				}
			}
			if n := b.count("SELECT count(*) FROM weir.instances WHERE name = 'child'"); n != 1 {
				t.Errorf("%d children", n)
			}
		})
	}
}

type brokenError struct{}

func (*brokenError) Error() string { return "broken" }
