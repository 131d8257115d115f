package graph

import (
	"fmt"
	"testing"
	"time"
)

// TestBuckets: a budget comes back with time, and never beyond its bound; who has not asked for long is forgotten.
func TestBuckets(t *testing.T) {
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	b := newBuckets(Budget{Burst: 100, PerSecond: 10})
	b.now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		cost  int
		left  int
		wait  time.Duration
	}{
		{0, 60, 40, 0},
		{0, 60, 40, 2 * time.Second},
		{time.Second, 60, 50, time.Second},
		{time.Second, 60, 0, 0},
		{time.Hour, 0, 100, 0},
		{0, 101, 100, 100 * time.Millisecond},
	} {
		now = now.Add(step.after)
		if left, wait := b.spend("ann", step.cost); left != step.left || wait != step.wait {
			t.Errorf("%+v: %d left, wait %s", step, left, wait)
		}
	}
	for n := range maxBuckets + 50 {
		b.spend(fmt.Sprint(n), 1)
		now = now.Add(time.Millisecond)
	}
	if n := len(b.left); n > maxBuckets {
		t.Errorf("%d callers are kept in mind", n)
	}
	if left, wait := newBuckets(Budget{Burst: 5}).spend("ann", 100); left != 5 || wait != 0 {
		t.Errorf("without a rate: %d left, wait %s", left, wait)
	}
}
