package property_test

import (
	"maps"
	"slices"

	"github.com/weir-dev/weir/durable"
)

// This is what operators do to instances, in the model.

func (m *model) suspend(i *instance) {
	if i.status != "SUSPENDED" {
		i.status = "SUSPENDED"
		i.turns = append(i.turns, []input{{kind: inSuspend}})
	}
}

func (m *model) resume(i *instance) {
	if i.status != "SUSPENDED" {
		return
	}
	i.turns = append(i.turns, []input{{kind: inResume}})
	if !i.code.begun && (i.delayed || !slices.ContainsFunc(i.held, func(in input) bool { return in.kind == inStart })) {
		i.status = "PENDING"
		return
	}
	held := i.held
	i.held, i.status = nil, "RUNNING"
	if len(held) > 0 {
		m.turn(i, held)
	}
}

// cancel asks an instance to end by itself.
func (m *model) cancel(i *instance) {
	if i.status == "PENDING" {
		i.turns = append(i.turns, []input{{kind: inCancel}})
		i.ends("CANCELED", "")
		m.tell(i)
		return
	}
	m.reach(i, input{kind: inCancel})
}

// terminate ends an instance, and what is below it if it is recursive.
func (m *model) terminate(i *instance, recursive bool) {
	i.turns = append(i.turns, []input{{kind: inTerminated}})
	i.ends("TERMINATED", "")
	m.tell(i)
	if !recursive {
		return
	}
	for _, id := range m.ids {
		if c := m.all[id]; c != nil && c.parent.no == i.no && c.live() {
			m.terminate(c, true)
		}
	}
}

// restart starts an instance that has ended again.
func (m *model) restart(i *instance) {
	i.again()
	i.parent = parent{}
	m.begin(i)
}

// again makes an instance one that has not begun.
func (i *instance) again() {
	i.gen++
	i.turns, i.code, i.status, i.output, i.shown, i.canceled = nil, newCode(i.input), "PENDING", "", "", false
}

// replace starts an instance in the place of another.
func (m *model) replace(old *instance, in Input) {
	live := old.live()
	m.start(old.id, in, parent{}, false)
	if live {
		old.status = "TERMINATED"
		m.tell(old)
	}
}

// purge deletes an instance that has ended, and what is below it if it is recursive. It returns how many it deletes.
func (m *model) purge(i *instance, recursive bool) (int, error) {
	doomed := []*instance{i}
	if recursive {
		for n := 0; n < len(doomed); n++ {
			for _, id := range m.ids {
				if c := m.all[id]; c != nil && c.parent.no == doomed[n].no {
					doomed = append(doomed, c)
				}
			}
		}
	}
	for _, d := range doomed {
		if d.live() {
			return 0, durable.ErrWrongState
		}
	}
	for _, d := range doomed {
		delete(m.all, d.id)
	}
	return len(doomed), nil
}

// rewinding is what a rewind would keep and bring again.
type rewinding struct {
	cut   int
	code  *code
	again []input
	taken map[int]input // results of children that are taken back, by step
}

// plan finds out what a rewind would do; ok is false if there is nothing to take back. step is -1 for none.
func (i *instance) plan(step int) (r rewinding, ok bool) {
	type place struct{ turn, in int }
	var taken []place
	decides := make([]int, len(i.turns))
	whole := newCode(i.input)
	for t, turn := range i.turns {
		for _, in := range turn {
			if !whole.ended {
				whole.take(in)
				decides[t] += whole.decides
			}
		}
	}
search:
	for t, turn := range slices.Backward(i.turns) {
		if step < 0 && i.status == "FAILED" && decides[t] > 0 && taken != nil {
			break
		}
		for n, in := range slices.Backward(turn) {
			switch {
			case step >= 0:
				if in.kind == inResult && in.step == step {
					taken = append(taken, place{t, n})
					break search
				}
			case i.status == "FAILED":
				if in.kind == inResult && !in.ok {
					taken = append(taken, place{t, n})
				}
			case in.kind == inCancel || in.kind == inTerminated:
				taken = append(taken, place{t, n})
			}
		}
	}
	if taken == nil || (step < 0 && i.status == "COMPLETED") {
		return r, false
	}
	r.cut, r.code, r.taken = taken[len(taken)-1].turn, newCode(i.input), map[int]input{}
	for _, turn := range i.turns[:r.cut] {
		for _, in := range turn {
			r.code.take(in)
		}
	}
	if !r.code.begun {
		return r, false
	}
	for t, turn := range i.turns[r.cut:] {
		for n, in := range turn {
			back := slices.Contains(taken, place{r.cut + t, n})
			switch in.kind {
			case inCommand:
				r.again = append(r.again, in)
			case inResult:
				p, waits := r.code.pending[in.step]
				in.gen = i.gen + 1
				switch {
				case !waits:
				case !back:
					r.again = append(r.again, in)
				case p.what == opChild || p.what == opMustChild:
					r.taken[in.step] = in
				}
			}
		}
	}
	return r, true
}

// rewind lets an instance that has ended go on from an earlier point.
func (m *model) rewind(i *instance, step int) bool {
	r, ok := i.plan(step)
	if !ok {
		return false
	}
	old := i.gen
	i.gen++
	i.turns = append(slices.Clone(i.turns[:r.cut]), []input{{kind: inRewound}})
	i.code, i.status, i.output, i.canceled = r.code, "RUNNING", "", false
	var below []*instance
	var naps []int
	for _, step := range slices.Sorted(maps.Keys(i.code.pending)) {
		switch i.code.pending[step].what {
		case opNap:
			naps = append(naps, step)
		case opChild, opMustChild:
			c := m.child(i, old, step)
			if c != nil {
				c.parent.gen = i.gen
			}
			switch was, taken := r.taken[step]; {
			case !taken:
			case c != nil:
				below = append(below, c)
			default:
				r.again = append(r.again, was)
			}
		}
	}
	if len(r.again) > 0 {
		m.turn(i, r.again)
	}
	for _, step := range naps {
		m.reach(i, input{kind: inNap, gen: i.gen, step: step})
	}
	for _, c := range below {
		switch {
		case c.live():
		case !m.rewind(c, -1):
			c.again()
			m.begin(c)
		}
	}
	return true
}

// child is the one that a step of a generation began, if it is there and still belongs to it.
func (m *model) child(i *instance, gen, step int) *instance {
	for _, id := range m.ids {
		if c := m.all[id]; c != nil && c.parent.no == i.no && c.parent.gen == gen && c.parent.step == step {
			return c
		}
	}
	return nil
}
