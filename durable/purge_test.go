package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
)

// tables reads all rows of all tables, except those that tell of processes and not of instances, as texts.
func (b *bundle) tables() map[string][]string {
	b.t.Helper()
	names, err := b.pool.Query(b.ctx, `SELECT table_schema || '.' || table_name FROM information_schema.tables
		WHERE table_schema IN ('weir', 'river') AND table_type = 'BASE TABLE' AND table_name NOT IN
			('lanes', 'workers', 'watchers', 'river_client', 'river_client_queue', 'river_leader', 'river_queue') ORDER BY 1`)
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string][]string{}
	for _, name := range all {
		rows, err := b.pool.Query(b.ctx, "SELECT left(to_jsonb(t)::text, 500) FROM "+name+" t ORDER BY 1")
		if err != nil {
			b.t.Fatal(err)
		}
		if out[name], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			b.t.Fatal(err)
		}
	}
	return out
}

// TestPurge: what ended leaves nothing behind in any table; what is live stays as it is.
func TestPurge(t *testing.T) {
	b := setup(t)
	const (
		parent durable.Orchestration[int, string]           = "parent"
		child  durable.Orchestration[string, string]        = "child"
		work   durable.Activity[string, string]             = "work"
		never  durable.Activity[durable.None, durable.None] = "never"
		note   durable.Event[string]                        = "note"
	)
	large := strings.Repeat("x", 100_000)
	b.worker(nil,
		parent.Handler(func(ctx *durable.Context, depth int) (string, error) {
			ctx.SetStatus("at work")
			if depth > 0 {
				if _, err := parent.Call(ctx, depth-1, durable.ID(fmt.Sprintf("%s.%d", ctx.ID(), depth))); err != nil {
					return "", err
				}
			}
			if _, err := child.Call(ctx, large, durable.ID(ctx.ID()+".child")); err != nil {
				return "", err
			}
			return work.Call(ctx, large)
		}),
		child.Handler(func(_ *durable.Context, in string) (string, error) { return in, nil }),
		work.Handler(func(_ context.Context, in string) (string, error) { return in, nil }),
		Numbered.Handler(func(ctx *durable.Context, n int) (int, error) {
			if n == 1 { // ends with a timer, an activity that waits, and messages left
				_ = ctx.Timer(time.Hour)
				_ = never.Go(ctx, durable.None{}, durable.Queue("nobody"))
			}
			_, err := Finish.Wait(ctx)
			return n, err
		}),
	)
	stays := start(b, Numbered, 1, durable.ID("stays"), durable.Tags{"kind": "stays"})
	if err := note.Raise(b.ctx, b.client, "stays", large, durable.Key("k")); err != nil {
		t.Fatal(err)
	}
	b.until("it waits for its activity, too", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE id = 'stays' AND waiting IS NOT NULL AND turn_job IS NULL") == 1
	})
	before := b.tables()
	same := func(what string) {
		t.Helper()
		b.until("River's completer has caught up", func() bool {
			return b.count("SELECT count(*) FROM river.river_job WHERE state IN ('running', 'completed')") == 0
		})
		after := b.tables()
		for name, rows := range after {
			if !slices.Equal(rows, before[name]) {
				t.Errorf("%s: %s has\n%s\nbefore:\n%s", what, name, strings.Join(rows, "\n"), strings.Join(before[name], "\n"))
			}
		}
	}
	purge := func(p durable.Purge) durable.Purged {
		t.Helper()
		got, err := b.client.Purge(b.ctx, p)
		if err != nil || !got.Complete {
			t.Fatalf("%+v: %+v, %v", p, got, err)
		}
		return got
	}

	// A tree, with large values everywhere.
	wait(b, start(b, parent, 2, durable.ID("tree"), durable.Tags{"kind": "tree"}))
	if got := purge(durable.Purge{IDs: []string{"tree", "tree"}, Recursive: true}); got.Deleted != 6 || got.RefusedCount != 0 {
		t.Errorf("got %+v", got)
	}
	same("a tree")

	// Terminated in the midst of things, with unread events and their keys.
	start(b, Numbered, 1, durable.ID("cut"), durable.Tags{"kind": "cut"})
	for n := range 3 {
		if err := note.Raise(b.ctx, b.client, "cut", large, durable.Key(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	later := start(b, Numbered, 2, durable.ID("later"), durable.Delay(time.Hour))
	for _, id := range []string{"cut", "later"} {
		got := purge(durable.Purge{IDs: []string{id}})
		if got.Deleted != 0 || got.RefusedCount != 1 || !errors.Is(got.Refused[id], durable.ErrFinished) {
			t.Errorf("a live one: %+v", got)
		}
		if err := Numbered.Instance(b.client, id).Terminate(b.ctx, "enough"); err != nil {
			t.Fatal(err)
		}
	}
	if got := purge(durable.Purge{IDs: []string{"cut", "later", "nobody", "stays"}}); got.Deleted != 2 || got.RefusedCount != 2 ||
		!errors.Is(got.Refused["nobody"], durable.ErrNotFound) || !errors.Is(got.Refused["stays"], durable.ErrFinished) {
		t.Errorf("got %+v", got)
	}
	if _, err := later.State(b.ctx); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	same("terminated ones")

	// By a filter, in parts.
	ids := make(durable.IDs, 250)
	in := make([]string, len(ids))
	for i := range ids {
		ids[i], in[i] = fmt.Sprintf("f-%03d", i), "x"
	}
	many, err := child.StartMany(b.ctx, b.client, in, ids, durable.Tags{"kind": "many"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range many {
		wait(b, i)
	}
	for name, p := range map[string]durable.Purge{
		"another name":   {Name: "parent"},
		"another tag":    {Tags: durable.Tags{"kind": "few"}},
		"another status": {Statuses: []string{"FAILED", "TERMINATED"}},
		"ended later":    {CompletedFrom: time.Now().Add(time.Hour)},
		"ended earlier":  {CompletedTo: time.Now().Add(-time.Hour)},
		"started later":  {CreatedFrom: time.Now().Add(time.Hour)},
	} {
		if got := purge(p); got.Deleted != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	if got, err := b.client.Purge(over, durable.Purge{Name: "child"}); err != nil || got.Complete || got.Deleted > 0 {
		t.Errorf("no time: %+v, %v", got, err)
	}
	got := purge(durable.Purge{Name: "child", Statuses: []string{"COMPLETED"}, Tags: durable.Tags{"kind": "many"}, CompletedTo: time.Now().Add(time.Hour)})
	if got.Deleted != 250 {
		t.Errorf("got %+v", got)
	}
	same("a filter")

	// A tree with a live child is left whole.
	p, c := start(b, Numbered, 2, durable.ID("p")), start(b, Numbered, 2, durable.ID("c"))
	if err := p.Terminate(b.ctx, "to be purged"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(b.ctx, "UPDATE weir.instances c SET parent_no = p.no, parent_gen = 0, parent_task = 0 FROM weir.instances p WHERE c.id = 'c' AND p.id = 'p'"); err != nil {
		t.Fatal(err)
	}
	if got := purge(durable.Purge{IDs: []string{"p"}, Recursive: true}); got.Deleted != 0 || !errors.Is(got.Refused["p"], durable.ErrFinished) {
		t.Errorf("got %+v", got)
	}
	if err := Finish.Raise(b.ctx, b.client, "c", 0); err != nil {
		t.Fatal(err)
	}
	wait(b, c)
	if got := purge(durable.Purge{IDs: []string{"p"}, Recursive: true}); got.Deleted != 2 {
		t.Errorf("got %+v", got)
	}
	same("a live child")

	for name, p := range map[string]durable.Purge{
		"no ids":            {IDs: []string{}},
		"501 ids":           {IDs: make([]string, 501)},
		"a bad id":          {IDs: []string{"ä"}},
		"a live status":     {Statuses: []string{"RUNNING"}},
		"no status":         {Statuses: []string{"?"}},
		"a bad tag":         {Tags: durable.Tags{"": ""}},
		"ids and a filter":  {IDs: []string{"x"}, Name: "child"},
		"a generation's":    {Statuses: []string{"CONTINUED_AS_NEW"}},
		"a name that is no": {Name: strings.Repeat("x", 81)},
	} {
		if got, err := b.client.Purge(b.ctx, p); !errors.Is(err, durable.ErrInvalid) || got.Complete {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	same("bad requests")
	if err := Finish.Raise(b.ctx, b.client, "stays", 0); err != nil {
		t.Fatal(err)
	}
	wait(b, stays)
}

// TestPurgeRaces: purges, starts of the same ids that replace, and events come together; each answer is right, and
// nothing is left.
func TestPurgeRaces(t *testing.T) {
	b := setup(t)
	b.worker(nil, Numbered.Handler(func(_ *durable.Context, n int) (int, error) { return n, nil }))
	const rounds, workers = 20, 8
	done := make(chan error, workers)
	for n := range workers {
		c := b.clients()[n%2]
		go func() {
			for range rounds {
				var err error
				switch n % 4 {
				case 0, 1:
					_, err = Numbered.Start(b.ctx, c, n, durable.ID("raced"), durable.Reuse{Replace: ended, Existing: n%4 == 1})
				case 2:
					_, err = c.Purge(b.ctx, durable.Purge{IDs: []string{"raced"}, Recursive: n == 2})
				case 3:
					err = Finish.Raise(b.ctx, c, "raced", n)
				}
				if err != nil && !errors.Is(err, durable.ErrExists) && !errors.Is(err, durable.ErrNotFound) && !errors.Is(err, durable.ErrFinished) {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	b.until("the last one has ended and is purged", func() bool {
		got, err := b.client.Purge(b.ctx, durable.Purge{IDs: []string{"raced"}})
		return err == nil && (got.Deleted == 1 || errors.Is(got.Refused["raced"], durable.ErrNotFound))
	})
	b.atRest()
	for _, table := range []string{"instances", "history", "event_keys", "payloads", "instance_tags"} {
		if n := b.count("SELECT count(*) FROM weir." + table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}
