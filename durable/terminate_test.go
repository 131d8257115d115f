package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// family is an orchestration with two children of the same kind, down to depth 0, which waits for an event.
const Family durable.Orchestration[int, int] = "family"

func family(ctx *durable.Context, depth int) (int, error) {
	if depth == 0 {
		_, err := Item.Wait(ctx)
		return 1, err
	}
	for _, kind := range []string{"a", "b"} {
		Family.Go(ctx, depth-1, durable.ID(ctx.ID()+kind))
	}
	return Family.Call(ctx, depth-1, durable.ID(ctx.ID()+"c"))
}

func TestTerminateRecursively(t *testing.T) {
	t.Parallel()
	ended := func(b *bundle, want int) {
		b.t.Helper()
		b.until(fmt.Sprintf("%d are terminated", want), func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE status = 5") == want })
	}
	t.Run("AllBelowAndNothingElse", func(t *testing.T) {
		b := setup(t)
		var told atomic.Int32
		b.worker(&durable.Config{IdleRelease: time.Hour}, Family.Handler(family), Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n) }),
			Double.Handler(func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				told.Add(1)
				return 0, ctx.Err()
			}),
			Parent.Handler(func(ctx *durable.Context, _ int) (int, error) { return Number.Call(ctx, 1) }))
		tree, other := start(b, Family, 2, durable.ID("tree-")), start(b, Family, 1, durable.ID("other-"))
		busy := start(b, Parent, 1)
		b.until("all have begun", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE status = 0") == 1+3+9+1+3+2 })
		for _, inst := range []*durable.Instance[int]{tree, busy} {
			if err := inst.Terminate(b.ctx, "enough", durable.Recursive(true)); err != nil {
				t.Fatal(err)
			}
		}
		ended(b, 1+3+9+2)
		b.until("the activity of the grandchild is told", func() bool { return told.Load() == 1 })
		_, err := Family.Instance(b.client, "tree-ab").Wait(b.ctx)
		if err == nil || !strings.Contains(err.Error(), "terminated: enough") {
			t.Errorf("a grandchild ended with %v", err)
		}
		if got := status(b, other).Status; got != "RUNNING" {
			t.Errorf("another instance is %s", got)
		}
		if err := tree.Terminate(b.ctx, "again", durable.Recursive(true)); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("got %v", err)
		}
		// Without it, children run on.
		if err := other.Terminate(b.ctx, "alone"); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"a", "b", "c"} {
			raise(b, Item, "other-"+kind, "x")
			if got := wait(b, Family.Instance(b.client, "other-"+kind)); got != 1 {
				t.Errorf("got %d", got)
			}
		}
		b.atRest()
	})

	// The parent starts children all the while: none of them is left.
	t.Run("WhileChildrenAreStarted", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Family.Handler(family), Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			for range n {
				Family.Go(ctx, 0)
				if err := ctx.Sleep(time.Millisecond); err != nil {
					return 0, err
				}
			}
			return n, ctx.Sleep(time.Hour)
		}))
		var all []*durable.Instance[int]
		for i := range 8 {
			all = append(all, start(b, Parent, 500))
			b.until("it has children", func() bool {
				return b.count("SELECT count(*) FROM weir.instances WHERE name = 'family' AND outcome IS NULL") > i
			})
		}
		for _, inst := range all {
			if err := inst.Terminate(b.ctx, "enough", durable.Recursive(true)); err != nil {
				t.Fatal(err)
			}
		}
		b.until("nobody is left", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE outcome IS NULL") == 0 })
		b.atRest()
	})

	// It is recorded, whoever lives: nobody at first, then one who dies over it.
	t.Run("ByWhomeverComes", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, Family.Handler(family))
		tree := start(b, Family, 1, durable.ID("tree-"))
		b.until("all have begun", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE status = 0") == 4 })
		stop()
		if err := tree.Terminate(b.ctx, "enough", durable.Recursive(true)); err != nil {
			t.Fatal(err)
		}
		if n := b.count("SELECT count(*) FROM river.river_job WHERE kind = 'weir.control' AND state = 'available'"); n != 3 {
			t.Errorf("%d jobs for 3 children", n)
		}
		ended(b, 1)
		if _, err := b.pool.Exec(b.ctx, `UPDATE river.river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = '{weir-999-dead}'
			WHERE kind = 'weir.control' AND args->>'no' = (SELECT no::text FROM weir.instances WHERE id = 'tree-b')`); err != nil {
			t.Fatal(err)
		}
		// One of them has ended meanwhile.
		if err := Family.Instance(b.client, "tree-c").Terminate(b.ctx, "before"); err != nil {
			t.Fatal(err)
		}
		b.worker(nil, Family.Handler(family))
		ended(b, 4)
		if _, err := Family.Instance(b.client, "tree-c").Wait(b.ctx); err == nil || !strings.Contains(err.Error(), "terminated: before") {
			t.Errorf("it ended with %v", err)
		}
		b.atRest()
	})
}
