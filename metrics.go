package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph"
)

// collector shows a node's counters to Prometheus.
type collector struct {
	registry *prometheus.Registry
	api      *graph.Handler
	mu       sync.Mutex
	node     *engine.Node
}

// metric is one figure of a kind of statistics. None has a label: what could be one, the name of a hub, an
// orchestration or an instance, is without bound, and is asked of the API.
type metric[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(S) int64
}

func describe[S any](name, help string, kind prometheus.ValueType, value func(S) int64) metric[S] {
	return metric[S]{prometheus.NewDesc("weir_"+name, help, nil, nil), kind, value}
}

var apiMetrics = []metric[graph.Stats]{
	describe("graphql_connections", "Websockets and streams of server-sent events that are open.", prometheus.GaugeValue, func(s graph.Stats) int64 { return int64(s.Connections) }),
	describe("graphql_subscriptions", "GraphQL subscriptions that are open.", prometheus.GaugeValue, func(s graph.Stats) int64 { return int64(s.Subscriptions) }),
	describe("graphql_watched_lists", "Different lists that are watched; each is read once for all who watch it.", prometheus.GaugeValue, func(s graph.Stats) int64 { return int64(s.Lists) }),
	describe("graphql_panics_total", "Panics while GraphQL requests were answered.", prometheus.CounterValue, func(s graph.Stats) int64 { return s.Panics }),
}

var metrics = []metric[engine.Stats]{
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
	describe("audit_repairs_total", "Jobs that were cancelled, deleted or lost, and made anew.", prometheus.CounterValue, func(s engine.Stats) int64 { return s.AuditRepairs }),
	describe("cached_instances", "Idle instances kept in memory.", prometheus.GaugeValue, func(s engine.Stats) int64 { return s.Cached }),
}

func newCollector(api *graph.Handler) *collector {
	c := &collector{registry: prometheus.NewRegistry(), api: api}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_build_info", Help: "The program's version, as a label; always 1.", ConstLabels: prometheus.Labels{"version": version()},
	}, func() float64 { return 1 })
	c.registry.MustRegister(c, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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
	for _, m := range apiMetrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	node := c.node
	c.mu.Unlock()
	emit(ch, apiMetrics, c.api.Stats())
	if node != nil {
		emit(ch, metrics, node.Stats())
	}
}

func emit[S any](ch chan<- prometheus.Metric, metrics []metric[S], stats S) {
	for _, m := range metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(stats)))
	}
}
