// Package weirprom shows a worker's figures to Prometheus:
//
//	registry.MustRegister(weirprom.Worker(worker))
//
// docs/observability.md has the list. Labels are bounded: the names of activities and orchestrations are those the worker has
// handlers of.
package weirprom

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// Worker returns a collector of a worker's figures.
func Worker(w *durable.Worker) prometheus.Collector { return Collector(w.Figures) }

// Collector returns a collector of the figures that read returns, if it has any.
func Collector(read func() (engine.Figures, bool)) prometheus.Collector { return &collector{read} }

// single is a figure that has no label.
type single struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*engine.Figures) int64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("weir_"+name, help, labels, nil)
}

func gauge(name, help string, value func(*engine.Figures) int64) single {
	return single{describe(name, help), prometheus.GaugeValue, value}
}

func counter(name, help string, value func(*engine.Figures) int64) single {
	return single{describe(name, help), prometheus.CounterValue, value}
}

var singles = []single{
	gauge("sessions", "Instances at work in this process.", func(f *engine.Figures) int64 { return f.Sessions }),
	counter("sessions_total", "Sessions opened.", func(f *engine.Figures) int64 { return f.SessionsSeen }),
	counter("turns_total", "Turns computed.", func(f *engine.Figures) int64 { return f.Turns }),
	counter("units_total", "Units committed.", func(f *engine.Figures) int64 { return f.Units }),
	counter("units_rejected_total", "Units that came from a session which had lost its instance, and were not committed.", func(f *engine.Figures) int64 { return f.Rejected }),
	counter("batches_total", "Transactions that committed them.", func(f *engine.Figures) int64 { return f.Batches }),
	counter("replays_total", "Instances brought back from their history.", func(f *engine.Figures) int64 { return f.Replays }),
	counter("reloads_total", "Sessions that lost a unit and read their instance anew.", func(f *engine.Figures) int64 { return f.Reloads }),
	counter("takeovers_total", "Instances taken over from a session that was lost, here or elsewhere.", func(f *engine.Figures) int64 { return f.TakeOvers }),
	counter("held_total", "Turns held because the code did not fit.", func(f *engine.Figures) int64 { return f.Held }),
	counter("answers_dropped_total", "Late or duplicate answers.", func(f *engine.Figures) int64 { return f.Dropped }),
	counter("stray_wakes_total", "Messages found by the safety net instead of a wake-up.", func(f *engine.Figures) int64 { return f.StrayWakes }),
	counter("task_attempts_total", "Attempts at activities and steps.", func(f *engine.Figures) int64 { return f.Tasks }),
	gauge("tasks", "Activities and steps at work in this process.", func(f *engine.Figures) int64 { return f.TasksNow }),
	gauge("activity_slots", "Activities that may run at once in this process.", func(f *engine.Figures) int64 { return f.Slots }),
	counter("timers_fired_total", "Timers this process fired.", func(f *engine.Figures) int64 { return f.TimersFired }),
	counter("orphans_total", "Jobs taken over from dead workers.", func(f *engine.Figures) int64 { return f.Orphans }),
	counter("audit_repairs_total", "Jobs that were cancelled, deleted or lost, and made anew.", func(f *engine.Figures) int64 { return f.AuditRepairs }),
	gauge("cached_instances", "Idle instances kept in memory.", func(f *engine.Figures) int64 { return f.Cached }),
}

// distribution is a figure that is counted by size.
type distribution struct {
	desc  *prometheus.Desc
	value func(*engine.Figures) engine.Histogram
}

var distributions = []distribution{
	{describe("turn_queue_seconds", "From the commit that starts or wakes an idle instance to the session that takes it up."), func(f *engine.Figures) engine.Histogram { return f.QueueWait }},
	{describe("slot_wait_seconds", "For how long activities of this process's orchestrations have waited for a slot."), func(f *engine.Figures) engine.Histogram { return f.SlotWait }},
	{describe("turn_seconds", "For how long the code of orchestrations and entities ran in a turn."), func(f *engine.Figures) engine.Histogram { return f.TurnTime }},
	{describe("commit_seconds", "For how long transactions took."), func(f *engine.Figures) engine.Histogram { return f.CommitTime }},
	{describe("batch_units", "Units in a transaction."), func(f *engine.Figures) engine.Histogram { return f.BatchUnits }},
}

var (
	actions         = describe("actions_total", "Actions as DTS counts them: starts, timers, events, operations, and each result that was taken in.", "kind")
	activitySeconds = describe("activity_seconds", "For how long attempts at an activity ran.", "activity")
	activityFailed  = describe("activity_failures_total", "Attempts at an activity that failed.", "activity")
	ended           = describe("orchestrations_ended_total", "Generations of orchestrations that ended here, by their status.", "orchestration", "status")
)

type collector struct{ read func() (engine.Figures, bool) }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range singles {
		ch <- m.desc
	}
	for _, m := range distributions {
		ch <- m.desc
	}
	for _, d := range []*prometheus.Desc{actions, activitySeconds, activityFailed, ended} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	f, ok := c.read()
	if !ok {
		return
	}
	for _, m := range singles {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(&f)))
	}
	for _, m := range distributions {
		ch <- histogram(m.desc, m.value(&f))
	}
	for k, name := range engine.ActionKinds {
		ch <- prometheus.MustNewConstMetric(actions, prometheus.CounterValue, float64(f.Actions[k]), name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Activities)) {
		a := f.Activities[name]
		ch <- histogram(activitySeconds, a.Seconds, name)
		ch <- prometheus.MustNewConstMetric(activityFailed, prometheus.CounterValue, float64(a.Failed), name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Ended)) {
		for status, n := range f.Ended[name] {
			ch <- prometheus.MustNewConstMetric(ended, prometheus.CounterValue, float64(n), name, strings.ToLower(status.String()))
		}
	}
}

func histogram(desc *prometheus.Desc, h engine.Histogram, labels ...string) prometheus.Metric {
	buckets, sum := map[float64]uint64{}, uint64(0)
	for i, bound := range h.Bounds {
		sum += h.Counts[i]
		buckets[bound] = sum
	}
	return prometheus.MustNewConstHistogram(desc, h.Count(), h.Sum, buckets, labels...)
}
