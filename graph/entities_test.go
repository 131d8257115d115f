package graph_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

const (
	countUp  durable.Operation[int, int, int]            = "counter/add"
	countBad durable.Operation[int, int, int]            = "counter/fail"
	lockUp   durable.Orchestration[string, durable.None] = "lockUp"
	askUp    durable.Orchestration[string, int]          = "askUp"
	letGo    durable.Event[durable.None]                 = "letGo"
)

func counters() []durable.Handler {
	return []durable.Handler{
		countUp.Handler(func(_ *durable.EntityContext, n *int, by int) (int, error) { *n += by; return *n, nil }),
		countBad.Handler(func(_ *durable.EntityContext, n *int, _ int) (int, error) {
			*n = -1
			return 0, errors.New("no such luck")
		}),
		lockUp.Handler(func(ctx *durable.Context, key string) (durable.None, error) {
			unlock, err := durable.Lock(ctx, countUp.ID(key))
			if err != nil {
				return durable.None{}, err
			}
			defer unlock()
			return letGo.Wait(ctx)
		}),
		askUp.Handler(func(ctx *durable.Context, key string) (int, error) { return countUp.Call(ctx, key, 1) }),
	}
}

type entityNode struct {
	ID, EntityID, Name, Key string
	State                   *struct{ Text string }
	Backlog                 int
	LockedBy                *struct{ InstanceID string }
	AllowedActions          []string
	ModifiedAt              time.Time
}

const entityFields = "{ id entityId name key state { text } backlog lockedBy { instanceId since } allowedActions createdAt modifiedAt held { kind } hub { name } }"

type entityPayload struct {
	payload

	Entity            *entityNode
	Result            *struct{ Text string }
	Failure           *struct{ Message string }
	TimedOut          bool
	Removed, Released int
}

// entityMutation calls a mutation of entities.
func (a *api) entityMutation(field string, in vars) entityPayload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	input, more := strings.ToUpper(field[:1])+field[1:]+"Input", "entity "+entityFields
	switch field {
	case "callEntity":
		more += " result { text } failure { message } timedOut"
	case "cleanEntities":
		more = "removed released"
	}
	return ask[map[string]entityPayload](a, "mutation($input: "+input+"!) { "+field+"(input: $input) { "+more+
		" errors { code message path retryable } requestId } }", vars{"input": in})[field]
}

func (a *api) entity(name, key string) *entityNode {
	a.t.Helper()
	return ask[struct{ Entity *entityNode }](a, "query($n: String!, $k: String!) { entity(hub: \"default\", name: $n, key: $k) "+entityFields+" }",
		vars{"n": name, "k": key}).Entity
}

func TestEntities(t *testing.T) {
	a := serve(t)
	a.worker(nil, counters()...)
	done := a.entityMutation("callEntity", vars{"name": "Counter", "key": "a", "operation": "add", "input": 5})
	if len(done.Errors) > 0 || done.Result == nil || done.Result.Text != "5" || done.Entity == nil || done.Entity.State.Text != "5" || done.Entity.EntityID != "@counter@a" {
		t.Fatalf("called %+v", done)
	}
	failed := a.entityMutation("callEntity", vars{"name": "counter", "key": "a", "operation": "fail", "input": 5})
	if failed.Failure == nil || failed.Failure.Message != "no such luck" || failed.Entity.State.Text != "5" {
		t.Errorf("failed %+v", failed)
	}
	for range 2 {
		if got := a.entityMutation("signalEntity", vars{"name": "counter", "key": "b", "operation": "add", "input": 1, "idempotencyKey": "k"}); len(got.Errors) > 0 {
			t.Errorf("signaled %+v", got)
		}
	}
	if got := a.entityMutation("callEntity", vars{"name": "counter", "key": "b", "operation": "add", "input": 1}); got.Result == nil || got.Result.Text != "2" {
		t.Errorf("called %+v, want 2", got)
	}
	late := a.entityMutation("signalEntity", vars{"name": "counter", "key": "c", "operation": "add", "input": 1, "at": "2099-01-01T00:00:00Z"})
	if len(late.Errors) > 0 {
		t.Errorf("signaled %+v", late)
	}

	t.Run("Pages", func(t *testing.T) {
		type page struct {
			Entities struct {
				Edges    []struct{ Node entityNode }
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		const query = "query($f: EntityFilter, $after: String) { entities(hub: \"default\", filter: $f, first: 2, after: $after) { edges { cursor node " + entityFields +
			" } nodes { key } pageInfo { hasNextPage endCursor } } }"
		var keys []string
		in := vars{"f": vars{"name": "COUNTER"}}
		for {
			got := ask[page](a, query, in).Entities
			for _, e := range got.Edges {
				keys = append(keys, e.Node.Key)
			}
			if !got.PageInfo.HasNextPage {
				break
			}
			in["after"] = got.PageInfo.EndCursor
		}
		if !slices.Equal(keys, []string{"a", "b", "c"}) {
			t.Errorf("got %q", keys)
		}
		if got := ask[page](a, query, vars{"f": vars{"name": "counter", "keyPrefix": "b"}}).Entities; len(got.Edges) != 1 || got.Edges[0].Node.Key != "b" {
			t.Errorf("got %+v", got)
		}
		if got := ask[page](a, query, vars{"f": vars{"locked": true}}).Entities; len(got.Edges) != 0 {
			t.Errorf("got %+v", got)
		}
		type one struct{ Node *struct{ EntityID string } }
		if got := ask[one](a, "query($id: ID!) { node(id: $id) { ... on Entity { entityId } } }", vars{"id": done.Entity.ID}); got.Node == nil || got.Node.EntityID != "@counter@a" {
			t.Errorf("node %+v", got)
		}
		type list struct {
			Orchestrations struct{ Nodes []struct{ InstanceID string } }
		}
		if got := ask[list](a, "{ orchestrations(hub: \"default\", first: 10) { nodes { instanceId } } }", nil); len(got.Orchestrations.Nodes) != 0 {
			t.Errorf("entities among the orchestrations: %+v", got)
		}
	})

	t.Run("BadInput", func(t *testing.T) {
		for name, c := range map[string]struct {
			field string
			in    vars
			path  string
			code  string
		}{
			"no key":         {"signalEntity", vars{"name": "counter", "key": "", "operation": "add"}, "key", "INVALID_ARGUMENT"},
			"long key":       {"signalEntity", vars{"name": "counter", "key": strings.Repeat("k", 201), "operation": "add"}, "key", "INVALID_ARGUMENT"},
			"name with @":    {"callEntity", vars{"name": "a@b", "key": "k", "operation": "add"}, "name", "INVALID_ARGUMENT"},
			"no operation":   {"callEntity", vars{"name": "counter", "key": "k", "operation": ""}, "operation", "INVALID_ARGUMENT"},
			"too large":      {"signalEntity", vars{"name": "counter", "key": "k", "operation": "add", "input": strings.Repeat("x", payloadLimit+1)}, "input", "TOO_LARGE"},
			"unknown hub":    {"signalEntity", vars{"hub": "nowhere", "name": "counter", "key": "k", "operation": "add"}, "hub", "NOT_FOUND"},
			"not locked":     {"releaseEntityLock", vars{"name": "counter", "key": "a", "reason": "test"}, "key", "FAILED_PRECONDITION"},
			"unknown entity": {"releaseEntityLock", vars{"name": "counter", "key": "nobody", "reason": "test"}, "key", "NOT_FOUND"},
			"without reason": {"releaseEntityLock", vars{"name": "counter", "key": "a", "reason": " "}, "reason", "INVALID_ARGUMENT"},
			"far too late":   {"signalEntity", vars{"name": "counter", "key": "k", "operation": "add", "at": "9999-12-31T23:59:59-12:00"}, "at", "INVALID_ARGUMENT"},
		} {
			got := a.entityMutation(c.field, c.in)
			if len(got.Errors) != 1 || got.Errors[0].Code != c.code || !slices.Equal(got.Errors[0].Path, []string{"input", c.path}) {
				t.Errorf("%s: got %+v, want %s at %s", name, got.Errors, c.code, c.path)
			}
		}
	})

	t.Run("Lock", func(t *testing.T) {
		holder, err := lockUp.Start(a.ctx, a.client, "a", durable.ID("holder"))
		if err != nil {
			t.Fatal(err)
		}
		locked := func() bool {
			e := a.entity("counter", "a")
			return e.LockedBy != nil && e.LockedBy.InstanceID == "holder" && slices.Contains(e.AllowedActions, "RELEASE_LOCK")
		}
		for !locked() {
			if a.ctx.Err() != nil {
				t.Fatal("not locked")
			}
		}
		explained := func(id, want string) { // each is in the entity's inbox before the next comes
			text := ""
			for !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "locked by holder.") {
				if a.ctx.Err() != nil {
					t.Fatalf("%s: %q, want %q", id, text, want)
				}
				text = ask[struct {
					Orchestration struct{ Waiting struct{ Text, Kind string } }
				}](a, "query($id: String!) { orchestration(hub: \"default\", instanceId: $id) { waiting { text kind } } }", vars{"id": id}).Orchestration.Waiting.Text
			}
		}
		backlog := func(n int) {
			for a.ctx.Err() == nil && a.entity("counter", "a").Backlog != n {
			}
		}
		waiting, err := askUp.Start(a.ctx, a.client, "a", durable.ID("waits"))
		if err != nil {
			t.Fatal(err)
		}
		backlog(1)
		explained("waits", "Waits for operation add of @counter@a for")
		second, err := lockUp.Start(a.ctx, a.client, "a", durable.ID("second"))
		if err != nil {
			t.Fatal(err)
		}
		backlog(2)
		explained("second", "Waits for the lock of @counter@a for")
		if got := a.entityMutation("releaseEntityLock", vars{"name": "counter", "key": "a", "reason": "stuck"}); len(got.Errors) > 0 {
			t.Errorf("released %+v", got)
		}
		if n, err := waiting.Wait(a.ctx); err != nil || n != 6 {
			t.Errorf("got %d, error %v", n, err)
		}
		for _, id := range []string{holder.ID(), second.ID()} {
			if err := letGo.Raise(a.ctx, a.client, id, durable.None{}); err != nil {
				t.Error(err)
			}
		}
		if _, err := second.Wait(a.ctx); err != nil {
			t.Error(err)
		}
	})

	if got := a.entityMutation("cleanEntities", vars{}); len(got.Errors) > 0 || got.Removed != 0 {
		t.Errorf("cleaned %+v: there is no empty entity, but for one with a signal to come", got)
	}
}
