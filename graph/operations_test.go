package graph_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// batchOperation is an operation on many instances as tests read it.
type batchOperation struct {
	ID, OperationID, Kind, State, Reason, Examined, Done, Refused string
	By, Error, Matched                                            *string
	PerSecond                                                     *int
	Recursive                                                     bool
	Filter                                                        json.RawMessage
	CreatedAt, UpdatedAt                                          time.Time
	FinishedAt                                                    *time.Time
	AllowedActions                                                []string
	Refusals                                                      []struct{ InstanceID, Code, Message string }
	Hub                                                           struct{ Name string }
}

const operationFields = `{ id operationId kind state reason examined done refused by error matched perSecond recursive filter createdAt updatedAt
	finishedAt allowedActions refusals { instanceId code message } hub { name } }`

// operate calls a mutation of operations.
func (a *api) operate(field string, in vars) (*batchOperation, payload) {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	input := strings.ToUpper(field[:1]) + field[1:] + "Input"
	got := ask[map[string]struct {
		payload

		Operation *batchOperation
	}](a, "mutation($input: "+input+"!) { "+field+"(input: $input) { operation "+operationFields+
		" errors { code message path retryable } requestId } }", vars{"input": in})[field]
	if got.RequestID == "" {
		a.t.Errorf("%s has no request id", field)
	}
	return got.Operation, got.payload
}

func (a *api) operation(id string) *batchOperation {
	a.t.Helper()
	return ask[struct{ BatchOperation *batchOperation }](a, `query($id: String!) { batchOperation(hub: "default", operationId: $id) `+operationFields+" }",
		vars{"id": id}).BatchOperation
}

// node runs the server's part, in which operations are carried out.
func (a *api) node() {
	a.t.Helper()
	n, err := a.engine.Join(a.ctx, engine.NodeConfig{})
	if err != nil {
		a.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run() }()
	a.t.Cleanup(func() {
		n.Close(a.t.Context())
		if err := <-done; err != nil {
			a.t.Errorf("node: %v", err)
		}
	})
}

func TestBatchOperations(t *testing.T) {
	a := serve(t)
	for n := range 12 {
		_, err := a.engine.Start(a.ctx, engine.StartRequest{Hub: "default", Name: "ping", ID: fmt.Sprintf("p%02d", n), Tags: map[string]string{"k": "v"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	filter := vars{"name": "ping", "tags": []vars{{"key": "k", "value": "v"}}, "longerThan": nil, "createdTo": "2100-01-01T00:00:00Z"}
	preview := `query($input: PreviewBatchOperationInput!) { previewBatchOperation(input: $input) { matched { value exact } sample { instanceId name } } }`
	seen := ask[struct {
		PreviewBatchOperation struct {
			Matched struct {
				Value int
				Exact bool
			}
			Sample []struct{ InstanceID, Name string }
		}
	}](a, preview, vars{"input": vars{"hub": "default", "kind": "TERMINATE", "filter": filter}}).PreviewBatchOperation
	if seen.Matched.Value != 12 || !seen.Matched.Exact || len(seen.Sample) != 10 || seen.Sample[0].InstanceID != "p00" || seen.Sample[9].Name != "ping" {
		t.Errorf("a preview of %+v", seen)
	}

	// Nobody carries it out yet.
	o, p := a.operate("startBatchOperation", vars{
		"kind": "TERMINATE", "filter": filter, "reason": "they hang", "recursive": true, "perSecond": 5000, "operationId": "stop", "by": "ann",
	})
	if len(p.Errors) > 0 || o.OperationID != "stop" || o.Kind != "TERMINATE" || o.State != "RUNNING" || o.Reason != "they hang" || !o.Recursive || *o.PerSecond != 5000 ||
		*o.By != "ann" || o.Matched != nil || o.Examined != "0" || o.FinishedAt != nil || o.Error != nil || o.Hub.Name != "default" || o.CreatedAt.IsZero() ||
		!slices.Equal(o.AllowedActions, []string{"PAUSE", "CANCEL"}) || len(o.Refusals) != 0 {
		t.Fatalf("started %+v, %+v", o, p.Errors)
	}
	if want := `{"statuses":["PENDING","RUNNING","SUSPENDED"],"name":"ping","createdTo":"2100-01-01T00:00:00Z","tags":[{"key":"k","value":"v"}]}`; string(o.Filter) != want {
		t.Errorf("the filter is %s", o.Filter)
	}
	var again vars // is an input as it is
	if err := json.Unmarshal(o.Filter, &again); err != nil {
		t.Fatal(err)
	}
	ask[any](a, preview, vars{"input": vars{"hub": "default", "kind": "TERMINATE", "filter": again}})
	for _, c := range []struct {
		field, state string
		actions      []string
	}{
		{"pauseBatchOperation", "PAUSED", []string{"RESUME", "CANCEL"}},
		{"pauseBatchOperation", "PAUSED", []string{"RESUME", "CANCEL"}},
		{"resumeBatchOperation", "RUNNING", []string{"PAUSE", "CANCEL"}},
	} {
		if o, p := a.operate(c.field, vars{"operationId": "stop"}); len(p.Errors) > 0 || o.State != c.state || !slices.Equal(o.AllowedActions, c.actions) {
			t.Errorf("%s: %+v, %+v", c.field, o, p.Errors)
		}
	}
	a.node()
	over := func(id string) *batchOperation {
		t.Helper()
		var o *batchOperation
		a.until("it is over", func() bool { o = a.operation(id); return o.FinishedAt != nil })
		return o
	}
	if o := over("stop"); o.State != "DONE" || o.Done != "12" || o.Refused != "0" || o.Examined != "12" || *o.Matched != "12" || len(o.AllowedActions) != 0 {
		t.Errorf("got %+v", o)
	}
	o, p = a.operate("startBatchOperation", vars{"kind": "REWIND", "filter": vars{"statuses": []string{"TERMINATED"}, "instanceIds": []string{"p03"}}, "reason": "on"})
	if len(p.Errors) > 0 {
		t.Fatalf("got %+v", p.Errors)
	}
	if o := over(o.OperationID); o.Refused != "1" || len(o.Refusals) != 1 || o.Refusals[0].InstanceID != "p03" || o.Refusals[0].Code != "FAILED_PRECONDITION" ||
		!strings.Contains(o.Refusals[0].Message, "restart it") || o.By != nil || o.PerSecond != nil {
		t.Errorf("got %+v", o)
	}
	for _, field := range []string{"pauseBatchOperation", "resumeBatchOperation", "cancelBatchOperation"} {
		_, p := a.operate(field, vars{"operationId": "stop"})
		a.userError(p, "FAILED_PRECONDITION", "operationId", "DONE")
		_, p = a.operate(field, vars{"operationId": "none"})
		a.userError(p, "NOT_FOUND", "operationId", "none")
	}
	if o := a.operation("none"); o != nil {
		t.Errorf("there is %+v", o)
	}

	// Lists.
	type page struct {
		BatchOperations struct {
			Nodes    []batchOperation
			Edges    []struct{ Cursor string }
			PageInfo struct{ HasNextPage, HasPreviousPage bool }
		}
	}
	query := `query($states: [BatchOperationState!], $first: Int!, $after: String) { batchOperations(hub: "default", states: $states, first: $first, after: $after) {
		nodes { id operationId state } edges { cursor } pageInfo { hasNextPage hasPreviousPage } } }`
	if _, p := a.operate("startBatchOperation", vars{"kind": "PURGE", "filter": vars{"name": "nobody"}, "reason": "r", "operationId": "third"}); len(p.Errors) > 0 {
		t.Fatal(p.Errors)
	}
	over("third")
	first := ask[page](a, query, vars{"first": 2}).BatchOperations
	rest := ask[page](a, query, vars{"first": 2, "after": first.Edges[1].Cursor}).BatchOperations
	if len(first.Nodes) != 2 || first.Nodes[0].OperationID != "third" || first.Nodes[1].OperationID != o.OperationID || !first.PageInfo.HasNextPage ||
		len(rest.Nodes) != 1 || rest.Nodes[0].OperationID != "stop" || rest.PageInfo.HasNextPage || !rest.PageInfo.HasPreviousPage {
		t.Errorf("listed %+v, %+v", first, rest)
	}
	if got := ask[page](a, query, vars{"first": 2, "states": []string{"RUNNING", "FAILED"}}).BatchOperations; len(got.Nodes) != 0 {
		t.Errorf("listed %+v", got)
	}
	if e := a.refused(query, vars{"first": 2, "states": []string{"DONE"}, "after": first.Edges[1].Cursor}); e.Extensions.Code != "BAD_CURSOR" {
		t.Errorf("a cursor of another list: %+v", e)
	}
	if e := a.refused(query, vars{"first": 201}); e.Extensions.Code != "INVALID_ARGUMENT" {
		t.Errorf("too many: %+v", e)
	}
	byNode := ask[struct{ Node struct{ OperationID string } }](a, `query($id: ID!) { node(id: $id) { ... on BatchOperation { operationId } } }`, vars{"id": first.Nodes[0].ID})
	if byNode.Node.OperationID != "third" {
		t.Errorf("by its global id: %+v", byNode)
	}
}

func TestBatchOperationBadInput(t *testing.T) {
	a := serve(t)
	ok := vars{"kind": "TERMINATE", "filter": vars{}, "reason": "r", "operationId": "a"}
	if o, p := a.operate("startBatchOperation", maps.Clone(ok)); o == nil {
		t.Fatalf("got %+v", p.Errors)
	}
	for _, c := range []struct {
		change vars
		code   string
		field  string
		says   string
	}{
		{vars{"operationId": "a"}, "ALREADY_EXISTS", "operationId", "exists"},
		{vars{"operationId": ""}, "INVALID_ARGUMENT", "operationId", "empty"},
		{vars{"operationId": "é"}, "INVALID_ARGUMENT", "operationId", "ASCII"},
		{vars{"hub": "nowhere"}, "NOT_FOUND", "hub", "nowhere"},
		{vars{"reason": " "}, "INVALID_ARGUMENT", "reason", "empty"},
		{vars{"reason": strings.Repeat("x", 2001)}, "INVALID_ARGUMENT", "reason", "2000"},
		{vars{"by": strings.Repeat("x", 201)}, "INVALID_ARGUMENT", "by", "200"},
		{vars{"perSecond": 0}, "INVALID_ARGUMENT", "perSecond", "1 to 10000"},
		{vars{"perSecond": 10001}, "INVALID_ARGUMENT", "perSecond", "10000"},
		{vars{"kind": "SUSPEND", "recursive": true}, "INVALID_ARGUMENT", "recursive", "SUSPEND"},
		{vars{"filter": vars{"statuses": []string{"FAILED"}}}, "INVALID_ARGUMENT", "filter", "FAILED"},
		{vars{"filter": vars{"input": "$.("}}, "INVALID_ARGUMENT", "filter", "input: "},
	} {
		in := maps.Clone(ok)
		in["operationId"] = "b"
		maps.Copy(in, c.change)
		o, p := a.operate("startBatchOperation", in)
		if o != nil {
			t.Errorf("%v: started %+v", c.change, o)
		}
		a.userError(p, c.code, c.field, c.says)
	}
	start := `mutation($input: StartBatchOperationInput!) { startBatchOperation(input: $input) { requestId } }`
	for what, in := range map[string]vars{
		"an unknown kind":   {"hub": "default", "kind": "DROP", "filter": vars{}, "reason": "r"},
		"no filter":         {"hub": "default", "kind": "PURGE", "reason": "r"},
		"a bad prefix":      {"hub": "default", "kind": "PURGE", "filter": vars{"instanceIdPrefix": "é"}, "reason": "r"},
		"a bad length":      {"hub": "default", "kind": "PURGE", "filter": vars{"longerThan": "soon"}, "reason": "r"},
		"a rate of a float": {"hub": "default", "kind": "PURGE", "filter": vars{}, "reason": "r", "perSecond": 1.5},
	} {
		if e := a.refused(start, vars{"input": in}); e.Extensions.Code != "INVALID_ARGUMENT" && e.Extensions.Code != "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("%s: %+v", what, e)
		}
	}
	if e := a.refused(`{ previewBatchOperation(input: {hub: "nowhere", kind: PURGE}) { matched { value } } }`, nil); e.Extensions.Code != "NOT_FOUND" {
		t.Errorf("got %+v", e)
	}
}

func TestRetention(t *testing.T) {
	a := serve(t)
	type rule struct {
		Name, Status, Keep *string
		UpdatedAt          time.Time
	}
	mutate := func(field string, in vars) ([]string, payload) {
		t.Helper()
		if in["hub"] == nil {
			in["hub"] = "default"
		}
		input := strings.ToUpper(field[:1]) + field[1:] + "Input"
		got := ask[map[string]struct {
			payload

			Rules []rule
		}](a, "mutation($input: "+input+"!) { "+field+"(input: $input) { rules { name status keep updatedAt } errors { code message path retryable } requestId } }",
			vars{"input": in})[field]
		var out []string
		for _, r := range got.Rules {
			text := func(s *string) string {
				if s == nil {
					return "-"
				}
				return *s
			}
			out = append(out, text(r.Name)+" "+text(r.Status)+" "+text(r.Keep))
		}
		return out, got.payload
	}
	for _, in := range []vars{
		{"keep": "30d"}, {"name": "a", "keep": "90m"}, {"name": "a", "status": "FAILED"}, {"status": "COMPLETED", "keep": "1h"}, {"name": "a", "keep": "1m"},
	} {
		if _, p := mutate("setRetention", in); len(p.Errors) > 0 {
			t.Errorf("%v: %+v", in, p.Errors)
		}
	}
	got, p := mutate("deleteRetention", vars{"status": "COMPLETED"})
	if want := []string{"- - 720h0m0s", "a - 1m0s", "a FAILED -"}; len(p.Errors) > 0 || !slices.Equal(got, want) {
		t.Errorf("rules are %v, want %v; %+v", got, want, p.Errors)
	}
	if got := ask[struct{ Retention []rule }](a, `{ retention(hub: "default") { name status keep updatedAt } }`, nil).Retention; len(got) != 3 || got[0].UpdatedAt.IsZero() {
		t.Errorf("got %+v", got)
	}
	for _, c := range []struct {
		field string
		in    vars
		code  string
		at    string
		says  string
	}{
		{"setRetention", vars{"keep": "soon"}, "INVALID_ARGUMENT", "keep", "30d"},
		{"setRetention", vars{"keep": "0"}, "INVALID_ARGUMENT", "keep", "30d"},
		{"setRetention", vars{"keep": "-1d"}, "INVALID_ARGUMENT", "keep", "is -24h0m0s, allowed are a minute to"},
		{"setRetention", vars{"keep": "1.5d"}, "INVALID_ARGUMENT", "keep", "30d"},
		{"setRetention", vars{"keep": "59s"}, "INVALID_ARGUMENT", "keep", "a minute to"},
		{"setRetention", vars{"keep": "99999999d"}, "INVALID_ARGUMENT", "keep", "876000h"},
		{"setRetention", vars{"keep": "1h", "status": "RUNNING"}, "INVALID_ARGUMENT", "status", "RUNNING"},
		{"setRetention", vars{"keep": "1h", "name": strings.Repeat("x", 81)}, "INVALID_ARGUMENT", "name", "80"},
		{"setRetention", vars{"keep": "1h", "hub": "nowhere"}, "NOT_FOUND", "hub", "nowhere"},
		{"deleteRetention", vars{"name": "b"}, "NOT_FOUND", "name", "no rule"},
		{"deleteRetention", vars{"status": "PENDING"}, "INVALID_ARGUMENT", "status", "PENDING"},
	} {
		_, p := mutate(c.field, c.in)
		a.userError(p, c.code, c.at, c.says)
	}
	if e := a.refused(`{ retention(hub: "nowhere") { keep } }`, nil); e.Extensions.Code != "NOT_FOUND" {
		t.Errorf("got %+v", e)
	}
	// The same rules as the engine has.
	rules, err := a.engine.Retentions(a.ctx, "default")
	if err != nil || len(rules) != 3 || rules[0].Keep != 30*24*time.Hour || *rules[2].Status != history.Failed || rules[2].Keep != 0 {
		t.Errorf("got %+v, %v", rules, err)
	}
}
