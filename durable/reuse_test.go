package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

const (
	Numbered durable.Orchestration[int, int] = "numbered"
	Finish   durable.Event[int]              = "finish"
)

// numbered waits for an event, and returns its own input.
func numbered(ctx *durable.Context, n int) (int, error) {
	_, err := Finish.Wait(ctx)
	return n, err
}

var (
	ended = []string{"COMPLETED", "FAILED", "CANCELED", "TERMINATED"}
	live  = []string{"PENDING", "RUNNING", "SUSPENDED"}
	every = slices.Concat(ended, live)
)

// TestReuse: what each policy does about an id that is taken, for each status of the instance that has it.
func TestReuse(t *testing.T) {
	b := setup(t)
	policies := map[string]durable.Reuse{
		"refuse":                      {},
		"existing":                    {Existing: true},
		"replace completed":           {Replace: []string{"COMPLETED"}},
		"replace ended":               {Replace: ended},
		"replace ended, or existing":  {Replace: ended, Existing: true},
		"replace failed, or existing": {Replace: []string{"FAILED"}, Existing: true},
		"replace pending":             {Replace: []string{"PENDING", "TERMINATED"}},
		"replace all":                 {Replace: every},
	}
	for name, policy := range policies {
		for _, status := range every {
			id := name + " " + status
			start(b, Numbered, 1, durable.ID(id))
			b.putInto(id, status)
			inst, err := Numbered.Start(b.ctx, b.client, 2, durable.ID(id), policy)
			replaced := slices.Contains(policy.Replace, status)
			switch {
			case replaced:
				if err != nil || inst.Existing() {
					t.Errorf("%s: %v", id, err)
				}
			case policy.Existing:
				if err != nil || !inst.Existing() || inst.ID() != id {
					t.Errorf("%s: %v", id, err)
				}
			case !errors.Is(err, durable.ErrExists):
				t.Errorf("%s: %v, want ErrExists", id, err)
			}
			want := map[bool]string{true: "2", false: "1"}[replaced]
			var input, now string
			if err := b.pool.QueryRow(b.ctx, "SELECT convert_from(input, 'UTF8'), status::text FROM weir.instances WHERE id = $1", id).Scan(&input, &now); err != nil || input != want {
				t.Errorf("%s: the instance has the input %s, want %s (%v)", id, input, want, err)
			}
			if replaced && now != "6" {
				t.Errorf("%s: the new instance has the status %s", id, now)
			}
		}
	}
	// One turn job for each instance that is due, and no other row.
	if orphans := b.count(`SELECT count(*) FROM river.river_job j WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.turn_job = j.id)`); orphans > 0 {
		t.Errorf("%d River rows belong to nobody", orphans)
	}

	t.Run("Many", func(t *testing.T) {
		for n, id := range []string{"m-ended", "m-live"} {
			start(b, Numbered, n, durable.ID(id))
		}
		b.putInto("m-ended", "FAILED")
		got, err := Numbered.StartMany(b.ctx, b.client, []int{10, 11, 12}, durable.IDs{"m-ended", "m-live", "m-new"}, durable.Reuse{Replace: ended, Existing: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{false, true, false} {
			if got[i].Existing() != want {
				t.Errorf("%s: existing is %t", got[i].ID(), got[i].Existing())
			}
		}
		if _, err := Numbered.StartMany(b.ctx, b.client, []int{1, 2}, durable.IDs{"m-live", "m-other"}, durable.Reuse{Replace: ended}); !errors.Is(err, durable.ErrExists) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("InATransaction", func(t *testing.T) {
		tx, err := b.pool.Begin(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(b.ctx)) }()
		start(b, Numbered, 1, durable.ID("tx"))
		inst, err := Numbered.StartTx(b.ctx, b.client, tx, 2, durable.ID("tx"), durable.Reuse{Existing: true})
		if err != nil || !inst.Existing() {
			t.Errorf("got %v", err)
		}
		if _, err := Numbered.StartTx(b.ctx, b.client, tx, 2, durable.ID("tx"), durable.Reuse{Replace: ended}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("BadCombinations", func(t *testing.T) {
		for name, opts := range map[string][]durable.StartOption{
			"live, not TERMINATED":   {durable.ID("x"), durable.Reuse{Replace: []string{"RUNNING", "COMPLETED"}}},
			"a generation's status":  {durable.ID("x"), durable.Reuse{Replace: []string{"CONTINUED_AS_NEW", "TERMINATED"}}},
			"no such status":         {durable.ID("x"), durable.Reuse{Replace: []string{"done"}}},
			"no id":                  {durable.Reuse{Existing: true}},
			"At and Delay":           {durable.At(time.Now()), durable.Delay(time.Hour)},
			"At in the year 10,000":  {durable.At(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))},
			"At far, in a zone east": {durable.At(time.Date(300_000, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)))},
		} {
			if _, err := Numbered.Start(b.ctx, b.client, 1, opts...); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
	})
}

// putInto gives an instance that was just started another status, as if it had come there.
func (b *bundle) putInto(id, status string) {
	b.t.Helper()
	numbers := map[string]int{"RUNNING": 0, "COMPLETED": 1, "FAILED": 3, "CANCELED": 4, "TERMINATED": 5, "PENDING": 6, "SUSPENDED": 7}
	_, err := b.pool.Exec(b.ctx, `WITH before AS (SELECT turn_job FROM weir.instances WHERE id = $1), job AS (
			DELETE FROM river.river_job USING before WHERE river_job.id = before.turn_job AND $2::smallint IN (1, 3, 4, 5))
		UPDATE weir.instances SET status = $2::smallint, outcome = CASE WHEN $2::smallint IN (1, 3, 4, 5) THEN $2::smallint END,
			turn_job = CASE WHEN $2::smallint NOT IN (1, 3, 4, 5) THEN turn_job END WHERE id = $1`, id, numbers[status])
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestReuseRaces: of starts of one id that come together exactly one finds it free, and the others are answered as if
// they had come after it.
func TestReuseRaces(t *testing.T) {
	b := setup(t)
	b.worker(nil, Numbered.Handler(numbered))
	const starters = 32
	race := func(id string, policy durable.Reuse) (started, existing, refused int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		gate := make(chan struct{})
		clients := b.clients()
		for n := range starters {
			all.Go(func() {
				<-gate
				// Two processes: each has a committer of its own.
				inst, err := Numbered.Start(b.ctx, clients[n%2], n, durable.ID(id), policy)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, durable.ErrExists):
					refused++
				case err != nil:
					t.Errorf("%s: %v", id, err)
				case inst.Existing():
					existing++
				default:
					started++
				}
			})
		}
		close(gate)
		all.Wait()
		if n := b.count("SELECT count(*) FROM weir.instances WHERE id = $1", id); n != 1 {
			t.Errorf("%s: %d instances", id, n)
		}
		return started, existing, refused
	}
	for round := range 5 {
		for _, taken := range []string{"", "live", "ended"} {
			for name, policy := range map[string]durable.Reuse{
				"refuse": {}, "existing": {Existing: true}, "replace": {Replace: ended}, "replace or existing": {Replace: ended, Existing: true},
				"replace all": {Replace: every},
			} {
				id := fmt.Sprintf("%s %s %d", name, taken, round)
				if taken != "" {
					first := start(b, Numbered, -1, durable.ID(id))
					if taken == "ended" {
						if err := Finish.Raise(b.ctx, b.client, id, 0); err != nil {
							t.Fatal(err)
						}
						wait(b, first)
					}
				}
				started, existing, refused := race(id, policy)
				free := taken == "" || taken == "ended" && len(policy.Replace) > 0
				want := [3]int{0, 0, starters}
				switch {
				case name == "replace all":
					want = [3]int{starters, 0, 0}
				case policy.Existing && free:
					want = [3]int{1, starters - 1, 0}
				case policy.Existing:
					want = [3]int{0, starters, 0}
				case free:
					want = [3]int{1, 0, starters - 1}
				}
				if got := [3]int{started, existing, refused}; got != want {
					t.Errorf("%s: started, existing, refused: %v, want %v", id, got, want)
				}
				// The one that is left works.
				if err := Finish.Raise(b.ctx, b.client, id, 0); err != nil {
					if free || taken == "live" || name == "replace all" {
						t.Errorf("%s: %v", id, err)
					}
					continue
				}
				wait(b, Numbered.Instance(b.client, id))
			}
		}
	}
	b.atRest()
	if n := b.count("SELECT count(*) FROM weir.history h WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = h.instance_no)"); n > 0 {
		t.Errorf("%d history rows belong to nobody", n)
	}
}

// TestReplaceALiveChild: the parent hears once that its child was terminated, what the child ran is told to stop, and
// who waits for the id waits for the new one.
func TestReplaceALiveChild(t *testing.T) {
	b := setup(t)
	const (
		parent durable.Orchestration[string, string]        = "parent"
		child  durable.Orchestration[string, string]        = "child"
		slow   durable.Activity[durable.None, durable.None] = "slow"
	)
	running, stopped := make(chan struct{}, 1), make(chan struct{}, 1)
	b.worker(nil,
		parent.Handler(func(ctx *durable.Context, id string) (string, error) {
			_, err := child.Call(ctx, "slow", durable.ID(id))
			var failed *durable.TaskError
			if !errors.As(err, &failed) {
				return "", fmt.Errorf("the child ended with %w", err)
			}
			if _, again, err := Finish.WaitFor(ctx, 20*time.Millisecond); again || err != nil {
				return "", fmt.Errorf("an event: %w", err)
			}
			return string(failed.Code), nil
		}),
		child.Handler(func(ctx *durable.Context, what string) (string, error) {
			if what == "slow" {
				_, err := slow.Call(ctx, durable.None{})
				return "slow", err
			}
			_, err := Finish.Wait(ctx)
			return what, err
		}),
		slow.Handler(func(ctx context.Context, _ durable.None) (durable.None, error) {
			running <- struct{}{}
			<-ctx.Done()
			stopped <- struct{}{}
			return durable.None{}, ctx.Err()
		}),
	)
	p := start(b, parent, "the-child")
	<-running
	waiter := make(chan string, 1)
	go func() {
		out, err := child.Instance(b.client, "the-child").Wait(b.ctx)
		waiter <- fmt.Sprint(out, err)
	}()
	watch, err := child.Instance(b.client, "the-child").Watch(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	start(b, child, "second", durable.ID("the-child"), durable.Reuse{Replace: every})
	if out := wait(b, p); out != "TERMINATED" {
		t.Errorf("the parent heard of %s", out)
	}
	select {
	case <-stopped:
	case <-b.ctx.Done():
		t.Error("the activity of the instance that was replaced was not told to stop")
	}
	if err := Finish.Raise(b.ctx, b.client, "the-child", 0); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-waiter:
		if got != "second<nil>" && got != "second <nil>" {
			t.Errorf("who waited for the id got %s", got)
		}
	case <-b.ctx.Done():
		t.Error("who waited for the id waits for ever")
	}
	for {
		s, err := watch.Next(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Status == "COMPLETED" {
			break
		}
	}
	if n := b.count(`SELECT count(*) FROM weir.history h JOIN weir.instances i ON i.no = h.instance_no
		WHERE i.id = $1 AND convert_from(h.events, 'UTF8') LIKE '%SubOrchestrationInstanceFailed%'`, p.ID()); n != 1 {
		t.Errorf("the parent was told %d times", n)
	}
	b.atRest()
}

// TestStartAt: an instance does not start before its time.
func TestStartAt(t *testing.T) {
	b := setup(t)
	b.worker(nil, Numbered.Handler(func(ctx *durable.Context, n int) (int, error) { return n, nil }))
	at := time.Now().Add(150 * time.Millisecond)
	inst := start(b, Numbered, 7, durable.At(at))
	if out := wait(b, inst); out != 7 {
		t.Errorf("got %d", out)
	}
	if n := b.count("SELECT count(*) FROM weir.instances WHERE id = $1 AND started_at >= $2 AND scheduled_at = $2", inst.ID(), at.Truncate(time.Microsecond)); n != 1 {
		t.Error("it started before its time")
	}
	if out := wait(b, start(b, Numbered, 8, durable.At(time.Now().Add(-time.Hour)))); out != 8 {
		t.Errorf("got %d", out)
	}
}
