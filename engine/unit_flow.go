package engine

import "github.com/weir-dev/weir/engine/internal/store"

// flowParts are what a unit has to do with the bounds of calls.
type flowParts struct {
	deadlines []deadline // B6: those that are due
	settled   []taskKey  // B7: calls that have ended and left something behind
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
	return wakes
}
