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

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
)

const (
	Parent durable.Orchestration[int, int]            = "parent"
	Child  durable.Orchestration[int, int]            = "child"
	Loop   durable.Orchestration[loopState, []string] = "loop"
	Pay    durable.Activity[int, string]              = "pay"
)

type loopState struct {
	Seen []string
	Want int
}

func TestChildren(t *testing.T) {
	t.Parallel()
	child := Child.Handler(func(ctx *durable.Context, n int) (int, error) {
		if n < 0 {
			return 0, fmt.Errorf("child got %d: %w", n, ErrOdd)
		}
		return Double.Call(ctx, n)
	})
	t.Run("CallAndMap", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, child, Double.Handler(double), Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			one, err := Child.Call(ctx, n)
			if err != nil {
				return 0, err
			}
			many, err := Child.Map(ctx, []int{1, 2, 3, 4}, durable.Limit(2))
			for _, v := range many {
				one += v
			}
			return one, err
		}))
		if got, want := wait(b, start(b, Parent, 5)), 10+20; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
		if n := b.count("SELECT count(*) FROM weir.instances WHERE parent_no IS NOT NULL AND id LIKE '%:0.%'"); n != 5 {
			t.Errorf("%d children", n)
		}
		b.atRest()
	})
	t.Run("FailureReachesTheParentWithItsIdentity", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, child, Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, err := Child.Call(ctx, n)
			if !errors.Is(err, ErrOdd) {
				return 0, fmt.Errorf("got %w", err)
			}
			return 1, nil
		}))
		wait(b, start(b, Parent, -1))
	})
	t.Run("RetryStartsAnother", func(t *testing.T) {
		b := setup(t)
		var ran atomic.Int32
		b.worker(nil, Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			return Child.Call(ctx, n, durable.Retry{Attempts: 3, Initial: time.Millisecond})
		}), Child.Handler(func(_ *durable.Context, n int) (int, error) {
			if ran.Add(1) < 3 {
				return 0, errors.New("not yet")
			}
			return n, nil
		}))
		if got := wait(b, start(b, Parent, 7)); got != 7 {
			t.Errorf("got %d", got)
		}
	})
	t.Run("TerminatedChildFailsTheCall", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, err := Child.Call(ctx, n, durable.ID("the-child"))
			if !durable.IsFailure(err, "TERMINATED") {
				return 0, fmt.Errorf("got %w", err)
			}
			return 1, nil
		}), Child.Handler(func(ctx *durable.Context, n int) (int, error) { return n, ctx.Sleep(time.Hour) }))
		inst := start(b, Parent, 1)
		kid := Child.Instance(b.client, "the-child")
		b.until("the child runs", func() bool { s, err := kid.State(b.ctx); return err == nil && s.Status == "RUNNING" })
		if err := kid.Terminate(b.ctx, "by hand"); err != nil {
			t.Fatal(err)
		}
		wait(b, inst)
		b.atRest()
	})
	t.Run("IDTakenByARunningInstanceFailsTheCall", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect), child, Double.Handler(double), Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			taken, free := Child.Go(ctx, n, durable.ID("taken")), Child.Go(ctx, n, durable.ID("free"))
			if _, err := taken.Await(); !errors.Is(err, durable.ErrExists) {
				return 0, fmt.Errorf("got %w", err)
			}
			return free.Await()
		}))
		start(b, Collect, 1, durable.ID("taken"))
		if got := wait(b, start(b, Parent, 4)); got != 8 {
			t.Errorf("got %d", got)
		}
	})
	t.Run("IDOfAFinishedInstanceIsTakenOver", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect), child, Double.Handler(double), Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
			return Child.Call(ctx, n, durable.ID("used"))
		}))
		wait(b, start(b, Collect, 0, durable.ID("used")))
		if got := wait(b, start(b, Parent, 4)); got != 8 {
			t.Errorf("got %d", got)
		}
		if n := b.count("SELECT count(*) FROM weir.history h WHERE NOT EXISTS (SELECT FROM weir.instances i WHERE i.no = h.instance_no)"); n != 0 {
			t.Errorf("%d rows of the old instance are left", n)
		}
	})
}

func TestContinueAsNew(t *testing.T) {
	t.Parallel()
	// loop takes one item a generation.
	loop := Loop.Handler(func(ctx *durable.Context, s loopState) ([]string, error) {
		v, err := Item.Wait(ctx)
		if err != nil {
			return nil, err
		}
		s.Seen = append(s.Seen, v)
		ctx.SetStatus(len(s.Seen))
		if len(s.Seen) == s.Want {
			return s.Seen, nil
		}
		ctx.Timer(time.Hour) // dropped with the generation
		return Loop.ContinueAsNew(ctx, s)
	})
	t.Run("NoEventIsLost", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, loop)
		const n = 60
		inst := start(b, Loop, loopState{Want: n})
		var want []string
		for i := range n {
			want = append(want, fmt.Sprint(i))
			raise(b, Item, inst.ID(), fmt.Sprint(i))
			if i%20 == 10 { // let it catch up now and then, so that it goes to rest in between
				b.until("it has", func() bool { return string(status(b, inst).CustomStatus) == fmt.Sprint(i+1) })
			}
		}
		if got := wait(b, inst); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		if g := b.count("SELECT gen FROM weir.instances WHERE id = $1", inst.ID()); g != n-1 {
			t.Errorf("generation %d", g)
		}
		// The history does not grow with the generations: the last two are kept, and the numbers go on.
		if rows := b.count("SELECT count(*) FROM weir.history"); rows > 6 {
			t.Errorf("%d history rows", rows)
		}
		if seq := b.count("SELECT seq FROM weir.instances WHERE id = $1", inst.ID()); seq < 5*(n-1) {
			t.Errorf("seq %d went back", seq)
		}
		b.atRest()
	})
	t.Run("BufferedEventsAreCarriedOver", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Loop, loopState{Want: 3})
		for _, v := range []string{"a", "b", "c"} { // all there before the first turn
			raise(b, Item, inst.ID(), v)
		}
		b.worker(nil, loop)
		if got := strings.Join(wait(b, inst), ""); got != "abc" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("ResultsOfTheOldGenerationAreDropped", func(t *testing.T) {
		b := setup(t)
		release := make(chan struct{})
		var calls atomic.Int32
		b.worker(nil, Number.Handler(func(ctx *durable.Context, gen int) (int, error) {
			f := Double.Go(ctx, gen)
			if gen == 0 {
				if err := ctx.Sleep(time.Millisecond); err != nil {
					return 0, err
				}
				return Number.ContinueAsNew(ctx, 1)
			}
			return f.Await()
		}), Double.Handler(func(ctx context.Context, gen int) (int, error) {
			if calls.Add(1) == 1 {
				select {
				case <-release:
				case <-ctx.Done(): // the generation it belongs to is over
				}
			}
			return 100 + gen, nil
		}))
		if got := wait(b, start(b, Number, 0)); got != 101 {
			t.Errorf("got %d", got)
		}
		close(release)
		b.atRest()
	})
	t.Run("ParentWaitsForTheLastGeneration", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Parent.Handler(func(ctx *durable.Context, n int) (int, error) { return Child.Call(ctx, n) }),
			Child.Handler(func(ctx *durable.Context, n int) (int, error) {
				if n < 5 {
					return Child.ContinueAsNew(ctx, n+1)
				}
				return n, nil
			}))
		if got := wait(b, start(b, Parent, 0)); got != 5 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})
	t.Run("WrappedIsAMistakeThatIsTold", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, err := Number.ContinueAsNew(ctx, n)
			return 0, fmt.Errorf("wrapped: %w", err)
		}))
		if _, err := start(b, Number, 1).Wait(b.ctx); err == nil || !strings.Contains(err.Error(), "return what ContinueAsNew returns") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	failing := func(times int32, calls *atomic.Int32) durable.Handler {
		return Double.Handler(func(_ context.Context, n int) (int, error) {
			if calls.Add(1) <= times {
				return 0, errors.New("not yet")
			}
			return 2 * n, nil
		}, durable.Retry{Attempts: 2, Initial: time.Millisecond})
	}
	call := func(opts ...durable.CallOption) durable.Handler {
		return Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Double.Call(ctx, n, opts...) })
	}
	t.Run("HandlerPolicy", func(t *testing.T) {
		b := setup(t)
		var calls atomic.Int32
		b.worker(nil, failing(1, &calls), call())
		wait(b, start(b, Number, 1))
	})
	t.Run("HandlerPolicyGivesUp", func(t *testing.T) {
		b := setup(t)
		var calls atomic.Int32
		b.worker(nil, failing(9, &calls), call())
		_, err := start(b, Number, 1).Wait(b.ctx)
		if err == nil || !strings.Contains(err.Error(), "not yet") || calls.Load() != 2 {
			t.Errorf("got %v after %d calls", err, calls.Load())
		}
	})
	t.Run("CallPolicyGoesFirst", func(t *testing.T) {
		b := setup(t)
		var calls atomic.Int32
		b.worker(nil, failing(4, &calls), call(durable.Retry{Attempts: 5, Initial: time.Millisecond, Factor: 1.5}))
		wait(b, start(b, Number, 1))
		if calls.Load() != 5 {
			t.Errorf("%d calls", calls.Load())
		}
	})
	t.Run("WorkerPolicyIsTheLastResort", func(t *testing.T) {
		b := setup(t)
		var calls atomic.Int32
		b.worker(&durable.Config{Retry: durable.Retry{Attempts: 3, Initial: time.Millisecond}}, call(),
			Double.Handler(func(_ context.Context, n int) (int, error) {
				if calls.Add(1) < 3 {
					return 0, errors.New("not yet")
				}
				return n, nil
			}))
		wait(b, start(b, Number, 1))
	})
	t.Run("LongWaitsAreParkedInTheDatabase", func(t *testing.T) {
		b := setup(t)
		var calls atomic.Int32
		b.worker(nil, call(durable.Retry{Attempts: 3, Initial: 1200 * time.Millisecond, Jitter: -1}),
			Double.Handler(func(ctx context.Context, n int) (int, error) {
				info, _ := durable.Task(ctx)
				if c := calls.Add(1); int(c) != info.Attempt {
					return 0, fmt.Errorf("call %d says attempt %d", c, info.Attempt)
				}
				if calls.Load() < 3 {
					return 0, errors.New("not yet")
				}
				return n, nil
			}))
		inst := start(b, Number, 1)
		for attempt := 1; attempt <= 2; attempt++ {
			b.until("the task is parked", func() bool {
				return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'double' AND state = 'scheduled' AND attempt = $1 AND cardinality(errors) = $1", attempt) == 1
			})
		}
		wait(b, inst)
		b.atRest()
	})
	t.Run("ParallelTasksRetryInParallel", func(t *testing.T) {
		b := setup(t)
		var mu sync.Mutex
		tries := map[int]int{}
		b.worker(nil, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) {
			return Double.Map(ctx, in, durable.Retry{Attempts: 2, Initial: 500 * time.Millisecond})
		}), Double.Handler(func(_ context.Context, n int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			if tries[n]++; tries[n] == 1 {
				return 0, errors.New("first")
			}
			return n, nil
		}))
		began := time.Now()
		in := make([]int, 20)
		for i := range in {
			in[i] = i
		}
		wait(b, start(b, Many, in))
		if d := time.Since(began); d > 5*time.Second { // one after another it would take ten
			t.Errorf("took %s", d)
		}
	})
	t.Run("Timeout", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, call(durable.Timeout(20*time.Millisecond)), Double.Handler(func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}))
		_, err := start(b, Number, 1).Wait(b.ctx)
		if err == nil || !strings.Contains(err.Error(), "longer than 20ms") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTxHandler(t *testing.T) {
	t.Parallel()
	table := func(b *bundle) {
		if _, err := b.pool.Exec(b.ctx, "CREATE TABLE charges (instance text, amount int)"); err != nil {
			b.t.Fatal(err)
		}
	}
	pay := func(ctx context.Context, tx pgx.Tx, amount int) (string, error) {
		info, _ := durable.Task(ctx)
		if _, err := tx.Exec(ctx, "INSERT INTO charges VALUES ($1, $2)", info.InstanceID, amount); err != nil {
			return "", err
		}
		if amount < 0 {
			return "", fmt.Errorf("amount %d: %w", amount, ErrOdd)
		}
		return "paid", nil
	}
	buy := Number.Handler(func(ctx *durable.Context, n int) (int, error) {
		_, err := Pay.Call(ctx, n)
		return n, err
	})
	t.Run("WritesAndResultCommitTogether", func(t *testing.T) {
		b := setup(t)
		table(b)
		b.worker(nil, buy, Pay.TxHandler(pay))
		var all []*durable.Instance[int]
		for i := range 50 {
			all = append(all, start(b, Number, i))
		}
		for _, inst := range all {
			wait(b, inst)
		}
		if n := b.count("SELECT count(*) FROM charges"); n != 50 {
			t.Errorf("%d charges", n)
		}
		b.atRest()
	})
	t.Run("FailureRollsBack", func(t *testing.T) {
		b := setup(t)
		table(b)
		b.worker(nil, buy, Pay.TxHandler(pay))
		if _, err := start(b, Number, -1).Wait(b.ctx); !errors.Is(err, ErrOdd) {
			t.Errorf("got %v", err)
		}
		if n := b.count("SELECT count(*) FROM charges"); n != 0 {
			t.Errorf("%d charges", n)
		}
		b.atRest()
	})
	t.Run("RetriesInFreshTransactions", func(t *testing.T) {
		b := setup(t)
		table(b)
		var calls atomic.Int32
		b.worker(nil, buy, Pay.TxHandler(func(ctx context.Context, tx pgx.Tx, n int) (string, error) {
			out, err := pay(ctx, tx, n)
			if calls.Add(1) < 3 {
				return "", errors.New("not yet")
			}
			return out, err
		}, durable.Retry{Attempts: 3, Initial: time.Millisecond}))
		wait(b, start(b, Number, 1))
		if n := b.count("SELECT count(*) FROM charges"); n != 1 {
			t.Errorf("%d charges", n)
		}
		b.atRest()
	})
	t.Run("MayNotCommitItself", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, buy, Pay.TxHandler(func(ctx context.Context, tx pgx.Tx, _ int) (string, error) { return "", tx.Commit(ctx) }))
		if _, err := start(b, Number, 1).Wait(b.ctx); err == nil || !strings.Contains(err.Error(), "committed together with its result") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TerminatedMeanwhileRollsBack", func(t *testing.T) {
		b := setup(t)
		table(b)
		running, finish := make(chan struct{}), make(chan struct{})
		b.worker(nil, buy, Pay.TxHandler(func(ctx context.Context, tx pgx.Tx, n int) (string, error) {
			out, err := pay(context.WithoutCancel(ctx), tx, n)
			close(running)
			<-finish
			return out, err
		}))
		inst := start(b, Number, 1)
		<-running
		if err := inst.Terminate(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		close(finish)
		b.until("the transaction has ended", func() bool {
			return b.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'") == 0
		})
		if n := b.count("SELECT count(*) FROM charges"); n != 0 {
			t.Errorf("%d charges", n)
		}
		b.atRest()
	})
	t.Run("OverflowThroughRiver", func(t *testing.T) {
		b := setup(t)
		table(b)
		b.worker(&durable.Config{Activities: 1}, Pay.TxHandler(pay), Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) {
			_, err := Pay.Map(ctx, in)
			return in, err
		}))
		wait(b, start(b, Many, make([]int, 40)))
		if n := b.count("SELECT count(*) FROM charges"); n != 40 {
			t.Errorf("%d charges", n)
		}
		b.atRest()
	})
}
