package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const letterFields = `nodes { instanceId name taskId activity deaths worker lastAt heldAt } pageInfo { hasNextPage endCursor }`

// TestDeadLetters lists, pages and redrives turns whose workers have died, and says so of each. The workers here are such as
// only River's table knows.
func TestDeadLetters(t *testing.T) {
	a := serve(t)
	type userErrors []struct {
		Code, Message string
		Path          []string
	}
	type letters struct {
		Nodes []struct {
			InstanceID, Name, Worker, HeldAt string
			TaskID                           *int
			Deaths                           int
		}
		PageInfo struct {
			HasNextPage bool
			EndCursor   string
		}
	}
	list := func(v vars) letters {
		return ask[struct{ DeadLetters letters }](a, `query($first: Int! = 50, $after: String) { deadLetters(hub: "default", first: $first, after: $after) { `+letterFields+` } }`, v).DeadLetters
	}
	limit := func(hub string, n int) (name string, errs userErrors) {
		got := ask[struct {
			SetMaxDeaths struct {
				Hub *struct {
					Name      string
					MaxDeaths int
				}
				Errors userErrors
			}
		}](a, `mutation($input: SetMaxDeathsInput!) { setMaxDeaths(input: $input) { hub { name maxDeaths } errors { code message path } requestId } }`,
			vars{"input": vars{"hub": hub, "maxDeaths": n}}).SetMaxDeaths
		if got.Hub != nil {
			if name = got.Hub.Name; len(got.Errors) == 0 && got.Hub.MaxDeaths != n {
				t.Errorf("the hub lets %d workers die, want %d", got.Hub.MaxDeaths, n)
			}
		}
		return name, got.Errors
	}
	redrive := func(in vars) userErrors {
		in["hub"] = "default"
		return ask[struct{ RedriveOrchestration struct{ Errors userErrors } }](a, `mutation($input: RedriveOrchestrationInput!) {
			redriveOrchestration(input: $input) { orchestration { instanceId } errors { code message path } requestId } }`, vars{"input": in}).RedriveOrchestration.Errors
	}
	if name, errs := limit("default", 1); name != "default" || len(errs) != 0 {
		t.Fatalf("got %q, %v", name, errs)
	}
	for i := range 3 {
		a.must(a.start(vars{"name": "echo", "instanceId": fmt.Sprint("i", i)}))
	}
	if _, err := a.pool.Exec(t.Context(), "UPDATE river.river_job SET state = 'running', attempted_by = '{weir-77777-gone}' WHERE kind = 'turn:echo'"); err != nil {
		t.Fatal(err)
	}
	a.worker(nil, Echo.Handler(echo))
	a.until("all are dead letters", func() bool { return len(list(nil).Nodes) == 3 })

	var ids []string
	for page := list(vars{"first": 2}); ; page = list(vars{"first": 2, "after": page.PageInfo.EndCursor}) {
		for _, n := range page.Nodes {
			ids = append(ids, n.InstanceID)
			if n.Name != "echo" || n.Worker != "weir-77777-gone" || n.TaskID != nil || n.Deaths != 1 || n.HeldAt == "" {
				t.Errorf("got %+v", n)
			}
		}
		if !page.PageInfo.HasNextPage {
			break
		}
	}
	slices.Sort(ids)
	if want := []string{"i0", "i1", "i2"}; !slices.Equal(ids, want) {
		t.Errorf("the pages have %v", ids)
	}
	why := ask[struct {
		Orchestration struct {
			Waiting struct {
				Kind  string
				Parts []struct{ Text string }
			}
			Held struct{ Kind, Message string }
		}
	}](a, `{ orchestration(hub: "default", instanceId: "i1") { waiting { kind parts { text } } held { kind message } } }`, nil).Orchestration
	if why.Waiting.Kind != "DEAD_LETTER" || why.Held.Kind != "dead_letter" || !strings.Contains(why.Held.Message, "the last one weir-77777-gone") {
		t.Errorf("explained by %+v", why)
	}

	for name, test := range map[string]struct {
		in          vars
		code, field string
	}{
		"unknown":     {vars{"instanceId": "nobody"}, "NOT_FOUND", "instanceId"},
		"no activity": {vars{"instanceId": "i1", "taskId": 5}, "FAILED_PRECONDITION", "instanceId"},
		"negative":    {vars{"instanceId": "i1", "taskId": -1}, "INVALID_ARGUMENT", "taskId"},
	} {
		if errs := redrive(test.in); len(errs) != 1 || errs[0].Code != test.code || !slices.Equal(errs[0].Path, []string{"input", test.field}) {
			t.Errorf("%s: %+v", name, errs)
		}
	}
	for name, test := range map[string]struct {
		hub         string
		most        int
		code, field string
	}{
		"unknown hub": {"nowhere", 3, "NOT_FOUND", "hub"},
		"negative":    {"default", -1, "INVALID_ARGUMENT", "maxDeaths"},
		"too many":    {"default", 1_000_001, "INVALID_ARGUMENT", "maxDeaths"},
	} {
		if _, errs := limit(test.hub, test.most); len(errs) != 1 || errs[0].Code != test.code || !slices.Equal(errs[0].Path, []string{"input", test.field}) {
			t.Errorf("%s: %+v", name, errs)
		}
	}

	if errs := redrive(vars{"instanceId": "i1"}); len(errs) != 0 {
		t.Errorf("refused: %+v", errs)
	}
	a.ended("i1")
	all := ask[struct {
		RedriveDeadLetters struct {
			Redriven int
			Errors   userErrors
		}
	}](a, `mutation { redriveDeadLetters(input: {hub: "default"}) { redriven errors { code message path } requestId } }`, nil).RedriveDeadLetters
	if all.Redriven != 2 || len(all.Errors) != 0 {
		t.Errorf("got %+v", all)
	}
	a.ended("i0")
	a.ended("i2")
	if left := list(nil); len(left.Nodes) != 0 {
		t.Errorf("left are %+v", left)
	}
}
