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
	"github.com/weir-dev/weir/engine"
)

// turnstile counts what is within at once. Whoever enters while fewer than want have ever been there at once waits for
// the others, so that a test knows that so many were let in.
type turnstile struct {
	mu     sync.Mutex
	now    map[string]int // by key
	most   map[string]int
	total  int
	want   int
	filled chan struct{}
}

func newTurnstile(want int) *turnstile {
	return &turnstile{now: map[string]int{}, most: map[string]int{}, want: want, filled: make(chan struct{})}
}

func (s *turnstile) pass(ctx context.Context, key string, within func() error) error {
	s.mu.Lock()
	s.now[key]++
	s.total++
	s.most[key] = max(s.most[key], s.now[key])
	if s.total == s.want {
		s.want = -1
		close(s.filled)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now[key]--
		s.total--
		s.mu.Unlock()
	}()
	select {
	case <-s.filled:
	case <-ctx.Done():
		return ctx.Err()
	}
	return within()
}

func (b *bundle) no(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// roundTrip takes as long as the database needs to answer.
func (b *bundle) roundTrip() error {
	_, err := b.pool.Exec(b.ctx, "SELECT 1")
	return err
}

func limited(opts ...durable.CallOption) durable.Handler {
	return Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n, opts...) })
}

func (b *bundle) reason(id string) *engine.Reason {
	b.t.Helper()
	e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
	b.no(err)
	defer e.Close()
	i, err := e.Get(b.ctx, durable.DefaultHub, id)
	b.no(err)
	why, err := e.Explain(b.ctx, i)
	b.no(err)
	return why
}

// fenceWorkers ends the lock connections of all workers, as death does.
func (b *bundle) fenceWorkers() {
	b.t.Helper()
	if b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir worker'") == 0 {
		b.t.Fatal("no worker has a lock connection")
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	t.Run("IsNeverExceededOverThreeWorkers", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 3}))
		gate := newTurnstile(3)
		for range 3 {
			b.worker(nil, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) {
				return Double.Map(ctx, in, durable.Limit("provider"))
			}),
				Double.Handler(func(ctx context.Context, n int) (int, error) { return 2 * n, gate.pass(ctx, "", b.roundTrip) }))
		}
		var all []*durable.Instance[[]int]
		for range 5 {
			all = append(all, start(b, Many, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}))
		}
		for _, i := range all {
			wait(b, i)
		}
		if gate.most[""] != 3 {
			t.Errorf("%d calls were under way at once", gate.most[""])
		}
		s, err := b.client.LimitState(b.ctx, "provider")
		if err != nil || s.Holding != 0 || s.Waiting != 0 || !s.Defined || s.Concurrency != 3 {
			t.Errorf("%+v, %v", s, err)
		}
		b.atRest()
	})
	t.Run("IsKeptForEachKey", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 1}))
		gate := newTurnstile(2)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, key string) (string, error) {
			return Echo.Call(ctx, key, durable.Limit("provider"), durable.Key(key))
		}), Echo.Handler(func(ctx context.Context, key string) (string, error) { return key, gate.pass(ctx, key, b.roundTrip) }))
		var all []*durable.Instance[string]
		for i := range 20 {
			all = append(all, start(b, Text, fmt.Sprint("customer-", i%2)))
		}
		for _, i := range all {
			wait(b, i)
		}
		if gate.most["customer-0"] != 1 || gate.most["customer-1"] != 1 {
			t.Errorf("%v calls were under way at once", gate.most)
		}
		b.atRest()
	})
	t.Run("PlaceOfADeadWorkersCallGoesOnWithTheCall", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 1}))
		var runs, others atomic.Int32
		running := make(chan struct{})
		for range 3 {
			b.worker(nil, limited(durable.Limit("provider")), Double.Handler(func(ctx context.Context, n int) (int, error) {
				if n == 1 && runs.Add(1) == 1 {
					close(running)
					<-ctx.Done() // until its worker is declared dead
					return 0, ctx.Err()
				}
				if n == 1 && others.Load() > 0 {
					return 0, errors.New("another call was let through meanwhile")
				}
				if n != 1 {
					others.Add(1)
				}
				return 2 * n, nil
			}))
		}
		first := start(b, Number, 1)
		<-running
		var rest []*durable.Instance[int]
		for n := range 10 {
			rest = append(rest, start(b, Number, n+2))
		}
		b.until("the others wait", func() bool {
			s, err := b.client.LimitState(b.ctx, "provider")
			return err == nil && s.Waiting == 10 && s.Holding == 1
		})
		b.fenceWorkers()
		wait(b, first)
		for _, i := range rest {
			wait(b, i)
		}
		b.atRest()
	})
	t.Run("TerminationAndCancellationGiveThePlaceBack", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 1}))
		running := make(chan int, 3)
		b.worker(nil, limited(durable.Limit("provider")), Double.Handler(func(ctx context.Context, n int) (int, error) {
			running <- n
			if n < 3 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 2 * n, nil
		}))
		one := start(b, Number, 1)
		<-running
		two := start(b, Number, 2)
		b.until("the second waits", func() bool { return b.count("SELECT count(*) FROM river.river_job WHERE state = 'pending'") == 1 })
		b.no(one.Terminate(b.ctx, "no more"))
		<-running
		three := start(b, Number, 3)
		b.until("the third waits", func() bool { return b.count("SELECT count(*) FROM river.river_job WHERE state = 'pending'") == 1 })
		b.no(two.Cancel(b.ctx, "no more"))
		wait(b, three)
		b.atRest()
	})
	t.Run("WhatWaitsCanBeCanceled", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Double.Handler(double), Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			inner, cancel := durable.WithCancel(ctx)
			f := Double.Go(inner, n, durable.Limit("nowhere"))
			if err := ctx.Sleep(50 * time.Millisecond); err != nil {
				return 0, err
			}
			cancel()
			if _, err := f.Await(); !errors.Is(err, durable.ErrCanceled) {
				return 0, fmt.Errorf("got %w", err)
			}
			_, err := Double.Call(ctx, n, durable.Limit("nowhere"), durable.StartTimeout(50*time.Millisecond))
			if !errors.Is(err, durable.ErrTimeout) {
				return 0, fmt.Errorf("got %w", err)
			}
			return n, nil
		}))
		wait(b, start(b, Number, 1))
		b.atRest()
	})
	t.Run("PlaceIsGivenBackBetweenAttempts", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 1}))
		var failed atomic.Bool
		b.worker(nil, limited(durable.Limit("provider"), durable.Retry{Attempts: 2, Initial: 1200 * time.Millisecond, Jitter: -1}),
			Double.Handler(func(_ context.Context, n int) (int, error) {
				if n == 1 && failed.CompareAndSwap(false, true) {
					return 0, errors.New("busy")
				}
				return 2 * n, nil
			}))
		one := start(b, Number, 1)
		b.until("it has failed", func() bool {
			return b.count("SELECT count(*) FROM river.river_job WHERE state = 'scheduled' AND kind = 'double'") == 1
		})
		wait(b, start(b, Number, 2))
		if s := status(b, one); s.Status != "RUNNING" {
			t.Errorf("the first is %s", s.Status)
		}
		wait(b, one)
		b.atRest()
	})
	t.Run("BoundsTxHandlersAndRiverWorkers", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 1}))
		gate := newTurnstile(1)
		b.worker(nil, limited(durable.Limit("provider")), durable.RiverHandler(&resizeWorker{}),
			Double.TxHandler(func(ctx context.Context, _ pgx.Tx, n int) (int, error) { return 2 * n, gate.pass(ctx, "", b.roundTrip) }),
			Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
				return Resize.Call(ctx, ResizeArgs{n}, durable.Limit("provider"))
			}))
		var all []*durable.Instance[int]
		for n := range 8 {
			all = append(all, start(b, Number, n), start(b, Parent, n))
		}
		for _, i := range all {
			wait(b, i)
		}
		if gate.most[""] != 1 {
			t.Errorf("%d were under way at once", gate.most[""])
		}
		b.atRest()
	})
	t.Run("PriorityGoesFirst", func(t *testing.T) {
		b := setup(t)
		b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Concurrency: 1}))
		release := make(chan struct{})
		var (
			mu    sync.Mutex
			order []int
		)
		b.worker(nil, limited(durable.Limit("provider")), Double.Handler(func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, n)
			return 2 * n, nil
		}))
		all := []*durable.Instance[int]{start(b, Number, 0)}
		b.until("it holds the place", func() bool { return b.count("SELECT count(*) FROM weir.limit_calls WHERE granted_at IS NOT NULL") == 1 })
		for i, p := range []durable.Priority{4, 3, 2, 1} {
			all = append(all, start(b, Number, 4-i, p))
			b.until("it waits", func() bool { return b.count("SELECT count(*) FROM weir.limit_calls") == i+2 })
		}
		close(release)
		for _, i := range all {
			wait(b, i)
		}
		mu.Lock()
		defer mu.Unlock()
		if got := fmt.Sprint(order); got != "[0 1 2 3 4]" {
			t.Errorf("let through were %s", got)
		}
	})
}

func TestLimitRate(t *testing.T) {
	b := setup(t)
	b.no(b.client.PutLimit(b.ctx, "provider", durable.Bounds{Rate: 10, Burst: 2}))
	var (
		mu sync.Mutex
		at []time.Time
	)
	for range 3 {
		b.worker(nil, limited(durable.Limit("provider")), Double.Handler(func(_ context.Context, n int) (int, error) {
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
			return 2 * n, nil
		}))
	}
	began := time.Now()
	var all []*durable.Instance[int]
	for n := range 10 {
		all = append(all, start(b, Number, n))
	}
	b.until("some wait for a token", func() bool { return b.count("SELECT count(*) FROM weir.limit_buckets WHERE due_at IS NOT NULL") == 1 })
	for _, i := range all {
		if s := status(b, i); s.Status == "RUNNING" {
			why := b.reason(i.ID())
			if got := why.Text(time.Now()); why.Kind == engine.ReasonLimit && (!strings.Contains(got, "limit provider") || !strings.Contains(got, "10 in 1s")) {
				t.Errorf("the reason is %s", got)
			}
			break
		}
	}
	for _, i := range all {
		wait(b, i)
	}
	// Two at once, and then one in 100 ms.
	for i, when := range at {
		if least := time.Duration(i-1)*100*time.Millisecond - 5*time.Millisecond; when.Sub(began) < least {
			t.Errorf("call %d began after %v, allowed is %v", i+1, when.Sub(began), least)
		}
	}
	b.atRest()
}

func TestLimitControl(t *testing.T) {
	b := setup(t)
	release := make(chan struct{})
	b.worker(nil, limited(durable.Limit("later"), durable.Key("k")), Double.Handler(func(ctx context.Context, n int) (int, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return 2 * n, nil
	}))
	one := start(b, Number, 1)
	b.until("it waits", func() bool { return b.count("SELECT count(*) FROM weir.limit_calls") == 1 })
	if why := b.reason(one.ID()); why.Kind != engine.ReasonLimit || why.Text(time.Now()) != "Activity double waits for limit later (key k), which nobody has put." {
		t.Errorf("%s: %s", why.Kind, why.Text(time.Now()))
	}
	if s, err := b.client.LimitState(b.ctx, "later"); err != nil || s.Defined || s.Waiting != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	b.no(b.client.PutLimit(b.ctx, "later", durable.Bounds{Concurrency: 1, Rate: 100, Period: time.Millisecond}))
	b.until("it is let through", func() bool { return b.count("SELECT count(*) FROM weir.limit_calls WHERE granted_at IS NOT NULL") == 1 })
	two := start(b, Number, 2)
	b.until("the second waits", func() bool { return b.count("SELECT count(*) FROM weir.limit_calls") == 2 })
	why := b.reason(two.ID())
	if got := why.Text(time.Now()); why.Kind != engine.ReasonLimit || !strings.Contains(got, "for limit later (key k)") || !strings.Contains(got, ": 1 of 1 place is taken, 100 in 1ms.") {
		t.Errorf("%s: %s", why.Kind, got)
	}
	if err := b.client.DeleteLimit(b.ctx, "later"); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("delete: %v", err)
	}
	b.no(b.client.PutLimit(b.ctx, "later", durable.Bounds{Concurrency: 2}))
	b.until("the second is let through", func() bool { return b.count("SELECT count(*) FROM weir.limit_calls WHERE granted_at IS NOT NULL") == 2 })
	close(release)
	wait(b, one)
	wait(b, two)
	b.atRest()
	b.no(b.client.PutLimit(b.ctx, "another", durable.Bounds{Rate: 1, Period: time.Hour}))
	var names []string
	for s, err := range b.client.Limits(b.ctx) {
		b.no(err)
		names = append(names, fmt.Sprint(s.Name, s.Bounds))
	}
	if got := strings.Join(names, " "); got != "another{0 1 1h0m0s 1} later{2 0 1s 0}" {
		t.Errorf("limits are %s", got)
	}
	b.no(b.client.DeleteLimit(b.ctx, "later"))
	if err := b.client.DeleteLimit(b.ctx, "later"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
	for field, bounds := range map[string]durable.Bounds{
		"concurrency": {}, "rate": {Concurrency: 1, Burst: 1}, "burst": {Rate: 1, Burst: -1}, "period": {Rate: 1, Period: time.Microsecond},
	} {
		var coded *engine.Error
		if err := b.client.PutLimit(b.ctx, "x", bounds); !errors.As(err, &coded) || coded.Field != field || !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// TestLimitOptions: what cannot be bound by a limit is refused, by the name of the option.
func TestLimitOptions(t *testing.T) {
	b := setup(t)
	for i, call := range []func(*durable.Context) error{
		func(ctx *durable.Context) error {
			_, err := durable.Step(ctx, "s", func(context.Context) (int, error) { return 0, nil }, durable.Limit("x"))
			return err
		},
		func(ctx *durable.Context) error { _, err := Child.Call(ctx, 1, durable.Limit("x")); return err },
		func(ctx *durable.Context) error { _, err := Child.Call(ctx, 1, durable.Priority(5)); return err },
		func(ctx *durable.Context) error { _, err := Double.Call(ctx, 1, durable.Key("k")); return err },
		func(ctx *durable.Context) error {
			_, err := Double.Call(ctx, 1, durable.Limit(strings.Repeat("x", 81)))
			return err
		},
	} {
		b := *b
		name := durable.Orchestration[int, int](fmt.Sprintf("option%d", i))
		b.worker(nil, name.Handler(func(ctx *durable.Context, n int) (int, error) { return n, call(ctx) }), Double.Handler(double))
		if _, err := start(&b, name, 1).Wait(b.ctx); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%d: got %v", i, err)
		}
	}
}
