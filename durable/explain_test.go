package durable_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// TestReasonAfterTakeOver: a worker that takes an instance over replays it and runs its activity again. No turn comes of
// that, yet the instance is still explained by the event it waits for.
func TestReasonAfterTakeOver(t *testing.T) {
	b := setup(t)
	const approval durable.Event[durable.None] = "approval"
	var calls atomic.Int32
	b.worker(&durable.Config{IdleRelease: time.Millisecond},
		Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			double := Double.Go(ctx, n, durable.Retry{Attempts: 9, Initial: time.Hour})
			if _, err := approval.Wait(ctx); err != nil {
				return 0, err
			}
			return double.Await()
		}),
		Double.Handler(func(ctx context.Context, n int) (int, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done() // until the worker is declared dead
				return 0, ctx.Err()
			}
			return 0, errors.New("line is busy")
		}))
	inst := start(b, Number, 1)
	b.until("the activity runs", func() bool { return calls.Load() == 1 })
	if n := b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir worker'"); n != 1 {
		t.Fatalf("%d lock connections", n)
	}
	b.until("the activity is parked and the instance let go of", func() bool {
		return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'double' AND state = 'scheduled'") == 1 &&
			b.count("SELECT count(*) FROM weir.instances WHERE owner IS NULL AND turn_job IS NULL") == 1
	})
	e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	i, err := e.Get(b.ctx, durable.DefaultHub, inst.ID())
	if err != nil {
		t.Fatal(err)
	}
	why, err := e.Explain(b.ctx, i)
	if err != nil {
		t.Fatal(err)
	}
	if got := why.Text(time.Now()); why.Kind != engine.ReasonEvent || !strings.HasPrefix(got, "Waits for event approval for ") ||
		!strings.Contains(got, "Meanwhile activity double failed: line is busy.") {
		t.Errorf("the reason is %s: %s", why.Kind, got)
	}
	if got := i.Short(func(engine.Definition) bool { return true }, time.Now()); got != "waits for event approval" {
		t.Errorf("in short: %q", got)
	}
}
