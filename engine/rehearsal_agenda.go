package engine

import (
	"container/heap"
	"time"
)

// entry is something to do at a time.
type entry struct {
	at time.Time
	n  int64  // what was entered first comes first
	fn func() // nil: taken back
}

// take returns what is to be done, once.
func (e *entry) take() func() {
	fn := e.fn
	e.fn = nil
	return fn
}

// agenda is a heap of what is to be done, by time.
type agenda []*entry

func (a agenda) Len() int      { return len(a) }
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a agenda) Less(i, j int) bool {
	if c := a[i].at.Compare(a[j].at); c != 0 {
		return c < 0
	}
	return a[i].n < a[j].n
}

// Push implements heap.Interface.
func (a *agenda) Push(e any) { *a = append(*a, e.(*entry)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (r *Rehearsal) schedule(at time.Time, fn func()) *entry {
	if at.Before(r.now) {
		at = r.now
	}
	r.entries++
	e := &entry{at, r.entries, fn}
	heap.Push(&r.agenda, e)
	return e
}
