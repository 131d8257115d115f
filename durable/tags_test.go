package durable_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// TestTags: tags are on the instance and in its index from its start on, whoever writes it, its code is told them in
// every generation, and they go with it.
func TestTags(t *testing.T) {
	b := setup(t)
	const (
		tagged durable.Orchestration[int, map[string]string] = "tagged"
		going  durable.Event[durable.None]                   = "going"
	)
	b.worker(nil, tagged.Handler(func(ctx *durable.Context, generations int) (map[string]string, error) {
		if _, err := going.Wait(ctx); err != nil {
			return nil, err
		}
		ctx.Tags()["mine"] = "to change"
		if generations > 0 {
			return tagged.ContinueAsNew(ctx, generations-1)
		}
		return ctx.Tags(), nil
	}))
	tags := durable.Tags{"customer": "42", "größe": "XL", "empty": ""}
	index := func(id string) string {
		var rows string
		err := b.pool.QueryRow(b.ctx, `SELECT coalesce(string_agg(t.key || '=' || t.value || '/' || coalesce(t.outcome::text, 'live'), ' ' ORDER BY t.key), '')
			FROM weir.instance_tags t JOIN weir.instances i ON i.no = t.instance_no AND i.hub = t.hub AND i.created_at = t.created_at WHERE i.id = $1`, id).Scan(&rows)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	check := func(id, want string) {
		t.Helper()
		if got := index(id); got != want {
			t.Errorf("%s: the index has %q, want %q", id, got, want)
		}
	}
	const live = "customer=42/live empty=/live größe=XL/live"

	inst := start(b, tagged, 2, durable.ID("one"), tags)
	check("one", live)
	if got := status(b, inst).Tags; !maps.Equal(got, tags) {
		t.Errorf("got %v", got)
	}
	if _, err := tagged.StartMany(b.ctx, b.client, []int{0, 0}, durable.IDs{"m1", "m2"}, tags); err != nil {
		t.Fatal(err)
	}
	check("m1", live)
	check("m2", live)
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	inTx, err := tagged.StartTx(b.ctx, b.client, tx, 0, durable.ID("tx"), tags)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	check("tx", live)

	// Changed while it runs: seen by people, not by its code.
	if _, err := inst.WaitStarted(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := inst.SetTags(b.ctx, durable.Tags{"customer": "43", "urgent": "yes"}, "empty", "unknown"); err != nil {
		t.Fatal(err)
	}
	check("one", "customer=43/live größe=XL/live urgent=yes/live")
	for range 3 {
		if err := going.Raise(b.ctx, b.client, "one", durable.None{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := wait(b, inst); !maps.Equal(got, tags) {
		t.Errorf("its code was told %v", got)
	}
	check("one", "customer=43/1 größe=XL/1 urgent=yes/1")
	if err := inst.SetTags(b.ctx, durable.Tags{"after": "the end"}, "customer", "größe", "urgent"); err != nil {
		t.Fatal(err)
	}
	check("one", "after=the end/1")
	if err := inst.SetTags(b.ctx, nil, "after"); err != nil {
		t.Fatal(err)
	}
	check("one", "")
	if err := inTx.Terminate(b.ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	check("tx", "customer=42/5 empty=/5 größe=XL/5")

	// Replaced: nothing is left of the old one's.
	start(b, tagged, 0, durable.ID("tx"), durable.Tags{"new": "1"}, durable.Reuse{Replace: ended})
	check("tx", "new=1/live")
	if n := b.count("SELECT count(*) FROM weir.instance_tags t WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = t.instance_no)"); n > 0 {
		t.Errorf("%d rows of the index belong to nobody", n)
	}

	t.Run("Limits", func(t *testing.T) {
		full := durable.Tags{}
		for n := range 32 {
			full[fmt.Sprintf("k%d", n)] = strings.Repeat("v", 256)
		}
		inst := start(b, tagged, 0, durable.ID("full"), full)
		more := maps.Clone(full)
		more["k32"] = ""
		for name, bad := range map[string]durable.Tags{
			"33 tags": more, "no key": {"": "x"}, "long key": {strings.Repeat("k", 65): ""}, "long value": {"k": strings.Repeat("v", 257)},
			"invalid UTF-8": {"k": "a\xff"}, "NUL": {"k\x00": ""},
		} {
			if _, err := tagged.Start(b.ctx, b.client, 0, bad); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("start, %s: %v", name, err)
			}
			if err := inst.SetTags(b.ctx, bad); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("set, %s: %v", name, err)
			}
		}
		// As many at once as fit, and not one more.
		if err := inst.SetTags(b.ctx, nil, "k0"); err != nil {
			t.Fatal(err)
		}
		var fits, not int
		var mu sync.Mutex
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				err := tagged.Instance(b.clients()[n%2], "full").SetTags(b.ctx, durable.Tags{fmt.Sprintf("more%d", n): ""})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					fits++
				case errors.Is(err, durable.ErrInvalid):
					not++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if fits != 1 || not != 7 {
			t.Errorf("%d fit, %d did not", fits, not)
		}
		if err := tagged.Instance(b.client, "nobody").SetTags(b.ctx, tags); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// TestRaiseOrStart: of many callers one starts the instance, and it gets the events of all.
func TestRaiseOrStart(t *testing.T) {
	b := setup(t)
	const (
		collect durable.Orchestration[int, int] = "collect"
		item    durable.Event[string]           = "item"
	)
	b.worker(nil, collect.Handler(func(ctx *durable.Context, n int) (int, error) {
		total := 0
		for range n {
			s, err := item.Wait(ctx)
			if err != nil {
				return 0, err
			}
			total += len(s)
		}
		return total, nil
	}))
	const callers, large = 64, 70_000 // some events are stored apart
	for round := range 5 {
		id := fmt.Sprintf("collect-%d", round)
		var mu sync.Mutex
		var all sync.WaitGroup
		var started, want int
		for n := range callers {
			text := "x"
			if n%8 == 0 {
				text = strings.Repeat("x", large)
			}
			want += len(text)
			all.Go(func() {
				existing, err := item.RaiseOrStart(b.ctx, b.clients()[n%2], collect.With(callers, durable.ID(id)), text)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if !existing {
					started++
				}
			})
		}
		all.Wait()
		if got := wait(b, collect.Instance(b.client, id)); started != 1 || got != want {
			t.Errorf("%d started it, and it got %d bytes of %d", started, got, want)
		}
	}

	// One that has ended gives way if that is allowed.
	if _, err := item.RaiseOrStart(b.ctx, b.client, collect.With(1, durable.ID("collect-0")), "y"); !errors.Is(err, durable.ErrExists) {
		t.Errorf("got %v", err)
	}
	existing, err := item.RaiseOrStart(b.ctx, b.client, collect.With(1, durable.ID("collect-0"), durable.Reuse{Replace: ended}), "yy")
	if err != nil || existing {
		t.Errorf("existing %t, %v", existing, err)
	}
	if got := wait(b, collect.Instance(b.client, "collect-0")); got != 2 {
		t.Errorf("got %d", got)
	}
	for name, opts := range map[string][]durable.StartOption{
		"no id":             {},
		"existing":          {durable.ID("x"), durable.Reuse{Existing: true}},
		"a live one's":      {durable.ID("x"), durable.Reuse{Replace: every}},
		"an option's fault": {durable.ID("x"), durable.Reuse{Replace: []string{"?"}}},
		"a bad tag":         {durable.ID("x"), durable.Tags{"": ""}},
	} {
		if _, err := item.RaiseOrStart(b.ctx, b.client, collect.With(1, opts...), ""); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.atRest()
}

// TestWaitStarted: it returns once a worker has begun, and not before; or once it is sure that none will.
func TestWaitStarted(t *testing.T) {
	b := setup(t)
	inst, other := start(b, Numbered, 1), start(b, Numbered, 2)
	short, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := inst.WaitStarted(short); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	states := make(chan durable.State, 2)
	for _, i := range []*durable.Instance[int]{inst, other} {
		go func() {
			s, err := i.WaitStarted(b.ctx)
			if err != nil {
				t.Error(err)
			}
			states <- s
		}()
	}
	if err := other.Terminate(b.ctx, "never began"); err != nil {
		t.Fatal(err)
	}
	if s := <-states; s.Status != "TERMINATED" {
		t.Errorf("got %+v", s)
	}
	b.worker(nil, Numbered.Handler(numbered))
	if s := <-states; s.Status != "RUNNING" {
		t.Errorf("got %+v", s)
	}
	if _, err := Numbered.Instance(b.client, "nobody").WaitStarted(b.ctx); engine.CodeOf(err) != engine.CodeNotFound {
		t.Errorf("got %v", err)
	}
}
