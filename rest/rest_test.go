package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/rest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	Echo  durable.Orchestration[json.RawMessage, json.RawMessage] = "echo"
	Order durable.Orchestration[json.RawMessage, string]          = "order"
	Fail  durable.Orchestration[json.RawMessage, string]          = "fail"
	Large durable.Orchestration[json.RawMessage, string]          = "large"
	Paid  durable.Event[string]                                   = "paid"
)

// api is the mirror, with a worker, and its document, which every answer is held against.
type api struct {
	t      *testing.T
	ctx    context.Context
	pool   *pgxpool.Pool
	engine *engine.Engine
	rest   *rest.Handler
	server *httptest.Server
	router routers.Router
	mu     sync.Mutex
	bearer string
	seen   map[string]bool // method, path and status of answers
}

// open lets everybody in.
func open(h http.Handler) http.Handler {
	return (&auth.Gate{Anybody: auth.Anybody()}).Protect(h, rest.Refuse)
}

func newAPI(t *testing.T) *api {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	pool := weirtest.Pool(t)
	log := slog.New(slog.DiscardHandler)
	e, err := engine.Open(ctx, engine.Config{Pool: pool, Logger: log, PayloadLimit: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	w, err := durable.NewWorker(pool, &durable.Config{Logger: log},
		Echo.Handler(func(_ *durable.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }),
		Order.Handler(func(ctx *durable.Context, _ json.RawMessage) (string, error) { return Paid.Wait(ctx) }),
		Fail.Handler(func(*durable.Context, json.RawMessage) (string, error) { return "", fmt.Errorf("no") }),
		Large.Handler(func(*durable.Context, json.RawMessage) (string, error) { return strings.Repeat("x", 2<<20), nil }),
	)
	if err != nil {
		t.Fatal(err)
	}
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(working) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	doc, err := openapi3.NewLoader().LoadFromData(rest.Document)
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, ctx: ctx, pool: pool, engine: e, router: router, seen: map[string]bool{}}
	a.rest = rest.New(rest.Config{Engine: e, Logger: log, Path: "/api/v1/"})
	a.server = httptest.NewServer(open(a.rest))
	t.Cleanup(a.server.Close)
	return a
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

// send sends a request, and holds the answer against the document.
func (a *api) send(method, path, body string, headers ...string) reply {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.ctx, method, a.server.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+a.bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, body: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &r.json); err != nil {
			a.t.Errorf("%s %s: %v: %s", method, path, err, raw)
		}
	}
	if resp.Header.Get("X-Request-Id") == "" {
		a.t.Errorf("%s %s has no request id", method, path)
	}
	a.document(method, path, r)
	return r
}

// document holds an answer against the document: the status is one that it names, and the body what it says.
func (a *api) document(method, path string, r reply) {
	a.t.Helper()
	req := httptest.NewRequest(method, "/api/v1"+path, nil)
	route, params, err := a.router.FindRoute(req)
	if err != nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			a.t.Errorf("%s %s answers %d, and is not in the document: %v", method, path, r.status, err)
		}
		return
	}
	a.mu.Lock()
	a.seen[fmt.Sprint(method, " ", route.Path, " ", r.status)] = true
	a.mu.Unlock()
	if route.Operation.Responses.Status(r.status) == nil {
		a.t.Errorf("%s %s answers %d, which the document does not name", method, route.Path, r.status)
		return
	}
	err = openapi3filter.ValidateResponse(a.ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 r.status, Header: r.header, Body: io.NopCloser(strings.NewReader(r.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		a.t.Errorf("%s %s answers %d with %s, which is not as the document says: %v", method, path, r.status, r.body, err)
	}
}

// refused sends a request that must be refused.
func (a *api) refused(status int, code, field, says, method, path, body string, headers ...string) {
	a.t.Helper()
	r := a.send(method, path, body, headers...)
	got, _ := r.json["field"].(string)
	if r.status != status || r.json["code"] != code || got != field || !strings.Contains(fmt.Sprint(r.json["detail"]), says) || r.header.Get("Content-Type") != "application/problem+json" {
		a.t.Errorf("%s %s %.60q: want %d %s at %q, %q; got %d %s", method, path, body, status, code, field, says, r.status, r.body)
	}
}

const instances = "/hubs/default/instances"

// TestMirror does all that can be done, and all that is refused; then every answer of the document was seen.
func TestMirror(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	r := a.send("GET", "/openapi.json", "")
	if r.status != 200 || r.json["openapi"] != "3.1.0" {
		t.Errorf("%d %s", r.status, r.body)
	}

	r = a.send("POST", instances, `{"name": "echo", "instanceId": "it", "input": {"n": 12345678901234567890.10, "s": "ü\u0000"}, "tags": {"k": "v"}, "priority": 1}`)
	if r.status != 202 || r.header.Get("Location") != "/api/v1/hubs/default/instances/it" || r.header.Get("Retry-After") == "" || r.json["existing"] != false {
		t.Fatalf("%d %v %s", r.status, r.header, r.body)
	}
	r = a.send("GET", instances+"/it?wait=30s&input=true", "")
	if r.status != 200 || r.json["status"] != "COMPLETED" || !strings.Contains(r.body, `"output":{"size":`) || strings.Count(r.body, "12345678901234567890.10") != 2 || r.header.Get("Location") != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := a.send("GET", instances+"/it", ""); strings.Contains(r.body, `"input"`) {
		t.Errorf("it shows the input: %s", r.body)
	}
	if r := a.send("POST", instances, `{"name": "echo", "instanceId": "it", "reuse": {"returnExisting": true}}`); r.status != 202 || r.json["existing"] != true {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := a.send("POST", instances, `{"name": "echo", "instanceId": "it", "reuse": {"replace": ["COMPLETED"]}, "input": 2}`); r.status != 202 || r.json["existing"] != false {
		t.Errorf("%d %s", r.status, r.body)
	}
	a.send("POST", instances, `{"name": "fail", "instanceId": "failed"}`)
	if r := a.send("GET", instances+"/failed?wait=30s", ""); r.json["status"] != "FAILED" || r.json["failure"] == nil {
		t.Errorf("%d %s", r.status, r.body)
	}
	a.send("POST", instances, `{"name": "large", "instanceId": "large"}`)
	if r := a.send("GET", instances+"/large?wait=30s", ""); len(r.body) > 1000 || !strings.Contains(r.body, `"output":{"size":2097154}`) {
		t.Errorf("%d %.500s", r.status, r.body)
	}
	if r := a.send("POST", instances, `{"name": "echo", "delay": "24h"}`); r.status != 202 || len(fmt.Sprint(r.json["instanceId"])) != 36 {
		t.Errorf("%d %s", r.status, r.body)
	}
	a.send("POST", instances, `{"name": "echo", "instanceId": "later", "startAt": "2100-01-01T00:00:00Z"}`)
	if r := a.send("GET", instances+"/later?wait=10ms", ""); r.status != 202 || r.json["status"] != "PENDING" || r.header.Get("Location") != "/api/v1"+instances+"/later" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}

	a.send("POST", instances, `{"name": "order", "instanceId": "a%2Fb"}`)
	if r := a.send("POST", instances+"/a%252Fb/events/PAID", `"euros"`, "Idempotency-Key", "k"); r.status != 202 || r.body != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := a.send("GET", instances+"/a%252Fb?wait=1m", ""); !strings.Contains(r.body, `"json":"euros"`) {
		t.Errorf("%d %s", r.status, r.body)
	}

	// What is refused.
	big := `"` + strings.Repeat("x", 5<<20) + `"`
	for _, c := range []struct {
		status                  int
		code, field, says, body string
	}{
		{400, "INVALID_ARGUMENT", "name", "", `{}`},
		{400, "INVALID_ARGUMENT", "instanceId", "", `{"name": "x", "instanceId": "ü"}`},
		{400, "INVALID_ARGUMENT", "priority", "allowed are 1", `{"name": "x", "priority": 0}`},
		{400, "INVALID_ARGUMENT", "priority", "", `{"name": "x", "priority": 5}`},
		{400, "INVALID_ARGUMENT", "delay", "excludes startAt", `{"name": "x", "delay": "1s", "startAt": "2026-01-01T00:00:00Z"}`},
		{400, "INVALID_ARGUMENT", "delay", "no length of time", `{"name": "x", "delay": "soon"}`},
		{400, "INVALID_ARGUMENT", "delay", "negative", `{"name": "x", "delay": "-1s"}`},
		{400, "BAD_REQUEST", "startAt", "want a time", `{"name": "x", "startAt": "soon"}`},
		{400, "BAD_REQUEST", "name", "type number", `{"name": 7}`},
		{400, "BAD_REQUEST", "title", "no such field", `{"title": "x"}`},
		{400, "BAD_REQUEST", "body", "is not JSON", `{`},
		{400, "BAD_REQUEST", "body", "is not JSON", `{} {}`},
		{400, "BAD_REQUEST", "body", "one JSON object", `[]`},
		{400, "BAD_REQUEST", "body", "one JSON object", ``},
		{400, "BAD_REQUEST", "body", "UTF-8", "{\"name\": \"\xff\"}"},
		{400, "BAD_REQUEST", "body", "", `{"name": "x", "reuse": {"replace": ["DONE"]}}`},
		{409, "ALREADY_EXISTS", "instanceId", "", `{"name": "echo", "instanceId": "it"}`},
		{413, "TOO_LARGE", "input", "", `{"name": "echo", "input": ` + big + `}`},
		{413, "TOO_LARGE", "body", "larger than", `{"name": "` + strings.Repeat("x", 33<<20) + `"}`},
	} {
		a.refused(c.status, c.code, c.field, c.says, "POST", instances, c.body)
	}
	a.refused(404, "NOT_FOUND", "hub", "nowhere", "POST", "/hubs/nowhere/instances", `{"name": "x"}`)
	a.refused(415, "BAD_REQUEST", "Content-Type", "application/json", "POST", instances, `{}`, "Content-Type", "text/plain")
	a.refused(415, "BAD_REQUEST", "Content-Type", "application/json", "POST", instances+"/it/events/x", "", "Content-Type", "application/x-www-form-urlencoded")
	a.refused(400, "BAD_REQUEST", "query", "no parameter", "POST", instances+"?x=1", `{}`)
	a.refused(400, "BAD_REQUEST", "query", "no parameter", "GET", instances+"/it?history=1", "")
	a.refused(400, "BAD_REQUEST", "wait", "more than once", "GET", instances+"/it?wait=1s&wait=2s", "")
	a.refused(400, "INVALID_ARGUMENT", "wait", "allowed are 0s to 1m0s", "GET", instances+"/it?wait=61s", "")
	a.refused(400, "INVALID_ARGUMENT", "wait", "allowed are 0s", "GET", instances+"/it?wait=-1s", "")
	a.refused(400, "INVALID_ARGUMENT", "wait", "no length", "GET", instances+"/it?wait=soon", "")
	a.refused(400, "INVALID_ARGUMENT", "input", "true and false", "GET", instances+"/it?input=yes", "")
	a.refused(404, "NOT_FOUND", "instanceId", "nobody", "GET", instances+"/nobody", "")
	a.refused(404, "NOT_FOUND", "instanceId", "nobody", "GET", instances+"/nobody?wait=30s", "")
	a.refused(404, "NOT_FOUND", "hub", "nowhere", "GET", "/hubs/nowhere/instances/it", "")
	a.refused(404, "NOT_FOUND", "instanceId", "", "GET", instances+"/%FF", "")
	a.refused(404, "NOT_FOUND", "instanceId", "", "POST", instances+"/nobody/events/paid", "")
	a.refused(400, "INVALID_ARGUMENT", "event", "", "POST", instances+"/later/events/"+strings.Repeat("x", 201), "")
	a.refused(400, "INVALID_ARGUMENT", "Idempotency-Key", "", "POST", instances+"/later/events/paid", "", "Idempotency-Key", strings.Repeat("k", 201))
	a.refused(400, "BAD_REQUEST", "body", "is not JSON", "POST", instances+"/later/events/paid", "euros")
	a.refused(410, "FAILED_PRECONDITION", "instanceId", "has finished", "POST", instances+"/failed/events/paid", "")
	a.refused(413, "TOO_LARGE", "payload", "", "POST", instances+"/later/events/paid", big)
	a.refused(404, "NOT_FOUND", "", "/api/v1/openapi.json", "GET", "/nothing", "")
	for path, method := range map[string]string{instances: "GET", instances + "/it": "DELETE", instances + "/it/events/x": "PUT", "/openapi.json": "POST"} {
		a.refused(405, "BAD_REQUEST", "", "use ", method, path, "")
	}
	for _, path := range []string{"/openapi.json", instances + "/it"} {
		a.refused(403, "FORBIDDEN", "", "other sites", "GET", path, "", "Sec-Fetch-Site", "cross-site")
	}
	for _, path := range []string{instances, instances + "/it/events/x"} {
		a.refused(403, "FORBIDDEN", "", "other sites", "POST", path, "{}", "Sec-Fetch-Site", "cross-site")
		a.refused(403, "FORBIDDEN", "", "other sites", "POST", path, "{}", "Origin", "https://evil.example")
	}

	// Without a database.
	broken := rest.New(rest.Config{Engine: a.engine, Logger: slog.New(slog.DiscardHandler), Path: "/api/v1/", Deadline: -time.Second})
	healthy := a.server.Config.Handler
	a.server.Config.Handler = open(broken)
	for path, method := range map[string]string{instances: "POST", instances + "/it": "GET", instances + "/later/events/x": "POST"} {
		r := a.send(method, path, map[string]string{"POST": `{"name": "x"}`}[method])
		if r.status != 503 || r.json["retryable"] != true || r.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", method, path, r.status, r.body)
		}
	}
	knows := &auth.Gate{Verifiers: []auth.Verifier{auth.Tokens("weir_", func(_ context.Context, secret string) (*auth.Found, error) {
		grants := map[string]map[string][]string{"weir_other": {"other": {"ADMIN"}}, "weir_worker": {"default": {"WORKER"}}, "weir_reader": {"default": {"READER"}}, "weir_operator": {"default": {"OPERATOR"}}}
		if g := grants[secret]; g != nil {
			return &auth.Found{ID: secret, Name: secret, Grants: g}, nil
		}
		return nil, nil
	}, auth.Options{})}}
	a.server.Config.Handler = knows.Protect(a.rest, rest.Refuse)
	for _, c := range []struct {
		token  string
		status map[string]int // by method, 0 for the document
	}{
		{"", map[string]int{"GET": 401, "POST": 401, "": 401}},
		{"weir_unknown", map[string]int{"GET": 401, "POST": 401, "": 401}},
		{"weir_other", map[string]int{"GET": 404, "POST": 404, "": 200}},
		{"weir_worker", map[string]int{"GET": 404, "POST": 404, "": 200}},
		{"weir_reader", map[string]int{"GET": 200, "POST": 403, "": 200}},
		{"weir_operator", map[string]int{"GET": 200, "POST": 403, "": 200}},
	} {
		for path, method := range map[string]string{instances: "POST", instances + "/it": "GET", instances + "/it/events/paid": "POST", "/openapi.json": ""} {
			want := c.status[method]
			if method == "" {
				method = "GET"
			}
			a.bearer = c.token
			r := a.send(method, path, "{}")
			if r.status != want || want == 401 && r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%q: %s %s: %d %s, want %d", c.token, method, path, r.status, r.body, want)
			}
			if want != 200 || path == "/openapi.json" {
				continue
			}
			output, _ := r.json["output"].(map[string]any)
			if hidden := output["redacted"] == true; output == nil || hidden != (c.token == "weir_operator") || hidden == (output["json"] != nil) {
				t.Errorf("%s sees %s", c.token, r.body)
			}
		}
	}
	a.bearer = ""
	a.server.Config.Handler = healthy
	if _, err := a.pool.Exec(a.ctx, "ALTER TABLE weir.instances RENAME COLUMN custom_status TO gone; ALTER TABLE weir.event_keys RENAME TO gone; ALTER TABLE weir.inbox RENAME TO gone_too"); err != nil {
		t.Fatal(err)
	}
	for path, method := range map[string]string{instances + "/it": "GET"} {
		if r := a.send(method, path, ""); r.status != 500 || r.json["code"] != "INTERNAL" || strings.Contains(r.body, "custom_status") {
			t.Errorf("%s %s: %d %s", method, path, r.status, r.body)
		}
	}

	// Every answer that the document names was seen, but for faults of the server's, which are one.
	doc, err := openapi3.NewLoader().LoadFromData(rest.Document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(a.ctx); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s has no name, or no summary", method, path)
			}
			for status := range op.Responses.Map() {
				if key := method + " " + path + " " + status; !a.seen[key] && (status != "500" || method == "GET" && path != "/openapi.json") {
					t.Errorf("%s is in the document, and never seen", key)
				}
			}
		}
	}
}

// TestWaiting: an answer waits until its instance ends, and no longer than until the server stops.
func TestWaiting(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answers := make(chan reply, 2)
	for _, id := range []string{"one", "two"} {
		a.send("POST", instances, `{"name": "order", "instanceId": "`+id+`"}`)
		go func() { answers <- a.send("GET", instances+"/"+id+"?wait=60s", "") }()
	}
	a.send("POST", instances+"/one/events/paid", `"x"`)
	if r := <-answers; r.status != 200 || r.json["instanceId"] != "one" || r.json["status"] != "COMPLETED" {
		t.Errorf("%d %s", r.status, r.body)
	}
	a.rest.Shutdown()
	a.rest.Shutdown() // again is no fault
	if r := <-answers; r.status != 202 || r.json["instanceId"] != "two" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := a.send("GET", instances+"/two?wait=60s", ""); r.status != 202 {
		t.Errorf("after the end it waits: %d %s", r.status, r.body)
	}
}

// TestMiddleware: what is to know callers goes before it.
func TestMiddleware(t *testing.T) {
	t.Parallel()
	h := rest.New(rest.Config{Path: "/"})
	before := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, req)
	})
	for token, want := range map[string]int{"": 401, "Bearer x": 200} {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/openapi.json", nil)
		req.Header.Set("Authorization", token)
		before.ServeHTTP(w, req)
		if w.Code != want || want == 200 && !bytes.Equal(w.Body.Bytes(), rest.Document) {
			t.Errorf("%q: %d", token, w.Code)
		}
	}
}
