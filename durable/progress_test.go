package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

const (
	Narrate durable.Orchestration[int, int] = "narrate"
	Tell    durable.Activity[int, int]      = "tell"
)

// said reads records as text: seq, generation, and for an activity its name and attempt; then the value.
func said(b *bundle, records func(func(*durable.ProgressRecord, error) bool)) []string {
	b.t.Helper()
	var out []string
	for p, err := range records {
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, text(b, p))
	}
	return out
}

func text(b *bundle, p *durable.ProgressRecord) string {
	b.t.Helper()
	var v string
	if err := p.Decode(b.ctx, &v); err != nil {
		b.t.Fatal(err)
	}
	who := ""
	if p.TaskID >= 0 {
		who = fmt.Sprintf("%s %d:%d ", p.Name, p.TaskID, p.Attempt)
	}
	return fmt.Sprintf("%d/%d %s%s", p.Seq, p.Generation, who, v)
}

// TestProgress: what orchestrations and activities say is there in order, over generations, attempts, sizes and replays,
// until the instance is purged.
func TestProgress(t *testing.T) {
	b := setup(t)
	large := strings.Repeat("x", 1<<20)
	narrate := Narrate.Handler(func(ctx *durable.Context, left int) (int, error) {
		if err := durable.Progress(ctx, "begins"); err != nil {
			return 0, err
		}
		if _, err := Tell.Call(ctx, left, durable.Retry{Attempts: 2, Initial: time.Millisecond}); err != nil {
			return 0, err
		}
		if err := Approved.Send(ctx, "other", true); err != nil {
			return 0, err
		}
		if _, err := durable.Step(ctx, "look", func(ctx context.Context) (int, error) { return 0, durable.Progress(ctx, "looks") }); err != nil {
			return 0, err
		}
		_ = durable.Progress(ctx, large)
		if _, err := Item.Wait(ctx); err != nil {
			return 0, err
		}
		_ = durable.Progress(ctx, "ends")
		if left > 0 {
			return Narrate.ContinueAsNew(ctx, left-1)
		}
		return 7, nil
	})
	tell := Tell.Handler(func(ctx context.Context, n int) (int, error) {
		if err := durable.Progress(ctx, "tells"); err != nil {
			return 0, err
		}
		if info, _ := durable.Task(ctx); info.Attempt == 1 {
			return 0, errors.New("again")
		}
		return n, durable.Progress(ctx, large)
	})
	stop := b.worker(nil, narrate, tell)
	inst := start(b, Narrate, 1)
	generation := func(seq, gen int) []string {
		return []string{
			fmt.Sprintf("%d/%d begins", seq, gen),
			fmt.Sprintf("%d/%d tell 0:1 tells", seq+1, gen), fmt.Sprintf("%d/%d tell 0:2 tells", seq+2, gen), fmt.Sprintf("%d/%d tell 0:2 %s", seq+3, gen, large),
			fmt.Sprintf("%d/%d look 2:1 looks", seq+4, gen), fmt.Sprintf("%d/%d %s", seq+5, gen, large), fmt.Sprintf("%d/%d ends", seq+6, gen),
		}
	}
	want := slices.Concat(generation(1, 0), generation(8, 1))
	b.until("it has said what it says before the event", func() bool { return b.count("SELECT count(*) FROM weir.progress") == 6 })
	if got := said(b, inst.Progress(b.ctx, 0)); !slices.Equal(got, want[:6]) {
		t.Errorf("before the event: %.400q", got)
	}
	stop()
	b.worker(nil, narrate, tell) // replays it
	raise(b, Item, inst.ID(), "")
	b.until("it has said that in the next generation", func() bool { return b.count("SELECT count(*) FROM weir.progress") == 13 })
	raise(b, Item, inst.ID(), "")
	wait(b, inst)
	for after := range len(want) {
		if got := said(b, inst.Progress(b.ctx, int64(after))); !slices.Equal(got, want[after:]) {
			t.Fatalf("after %d: %.400q", after, got)
		}
	}
	if got := said(b, inst.WatchProgress(b.ctx, 0)); !slices.Equal(got, want) {
		t.Errorf("watched: %.400q", got)
	}
	for p, err := range inst.Progress(b.ctx, 3) {
		if err != nil || p.Seq != 4 {
			t.Errorf("after 3 comes %+v, %v", p, err)
		}
		break
	}
	if got, err := b.client.Purge(b.ctx, durable.Purge{IDs: []string{inst.ID()}}); err != nil || got.Deleted != 1 {
		t.Fatalf("purge: %+v, %v", got, err)
	}
	for _, table := range []string{"progress", "payloads"} {
		if n := b.count("SELECT count(*) FROM weir." + table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	for _, err := range inst.Progress(b.ctx, 0) {
		if !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("of a purged instance: %v", err)
		}
	}
	b.atRest()
}

// TestProgressOnce: connections and whole workers die while instances work. What orchestrations say is there once and in
// order, what activities say at least once.
func TestProgressOnce(t *testing.T) {
	b := setup(t)
	const instances, steps = 8, 30
	narrate := Narrate.Handler(func(ctx *durable.Context, _ int) (int, error) {
		for n := range steps {
			_ = durable.Progress(ctx, fmt.Sprint(n))
			if _, err := Tell.Call(ctx, n); err != nil {
				return 0, err
			}
		}
		_ = durable.Progress(ctx, "ends")
		return 0, nil
	})
	tell := Tell.Handler(func(ctx context.Context, n int) (int, error) {
		return n, durable.Progress(ctx, fmt.Sprint("activity ", n))
	}, durable.Retry{Attempts: 1000, Initial: time.Millisecond})
	for range 2 {
		b.worker(nil, narrate, tell)
	}
	var running []*durable.Instance[int]
	for range instances {
		running = append(running, start(b, Narrate, 0))
	}
	for kills := 1; kills <= 4; kills++ { // whenever a part is done: all lanes, or a worker as a whole
		b.until("a part is done", func() bool {
			return b.count("SELECT count(*) FROM weir.progress") > kills*instances*steps*2/6
		})
		what := "application_name = 'weir lane'"
		if kills%2 == 0 {
			what = "application_name = 'weir worker'"
		}
		b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND " + what)
	}
	for _, inst := range running {
		wait(b, inst)
		var own []string
		told := map[string]bool{}
		last := int64(0)
		for p, err := range inst.Progress(b.ctx, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if p.Seq != last+1 {
				t.Errorf("after %d comes %d", last, p.Seq)
			}
			last = p.Seq
			var v string
			if err := p.Decode(b.ctx, &v); err != nil {
				t.Fatal(err)
			}
			if p.TaskID < 0 {
				own = append(own, v)
			} else {
				told[v] = true
			}
		}
		var want []string
		for n := range steps {
			want = append(want, fmt.Sprint(n))
			if !told[fmt.Sprint("activity ", n)] {
				t.Errorf("activity %d has said nothing", n)
			}
		}
		if want = append(want, "ends"); !slices.Equal(own, want) {
			t.Errorf("got %v", own)
		}
	}
}

// TestWatchProgressSlowly: one who reads slowly, and whose notifications are lost meanwhile, misses nothing.
func TestWatchProgressSlowly(t *testing.T) {
	b := setup(t)
	const records = 450 // of more than one page
	b.worker(nil, Narrate.Handler(func(ctx *durable.Context, _ int) (int, error) {
		for n := range records - 1 {
			_ = durable.Progress(ctx, fmt.Sprint(n+2))
		}
		if _, err := Item.Wait(ctx); err != nil {
			return 0, err
		}
		return Tell.Call(ctx, 0)
	}), Tell.Handler(func(ctx context.Context, _ int) (int, error) { return 0, durable.Progress(ctx, "last") }))
	inst := start(b, Narrate, 0)
	n := 0
	for p, err := range inst.WatchProgress(b.ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if p.Seq != int64(n) {
			t.Fatalf("record %d comes as %d", p.Seq, n)
		}
		if n == 1 {
			b.until("the feed's connection is ended", func() bool {
				return b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'weir feed' AND datname = current_database()") > 0
			})
			raise(b, Item, inst.ID(), "")
			wait(b, inst)
		}
	}
	if n != records {
		t.Errorf("%d records came", n)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	live := start(b, Narrate, 0)
	n = 0
	for _, err := range live.WatchProgress(ctx, 0) {
		if n++; n == records-1 {
			cancel()
		}
		if n == records && !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
	if n != records {
		t.Errorf("after %d records the watch has ended", n)
	}
}

// TestProgressRefused: what cannot be appended is said, or holds the turn.
func TestProgressRefused(t *testing.T) {
	b := setup(t)
	if err := durable.Progress(b.ctx, 1); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("outside of an activity: %v", err)
	}
	var size atomic.Int64
	size.Store(2000)
	runs, late := make(chan struct{}), make(chan error, 1)
	b.worker(&durable.Config{PayloadLimit: 1000}, Narrate.Handler(func(ctx *durable.Context, n int) (int, error) {
		if n == 1 {
			return Tell.Call(ctx, 0)
		}
		_ = durable.Progress(ctx, strings.Repeat("x", int(size.Load())))
		return 0, nil
	}), Tell.Handler(func(ctx context.Context, n int) (int, error) {
		if err := durable.Progress(ctx, strings.Repeat("x", 2000)); !errors.Is(err, durable.ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if err := durable.Progress(ctx, func() {}); err == nil {
			t.Error("a function was taken")
		}
		close(runs)
		<-ctx.Done()
		late <- durable.Progress(ctx, "late")
		return 0, nil
	}))
	held := start(b, Narrate, 0)
	b.until("it is held", func() bool {
		return strings.Contains(status(b, held).Held, "a record of progress has 2002 bytes, the limit is 1000")
	})
	ended := start(b, Narrate, 1)
	select {
	case <-runs:
	case <-b.ctx.Done():
		t.Fatal("the activity does not begin")
	}
	if err := ended.Terminate(b.ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-late:
		if err == nil {
			t.Error("an activity of an instance that has ended was heard")
		}
	case <-b.ctx.Done():
		t.Error("the activity did not hear of the end")
	}
	if n := b.count("SELECT count(*) FROM weir.progress"); n != 0 {
		t.Errorf("there are %d records", n)
	}
}
