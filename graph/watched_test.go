package graph_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weir-dev/weir/engine"
)

type workerRow struct{ ID, Name, State string }

type workerDelta struct {
	Workers struct {
		Seq     int
		Reset   bool
		Upserts []workerRow
		Leaves  []string
	}
}

func TestWorkersComeAndGo(t *testing.T) {
	a := serve(t)
	s := a.connect()
	s.subscribe("1", `subscription { workers(hub: "default") { seq reset upserts { id name state } leaves } }`, nil)
	if f := next[workerDelta](s).Workers; f.Seq != 1 || !f.Reset || len(f.Upserts)+len(f.Leaves) != 0 {
		t.Fatalf("of nobody: %+v", f)
	}
	n, err := a.engine.Join(a.ctx, engine.NodeConfig{Hub: "default", Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.Run() }()
	came := next[workerDelta](s).Workers
	if came.Seq != 2 || came.Reset || len(came.Upserts) != 1 || came.Upserts[0].Name != "one" || came.Upserts[0].State != "ONLINE" || len(came.Leaves) != 0 {
		t.Fatalf("one comes: %+v", came)
	}
	n.Close(a.ctx)
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if left := next[workerDelta](s).Workers; left.Seq != 3 || left.Reset || len(left.Upserts) != 0 || !slices.Equal(left.Leaves, []string{came.Upserts[0].ID}) {
		t.Fatalf("it leaves: %+v", left)
	}

	// The list knows it still.
	page := func(states, rest string) []workerRow {
		return ask[struct{ Workers struct{ Nodes []workerRow } }](a, fmt.Sprintf(`{ workers(hub: "default", states: %s%s) { nodes { id name state } } }`, states, rest), nil).Workers.Nodes
	}
	if got := page("[LEFT, LOST]", ""); len(got) != 1 || got[0].State != "LEFT" || got[0].ID != came.Upserts[0].ID {
		t.Errorf("those that ended: %+v", got)
	}
	if got := page("[ONLINE]", ""); len(got) != 0 {
		t.Errorf("those online: %+v", got)
	}
	for _, bad := range []struct{ query, code string }{
		{`{ workers(hub: "default", first: 201) { nodes { id } } }`, "INVALID_ARGUMENT"},
		{`{ workers(hub: "default", first: -1) { nodes { id } } }`, "INVALID_ARGUMENT"},
		{`{ workers(hub: "default", after: "x") { nodes { id } } }`, "BAD_CURSOR"},
		{`{ workers(hub: "nowhere") { nodes { id } } }`, "NOT_FOUND"},
	} {
		if e := a.refused(bad.query, nil); e.Extensions.Code != bad.code {
			t.Errorf("%s: %+v", bad.query, e)
		}
	}
}

func TestWorkerPages(t *testing.T) {
	a := serve(t)
	for i := range 5 {
		n, err := a.engine.Join(a.ctx, engine.NodeConfig{Hub: "default", Name: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- n.Run() }()
		t.Cleanup(func() {
			n.Close(t.Context())
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
	type page struct {
		Workers struct {
			Nodes    []workerRow
			PageInfo struct {
				HasNextPage bool
				EndCursor   *string
			}
		}
	}
	var got []string
	var after *string
	for {
		p := ask[page](a, `query($after: String) { workers(hub: "default", first: 2, after: $after) { nodes { id name state } pageInfo { hasNextPage endCursor } } }`, vars{"after": after}).Workers
		for _, w := range p.Nodes {
			got = append(got, w.Name)
		}
		if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
			break
		}
	}
	if !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("got %v", got)
	}
	if e := a.refused(`query($after: String) { workers(hub: "default", states: [LEFT], after: $after) { nodes { id } } }`, vars{"after": after}); e.Extensions.Code != "BAD_CURSOR" {
		t.Errorf("a cursor of another list: %+v", e)
	}
}

func TestOperationStream(t *testing.T) {
	a := serve(t)
	a.worker(nil)
	for i := range 30 {
		a.must(a.start(vars{"name": "unserved", "instanceId": fmt.Sprintf("i-%02d", i)}))
	}
	if _, err := a.engine.StartOperation(a.ctx, engine.OperationRequest{Hub: "default", ID: "all", Kind: engine.OperationTerminate, Reason: "test", PerSecond: 20}); err != nil {
		t.Fatal(err)
	}
	type frame struct {
		BatchOperation struct {
			State string
			Done  string
		}
	}
	s := a.connect()
	const query = `subscription($id: String!) { batchOperation(hub: "default", operationId: $id) { state done } }`
	s.subscribe("1", query, vars{"id": "all"})
	frames := 0
	last := until(s, func(f frame) bool { frames++; return f.BatchOperation.State == "DONE" })
	if last.BatchOperation.Done != "30" || frames < 2 {
		t.Errorf("after %d frames: %+v", frames, last)
	}
	if m := s.read(); m.Type != "complete" {
		t.Errorf("got %s %s", m.Type, m.Payload)
	}
	s.subscribe("2", query, vars{"id": "none"})
	if m := s.read(); m.ID != "2" || m.Type != "error" && m.Type != "next" {
		t.Errorf("got %s %s", m.Type, m.Payload)
	}
}

func TestStatsStream(t *testing.T) {
	a := serve(t)
	type frame struct {
		HubStats struct{ Backlog []struct{ Pending int } }
	}
	const query = `subscription { hubStats(hub: "default", buckets: 1) { backlog { kind pending } } }`
	one, two := a.connect(), a.connect()
	one.subscribe("1", query, nil)
	two.subscribe("1", query, nil)
	for _, s := range []*socket{one, two} {
		if f := next[frame](s).HubStats; len(f.Backlog) != 3 || f.Backlog[0].Pending != 0 {
			t.Errorf("got %+v", f)
		}
	}
	a.must(a.start(vars{"name": "unserved", "instanceId": "waits"}))
	for _, s := range []*socket{one, two} {
		until(s, func(f frame) bool { return f.HubStats.Backlog[0].Pending == 1 })
	}
}
