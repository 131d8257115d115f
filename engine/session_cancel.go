package engine

import (
	"context"
	"slices"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// givenUp is why a child is to end whose parent does not wait for it any more.
const givenUp = "its parent gave it up"

// cancel carries out what the code has given up: rows and alarms go with the commit that records it, attempts of this
// process are told once it has landed (until then the task may be pending again), children are asked to end.
func (s *session) cancel(ctx context.Context, f *flight, p *plan) error {
	var children []int32
	for _, c := range p.cancels {
		if c.was.child != nil {
			children = append(children, c.id)
			continue
		}
		key := taskKey{s.no, s.state.gen, c.id}
		f.unit.cancels = append(f.unit.cancels, key)
		if c.was.task != nil {
			f.stop = append(f.stop, key)
			if c.was.task.Limit != "" {
				f.unit.freed = append(f.unit.freed, key)
			}
		}
	}
	if children == nil {
		return nil
	}
	nos, err := s.childNos(ctx, children)
	if err != nil {
		return err
	}
	payload, err := history.Encode([]history.Event{&history.ExecutionCancelRequested{
		Header: history.Header{At: s.state.lastTurn}, Reason: givenUp, By: s.info.InstanceID,
	}})
	if err != nil {
		return err
	}
	for _, no := range nos {
		f.unit.messages = append(f.unit.messages, message{no: no, gen: -1, kind: msgCancel, payload: payload})
	}
	return nil
}

// childNos are the numbers of children: of those that this session has started, whose commit may be on its way, from
// memory; of the others those that live, from the database.
func (s *session) childNos(ctx context.Context, tasks []int32) ([]int64, error) {
	var nos []int64
	unknown := slices.DeleteFunc(slices.Clone(tasks), func(task int32) bool {
		no, known := s.children[task]
		if known {
			nos = append(nos, no)
		}
		return known
	})
	if len(unknown) == 0 {
		return nos, nil
	}
	rows, err := s.n.e.q.FindLiveChildren(ctx, s.n.e.pool, store.FindLiveChildrenParams{ParentNo: s.no, ParentGen: s.state.gen, Tasks: unknown})
	return append(nos, rows...), err
}

// stop tells the attempts of this process that nobody waits for them.
func (s *session) stop(keys []taskKey) {
	for _, key := range keys {
		if a := s.local[key.task]; a != nil && a.task.key == key {
			delete(s.local, key.task)
			s.n.abandon(a)
			continue
		}
		s.n.stop(key)
	}
}

// stop ends the context of an attempt that runs here without a session.
func (n *Node) stop(key taskKey) {
	n.mu.Lock()
	a := n.attempts[key]
	n.mu.Unlock()
	if a != nil {
		a.cancel(errNotWaited)
	}
}
