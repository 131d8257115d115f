package durable

import (
	"testing"
	"time"
)

// TestBackoff: waits double while lives are short or joining fails, and a worker that has worked comes back at once.
func TestBackoff(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	var b backoff
	for i, step := range []struct{ worked, want time.Duration }{
		{0, 100 * ms},
		{0, 200 * ms},
		{50 * ms, 400 * ms},
		{2 * time.Second, 800 * ms},
		{0, 1600 * ms},
		{0, 3200 * ms},
		{0, 5 * time.Second},
		{4900 * ms, 5 * time.Second},
		{5 * time.Second, 100 * ms},
		{0, 200 * ms},
		{time.Hour, 100 * ms},
		{time.Hour, 100 * ms},
	} {
		if got := b.after(step.worked); got != step.want {
			t.Errorf("life %d worked for %s: got a wait of %s, want %s", i+1, step.worked, got, step.want)
		}
	}
}
