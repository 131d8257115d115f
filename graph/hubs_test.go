package graph_test

import (
	"slices"
	"strings"
	"testing"
)

// TestCreateHub: a hub is made once, at once there for everything else, and what cannot be one is refused.
func TestCreateHub(t *testing.T) {
	a := serve(t)
	type userErrors []struct {
		Code string
		Path []string
	}
	create := func(name string) (hub string, errs userErrors) {
		t.Helper()
		got := ask[struct {
			CreateHub struct {
				Hub    *struct{ Name string }
				Errors userErrors
			}
		}](a, `mutation($input: CreateHubInput!) { createHub(input: $input) { hub { name } errors { code message path } requestId } }`, vars{"input": vars{"name": name}}).CreateHub
		if got.Hub != nil {
			hub = got.Hub.Name
		}
		return hub, got.Errors
	}
	if hub, errs := create("orders-2"); hub != "orders-2" || len(errs) != 0 {
		t.Fatalf("got %q, %+v", hub, errs)
	}
	a.must(a.start(vars{"hub": "orders-2", "name": "echo", "instanceId": "one"}))
	for name, test := range map[string]struct{ hub, code string }{
		"a repetition":   {"orders-2", "ALREADY_EXISTS"},
		"default":        {"default", "ALREADY_EXISTS"},
		"nothing":        {"", "INVALID_ARGUMENT"},
		"too short":      {"ab", "INVALID_ARGUMENT"},
		"too long":       {strings.Repeat("a", 46), "INVALID_ARGUMENT"},
		"a digit first":  {"1abc", "INVALID_ARGUMENT"},
		"other letters":  {"ördermäßig", "INVALID_ARGUMENT"},
		"a zero":         {"ab\x00c", "INVALID_ARGUMENT"},
		"another's path": {"a/../b", "INVALID_ARGUMENT"},
	} {
		if hub, errs := create(test.hub); hub != "" || len(errs) != 1 || errs[0].Code != test.code || !slices.Equal(errs[0].Path, []string{"input", "name"}) {
			t.Errorf("%s: %q, %+v", name, hub, errs)
		}
	}
	hubs := ask[struct {
		Hubs struct{ Nodes []struct{ Name string } }
	}](a, `{ hubs { nodes { name } } }`, nil).Hubs.Nodes
	if len(hubs) != 2 {
		t.Errorf("hubs are %v", hubs)
	}
}

// TestChildren: those of an instance, by status and page by page, and no other's.
func TestChildren(t *testing.T) {
	a := serve(t)
	a.fill(70) // every tenth is a child of i-000
	type kids struct {
		TotalCount   struct{ Value int }
		StatusCounts struct{ All, Failed int }
		PageInfo     struct {
			HasNextPage bool
			EndCursor   *string
		}
		Nodes []struct{ InstanceID string }
	}
	read := func(id string, v vars) kids {
		t.Helper()
		v["id"] = id
		return ask[struct{ Orchestration struct{ Children kids } }](a, `query($id: String!, $statuses: [OrchestrationStatus!], $first: Int! = 50, $after: String) {
			orchestration(hub: "default", instanceId: $id) { children(statuses: $statuses, first: $first, after: $after) {
				totalCount { value } statusCounts { all failed } pageInfo { hasNextPage endCursor } nodes { instanceId } } } }`, v).Orchestration.Children
	}
	all := read("i-000", vars{})
	if all.TotalCount.Value != 7 || all.StatusCounts.All != 7 || len(all.Nodes) != 7 || all.PageInfo.HasNextPage {
		t.Fatalf("got %+v", all)
	}
	var paged []string
	for v := (vars{"first": 3}); ; {
		p := read("i-000", v)
		for _, n := range p.Nodes {
			paged = append(paged, n.InstanceID)
		}
		if !p.PageInfo.HasNextPage {
			break
		}
		v["after"] = *p.PageInfo.EndCursor
	}
	for i, n := range all.Nodes {
		if len(paged) != 7 || paged[i] != n.InstanceID || !strings.HasSuffix(n.InstanceID, "9") {
			t.Fatalf("pages give %v, at once %v", paged, all.Nodes)
		}
	}
	if failed := read("i-000", vars{"statuses": []string{"FAILED"}}); len(failed.Nodes) != all.StatusCounts.Failed || len(failed.Nodes) == 0 {
		t.Errorf("failed are %+v, of %+v", failed, all.StatusCounts)
	}
	if none := read("i-001", vars{}); none.TotalCount.Value != 0 || len(none.Nodes) != 0 {
		t.Errorf("a childless one has %+v", none)
	}
	const more = `query($id: String!, $first: Int!, $after: String) {
		orchestration(hub: "default", instanceId: $id) { children(first: $first, after: $after) { nodes { instanceId } } } }`
	// The bounds are those of every list.
	for _, first := range []int{-1, 201} {
		if e := a.refused(more, vars{"id": "i-000", "first": first}); e.Extensions.Code != "INVALID_ARGUMENT" {
			t.Errorf("first: %d: %+v", first, e)
		}
	}
	// A cursor is of one list: of another instance's children it is refused.
	if e := a.refused(more, vars{"id": "i-001", "first": 1, "after": read("i-000", vars{"first": 1}).PageInfo.EndCursor}); e.Extensions.Code != "BAD_CURSOR" {
		t.Errorf("another's cursor: %+v", e)
	}
}
