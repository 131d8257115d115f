package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/durable/weirprom"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph"
)

// backlogEvery is how long a reading of the backlog is used: a look at all jobs is not for every scrape of every server.
const backlogEvery = 10 * time.Second

// collector shows a server's figures to Prometheus: those of its node, of its API, and of the hubs. The label hub is bounded
// by engine.MaxBacklogHubs; what else could be one, the id of an instance, is without bound, and is asked of the API.
type collector struct {
	registry *prometheus.Registry
	api      *graph.Handler
	engine   *engine.Engine
	log      *slog.Logger
	spans    *otlp.Exporter // nil if none are sent

	mu      sync.Mutex
	node    *engine.Node
	backlog []engine.HubBacklog
	readAt  time.Time
}

// apiMetric is one figure of the API.
type apiMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(graph.Stats) int64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("weir_"+name, help, labels, nil)
}

var apiMetrics = []apiMetric{
	{describe("graphql_connections", "Websockets and streams of server-sent events that are open."), prometheus.GaugeValue, func(s graph.Stats) int64 { return int64(s.Connections) }},
	{describe("graphql_subscriptions", "GraphQL subscriptions that are open."), prometheus.GaugeValue, func(s graph.Stats) int64 { return int64(s.Subscriptions) }},
	{describe("graphql_panics_total", "Panics while GraphQL requests were answered."), prometheus.CounterValue, func(s graph.Stats) int64 { return s.Panics }},
}

var (
	backlogPending   = describe("backlog_pending", "Work of a hub that waits to be taken up.", "hub", "kind")
	backlogActive    = describe("backlog_active", "Work of a hub that is under way, as far as the database shows it.", "hub", "kind")
	backlogOldest    = describe("backlog_oldest_age_seconds", "For how long the first of a hub's waiting work has waited.", "hub", "kind")
	connectedWorkers = describe("connected_workers", "Workers of a hub that are online.", "hub")
	spansTotal       = describe("spans_total", "Spans by what became of them.", "outcome")
)

func newCollector(e *engine.Engine, api *graph.Handler, spans *otlp.Exporter, log *slog.Logger) *collector {
	c := &collector{registry: prometheus.NewRegistry(), api: api, engine: e, spans: spans, log: log}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_build_info", Help: "The program's version, as a label; always 1.", ConstLabels: prometheus.Labels{"version": version()},
	}, func() float64 { return 1 })
	c.registry.MustRegister(c, build, weirprom.Collector(c.figures), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

func (c *collector) watch(n *engine.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = n
}

func (c *collector) figures() (engine.Figures, bool) {
	c.mu.Lock()
	node := c.node
	c.mu.Unlock()
	if node == nil {
		return engine.Figures{}, false
	}
	return node.Figures(), true
}

// hubs reads the backlog, unless it was read just now. Without a database there is none, and the series end.
func (c *collector) hubs() []engine.HubBacklog {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.readAt) < backlogEvery {
		return c.backlog
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	if c.backlog, err = c.engine.Backlog(ctx); err != nil {
		c.log.WarnContext(ctx, "no figures of the hubs", logkey.Err, err)
	}
	c.readAt = time.Now()
	return c.backlog
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range apiMetrics {
		ch <- m.desc
	}
	for _, d := range []*prometheus.Desc{backlogPending, backlogActive, backlogOldest, connectedWorkers, spansTotal} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.api.Stats()
	for _, m := range apiMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(stats)))
	}
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	for _, h := range c.hubs() {
		for i, kind := range engine.BacklogKinds {
			gauge(backlogPending, float64(h.Kinds[i].Pending), h.Hub, kind)
			gauge(backlogActive, float64(h.Kinds[i].Active), h.Hub, kind)
			gauge(backlogOldest, h.Kinds[i].Oldest.Seconds(), h.Hub, kind)
		}
		gauge(connectedWorkers, float64(h.Workers), h.Hub)
	}
	if c.spans == nil {
		return
	}
	spans := c.spans.Stats()
	for outcome, n := range map[string]int64{"sent": spans.Sent, "dropped": spans.Dropped, "failed": spans.Failed} {
		ch <- prometheus.MustNewConstMetric(spansTotal, prometheus.CounterValue, float64(n), outcome)
	}
}
