package engine

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// counter counts things since the process started.
type counter struct{ n atomic.Int64 }

// Inc adds one.
func (c *counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *counter) Add(n int) { c.n.Add(int64(n)) }

// nodeMetrics are what a Node counts.
type nodeMetrics struct {
	sessions, turns, replays, reloads, held, dropped, strayWakes counter
	tasks, timersFired, orphans, auditRepairs, takeOvers         counter

	queueWait  *histogram // from the commit that makes a turn job to the session it opens
	slotWait   *histogram // of activities and steps in this process
	turnTime   *histogram // of the code
	activities map[string]*activityMetrics
	ended      map[string]*[len(endStatuses)]counter // of orchestrations
}

type activityMetrics struct {
	time   *histogram // of one attempt
	failed counter    // attempts
}

// endStatuses are those in which generations end here.
var endStatuses = [...]history.Status{history.Completed, history.ContinuedAsNew, history.Failed, history.Canceled}

// init readies the metrics of a node that runs these: names are known beforehand, so that they are bounded.
func (m *nodeMetrics) init(kinds Capabilities) {
	m.queueWait, m.slotWait, m.turnTime = newHistogram(secondsBounds), newHistogram(secondsBounds), newHistogram(secondsBounds)
	m.activities, m.ended = map[string]*activityMetrics{}, map[string]*[len(endStatuses)]counter{}
	for _, d := range kinds.Activities {
		m.activities[d.Name] = &activityMetrics{time: newHistogram(secondsBounds)}
	}
	for _, d := range kinds.Orchestrations {
		m.ended[d.Name] = new([len(endStatuses)]counter)
	}
}

// ran counts an attempt at an activity.
func (m *nodeMetrics) ran(name string, took time.Duration, failed bool) {
	a := m.activities[name]
	if a == nil { // a step, or a plain River job
		return
	}
	a.time.observe(took.Seconds())
	if failed {
		a.failed.Inc()
	}
}

// over counts a generation that has ended.
func (m *nodeMetrics) over(name string, status history.Status) {
	counts := m.ended[name]
	for i, s := range endStatuses {
		if s == status && counts != nil {
			counts[i].Inc()
		}
	}
}

// ActionKind is what an action is about; DTS counts by these.
type ActionKind int

// The kinds of actions.
const (
	OrchestrationAction ActionKind = iota
	ActivityAction
	TimerAction
	EntityAction
)

// ActionKinds are the names of the kinds, by their numbers.
var ActionKinds = [...]string{"orchestration", "activity", "timer", "entity"}

// actions counts actions by their kind.
type actions [len(ActionKinds)]int32

// count adds what a turn's events stand for: starts, activities, timers that fired, events, operations of entities, and each
// result that was taken in. Starts of instances are counted where they are committed.
func (a *actions) count(events []history.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case *history.TaskScheduled:
			if !e.Step {
				a[ActivityAction]++
			}
		case *history.TaskCompleted, *history.TaskFailed:
			a[ActivityAction]++
		case *history.TimerFired:
			a[TimerAction]++
		case *history.SubOrchestrationInstanceCompleted, *history.SubOrchestrationInstanceFailed, *history.EventRaised, *history.ExecutionSuspended,
			*history.ExecutionResumed:
			a[OrchestrationAction]++
		case *history.EntityOperationCompleted, *history.EntityOperationFailed, *history.EntityLockGranted:
			a[EntityAction]++
		}
	}
}

// laneMetrics are what the committers of a process count.
type laneMetrics struct {
	actions    [len(ActionKinds)]counter
	commitTime *histogram
	batchUnits *histogram
	rejected   counter // units whose instance had moved on
}

func newLaneMetrics() *laneMetrics {
	return &laneMetrics{commitTime: newHistogram(secondsBounds), batchUnits: newHistogram(unitsBounds)}
}

// landed counts a batch.
func (m *laneMetrics) landed(batch []*unit, took time.Duration) {
	m.commitTime.observe(took.Seconds())
	m.batchUnits.observe(float64(len(batch)))
	var sum actions
	for _, u := range batch {
		for k, n := range u.actions {
			sum[k] += n
		}
		for i := range u.starts {
			if !isEntity(u.starts[i].id) {
				sum[OrchestrationAction]++
			}
		}
		if u.kind == unitTerminate || u.kind == unitControl || u.kind == unitCancel {
			sum[OrchestrationAction]++
		}
	}
	for k, n := range sum {
		if n > 0 {
			m.actions[k].Add(int(n))
		}
	}
}

// The upper bounds of the buckets of histograms.
var (
	secondsBounds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}
	unitsBounds   = []float64{1, 2, 5, 10, 25, 50, 100, 200, 500}
)

// histogram counts values by size. Its methods take no lock.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64 // one more than bounds
	sum    atomic.Uint64   // bits of a float64
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(v float64) {
	at := 0
	for at < len(h.bounds) && v > h.bounds[at] {
		at++
	}
	h.counts[at].Add(1)
	for {
		was := h.sum.Load()
		if h.sum.CompareAndSwap(was, math.Float64bits(math.Float64frombits(was)+v)) {
			return
		}
	}
}

func (h *histogram) read() Histogram {
	out := Histogram{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: math.Float64frombits(h.sum.Load())}
	for i := range h.counts {
		out.Counts[i] = h.counts[i].Load()
	}
	return out
}

// Histogram is a reading of values counted by size.
type Histogram struct {
	// Bounds are the upper bounds of Counts, which has one more for what is larger.
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Count is how many values there were.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Stats is a reading of a Node's counters and gauges.
type Stats struct {
	Sessions     int64 // open now
	SessionsSeen int64
	Turns        int64
	Units        int64
	Batches      int64
	Replays      int64
	Reloads      int64
	Held         int64
	// Dropped are late or duplicate answers.
	Dropped     int64
	StrayWakes  int64 // messages found by the safety net, not by a wake-up
	Tasks       int64 // attempts made
	TasksNow    int64
	TimersFired int64
	Orphans     int64 // rows taken over from the dead
	// AuditRepairs are jobs that somebody had cancelled, deleted or lost, and that were made anew.
	AuditRepairs int64
	Cached       int64
}

// Figures are all that a process tells of its part in the engine.
type Figures struct {
	Stats
	// Actions are by ActionKind.
	Actions [len(ActionKinds)]int64
	// TakeOvers are instances taken over from a session that was lost, Rejected the units of sessions that had lost theirs.
	TakeOvers int64
	Rejected  int64
	// Slots are how many activities may run at once here.
	Slots int64
	// Seconds, but for BatchUnits.
	QueueWait, SlotWait, TurnTime, CommitTime, BatchUnits Histogram
	// Activities are by name, and Ended by the orchestration's name and the status of the generation.
	Activities map[string]ActivityFigures
	Ended      map[string]map[history.Status]int64
}

// ActivityFigures are about the attempts at one activity.
type ActivityFigures struct {
	Seconds Histogram
	Failed  int64
}

// Figures reads all that the node counts, and the committers of its process.
func (n *Node) Figures() Figures {
	m, l := &n.metrics, n.e.metrics
	f := Figures{
		Stats: n.Stats(), TakeOvers: m.takeOvers.n.Load(), Rejected: l.rejected.n.Load(), QueueWait: m.queueWait.read(), SlotWait: m.slotWait.read(),
		TurnTime: m.turnTime.read(), CommitTime: l.commitTime.read(), BatchUnits: l.batchUnits.read(),
		Activities: map[string]ActivityFigures{}, Ended: map[string]map[history.Status]int64{},
	}
	if n.exec != nil {
		f.Slots = int64(n.cfg.Activities)
	}
	for k := range l.actions {
		f.Actions[k] = l.actions[k].n.Load()
	}
	for name, a := range m.activities {
		f.Activities[name] = ActivityFigures{a.time.read(), a.failed.n.Load()}
	}
	for name, counts := range m.ended {
		f.Ended[name] = map[history.Status]int64{}
		for i, s := range endStatuses {
			f.Ended[name][s] = counts[i].n.Load()
		}
	}
	return f
}
