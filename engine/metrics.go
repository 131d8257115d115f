package engine

import "sync/atomic"

// counter counts things since the process started.
type counter struct{ n atomic.Int64 }

// Inc adds one.
func (c *counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *counter) Add(n int) { c.n.Add(int64(n)) }

// nodeMetrics are what a Node counts.
type nodeMetrics struct {
	sessions, turns, replays, reloads, held, dropped, strayWakes counter
	tasks, timersFired, orphans, auditRepairs                    counter
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
