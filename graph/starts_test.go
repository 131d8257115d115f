package graph_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// TestPriority: a start takes a priority, which the instance shows, and the history those that calls are given.
func TestPriority(t *testing.T) {
	a := serve(t)
	family := durable.Orchestration[int, int]("family")
	a.worker(nil, Add.Handler(func(_ *durable.Context, n int) (int, error) { return n + 1, nil }),
		family.Handler(func(ctx *durable.Context, n int) (int, error) {
			if _, err := Once.Call(ctx, n, durable.Priority(4), durable.Limit("mail"), durable.Key("alice")); err != nil {
				return 0, err
			}
			if _, err := Once.Call(ctx, n); err != nil {
				return 0, err
			}
			if _, err := Add.Call(ctx, n, durable.Priority(3), durable.Tags{"b": "2", "a": "1"}, durable.ID("kid")); err != nil {
				return 0, err
			}
			return Add.Call(ctx, n, durable.ID("heir"))
		}), Once.Handler(func(_ context.Context, n int) (int, error) { return n, nil }))
	if err := a.client.PutLimit(a.ctx, "mail", durable.Bounds{Concurrency: 1}); err != nil {
		t.Fatal(err)
	}
	priority := func(id string) int {
		return ask[struct{ Orchestration struct{ Priority int } }](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { priority } }`, vars{"id": id}).Orchestration.Priority
	}
	id := a.must(a.start(vars{"name": "family", "priority": 1, "input": 1})).InstanceID
	if got := a.ended(id); got.Status != "COMPLETED" {
		t.Fatalf("got %+v", got)
	}
	for instance, want := range map[string]int{
		id: 1, "kid": 3, "heir": 1,
		a.must(a.start(vars{"name": "nobody"})).InstanceID:                  2,
		a.must(a.start(vars{"name": "nobody", "priority": nil})).InstanceID: 2,
		a.must(a.start(vars{"name": "nobody", "priority": 4})).InstanceID:   4,
	} {
		if got := priority(instance); got != want {
			t.Errorf("%s has the priority %d, want %d", instance, got, want)
		}
	}
	type event struct {
		Type            string
		Priority        *int
		Limit, LimitKey *string
		Tags            []struct{ Key, Value string }
	}
	events := ask[struct {
		Orchestration struct{ History struct{ Events []event } }
	}](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { history { events { type
		... on TaskScheduled { priority limit limitKey } ... on SubOrchestrationInstanceCreated { priority tags { key value } } } } } }`, vars{"id": id}).Orchestration.History.Events
	var got []string
	for _, e := range events {
		if e.Type == "TaskScheduled" || e.Type == "SubOrchestrationInstanceCreated" {
			line := "-"
			if e.Priority != nil {
				line = fmt.Sprint(*e.Priority)
			}
			for _, s := range []*string{e.Limit, e.LimitKey} {
				if s != nil {
					line += " " + *s
				}
			}
			got = append(got, fmt.Sprint(line, e.Tags))
		}
	}
	if want := []string{"4 mail alice[]", "-[]", "3[{a 1} {b 2}]", "-[]"}; !slices.Equal(got, want) {
		t.Errorf("the history has %q, want %q", got, want)
	}

	for _, wrong := range []int{-1, 0, 5, 1 << 30} {
		p := a.start(vars{"name": "nobody", "priority": wrong})
		a.userError(p, "INVALID_ARGUMENT", "priority", fmt.Sprint(wrong), "1", "4")
		if p.Orchestration != nil {
			t.Errorf("%d: there is an instance, %+v", wrong, p.Orchestration)
		}
	}
	for _, wrong := range []any{1.5, "high", 1 << 40} {
		if e := a.refused(`mutation($p: Int) { startOrchestration(input: {hub: "default", name: "nobody", priority: $p}) { requestId } }`, vars{"p": wrong}); e.Extensions.Code != "INVALID_ARGUMENT" && e.Extensions.Code != "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("%v: %+v", wrong, e)
		}
	}
}

// TestDelay: a start that is delayed is put off by as long as it says, whichever mutation makes it.
func TestDelay(t *testing.T) {
	a := serve(t)
	a.worker(nil, Echo.Handler(echo))
	a.must(a.start(vars{"name": "echo", "instanceId": "start", "delay": "1h30m", "startAt": nil}))
	a.must(a.raiseOrStart(vars{"name": "echo", "instanceId": "raise", "delay": "1h30m"}).payload)
	for _, id := range []string{"start", "raise"} {
		got := ask[struct {
			Orchestration struct{ CreatedAt, ScheduledAt time.Time }
		}](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { createdAt scheduledAt } }`, vars{"id": id}).Orchestration
		if put := got.ScheduledAt.Sub(got.CreatedAt); put < 89*time.Minute || put > 91*time.Minute || a.get(id).Waiting.Kind != "SCHEDULED" {
			t.Errorf("%s is put off by %s", id, put)
		}
	}
	for _, none := range []any{"0s", nil} {
		a.ended(a.must(a.start(vars{"name": "echo", "delay": none})).InstanceID)
	}
	for name, test := range map[string]struct {
		in    vars
		field string
		words []string
	}{
		"no length":         {vars{"delay": "soon"}, "delay", []string{`"soon"`, "1h30m"}},
		"empty":             {vars{"delay": ""}, "delay", []string{`""`, "1h30m"}},
		"without a unit":    {vars{"delay": "10"}, "delay", []string{"90m"}},
		"a NUL":             {vars{"delay": "1s\x00"}, "delay", []string{`\x00`}},
		"negative":          {vars{"delay": "-1s"}, "delay", []string{"-1s", "negative"}},
		"beyond a duration": {vars{"delay": "9999999h"}, "delay", []string{"9999999h"}},
		"with startAt":      {vars{"delay": "1s", "startAt": "2030-01-01T00:00:00Z"}, "delay", []string{"startAt"}},
		"startAt too late":  {vars{"startAt": "9999-12-31T23:59:59-01:00"}, "startAt", []string{"9999"}},
	} {
		t.Run(name, func(*testing.T) {
			maps.Copy(test.in, vars{"hub": "default", "name": "echo", "instanceId": "refused"})
			a.userError(a.start(test.in), "INVALID_ARGUMENT", test.field, test.words...)
			p := a.raiseOrStart(test.in)
			a.userError(p.payload, "INVALID_ARGUMENT", test.field, test.words...)
			if p.Orchestration != nil {
				t.Errorf("there is an instance, %+v", p.Orchestration)
			}
		})
	}
}

type startPayload struct {
	payload

	Existing bool
}

func (a *api) raiseOrStart(in vars) startPayload {
	a.t.Helper()
	for key, v := range (vars{"hub": "default", "name": "waiter", "event": "go"}) {
		if _, given := in[key]; !given {
			in[key] = v
		}
	}
	return ask[struct{ RaiseOrStart startPayload }](a, `mutation($input: RaiseOrStartInput!) { raiseOrStart(input: $input) { existing `+payloadFields[1:]+` }`, vars{"input": in}).RaiseOrStart
}

func TestRaiseOrStart(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))

	t.Run("OneStartsAndAllAreHeard", func(t *testing.T) {
		const callers = 5
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			started int
		)
		for n := range callers {
			wg.Go(func() {
				p := a.raiseOrStart(vars{"instanceId": "crowd", "input": callers, "payload": fmt.Sprint(n), "priority": 3, "tags": []vars{{"key": "k", "value": "v"}}})
				mu.Lock()
				defer mu.Unlock()
				if len(p.Errors) > 0 {
					t.Errorf("got %+v", p.Errors)
				}
				if !p.Existing {
					started++
				}
			})
		}
		wg.Wait()
		got := a.ended("crowd")
		for n := range callers {
			if got.Output == nil || !strings.Contains(got.Output.Text, fmt.Sprintf(`"%d"`, n)) {
				t.Errorf("the event %d is not in %+v", n, got.Output)
			}
		}
		if started != 1 {
			t.Errorf("%d have started it", started)
		}
		has := ask[struct {
			Orchestration struct {
				Priority int
				Tags     []struct{ Key, Value string }
			}
		}](a, `{ orchestration(hub: "default", instanceId: "crowd") { priority tags { key value } } }`, nil).Orchestration
		if has.Priority != 3 || fmt.Sprint(has.Tags) != "[{k v}]" {
			t.Errorf("it has %+v", has)
		}
	})

	t.Run("OneThatHasEnded", func(t *testing.T) {
		once := vars{"instanceId": "again", "input": 1, "payload": "a"}
		a.must(a.raiseOrStart(once).payload)
		a.ended("again")
		p := a.raiseOrStart(once)
		a.userError(p.payload, "ALREADY_EXISTS", "instanceId", "again")
		once["replace"] = []string{"COMPLETED"}
		once["payload"] = "b"
		if p = a.raiseOrStart(once); p.Existing {
			t.Errorf("it says that it is the old one")
		}
		if got := a.ended(a.must(p.payload).InstanceID); got.Output.Text != `["b"]` {
			t.Errorf("got %s", got.Output.Text)
		}
	})

	t.Run("ToStartLater", func(t *testing.T) {
		p := a.raiseOrStart(vars{"instanceId": "later", "version": "2", "startAt": "9999-12-31T00:00:00Z", "payload": "x", "idempotencyKey": "k"})
		if got := a.must(p.payload); got.Waiting.Kind != "SCHEDULED" || p.Existing {
			t.Errorf("got %+v", got)
		}
		if p = a.raiseOrStart(vars{"instanceId": "later", "payload": "x", "idempotencyKey": "k"}); !p.Existing || len(p.Errors) > 0 {
			t.Errorf("got %+v", p)
		}
	})

	t.Run("Refused", func(t *testing.T) {
		for name, test := range map[string]struct {
			in          vars
			code, field string
			words       []string
		}{
			"unknown hub":       {vars{"hub": "nowhere"}, "NOT_FOUND", "hub", []string{"nowhere"}},
			"no id":             {vars{"instanceId": ""}, "INVALID_ARGUMENT", "instanceId", []string{"empty"}},
			"id of an entity":   {vars{"instanceId": "@x"}, "INVALID_ARGUMENT", "instanceId", []string{"@"}},
			"no name":           {vars{"name": ""}, "INVALID_ARGUMENT", "name", []string{"empty"}},
			"no event":          {vars{"event": ""}, "INVALID_ARGUMENT", "event", []string{"empty"}},
			"long event":        {vars{"event": strings.Repeat("e", 201)}, "INVALID_ARGUMENT", "event", []string{"201", "200"}},
			"long key":          {vars{"idempotencyKey": strings.Repeat("k", 201)}, "INVALID_ARGUMENT", "idempotencyKey", []string{"201", "200"}},
			"long version":      {vars{"version": strings.Repeat("v", 41)}, "INVALID_ARGUMENT", "version", []string{"41", "40"}},
			"a tag twice":       {vars{"tags": []vars{{"key": "k", "value": "1"}, {"key": "k", "value": "2"}}}, "INVALID_ARGUMENT", "tags", []string{"twice"}},
			"priority 0":        {vars{"priority": 0}, "INVALID_ARGUMENT", "priority", []string{"1", "4"}},
			"priority 5":        {vars{"priority": 5}, "INVALID_ARGUMENT", "priority", []string{"1", "4"}},
			"replaces live":     {vars{"replace": []string{"RUNNING"}}, "INVALID_ARGUMENT", "replace", []string{"RUNNING"}},
			"input too large":   {vars{"input": strings.Repeat("x", payloadLimit)}, "TOO_LARGE", "input", []string{"1048576"}},
			"payload too large": {vars{"payload": strings.Repeat("x", payloadLimit)}, "TOO_LARGE", "payload", []string{"1048576"}},
		} {
			t.Run(name, func(*testing.T) {
				if _, given := test.in["instanceId"]; !given {
					test.in["instanceId"] = "refused"
				}
				p := a.raiseOrStart(test.in)
				a.userError(p.payload, test.code, test.field, test.words...)
				if p.Orchestration != nil {
					t.Errorf("there is an instance, %+v", p.Orchestration)
				}
			})
		}
		e := a.refused(`mutation { raiseOrStart(input: {hub: "default", instanceId: "x", name: "waiter", event: "go", replace: [CONTINUED_AS_NEW]}) { requestId } }`, nil)
		if e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "CONTINUED_AS_NEW") {
			t.Errorf("got %+v", e)
		}
	})
}
