package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/logkey"
)

// timers fires what is due. Its heap holds hints only: the right to fire is the timers row, and whoever
// deletes it delivers, so a hint may be stale, doubled or late without harm. Timers that are due soon are held
// by the process that created them; all others, and those whose holder is late, are found by scanning.
type timers struct {
	n *Node

	mu     sync.Mutex
	heap   timerHeap
	queued map[timerKey]bool
	signal chan struct{}
}

const (
	// timerHorizon is how far ahead timers are held in memory.
	timerHorizon = 30 * time.Second
	// scanEvery is how often the leader reads ahead; others look only for what is overdue.
	scanEvery   = 10 * time.Second
	overdueScan = 500 * time.Millisecond
)

type timerHint struct {
	key timerKey
	at  time.Time
}

type timerHeap []timerHint

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timerHint)) }
func (h *timerHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func newTimers(n *Node) *timers {
	return &timers{n: n, queued: map[timerKey]bool{}, signal: make(chan struct{}, 1)}
}

// hold takes hints in.
func (t *timers) hold(rows []newTimer) {
	if len(rows) == 0 {
		return
	}
	t.mu.Lock()
	for _, r := range rows {
		if !t.queued[r.timerKey] {
			t.queued[r.timerKey] = true
			heap.Push(&t.heap, timerHint{r.timerKey, r.fireAt})
		}
	}
	t.mu.Unlock()
	select {
	case t.signal <- struct{}{}:
	default:
	}
}

// run fires what is due and scans, until ctx ends.
func (t *timers) run(ctx context.Context) error {
	var (
		ahead   time.Time // when the leader last read ahead
		overdue = time.NewTicker(overdueScan)
		alarm   = time.NewTimer(time.Hour)
	)
	defer overdue.Stop()
	defer alarm.Stop()
	for {
		alarm.Reset(t.fire())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.signal:
		case <-alarm.C:
		case <-overdue.C:
			horizon := -0.2
			if t.n.isLeader() && time.Since(ahead) >= scanEvery {
				horizon, ahead = timerHorizon.Seconds(), time.Now()
			} else if !t.n.isLeader() {
				horizon = -2 // the leader may be hung; better late than never
			}
			t.scan(ctx, horizon)
		}
	}
}

// scan reads timers that are due within the horizon, in seconds.
func (t *timers) scan(ctx context.Context, horizon float64) {
	rows, err := t.n.e.q.ScanTimers(ctx, t.n.e.pool, horizon)
	if err != nil {
		if ctx.Err() == nil {
			t.n.log.WarnContext(ctx, "scan timers", logkey.Err, err)
		}
		return
	}
	hints := make([]newTimer, len(rows))
	for i, r := range rows {
		hints[i] = newTimer{timerKey: timerKey{taskKey{r.InstanceNo, r.Gen, r.Task}, r.Kind}, fireAt: r.FireAt}
	}
	t.hold(hints)
}

// fire submits what is due and returns how long until the next.
func (t *timers) fire() time.Duration {
	t.mu.Lock()
	var due []timerKey
	wait := time.Hour
	for len(t.heap) > 0 {
		// The database decides whether a timer is due. A millisecond more makes up for what the two clocks may
		// differ, so that it need not be asked twice.
		left := t.n.clock.until(t.heap[0].at) + time.Millisecond
		if left > 0 {
			wait = left
			break
		}
		hint := heap.Pop(&t.heap).(timerHint)
		delete(t.queued, hint.key)
		due = append(due, hint.key)
	}
	t.mu.Unlock()
	for _, key := range due {
		u := &unit{no: key.no, done: func(*unit, outcome) {}}
		switch key.kind {
		case timerRetry:
			u.retriesDue = []timerKey{key}
		case timerStartBy, timerEndBy:
			var err error
			if u, err = t.deadlineDue(key); err != nil {
				continue // not possible: numbers and text only
			}
		default:
			u.timersDue = []timerKey{key}
		}
		t.n.metrics.timersFired.Inc()
		t.n.lane.submit(u)
	}
	return wait
}
