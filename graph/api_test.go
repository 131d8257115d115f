package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// api is a server of the API on a database of the test's own.
type api struct {
	t       *testing.T
	ctx     context.Context // ends well before the test binary's own deadline
	pool    *pgxpool.Pool
	engine  *engine.Engine
	handler *graph.Handler
	server  *httptest.Server
	client  *durable.Client
	logs    *logs
}

// payloadLimit of the tests' servers.
const payloadLimit = 1 << 20

// serve starts a server. configure may change how the API is served, and the pool.
func serve(t *testing.T, configure ...func(*graph.Config, *pgxpool.Config)) *api {
	t.Helper()
	t.Parallel()
	return serveAlone(t, configure...)
}

// serveAlone is serve for a test beside which no other runs.
func serveAlone(t *testing.T, configure ...func(*graph.Config, *pgxpool.Config)) *api {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	a := &api{t: t, ctx: ctx, logs: &logs{}}
	log := slog.New(slog.NewTextHandler(a.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := graph.Config{Logger: log, Info: graph.Info{Version: "1.2.3", Deployment: "test"}, Budget: &graph.Budget{Burst: 20_000}}
	a.pool = pgtest.New(t, weirtest.Schema).Pool(t, func(p *pgxpool.Config) {
		for _, f := range configure {
			f(&cfg, p)
		}
	})
	var err error
	if a.engine, err = engine.Open(ctx, engine.Config{Pool: a.pool, Logger: log, PayloadLimit: payloadLimit}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.engine.Close)
	cfg.Engine = a.engine
	if a.handler, err = graph.NewHandler(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	a.server = httptest.NewServer((&auth.Gate{Anybody: auth.Anybody()}).Protect(a.handler, graph.Refuse))
	t.Cleanup(a.server.Close)
	t.Cleanup(func() {
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.handler.Shutdown(limit); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	if a.client, err = durable.NewClient(a.pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.client.Close)
	return a
}

// logs keeps what was logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// worker runs a worker until the test ends.
func (a *api) worker(cfg *durable.Config, handlers ...durable.Handler) {
	a.t.Helper()
	if cfg == nil {
		cfg = &durable.Config{}
	}
	cfg.Logger, cfg.DrainTimeout = slog.New(slog.DiscardHandler), 100*time.Millisecond
	w, err := durable.NewWorker(a.pool, cfg, handlers...)
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.ctx))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	a.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			a.t.Errorf("worker: %v", err)
		}
	})
}

// answer is what the API answers.
type answer struct {
	Status int             `json:"-"`
	Header http.Header     `json:"-"`
	Data   json.RawMessage `json:"data"`
	Errors []apiError      `json:"errors"`
}

type apiError struct {
	Message    string `json:"message"`
	Path       []any  `json:"path"`
	Extensions struct {
		Code      string `json:"code"`
		RequestID string `json:"requestId"`
	} `json:"extensions"`
}

type vars map[string]any

// post sends an operation.
func (a *api) post(query string, v vars) *answer {
	a.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.send(string(body), nil)
}

// send sends a body as it is.
func (a *api) send(body string, header http.Header) *answer {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.ctx, http.MethodPost, a.server.URL, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	maps.Copy(req.Header, header)
	return a.do(req)
}

func (a *api) do(req *http.Request) *answer {
	a.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	out := &answer{Status: resp.StatusCode, Header: resp.Header}
	if err := json.Unmarshal(raw, out); err != nil {
		a.t.Fatalf("status %d, not JSON: %.300q", resp.StatusCode, raw)
	}
	for _, e := range out.Errors {
		if e.Extensions.Code == "" || e.Extensions.RequestID == "" || e.Extensions.RequestID != resp.Header.Get("X-Request-Id") {
			a.t.Errorf("the error %q has the code %q and the request id %q of %q", e.Message, e.Extensions.Code, e.Extensions.RequestID, resp.Header.Get("X-Request-Id"))
		}
	}
	return out
}

// ask sends an operation that must succeed, and returns its data.
func ask[T any](a *api, query string, v vars) T {
	a.t.Helper()
	got := a.post(query, v)
	if len(got.Errors) > 0 || got.Status != http.StatusOK {
		a.t.Fatalf("status %d, errors %+v of %.200s", got.Status, got.Errors, query)
	}
	var out T
	if err := json.Unmarshal(got.Data, &out); err != nil {
		a.t.Fatalf("%v: %s", err, got.Data)
	}
	return out
}

// refused sends an operation that must fail with one error, and returns it.
func (a *api) refused(query string, v vars) apiError {
	a.t.Helper()
	got := a.post(query, v)
	if len(got.Errors) != 1 {
		a.t.Fatalf("got %s and errors %+v, want one error of %.200s", got.Data, got.Errors, query)
	}
	return got.Errors[0]
}

// until polls a condition that only the database shows.
func (a *api) until(what string, cond func() bool) {
	a.t.Helper()
	for !cond() {
		select {
		case <-a.ctx.Done():
			a.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// instance is an orchestration as tests read it.
type instance struct {
	ID, InstanceID, Name, Status string
	Generation                   int
	FinishedAt                   *time.Time
	Output                       *struct{ Text string }
	Waiting                      waiting
}

type waiting struct {
	Kind, Text   string
	Subject      *string
	Since, Until *time.Time
	Parts        []struct {
		Text   *string
		Strong bool
		At     *time.Time
		Style  string
	}
}

type payload struct {
	Orchestration *instance
	Errors        []struct {
		Code, Message string
		Path          []string
		Retryable     bool
	}
	RequestID string
}

const payloadFields = `{ orchestration { id instanceId name status generation finishedAt output { text } waiting { kind text } } errors { code message path retryable } requestId }`

func (a *api) mutate(field, input string, in vars) payload {
	a.t.Helper()
	got := ask[map[string]payload](a, "mutation($input: "+input+"!) { "+field+"(input: $input) "+payloadFields+" }", vars{"input": in})[field]
	if got.RequestID == "" {
		a.t.Errorf("%s has no request id", field)
	}
	return got
}

func (a *api) start(in vars) payload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	return a.mutate("startOrchestration", "StartOrchestrationInput", in)
}

func (a *api) raise(in vars) payload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	return a.mutate("raiseEvent", "RaiseEventInput", in)
}

func (a *api) cancel(in vars) payload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	return a.mutate("cancelOrchestration", "CancelOrchestrationInput", in)
}

// cancelOnce cancels an instance that a worker has begun and that waits.
func (a *api) cancelOnce(id, reason string) {
	a.t.Helper()
	for a.get(id).Waiting.Kind != "EVENT" {
		select {
		case <-a.t.Context().Done():
			a.t.Fatal("it waits for no event")
		case <-time.After(5 * time.Millisecond):
		}
	}
	a.must(a.cancel(vars{"instanceId": id, "reason": reason}))
}

func (a *api) terminate(in vars) payload {
	a.t.Helper()
	if in["hub"] == nil {
		in["hub"] = "default"
	}
	return a.mutate("terminateOrchestration", "TerminateOrchestrationInput", in)
}

// must starts or fails the test.
func (a *api) must(p payload) *instance {
	a.t.Helper()
	if len(p.Errors) > 0 || p.Orchestration == nil {
		a.t.Fatalf("got %+v", p)
	}
	return p.Orchestration
}

// get reads an instance; nil if there is none.
func (a *api) get(id string) *instance {
	a.t.Helper()
	return ask[struct{ Orchestration *instance }](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { id instanceId name status generation
		finishedAt output { text } waiting { kind text subject since until parts { text strong at style } } } }`, vars{"id": id}).Orchestration
}

// started waits until an instance is there.
func (a *api) started(id string) {
	a.t.Helper()
	for a.get(id) == nil {
		select {
		case <-a.ctx.Done():
			a.t.Fatalf("%s does not come", id)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ended waits until an instance has ended.
func (a *api) ended(id string) *instance {
	a.t.Helper()
	if _, err := a.engine.Wait(a.ctx, "default", id); err != nil {
		a.t.Fatal(err)
	}
	return a.get(id)
}
