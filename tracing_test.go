package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/engine/tracing"
	"github.com/weir-dev/weir/internal/otlptest"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

const begin = `mutation Begin($in: StartOrchestrationInput!) { startOrchestration(input: $in) { orchestration { instanceId } errors { message } } }`

// TestTrace: a caller's trace goes on through the API, whichever it is, through the database, a worker and the code of an
// activity.
func TestTrace(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, weirtest.Schema)
	c := otlptest.New(t)
	r := boot(t, "WEIR_DATABASE_URL", db.DSN(), "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL, "OTEL_BSP_SCHEDULE_DELAY", "50", "WEIR_TRACES_RATIO", "0")
	r.ready()
	cfg, err := otlp.FromEnv(c.Env("OTEL_SERVICE_NAME", "worker"))
	if err != nil {
		t.Fatal(err)
	}
	exporter := otlp.New(cfg)
	const (
		run  durable.Orchestration[int, int] = "run"
		work durable.Activity[int, int]      = "work"
	)
	seen := make(chan trace.SpanContext, 10)
	worker, err := durable.NewWorker(db.Pool(t), &durable.Config{Tracing: durable.Tracing{Sink: exporter}},
		run.Handler(func(ctx *durable.Context, n int) (int, error) { return work.Call(ctx, n) }),
		work.Handler(func(ctx context.Context, n int) (int, error) {
			seen <- trace.SpanContextFromContext(ctx)
			return n, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(r.ctx))
	done := make(chan error, 1)
	go func() { done <- worker.Run(life) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := exporter.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	flush := func() {
		if err := exporter.Flush(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	headers := func(of trace.SpanContext) (parent, state string) {
		parent, state, _ = strings.Cut(tracing.Format(of), " ")
		return parent, state
	}
	body := func(extensions map[string]any) []byte {
		b, err := json.Marshal(map[string]any{
			"query": begin, "variables": map[string]any{"in": map[string]any{"hub": "default", "name": "run", "input": 1}}, "extensions": extensions,
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	below := []string{
		"  create_orchestration:run PRODUCER", "    orchestration:run SERVER Completed",
		"      activity:work CLIENT", "        activity:work SERVER",
	}

	// A request.
	caller := otlptest.Within(1, true)
	status, answer, _ := r.request(http.MethodPost, "/graphql", string(body(nil)), func(req *http.Request) {
		parent, state := headers(caller)
		req.Header.Set("Traceparent", parent)
		req.Header.Set("Tracestate", state)
	})
	if status != http.StatusOK || !strings.Contains(answer, `"errors":[]`) {
		t.Fatalf("%d %s", status, answer)
	}
	c.Expect(caller, flush, append([]string{"mutation Begin SERVER"}, below...)...)
	if got := <-seen; got.TraceID() != caller.TraceID() || got.TraceState().String() != "vendor=x" {
		t.Errorf("the activity saw %v", got)
	}
	if name := otlptest.Attr(c.Find("mutation Begin"), "graphql.operation.name").GetStringValue(); name != "Begin" {
		t.Errorf("the operation's name is %q", name)
	}

	// The mirror.
	caller = otlptest.Within(2, true)
	if status, answer, _ = r.request(http.MethodPost, "/api/v1/hubs/default/instances", `{"name": "run", "input": 1}`, func(req *http.Request) {
		parent, _ := headers(caller)
		req.Header.Set("Traceparent", parent)
	}); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	c.Expect(caller, flush, append([]string{"POST /api/v1/hubs/{hub}/instances SERVER"}, below...)...)

	// A websocket: the operation's own context goes before that of the connection.
	connection := otlptest.Within(3, true)
	caller = otlptest.Within(4, true)
	socket, _, err := websocket.Dial(r.ctx, strings.Replace(r.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // Dial says: never needs to be closed
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	say := func(v any) {
		if err := wsjson.Write(r.ctx, socket, v); err != nil {
			t.Fatal(err)
		}
	}
	parent, _ := headers(connection)
	say(map[string]any{"type": "connection_init", "payload": map[string]any{"traceparent": parent}})
	parent, _ = headers(caller)
	for i, of := range []struct {
		extensions map[string]any
		in         trace.SpanContext
	}{{map[string]any{"traceparent": parent}, caller}, {nil, connection}} {
		say(map[string]any{"type": "subscribe", "id": string(rune('a' + i)), "payload": json.RawMessage(body(of.extensions))})
		c.Expect(of.in, flush, append([]string{"mutation Begin SERVER"}, below...)...)
	}

	// Nobody's trace begins none here, and what is not valid is as good as none.
	before := len(c.Spans())
	if status, answer, _ = r.request(http.MethodPost, "/graphql", string(body(nil)), func(req *http.Request) {
		req.Header.Set("Traceparent", "00-00000000000000000000000000000000-0000000000000001-01")
	}); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	for range 3 {
		<-seen
	}
	if got := <-seen; got.IsValid() {
		t.Errorf("the activity saw %v", got)
	}
	if flush(); len(c.Spans()) != before {
		t.Errorf("%d spans more", len(c.Spans())-before)
	}
}
