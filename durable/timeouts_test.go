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

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine/history"
)

// place is a way in which an activity can come to run.
type place struct {
	name string
	// workers starts workers of which one runs the orchestrations and one, perhaps another, the activity.
	workers func(b *bundle, cfg *durable.Config, orchestration durable.Handler, fn func(context.Context, int) (int, error))
}

var places = []place{
	{"Here", func(b *bundle, cfg *durable.Config, o durable.Handler, fn func(context.Context, int) (int, error)) {
		b.worker(cfg, o, Double.Handler(fn))
	}},
	{"Transaction", func(b *bundle, cfg *durable.Config, o durable.Handler, fn func(context.Context, int) (int, error)) {
		b.worker(cfg, o, Double.TxHandler(func(ctx context.Context, _ pgx.Tx, n int) (int, error) { return fn(ctx, n) }))
	}},
	{"River", func(b *bundle, cfg *durable.Config, o durable.Handler, fn func(context.Context, int) (int, error)) {
		elsewhere := *cfg
		b.worker(cfg, o)
		b.worker(&elsewhere, Double.Handler(fn))
	}},
}

// A handler that ignores its context must not hold its call for ever: the attempt fails, another follows, and what still
// runs keeps its slot.
func TestHandlerIgnoresItsContext(t *testing.T) {
	t.Parallel()
	for _, where := range places {
		t.Run(where.name, func(t *testing.T) {
			b := setup(t)
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			where.workers(b, &durable.Config{Activities: 2}, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
				return Double.Call(ctx, n, durable.Timeout(500*time.Millisecond), durable.Retry{Attempts: 2, Initial: time.Millisecond})
			}), func(ctx context.Context, n int) (int, error) {
				if info, _ := durable.Task(ctx); info.Attempt == 1 {
					<-release
				}
				return 2 * n, nil
			})
			if got := wait(b, start(b, Number, 21)); got != 42 {
				t.Errorf("got %d", got)
			}
		})
	}
	t.Run("Fails", func(t *testing.T) {
		b := setup(t)
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			return Double.Call(ctx, n, durable.Timeout(20*time.Millisecond))
		}), Double.Handler(func(context.Context, int) (int, error) {
			<-release
			return 0, nil
		}))
		_, err := start(b, Number, 1).Wait(b.ctx)
		var failed *durable.TaskError
		if !errors.Is(err, durable.ErrTimeout) || !errors.As(err, &failed) || failed.Code != "TIMEOUT" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("KeepsItsSlot", func(t *testing.T) {
		b := setup(t)
		var released atomic.Bool
		release, failed := make(chan struct{}), make(chan struct{})
		b.worker(&durable.Config{Activities: 1}, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			if _, err := Double.Call(ctx, n, durable.Timeout(20*time.Millisecond)); err == nil {
				return 0, errors.New("the call has not failed")
			}
			_, err := Echo.Call(ctx, "x")
			return n, err
		}), Double.Handler(func(context.Context, int) (int, error) {
			<-release
			return 0, nil
		}), Echo.Handler(func(_ context.Context, s string) (string, error) {
			if !released.Load() {
				return "", errors.New("two run where there is one slot")
			}
			return s, nil
		}))
		inst := start(b, Number, 1)
		go func() {
			defer close(failed)
			b.until("the call that follows has been given to River", func() bool {
				return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'echo' AND state = 'running'") == 1
			})
			released.Store(true)
			close(release)
		}()
		if got := wait(b, inst); got != 1 {
			t.Errorf("got %d", got)
		}
		<-failed
		b.atRest()
	})
}

// Overall bounds a call wherever it is: running, between two attempts, or waiting for a worker.
func TestOverall(t *testing.T) {
	t.Parallel()
	call := func(opts ...durable.CallOption) durable.Handler {
		return Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n, opts...) })
	}
	timedOut := func(b *bundle, inst *durable.Instance[int]) {
		b.t.Helper()
		if _, err := inst.Wait(b.ctx); !errors.Is(err, durable.ErrTimeout) {
			b.t.Errorf("got %v", err)
		}
		b.atRest()
	}
	for _, where := range places {
		t.Run("Running"+where.name, func(t *testing.T) {
			b := setup(t)
			where.workers(b, &durable.Config{}, call(durable.Overall(200*time.Millisecond), durable.Retry{Attempts: 5, Initial: time.Millisecond}),
				func(ctx context.Context, _ int) (int, error) {
					<-ctx.Done()
					return 0, context.Cause(ctx)
				})
			timedOut(b, start(b, Number, 1))
		})
	}
	t.Run("LastsLongerThanPromotion", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(durable.Overall(1500*time.Millisecond)), Double.Handler(func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}))
		timedOut(b, start(b, Number, 1))
	})
	t.Run("NoAttemptComesTooLate", func(t *testing.T) {
		b := setup(t)
		errOnce := errors.New("once")
		b.worker(nil, call(durable.Overall(time.Second), durable.Retry{Attempts: 2, Initial: time.Minute}),
			Double.Handler(func(context.Context, int) (int, error) { return 0, errOnce }))
		_, err := start(b, Number, 1).Wait(b.ctx)
		if err == nil || !strings.HasSuffix(err.Error(), "once") {
			t.Errorf("got %v", err)
		}
		b.atRest()
	})
	t.Run("Parked", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(durable.Overall(4*time.Second), durable.Retry{Attempts: 2, Initial: 3500 * time.Millisecond, Jitter: -1}),
			Double.Handler(func(ctx context.Context, _ int) (int, error) {
				if info, _ := durable.Task(ctx); info.Attempt == 1 {
					return 0, errors.New("once")
				}
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}))
		inst := start(b, Number, 1)
		b.until("the deadline is beside the parked row", func() bool {
			return b.count("SELECT count(*) FROM weir.timers WHERE kind IN (2, 4)") == 2
		})
		timedOut(b, inst)
	})
	t.Run("NoWorker", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(durable.Overall(300*time.Millisecond)))
		timedOut(b, start(b, Number, 1))
	})
	t.Run("NoWorkerToBegin", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(durable.StartTimeout(300*time.Millisecond)))
		timedOut(b, start(b, Number, 1))
	})
	t.Run("BegunInTime", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(durable.StartTimeout(5*time.Second), durable.Overall(time.Minute)))
		inst := start(b, Number, 4)
		b.until("the call waits with its deadlines", func() bool { return b.count("SELECT count(*) FROM weir.timers WHERE kind IN (3, 4)") == 2 })
		b.worker(nil, Double.Handler(double))
		if got := wait(b, inst); got != 8 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})
	t.Run("WorkerDiesFirst", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(&durable.Config{DrainTimeout: time.Millisecond}, call(durable.Overall(2*time.Second)),
			Double.Handler(func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}))
		inst := start(b, Number, 1)
		b.until("it runs", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NOT NULL") == 1 })
		stop()
		b.worker(nil, call(durable.Overall(2*time.Second)))
		timedOut(b, inst)
	})
	t.Run("BadArguments", func(t *testing.T) {
		b := setup(t)
		for i, opt := range []durable.CallOption{
			durable.Timeout(-1), durable.StartTimeout(-1), durable.Overall(-1), durable.HeartbeatTimeout(-1), durable.Priority(5), durable.Priority(-1),
		} {
			b := *b
			name := durable.Orchestration[int, int](fmt.Sprintf("option%d", i))
			b.worker(nil, name.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n, opt) }), Double.Handler(double))
			if _, err := start(&b, name, 1).Wait(b.ctx); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%T: got %v", opt, err)
			}
		}
	})
}

// A result and a deadline that come at the same moment give one answer.
func TestDeadlineAgainstResult(t *testing.T) {
	b := setup(t)
	const rounds = 300
	overall := 150 * time.Millisecond
	elsewhere := durable.Config{}
	b.worker(nil, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) {
		var fs []*durable.Future[int]
		for _, n := range in {
			fs = append(fs, Double.Go(ctx, n, durable.Overall(overall)))
		}
		for i, f := range fs {
			switch _, err := f.Await(); {
			case err == nil:
				in[i] = 1
			case errors.Is(err, durable.ErrTimeout):
				in[i] = 2
			default:
				return nil, err
			}
		}
		return in, nil
	}))
	var began sync.Map
	b.worker(&elsewhere, Double.Handler(func(ctx context.Context, n int) (int, error) {
		info, _ := durable.Task(ctx)
		at, _ := began.LoadOrStore(info.InstanceID, time.Now())
		time.Sleep(time.Until(at.(time.Time).Add(overall - 20*time.Millisecond + time.Duration(n%40)*time.Millisecond)))
		return n, nil // whatever ctx says
	}))
	in := make([]int, rounds)
	for i := range in {
		in[i] = i
	}
	inst := start(b, Many, in)
	kinds := map[int]int{}
	for _, k := range wait(b, inst) {
		kinds[k]++
	}
	t.Logf("%d results, %d timeouts", kinds[1], kinds[2])
	answers := map[int32]int{}
	for _, e := range recorded(b) {
		switch e := e.(type) {
		case *history.TaskCompleted:
			answers[e.TaskID]++
		case *history.TaskFailed:
			answers[e.TaskID]++
		}
	}
	for id, n := range answers {
		if n != 1 {
			t.Errorf("task %d has %d answers", id, n)
		}
	}
	if len(answers) != rounds {
		t.Errorf("%d tasks are answered", len(answers))
	}
	b.atRest()
}

// recorded are the history events of all instances.
func recorded(b *bundle) []history.Event {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, "SELECT events FROM weir.history ORDER BY instance_no, seq")
	if err != nil {
		b.t.Fatal(err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		b.t.Fatal(err)
	}
	var all []history.Event
	for _, part := range parts {
		events, err := history.Decode(history.JSON, part)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, events...)
	}
	return all
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	call := func(opts ...durable.CallOption) durable.Handler {
		return Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n, opts...) })
	}
	for _, where := range places {
		t.Run("Silence"+where.name, func(t *testing.T) {
			b := setup(t)
			// The first attempt counts to 3 and then hangs; the next goes on from there.
			where.workers(b, &durable.Config{}, call(durable.HeartbeatTimeout(300*time.Millisecond), durable.Retry{Attempts: 2, Initial: time.Millisecond}),
				func(ctx context.Context, n int) (int, error) {
					at := 0
					found, err := durable.LastHeartbeat(ctx, &at)
					info, _ := durable.Task(ctx)
					if err != nil || found != (info.Attempt == 2) {
						return 0, fmt.Errorf("attempt %d: found %v: %w", info.Attempt, found, err)
					}
					for at < n {
						at++
						if err := durable.Heartbeat(ctx, at); err != nil {
							return 0, err
						}
						if info.Attempt == 1 && at == 3 {
							<-ctx.Done()
							return 0, context.Cause(ctx)
						}
					}
					return at * info.Attempt, nil
				})
			inst := start(b, Number, 10)
			if got := wait(b, inst); got != 20 {
				t.Errorf("got %d", got)
			}
			b.atRest()
		})
	}
	t.Run("KeepsTheAttemptAlive", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(), Double.Handler(func(ctx context.Context, n int) (int, error) {
			for until := time.Now().Add(600 * time.Millisecond); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
				if err := durable.Heartbeat(ctx, nil); err != nil {
					return 0, err
				}
			}
			return n, nil
		}, durable.HeartbeatTimeout(200*time.Millisecond)))
		wait(b, start(b, Number, 1))
	})
	t.Run("AnotherProcessGoesOn", func(t *testing.T) {
		b := setup(t)
		count := func(stay bool) durable.Handler {
			return Double.Handler(func(ctx context.Context, n int) (int, error) {
				at := 0
				if _, err := durable.LastHeartbeat(ctx, &at); err != nil {
					return 0, err
				}
				if !stay {
					return at, nil
				}
				if err := durable.Heartbeat(ctx, 7); err != nil {
					return 0, err
				}
				<-ctx.Done()
				return 0, ctx.Err()
			})
		}
		stop := b.worker(&durable.Config{DrainTimeout: 10 * time.Millisecond}, call(), count(true))
		inst := start(b, Number, 1)
		b.until("the heartbeat is saved", func() bool { return b.count("SELECT count(*) FROM weir.heartbeats") == 1 })
		stop()
		b.worker(nil, call(), count(false))
		if got := wait(b, inst); got != 7 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})
	t.Run("BadArguments", func(t *testing.T) {
		b := setup(t)
		if err := durable.Heartbeat(b.ctx, 1); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("outside of an activity: %v", err)
		}
		if _, err := durable.LastHeartbeat(b.ctx, nil); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("outside of an activity: %v", err)
		}
		b.worker(nil, call(), Double.Handler(func(ctx context.Context, n int) (int, error) {
			if err := durable.Heartbeat(ctx, strings.Repeat("x", 64<<10)); !errors.Is(err, durable.ErrTooLarge) {
				return 0, fmt.Errorf("too large: %w", err)
			}
			if err := durable.Heartbeat(ctx, make(chan int)); err == nil {
				return 0, errors.New("a channel is no JSON")
			}
			return n, nil
		}))
		wait(b, start(b, Number, 1))
	})
}

// The end of an instance reaches the context of an activity in another process within a second.
func TestCancellationElsewhere(t *testing.T) {
	t.Parallel()
	for _, tx := range []bool{false, true} {
		t.Run(fmt.Sprintf("Transaction=%v", tx), func(t *testing.T) {
			b := setup(t)
			running, ended := make(chan struct{}), make(chan error, 1)
			fn := func(ctx context.Context, _ int) (int, error) {
				close(running)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return 0, ctx.Err()
			}
			b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n) }))
			if tx {
				b.worker(nil, Double.TxHandler(func(ctx context.Context, _ pgx.Tx, n int) (int, error) { return fn(ctx, n) }))
			} else {
				b.worker(nil, Double.Handler(fn))
			}
			inst := start(b, Number, 1)
			<-running
			began := time.Now()
			if err := inst.Terminate(b.ctx, "enough"); err != nil {
				t.Fatal(err)
			}
			if cause := <-ended; !errors.Is(cause, context.Canceled) || !strings.Contains(cause.Error(), "nobody waits") {
				t.Errorf("cause %v", cause)
			}
			if d := time.Since(began); d > 3*time.Second { // one, and what a busy machine adds
				t.Errorf("it took %s", d)
			}
			b.atRest()
		})
	}
}
