package graph_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weir-dev/weir/durable"
)

func TestRewind(t *testing.T) {
	a := serve(t)
	var mended atomic.Bool
	shaky := durable.Orchestration[int, int]("shaky")
	a.worker(nil, shaky.Handler(func(ctx *durable.Context, n int) (int, error) { return Once.Call(ctx, n) }),
		Once.Handler(func(_ context.Context, n int) (int, error) {
			if !mended.Load() {
				return 0, errors.New("not yet")
			}
			return n + 1, nil
		}))
	id := a.must(a.start(vars{"name": "shaky", "input": 1})).InstanceID
	a.ended(id)
	rewind := func(in vars) payload {
		in["hub"] = "default"
		return ask[map[string]payload](a, "mutation($input: RewindOrchestrationInput!) { rewindOrchestration(input: $input) { errors { code message path retryable } requestId } }",
			vars{"input": in})["rewindOrchestration"]
	}
	for name, c := range map[string]struct {
		in   vars
		code string
		path string
	}{
		"without reason": {vars{"instanceId": id, "reason": " "}, "INVALID_ARGUMENT", "reason"},
		"unknown step":   {vars{"instanceId": id, "reason": "r", "step": 9}, "INVALID_ARGUMENT", "step"},
		"unknown id":     {vars{"instanceId": "nobody", "reason": "r"}, "NOT_FOUND", "instanceId"},
	} {
		got := rewind(c.in)
		if len(got.Errors) != 1 || got.Errors[0].Code != c.code || !slices.Equal(got.Errors[0].Path, []string{"input", c.path}) {
			t.Errorf("%s: %+v, want %s at %s", name, got.Errors, c.code, c.path)
		}
	}
	mended.Store(true)
	if got := rewind(vars{"instanceId": id, "reason": "mended"}); len(got.Errors) > 0 {
		t.Fatalf("got %+v", got.Errors)
	}
	if got := a.ended(id); got.Status != "COMPLETED" {
		t.Errorf("got %+v", got)
	}
	type page struct {
		Orchestration struct {
			History struct {
				Events []struct {
					Type   string
					Reason *string
				}
			}
		}
	}
	got := ask[page](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { history(first: 50) { events { type ... on ExecutionRewound { reason } } } } }`, vars{"id": id})
	found := slices.ContainsFunc(got.Orchestration.History.Events, func(e struct {
		Type   string
		Reason *string
	},
	) bool {
		return e.Type == "ExecutionRewound" && e.Reason != nil && *e.Reason == "mended"
	})
	if !found {
		t.Errorf("the history does not say that it was rewound: %+v", got)
	}
	if got := rewind(vars{"instanceId": id, "reason": "r"}); len(got.Errors) != 1 || got.Errors[0].Code != "FAILED_PRECONDITION" {
		t.Errorf("completed: %+v", got.Errors)
	}
}
