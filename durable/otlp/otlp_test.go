package otlp_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/engine/tracing"
	"github.com/weir-dev/weir/internal/otlptest"
)

func some(n int) []tracing.Span {
	out := make([]tracing.Span, n)
	for i := range out {
		at := time.Unix(1_800_000_000, int64(i)).UTC()
		out[i] = tracing.Span{
			Context: otlptest.Within(byte(i%250+1), true), Name: "a", Kind: tracing.Server, Start: at, End: at.Add(time.Second),
			Attrs: []tracing.Attr{tracing.Text("text", "ü\xff"), tracing.Int("number", -5)}, Links: []string{tracing.Format(otlptest.Within(9, false)), "nonsense"},
			Failed: true, Message: strings.Repeat("x", 5000),
		}
	}
	return out
}

func exporter(t *testing.T, c *otlptest.Collector, change func(*otlp.Config), env ...string) *otlp.Exporter {
	t.Helper()
	cfg, err := otlp.FromEnv(c.Env(env...))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	e := otlp.New(cfg)
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

// TestExport: what is sent is what the protocol's own types read, whatever texts come from outside.
func TestExport(t *testing.T) {
	t.Parallel()
	c := otlptest.New(t)
	e := exporter(t, c, nil, "OTEL_SERVICE_NAME", "shop", "OTEL_RESOURCE_ATTRIBUTES", "region=north,team=a%20b", "OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	e.Export(some(1))
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := c.Spans()
	if len(all) != 1 {
		t.Fatalf("%d spans", len(all))
	}
	s := all[0]
	if otlptest.Attr(s, "text").GetStringValue() != "ü\uFFFD" || otlptest.Attr(s, "number").GetIntValue() != -5 || len(s.GetStatus().GetMessage()) != 2048 || len(s.GetLinks()) != 1 ||
		s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano() != uint64(time.Second) || s.GetTraceState() != "vendor=x" || len(s.GetParentSpanId()) != 0 {
		t.Errorf("got %v", s)
	}
	if c.Resource("service.name") != "shop" || c.Resource("region") != "north" || c.Resource("team") != "a b" {
		t.Error("the resource is not what the environment says")
	}
	if _, headers := c.Requests(); headers.Get("X-Key") != "secret" {
		t.Errorf("headers %v", headers)
	}
	if st := e.Stats(); st.Sent != 1 || st.Dropped+st.Failed+st.Waiting != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestExportIsBounded: a collector that is away costs memory up to a bound, never a wait.
func TestExportIsBounded(t *testing.T) {
	t.Parallel()
	c := otlptest.New(t)
	c.Answer(http.StatusServiceUnavailable)
	e := exporter(t, c, func(cfg *otlp.Config) { cfg.Buffer = 100 << 10 })
	for range 100 {
		e.Export(some(10))
	}
	st := e.Stats()
	if st.Dropped == 0 || st.Waiting == 0 || st.Dropped+st.Waiting != 1000 {
		t.Errorf("got %+v", st)
	}
	limit, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Close(limit); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	e.Export(some(1))
	if after := e.Stats(); after.Dropped != st.Dropped+1 {
		t.Errorf("got %+v", after)
	}
}

// TestExportTriesAgain: what a collector cannot take now it gets again, what it refuses it does not.
func TestExportTriesAgain(t *testing.T) {
	t.Parallel()
	c := otlptest.New(t)
	c.Answer(http.StatusServiceUnavailable)
	e := exporter(t, c, func(cfg *otlp.Config) { cfg.Every = time.Millisecond })
	e.Export(some(3))
	for n := 0; n == 0; n, _ = c.Requests() {
		time.Sleep(time.Millisecond)
	}
	c.Answer(0)
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := e.Stats(); st.Sent != 3 || st.Failed != 0 || len(c.Spans()) != 3 {
		t.Errorf("got %+v", st)
	}
	c.Answer(http.StatusBadRequest)
	e.Export(some(2))
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := e.Stats(); st.Sent != 3 || st.Failed != 2 {
		t.Errorf("got %+v", st)
	}
}

// TestFromEnv: what each variable takes, and what is said of what it does not take.
func TestFromEnv(t *testing.T) {
	t.Parallel()
	read := func(pairs ...string) (otlp.Config, error) {
		return otlp.FromEnv(func(name string) (string, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1], true
				}
			}
			return "", false
		})
	}
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, test := range []struct {
		pairs           []string
		traces, metrics string
	}{
		{nil, "", ""},
		{[]string{endpoint, "http://c:4318/"}, "http://c:4318/v1/traces", "http://c:4318/v1/metrics"},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/t"}, "https://c/t", ""},
		{[]string{endpoint, "http://c:4318", "OTEL_TRACES_EXPORTER", "none"}, "", "http://c:4318/v1/metrics"},
		{[]string{endpoint, "http://c:4318", "OTEL_METRICS_EXPORTER", "none"}, "http://c:4318/v1/traces", ""},
		{[]string{endpoint, "http://c:4318", "OTEL_SDK_DISABLED", "true"}, "", ""},
	} {
		c, err := read(test.pairs...)
		if err != nil || c.Traces != test.traces || c.Metrics != test.metrics {
			t.Errorf("%v: %q, %q, %v", test.pairs, c.Traces, c.Metrics, err)
		}
	}
	for _, bad := range [][3]string{
		{endpoint, "localhost:4318", "such as http"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"},
		{"OTEL_BSP_SCHEDULE_DELAY", "0", "milliseconds"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "gzip or none"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "key", "name=value"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere", "no such file"},
		{"OTEL_TRACES_EXPORTER", "jaeger", "otlp or none"},
	} {
		_, err := read(bad[0], bad[1], endpoint, "http://c:4318")
		if err == nil || !strings.Contains(err.Error(), bad[0]) || !strings.Contains(err.Error(), bad[2]) {
			t.Errorf("%s=%s: %v", bad[0], bad[1], err)
		}
	}
	// What may be secret is not repeated.
	_, err := read(endpoint, "user:secret@c", "OTEL_EXPORTER_OTLP_HEADERS", "secret")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkExport(b *testing.B) {
	e := otlp.New(otlp.Config{Traces: "http://127.0.0.1:1/v1/traces", Logger: slog.New(slog.DiscardHandler), Buffer: 1 << 40, Every: time.Hour})
	spans := some(1)
	spans[0].Failed, spans[0].Message, spans[0].Links = false, "", nil
	b.ReportAllocs()
	for b.Loop() {
		e.Export(spans)
	}
}
