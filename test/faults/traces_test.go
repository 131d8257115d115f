package faults_test

import (
	"context"
	"syscall"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/internal/otlptest"
)

// TestTracedAndKilled kills worker processes (kill -9) while all instances are traced. Spans that the dead had not sent are
// lost; no span is there twice, whoever went on, and what is there is one tree for each trace, but for what was lost.
func TestTracedAndKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := otlptest.New(t)
	cfg, err := otlp.FromEnv(c.Env())
	b.no(err)
	exporter := otlp.New(cfg)
	b.client, err = durable.NewClient(b.pool, durable.WithTracing(durable.Tracing{Sink: exporter, Ratio: 1}))
	b.no(err)
	t.Cleanup(b.client.Close)
	env := []string{activitiesEnv + "=2", "OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_METRICS_EXPORTER=none", "OTEL_BSP_SCHEDULE_DELAY=20"}
	l := b.start(12, true)
	workers := []*process{b.process(b.dsn, env...), b.process(b.dsn, env...)}
	at := b.progress(0)
	for i := range 4 {
		at = b.progress(at + 10)
		workers[i%2].kill()
		workers[i%2] = b.process(b.dsn, env...)
	}
	l.finish()
	for _, w := range workers {
		w.signal(syscall.SIGTERM)
		w.wait()
	}
	b.no(exporter.Close(context.Background()))

	spans, ids, starts, ends := c.Spans(), map[string]bool{}, 0, 0
	for _, s := range spans {
		if id := string(s.GetSpanId()); ids[id] {
			t.Errorf("the span %s is there twice", s.GetName())
		} else {
			ids[id] = true
		}
		switch {
		case s.GetKind() == tracepb.Span_SPAN_KIND_PRODUCER && otlptest.Attr(s, "durabletask.type").GetStringValue() == "orchestration":
			starts++
		case otlptest.Attr(s, "durabletask.task.execution_id") != nil && s.GetKind() == tracepb.Span_SPAN_KIND_SERVER:
			ends++
		}
	}
	lost := 0
	for _, s := range spans {
		if parent := string(s.GetParentSpanId()); parent != "" && !ids[parent] {
			lost++
		}
	}
	t.Logf("%d spans, %d of them under one that was lost; %d starts, %d generations that ended", len(spans), lost, starts, ends)
	if starts < 12 || ends < 12 || lost > len(spans)/4 {
		t.Error("too much is lost")
	}
}
