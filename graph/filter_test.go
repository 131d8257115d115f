package graph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// TestFilters selects instances by everything that a filter knows beside status, name, prefix, tags and times of creation
// and end.
func TestFilters(t *testing.T) {
	a := serve(t)
	picky := durable.Orchestration[json.RawMessage, json.RawMessage]("picky")
	a.worker(nil, Echo.Handler(echo), Echo.Handler(echo, durable.Version("2")),
		picky.Handler(func(_ *durable.Context, in json.RawMessage) (json.RawMessage, error) {
			return nil, fmt.Errorf("no good: %s: %w", in, durable.Failure("too_picky"))
		}))
	for id, in := range map[string]vars{
		"a": {"name": "echo", "input": vars{"total": 120, "lines": []string{"x", "y"}}},
		"b": {"name": "echo", "input": vars{"total": 80}, "version": "2"},
		"c": {"name": "echo", "input": "plain text"},
		"d": {"name": "picky", "input": vars{"total": 500}},
	} {
		in["instanceId"] = id
		a.must(a.start(in))
		a.ended(id)
	}
	began := time.Now()
	waits := a.must(a.start(vars{"name": "nobody", "instanceId": "e"}))
	if waits.InstanceID != "e" {
		t.Fatalf("got %+v", waits)
	}
	for name, c := range map[string]struct {
		filter vars
		want   string
	}{
		"names":           {vars{"names": []string{"picky", "nobody"}}, "d e"},
		"versions":        {vars{"versions": []string{"2"}}, "b"},
		"no version":      {vars{"versions": []string{""}, "names": []string{"echo"}}, "a c"},
		"ids":             {vars{"instanceIds": []string{"c", "a", "zzz"}}, "a c"},
		"no ids":          {vars{"instanceIds": []string{}}, "a b c d e"},
		"ids and status":  {vars{"instanceIds": []string{"d", "a"}, "statuses": []string{"FAILED"}}, "d"},
		"started":         {vars{"startedFrom": began.Add(-time.Hour), "startedTo": began}, "a b c d"},
		"not started":     {vars{"startedFrom": began.Add(time.Hour)}, ""},
		"updated":         {vars{"updatedTo": began}, "a b c d"},
		"long":            {vars{"longerThan": "1h"}, ""},
		"short":           {vars{"shorterThan": "1h"}, "a b c d"},
		"failure type":    {vars{"failureType": "too_picky"}, "d"},
		"another failure": {vars{"failureType": "too_pick"}, ""},
		"failure text":    {vars{"failureText": "NO GOOD"}, "d"},
		"input":           {vars{"input": "$.total > 100"}, "a d"},
		"input and name":  {vars{"input": "$.total > 100", "name": "echo"}, "a"},
		"input in a list": {vars{"input": `exists($.lines[*] ? (@ == "y"))`}, "a"},
		"output":          {vars{"output": "$.total < 100"}, "b"},
		"text as output":  {vars{"output": `$ == "plain text"`}, "c"},
		"nothing like it": {vars{"input": `$.missing == 1`}, ""},
	} {
		got := a.list(vars{"filter": c.filter, "first": 50})
		ids := got.ids()
		slices.Sort(ids)
		if s := strings.Join(ids, " "); s != c.want || got.TotalCount.Value != len(ids) {
			t.Errorf("%s: got %q and a count of %d, want %q", name, s, got.TotalCount.Value, c.want)
		}
	}
	// A page goes on with the same filter, however it is written.
	first := a.list(vars{"filter": vars{"names": []string{"picky", "echo"}}, "first": 2})
	rest := a.list(vars{"filter": vars{"names": []string{"echo", "picky"}}, "first": 10, "after": first.PageInfo.EndCursor})
	if len(first.Nodes) != 2 || len(rest.Nodes) != 2 {
		t.Errorf("pages of %d and %d, want 2 and 2", len(first.Nodes), len(rest.Nodes))
	}
	many := make([]string, 501)
	for i := range many {
		many[i] = fmt.Sprint("id-", i)
	}
	for name, c := range map[string]struct {
		filter vars
		text   string
	}{
		"no path":          {vars{"input": "$.total >"}, "SQL/JSON path"},
		"NUL in a path":    {vars{"output": "$\x00"}, "U+0000"},
		"a long path":      {vars{"output": strings.Repeat("$", 1001)}, "1000"},
		"ids":              {vars{"instanceIds": many}, "500"},
		"a bad id":         {vars{"instanceIds": []string{"ü"}}, "ASCII"},
		"an empty name":    {vars{"names": []string{""}}, "empty"},
		"reversed":         {vars{"updatedFrom": began, "updatedTo": began.Add(-time.Second)}, "updatedFrom"},
		"no duration":      {vars{"longerThan": "soon"}, "1h30m"},
		"negative":         {vars{"shorterThan": "-1s"}, "shorterThan: is -1s, must be positive"},
		"crossed":          {vars{"longerThan": "2s", "shorterThan": "1s"}, "longer"},
		"text not UTF-8ed": {vars{"failureText": strings.Repeat("x", 1001)}, "1000"},
	} {
		e := a.refused(listQuery, vars{"filter": c.filter, "first": 5})
		if e.Extensions.Code != "INVALID_ARGUMENT" || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s: %+v, want INVALID_ARGUMENT with %q", name, e, c.text)
		}
	}
}
