package durable_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine/archive"
)

// past runs instances of all kinds to their ends: values of all sizes, generations, a failure, a child, tags, progress.
func (b *bundle) past() (handlers []durable.Handler, mended *atomic.Bool) {
	b.t.Helper()
	const declined durable.Failure = "declined"
	mended = &atomic.Bool{}
	large := strings.Repeat("large ", 30_000)
	handlers = []durable.Handler{
		Echo.Handler(func(ctx context.Context, s string) (string, error) {
			if s == "fail" && !mended.Load() {
				return "", fmt.Errorf("card: %w", declined)
			}
			return s, durable.Progress(ctx, s)
		}),
		Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			ctx.SetStatus("at work")
			if s == "wait" {
				return Item.Wait(ctx)
			}
			return Echo.Call(ctx, s)
		}),
		Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			if _, err := Echo.Call(ctx, large+fmt.Sprint(n)); err != nil || n == 0 {
				return n, err
			}
			return Number.ContinueAsNew(ctx, n-1)
		}),
		Caller.Handler(func(ctx *durable.Context, s string) (string, error) { return Text.Call(ctx, s, durable.ID("child")) }),
	}
	stop := b.worker(&durable.Config{Versions: durable.Versions{Match: durable.MatchNone}}, handlers...)
	if got := wait(b, start(b, Text, large, durable.ID("large"), durable.Tags{"customer": "42"}, durable.Version("2"), durable.Priority(1))); got != large {
		b.t.Fatalf("returned %d bytes", len(got))
	}
	wait(b, start(b, Number, 2, durable.ID("generations")))
	wait(b, start(b, Caller, "small", durable.ID("parent")))
	if _, err := start(b, Text, "fail", durable.ID("failed")).Wait(b.ctx); !errors.Is(err, declined) {
		b.t.Fatal(err)
	}
	waits := start(b, Text, "wait", durable.ID("canceled"))
	b.until("it waits", func() bool { return status(b, waits).Status == "RUNNING" && len(status(b, waits).CustomStatus) > 0 })
	if err := waits.Cancel(b.ctx, "never mind"); err != nil {
		b.t.Fatal(err)
	}
	_, _ = waits.Wait(b.ctx)
	live := start(b, Text, "wait", durable.ID("live"))
	b.until("it waits, too", func() bool { return len(status(b, live).CustomStatus) > 0 })
	stop()
	return handlers, mended
}

// read reads a file to its end, with large values numbered from 1 in each instance, so that files of two hubs compare.
func read(t *testing.T, file []byte) (all []*archive.Instance) {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		i, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, renumber(t, i))
	}
}

// renumber gives the large values of an instance the numbers 1, 2, 3.
func renumber(t *testing.T, i *archive.Instance) *archive.Instance {
	t.Helper()
	numbers := map[float64]float64{}
	for n, v := range i.Values {
		numbers[float64(v.ID)] = float64(n + 1)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				if n, ok := e.(float64); ok && (key == "ref" || key == "$ref") {
					v[key] = numbers[n]
				}
				walk(e)
			}
		}
	}
	var doc any
	if err := json.Unmarshal([]byte(asJSON(t, i)), &doc); err != nil {
		t.Fatal(err)
	}
	walk(doc)
	values, _ := doc.(map[string]any)["values"].([]any)
	for _, v := range values {
		v := v.(map[string]any)
		v["id"] = numbers[v["id"].(float64)]
	}
	out := &archive.Instance{}
	if err := json.Unmarshal([]byte(asJSON(t, doc)), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func ids(all []*archive.Instance) []string {
	out := make([]string, len(all))
	for n, i := range all {
		out[n] = i.ID
	}
	return out
}

// other is a client of another hub.
func (b *bundle) other(hub string) *durable.Client {
	b.t.Helper()
	if _, err := b.pool.Exec(b.ctx, "INSERT INTO weir.hubs (name) VALUES ($1)", hub); err != nil {
		b.t.Fatal(err)
	}
	c, err := durable.NewClient(b.pool, durable.Hub(hub))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// TestExportAndImport: what is exported and imported into another hub is exported there just the same. It is listed, read and
// waited for, and what had failed can be rewound there.
func TestExportAndImport(t *testing.T) {
	b := setup(t)
	handlers, mended := b.past()
	var file bytes.Buffer
	if n, err := b.client.Export(b.ctx, durable.Filter{}, &file); n != 6 || err != nil {
		t.Fatalf("exported %d, %v", n, err)
	}
	want := read(t, file.Bytes())
	if got := ids(want); !slices.Equal(got, []string{"large", "generations", "parent", "child", "failed", "canceled"}) {
		t.Fatalf("exported %v", got)
	}
	if g := want[1]; g.Generation != 2 || len(g.Values) == 0 || len(g.Progress) != 3 {
		t.Errorf("the generations are %d, with %d values and %d records", g.Generation, len(g.Values), len(g.Progress))
	}
	c := b.other("elsewhere")
	done, err := c.Import(b.ctx, bytes.NewReader(file.Bytes()), false)
	if err != nil || done.Instances != 6 || done.Skipped != 0 {
		t.Fatalf("imported %+v, %v", done, err)
	}
	var again bytes.Buffer
	if _, err := c.Export(b.ctx, durable.Filter{}, &again); err != nil {
		t.Fatal(err)
	}
	got := read(t, again.Bytes())
	for n, i := range got {
		was, is := asJSON(t, want[n]), asJSON(t, i)
		if was != is {
			at := 0
			for at < min(len(was), len(is)) && was[at] == is[at] {
				at++
			}
			t.Errorf("%s differs at byte %d: %.300s\nwas %.300s", i.ID, at, is[max(at-50, 0):], was[max(at-50, 0):])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d of %d instances came back", len(got), len(want))
	}

	// It is what it was for those who read it.
	out, err := Text.Instance(c, "large").Wait(b.ctx)
	if err != nil || !strings.HasPrefix(out, "large ") {
		t.Errorf("the large one returned %.20q, %v", out, err)
	}
	if n := b.count(`SELECT count(*) FROM weir.instances i JOIN weir.instances p ON p.no = i.parent_no AND p.hub = i.hub JOIN weir.hubs h ON h.no = i.hub
		WHERE h.name = 'elsewhere' AND i.id = 'child' AND p.id = 'parent'`); n != 1 {
		t.Error("the child has lost its parent")
	}
	if n := b.count("SELECT count(*) FROM weir.instance_tags t JOIN weir.hubs h ON h.no = t.hub WHERE h.name = 'elsewhere' AND key = 'customer' AND value = '42'"); n != 1 {
		t.Errorf("found %d by the tag", n)
	}
	if done, err := c.Import(b.ctx, bytes.NewReader(file.Bytes()), true); err != nil || done.Instances != 0 || done.Skipped != 6 {
		t.Errorf("imported again: %+v, %v", done, err)
	}
	if _, err := c.Import(b.ctx, bytes.NewReader(file.Bytes()), false); !errors.Is(err, durable.ErrExists) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("imported again: %v", err)
	}

	// And it can go on there.
	mended.Store(true)
	b.worker(&durable.Config{Hub: "elsewhere"}, handlers...)
	failed := Text.Instance(c, "failed")
	if err := failed.Rewind(b.ctx, "the card is back"); err != nil {
		t.Fatal(err)
	}
	if out, err := failed.Wait(b.ctx); out != "fail" || err != nil {
		t.Errorf("rewound, it returned %q, %v", out, err)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// shelf is a target in memory. before, if set, is called when a file was written and before it is there.
type shelf struct {
	files  map[string][]byte
	before func(name string) error
}

func (s *shelf) Put(_ context.Context, name string, write func(io.Writer) error) error {
	var file bytes.Buffer
	if err := write(&file); err != nil {
		return err
	}
	if s.before != nil {
		if err := s.before(name); err != nil {
			return err
		}
	}
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.files[name] = file.Bytes()
	return nil
}

// TestArchive: what is in a file and has not changed is purged, nothing else; what no file has is there.
func TestArchive(t *testing.T) {
	b := setup(t)
	handlers, mended := b.past()
	left := func() int { return b.count("SELECT count(*) FROM weir.instances") }
	full := errors.New("the disk is full")
	if done, err := b.client.Archive(b.ctx, durable.Filter{}, &shelf{before: func(string) error { return full }}, 0); !errors.Is(err, full) || done.Purged != 0 || left() != 7 {
		t.Fatalf("%+v, %v, and %d of 7 are left", done, err, left())
	}
	// While the second file is written, an instance in it is rewound, and another one is given a tag.
	mended.Store(true)
	half := &shelf{}
	half.before = func(string) error {
		if len(half.files) == 0 {
			return nil
		}
		return errors.Join(
			Text.Instance(b.client, "failed").Rewind(b.ctx, "the card is back"),
			Text.Instance(b.client, "child").SetTags(b.ctx, durable.Tags{"kept": "yes"}))
	}
	done, err := b.client.Archive(b.ctx, durable.Filter{}, half, 3)
	if err != nil || done.Instances != 6 || done.Purged != 4 || done.Changed != 2 || len(done.Files) != 2 || len(half.files) != 2 || left() != 3 {
		t.Fatalf("%+v, %v, and %d are left", done, err, left())
	}
	b.worker(nil, handlers...)
	if out, err := Text.Instance(b.client, "failed").Wait(b.ctx); out != "fail" || err != nil {
		t.Errorf("rewound, it returned %q, %v", out, err)
	}
	third := &shelf{}
	done, err = b.client.Archive(b.ctx, durable.Filter{}, third, 0)
	if err != nil || len(done.Files) != 1 || left() != 1 {
		t.Errorf("%+v, %v, and %d are left", done, err, left())
	}
	if n := b.count(`SELECT (SELECT count(*) FROM weir.history h WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = h.instance_no))
		+ (SELECT count(*) FROM weir.payloads h WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = h.instance_no))
		+ (SELECT count(*) FROM weir.progress h WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = h.instance_no))
		+ (SELECT count(*) FROM weir.instance_tags h WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = h.instance_no))`); n != 0 {
		t.Errorf("%d rows are left of what was purged", n)
	}
	// All files together bring everything back.
	c := b.other("elsewhere")
	for _, s := range []*shelf{half, third} {
		for _, name := range slices.Sorted(maps.Keys(s.files)) {
			if _, err := c.Import(b.ctx, bytes.NewReader(s.files[name]), true); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := b.count("SELECT count(*) FROM weir.instances i JOIN weir.hubs h ON h.no = i.hub WHERE h.name = 'elsewhere'"); n != 6 {
		t.Errorf("%d came back", n)
	}
	if done, err := b.client.Archive(b.ctx, durable.Filter{}, third, 0); err != nil || len(done.Files) != 0 {
		t.Errorf("with nothing to archive: %+v, %v", done, err)
	}
}

// TestArchiveRefused: bad arguments, and files that are not what they should be, of which nothing but what is before the bad
// line is imported.
func TestArchiveRefused(t *testing.T) {
	b := setup(t)
	for name, err := range map[string]error{
		"live":     second(b.client.Export(b.ctx, durable.Filter{Statuses: []string{"RUNNING"}}, io.Discard)),
		"per file": second(b.client.Archive(b.ctx, durable.Filter{}, &shelf{}, -1)),
		"no file":  second(b.client.Import(b.ctx, strings.NewReader("not gzip"), false)),
	} {
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.past()
	var file bytes.Buffer
	if _, err := b.client.Export(b.ctx, durable.Filter{Name: "text"}, &file); err != nil {
		t.Fatal(err)
	}
	good := read(t, file.Bytes())
	c := b.other("elsewhere")
	for name, change := range map[string]func(i *archive.Instance){
		"an id":             func(i *archive.Instance) { i.ID = "a\x00b" },
		"no name":           func(i *archive.Instance) { i.Name = "" },
		"a live status":     func(i *archive.Instance) { i.Status = "RUNNING" },
		"no status":         func(i *archive.Instance) { i.Status = "" },
		"no end":            func(i *archive.Instance) { i.CompletedAt = nil },
		"numbers":           func(i *archive.Instance) { i.FirstSeq = 0 },
		"less history":      func(i *archive.Instance) { i.History = i.History[:1] },
		"more than it says": func(i *archive.Instance) { i.History[0].N++ },
		"no events":         func(i *archive.Instance) { i.History[0].Events = json.RawMessage(`[{"type":"Odd"}]`) },
		"a value is gone":   func(i *archive.Instance) { i.Values = i.Values[:1] },
		"a value twice":     func(i *archive.Instance) { i.Values = append(i.Values, i.Values[0]) },
		"a tag":             func(i *archive.Instance) { i.Tags = map[string]string{"": "x"} },
		"a priority":        func(i *archive.Instance) { i.Priority = 9 },
		"a parent":          func(i *archive.Instance) { i.Parent = &archive.Parent{ID: "@x@y"} },
		"progress":          func(i *archive.Instance) { i.Progress = append(i.Progress, i.Progress[0]) },
		"a failure":         func(i *archive.Instance) { i.Failure = json.RawMessage(`[1]`) },
	} {
		bad := &archive.Instance{}
		if err := json.Unmarshal([]byte(asJSON(t, good[0])), bad); err != nil {
			t.Fatal(err)
		}
		bad.ID = "bad"
		change(bad)
		var out bytes.Buffer
		w, err := archive.NewWriter(&out, archive.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(good[1]), w.Write(bad), w.Close()); err != nil {
			t.Fatal(err)
		}
		done, err := c.Import(b.ctx, &out, true)
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "line 3: ") || done.Instances+done.Skipped != 1 {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	if n := b.count("SELECT count(*) FROM weir.instances i JOIN weir.hubs h ON h.no = i.hub WHERE h.name = 'elsewhere'"); n != 1 {
		t.Errorf("%d instances are there, want the good one", n)
	}
	if n := b.count(`SELECT count(*) FROM weir.payloads p WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = p.instance_no)`); n != 0 {
		t.Errorf("%d values are left of what was refused", n)
	}
}
