// Package otlptest is a collector of OpenTelemetry for tests: it takes what is sent over HTTP, decodes it with the
// protocol's own types, and shows spans as trees.
package otlptest

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it is sent.
type Collector struct {
	// URL is its address: OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string
	t   testing.TB

	mu       sync.Mutex
	answer   int // the status of answers other than 200; 0 for none
	requests int
	headers  http.Header
	spans    []*tracepb.Span
	metrics  []*metricspb.Metric
	resource map[string]string
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{t: t, resource: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Env is an environment that names the collector, with more variables.
func (c *Collector) Env(more ...string) func(string) (string, bool) {
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

// Answer has the collector answer with a status; 0 takes what comes.
func (c *Collector) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = status
}

func (c *Collector) take(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			c.t.Errorf("a request that is not gzip: %v", err)
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return // the sender is gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.headers = req.Header
	if c.answer != 0 {
		w.WriteHeader(c.answer)
		return
	}
	if kind := req.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		c.t.Errorf("the content type is %q", kind)
	}
	switch req.URL.Path {
	case "/v1/traces":
		var sent tracepb.TracesData
		c.decode(raw, &sent)
		for _, r := range sent.GetResourceSpans() {
			c.note(r.GetResource().GetAttributes())
			for _, s := range r.GetScopeSpans() {
				if s.GetScope().GetName() != "Microsoft.DurableTask" {
					c.t.Errorf("the spans' scope is %q", s.GetScope().GetName())
				}
				c.spans = append(c.spans, s.GetSpans()...)
			}
		}
	case "/v1/metrics":
		var sent metricspb.MetricsData
		c.decode(raw, &sent)
		for _, r := range sent.GetResourceMetrics() {
			c.note(r.GetResource().GetAttributes())
			for _, s := range r.GetScopeMetrics() {
				c.metrics = append(c.metrics, s.GetMetrics()...)
			}
		}
	default:
		c.t.Errorf("a request to %s", req.URL.Path)
	}
}

func (c *Collector) decode(raw []byte, into proto.Message) {
	if err := proto.Unmarshal(raw, into); err != nil || len(into.ProtoReflect().GetUnknown()) > 0 {
		c.t.Errorf("%d bytes that cannot be read: %v", len(raw), err)
	}
}

func (c *Collector) note(attrs []*commonpb.KeyValue) {
	for _, a := range attrs {
		c.resource[a.GetKey()] = a.GetValue().GetStringValue()
	}
}

// Spans are all that have come.
func (c *Collector) Spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Metrics are the points that have come, by the names of their metrics.
func (c *Collector) Metrics() map[string]*metricspb.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]*metricspb.Metric{}
	for _, m := range c.metrics {
		out[m.GetName()] = m
	}
	return out
}

// Resource is a text attribute of who has sent.
func (c *Collector) Resource(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource[key]
}

// Requests counts them, and returns the headers of the last.
func (c *Collector) Requests() (int, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests, c.headers
}

// Find returns a span with a name; nil if there is none.
func (c *Collector) Find(name string) *tracepb.Span {
	for _, s := range c.Spans() {
		if s.GetName() == name {
			return s
		}
	}
	return nil
}

// Attr is an attribute of a span; nil if it has none of that name.
func Attr(s *tracepb.Span, key string) *commonpb.AnyValue {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue()
		}
	}
	return nil
}

// Expect waits until the spans below a context are a tree: lines of "name KIND", then "ERROR message" and the task's status where
// there are some, indented below their parents, in the order of their starts and numbers. flush has senders send what they have.
func (c *Collector) Expect(within trace.SpanContext, flush func(), want ...string) {
	c.t.Helper()
	var got []string
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		flush()
		if got = c.tree(within.TraceID(), within.SpanID()); len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (c *Collector) tree(in trace.TraceID, root trace.SpanID) (out []string) {
	below, seen, left := map[string][]*tracepb.Span{}, map[string]bool{}, 0
	for _, s := range c.Spans() {
		if [16]byte(s.GetTraceId()) != in {
			continue
		}
		if seen[string(s.GetSpanId())] {
			c.t.Errorf("the span %s is there twice", s.GetName())
		}
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			c.t.Errorf("the span %s ends before it begins", s.GetName())
		}
		seen[string(s.GetSpanId())] = true
		below[string(s.GetParentSpanId())] = append(below[string(s.GetParentSpanId())], s)
		left++
	}
	var walk func(parent, indent string)
	walk = func(parent, indent string) {
		children := below[parent]
		slices.SortFunc(children, func(x, y *tracepb.Span) int {
			const micro = 1000
			if d := int(int64(x.GetStartTimeUnixNano()/micro) - int64(y.GetStartTimeUnixNano()/micro)); d != 0 {
				return d
			}
			return int(Attr(x, "durabletask.task.task_id").GetIntValue() - Attr(y, "durabletask.task.task_id").GetIntValue())
		})
		for _, s := range children {
			left--
			line := indent + s.GetName() + " " + strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")
			if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
				line += " ERROR " + s.GetStatus().GetMessage()
			}
			if status := Attr(s, "durabletask.task.status").GetStringValue(); status != "" {
				line += " " + status
			}
			out = append(out, line)
			walk(string(s.GetSpanId()), indent+"  ")
		}
	}
	walk(string(root[:]), "")
	for range left {
		out = append(out, "a span under none of these")
	}
	return out
}

// Within is the context of a caller: of a trace with the number n, which is sampled or is not.
func Within(n byte, sampled bool) trace.SpanContext {
	cfg := trace.SpanContextConfig{TraceID: trace.TraceID{15: n}, SpanID: trace.SpanID{7: n}}
	if sampled {
		cfg.TraceFlags = trace.FlagsSampled
	}
	cfg.TraceState, _ = trace.ParseTraceState("vendor=x")
	return trace.NewSpanContext(cfg)
}
