package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-dev/weir/engine"
)

// collector shows a node's counters to Prometheus.
type collector struct {
	registry *prometheus.Registry
	mu       sync.Mutex
	node     *engine.Node
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(engine.Stats) int64
}

func describe(name, help string, kind prometheus.ValueType, value func(engine.Stats) int64) metric {
	return metric{prometheus.NewDesc("weir_"+name, help, nil, nil), kind, value}
}

var metrics = []metric{
	describe("sessions", "Instances at work in this process.", prometheus.GaugeValue, func(s engine.Stats) int64 { return s.Sessions }),
	describe("sessions_total", "Sessions opened.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.SessionsSeen }),
	describe("turns_total", "Turns computed.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Turns }),
	describe("units_total", "Units committed.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Units }),
	describe("batches_total", "Transactions that committed them.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Batches }),
	describe("replays_total", "Instances brought back from their history.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Replays }),
	describe("reloads_total", "Sessions that lost a unit and read their instance anew.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Reloads }),
	describe("held_total", "Turns held because the code did not fit.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Held }),
	describe("answers_dropped_total", "Late or duplicate answers.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Dropped }),
	describe("stray_wakes_total", "Messages found by the safety net instead of a wake-up.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.StrayWakes }),
	describe("task_attempts_total", "Attempts at activities and steps.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Tasks }),
	describe("tasks", "Activities and steps at work in this process.", prometheus.GaugeValue, func(s engine.Stats) int64 { return s.TasksNow }),
	describe("timers_fired_total", "Timers this process fired.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.TimersFired }),
	describe("orphans_total", "Jobs taken over from dead workers.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.Orphans }),
	describe("cached_instances", "Idle instances kept in memory.", prometheus.GaugeValue, func(s engine.Stats) int64 { return s.Cached }),
}

func newCollector() *collector {
	c := &collector{registry: prometheus.NewRegistry()}
	c.registry.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

func (c *collector) watch(n *engine.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = n
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	node := c.node
	c.mu.Unlock()
	if node == nil {
		return
	}
	stats := node.Stats()
	for _, m := range metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(stats)))
	}
}
