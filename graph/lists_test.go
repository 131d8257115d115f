package graph_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph"
)

// list is a page of instances.
type list struct {
	Nodes []instance
	Edges []struct {
		Cursor string
		Node   instance
	}
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
	TotalCount struct {
		Value int
		Exact bool
	}
	StatusCounts struct {
		All, Pending, Running, Suspended, Completed, Failed, Canceled, Terminated int
		Exact                                                                     bool
	}
}

const listQuery = `query($hub: String = "default", $filter: OrchestrationFilter, $first: Int, $after: String, $last: Int, $before: String) {
	orchestrations(hub: $hub, filter: $filter, first: $first, after: $after, last: $last, before: $before) {
		nodes { id instanceId name status } edges { cursor node { instanceId } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
		totalCount { value exact } statusCounts { all pending running suspended completed failed canceled terminated exact } } }`

func (a *api) list(v vars) list {
	a.t.Helper()
	got := ask[struct{ Orchestrations list }](a, listQuery, v).Orchestrations
	if len(got.Nodes) != len(got.Edges) {
		a.t.Errorf("%d nodes and %d edges", len(got.Nodes), len(got.Edges))
	}
	return got
}

func (l *list) ids() []string {
	out := make([]string, len(l.Nodes))
	for i, n := range l.Nodes {
		out[i] = n.InstanceID
	}
	return out
}

// fill makes instances i-000, i-001, ... as rows, a second apart, each with one of all statuses in turn: no worker
// is there to change them.
func (a *api) fill(n int) (from time.Time) {
	a.t.Helper()
	from = time.Now().Add(-24 * time.Hour).UTC().Truncate(time.Second)
	_, err := a.pool.Exec(a.ctx, `INSERT INTO weir.instances (no, hub, id, name, status, outcome, parent_no, created_at, updated_at)
		SELECT 1000000 + g, (SELECT no FROM weir.hubs WHERE name = 'default'), 'i-' || lpad(g::text, 3, '0'), 'name' || g % 3, s.status,
			CASE WHEN s.status IN (1, 3, 4, 5) THEN s.status END, CASE WHEN g % 10 = 9 THEN 1000000 END, $2::timestamptz + g * interval '1 second', now()
		FROM generate_series(0, $1 - 1) g, LATERAL (SELECT (ARRAY[0, 1, 3, 4, 5, 6, 7])[g % 7 + 1]::smallint AS status) s`, n, from)
	if err != nil {
		a.t.Fatal(err)
	}
	return from
}

var statuses = []string{"RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "PENDING", "SUSPENDED"}

func TestFilter(t *testing.T) {
	a := serve(t)
	const n = 70
	from := a.fill(n)
	at := func(g int) string { return from.Add(time.Duration(g) * time.Second).Format(time.RFC3339) }
	for name, test := range map[string]struct {
		filter vars
		match  func(g int) bool
	}{
		"nothing":        {nil, func(int) bool { return true }},
		"empty":          {vars{"statuses": []string{}}, func(int) bool { return true }},
		"nulls":          {vars{"statuses": nil, "name": nil, "instanceIdPrefix": nil, "createdFrom": nil, "createdTo": nil, "parentInstanceId": nil}, func(int) bool { return true }},
		"a live status":  {vars{"statuses": []string{"PENDING"}}, func(g int) bool { return g%7 == 5 }},
		"an ended one":   {vars{"statuses": []string{"FAILED"}}, func(g int) bool { return g%7 == 2 }},
		"twice":          {vars{"statuses": []string{"FAILED", "FAILED", "RUNNING", "RUNNING"}}, func(g int) bool { return g%7 == 2 || g%7 == 0 }},
		"all statuses":   {vars{"statuses": statuses}, func(int) bool { return true }},
		"name":           {vars{"name": "name1"}, func(g int) bool { return g%3 == 1 }},
		"unknown name":   {vars{"name": "name"}, func(int) bool { return false }},
		"prefix":         {vars{"instanceIdPrefix": "i-01"}, func(g int) bool { return g/10 == 1 }},
		"empty prefix":   {vars{"instanceIdPrefix": ""}, func(int) bool { return true }},
		"prefix of none": {vars{"instanceIdPrefix": "I-0"}, func(int) bool { return false }},
		"like pattern":   {vars{"instanceIdPrefix": "i-%"}, func(int) bool { return false }},
		"from":           {vars{"createdFrom": at(10)}, func(g int) bool { return g >= 10 }},
		"to":             {vars{"createdTo": at(10)}, func(g int) bool { return g < 10 }},
		"a range":        {vars{"createdFrom": at(5), "createdTo": at(6)}, func(g int) bool { return g == 5 }},
		"no range":       {vars{"createdFrom": at(6), "createdTo": at(5)}, func(int) bool { return false }},
		"roots":          {vars{"rootsOnly": true}, func(g int) bool { return g%10 != 9 }},
		"children":       {vars{"parentInstanceId": "i-000"}, func(g int) bool { return g%10 == 9 }},
		"of a childless": {vars{"parentInstanceId": "i-001"}, func(int) bool { return false }},
		"of nobody":      {vars{"parentInstanceId": "nobody"}, func(int) bool { return false }},
		"all together": {
			vars{"statuses": []string{"COMPLETED", "RUNNING"}, "name": "name0", "instanceIdPrefix": "i-0", "createdFrom": at(20), "createdTo": at(60), "rootsOnly": true},
			func(g int) bool { return g%7 <= 1 && g%3 == 0 && g >= 20 && g < 60 && g%10 != 9 },
		},
		"children by status": {vars{"parentInstanceId": "i-000", "statuses": []string{"FAILED"}}, func(g int) bool { return g%10 == 9 && g%7 == 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			byStatus := map[string]int{}
			for g := n - 1; g >= 0; g-- {
				if test.match(g) {
					want = append(want, fmt.Sprintf("i-%03d", g))
					byStatus[statuses[g%7]]++
				}
			}
			got := a.list(vars{"filter": test.filter, "first": 200})
			if !slices.Equal(got.ids(), want) {
				t.Errorf("got %v, want %v", got.ids(), want)
			}
			if got.TotalCount.Value != len(want) || !got.TotalCount.Exact || got.PageInfo.HasNextPage || got.PageInfo.HasPreviousPage {
				t.Errorf("got %+v %+v for %d", got.TotalCount, got.PageInfo, len(want))
			}
			if test.filter["statuses"] == nil {
				c := got.StatusCounts
				for i, v := range []int{c.Running, c.Completed, c.Failed, c.Canceled, c.Terminated, c.Pending, c.Suspended} {
					if v != byStatus[statuses[i]] {
						t.Errorf("%d are %s, want %d", v, statuses[i], byStatus[statuses[i]])
					}
				}
				if c.All != len(want) {
					t.Errorf("%d in all, want %d", c.All, len(want))
				}
			}
		})
	}
	t.Run("CountsStopAtTheirLimit", func(t *testing.T) {
		got := ask[struct {
			Orchestrations struct {
				Few, All, Exactly struct {
					Value int
					Exact bool
				}
				By struct {
					All   int
					Exact bool
				}
			}
		}](a, `{ orchestrations(hub: "default", first: 0) { few: totalCount(limit: 10) { value exact } all: totalCount(limit: 100000) { value exact }
			exactly: totalCount(limit: 70) { value exact } by: statusCounts(limit: 7) { all exact } } }`, nil).Orchestrations
		if got.Few.Value != 10 || got.Few.Exact || got.All.Value != n || !got.All.Exact || got.Exactly.Value != n || !got.Exactly.Exact || got.By.All != 7 || got.By.Exact {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("Refused", func(t *testing.T) {
		for words, v := range map[string]vars{
			"filter.instanceIdPrefix: has a character at position 2": {"filter": vars{"instanceIdPrefix": "a\x00"}},
			"filter.name: has a control character":                   {"filter": vars{"name": "a\x00"}},
			"filter.name: must not be empty":                         {"filter": vars{"name": ""}},
			"filter.parentInstanceId: must not be empty":             {"filter": vars{"parentInstanceId": ""}},
			"filter.statuses: an instance is never CONTINUED_AS_NEW": {"filter": vars{"statuses": []string{"CONTINUED_AS_NEW"}}},
			"first is 201, allowed are 0 to 200":                     {"first": 201},
			"first is -1, allowed are 0 to 200":                      {"first": -1},
			"last is 201, allowed are 0 to 200":                      {"last": 201},
			"use first with after, or last with before":              {"first": 1, "last": 1},
		} {
			if e := a.refused(listQuery, v); e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, words) {
				t.Errorf("got %+v, want %s", e, words)
			}
		}
		for query, words := range map[string]string{
			`{ orchestrations(hub: "default") { totalCount(limit: 0) { value } } }`:      "limit is 0, allowed are 1 to 100000",
			`{ orchestrations(hub: "default") { statusCounts(limit: 100001) { all } } }`: "limit is 100001, allowed are 1 to 100000",
			`{ hubs(first: 201) { nodes { name } } }`:                                    "first is 201, allowed are 0 to 200",
		} {
			if e := a.refused(query, nil); e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, words) {
				t.Errorf("got %+v, want %s", e, words)
			}
		}
		for _, hub := range []string{"nowhere", "a\x00b", ""} {
			if e := a.refused(listQuery, vars{"hub": hub}); e.Extensions.Code != "NOT_FOUND" {
				t.Errorf("hub %q: %+v", hub, e)
			}
		}
	})
}

func TestPaging(t *testing.T) {
	a := serve(t)
	const n = 23
	a.fill(n)
	var all []string
	for g := n - 1; g >= 0; g-- {
		all = append(all, fmt.Sprintf("i-%03d", g))
	}

	for _, size := range []int{1, 7, 22, 23, 24, 200} {
		var forward []string
		var after *string
		for {
			p := a.list(vars{"first": size, "after": after})
			forward = append(forward, p.ids()...)
			if p.PageInfo.HasPreviousPage != (after != nil) || *p.PageInfo.EndCursor != p.Edges[len(p.Edges)-1].Cursor || *p.PageInfo.StartCursor != p.Edges[0].Cursor {
				t.Errorf("%+v", p.PageInfo)
			}
			if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
				break
			}
		}
		if !slices.Equal(forward, all) {
			t.Errorf("forward by %d: %v", size, forward)
		}
		var backward []string
		var before *string
		for {
			p := a.list(vars{"last": size, "before": before})
			backward = append(p.ids(), backward...)
			if p.PageInfo.HasNextPage != (before != nil) {
				t.Errorf("%+v", p.PageInfo)
			}
			if before = p.PageInfo.StartCursor; !p.PageInfo.HasPreviousPage {
				break
			}
		}
		if !slices.Equal(backward, all) {
			t.Errorf("backward by %d: %v", size, backward)
		}
	}

	t.Run("None", func(t *testing.T) {
		if p := a.list(vars{"first": 0}); len(p.Nodes) != 0 || !p.PageInfo.HasNextPage || p.PageInfo.EndCursor != nil || p.TotalCount.Value != n {
			t.Errorf("got %+v", p)
		}
		if p := a.list(vars{"last": 0}); len(p.Nodes) != 0 || !p.PageInfo.HasPreviousPage {
			t.Errorf("got %+v", p)
		}
	})

	t.Run("AsManyAsByDefault", func(t *testing.T) {
		if p := a.list(nil); len(p.Nodes) != n {
			t.Errorf("%d rows", len(p.Nodes))
		}
	})

	// New instances come first, and pages go on where they were: nothing twice, nothing left out.
	t.Run("WhileOthersStart", func(t *testing.T) {
		var got []string
		var after *string
		for page := 0; ; page++ {
			p := a.list(vars{"first": 5, "after": after})
			got = append(got, p.ids()...)
			a.must(a.start(vars{"name": "new", "instanceId": fmt.Sprintf("new-%d", page)}))
			if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("got %v", got)
		}
		if p := a.list(vars{"first": 5}); p.Nodes[0].InstanceID != "new-4" || p.Nodes[4].InstanceID != "new-0" {
			t.Errorf("the new ones are %v", p.ids())
		}
	})

	t.Run("BadCursors", func(t *testing.T) {
		good := *a.list(vars{"first": 2, "filter": vars{"statuses": []string{"RUNNING", "FAILED"}}}).PageInfo.EndCursor
		// Order, repetition and the offset of times do not make another filter.
		same := vars{"first": 2, "after": good, "filter": vars{"statuses": []string{"FAILED", "RUNNING", "FAILED"}}}
		if p := a.list(same); len(p.Nodes) != 2 {
			t.Errorf("%d rows", len(p.Nodes))
		}
		hubs := ask[struct {
			Hubs struct{ PageInfo struct{ EndCursor string } }
		}](a, "{ hubs { pageInfo { endCursor } } }", nil).Hubs.PageInfo.EndCursor
		for name, v := range map[string]vars{
			"made up":        {"after": "bm90IGEgY3Vyc29y"},
			"not base64":     {"after": "\x00 ä"},
			"empty":          {"after": ""},
			"changed":        {"after": good[:20] + "x" + good[21:]},
			"another filter": {"after": good},
			"backwards":      {"last": 1, "before": good},
			"another list":   {"after": hubs},
		} {
			if e := a.refused(listQuery, v); e.Extensions.Code != "BAD_CURSOR" {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if e := a.refused(`query($c: String) { hubs(after: $c) { nodes { name } } }`, vars{"c": good}); e.Extensions.Code != "BAD_CURSOR" {
			t.Errorf("got %+v", e)
		}
		zone := func(at string) vars { return vars{"createdFrom": at} }
		p := a.list(vars{"first": 1, "filter": zone("2020-01-01T00:00:00Z")})
		if q := a.list(vars{"first": 1, "after": p.PageInfo.EndCursor, "filter": zone("2020-01-01T02:00:00+02:00")}); len(q.Nodes) != 1 {
			t.Errorf("%d rows", len(q.Nodes))
		}
	})

	t.Run("Hubs", func(t *testing.T) {
		for _, name := range []string{"zebra", "Zulu", "beta-2"} {
			if err := a.engine.EnsureHub(a.ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		var after *string
		for {
			p := ask[struct {
				Hubs struct {
					Nodes    []struct{ ID, Name string }
					PageInfo struct {
						HasNextPage bool
						EndCursor   *string
					}
				}
			}](a, `query($after: String) { hubs(first: 1, after: $after) { nodes { id name } pageInfo { hasNextPage endCursor } } }`, vars{"after": after}).Hubs
			got = append(got, p.Nodes[0].Name)
			if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
				break
			}
		}
		want := []string{"Zulu", "beta-2", "default", "zebra"}
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

// counter counts statements.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestStatements: what a page of the list costs does not grow with its rows.
func TestStatements(t *testing.T) {
	var c counter
	a := serve(t, func(_ *graph.Config, p *pgxpool.Config) { p.ConnConfig.Tracer = &c })
	a.fill(60)
	for i := range 60 { // with inputs, some of which are stored by themselves
		req := engine.StartRequest{Hub: "default", Name: "x", ID: fmt.Sprintf("s-%d", i)}
		if _, err := a.engine.Start(a.ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	const page = `query($n: Int) { orchestrations(hub: "default", first: $n, filter: {rootsOnly: false}) { pageInfo { hasNextPage endCursor } totalCount { value exact }
		statusCounts { all running } edges { cursor } nodes { id hub { id name } instanceId executionId name version status generation createdAt startedAt lastEventAt finishedAt
			scheduledAt doingNow held { kind message } customStatus { text size } input { size text } output { size text } failure { type message inner { message } }
			parent { instanceId name } lastSeq firstSeq allowedActions } } }`
	statements := func(n int) int64 {
		before := c.n.Load()
		got := ask[struct{ Orchestrations list }](a, page, vars{"n": n})
		if len(got.Orchestrations.Nodes) != n {
			t.Fatalf("%d rows", len(got.Orchestrations.Nodes))
		}
		return c.n.Load() - before
	}
	statements(1) // the hub is known for a moment from here
	one, many := statements(1), statements(110)
	// The list, two counts, workers, inputs and outputs; and the hub, should its moment have passed.
	if one < 6 || one > 7 || many > one+1 {
		t.Errorf("%d statements for one row, %d for 110", one, many)
	}
}
