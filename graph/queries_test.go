package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/internal/weirtest"
)

const (
	Tour durable.Orchestration[int, string] = "tour"
	Kid  durable.Orchestration[int, int]    = "kid"
	Loop durable.Orchestration[int, int]    = "loop"
	Big  durable.Orchestration[int, string] = "big"
	Once durable.Activity[int, int]         = "once"
	Ping durable.Event[int]                 = "ping"
)

// tour does one of everything, fails a few times on the way, and then fails.
func tour(ctx *durable.Context, n int) (string, error) {
	ctx.SetStatus(map[string]any{"phase": "half <way>"})
	_, flaky := Flaky.Call(ctx, n, durable.Retry{Attempts: 2, Initial: time.Millisecond})
	one, err := Once.Call(ctx, n)
	if err != nil {
		return "", err
	}
	if _, err := durable.Step(ctx, "add", func(context.Context) (int, error) { return one + 1, nil }); err != nil {
		return "", err
	}
	if err := ctx.Sleep(time.Millisecond); err != nil {
		return "", err
	}
	if _, err := Kid.Call(ctx, 1, durable.ID(ctx.ID()+"-good")); err != nil {
		return "", err
	}
	_, bad := Kid.Call(ctx, -1, durable.ID(ctx.ID()+"-bad"))
	if err := Ping.Send(ctx, ctx.ID(), 5); err != nil {
		return "", err
	}
	if _, err := Ping.Wait(ctx); err != nil {
		return "", err
	}
	if err := visit(ctx); err != nil {
		return "", err
	}
	ctx.Patched("detour")
	shortcut, cancel := durable.WithCancel(ctx)
	shortcut.Timer(time.Hour)
	cancel()
	if _, err := Ping.Wait(ctx); !errors.Is(err, durable.ErrCanceled) { // until it is asked to end
		return "", fmt.Errorf("it was not cancelled: %w", err)
	}
	return "", fmt.Errorf("at the end: %w", errors.Join(flaky, bad))
}

// visit turns to an entity in every way.
func visit(ctx *durable.Context) error {
	if err := countUp.Signal(ctx, "tour", 1); err != nil {
		return err
	}
	unlock, err := durable.Lock(ctx, countUp.ID("tour"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := countBad.Call(ctx, "tour", 1); err == nil {
		return errors.New("an operation that fails did not")
	}
	_, err = countUp.Call(ctx, "tour", 1)
	return err
}

func kid(_ *durable.Context, n int) (int, error) {
	if n < 0 {
		return 0, errors.New("negative")
	}
	return n, nil
}

func (a *api) tourist() {
	a.t.Helper()
	a.worker(&durable.Config{Name: "guide", Build: "b1"}, append(counters(), Tour.Handler(tour), Kid.Handler(kid),
		Flaky.Handler(func(context.Context, int) (int, error) { return 0, errors.New("busy") }),
		Once.Handler(func(_ context.Context, n int) (int, error) { return n, nil }))...)
}

// everything writes a selection of all fields of a type, so many levels deep, with an alias for each type's own
// fields where an interface has several.
func everything(schema *ast.Schema, def *ast.Definition, depth int, prefix string) string {
	var b strings.Builder
	b.WriteString("{ __typename ")
	if def.Kind == ast.Interface {
		for _, t := range schema.GetPossibleTypes(def) {
			fmt.Fprintf(&b, "... on %s %s ", t.Name, everything(schema, t, depth, t.Name+"_"))
		}
		return b.String() + "}"
	}
	for _, f := range def.Fields {
		if strings.HasPrefix(f.Name, "__") || slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool { return a.Type.NonNull && a.DefaultValue == nil }) {
			continue
		}
		below := schema.Types[f.Type.Name()]
		switch {
		case below.Kind == ast.Scalar || below.Kind == ast.Enum:
			fmt.Fprintf(&b, "%s%s: %s ", prefix, f.Name, f.Name)
		case depth > 0:
			args := ""
			if f.Arguments.ForName("first") != nil {
				args = "(first: 2)"
			}
			if f.Type.Name() == "HistoryPage" {
				args = "(first: 100)"
			}
			fmt.Fprintf(&b, "%s%s: %s%s %s ", prefix, f.Name, f.Name, args, everything(schema, below, depth-1, ""))
		}
	}
	return b.String() + "}"
}

// TestEverything asks for every field of every type, of an instance that has been through everything.
func TestEverything(t *testing.T) {
	a := serve(t)
	a.tourist()
	id := a.must(a.start(vars{"name": "tour", "instanceId": "grand-tour", "input": 7})).InstanceID
	a.cancelOnce(id, "enough")
	if got := a.ended(id); got.Status != "FAILED" {
		t.Fatalf("got %+v", got)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: graph.Schema()})
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	one := ask[object](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) `+everything(schema, schema.Types["Orchestration"], 3, "")+" }", vars{"id": id})["orchestration"].(object)
	for field, want := range map[string]object{
		"instanceId": {"": id}, "name": {"": "tour"}, "status": {"": "FAILED"},
		"customStatus": {"text": `{"phase":"half <way>"}`, "encoding": "JSON", "truncated": false}, "input": {"text": "7", "size": 1.0},
		"hub": {"name": "default"}, "failure": {"nonRetriable": false}, "waiting": {"kind": "ENDED"},
	} {
		for key, v := range want {
			got := one[field]
			if key != "" {
				got = got.(object)[key]
			}
			if got != v {
				t.Errorf("%s.%s is %v, want %v", field, key, got, v)
			}
		}
	}
	seen := map[string]int{}
	for _, e := range one["history"].(object)["events"].([]any) {
		e := e.(object)
		kind := e["__typename"].(string)
		seen[kind]++
		if e[kind+"_type"] != kind {
			t.Errorf("%s says it is %v", kind, e[kind+"_type"])
		}
		switch kind {
		case "TaskFailed":
			if e["TaskFailed_attempts"] != 2.0 || e["TaskFailed_earlier"].([]any)[0].(object)["message"] != "busy" || e["TaskFailed_worker"] != "guide" {
				t.Errorf("got %v", e)
			}
		case "TaskScheduled":
			if e["TaskScheduled_step"] != (e["TaskScheduled_name"] == "add") {
				t.Errorf("got %v", e)
			}
		}
	}
	for _, kind := range schema.Types["HistoryEventType"].EnumValues {
		if n := seen[kind.Name]; n == 0 && !slices.Contains([]string{"ExecutionTerminated", "ExecutionSuspended", "ExecutionResumed", "ExecutionRewound"}, kind.Name) {
			t.Errorf("there is no %s", kind.Name)
		}
	}
	// A child, a hub and a worker in full, and a page of everything.
	child := ask[object](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) `+everything(schema, schema.Types["Orchestration"], 1, "")+" }", vars{"id": id + "-good"})["orchestration"].(object)
	if p := child["parent"].(object); p["instanceId"] != id || p["name"] != "tour" || child["output"].(object)["text"] != "1" {
		t.Errorf("got %v", child)
	}
	hub := ask[object](a, `{ hub(name: "default") `+everything(schema, schema.Types["TaskHub"], 2, "")+" }", nil)["hub"].(object)
	workers := hub["workers"].([]any)
	if len(workers) != 1 || workers[0].(object)["name"] != "guide" || workers[0].(object)["build"] != "b1" || workers[0].(object)["state"] != "ONLINE" || len(workers[0].(object)["orchestrations"].([]any)) != 4 || len(workers[0].(object)["entities"].([]any)) != 1 {
		t.Errorf("got %v", hub)
	}
	ask[object](a, "query "+everything(schema, schema.Query, 4, ""), nil)
	page := ask[object](a, `{ orchestrations(hub: "default", first: 5) `+everything(schema, schema.Types["OrchestrationConnection"], 2, "")+" }", nil)["orchestrations"].(object)
	found := false
	for _, n := range page["nodes"].([]any) {
		if p, ok := n.(object)["parent"].(object); ok && p["instanceId"] == id {
			found = true
		}
	}
	if !found {
		t.Errorf("the list does not know parents: %v", page["nodes"])
	}
	if weirtest.CheckHistories(a.ctx, t, a.pool) == 0 {
		t.Error("there are no histories")
	}
}

// TestLookUps: an object by its id, and null for what there is not.
func TestLookUps(t *testing.T) {
	a := serve(t)
	a.tourist()
	inst := a.ended(a.must(a.start(vars{"name": "kid", "input": 3})).InstanceID)
	hub := ask[struct {
		Hub struct {
			ID      string
			Workers []struct{ ID string }
		}
	}](a, `{ hub(name: "default") { id workers { id } } }`, nil).Hub
	ids := []string{inst.ID, "bogus", hub.ID, "djE6T3JjaGVzdHJhdGlvbjpkZWZhdWx0Om5vYm9keQ", "", hub.Workers[0].ID, "djE6V29ya2VyOmRlZmF1bHQ6OTk", "djE6VGFza0h1YjpubzpubwA", inst.ID}
	got := ask[struct {
		Nodes []*struct {
			Typename string `json:"__typename"`
			ID       string
		}
	}](a, `query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }`, vars{"ids": ids}).Nodes
	for i, want := range []string{"Orchestration", "", "TaskHub", "", "", "Worker", "", "", "Orchestration"} {
		switch {
		case want == "" && got[i] != nil, want != "" && (got[i] == nil || got[i].Typename != want || got[i].ID != ids[i]):
			t.Errorf("node %d, %q: %+v, want %q", i, ids[i], got[i], want)
		}
		one := ask[struct{ Node *struct{ ID string } }](a, `query($id: ID!) { node(id: $id) { id } }`, vars{"id": ids[i]}).Node
		if (one != nil) != (want != "") {
			t.Errorf("node %q: %+v", ids[i], one)
		}
	}
	if e := a.refused(`query($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": slices.Repeat([]string{"x"}, 101)}); e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "100") {
		t.Errorf("got %+v", e)
	}
	for _, id := range []string{"nobody", "", "a\x00", strings.Repeat("x", 1000), "ü"} {
		if got := a.get(id); got != nil {
			t.Errorf("%q: %+v", id, got)
		}
	}
	for _, name := range []string{"nowhere", "", "a\x00b"} {
		got := ask[map[string]json.RawMessage](a, `query($n: String!) { hub(name: $n) { id } orchestration(hub: $n, instanceId: "x") { id } }`, vars{"n": name})
		if string(got["hub"]) != "null" || string(got["orchestration"]) != "null" {
			t.Errorf("%q: %s", name, got)
		}
	}
	server := ask[struct {
		Server struct {
			Version, Deployment string
			Identity            bool
			Now                 time.Time
			PayloadLimit        int
		}
	}](a, "{ server { version deployment identity now payloadLimit } }", nil).Server
	if server.Version != "1.2.3" || server.Deployment != "test" || server.Identity || server.PayloadLimit != payloadLimit || server.Now.IsZero() {
		t.Errorf("got %+v", server)
	}
}

// page is a page of a history.
type page struct {
	Events []struct {
		Typename string `json:"__typename"`
		Seq      string
	}
	LastSeq        string
	HasMore, Reset bool
}

func (p *page) seqs() (out []string) {
	for _, e := range p.Events {
		out = append(out, e.Seq)
	}
	return out
}

// TestHistory pages through a history, and over the generations of one.
func TestHistory(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter), Loop.Handler(loop))
	read := func(id, after string, first int) page {
		t.Helper()
		return ask[struct{ Orchestration struct{ History page } }](a, `query($id: String!, $after: Long!, $first: Int!) { orchestration(hub: "default", instanceId: $id) {
			history(after: $after, first: $first) { events { __typename seq } lastSeq hasMore reset } } }`, vars{"id": id, "after": after, "first": first}).Orchestration.History
	}
	id := a.must(a.start(vars{"name": "waiter", "input": 10})).InstanceID
	for range 10 {
		a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "x"}))
	}
	a.ended(id)
	all := read(id, "0", 5000)
	if n := len(all.Events); n < 13 || all.HasMore || all.LastSeq != fmt.Sprint(n) || all.Reset {
		t.Fatalf("got %+v", all)
	}
	for _, size := range []int{1, 2, 5, len(all.Events), len(all.Events) + 1} {
		var got []string
		after := "0"
		for {
			p := read(id, after, size)
			got = append(got, p.seqs()...)
			if after = p.LastSeq; !p.HasMore {
				break
			}
			if len(p.Events) != size {
				t.Fatalf("%d events", len(p.Events))
			}
		}
		if !slices.Equal(got, all.seqs()) {
			t.Errorf("by %d: %v", size, got)
		}
	}
	if p := read(id, all.LastSeq, 10); len(p.Events) != 0 || p.HasMore || p.LastSeq != all.LastSeq || p.Reset {
		t.Errorf("after the end: %+v", p)
	}
	if p := read(id, "3", 0); len(p.Events) != 0 || !p.HasMore || p.LastSeq != "3" {
		t.Errorf("none: %+v", p)
	}
	if p := read(id, "-5", 2); len(p.Events) != 2 || p.Reset {
		t.Errorf("from before the beginning: %+v", p)
	}
	if p := read(id, "9223372036854775807", 5000); !p.Reset || len(p.Events) != len(all.Events) {
		t.Errorf("from after the end: %+v", p)
	}
	for _, first := range []int{-1, 5001} {
		e := a.refused(`query($id: String!, $n: Int!) { orchestration(hub: "default", instanceId: $id) { history(first: $n) { lastSeq } } }`, vars{"id": id, "n": first})
		if e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "0 to 5000") {
			t.Errorf("got %+v", e)
		}
	}
	if e := a.refused(`query($id: String!) { orchestration(hub: "default", instanceId: $id) { history(after: "x") { lastSeq } } }`, vars{"id": id}); e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "64-bit") {
		t.Errorf("got %+v", e)
	}

	eternal := a.must(a.start(vars{"name": "loop", "input": 2})).InstanceID
	generation := func(n int) {
		a.until("the next generation", func() bool { i := a.get(eternal); return i.Generation == n && i.Waiting.Kind == "EVENT" })
	}
	generation(0)
	first := read(eternal, "0", 5000)
	a.must(a.raise(vars{"instanceId": eternal, "name": "ping", "payload": 1}))
	generation(1)
	if p := read(eternal, first.LastSeq, 5000); !p.Reset || p.Events[0].Typename != "OrchestratorStarted" || p.Events[1].Typename != "ExecutionStarted" {
		t.Errorf("what a client of the first generation gets: %+v", p)
	}
	second := read(eternal, "0", 5000)
	if second.Reset || second.Events[0].Seq <= first.LastSeq && len(second.Events[0].Seq) == len(first.LastSeq) {
		t.Errorf("the first generation ends at %s, the second is %+v", first.LastSeq, second)
	}
	if p := read(eternal, second.LastSeq, 5000); p.Reset || len(p.Events) != 0 {
		t.Errorf("nothing new: %+v", p)
	}
}

// TestPayloads: values large and small, text and not, cut and whole.
func TestPayloads(t *testing.T) {
	a := serve(t)
	a.worker(nil, Big.Handler(func(_ *durable.Context, n int) (string, error) { return strings.Repeat("é", n), nil }))
	read := func(id string, maxBytes int) (text string, size int, truncated bool, encoding string) {
		t.Helper()
		o := ask[struct {
			Orchestration struct {
				Output struct {
					Text, Encoding string
					Size           int
					Truncated      bool
				}
			}
		}](a, `query($id: String!, $n: Int!) { orchestration(hub: "default", instanceId: $id) { output { text(maxBytes: $n) size truncated(maxBytes: $n) encoding } } }`, vars{"id": id, "n": maxBytes}).Orchestration.Output
		return o.Text, o.Size, o.Truncated, o.Encoding
	}
	for _, n := range []int{0, 10, 40_000, 200_000} { // 40,000 and more are stored by themselves
		id := a.must(a.start(vars{"name": "big", "input": n})).InstanceID
		a.ended(id)
		whole := `"` + strings.Repeat("é", n) + `"`
		for _, limit := range []int{0, 1, 2, 3, 4, 1000, 80_001, 1 << 20} {
			text, size, truncated, encoding := read(id, limit)
			want := whole
			if limit < len(whole) {
				want = whole[:limit]
				if limit > 1 && limit%2 == 0 { // in the middle of an é
					want = whole[:limit-1]
				}
			}
			if text != want || size != len(whole) || truncated != (limit < len(whole)) || encoding != "JSON" {
				t.Errorf("%d characters cut at %d: %d bytes of %d, want %d; truncated %v, %s", n, limit, len(text), size, len(want), truncated, encoding)
			}
		}
	}
	// Other SDKs may write what is no JSON.
	raw := func(value string) string {
		id := a.must(a.start(vars{"name": "nobody", "input": 1})).InstanceID
		if _, err := a.pool.Exec(a.ctx, "UPDATE weir.instances SET output = $2 WHERE id = $1", id, []byte(value)); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for value, want := range map[string][2]string{
		"plain text": {"TEXT", "plain text"}, "\xff\xfe": {"BASE64", "//4="}, "": {"TEXT", ""}, "a\x00b": {"TEXT", "a\x00b"}, "{\"a\":1}": {"JSON", "{\"a\":1}"},
	} {
		if text, _, _, encoding := read(raw(value), 100); text != want[1] || encoding != want[0] {
			t.Errorf("%q gives %s %q", value, encoding, text)
		}
	}
	if e := a.refused(`query($id: String!) { orchestration(hub: "default", instanceId: $id) { output { text(maxBytes: 1048577) } } }`, vars{"id": raw("1")}); !strings.Contains(e.Message, "0 to 1048576") {
		t.Errorf("got %+v", e)
	}
	// Eleven times 1 MiB is more than an answer may have.
	mega := raw(`"` + strings.Repeat("x", 1<<20-2) + `"`)
	var q strings.Builder
	for i := range 11 {
		fmt.Fprintf(&q, "o%d: output { text(maxBytes: 1048576) } ", i)
	}
	if e := a.refused(`query($id: String!) { orchestration(hub: "default", instanceId: $id) { `+q.String()+` } }`, vars{"id": mega}); e.Extensions.Code != "RESPONSE_TOO_LARGE" {
		t.Errorf("got %+v", e)
	}
}
