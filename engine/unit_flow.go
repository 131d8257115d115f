package engine

import "github.com/weir-dev/weir/engine/internal/store"

// flowParts are what a unit has to do with the bounds of calls.
type flowParts struct {
	deadlines []deadline // B6: those that are due
	settled   []taskKey  // B7: calls that have ended and left something behind
	limited   []limitedCall
	freed     []taskKey // B7: calls that a limit bounds and that have ended, or wait for their next attempt
}

// limitedCall is a call that waits to be let through; B7.
type limitedCall struct {
	taskKey
	bucket   store.Bucket
	priority int16
}

// deadline is a due timers row of kind timerStartBy or timerEndBy, and the failure that it brings.
type deadline struct {
	timerKey
	payload []byte
}

// addFlow puts the parts into a batch.
func (u *unit) addFlow(b *store.Batch, wakes []int64) []int64 {
	for _, d := range u.deadlines {
		t := &b.Flow.Deadlines
		b.Locks = append(b.Locks, d.no)
		t.Nos, t.Gens, t.Tasks = append(t.Nos, d.no), append(t.Gens, d.gen), append(t.Tasks, d.task)
		t.Kinds, t.Payloads = append(t.Kinds, d.kind), append(t.Payloads, d.payload)
		wakes = append(wakes, d.no)
	}
	for _, k := range u.settled {
		t := &b.Flow.Settled
		t.Nos, t.Gens, t.Tasks = append(t.Nos, k.no), append(t.Gens, k.gen), append(t.Tasks, k.task)
	}
	for i := range u.limited {
		t, c := &b.Flow.Limited, &u.limited[i]
		t.Nos, t.Gens, t.Tasks = append(t.Nos, c.no), append(t.Gens, c.gen), append(t.Tasks, c.task)
		t.Hubs, t.Names, t.Keys = append(t.Hubs, c.bucket.Hub), append(t.Names, c.bucket.Name), append(t.Keys, c.bucket.Key)
		t.Priorities = append(t.Priorities, c.priority)
	}
	for _, k := range u.freed {
		t := &b.Flow.Freed
		t.Nos, t.Gens, t.Tasks = append(t.Nos, k.no), append(t.Gens, k.gen), append(t.Tasks, k.task)
	}
	return wakes
}

// limitedBuckets are those in which the units make calls wait.
func limitedBuckets(units []*unit) (out []store.Bucket) {
	for _, u := range units {
		for i := range u.limited {
			out = append(out, u.limited[i].bucket)
		}
	}
	return out
}
