package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
)

const (
	Collect  durable.Orchestration[int, []string]  = "collect"
	Item     durable.Event[string]                 = "item"
	Approved durable.Event[bool]                   = "approved"
	Relay    durable.Orchestration[string, string] = "relay"
)

// collect waits for n items.
func collect(ctx *durable.Context, n int) ([]string, error) {
	var out []string
	for len(out) < n {
		v, err := Item.Wait(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		ctx.SetStatus(len(out))
	}
	return out, nil
}

func raise[T any](b *bundle, e durable.Event[T], instance string, v T, opts ...durable.RaiseOption) {
	b.t.Helper()
	if err := e.Raise(b.ctx, b.client, instance, v, opts...); err != nil {
		b.t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	t.Run("ArriveInOrder", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 100)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			raise(b, Item, inst.ID(), fmt.Sprint(i))
		}
		if got := wait(b, inst); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		b.atRest()
	})
	t.Run("WakeTheWorkerThatHoldsTheInstance", func(t *testing.T) {
		b := setup(t)
		// It never lets go, and looks on its own every five seconds only: without wake-ups, this takes minutes.
		b.worker(&durable.Config{IdleRelease: time.Hour}, Collect.Handler(collect))
		inst := start(b, Collect, 40)
		watch, err := inst.Watch(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Close()
		for i := range 40 {
			raise(b, Item, inst.ID(), "x")
			for {
				state, err := watch.Next(b.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if want := strconv.Itoa(i + 1); string(state.CustomStatus) == want || state.Status == "COMPLETED" {
					break
				}
			}
		}
		wait(b, inst)
	})
	t.Run("AreKeptWhileNobodyWaits", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 3)
		for _, v := range []string{"a", "b", "c"} {
			raise(b, Item, inst.ID(), v) // no worker runs
		}
		b.worker(nil, Collect.Handler(collect))
		if got := strings.Join(wait(b, inst), ""); got != "abc" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("AreKeptForAWaitThatComesLater", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			if _, err := Approved.Wait(ctx); err != nil { // the item arrives before
				return "", err
			}
			return Item.Wait(ctx)
		}))
		inst := start(b, Text, "")
		raise(b, Item, inst.ID(), "early")
		raise(b, Approved, inst.ID(), true)
		if got := wait(b, inst); got != "early" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("OneEventCompletesOneWaitTheOldestFirst", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			first, second := Item.Next(ctx), Item.Next(ctx)
			b, err := second.Await()
			if err != nil {
				return "", err
			}
			a, err := first.Await()
			return a + b, err
		}))
		inst := start(b, Text, "")
		raise(b, Item, inst.ID(), "1")
		raise(b, Item, inst.ID(), "2")
		if got := wait(b, inst); got != "12" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("NamesIgnoreCase", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 1)
		raise(b, durable.Event[string]("ITEM"), inst.ID(), "x")
		wait(b, inst)
	})
	t.Run("WaitForGivesUpAndLeavesLaterEvents", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			if _, ok, err := Item.WaitFor(ctx, 10*time.Millisecond); ok || err != nil {
				return "", fmt.Errorf("ok %v, err %w", ok, err)
			}
			ctx.SetStatus("late")
			v, ok, err := Item.WaitFor(ctx, time.Hour)
			if !ok {
				return "", errors.New("timed out")
			}
			return v, err
		}))
		inst := start(b, Text, "")
		b.until("the first wait gave up", func() bool { return string(status(b, inst).CustomStatus) == `"late"` })
		raise(b, Item, inst.ID(), "x")
		if got := wait(b, inst); got != "x" {
			t.Errorf("got %q", got)
		}
		b.atRest() // the hour's timer is gone with the instance
	})
	t.Run("KeyMakesARaiseIdempotent", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 2)
		for range 3 {
			raise(b, Item, inst.ID(), "once", durable.Key("k1"))
		}
		b.until("it is consumed", func() bool { return string(status(b, inst).CustomStatus) == "1" })
		raise(b, Item, inst.ID(), "again", durable.Key("k1"))
		raise(b, Item, inst.ID(), "other", durable.Key("k2"))
		if got := strings.Join(wait(b, inst), ","); got != "once,other" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("WrongPayloadIsAnError", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			_, err := Approved.Wait(ctx)
			return fmt.Sprint(err), nil
		}))
		inst := start(b, Text, "")
		raise(b, durable.Event[string]("approved"), inst.ID(), "yes")
		if got := wait(b, inst); !strings.Contains(got, "result of event approved: decode bool") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("ErrNotFound", func(t *testing.T) {
		b := setup(t)
		if err := Item.Raise(b.ctx, b.client, "nobody", "x"); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrFinished", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 0)
		wait(b, inst)
		if err := Item.Raise(b.ctx, b.client, inst.ID(), "x"); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("FromOrchestrationToOrchestration", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect), Relay.Handler(func(ctx *durable.Context, to string) (string, error) {
			for i := range 3 {
				if err := Item.Send(ctx, to, fmt.Sprint(i)); err != nil {
					return "", err
				}
			}
			return "", Item.Send(ctx, "nobody", "dropped")
		}))
		inst := start(b, Collect, 3)
		wait(b, start(b, Relay, inst.ID()))
		if got := strings.Join(wait(b, inst), ""); got != "012" {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})
}

// TestReplay sends instances through a cache of one, so that every event brings one back from its history.
func TestReplay(t *testing.T) {
	b := setup(t)
	b.worker(&durable.Config{Cache: 1}, Echo.Handler(echo), Collect.Handler(func(ctx *durable.Context, n int) ([]string, error) {
		var out []string
		for i := range n {
			tag, err := Echo.Call(ctx, fmt.Sprintf("%d%s", i, ctx.NewID()))
			if err != nil {
				return nil, err
			}
			v, err := Item.Wait(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, tag+v)
			ctx.SetStatus(i + 1)
		}
		return out, nil
	}))
	const instances, events = 5, 4
	var all []*durable.Instance[[]string]
	for range instances {
		all = append(all, start(b, Collect, events))
	}
	for e := range events {
		for _, inst := range all {
			// Let go of by its session, so that the next event needs a new one.
			b.until("the instance is idle", func() bool {
				return b.count("SELECT count(*) FROM weir.instances WHERE id = $1 AND owner IS NULL AND turn_job IS NULL", inst.ID()) == 1
			})
			raise(b, Item, inst.ID(), fmt.Sprintf("-%d", e))
		}
	}
	for _, inst := range all {
		got := wait(b, inst)
		for i, v := range got {
			if !strings.HasPrefix(v, fmt.Sprint(i)) || !strings.HasSuffix(v, fmt.Sprintf("-%d", i)) {
				t.Errorf("got %q at %d", v, i)
			}
		}
	}
	b.atRest()
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	begin := func(b *bundle) pgx.Tx {
		tx, err := b.pool.Begin(b.ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		return tx
	}
	t.Run("StartTxCommits", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		tx := begin(b)
		inst, err := Collect.StartTx(b.ctx, b.client, tx, 0, durable.ID("mine"))
		if err != nil {
			t.Fatal(err)
		}
		if n := b.count("SELECT count(*) FROM weir.instances"); n != 0 {
			t.Errorf("%d instances before the commit", n)
		}
		if err := tx.Commit(b.ctx); err != nil {
			t.Fatal(err)
		}
		wait(b, inst)
	})
	t.Run("StartTxRollsBack", func(t *testing.T) {
		b := setup(t)
		tx := begin(b)
		if _, err := Collect.StartTx(b.ctx, b.client, tx, 0, durable.ID("mine")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(b.ctx); err != nil {
			t.Fatal(err)
		}
		if n := b.count("SELECT (SELECT count(*) FROM weir.instances) + (SELECT count(*) FROM weir.inbox) + (SELECT count(*) FROM river.river_job)"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
	t.Run("StartTxErrExistsLeavesTheTransactionUsable", func(t *testing.T) {
		b := setup(t)
		start(b, Collect, 1, durable.ID("mine"))
		tx := begin(b)
		if _, err := Collect.StartTx(b.ctx, b.client, tx, 0, durable.ID("mine")); !errors.Is(err, durable.ErrExists) {
			t.Errorf("got %v", err)
		}
		if _, err := Collect.StartTx(b.ctx, b.client, tx, 0, durable.ID("other")); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(b.ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("RaiseTxIsInOrderAndOnce", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 20)
		for i := range 10 {
			tx := begin(b)
			for k := range 3 {
				if err := Item.RaiseTx(b.ctx, b.client, tx, inst.ID(), fmt.Sprintf("%d.%d", i, k)); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if i%3 == 2 {
				err = tx.Rollback(b.ctx)
			} else {
				err = tx.Commit(b.ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got := wait(b, inst)
		var want []string
		for i := range 10 {
			for k := range 3 {
				if i%3 != 2 && len(want) < 20 {
					want = append(want, fmt.Sprintf("%d.%d", i, k))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		b.atRest()
	})
	t.Run("RaiseTxToNobodyIsDropped", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		tx := begin(b)
		if err := Item.RaiseTx(b.ctx, b.client, tx, "nobody", "x"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.until("the outbox is empty", func() bool { return b.count("SELECT count(*) FROM weir.outbox") == 0 })
		b.atRest()
	})
}

func TestStart(t *testing.T) {
	t.Parallel()
	t.Run("ErrExists", func(t *testing.T) {
		b := setup(t)
		start(b, Collect, 1, durable.ID("one"))
		if _, err := Collect.Start(b.ctx, b.client, 1, durable.ID("one")); !errors.Is(err, durable.ErrExists) || !strings.Contains(err.Error(), `"one"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("BadArguments", func(t *testing.T) {
		b := setup(t)
		for what, opt := range map[string]durable.StartOption{
			"at most 200":             durable.ID(strings.Repeat("x", 201)),
			"not printable ASCII":     durable.ID("zürich"),
			"must not start with @":   durable.ID("@account@1"),
			"at most 40":              durable.Version(strings.Repeat("1", 41)),
			"has a control character": durable.Version("a\x00b"),
		} {
			_, err := Collect.Start(b.ctx, b.client, 1, opt)
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), what) {
				t.Errorf("want %q, got %v", what, err)
			}
		}
		bad := durable.Orchestration[string, string]("text")
		if _, err := bad.Start(b.ctx, b.client, "\xff\xfe"); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "not valid UTF-8") {
			t.Errorf("got %v", err)
		}
		if n := b.count("SELECT count(*) FROM weir.instances"); n != 0 {
			t.Errorf("%d instances", n)
		}
	})
	t.Run("Delay", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		began := time.Now()
		inst := start(b, Collect, 1, durable.Delay(400*time.Millisecond))
		raise(b, Item, inst.ID(), "early") // held until the start
		if s := status(b, inst); s.Status != "PENDING" {
			t.Errorf("status %s", s.Status)
		}
		if got := wait(b, inst); !slices.Equal(got, []string{"early"}) {
			t.Errorf("got %v", got)
		}
		if d := time.Since(began); d < 400*time.Millisecond {
			t.Errorf("finished after %s", d)
		}
		b.atRest()
	})
	t.Run("ManyInACommit", func(t *testing.T) {
		b := setup(t)
		start(b, Collect, 1, durable.ID("i-7"))
		ids := make(durable.IDs, 250)
		in := make([]int, len(ids))
		for i := range ids {
			ids[i] = fmt.Sprintf("i-%d", i)
		}
		ids[9] = "i-8" // twice in one call
		all, err := Collect.StartMany(b.ctx, b.client, in, ids)
		if !errors.Is(err, durable.ErrExists) || !strings.Contains(err.Error(), "2 of 250") {
			t.Errorf("got %v", err)
		}
		started := 0
		for _, inst := range all {
			if inst != nil {
				started++
			}
		}
		if n := b.count("SELECT count(*) FROM weir.instances"); started != 248 || n != 249 {
			t.Errorf("%d started, %d instances", started, n)
		}
		b.worker(nil, Collect.Handler(collect))
		for i, inst := range all {
			if inst != nil {
				wait(b, inst)
			} else if i != 7 && i != 9 {
				t.Errorf("instance %d is missing", i)
			}
		}
	})
	t.Run("ManyAtOnceOneWins", func(t *testing.T) {
		b := setup(t)
		errs := make(chan error, 20)
		for range 20 {
			go func() {
				_, err := Collect.Start(b.ctx, b.client, 0, durable.ID("race"))
				errs <- err
			}()
		}
		won := 0
		for range 20 {
			switch err := <-errs; {
			case err == nil:
				won++
			case !errors.Is(err, durable.ErrExists):
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
	})
	t.Run("UnknownHub", func(t *testing.T) {
		b := setup(t)
		c, err := durable.NewClient(b.pool, durable.Hub("nowhere"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := Collect.Start(b.ctx, c, 1); !errors.Is(err, durable.ErrNotFound) || !strings.Contains(err.Error(), `no hub "nowhere"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NotMigrated", func(t *testing.T) {
		b := setup(t)
		c, err := durable.NewClient(b.pool, durable.Schemas{Weir: "elsewhere"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := Collect.Start(b.ctx, c, 1); err == nil || !strings.Contains(err.Error(), "run `weir migrate`") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	t.Run("WhileItWaits", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Collect.Handler(collect))
		inst := start(b, Collect, 1)
		b.until("it runs", func() bool { return status(b, inst).Status == "RUNNING" })
		if err := inst.Terminate(b.ctx, "no longer wanted"); err != nil {
			t.Fatal(err)
		}
		_, err := inst.Wait(b.ctx)
		if err == nil || !strings.Contains(err.Error(), "terminated: no longer wanted") {
			t.Errorf("got %v", err)
		}
		if err := inst.Terminate(b.ctx, "again"); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("got %v", err)
		}
		b.atRest()
	})
	t.Run("WhileAnActivityRunsItIsTold", func(t *testing.T) {
		b := setup(t)
		running := make(chan struct{})
		stopped := make(chan struct{})
		b.worker(nil, Text.Handler(func(ctx *durable.Context, s string) (string, error) { return Echo.Call(ctx, s) }),
			Echo.Handler(func(ctx context.Context, s string) (string, error) {
				close(running)
				<-ctx.Done()
				close(stopped)
				return "", ctx.Err()
			}))
		inst := start(b, Text, "")
		<-running
		if err := inst.Terminate(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		select {
		case <-stopped:
		case <-b.ctx.Done():
			t.Fatal("the activity was not told")
		}
		b.atRest()
	})
	t.Run("WithoutAnyWorker", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Collect, 1)
		raise(b, Item, inst.ID(), "x")
		if err := inst.Terminate(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		if s := status(b, inst); s.Status != "TERMINATED" {
			t.Errorf("status %s", s.Status)
		}
		b.atRest()
	})
	t.Run("ErrNotFound", func(t *testing.T) {
		b := setup(t)
		if err := Collect.Instance(b.client, "nobody").Terminate(b.ctx, ""); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}
