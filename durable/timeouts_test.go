package durable_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
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
				return Double.Call(ctx, n, durable.Timeout(20*time.Millisecond), durable.Retry{Attempts: 2, Initial: time.Millisecond})
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
