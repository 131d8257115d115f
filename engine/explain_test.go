package engine

import (
	"testing"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// TestReasonCountsTheOthers: one task is named, of the others the number, in words that fit it.
func TestReasonCountsTheOthers(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	for n, want := range []string{
		1: "Runs activity charge for 10.0 s.",
		2: "Runs activity charge for 10.0 s. 1 more is pending.",
		3: "Runs activity charge for 10.0 s. 2 more are pending.",
		9: "Runs activity charge for 10.0 s. 8 more are pending.",
	} {
		if want == "" {
			continue
		}
		w := &Waiting{Since: now.Add(-10 * time.Second)}
		for id := range n {
			w.addTask(WaitingTask{Kind: "activity", Name: "charge", ID: int32(id), Since: w.Since})
		}
		f := facts{instance: &Instance{Seq: 3, Status: history.Running}, waiting: w, tasks: map[int32]PendingTask{}}
		if got := f.reason().Text(now); got != want {
			t.Errorf("%d tasks: got %q, want %q", n, got, want)
		}
	}
}

// TestShortStandsStill: the short reason is shown as it was read, for as long as the instance does not change.
func TestShortStandsStill(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	timer := now.Add(time.Hour)
	for want, w := range map[string]*Waiting{
		"waits for event approval":            {Since: now, Events: []string{"approval"}},
		"waits for event approval or refusal": {Since: now, Events: []string{"approval", "refusal"}, Timer: &timer},
		"timer until 2026-01-01 01:00:00 UTC": {Since: now, Timer: &timer},
		"activity charge":                     {Since: now, Count: 1, Tasks: []WaitingTask{{Kind: "activity", Name: "charge", Since: now}}},
		"activity charge and 1 more":          {Since: now, Count: 2, Tasks: []WaitingTask{{Kind: "activity", Name: "charge", Since: now}}},
	} {
		i := &Instance{Seq: 3, Status: history.Running, Waiting: w}
		for _, later := range []time.Duration{0, 13500 * time.Millisecond, 3 * time.Hour} {
			if got := i.Short(func(Definition) bool { return true }, now.Add(later)); got != want {
				t.Errorf("after %s: got %q, want %q", later, got, want)
			}
		}
	}
}
