package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-dev/weir/durable"
)

const Talk durable.Orchestration[int, int] = "talk"

// talk says one word an event, and ends.
func talk(ctx *durable.Context, words int) (int, error) {
	for n := range words {
		w, err := Go.Wait(ctx)
		if err != nil {
			return n, err
		}
		if err := durable.Progress(ctx, w); err != nil {
			return n, err
		}
	}
	return words, nil
}

type progressPage struct {
	Records []struct {
		Seq   string
		Value struct{ Text string }
	}
	LastSeq        string
	HasMore, Reset bool
}

// TestProgress: what an instance says of how far it is can be read page by page, and is told as it comes.
func TestProgress(t *testing.T) {
	a := serve(t)
	a.worker(nil, Talk.Handler(talk))
	const words = 3
	id := a.must(a.start(vars{"name": "talk", "input": words})).InstanceID

	s := a.connect()
	s.subscribe("p", `subscription($id: String!) { progressAppended(hub: "default", instanceId: $id) {
		records { seq value { text } } lastSeq hasMore reset } }`, vars{"id": id})
	type frame struct{ ProgressAppended progressPage }
	if first := next[frame](s).ProgressAppended; len(first.Records) != 0 || first.LastSeq != "0" || first.HasMore || first.Reset {
		t.Fatalf("got %+v", first)
	}
	want := []string{`1 "a"`, `2 "b"`, `3 "c"`}
	for _, w := range []string{"a", "b", "c"} {
		a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": w}))
	}
	var got []string
	for len(got) < words {
		for _, r := range next[frame](s).ProgressAppended.Records {
			got = append(got, r.Seq+" "+r.Value.Text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}

	type connection struct {
		Nodes []struct {
			Seq        string
			Generation int
			TaskID     *int
			Value      struct{ Text string }
		}
		PageInfo struct {
			HasNextPage bool
			EndCursor   *string
		}
	}
	const query = `query($id: String!, $n: Int!, $after: String) { orchestration(hub: "default", instanceId: $id) {
		progress(first: $n, after: $after) { nodes { seq generation taskId value { text } } pageInfo { hasNextPage endCursor } } } }`
	got = nil
	var after *string
	for {
		p := ask[struct{ Orchestration struct{ Progress connection } }](a, query, vars{"id": id, "n": 2, "after": after}).Orchestration.Progress
		for _, r := range p.Nodes {
			if r.Generation != 0 || r.TaskID != nil {
				t.Errorf("got %+v", r)
			}
			got = append(got, r.Seq+" "+r.Value.Text)
		}
		if after = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	for seq, want := range map[string]string{"1": `"a"`, "3": `"c"`, "0": "", "4": "", "-1": "", "-9223372036854775808": "", "9223372036854775807": ""} {
		r := ask[struct {
			Orchestration struct {
				ProgressRecord *struct {
					Seq   string
					Value struct{ Text string }
				}
			}
		}](a, `query($id: String!, $seq: Long!) { orchestration(hub: "default", instanceId: $id) { progressRecord(seq: $seq) { seq value { text } } } }`, vars{"id": id, "seq": seq}).Orchestration.ProgressRecord
		if r == nil && want != "" || r != nil && (r.Seq != seq || r.Value.Text != want) {
			t.Errorf("record %s is %+v, want %q", seq, r, want)
		}
	}
	for _, n := range []int{-1, 201} {
		if e := a.refused(query, vars{"id": id, "n": n}); e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, "0 to 200") {
			t.Errorf("%d: got %+v", n, e)
		}
	}
	if e := a.refused(query, vars{"id": id, "n": 1, "after": "x"}); e.Extensions.Code != "BAD_CURSOR" {
		t.Errorf("got %+v", e)
	}
}
