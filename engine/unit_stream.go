package engine

import (
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// streamParts are what a unit adds to its instance's progress (B4).
type streamParts struct {
	progress []progress
}

// progress is one record: of the orchestration's code, or of an attempt at a task.
type progress struct {
	gen     int32
	task    int32 // ofTheCode, or the task
	attempt int16
	name    string // of the activity or step
	value   history.Payload
}

// ofTheCode stands where progress is not of a task.
const ofTheCode = -1

// addStream puts the parts into a batch.
func (u *unit) addStream(b *store.Batch) {
	t := &b.Progress
	for i := range u.progress {
		p := &u.progress[i]
		ref, _ := p.value.Stored()
		t.Nos, t.Gens, t.Tasks = append(t.Nos, u.no), append(t.Gens, p.gen), append(t.Tasks, p.task)
		t.Attempts, t.Names = append(t.Attempts, p.attempt), append(t.Names, p.name)
		t.Datas, t.Refs = append(t.Datas, p.value.Inline()), append(t.Refs, ref)
		t.Ords = append(t.Ords, int32(len(t.Ords)))
	}
}

// streamSize estimates the bytes of their parameters.
func (u *unit) streamSize() (n int) {
	for i := range u.progress {
		n += 60 + len(u.progress[i].name) + len(u.progress[i].value.Inline())
	}
	return n
}
