package graph_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// bound is a limit as tests read it.
type bound struct {
	Name                     string
	Hub                      struct{ Name string }
	Defined                  bool
	Concurrency, Rate, Burst *int
	Period                   *string
	Holding, Waiting         int
	Holders                  []struct {
		InstanceID         string
		Generation, TaskID int
		Key                *string
		Since              time.Time
	}
	CreatedAt, UpdatedAt *time.Time
}

const boundFields = `{ name hub { name } defined concurrency rate period burst holding waiting holders(first: 5) { instanceId generation taskId key since } createdAt updatedAt }`

// says is a limit in short.
func (b *bound) says() string {
	if b == nil {
		return "none"
	}
	n := func(v *int) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprint(*v)
	}
	period := "-"
	if b.Period != nil {
		period = *b.Period
	}
	return fmt.Sprintf("%s %t %s at once, %s in %s, burst %s", b.Name, b.Defined, n(b.Concurrency), n(b.Rate), period, n(b.Burst))
}

type boundPayload struct {
	payload

	Limit *bound
}

// limit calls a mutation of limits.
func (a *api) limit(field string, in vars) boundPayload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	input := strings.ToUpper(field[:1]) + field[1:] + "Input"
	got := ask[map[string]boundPayload](a, "mutation($input: "+input+"!) { "+field+"(input: $input) { limit "+boundFields+
		" errors { code message path retryable } requestId } }", vars{"input": in})[field]
	if got.RequestID == "" {
		a.t.Errorf("%s has no request id", field)
	}
	return got
}

// put puts a limit, or fails the test.
func (a *api) put(in vars) *bound {
	a.t.Helper()
	got := a.limit("putLimit", in)
	if len(got.Errors) > 0 || got.Limit == nil {
		a.t.Fatalf("got %+v", got)
	}
	return got.Limit
}

func (a *api) bound(name string) *bound {
	a.t.Helper()
	return ask[struct{ Limit *bound }](a, `query($name: String!) { limit(hub: "default", name: $name) `+boundFields+` }`, vars{"name": name}).Limit
}

func TestLimits(t *testing.T) {
	a := serve(t)

	t.Run("PutChangeAndDelete", func(t *testing.T) {
		got := a.put(vars{"name": "mail", "concurrency": 3})
		if s := got.says(); s != "mail true 3 at once, - in -, burst -" || got.Hub.Name != "default" || got.CreatedAt == nil {
			t.Errorf("got %s, %+v", s, got)
		}
		got = a.put(vars{"name": "mail", "rate": 10, "period": "1m"})
		if s := got.says(); s != "mail true - at once, 10 in 1m0s, burst 10" {
			t.Errorf("got %s", s)
		}
		got = a.put(vars{"name": "mail", "concurrency": 1_000_000, "rate": 7, "burst": 2})
		if s := got.says(); s != "mail true 1000000 at once, 7 in 1s, burst 2" || a.bound("mail").says() != s {
			t.Errorf("got %s", s)
		}
		if p := a.limit("deleteLimit", vars{"name": "mail"}); len(p.Errors) > 0 || p.Limit != nil {
			t.Errorf("got %+v", p)
		}
		if got := a.bound("mail"); got != nil {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("Pages", func(t *testing.T) {
		want := []string{"a", "b", "c", "d", "e"}
		for _, name := range want {
			a.put(vars{"name": name, "concurrency": 1})
		}
		type page struct {
			Limits struct {
				Nodes    []struct{ Name string }
				Edges    []struct{ Cursor string }
				PageInfo struct {
					HasNextPage, HasPreviousPage bool
					EndCursor                    *string
				}
			}
		}
		const query = `query($after: String) { limits(hub: "default", first: 2, after: $after) { nodes { name } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }`
		var got []string
		var after *string
		for {
			p := ask[page](a, query, vars{"after": after}).Limits
			for _, n := range p.Nodes {
				got = append(got, n.Name)
			}
			if p.PageInfo.HasPreviousPage != (after != nil) || len(p.Edges) != len(p.Nodes) {
				t.Errorf("got %+v", p)
			}
			if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for query, code := range map[string]string{
			`{ limits(hub: "nowhere") { nodes { name } } }`:                                    "NOT_FOUND",
			`{ limits(hub: "default", first: 201) { nodes { name } } }`:                        "INVALID_ARGUMENT",
			`{ limits(hub: "default", first: -1) { nodes { name } } }`:                         "INVALID_ARGUMENT",
			`{ limits(hub: "default", after: "x") { nodes { name } } }`:                        "BAD_CURSOR",
			`{ limit(hub: "default", name: "a") { holders(first: 0) { key } } }`:               "INVALID_ARGUMENT",
			`{ limit(hub: "default", name: "a") { holders(first: 201) { key } } }`:             "INVALID_ARGUMENT",
			`{ limits(hub: "default", first: 200) { nodes { holders(first: 200) { key } } } }`: "COMPLEXITY_LIMIT_EXCEEDED",
		} {
			if e := a.refused(query, nil); e.Extensions.Code != code {
				t.Errorf("%s: %+v, want %s", query, e, code)
			}
		}
		for _, hub := range []string{"nowhere", "a\x00b"} {
			if got := ask[struct{ Limit *bound }](a, `query($hub: String!) { limit(hub: $hub, name: "a") { name } }`, vars{"hub": hub}).Limit; got != nil {
				t.Errorf("%q has a limit: %+v", hub, got)
			}
		}
	})

	t.Run("Refused", func(t *testing.T) {
		for name, test := range map[string]struct {
			in          vars
			code, field string
			words       []string
		}{
			"unknown hub":         {vars{"hub": "nowhere", "concurrency": 1}, "NOT_FOUND", "hub", []string{"nowhere"}},
			"no name":             {vars{"name": "", "concurrency": 1}, "INVALID_ARGUMENT", "name", []string{"empty"}},
			"long name":           {vars{"name": strings.Repeat("n", 81), "concurrency": 1}, "INVALID_ARGUMENT", "name", []string{"81", "80"}},
			"NUL in the name":     {vars{"name": "a\x00b", "concurrency": 1}, "INVALID_ARGUMENT", "name", []string{"U+0000"}},
			"nothing bound":       {vars{}, "INVALID_ARGUMENT", "concurrency", []string{"rate"}},
			"concurrency 0":       {vars{"concurrency": 0, "rate": 1}, "INVALID_ARGUMENT", "concurrency", []string{"0", "1 to 1000000"}},
			"concurrency below 0": {vars{"concurrency": -1}, "INVALID_ARGUMENT", "concurrency", []string{"-1"}},
			"concurrency too big": {vars{"concurrency": 1_000_001}, "INVALID_ARGUMENT", "concurrency", []string{"1000001", "1000000"}},
			"rate 0":              {vars{"rate": 0, "concurrency": 1}, "INVALID_ARGUMENT", "rate", []string{"0"}},
			"rate too big":        {vars{"rate": 1_000_001}, "INVALID_ARGUMENT", "rate", []string{"1000001"}},
			"burst 0":             {vars{"rate": 1, "burst": 0}, "INVALID_ARGUMENT", "burst", []string{"0"}},
			"burst without rate":  {vars{"concurrency": 1, "burst": 2}, "INVALID_ARGUMENT", "rate", []string{"burst"}},
			"period without rate": {vars{"concurrency": 1, "period": "1s"}, "INVALID_ARGUMENT", "rate", []string{"period"}},
			"no period":           {vars{"rate": 1, "period": "soon"}, "INVALID_ARGUMENT", "period", []string{"soon", "500ms"}},
			"period 0":            {vars{"rate": 1, "period": "0s"}, "INVALID_ARGUMENT", "period", []string{"0s"}},
			"period too short":    {vars{"rate": 1, "period": "1us"}, "INVALID_ARGUMENT", "period", []string{"1ms"}},
			"period too long":     {vars{"rate": 1, "period": "9000h"}, "INVALID_ARGUMENT", "period", []string{"9000h"}},
			"period below 0":      {vars{"rate": 1, "period": "-1s"}, "INVALID_ARGUMENT", "period", []string{"-1s"}},
		} {
			t.Run(name, func(*testing.T) {
				if _, given := test.in["name"]; !given {
					test.in["name"] = "refused"
				}
				p := a.limit("putLimit", test.in)
				a.userError(p.payload, test.code, test.field, test.words...)
				if p.Limit != nil {
					t.Errorf("there is a limit, %+v", p.Limit)
				}
			})
		}
		for name, in := range map[string]vars{"unknown hub": {"hub": "nowhere", "name": "a"}, "unknown": {"name": "nobody"}, "impossible": {"name": "a\x00b"}} {
			field := "name"
			if in["hub"] != nil {
				field = "hub"
			}
			t.Run("delete "+name, func(*testing.T) { a.userError(a.limit("deleteLimit", in).payload, "NOT_FOUND", field) })
		}
	})
}

// TestLimitUse: a limit shows who holds places in it and how many wait; one that nobody has put is listed, and lets the
// calls through once it is put; one that binds calls is not deleted.
func TestLimitUse(t *testing.T) {
	a := serve(t)
	caller := durable.Orchestration[string, int]("caller")
	leave := make(chan struct{})
	a.worker(nil, caller.Handler(func(ctx *durable.Context, key string) (int, error) {
		return Once.Call(ctx, 1, durable.Limit("door"), durable.Key(key))
	}), Once.Handler(func(ctx context.Context, n int) (int, error) {
		select {
		case <-leave:
			return n, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}))
	for _, id := range []string{"one", "two", "three"} {
		a.must(a.start(vars{"name": "caller", "instanceId": id, "input": "k"}))
	}
	a.until("all wait for a limit that nobody has put", func() bool { b := a.bound("door"); return b != nil && b.Waiting == 3 })
	if b := a.bound("door"); b.says() != "door false - at once, - in -, burst -" || b.CreatedAt != nil || len(b.Holders) != 0 {
		t.Errorf("got %+v", b)
	}
	a.put(vars{"name": "door", "concurrency": 1})
	a.until("one is let through", func() bool { b := a.bound("door"); return b.Holding == 1 && b.Waiting == 2 })
	b := a.bound("door")
	if len(b.Holders) != 1 {
		t.Fatalf("got %+v", b)
	}
	if h := b.Holders[0]; !slices.Contains([]string{"one", "two", "three"}, h.InstanceID) || h.Key == nil || *h.Key != "k" || h.TaskID != 0 || h.Generation != 0 || h.Since.IsZero() {
		t.Errorf("got %+v", h)
	}
	p := a.limit("deleteLimit", vars{"name": "door"})
	a.userError(p.payload, "FAILED_PRECONDITION", "name", "3 calls")
	if p.Limit == nil {
		t.Error("it is not shown any more")
	}
	a.put(vars{"name": "door", "concurrency": 2})
	a.until("another is let through", func() bool { b := a.bound("door"); return b.Holding == 2 && b.Waiting == 1 })
	close(leave)
	for _, id := range []string{"one", "two", "three"} {
		if got := a.ended(id); got.Status != "COMPLETED" {
			t.Errorf("got %+v", got)
		}
	}
	a.until("the places are given back", func() bool { b := a.bound("door"); return b.Holding == 0 && b.Waiting == 0 })
	if p := a.limit("deleteLimit", vars{"name": "door"}); len(p.Errors) > 0 || p.Limit != nil {
		t.Errorf("got %+v", p)
	}
}
