package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

const (
	Echo   durable.Orchestration[json.RawMessage, json.RawMessage] = "echo"
	Add    durable.Orchestration[int, int]                         = "add"
	Waiter durable.Orchestration[int, []string]                    = "waiter"
	Go     durable.Event[string]                                   = "go"
)

func echo(_ *durable.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }

// waiter waits for so many events.
func waiter(ctx *durable.Context, n int) ([]string, error) {
	var got []string
	for range n {
		s, err := Go.Wait(ctx)
		if err != nil {
			return nil, err
		}
		got = append(got, s)
	}
	return got, nil
}

// userError checks the one error of a payload.
func (a *api) userError(p payload, code, field string, words ...string) {
	a.t.Helper()
	if len(p.Errors) != 1 {
		a.t.Errorf("got %+v, want one error", p)
		return
	}
	e := p.Errors[0]
	want := []string{}
	if field != "" {
		want = []string{"input", field}
	}
	if e.Code != code || !slices.Equal(e.Path, want) || e.Retryable != (code == "UNAVAILABLE") {
		a.t.Errorf("got %+v, want %s at %v", e, code, want)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			a.t.Errorf("the message %q does not say %q", e.Message, w)
		}
	}
}

func TestStart(t *testing.T) {
	a := serve(t)
	a.worker(nil, Echo.Handler(echo), Add.Handler(func(_ *durable.Context, n int) (int, error) { return n + 1, nil }))

	t.Run("ValuesComeBackAsTheyWere", func(t *testing.T) {
		for _, value := range []string{
			`{"n":9007199254740993,"x":1.10,"s":"a\u0000b <&> é 😀","deep":[[[null,true]]]}`, `"text"`, `0`, `[]`, `{}`, `12345678901234567890123`, `"\ud800"`,
		} {
			got := a.ended(a.must(a.start(vars{"name": "echo", "input": json.RawMessage(value)})).InstanceID)
			if got.Status != "COMPLETED" {
				t.Errorf("%s: %+v", value, got)
				continue
			}
			var want, have any
			read := func(s string, into *any) {
				d := json.NewDecoder(strings.NewReader(s))
				d.UseNumber()
				if err := d.Decode(into); err != nil {
					t.Errorf("%s: %v", s, err)
				}
			}
			read(value, &want)
			read(got.Output.Text, &have)
			if fmt.Sprintf("%#v", want) != fmt.Sprintf("%#v", have) {
				t.Errorf("got %s, want %s", got.Output.Text, value)
			}
		}
		// Written into the query itself.
		got := ask[struct{ StartOrchestration payload }](a, `mutation { startOrchestration(input: {hub: "default", name: "echo", input: {b: [1, 2.5, "x"]}}) `+payloadFields+` }`, nil)
		if out := a.ended(a.must(got.StartOrchestration).InstanceID).Output.Text; out != `{"b":[1,2.5,"x"]}` {
			t.Errorf("got %s", out)
		}
	})

	t.Run("NullAndNothing", func(t *testing.T) {
		if got := a.ended(a.must(a.start(vars{"name": "echo", "input": nil})).InstanceID); got.Output == nil || got.Output.Text != "null" {
			t.Errorf("null gives %+v", got)
		}
		// No value is not null: its type's zero value comes to the code, and no input is shown.
		if got := a.ended(a.must(a.start(vars{"name": "add"})).InstanceID); got.Output == nil || got.Output.Text != "1" {
			t.Errorf("nothing gives %+v", got)
		}
	})

	t.Run("AnIDIsTaken", func(t *testing.T) {
		a.must(a.start(vars{"name": "echo", "instanceId": "one", "input": 1}))
		p := a.start(vars{"name": "other", "instanceId": "one", "input": 2})
		a.userError(p, "ALREADY_EXISTS", "instanceId", "one")
		if p.Orchestration == nil || p.Orchestration.Name != "echo" {
			t.Errorf("it does not show the one that has the id: %+v", p.Orchestration)
		}
	})

	t.Run("Reuse", func(t *testing.T) {
		start := func(v vars) (existing bool, p payload) {
			got := ask[struct {
				StartOrchestration struct {
					Existing bool
					payload
				}
			}](a, `mutation($input: StartOrchestrationInput!) { startOrchestration(input: $input) { existing `+payloadFields[1:]+` }`, vars{"input": v})
			return got.StartOrchestration.Existing, got.StartOrchestration.payload
		}
		in := func(reuse vars) vars {
			return vars{"hub": "default", "name": "echo", "instanceId": "reused", "input": 2, "reuse": reuse}
		}
		a.ended(a.must(a.start(vars{"name": "echo", "instanceId": "reused", "input": 1})).InstanceID)
		_, p := start(in(vars{}))
		a.userError(p, "ALREADY_EXISTS", "instanceId")
		existing, p := start(in(vars{"returnExisting": true, "replace": []string{"FAILED"}}))
		if o := a.must(p); !existing || o.Output == nil || o.Output.Text != "1" {
			t.Errorf("existing is %t, %+v", existing, p.Orchestration)
		}
		existing, p = start(in(vars{"replace": []string{"COMPLETED"}}))
		if o := a.ended(a.must(p).InstanceID); existing || o.Output.Text != "2" {
			t.Errorf("existing is %t, %+v", existing, o)
		}
		_, p = start(in(vars{"replace": []string{"RUNNING"}}))
		a.userError(p, "INVALID_ARGUMENT", "reuse", "RUNNING", "TERMINATED")
		_, p = start(vars{"hub": "default", "name": "echo", "reuse": vars{"returnExisting": true}})
		a.userError(p, "INVALID_ARGUMENT", "reuse", "id")
		e := a.refused(`mutation { startOrchestration(input: {hub: "default", name: "echo", instanceId: "x", reuse: {replace: [CONTINUED_AS_NEW]}}) { requestId } }`, nil)
		if e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "CONTINUED_AS_NEW") {
			t.Errorf("got %+v", e)
		}
	})

	t.Run("Refused", func(t *testing.T) {
		const long = 201
		for name, test := range map[string]struct {
			in          vars
			code, field string
			words       []string
		}{
			"unknown hub":        {vars{"hub": "nowhere", "name": "echo"}, "NOT_FOUND", "hub", []string{"nowhere"}},
			"impossible hub":     {vars{"hub": "a\x00b", "name": "echo"}, "NOT_FOUND", "hub", nil},
			"empty id":           {vars{"name": "echo", "instanceId": ""}, "", "", nil}, // one is made up
			"long id":            {vars{"name": "echo", "instanceId": strings.Repeat("x", long)}, "INVALID_ARGUMENT", "instanceId", []string{"201", "200"}},
			"id of an entity":    {vars{"name": "echo", "instanceId": "@x"}, "INVALID_ARGUMENT", "instanceId", []string{"@"}},
			"umlaut in the id":   {vars{"name": "echo", "instanceId": "grün"}, "INVALID_ARGUMENT", "instanceId", []string{"position 3", "ASCII"}},
			"NUL in the id":      {vars{"name": "echo", "instanceId": "a\x00b"}, "INVALID_ARGUMENT", "instanceId", []string{"position 2"}},
			"empty name":         {vars{"name": ""}, "INVALID_ARGUMENT", "name", []string{"empty"}},
			"long name":          {vars{"name": strings.Repeat("é", 81)}, "INVALID_ARGUMENT", "name", []string{"81", "80"}},
			"NUL in the name":    {vars{"name": "a\x00b"}, "INVALID_ARGUMENT", "name", []string{"U+0000"}},
			"long version":       {vars{"name": "echo", "version": strings.Repeat("v", 41)}, "INVALID_ARGUMENT", "version", []string{"41", "40"}},
			"newline in version": {vars{"name": "echo", "version": "1\n2"}, "INVALID_ARGUMENT", "version", []string{"U+000A"}},
			"input too large":    {vars{"name": "echo", "input": strings.Repeat("x", payloadLimit)}, "TOO_LARGE", "input", []string{"1048578", "1048576"}},
		} {
			p := a.start(test.in)
			if test.code == "" {
				a.must(p)
				continue
			}
			t.Run(name, func(*testing.T) { a.userError(p, test.code, test.field, test.words...) })
			if p.Orchestration != nil {
				t.Errorf("%s: there is an instance, %+v", name, p.Orchestration)
			}
		}
	})

	t.Run("TheLimitItself", func(t *testing.T) {
		got := a.ended(a.must(a.start(vars{"name": "echo", "input": strings.Repeat("x", payloadLimit-2)})).InstanceID)
		if got.Status != "COMPLETED" || len(got.Output.Text) != 262144 {
			t.Errorf("%s, %d bytes shown", got.Status, len(got.Output.Text))
		}
	})

	t.Run("InvalidUTF8", func(t *testing.T) {
		got := a.send("{\"query\": \"mutation { startOrchestration(input: {hub: \\\"default\\\", name: \\\"a\xffb\\\"}) { requestId } }\"}", nil)
		if got.Status != http.StatusBadRequest || len(got.Errors) != 1 || !strings.Contains(got.Errors[0].Message, "UTF-8") {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("StartAt", func(t *testing.T) {
		past := a.ended(a.must(a.start(vars{"name": "echo", "startAt": "0001-01-01T00:00:00Z", "input": 1})).InstanceID)
		if past.Status != "COMPLETED" {
			t.Errorf("far in the past: %+v", past)
		}
		future := a.must(a.start(vars{"name": "echo", "startAt": "9999-12-31T23:59:59.999999+00:00", "input": 1}))
		if future.Status != "PENDING" || future.Waiting.Kind != "SCHEDULED" {
			t.Errorf("far in the future: %+v", future)
		}
		soon := time.Now().Add(300 * time.Millisecond).UTC()
		got := a.ended(a.must(a.start(vars{"name": "echo", "startAt": soon.Format(time.RFC3339Nano), "input": 1})).InstanceID)
		if got.FinishedAt.Before(soon.Truncate(time.Microsecond)) {
			t.Errorf("finished at %s, not to be started before %s", got.FinishedAt, soon)
		}
		e := a.refused(`mutation($at: DateTime) { startOrchestration(input: {hub: "default", name: "echo", startAt: $at}) { requestId } }`, vars{"at": "tomorrow"})
		if e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, `"tomorrow"`) || !strings.Contains(e.Message, "2026-01-31T09:00:00Z") ||
			!slices.Contains(e.Path, any("startAt")) {
			t.Errorf("got %+v", e)
		}
	})
}

// TestTags: tags are set at the start and later, shown, and filtered by.
func TestTags(t *testing.T) {
	a := serve(t)
	type tag struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	read := func(id string) (tags []tag) {
		got := ask[struct{ Orchestration struct{ Tags []tag } }](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { tags { key value } } }`, vars{"id": id})
		return got.Orchestration.Tags
	}
	list := func(tags ...tag) (ids []string) {
		got := ask[struct {
			Orchestrations struct {
				Nodes      []struct{ InstanceID string }
				TotalCount struct{ Value int }
			}
		}](a, `query($tags: [TagInput!]) { orchestrations(hub: "default", filter: {tags: $tags}) { nodes { instanceId } totalCount { value } } }`, vars{"tags": tags})
		for _, n := range got.Orchestrations.Nodes {
			ids = append(ids, n.InstanceID)
		}
		if got.Orchestrations.TotalCount.Value != len(ids) {
			t.Errorf("%v: %d are counted, %d listed", tags, got.Orchestrations.TotalCount.Value, len(ids))
		}
		slices.Sort(ids)
		return ids
	}
	set := func(in vars) payload {
		in["hub"] = "default"
		return ask[struct{ SetTags payload }](a, "mutation($input: SetTagsInput!) { setTags(input: $input) "+payloadFields+" }", vars{"input": in}).SetTags
	}
	a.must(a.start(vars{"name": "echo", "instanceId": "one", "tags": []tag{{"b", "1"}, {"a", "ä"}}}))
	a.must(a.start(vars{"name": "echo", "instanceId": "two", "tags": []tag{{"b", "1"}}}))
	a.must(a.start(vars{"name": "echo", "instanceId": "none"}))
	if got := read("one"); !slices.Equal(got, []tag{{"a", "ä"}, {"b", "1"}}) {
		t.Errorf("got %v", got)
	}
	if got := read("none"); got == nil || len(got) > 0 {
		t.Errorf("got %v", got)
	}
	for _, test := range []struct {
		tags []tag
		want []string
	}{
		{[]tag{{"b", "1"}}, []string{"one", "two"}}, {[]tag{{"b", "1"}, {"a", "ä"}}, []string{"one"}}, {[]tag{{"b", "2"}}, nil}, {nil, []string{"none", "one", "two"}},
	} {
		if got := list(test.tags...); !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v", test.tags, got)
		}
	}
	a.must(set(vars{"instanceId": "two", "set": []tag{{"c", ""}}, "remove": []string{"b"}}))
	if got := read("two"); !slices.Equal(got, []tag{{"c", ""}}) {
		t.Errorf("got %v", got)
	}
	a.userError(a.start(vars{"name": "echo", "tags": []tag{{"", "x"}}}), "INVALID_ARGUMENT", "tags", "empty")
	a.userError(a.start(vars{"name": "echo", "tags": []tag{{"x", "1"}, {"x", "2"}}}), "INVALID_ARGUMENT", "tags", "twice")
	a.userError(set(vars{"instanceId": "two", "set": []tag{{strings.Repeat("k", 65), ""}}}), "INVALID_ARGUMENT", "set", "65", "64")
	a.userError(set(vars{"instanceId": "nobody", "set": []tag{{"a", ""}}}), "NOT_FOUND", "instanceId")
	e := a.refused(`{ orchestrations(hub: "default", filter: {tags: [{key: "", value: ""}]}) { nodes { id } } }`, nil)
	if e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "filter.tags") {
		t.Errorf("got %+v", e)
	}
}

// TestPurge: what has ended is deleted, what is live is refused by itself.
func TestPurge(t *testing.T) {
	a := serve(t)
	a.worker(nil, Echo.Handler(echo))
	type purged struct {
		Deleted, RefusedCount int
		Refused               []struct{ InstanceID, Code, Message string }
		Complete              bool
		Errors                []struct {
			Code, Message string
			Path          []string
		}
	}
	purge := func(in vars) purged {
		in["hub"] = "default"
		return ask[struct{ PurgeOrchestrations purged }](a, `mutation($input: PurgeOrchestrationsInput!) { purgeOrchestrations(input: $input) {
			deleted refusedCount refused { instanceId code message } complete errors { code message path } } }`, vars{"input": in}).PurgeOrchestrations
	}
	for _, id := range []string{"a", "b", "c"} {
		a.ended(a.must(a.start(vars{"name": "echo", "instanceId": id, "tags": []vars{{"key": "k", "value": id}}})).InstanceID)
	}
	a.must(a.start(vars{"name": "nobody has it", "instanceId": "live"}))
	got := purge(vars{"instanceIds": []string{"a", "live", "nobody"}})
	if got.Deleted != 1 || got.RefusedCount != 2 || !got.Complete || len(got.Refused) != 2 || got.Refused[1].Code != "FAILED_PRECONDITION" ||
		got.Refused[1].InstanceID != "live" || got.Refused[0].Code != "NOT_FOUND" || !strings.Contains(got.Refused[1].Message, "PENDING") {
		t.Errorf("got %+v", got)
	}
	if got := purge(vars{"filter": vars{"tags": []vars{{"key": "k", "value": "b"}}, "completedTo": "2999-01-01T00:00:00Z"}, "recursive": true}); got.Deleted != 1 || !got.Complete {
		t.Errorf("got %+v", got)
	}
	if got := purge(vars{"filter": vars{"completedTo": "2001-01-01T00:00:00Z"}}); got.Deleted != 0 || !got.Complete {
		t.Errorf("got %+v", got)
	}
	for name, test := range map[string]struct {
		in          vars
		code, field string
	}{
		"neither":       {vars{}, "INVALID_ARGUMENT", "instanceIds"},
		"both":          {vars{"instanceIds": []string{"c"}, "filter": vars{}}, "INVALID_ARGUMENT", "instanceIds"},
		"none":          {vars{"instanceIds": []string{}}, "INVALID_ARGUMENT", "instanceIds"},
		"too many":      {vars{"instanceIds": make([]string, 501)}, "INVALID_ARGUMENT", "instanceIds"},
		"a live status": {vars{"filter": vars{"statuses": []string{"RUNNING"}}}, "INVALID_ARGUMENT", "filter"},
	} {
		got := purge(test.in)
		if len(got.Errors) != 1 || got.Errors[0].Code != test.code || !slices.Equal(got.Errors[0].Path, []string{"input", test.field}) || got.Deleted > 0 || got.Complete {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := ask[struct {
		Orchestrations struct{ Nodes []struct{ InstanceID string } }
	}](a, `{ orchestrations(hub: "default", filter: {completedFrom: "2001-01-01T00:00:00Z"}) { nodes { instanceId } } }`, nil); len(got.Orchestrations.Nodes) != 1 ||
		got.Orchestrations.Nodes[0].InstanceID != "c" {
		t.Errorf("left is %+v", got)
	}
}

func TestRaise(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 3})).InstanceID

	for name, test := range map[string]struct {
		in          vars
		code, field string
		words       []string
	}{
		"unknown instance": {vars{"instanceId": "nobody", "name": "go"}, "NOT_FOUND", "instanceId", []string{"nobody"}},
		"unknown hub":      {vars{"hub": "nowhere", "instanceId": id, "name": "go"}, "NOT_FOUND", "hub", nil},
		"bad id":           {vars{"instanceId": "a\x00", "name": "go"}, "INVALID_ARGUMENT", "instanceId", nil},
		"empty name":       {vars{"instanceId": id, "name": ""}, "INVALID_ARGUMENT", "name", []string{"empty"}},
		"long name":        {vars{"instanceId": id, "name": strings.Repeat("x", 201)}, "INVALID_ARGUMENT", "name", []string{"200"}},
		"long key":         {vars{"instanceId": id, "name": "go", "idempotencyKey": strings.Repeat("x", 201)}, "INVALID_ARGUMENT", "idempotencyKey", []string{"200"}},
		"NUL in the key":   {vars{"instanceId": id, "name": "go", "idempotencyKey": "a\x00"}, "INVALID_ARGUMENT", "idempotencyKey", nil},
		"too large":        {vars{"instanceId": id, "name": "go", "payload": strings.Repeat("x", payloadLimit)}, "TOO_LARGE", "payload", []string{"1048576"}},
	} {
		t.Run(name, func(*testing.T) { a.userError(a.raise(test.in), test.code, test.field, test.words...) })
	}
	// Three events are enough, so that one too many would be seen: the key counts once, and no case is told.
	for _, in := range []vars{
		{"name": "go", "payload": "one", "idempotencyKey": "k"},
		{"name": "go", "payload": "again", "idempotencyKey": "k"},
		{"name": "Go", "payload": "two"},
		{"name": "GO", "payload": "three", "idempotencyKey": "l"},
	} {
		in["instanceId"] = id
		a.must(a.raise(in))
	}
	if got := a.ended(id); got.Output == nil || got.Output.Text != `["one","two","three"]` {
		t.Errorf("got %+v", got.Output)
	}
	p := a.raise(vars{"instanceId": id, "name": "go"})
	a.userError(p, "FAILED_PRECONDITION", "instanceId", "COMPLETED")
	if p.Orchestration == nil || p.Orchestration.Status != "COMPLETED" {
		t.Errorf("it does not show the instance: %+v", p.Orchestration)
	}
}

func TestSuspendAndResume(t *testing.T) {
	a := serve(t)
	a.worker(&durable.Config{IdleRelease: time.Millisecond}, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 1})).InstanceID
	suspend := func(in vars) payload { return a.mutate("suspendOrchestration", "SuspendOrchestrationInput", inHub(in)) }
	resume := func(in vars) payload { return a.mutate("resumeOrchestration", "ResumeOrchestrationInput", inHub(in)) }
	for _, change := range []func(vars) payload{suspend, resume} {
		a.userError(change(vars{"instanceId": "nobody", "reason": "x"}), "NOT_FOUND", "instanceId", "nobody")
		a.userError(change(vars{"hub": "nowhere", "instanceId": id, "reason": "x"}), "NOT_FOUND", "hub", "nowhere")
		a.userError(change(vars{"instanceId": id, "reason": strings.Repeat("x", 2001)}), "INVALID_ARGUMENT", "reason", "2000")
		a.userError(change(vars{"instanceId": id, "reason": "a\x00"}), "INVALID_ARGUMENT", "reason", "U+0000")
	}
	a.userError(suspend(vars{"instanceId": id, "reason": " \t"}), "INVALID_ARGUMENT", "reason", "empty")

	a.must(suspend(vars{"instanceId": id, "reason": "stock-taking"}))
	for a.get(id).Status != "SUSPENDED" { // a worker was at work on it
		select {
		case <-a.ctx.Done():
			t.Fatal("it is never suspended")
		case <-time.After(5 * time.Millisecond):
		}
	}
	actions := func() []string {
		return ask[struct {
			Orchestration struct{ AllowedActions []string }
		}](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { allowedActions } }`,
			vars{"id": id}).Orchestration.AllowedActions
	}
	if got := a.get(id).Waiting; got.Kind != "SUSPENDED" || !strings.Contains(got.Text, "stock-taking") {
		t.Errorf("got %+v", got)
	}
	if got := actions(); !slices.Equal(got, []string{"RAISE_EVENT", "CANCEL", "TERMINATE", "RESUME"}) {
		t.Errorf("allowed are %v", got)
	}
	if got := a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "x"})); got.Status != "SUSPENDED" {
		t.Errorf("an event makes it %s", got.Status)
	}
	a.must(resume(vars{"instanceId": id}))
	if got := a.ended(id); got.Output == nil || got.Output.Text != `["x"]` {
		t.Errorf("got %+v", got)
	}
	if got := actions(); !slices.Equal(got, []string{"RESTART", "REWIND"}) {
		t.Errorf("allowed are %v", got)
	}
	type event struct{ Type, Reason, By *string }
	var got []string
	for _, e := range ask[struct {
		Orchestration struct{ History struct{ Events []event } }
	}](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { history { events {
		type ... on ExecutionSuspended { reason by } ... on ExecutionResumed { reason by } } } } }`, vars{"id": id}).Orchestration.History.Events {
		switch {
		case *e.Type == "ExecutionSuspended" && e.Reason != nil:
			got = append(got, *e.Type+" "+*e.Reason)
		case *e.Type == "ExecutionResumed" && e.Reason == nil && e.By == nil:
			got = append(got, *e.Type)
		}
	}
	if !slices.Equal(got, []string{"ExecutionSuspended stock-taking", "ExecutionResumed"}) {
		t.Errorf("the history has %q", got)
	}
	a.userError(suspend(vars{"instanceId": id, "reason": "late"}), "FAILED_PRECONDITION", "instanceId", "COMPLETED")
	a.userError(resume(vars{"instanceId": id}), "FAILED_PRECONDITION", "instanceId", "COMPLETED")
}

func TestRestart(t *testing.T) {
	a := serve(t)
	a.worker(nil, Echo.Handler(echo))
	restart := func(in vars) payload { return a.mutate("restartOrchestration", "RestartOrchestrationInput", inHub(in)) }
	id := a.must(a.start(vars{"name": "echo", "instanceId": "one", "input": "x"})).InstanceID
	a.ended(id)
	a.userError(restart(vars{"instanceId": "nobody"}), "NOT_FOUND", "instanceId", "nobody")
	a.userError(restart(vars{"hub": "nowhere", "instanceId": id}), "NOT_FOUND", "hub", "nowhere")
	a.userError(restart(vars{"instanceId": id, "newInstanceId": "two"}), "INVALID_ARGUMENT", "newInstanceId", "own place")
	a.userError(restart(vars{"instanceId": id, "asNew": true, "newInstanceId": "@two"}), "INVALID_ARGUMENT", "newInstanceId", "@")
	a.userError(restart(vars{"instanceId": id, "asNew": true, "newInstanceId": "one"}), "ALREADY_EXISTS", "newInstanceId", "one")
	for _, in := range []vars{{}, {"asNew": true}, {"asNew": true, "newInstanceId": "two"}} {
		in["instanceId"] = id
		got := a.must(restart(in))
		if same := in["asNew"] == nil; same != (got.InstanceID == id) || in["newInstanceId"] != nil && got.InstanceID != "two" {
			t.Errorf("%v: it is %s", in, got.InstanceID)
		}
		if got := a.ended(got.InstanceID); got.Status != "COMPLETED" || got.Output.Text != `"x"` {
			t.Errorf("%v: %+v", in, got)
		}
	}
	late := a.must(a.start(vars{"name": "echo", "startAt": time.Now().AddDate(1, 0, 0)})).InstanceID
	a.userError(restart(vars{"instanceId": late}), "FAILED_PRECONDITION", "instanceId", "PENDING")
}

// inHub adds the hub to an input that names none.
func inHub(in vars) vars {
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	return in
}

func TestCancel(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 1})).InstanceID

	a.userError(a.cancel(vars{"instanceId": "nobody", "reason": "x"}), "NOT_FOUND", "instanceId", "nobody")
	a.userError(a.cancel(vars{"hub": "nowhere", "instanceId": id, "reason": "x"}), "NOT_FOUND", "hub", "nowhere")
	a.userError(a.cancel(vars{"instanceId": id, "reason": ""}), "INVALID_ARGUMENT", "reason", "empty")
	a.userError(a.cancel(vars{"instanceId": id, "reason": strings.Repeat("x", 2001)}), "INVALID_ARGUMENT", "reason", "2000")
	a.userError(a.cancel(vars{"instanceId": id, "reason": "a\x00"}), "INVALID_ARGUMENT", "reason", "U+0000")
	a.cancelOnce(id, "enough of it")
	got := a.ended(id)
	if got.Status != "CANCELED" || got.Waiting.Kind != "ENDED" || !strings.Contains(got.Waiting.Text, "enough of it") {
		t.Errorf("got %+v", got)
	}
	a.userError(a.cancel(vars{"instanceId": id, "reason": "twice"}), "FAILED_PRECONDITION", "instanceId", "CANCELED")

	// One that nobody has taken up, and one that is to start in a year.
	for _, in := range []vars{{"name": "unserved"}, {"name": "waiter", "startAt": time.Now().AddDate(1, 0, 0)}} {
		id := a.must(a.start(in)).InstanceID
		if got := a.must(a.cancel(vars{"instanceId": id, "reason": "no"})); got.Status != "CANCELED" {
			t.Errorf("%v: %+v", in, got)
		}
	}
}

func TestTerminate(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 1})).InstanceID

	a.userError(a.terminate(vars{"instanceId": "nobody", "reason": "x"}), "NOT_FOUND", "instanceId", "nobody")
	a.userError(a.terminate(vars{"hub": "nowhere", "instanceId": id, "reason": "x"}), "NOT_FOUND", "hub", "nowhere")
	a.userError(a.terminate(vars{"instanceId": id, "reason": ""}), "INVALID_ARGUMENT", "reason", "empty")
	a.userError(a.terminate(vars{"instanceId": id, "reason": " \t"}), "INVALID_ARGUMENT", "reason", "empty")
	a.userError(a.terminate(vars{"instanceId": id, "reason": strings.Repeat("x", 2001)}), "INVALID_ARGUMENT", "reason", "2000")
	a.userError(a.terminate(vars{"instanceId": id, "reason": "a\x00"}), "INVALID_ARGUMENT", "reason", "U+0000")
	if got := a.get(id); got.FinishedAt != nil {
		t.Fatalf("it has ended: %+v", got)
	}
	got := a.must(a.terminate(vars{"instanceId": id, "reason": "enough of it"}))
	if got.Status != "TERMINATED" || got.FinishedAt == nil || got.Waiting.Kind != "ENDED" || !strings.Contains(got.Waiting.Text, "enough of it") {
		t.Errorf("got %+v", got)
	}
	a.userError(a.terminate(vars{"instanceId": id, "reason": "twice"}), "FAILED_PRECONDITION", "instanceId", "TERMINATED")

	// With its child, or without.
	a.worker(nil, Parent.Handler(func(ctx *durable.Context, n int) (int, error) {
		_, err := Waiter.Call(ctx, n, durable.ID(ctx.ID()+"-child"))
		return n, err
	}))
	for _, recursive := range []bool{false, true} {
		id := a.must(a.start(vars{"name": "parent", "input": 1})).InstanceID
		a.started(id + "-child")
		a.must(a.terminate(vars{"instanceId": id, "reason": "both", "recursive": recursive}))
		if !recursive {
			a.must(a.raise(vars{"instanceId": id + "-child", "name": "go", "payload": "x"}))
		}
		want := map[bool]string{false: "COMPLETED", true: "TERMINATED"}[recursive]
		if got := a.ended(id + "-child"); got.Status != want {
			t.Errorf("recursive %v: the child is %s", recursive, got.Status)
		}
	}

	// One that nobody has taken up, and one that is to start in a year.
	for _, in := range []vars{{"name": "unserved"}, {"name": "waiter", "startAt": time.Now().AddDate(1, 0, 0)}} {
		id := a.must(a.start(in)).InstanceID
		if got := a.must(a.terminate(vars{"instanceId": id, "reason": "no"})); got.Status != "TERMINATED" {
			t.Errorf("%v: %+v", in, got)
		}
	}
}
