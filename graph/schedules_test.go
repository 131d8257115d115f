package graph_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// plan is a schedule as tests read it.
type plan struct {
	ID, ScheduleID, Orchestration, State, Explanation, Overlap, CatchUp, Zone string
	Every, Note, Version, InstanceID, Jitter, LastInstanceID                  *string
	Cron                                                                      []string
	Revision, Runs, Skipped                                                   string
	NextAt, LastAt, StartAt, EndAt                                            *time.Time
	NextFirings, Buffered                                                     []time.Time
	AllowedActions                                                            []string
	Input                                                                     *struct{ Text string }
	StartIfLate                                                               bool
}

const planFields = `{ id scheduleId orchestration state explanation overlap catchUp zone every note version instanceId jitter lastInstanceId cron
	revision runs skipped nextAt lastAt startAt endAt nextFirings(first: 3) buffered allowedActions input { text } startIfLate }`

type planPayload struct {
	payload

	Schedule          *plan
	Started, Existing int
}

// schedule calls a mutation of schedules.
func (a *api) schedule(field string, in vars) planPayload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	more := map[string]string{"runSchedule": "orchestration { id instanceId name status }", "backfillSchedule": "started existing"}[field]
	input := strings.ToUpper(field[:1]) + field[1:] + "Input"
	got := ask[map[string]planPayload](a, "mutation($input: "+input+"!) { "+field+"(input: $input) { schedule "+planFields+" "+more+
		" errors { code message path retryable } requestId } }", vars{"input": in})[field]
	if got.RequestID == "" {
		a.t.Errorf("%s has no request id", field)
	}
	return got
}

func (a *api) good(p planPayload) planPayload {
	a.t.Helper()
	if len(p.Errors) > 0 {
		a.t.Fatalf("got %+v", p.Errors)
	}
	return p
}

func TestSchedules(t *testing.T) {
	a := serve(t)
	a.worker(nil, Echo.Handler(echo))
	from := time.Now().UTC().Truncate(time.Hour).Add(-5 * time.Hour)

	t.Run("Life", func(t *testing.T) {
		made := a.good(a.schedule("putSchedule", vars{
			"scheduleId": "nightly", "orchestration": "echo", "input": vars{"deep": []int{1, 2}}, "cron": []string{"0 2 * * MON-FRI", "0 6 L * *"},
			"zone": "Europe/Berlin", "jitter": "5m", "startAt": from, "endAt": from.AddDate(5, 0, 0), "overlap": "BUFFER_ONE", "catchUp": "1h", "paused": true,
		})).Schedule
		if made == nil || made.State != "PAUSED" || made.Input.Text != `{"deep":[1,2]}` || made.Overlap != "BUFFER_ONE" || made.CatchUp != "1h0m0s" || *made.Jitter != "5m0s" ||
			made.Every != nil || len(made.Cron) != 2 || made.Zone != "Europe/Berlin" || made.Revision != "1" || made.NextAt != nil || len(made.NextFirings) != 3 ||
			!made.StartAt.Equal(from) || made.Explanation != "It is paused." || !slices.Equal(made.AllowedActions, []string{"PUT", "DELETE", "RUN", "PAUSE", "RESUME", "BACKFILL"}) {
			t.Fatalf("made %+v", made)
		}
		active := a.good(a.schedule("resumeSchedule", vars{"scheduleId": "nightly"})).Schedule
		if active.State != "ACTIVE" || !active.NextAt.Equal(made.NextFirings[0]) || !strings.HasPrefix(active.Explanation, "It fires next at ") {
			t.Errorf("resumed %+v", active)
		}
		paused := a.good(a.schedule("pauseSchedule", vars{"scheduleId": "nightly", "note": "holidays"})).Schedule
		if paused.State != "PAUSED" || *paused.Note != "holidays" || !strings.Contains(paused.Explanation, "holidays") || paused.Revision != "3" {
			t.Errorf("paused %+v", paused)
		}
		ran := a.good(a.schedule("runSchedule", vars{"scheduleId": "nightly"}))
		if ran.Orchestration == nil || !strings.HasPrefix(ran.Orchestration.InstanceID, "nightly-20") || ran.Schedule.Runs != "1" {
			t.Fatalf("ran %+v, %+v", ran.Orchestration, ran.Schedule)
		}
		if got := a.ended(ran.Orchestration.InstanceID); got.Output.Text != `{"deep":[1,2]}` {
			t.Errorf("its output is %+v", got.Output)
		}
		id := made.ID
		if node := ask[struct{ Node plan }](a, "query($id: ID!) { node(id: $id) { ... on Schedule "+planFields+" } }", vars{"id": id}).Node; node.ScheduleID != "nightly" ||
			*node.LastInstanceID != ran.Orchestration.InstanceID {
			t.Errorf("by its global id: %+v", node)
		}
		hourly := vars{"scheduleId": "nightly", "orchestration": "echo", "every": "1h", "startAt": from, "ifRevision": "3"}
		if got := a.good(a.schedule("putSchedule", hourly)).Schedule; *got.Every != "1h0m0s" || len(got.Cron) != 0 || got.State != "PAUSED" || got.Input != nil {
			t.Errorf("replaced: %+v", got)
		}
		a.userError(a.schedule("putSchedule", hourly).payload, "FAILED_PRECONDITION", "ifRevision", "revision 4")
		for _, want := range []int{4, 0} {
			got := a.good(a.schedule("backfillSchedule", vars{"scheduleId": "nightly", "from": from, "to": from.Add(3 * time.Hour)}))
			if got.Started != want || got.Existing != 4-want {
				t.Errorf("backfilled %+v, want %d", got, want)
			}
		}
		a.ended("nightly-" + from.Format(time.RFC3339))
		if got := a.good(a.schedule("deleteSchedule", vars{"scheduleId": "nightly"})); got.Schedule != nil {
			t.Errorf("deleted: %+v", got.Schedule)
		}
		if got := ask[struct{ Schedule *plan }](a, `{ schedule(hub: "default", scheduleId: "nightly") { id } }`, nil).Schedule; got != nil {
			t.Errorf("deleted, and there: %+v", got)
		}
	})
	t.Run("Lists", func(t *testing.T) {
		for _, id := range []string{"l1", "l2", "l3", "l4", "m1"} {
			a.good(a.schedule("putSchedule", vars{"scheduleId": id, "orchestration": "echo", "input": id, "every": "1h", "paused": id == "l3"}))
		}
		const query = `query($filter: ScheduleFilter, $first: Int!, $after: String) { schedules(hub: "default", filter: $filter, first: $first, after: $after) {
			nodes { scheduleId input { text } } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }`
		type page struct {
			Schedules struct {
				Nodes    []plan
				PageInfo struct {
					HasNextPage, HasPreviousPage bool
					EndCursor                    *string
				}
			}
		}
		var ids []string
		filter := vars{"scheduleIdPrefix": "l"}
		first := ask[page](a, query, vars{"filter": filter, "first": 3}).Schedules
		second := ask[page](a, query, vars{"filter": filter, "first": 3, "after": first.PageInfo.EndCursor}).Schedules
		for _, n := range append(first.Nodes, second.Nodes...) {
			ids = append(ids, n.ScheduleID)
			if n.Input.Text != `"`+n.ScheduleID+`"` {
				t.Errorf("the input of %s is %q", n.ScheduleID, n.Input.Text)
			}
		}
		if !slices.Equal(ids, []string{"l1", "l2", "l3", "l4"}) || !first.PageInfo.HasNextPage || second.PageInfo.HasNextPage || !second.PageInfo.HasPreviousPage {
			t.Errorf("two pages: %v, %+v, %+v", ids, first.PageInfo, second.PageInfo)
		}
		if e := a.refused(query, vars{"first": 3, "after": first.PageInfo.EndCursor}); e.Extensions.Code != "BAD_CURSOR" {
			t.Errorf("a cursor of another filter: %+v", e)
		}
		if got := ask[page](a, query, vars{"filter": vars{"state": "PAUSED"}, "first": 10}).Schedules.Nodes; len(got) != 1 || got[0].ScheduleID != "l3" {
			t.Errorf("paused: %+v", got)
		}
		for name, v := range map[string]vars{
			"filter.scheduleIdPrefix": {"first": 1, "filter": vars{"scheduleIdPrefix": "é"}},
			"first":                   {"first": 201},
		} {
			if e := a.refused(query, v); e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, name) {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if e := a.refused(`{ schedule(hub: "default", scheduleId: "l1") { nextFirings(first: 1001) } }`, nil); e.Extensions.Code != "INVALID_ARGUMENT" {
			t.Errorf("too many firings: %+v", e)
		}
	})
	t.Run("BadInput", func(t *testing.T) {
		ok := vars{"scheduleId": "s", "orchestration": "echo", "cron": []string{"@daily"}}
		for _, c := range []struct {
			change vars
			path   []string
			says   string
		}{
			{vars{"scheduleId": ""}, []string{"scheduleId"}, "empty"},
			{vars{"orchestration": ""}, []string{"orchestration"}, "empty"},
			{vars{"cron": []string{"@daily", "0 25 * * *"}}, []string{"cron", "1"}, "hour, at position 3"},
			{vars{"cron": nil}, []string{"cron"}, "missing"},
			{vars{"cron": nil, "every": "soon"}, []string{"every"}, "1h30m"},
			{vars{"cron": nil, "every": "1ms"}, []string{"every"}, "1s"},
			{vars{"zone": "Nowhere"}, []string{"zone"}, "IANA"},
			{vars{"jitter": "25h"}, []string{"jitter"}, "24h"},
			{vars{"catchUp": "1s"}, []string{"catchUp"}, "10s"},
			{vars{"startAt": from, "endAt": from.Add(-time.Hour)}, []string{"endAt"}, "before"},
			{vars{"instanceId": "x", "overlap": "ALLOW_ALL"}, []string{"overlap"}, "no two"},
		} {
			in := vars{}
			for _, v := range []vars{ok, c.change} {
				maps.Copy(in, v)
			}
			got := a.schedule("putSchedule", in)
			if len(got.Errors) != 1 || got.Errors[0].Code != "INVALID_ARGUMENT" || !slices.Equal(got.Errors[0].Path, append([]string{"input"}, c.path...)) ||
				!strings.Contains(got.Errors[0].Message, c.says) {
				t.Errorf("%v: got %+v", c.change, got.Errors)
			}
		}
		for _, field := range []string{"pauseSchedule", "resumeSchedule", "deleteSchedule", "runSchedule"} {
			a.userError(a.schedule(field, vars{"scheduleId": "none"}).payload, "NOT_FOUND", "scheduleId", "none")
		}
		a.good(a.schedule("putSchedule", ok))
		a.userError(a.schedule("backfillSchedule", vars{"scheduleId": "s", "from": from, "to": from.AddDate(10, 0, 0)}).payload, "INVALID_ARGUMENT", "to", "future")
		a.userError(a.schedule("backfillSchedule", vars{"scheduleId": "s", "from": from, "to": from.Add(-1)}).payload, "INVALID_ARGUMENT", "to", "before")
		a.userError(a.schedule("putSchedule", vars{"scheduleId": "s", "orchestration": "echo", "every": "1h", "hub": "nowhere"}).payload, "NOT_FOUND", "hub")
	})
	// What the API and the SDK write is the same.
	state, err := Echo.Schedule(a.client, "s").State(a.ctx)
	if err != nil || state.Orchestration != "echo" || state.Status != "ACTIVE" {
		t.Errorf("by the SDK: %+v, %v", state, err)
	}
	if err := Echo.Schedule(a.client, "s").Put(a.ctx, nil, durable.Every(time.Minute)); err != nil {
		t.Error(err)
	}
}
