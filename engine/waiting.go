package engine

import (
	"encoding/json"
	"slices"
	"time"
)

// Waiting is what an instance waits for, as far as its history and its code tell. It is written beside the
// instance when a session lets go of it, so that lists can explain thousands of instances without reading a
// history.
type Waiting struct {
	// Tasks are pending activities, steps and children, the first few; Count is how many there are.
	Tasks []WaitingTask `json:"tasks,omitempty"`
	Count int           `json:"count,omitempty"`
	// Timer is the next one due.
	Timer *time.Time `json:"timer,omitempty"`
	// Events are the names the code waits for.
	Events []string `json:"events,omitempty"`
	// Since is when the last turn ended.
	Since time.Time `json:"since"`
}

// WaitingTask is one pending activity, step, child orchestration, operation of an entity, or lock of entities.
type WaitingTask struct {
	Kind string `json:"kind"` // activity, step, orchestration, operation, lock
	Name string `json:"name"`
	ID   int32  `json:"id"`
	// Instance is the id of the child, or of the entity.
	Instance string `json:"instance,omitempty"`
	// Locks are the entities to be locked.
	Locks []string  `json:"locks,omitempty"`
	Since time.Time `json:"since"`
}

// maxWaitingTasks is how many pending tasks are told apart; of the rest the number is enough.
const maxWaitingTasks = 3

// waiting sums up what the state waits for.
func (s *state) waiting() *Waiting {
	w := &Waiting{Since: s.lastTurn, Events: s.awaits}
	ids := make([]int32, 0, len(s.pending))
	for id := range s.pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		p := s.pending[id]
		switch {
		case p.timer != nil:
			if w.Timer == nil || p.timer.FireAt.Before(*w.Timer) {
				at := p.timer.FireAt
				w.Timer = &at
			}
			continue
		case p.task != nil:
			kind := "activity"
			if p.task.Step {
				kind = "step"
			}
			w.addTask(WaitingTask{Kind: kind, Name: p.task.Name, ID: id, Since: p.task.At})
		case p.child != nil:
			w.addTask(WaitingTask{Kind: "orchestration", Name: p.child.Name, ID: id, Instance: p.child.InstanceID, Since: p.child.At})
		case p.call != nil:
			w.addTask(WaitingTask{Kind: "operation", Name: p.call.Operation, ID: id, Instance: p.call.EntityID, Since: p.call.At})
		case p.lock != nil:
			w.addTask(WaitingTask{Kind: "lock", Name: p.lock.Entities[0], ID: id, Locks: p.lock.Entities, Since: p.lock.At})
		}
	}
	return w
}

func (w *Waiting) addTask(t WaitingTask) {
	w.Count++
	if len(w.Tasks) < maxWaitingTasks {
		w.Tasks = append(w.Tasks, t)
	}
}

func (w *Waiting) encode() []byte {
	out, err := json.Marshal(w)
	if err != nil { // text, numbers and times only
		panic(err)
	}
	return out
}
