package property_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/internal/weirtest/check"
)

// Collector takes items in and continues as new again and again, until it has all of them.
const (
	Collector durable.Orchestration[Collected, []Item] = "collector"
	Put       durable.Event[Item]                      = "put"
)

// Item is one event: which one, of which raiser.
type Item struct {
	By int `json:"by"`
	N  int `json:"n"`
}

// Collected is what a generation of a collector begins with.
type Collected struct {
	Items []Item `json:"items"`
	Total int    `json:"total"`
	// PerGeneration is how many items a generation waits for.
	PerGeneration int    `json:"perGeneration"`
	How           string `json:"how"`
}

// How a collector continues as new.
const (
	leaves = "leaves" // what has arrived, and was not waited for, it leaves to the next generation
	asks   = "asks"   // it has asked for one more, and does not wait for that
	drains = "drains" // it takes along what has arrived
	works  = "works"  // it leaves an activity behind that has not ended
)

func collector(ctx *durable.Context, in Collected) ([]Item, error) {
	for range in.PerGeneration {
		if len(in.Items) == in.Total {
			return in.Items, nil
		}
		item, err := Put.Wait(ctx)
		if err != nil {
			return nil, err
		}
		in.Items = append(in.Items, item)
	}
	if len(in.Items) == in.Total {
		return in.Items, nil
	}
	switch in.How {
	case asks:
		if next := Put.Next(ctx); next.Done() { // it is ours
			item, err := next.Await()
			if err != nil {
				return nil, err
			}
			in.Items = append(in.Items, item)
		}
	case drains:
		inner, stop := durable.WithCancel(ctx)
		next := Put.Next(inner)
		for ; next.Done(); next = Put.Next(inner) {
			item, err := next.Await()
			if err != nil {
				return nil, err
			}
			in.Items = append(in.Items, item)
		}
		stop() // the wait that nothing has answered
	case works:
		Work.Go(ctx, Job{ctx.ID(), len(in.Items)})
	}
	return Collector.ContinueAsNew(ctx, in)
}

// TestNoEventIsLostByContinuingAsNew lets raisers race with an orchestration that continues as new all the time, while
// the connections of workers and callers break, workers are fenced, and turn jobs are handed out twice. Each event is
// taken in once, those of one raiser in their order.
func TestNoEventIsLostByContinuingAsNew(t *testing.T) {
	b := newBench(t)
	defer b.work(t, durable.Config{IdleRelease: time.Millisecond, Cache: 2})()
	defer b.work(t, durable.Config{IdleRelease: 10 * time.Millisecond})()
	t.Run("Lanes", func(t *testing.T) {
		for n := range 8 {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				rapid.MakeCheck(b.trial().carryOver)(t)
			})
		}
	})
	if t.Failed() {
		return
	}
	faults, err := check.Always(b.ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	t.Logf("%d runs, %d events raised, %d events left in histories", b.names.Load(), b.ops.Load(), weirtest.CheckHistories(b.ctx, t, b.pool))
}

// breaks are what happens to the machinery meanwhile.
var breaks = map[string]string{
	"lane":   `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir lane'`,
	"loader": `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir loader'`,
	"caller": `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir calls'`,
	"fence": `SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'weir worker' ORDER BY random() LIMIT 1) w`,
	"twice": `WITH again AS (UPDATE river.river_job SET state = 'available', scheduled_at = now() WHERE kind = 'turn:collector' AND state = 'running' RETURNING 1)
		SELECT count(*) FROM again, pg_notify('river.river_insert', '{"queue":"h1_orch"}')`,
	"nothing": `SELECT 0`,
}

var kinds = []string{
	"nothing", "nothing", "nothing", "nothing", "nothing", "nothing", "lane", "lane", "loader", "caller", "fence", "twice", "twice", "twice",
}

func (b *trial) carryOver(t *rapid.T) {
	var (
		raisers = rapid.IntRange(1, 6).Draw(t, "raisers")
		each    = rapid.IntRange(1, 20).Draw(t, "each")
		in      = Collected{
			Total: raisers * each, PerGeneration: rapid.IntRange(1, 4).Draw(t, "perGeneration"),
			How: rapid.SampledFrom([]string{leaves, asks, drains, works}).Draw(t, "how"),
		}
		mishaps = rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 4).Draw(t, "mishaps")
		id      = fmt.Sprintf("c%d", b.names.Add(1))
	)
	ctx, cancel := context.WithTimeout(b.ctx, 3*b.patience)
	defer cancel()
	inst, err := Collector.Start(ctx, b.client, in, durable.ID(id))
	if errors.Is(err, durable.ErrExists) { // the connection broke, and it was started
		inst, err = Collector.Instance(b.client, id), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var (
		work sync.WaitGroup
		errs = make(chan error, raisers+1)
	)
	for by := range raisers {
		work.Go(func() {
			for n := range each {
				if err := b.put(ctx, id, Item{by, n}); err != nil {
					errs <- fmt.Errorf("raise %d of %d: %w", n, by, err)
					return
				}
				b.ops.Add(1)
			}
		})
	}
	work.Go(func() {
		for _, what := range mishaps {
			if _, err := b.pool.Exec(ctx, breaks[what]); err != nil {
				errs <- fmt.Errorf("%s: %w", what, err)
			}
		}
	})
	work.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	got, err := inst.Wait(ctx)
	if err != nil {
		b.patience = 2 * time.Second
		t.Fatalf("instance %s: %v", id, err)
	}
	next := make([]int, raisers)
	for at, item := range got {
		if item.N != next[item.By] {
			t.Fatalf("item %d is number %d of raiser %d, want %d: %v", at, item.N, item.By, next[item.By], got)
		}
		next[item.By]++
	}
	if slices.ContainsFunc(next, func(n int) bool { return n != each }) {
		t.Fatalf("got %v of each, want %d", next, each)
	}
}

// put raises an event until it is certain that it was: its key makes that once.
func (b *bench) put(ctx context.Context, id string, item Item) error {
	for {
		err := Put.Raise(ctx, b.client, id, item, durable.Key(fmt.Sprint(item)))
		if err == nil || ctx.Err() != nil || errors.Is(err, durable.ErrNotFound) {
			return err
		}
		if errors.Is(err, durable.ErrFinished) { // it can only have ended with this one, whose answer was lost
			return nil
		}
	}
}
