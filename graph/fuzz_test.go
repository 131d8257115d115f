package graph_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/internal/weirtest"
)

// FuzzDocument: whatever the document is, the answer is one of GraphQL's, soon, and no fault of the server's.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{ server { version } }`,
		`query($n: Int!) { orchestrations(hub: "default", first: $n) { nodes { id input { text(maxBytes: 1) } } totalCount { value } } }`,
		`{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`,
		`{ a: hub(name: "default") { ...h } } fragment h on TaskHub { workers { orchestrations { name } } failureGroups { message } }`,
		`mutation { terminateOrchestration(input: {hub: "default", instanceId: "x", reason: "\u0000"}) { errors { code } } }`,
		`subscription { orchestrationChanges(hub: "default") { seq } }`,
		`{ node(id: "djE6VGFza0h1YjpkZWZhdWx0OmRlZmF1bHQ") { ... on TaskHub { name } } }`,
		`{ orchestrations(hub: "default", filter: {input: "$.a[*] ? (@ > 1)", tags: [{key: "k", value: "v"}]}) { statusCounts { all } } }`,
		`{ __schema { types { fields { type { ofType { name } } } } } }`,
		`query @skip(if: true) { server { version @include(if: false) } }`,
		"{ orchestrations(hub: \"default\", after: \"\xff\") { nodes { id } } }",
		`{ viewer { permissions(hub: "") } auditLog(filter: {since: "0000-00-00T00:00:00Z"}) { nodes { no } } }`,
	} {
		f.Add(seed)
	}
	pool := weirtest.Pool(f)
	log := slog.New(slog.DiscardHandler)
	e, err := engine.Open(f.Context(), engine.Config{Pool: pool, Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	handler, err := graph.NewHandler(f.Context(), graph.Config{Engine: e, Logger: log, Budget: &graph.Budget{Burst: 20_000}})
	if err != nil {
		f.Fatal(err)
	}
	api := (&auth.Gate{Anybody: auth.Anybody()}).Protect(handler, graph.Refuse)
	f.Fuzz(func(t *testing.T, document string) {
		body, err := json.Marshal(map[string]any{"query": document, "variables": map[string]any{"n": 1}})
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		began := time.Now()
		api.ServeHTTP(w, req)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%q took %s: %s", document, took, w.Body)
		}
		answer, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Data   json.RawMessage `json:"data"`
			Errors []apiError      `json:"errors"`
		}
		if err := json.Unmarshal(answer, &out); err != nil || !utf8.Valid(answer) || out.Data == nil && len(out.Errors) == 0 {
			t.Fatalf("status %d: %v: %q", w.Code, err, answer)
		}
		for _, e := range out.Errors {
			if e.Extensions.Code == "INTERNAL" || e.Extensions.Code == "" {
				t.Fatalf("%q: %+v", document, e)
			}
		}
		if handler.Stats().Panics != 0 {
			t.Fatalf("%q: a panic", document)
		}
	})
}
