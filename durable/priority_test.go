package durable_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// TestPriority: what has to wait goes by priority, turns and activities alike, and children have their parent's.
func TestPriority(t *testing.T) {
	t.Parallel()
	t.Run("Turns", func(t *testing.T) {
		b := setup(t)
		var (
			mu    sync.Mutex
			order []int
		)
		for _, p := range []int{4, 3, 1, 2} {
			start(b, Number, p, durable.Priority(p))
		}
		var last *durable.Instance[int]
		tx, err := b.pool.Begin(b.ctx)
		b.no(err)
		last, err = Number.StartTx(b.ctx, b.client, tx, 5, durable.Priority(4))
		b.no(err)
		b.no(tx.Commit(b.ctx))
		b.worker(&durable.Config{Sessions: 1, IdleRelease: time.Millisecond}, Number.Handler(func(_ *durable.Context, n int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, n)
			return n, nil
		}))
		wait(b, last)
		mu.Lock()
		defer mu.Unlock()
		if got := fmt.Sprint(order); got != "[1 2 3 4 5]" {
			t.Errorf("the order is %s", got)
		}
		b.atRest()
	})
	t.Run("WakeUps", func(t *testing.T) {
		b := setup(t)
		number := Number.Handler(func(ctx *durable.Context, n int) (int, error) { _, err := Item.Wait(ctx); return n, err })
		stop := b.worker(nil, number)
		inst := start(b, Number, 1, durable.Priority(3))
		b.until("it waits", func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE waiting IS NOT NULL AND turn_job IS NULL") == 1
		})
		stop()
		raise(b, Item, inst.ID(), "x")
		if p := b.count("SELECT priority FROM river.river_job WHERE kind = 'turn:number'"); p != 3 {
			t.Errorf("the turn has priority %d", p)
		}
		b.worker(nil, number)
		wait(b, inst)
	})
	t.Run("ActivitiesAndChildren", func(t *testing.T) {
		b := setup(t)
		// Nobody has the activities: their rows stay.
		b.worker(nil, Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			Double.Go(ctx, 1)
			Double.Go(ctx, 2, durable.Priority(1))
			Child.Go(ctx, 3)
			Child.Go(ctx, 4, durable.Priority(2))
			return Double.Call(ctx, 5)
		}), Child.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n) }))
		start(b, Parent, 1, durable.Priority(4))
		b.until("all are queued", func() bool { return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'double'") == 5 })
		rows, err := b.pool.Query(b.ctx, "SELECT (args->>'input')::int, priority::int FROM river.river_job WHERE kind = 'double'")
		b.no(err)
		got := map[int]int{}
		for rows.Next() {
			var n, p int
			b.no(rows.Scan(&n, &p))
			got[n] = p
		}
		if want := map[int]int{1: 4, 2: 1, 3: 4, 4: 2, 5: 4}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("priorities are %v, want %v", got, want)
		}
		if _, err := Number.Start(b.ctx, b.client, 1, durable.Priority(5)); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

// TestFairShareOfHubs: two hubs in one process and one database. One has thousands of calls to make, and more due every
// moment; an instance of the other is done while most of them still wait.
func TestFairShareOfHubs(t *testing.T) {
	b := setup(t)
	const crowd = 40
	b.no(addHub(b, "small"))
	small, err := durable.NewClient(b.pool, durable.Hub("small"))
	b.no(err)
	t.Cleanup(small.Close)
	var (
		mu      sync.Mutex
		big     int
		handler = func(hub string) []durable.Handler {
			return []durable.Handler{
				Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) { return Double.Map(ctx, in) }),
				Double.Handler(func(_ context.Context, n int) (int, error) {
					if hub == "big" {
						mu.Lock()
						big++
						mu.Unlock()
						return 2 * n, b.roundTrip()
					}
					return 2 * n, nil
				}),
			}
		}
	)
	inputs := make([]int, 100)
	var all []*durable.Instance[[]int]
	for range crowd {
		all = append(all, start(b, Many, inputs))
	}
	b.worker(&durable.Config{Activities: 4}, handler("big")...)
	b.worker(&durable.Config{Activities: 4, Hub: "small"}, handler("small")...)
	b.until("the big hub is at it", func() bool { mu.Lock(); defer mu.Unlock(); return big > 10 })
	inst, err := Many.Start(b.ctx, small, inputs[:5])
	b.no(err)
	if _, err := inst.Wait(b.ctx); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	done := big
	mu.Unlock()
	if done > crowd*100/2 {
		t.Errorf("the small hub was done after %d of %d calls of the big one", done, crowd*100)
	}
	t.Logf("the small hub was done after %d of %d calls of the big one", done, crowd*100)
	for _, i := range all {
		wait(b, i)
	}
	b.atRest()
}

func addHub(b *bundle, name string) error {
	_, err := b.pool.Exec(b.ctx, "INSERT INTO weir.hubs (name) VALUES ($1)", name)
	return err
}
