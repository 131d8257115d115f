package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/weirprom"
	"github.com/weir-dev/weir/internal/otlptest"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

// families reads metrics in Prometheus' form, and checks how they are named.
func families(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	out, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// value is that of a series; the count of values if it is a histogram.
func value(t *testing.T, f *dto.MetricFamily, labels ...string) float64 {
	t.Helper()
	for _, m := range f.GetMetric() {
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] })
		}
		if fits {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Errorf("%s has no series with %v", f.GetName(), labels)
	return 0
}

// TestMetrics: a server and a worker at work say what the documentation, the board and the rules say that they do.
func TestMetrics(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, weirtest.Schema)
	c := otlptest.New(t)
	r := boot(t, "WEIR_DATABASE_URL", db.DSN(), "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL, "OTEL_METRIC_EXPORT_INTERVAL", "100", "WEIR_HUBS", "default,second")
	r.ready()
	const (
		run  durable.Orchestration[int, int]  = "run"
		work durable.Activity[int, int]       = "work"
		hit  durable.Operation[int, int, int] = "counter/hit"
	)
	worker, err := durable.NewWorker(db.Pool(t), nil,
		run.Handler(func(ctx *durable.Context, n int) (int, error) {
			if err := ctx.Sleep(time.Millisecond); err != nil {
				return 0, err
			}
			if _, err := hit.Call(ctx, "k", n); err != nil {
				return 0, err
			}
			return work.Call(ctx, n, durable.Retry{Attempts: 2, Initial: time.Millisecond})
		}),
		work.Handler(func(ctx context.Context, n int) (int, error) {
			if task, _ := durable.Task(ctx); task.Attempt == 1 {
				return 0, errors.New("not yet")
			}
			return n, nil
		}),
		hit.Handler(func(_ *durable.EntityContext, s *int, n int) (int, error) { *s += n; return *s, nil }))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := worker.Figures(); ok {
		t.Error("a worker that does not run has figures")
	}
	life, stop := context.WithCancel(context.WithoutCancel(r.ctx))
	done := make(chan error, 1)
	go func() { done <- worker.Run(life) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	client, err := durable.NewClient(db.Pool(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	const nobody durable.Orchestration[int, int] = "nobody"
	if _, err := nobody.Start(r.ctx, client, 1); err != nil { // waits for ever
		t.Fatal(err)
	}
	inst, err := run.Start(r.ctx, client, 1)
	if err == nil {
		_, err = inst.Wait(r.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(weirprom.Worker(worker))
	web := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	var mine map[string]*dto.MetricFamily
	r.until("the worker has counted", func() bool {
		mine = families(t, scrape(t, web))
		return value(t, mine["weir_orchestrations_ended_total"], "orchestration", "run", "status", "completed") == 1
	})
	for _, want := range []struct {
		name   string
		value  float64
		labels []string
	}{
		{"weir_activity_seconds", 2, []string{"activity", "work"}},
		{"weir_activity_failures_total", 1, []string{"activity", "work"}},
		{"weir_actions_total", 2, []string{"kind", "activity"}}, // scheduled, and its result
		{"weir_actions_total", 1, []string{"kind", "timer"}},
		{"weir_actions_total", 2, []string{"kind", "entity"}}, // carried out, and its result
		{"weir_slot_wait_seconds", 2, nil},
		{"weir_activity_slots", 1000, nil},
	} {
		if got := value(t, mine[want.name], want.labels...); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	for _, name := range []string{"weir_turn_queue_seconds", "weir_commit_seconds", "weir_batch_units", "weir_turn_seconds"} {
		if value(t, mine[name]) == 0 {
			t.Errorf("%s has counted nothing", name)
		}
	}

	var theirs map[string]*dto.MetricFamily
	scraped := time.Now()
	r.until("the server has seen the backlog", func() bool {
		if time.Since(scraped) > 2*backlogEvery {
			t.Fatal("the backlog is never read")
		}
		_, body, _ := r.get("/metrics")
		theirs = families(t, body)
		return value(t, theirs["weir_backlog_pending"], "hub", "default", "kind", "orchestration") == 1 && value(t, theirs["weir_connected_workers"], "hub", "default") == 1
	})
	if value(t, theirs["weir_backlog_oldest_age_seconds"], "hub", "default", "kind", "orchestration") <= 0 {
		t.Error("what waits has no age")
	}
	for _, kind := range []string{"orchestration", "activity", "entity"} {
		if value(t, theirs["weir_backlog_pending"], "hub", "second", "kind", kind) != 0 {
			t.Error("the second hub has a backlog")
		}
	}
	if value(t, theirs["weir_connected_workers"], "hub", "second") != 0 {
		t.Error("the second hub has a worker")
	}

	r.until("the metrics are pushed", func() bool { return len(c.Metrics()) > 0 })
	pushed := c.Metrics()
	for name, f := range theirs {
		switch m := pushed[name]; {
		case f.GetType() == dto.MetricType_SUMMARY:
		case m == nil:
			t.Errorf("%s is not pushed", name)
		case f.GetType() == dto.MetricType_HISTOGRAM:
			p := m.GetHistogram().GetDataPoints()[0]
			if len(p.GetBucketCounts()) != len(p.GetExplicitBounds())+1 || m.GetHistogram().GetAggregationTemporality() != 2 {
				t.Errorf("%s is pushed as %v", name, m)
			}
		case f.GetType() == dto.MetricType_COUNTER && !m.GetSum().GetIsMonotonic(), f.GetType() == dto.MetricType_GAUGE && m.GetGauge() == nil:
			t.Errorf("%s is pushed as %v", name, m)
		}
	}
	if unit := pushed["weir_commit_seconds"].GetUnit(); unit != "s" {
		t.Errorf("the unit of a commit is %q", unit)
	}
	documented(t, mine, theirs)
}

// documented holds the names that people are told of against those that are there.
func documented(t *testing.T, all ...map[string]*dto.MetricFamily) {
	t.Helper()
	allowed := map[string]bool{"hub": true, "kind": true, "activity": true, "orchestration": true, "status": true, "outcome": true, "version": true}
	there := map[string]bool{}
	for _, families := range all {
		for name, f := range families {
			if !strings.HasPrefix(name, "weir_") {
				continue
			}
			there[name] = true
			for _, l := range f.GetMetric()[0].GetLabel() {
				if !allowed[l.GetName()] {
					t.Errorf("%s has the label %s: what is it bounded by?", name, l.GetName())
				}
			}
		}
	}
	named := regexp.MustCompile(`\bweir_[a-z_]+[a-z]\b`)
	told := func(file, text string) map[string]bool {
		found := map[string]bool{}
		for _, name := range named.FindAllString(text, -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if cut, ok := strings.CutSuffix(name, suffix); ok && there[cut] {
					base = cut
				}
			}
			if found[base] = true; !there[base] {
				t.Errorf("%s names %s, which is not there", file, name)
			}
		}
		return found
	}
	read := func(file string) string {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	const board, rules, docs = "deploy/grafana/weir.json", "deploy/prometheus/alerts.yaml", "docs/observability.md"
	if !json.Valid([]byte(read(board))) {
		t.Errorf("%s is no JSON", board)
	}
	if found := told(board, read(board)); len(found) < 20 {
		t.Errorf("the board shows %d metrics", len(found))
	}
	if found := told(rules, read(rules)); len(found) < 5 {
		t.Errorf("the rules are about %d metrics", len(found))
	}
	_, tables, _ := strings.Cut(read(docs), "## Metrics")
	tables, _, _ = strings.Cut(tables, "## Logs")
	found := told(docs, tables)
	for name := range there {
		if !found[name] {
			t.Errorf("%s does not tell of %s", docs, name)
		}
	}
}

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(w, req)
	return w.Body.String()
}
