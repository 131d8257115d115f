package durable_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

type account struct {
	Balance int
	Log     []int
}

const (
	Deposit  durable.Operation[account, int, int]                   = "Account/deposit"
	Withdraw durable.Operation[account, int, int]                   = "account/withdraw"
	Fill     durable.Operation[account, int, durable.None]          = "account/fill"
	Close    durable.Operation[account, durable.None, durable.None] = "account/close"
	Forward  durable.Operation[account, forward, durable.None]      = "account/forward"
	Ghost    durable.Operation[account, durable.None, durable.None] = "ghost/boo"
	Transfer durable.Orchestration[transfer, int]                   = "transfer"
	Guarded  durable.Orchestration[string, string]                  = "guarded"
	Errand   durable.Orchestration[string, string]                  = "errand"
	Tally    durable.Orchestration[int, int]                        = "tally"
	Greeting durable.Orchestration[durable.None, []string]          = "greeting"
	ErrShort durable.Failure                                        = "insufficient_funds"
)

type transfer struct {
	From, To string
	Amount   int
}

type forward struct {
	To     string
	Amount int
	Start  string
	Fail   bool
}

// bank are the handlers of the entity account.
func bank() []durable.Handler {
	return []durable.Handler{
		Deposit.Handler(func(_ *durable.EntityContext, a *account, n int) (int, error) {
			a.Balance += n
			a.Log = append(a.Log, n)
			return a.Balance, nil
		}),
		Withdraw.Handler(func(_ *durable.EntityContext, a *account, n int) (int, error) {
			a.Balance -= n
			a.Log = append(a.Log, -n)
			if a.Balance < 0 {
				return 0, fmt.Errorf("no %d on the account: %w", n, ErrShort)
			}
			return a.Balance, nil
		}),
		Fill.Handler(func(_ *durable.EntityContext, a *account, n int) (durable.None, error) {
			a.Log = make([]int, n)
			return durable.None{}, nil
		}),
		Close.Handler(func(ctx *durable.EntityContext, _ *account, _ durable.None) (durable.None, error) {
			ctx.Delete()
			return durable.None{}, nil
		}),
		Forward.Handler(func(ctx *durable.EntityContext, a *account, f forward) (durable.None, error) {
			a.Balance -= f.Amount
			if err := Deposit.Signal(ctx, f.To, f.Amount); err != nil {
				return durable.None{}, err
			}
			if f.Start != "" {
				if _, err := Errand.StartFrom(ctx, ctx.Key(), durable.ID(f.Start)); err != nil {
					return durable.None{}, err
				}
			}
			if f.Fail {
				panic("forwarded too much")
			}
			return durable.None{}, nil
		}),
		Errand.Handler(func(_ *durable.Context, s string) (string, error) { return "for " + s, nil }),
		Transfer.Handler(func(ctx *durable.Context, t transfer) (int, error) {
			unlock, err := durable.Lock(ctx, Deposit.ID(t.From), Deposit.ID(t.To))
			if err != nil {
				return 0, err
			}
			defer unlock()
			if _, err := Withdraw.Call(ctx, t.From, t.Amount); err != nil {
				return 0, err
			}
			return Deposit.Call(ctx, t.To, t.Amount)
		}),
	}
}

func (b *bundle) balance(key string) int {
	b.t.Helper()
	a, _, err := Deposit.State(b.ctx, b.client, key)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Balance
}

func (b *bundle) entity(key string) *engine.Entity {
	b.t.Helper()
	x, err := b.client.Entity(b.ctx, Deposit.ID(key))
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

func TestEntitySignalsAndCallsFromClients(t *testing.T) {
	b := setup(t)
	b.worker(nil, bank()...)
	var wg sync.WaitGroup
	for _, c := range b.clients() {
		for range 8 {
			wg.Go(func() {
				for range 25 {
					if err := Deposit.Invoke(b.ctx, c, "a", 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	got, err := Deposit.Ask(b.ctx, b.client, "a", 100)
	if err != nil || got != 500 {
		t.Errorf("after 400 signals and a call the balance is %d, want 500; error %v", got, err)
	}
	if n := b.balance("a"); n != 500 {
		t.Errorf("the state has %d, want 500", n)
	}
	if _, err := Withdraw.Ask(b.ctx, b.client, "a", 501); !errors.Is(err, ErrShort) {
		t.Errorf("error %v, want the declared failure", err)
	}
	if a, _, _ := Deposit.State(b.ctx, b.client, "a"); a.Balance != 500 || len(a.Log) != 401 {
		t.Errorf("a failed operation left balance %d and %d entries", a.Balance, len(a.Log))
	}
	for range 3 {
		if err := Deposit.Invoke(b.ctx, b.client, "keyed", 1, durable.Key("once")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Deposit.Ask(b.ctx, b.client, "keyed", 10); n != 11 || err != nil {
		t.Errorf("balance %d, want 11: three signals with one key are one; error %v", n, err)
	}
	if _, found, err := Deposit.State(b.ctx, b.client, "nobody"); found || err != nil {
		t.Errorf("found %v, error %v", found, err)
	}
	if n := b.count("SELECT count(*) FROM weir.history h JOIN weir.instances i ON i.no = h.instance_no WHERE i.id = '@account@a'"); n != 1 {
		t.Errorf("%d history rows, want 1: an entity's history does not grow", n)
	}
	b.until("the answers have been read", func() bool { return b.count("SELECT count(*) FROM weir.entity_replies") == 0 })
}

func TestEntityIsNoOrchestration(t *testing.T) {
	b := setup(t)
	b.worker(nil, bank()...)
	if _, err := Deposit.Ask(b.ctx, b.client, "a", 1); err != nil {
		t.Fatal(err)
	}
	wait(b, start(b, Errand, "x"))
	if n := b.count("SELECT count(*) FROM weir.instances WHERE id LIKE '@%' AND (outcome IS NULL OR outcome IN (1, 3, 4, 5))"); n != 0 {
		t.Errorf("%d entities are among the instances that lists show", n)
	}
	if _, err := Errand.Start(b.ctx, b.client, "x", durable.ID("@account@a")); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

func TestEntityCallsFromOrchestrations(t *testing.T) {
	b := setup(t)
	b.worker(nil, append(bank(), Tally.Handler(func(ctx *durable.Context, n int) (int, error) {
		for i := range n {
			if err := Deposit.Signal(ctx, "ordered", i); err != nil {
				return 0, err
			}
		}
		last, err := Deposit.Call(ctx, "ordered", n)
		if err != nil {
			return 0, err
		}
		if _, err := Withdraw.Call(ctx, "ordered", 1_000_000); !errors.Is(err, ErrShort) {
			return 0, fmt.Errorf("want the declared failure: %w", err)
		}
		return last, nil
	}))...)
	inst := start(b, Tally, 50)
	if got, want := wait(b, inst), 50*51/2; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	a, _, err := Deposit.State(b.ctx, b.client, "ordered")
	if err != nil || !slices.IsSorted(a.Log) || len(a.Log) != 51 {
		t.Errorf("operations came as %v; error %v", a.Log, err)
	}
	for kind, want := range map[string]int{
		"EntityOperationSignaled": 50, "EntityOperationCalled": 2, "EntityOperationCompleted": 1, "EntityOperationFailed": 1,
	} {
		if n := b.events(inst.ID(), kind); n != want {
			t.Errorf("%d events %s, want %d", n, kind, want)
		}
	}
	b.atRest()
}

func TestEntityFailureTakesMessagesBack(t *testing.T) {
	b := setup(t)
	b.worker(nil, bank()...)
	if _, err := Deposit.Ask(b.ctx, b.client, "a", 10); err != nil {
		t.Fatal(err)
	}
	_, err := Forward.Ask(b.ctx, b.client, "a", forward{To: "b", Amount: 4, Start: "never", Fail: true})
	if err == nil || !strings.Contains(err.Error(), "forwarded too much") {
		t.Errorf("error %v, want the panic", err)
	}
	if _, err := Forward.Ask(b.ctx, b.client, "a", forward{To: "b", Amount: 3, Start: "errand-1"}); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, Errand.Instance(b.client, "errand-1")); got != "for a" {
		t.Errorf("got %q", got)
	}
	b.until("b has got it", func() bool { return b.balance("b") > 0 })
	if x, y := b.balance("a"), b.balance("b"); x != 7 || y != 3 {
		t.Errorf("balances %d and %d, want 7 and 3", x, y)
	}
	if _, err := Errand.Instance(b.client, "never").State(b.ctx); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("error %v: a failed operation started an instance", err)
	}
	// An instance that lives is left as it is.
	if _, err := Forward.Ask(b.ctx, b.client, "a", forward{To: "b", Amount: 1, Start: "errand-1"}); err != nil {
		t.Error(err)
	}
}

func TestEntityDelayedSignals(t *testing.T) {
	b := setup(t)
	stop := b.worker(nil, bank()...)
	at := time.Now().Add(700 * time.Millisecond)
	if err := Deposit.Invoke(b.ctx, b.client, "a", 1, durable.At(at)); err != nil {
		t.Fatal(err)
	}
	if err := Deposit.Invoke(b.ctx, b.client, "a", 2, durable.Delay(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n, err := Deposit.Ask(b.ctx, b.client, "a", 10); n != 10 || err != nil {
		t.Errorf("balance %d, error %v: a signal was not put off", n, err)
	}
	stop() // others have to find what was put off
	b.worker(nil, bank()...)
	b.until("the signal is carried out", func() bool { return b.balance("a") == 11 })
	if early := time.Until(at); early > 0 {
		t.Errorf("carried out %s early", early)
	}
	if n := b.count("SELECT count(*) FROM weir.timers t JOIN weir.instances i ON i.no = t.instance_no WHERE i.id = '@account@a'"); n != 1 {
		t.Errorf("%d timers, want 1", n)
	}
}

func TestEntityDeletion(t *testing.T) {
	b := setup(t)
	b.worker(nil, bank()...)
	if _, err := Deposit.Ask(b.ctx, b.client, "a", 5); err != nil {
		t.Fatal(err)
	}
	if _, err := Close.Ask(b.ctx, b.client, "a", durable.None{}); err != nil {
		t.Fatal(err)
	}
	if _, found, err := Deposit.State(b.ctx, b.client, "a"); found || err != nil {
		t.Errorf("found %v, error %v after its deletion", found, err)
	}
	b.until("nobody is at work on it", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE id = '@account@a' AND (owner IS NOT NULL OR turn_job IS NOT NULL)") == 0
	})
	done, err := b.client.CleanEntities(b.ctx)
	if err != nil || done.Removed != 1 {
		t.Errorf("removed %+v, error %v", done, err)
	}
	if n := b.count("SELECT count(*) FROM weir.instances WHERE id LIKE '@%'"); n != 0 {
		t.Errorf("%d entities are left", n)
	}
	if n, err := Deposit.Ask(b.ctx, b.client, "a", 1); n != 1 || err != nil {
		t.Errorf("balance %d, error %v: a removed entity begins anew", n, err)
	}
}

func TestEntityLargeState(t *testing.T) {
	b := setup(t)
	b.worker(nil, bank()...)
	for _, n := range []int{100_000, 10, 150_000, 120_000} {
		if _, err := Fill.Ask(b.ctx, b.client, "a", n); err != nil {
			t.Fatal(err)
		}
		if a, _, err := Deposit.State(b.ctx, b.client, "a"); err != nil || len(a.Log) != n {
			t.Fatalf("the state has %d entries, want %d; error %v", len(a.Log), n, err)
		}
	}
	if _, err := Fill.Ask(b.ctx, b.client, "a", 9_000_000); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
	if n := b.count("SELECT count(*) FROM weir.payloads WHERE instance_no <> 0"); n != 1 {
		t.Errorf("%d large values are kept, want 1", n)
	}
}

func TestEntityWithoutHandlerWaits(t *testing.T) {
	b := setup(t)
	stop := b.worker(nil, Errand.Handler(func(_ *durable.Context, s string) (string, error) { return s, nil }))
	if err := Deposit.Invoke(b.ctx, b.client, "a", 3); err != nil {
		t.Fatal(err)
	}
	if x := b.entity("a"); x.Backlog != 1 {
		t.Errorf("backlog %d, want 1", x.Backlog)
	}
	b.worker(nil, bank()...)
	b.until("a worker has come", func() bool { return b.balance("a") == 3 })
	stop()
	_, err := durable.Operation[account, int, int]("account/unheard").Ask(b.ctx, b.client, "a", 1)
	if !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}

func TestEntityTransfersUnderLocks(t *testing.T) {
	b := setup(t)
	for range 2 {
		b.worker(nil, bank()...)
	}
	keys := []string{"a", "b", "c"}
	for _, k := range keys {
		if _, err := Deposit.Ask(b.ctx, b.client, k, 100); err != nil {
			t.Fatal(err)
		}
	}
	var all []*durable.Instance[int]
	for i := range 30 {
		all = append(all, start(b, Transfer, transfer{keys[i%3], keys[(i+1+i%2)%3], 1 + i%4}))
	}
	for _, inst := range all {
		wait(b, inst)
	}
	if sum := b.balance("a") + b.balance("b") + b.balance("c"); sum != 300 {
		t.Errorf("all balances are %d, want 300", sum)
	}
	b.until("all locks are free", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 0 })
	b.atRest()
}

func TestEntityLocksKeepOthersOut(t *testing.T) {
	b := setup(t)
	b.worker(nil, append(bank(), Guarded.Handler(func(ctx *durable.Context, how string) (string, error) {
		unlock, err := durable.Lock(ctx, Deposit.ID("a"))
		if err != nil {
			return "", err
		}
		if _, err := Item.Wait(ctx); err != nil {
			return "", err
		}
		n, err := Deposit.Call(ctx, "a", 1)
		if how == "unlock" {
			unlock()
			unlock()
			_, err = Item.Wait(ctx)
		}
		return fmt.Sprint(n), err
	}))...)
	inst := start(b, Guarded, "end")
	b.until("it is locked", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 1 })
	for i := range 3 {
		if err := Deposit.Invoke(b.ctx, b.client, "a", 10*(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	x := b.entity("a")
	if x.LockedBy == nil || x.LockedBy.InstanceID != inst.ID() || x.Backlog != 3 {
		t.Errorf("locked by %v with a backlog of %d, want %s and 3", x.LockedBy, x.Backlog, inst.ID())
	}
	some, err := b.client.Entities(b.ctx, engine.EntityFilter{Locked: true, Limit: 10})
	if err != nil || len(some) != 1 {
		t.Errorf("%d locked entities, error %v", len(some), err)
	}
	raise(b, Item, inst.ID(), "")
	if got := wait(b, inst); got != "1" {
		t.Errorf("the holder's call found %s, want 1: nobody comes before it", got)
	}
	b.until("the others have come", func() bool { return b.balance("a") == 61 })

	t.Run("UnlockedByItsCode", func(t *testing.T) {
		inst := start(b, Guarded, "unlock")
		b.until("it is locked", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 1 })
		raise(b, Item, inst.ID(), "")
		b.until("it is unlocked", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 0 })
		if got := status(b, inst).Status; got != "RUNNING" {
			t.Errorf("status %s", got)
		}
		raise(b, Item, inst.ID(), "")
		wait(b, inst)
	})
	t.Run("TerminationFreesIt", func(t *testing.T) {
		inst := start(b, Guarded, "end")
		b.until("it is locked", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 1 })
		if err := inst.Terminate(b.ctx, "test"); err != nil {
			t.Fatal(err)
		}
		if n, err := Deposit.Ask(b.ctx, b.client, "a", 0); err != nil {
			t.Errorf("balance %d, error %v", n, err)
		}
	})
	t.Run("ReleasedByAnOperator", func(t *testing.T) {
		inst := start(b, Guarded, "end")
		b.until("it is locked", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 1 })
		if err := b.client.ReleaseEntityLock(b.ctx, Deposit.ID("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := Deposit.Ask(b.ctx, b.client, "a", 0); err != nil {
			t.Error(err)
		}
		if err := b.client.ReleaseEntityLock(b.ctx, Deposit.ID("a")); !errors.Is(err, durable.ErrWrongState) {
			t.Errorf("error %v, want ErrWrongState", err)
		}
		raise(b, Item, inst.ID(), "")
		wait(b, inst)
	})
}

func TestEntityLockRules(t *testing.T) {
	b := setup(t)
	b.worker(nil, append(bank(), Greeting.Handler(func(ctx *durable.Context, _ durable.None) ([]string, error) {
		if _, err := durable.Lock(ctx); !errors.Is(err, durable.ErrInvalid) {
			return nil, fmt.Errorf("an empty lock: %w", err)
		}
		unlock, err := durable.Lock(ctx, Deposit.ID("b"), Deposit.ID("a"), Deposit.ID("b"))
		if err != nil {
			return nil, err
		}
		var broken []string
		check := func(what string, err error) {
			broken = append(broken, fmt.Sprint(what, " ", errors.Is(err, durable.ErrWrongState)))
		}
		_, err = durable.Lock(ctx, Deposit.ID("c"))
		check("nested", err)
		_, err = Errand.Call(ctx, "x")
		check("child", err)
		_, err = Deposit.Call(ctx, "c", 1)
		check("call of another", err)
		first := Deposit.Go(ctx, "a", 1)
		_, err = Deposit.Call(ctx, "a", 1)
		check("parallel", err)
		if _, err := first.Await(); err != nil {
			return nil, err
		}
		_, err = Deposit.Call(ctx, "a", 1)
		check("one after another", err)
		check("signal inside", Deposit.Signal(ctx, "b", 1))
		check("signal outside", Deposit.Signal(ctx, "c", 1))
		unlock()
		_, err = Errand.Call(ctx, "x")
		check("child afterwards", err)
		return broken, nil
	}))...)
	want := []string{
		"nested true", "child true", "call of another true", "parallel true", "one after another false", "signal inside true",
		"signal outside false", "child afterwards false",
	}
	if got := wait(b, start(b, Greeting, durable.None{})); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	b.until("the signal has come", func() bool { return b.balance("c") == 1 })
	b.atRest()
}

func TestEntityLockGivenUp(t *testing.T) {
	b := setup(t)
	b.worker(nil, append(bank(), Guarded.Handler(func(ctx *durable.Context, how string) (string, error) {
		if how == "hold" {
			_, err := durable.Lock(ctx, Deposit.ID("b"))
			if err == nil {
				_, err = Item.Wait(ctx)
			}
			return "", err
		}
		inner, cancel := durable.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := durable.Lock(inner, Deposit.ID("a"), Deposit.ID("b"))
		if _, again := Item.Wait(ctx); again != nil {
			return "", again
		}
		return fmt.Sprint(errors.Is(err, durable.ErrTimeout)), nil
	}))...)
	holder := start(b, Guarded, "hold")
	b.until("b is locked", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 1 })
	inst := start(b, Guarded, "try")
	b.until("the lock is given up", func() bool {
		return b.events(inst.ID(), "EntityLockRequested") == 1 && b.events(inst.ID(), "TaskCanceled") == 1
	})
	if _, err := Deposit.Ask(b.ctx, b.client, "a", 1); err != nil {
		t.Error(err)
	}
	raise(b, Item, holder.ID(), "")
	wait(b, holder)
	if _, err := Deposit.Ask(b.ctx, b.client, "b", 1); err != nil { // granted to one who no longer wants it, and given back
		t.Error(err)
	}
	raise(b, Item, inst.ID(), "")
	if got := wait(b, inst); got != "true" {
		t.Errorf("got %s: want a timeout", got)
	}
	b.until("all locks are free", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 0 })
}

func TestEntityQueries(t *testing.T) {
	b := setup(t)
	b.worker(nil, bank()...)
	for i := range 7 {
		if _, err := Deposit.Ask(b.ctx, b.client, fmt.Sprintf("k%d", i), i); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	f := engine.EntityFilter{Name: "Account", KeyPrefix: "k", Limit: 3}
	for {
		page, err := b.client.Entities(b.ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page {
			ids = append(ids, x.ID.String())
			if !x.State.Present() {
				t.Errorf("%s has no state", x.ID)
			}
		}
		if len(page) < f.Limit {
			break
		}
		f.After = page[len(page)-1].ID.String()
	}
	if len(ids) != 7 || !slices.IsSorted(ids) {
		t.Errorf("got %q", ids)
	}
	for name, f := range map[string]engine.EntityFilter{
		"no limit": {}, "prefix without name": {KeyPrefix: "k", Limit: 1}, "name with @": {Name: "a@b", Limit: 1},
		"not UTF-8": {Name: "a\xff", Limit: 1}, "range": {ModifiedFrom: time.Now(), ModifiedTo: time.Now().Add(-time.Hour), Limit: 1},
	} {
		if _, err := b.client.Entities(b.ctx, f); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
	for _, key := range []string{"", strings.Repeat("k", 201), "a\x00b", "\xff"} {
		if err := Deposit.Invoke(b.ctx, b.client, key, 1); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("key %.10q: error %v, want ErrInvalid", key, err)
		}
	}
	if err := durable.Operation[account, int, int]("account").Invoke(b.ctx, b.client, "k", 1); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid for a name without operation", err)
	}
}

func TestEntityHandlersThatDoNotFit(t *testing.T) {
	b := setup(t)
	other := durable.Operation[string, int, int]("account/other")
	for name, handlers := range map[string][]durable.Handler{
		"another state": {bank()[0], other.Handler(func(*durable.EntityContext, *string, int) (int, error) { return 0, nil })},
		"twice":         {bank()[0], bank()[0]},
		"no operation":  {durable.Operation[string, int, int]("account").Handler(func(*durable.EntityContext, *string, int) (int, error) { return 0, nil })},
	} {
		if _, err := durable.NewWorker(b.pool, nil, handlers...); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
}
