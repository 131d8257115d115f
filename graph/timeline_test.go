package graph_test

import (
	"slices"
	"testing"

	"github.com/weir-dev/weir/engine"
)

// TestTimelineAndMessages: what an instance has done as spans, and what it has been sent meanwhile.
func TestTimelineAndMessages(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 2})).InstanceID
	a.until("it waits", func() bool { return a.get(id).Waiting.Kind == "EVENT" })
	a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "x"}))
	type span struct {
		Kind, State, Name, From string
		TaskID                  *int
		To                      *string
	}
	type answer struct {
		Orchestration struct {
			Status   string
			Timeline struct {
				Spans                []span
				Total, Turns, Events int
				Truncated            bool
			}
			PendingMessages []struct {
				Kind  string
				Name  *string
				At    *string
				Held  bool
				Value *struct{ Text string }
			}
		}
	}
	read := func() answer {
		t.Helper()
		return ask[answer](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { status
			timeline { spans { kind state name from to taskId } total turns events truncated } pendingMessages { kind name at held value { text } } } }`, vars{"id": id})
	}
	var got answer
	a.until("the event is taken in", func() bool {
		got = read()
		return slices.ContainsFunc(got.Orchestration.Timeline.Spans, func(s span) bool { return s.Kind == "EVENT" && s.Name == "go" && s.State == "COMPLETED" })
	})
	if line := got.Orchestration.Timeline; line.Total != len(line.Spans) || line.Turns < 2 || line.Events < 4 || line.Truncated || len(got.Orchestration.PendingMessages) != 0 {
		t.Errorf("got %+v", got)
	}

	// Suspended, it takes in nothing, and shows what waits.
	if err := a.engine.Suspend(a.ctx, engine.ControlRequest{Hub: "default", Instance: id, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	a.until("it is suspended", func() bool { return a.get(id).Status == "SUSPENDED" })
	a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "later"}))
	got = read()
	if m := got.Orchestration.PendingMessages; len(m) != 1 || m[0].Kind != "EVENT" || *m[0].Name != "go" || !m[0].Held || m[0].Value.Text != `"later"` || m[0].At == nil {
		t.Errorf("what waits is %+v", m)
	}
	if s := got.Orchestration.Timeline.Spans; s[len(s)-1].Kind != "SUSPENDED" || s[len(s)-1].State != "OPEN" || s[len(s)-1].To != nil {
		t.Errorf("the spans are %+v", s)
	}
	if e := a.refused(`query($id: String!) { orchestration(hub: "default", instanceId: $id) { timeline(maxSpans: 5001) { total } } }`, vars{"id": id}); e.Extensions.Code != "INVALID_ARGUMENT" {
		t.Errorf("got %+v", e)
	}
	if e := a.refused(`query($id: String!) { orchestration(hub: "default", instanceId: $id) { pendingMessages(first: 201) { id } } }`, vars{"id": id}); e.Extensions.Code != "INVALID_ARGUMENT" {
		t.Errorf("got %+v", e)
	}
}
