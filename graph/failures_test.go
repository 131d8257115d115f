package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-dev/weir/durable"
)

// TestFailureGroups: failures that differ in numbers and ids only are one group, the largest comes first, and what failed too
// long ago, or has not failed, is in none.
func TestFailureGroups(t *testing.T) {
	a := serve(t)
	const (
		Pay      durable.Orchestration[int, int] = "pay"
		declined durable.Failure                 = "declined"
	)
	a.worker(nil, Echo.Handler(echo), Fails.Handler(func(*durable.Context, int) (int, error) { return 0, fmt.Errorf("no line") }),
		Pay.Handler(func(_ *durable.Context, n int) (int, error) {
			if n > 10 {
				return 0, fmt.Errorf("timeout after %d ms at 0xdeadbeef%02x", n, n)
			}
			return 0, fmt.Errorf("order %d: %w", n, declined)
		}))
	for n := range 5 {
		a.ended(a.must(a.start(vars{"name": "pay", "instanceId": fmt.Sprint("pay-", n), "input": n})).InstanceID)
	}
	for n := range 3 {
		a.ended(a.must(a.start(vars{"name": "pay", "input": 100 + n})).InstanceID)
	}
	a.ended(a.must(a.start(vars{"name": "fails", "instanceId": "f", "input": 1})).InstanceID)
	a.ended(a.must(a.start(vars{"name": "fails", "instanceId": "old", "input": 1})).InstanceID)
	a.ended(a.must(a.start(vars{"name": "echo", "input": 1})).InstanceID)
	if _, err := a.pool.Exec(context.Background(), "UPDATE weir.instances SET completed_at = now() - interval '2 hours' WHERE id = 'old'"); err != nil {
		t.Fatal(err)
	}
	type group struct {
		Name             string
		FailureType      *string
		Message, Count   string
		FirstAt, LastAt  string
		NewestInstanceID string
	}
	const query = `query($window: String! = "1h", $first: Int! = 20) { hub(name: "default") { failureGroups(window: $window, first: $first) {
		name failureType message count firstAt lastAt newestInstanceId } } }`
	groups := func(v vars) []group {
		return ask[struct {
			Hub struct{ FailureGroups []group }
		}](a, query, v).Hub.FailureGroups
	}
	var got []string
	for _, g := range groups(nil) {
		kind := "none"
		if g.FailureType != nil {
			kind = *g.FailureType
		}
		got = append(got, fmt.Sprint(g.Count, " ", g.Name, " ", kind))
		if g.FirstAt > g.LastAt || g.NewestInstanceID == "" || g.Message == "" {
			t.Errorf("got %+v", g)
		}
	}
	if len(got) != 3 || got[0] != "5 pay declined" || !strings.HasPrefix(got[1], "3 pay ") || !strings.HasPrefix(got[2], "1 fails ") {
		t.Errorf("got %q", got)
	}
	if first := groups(vars{"first": 1}); len(first) != 1 || first[0].NewestInstanceID != "pay-4" || !strings.Contains(first[0].Message, "order 4") {
		t.Errorf("the first is %+v", first)
	}
	if day := groups(vars{"window": "24h"}); len(day) != 3 || day[2].Count != "2" {
		t.Errorf("in a day %+v", day)
	}
	for name, v := range map[string]vars{
		"no time": {"window": "a day"}, "too short": {"window": "1s"}, "too long": {"window": "3000h"}, "negative": {"window": "-1h"},
		"no groups": {"first": 0}, "too many": {"first": 101},
	} {
		if err := a.refused(query, v); err.Extensions.Code != "INVALID_ARGUMENT" {
			t.Errorf("%s: %+v", name, err)
		}
	}
}
