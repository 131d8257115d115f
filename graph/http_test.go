package graph_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/graph"
)

const serverQuery = `{"query":"{ server { version } }"}`

// TestRequests: what is no request of GraphQL over HTTP is refused in the one form of errors, and tells nothing.
func TestRequests(t *testing.T) {
	a := serve(t)
	plain := func(method, body string, header map[string]string) *answer {
		t.Helper()
		req, err := http.NewRequestWithContext(a.ctx, method, a.server.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		return a.do(req)
	}
	json := map[string]string{"Content-Type": "application/json"}
	with := func(k, v string) map[string]string {
		return map[string]string{"Content-Type": "application/json", k: v}
	}
	const secret = "s3cret-in-the-body"
	for name, test := range map[string]struct {
		got    *answer
		status int
		code   string
		words  string
	}{
		"GET":                 {plain(http.MethodGet, "", nil), 405, "BAD_REQUEST", "POST"},
		"PUT":                 {plain(http.MethodPut, serverQuery, json), 405, "BAD_REQUEST", "POST"},
		"OPTIONS":             {plain(http.MethodOptions, "", nil), 405, "BAD_REQUEST", "POST"},
		"form":                {plain(http.MethodPost, "query={server{version}}", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), 415, "BAD_REQUEST", "application/json"},
		"text":                {plain(http.MethodPost, serverQuery, map[string]string{"Content-Type": "text/plain; x=application/json"}), 415, "BAD_REQUEST", "application/json"},
		"no type":             {plain(http.MethodPost, serverQuery, nil), 415, "BAD_REQUEST", "application/json"},
		"multipart":           {plain(http.MethodPost, serverQuery, map[string]string{"Content-Type": "multipart/form-data; boundary=x"}), 415, "BAD_REQUEST", "application/json"},
		"another site":        {plain(http.MethodPost, serverQuery, with("Sec-Fetch-Site", "cross-site")), 403, "FORBIDDEN", "other sites"},
		"a neighbouring one":  {plain(http.MethodPost, serverQuery, with("Sec-Fetch-Site", "same-site")), 403, "FORBIDDEN", "other sites"},
		"another origin":      {plain(http.MethodPost, serverQuery, with("Origin", "https://evil.example")), 403, "FORBIDDEN", "other sites"},
		"empty":               {a.send("", nil), 400, "BAD_REQUEST", "not JSON"},
		"no JSON":             {a.send(secret, nil), 400, "BAD_REQUEST", "not JSON"},
		"cut off":             {a.send(`{"query": "`+secret, nil), 400, "BAD_REQUEST", "not JSON"},
		"batch":               {a.send("["+serverQuery+"]", nil), 400, "BAD_REQUEST", "one JSON object"},
		"no query":            {a.send(`{"variables": {}}`, nil), 400, "BAD_REQUEST", "query"},
		"query of blanks":     {a.send(`{"query": " \n"}`, nil), 400, "BAD_REQUEST", "query"},
		"query is a number":   {a.send(`{"query": 5}`, nil), 400, "BAD_REQUEST", "query"},
		"variables is a list": {a.send(`{"query": "{ server { version } }", "variables": []}`, nil), 400, "BAD_REQUEST", "variables"},
		"body too large":      {a.send(`{"query": "{ server { version } }", "variables": {"x": "`+strings.Repeat("x", 32<<20)+`"}}`, nil), 413, "TOO_LARGE", "33554432"},
		"syntax":              {a.post("{ server { version }", nil), 400, "GRAPHQL_PARSE_FAILED", ""},
		"unknown field":       {a.post("{ server { secrets } }", nil), 400, "GRAPHQL_VALIDATION_FAILED", "secrets"},
		"missing variable":    {a.post("query($h: String!) { hub(name: $h) { name } }", nil), 400, "GRAPHQL_VALIDATION_FAILED", "$h must be defined"},
		"wrong variable":      {a.post("query($h: String!) { hub(name: $h) { name } }", vars{"h": vars{}}), 400, "GRAPHQL_VALIDATION_FAILED", "$h cannot"},
		"number too large":    {a.post(`query($n: Int!) { hubs(first: $n) { nodes { name } } }`, vars{"n": int64(1) << 40}), 200, "INVALID_ARGUMENT", "1099511627776"},
		"tokens":              {a.post("{ server { "+strings.Repeat("version ", 5000)+"} }", nil), 400, "GRAPHQL_PARSE_FAILED", "5,000|5000|token"},
		"introspection":       {a.post("{ __schema { types { name } } }", nil), 200, "FORBIDDEN", "introspection"},
		"a mutation's event stream without a stream": {a.send(`{"query": "subscription { orchestration(hub: \"default\", instanceId: \"x\") { id } }"}`, nil), 200, "NOT_FOUND", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.got.Status != test.status || len(test.got.Errors) != 1 {
				t.Fatalf("status %d, want %d; errors %+v", test.got.Status, test.status, test.got.Errors)
			}
			e := test.got.Errors[0]
			if e.Extensions.Code != test.code {
				t.Errorf("code %s, want %s (%s)", e.Extensions.Code, test.code, e.Message)
			}
			said := false
			for w := range strings.SplitSeq(test.words, "|") {
				said = said || strings.Contains(e.Message, w)
			}
			if !said || strings.Contains(e.Message, secret) || len(e.Message) > 400 {
				t.Errorf("the message is %.500q", e.Message)
			}
		})
	}
	for name, header := range map[string]map[string]string{
		"a browser's own page":   with("Sec-Fetch-Site", "same-origin"),
		"its own origin":         with("Origin", a.server.URL),
		"a program":              json,
		"with a character set":   {"Content-Type": "application/json; charset=utf-8"},
		"asking for plain JSON":  with("Accept", "application/json"),
		"as the standard has it": with("Accept", "application/graphql-response+json"),
	} {
		if got := plain(http.MethodPost, serverQuery, header); got.Status != 200 || len(got.Errors) != 0 || got.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: status %d, errors %+v", name, got.Status, got.Errors)
		}
	}
}

// TestIntrospection is for developers, and bounded for them too.
func TestIntrospection(t *testing.T) {
	a := serve(t, func(c *graph.Config, _ *pgxpool.Config) { c.Introspection = true })
	got := ask[struct {
		Schema struct {
			Types []struct{ Name string }
		} `json:"__schema"`
	}](a, "{ __schema { types { name } } }", nil)
	if len(got.Schema.Types) < 40 {
		t.Errorf("it has %d types", len(got.Schema.Types))
	}
	if e := a.refused("{ __schema { types { fields { type { fields { type { name } } } } } } }", nil); e.Extensions.Code != "DEPTH_LIMIT_EXCEEDED" {
		t.Errorf("got %+v", e)
	}
}

// TestBounds: the bounds that TestShape tests one by one are in force, and each tells its number.
func TestBounds(t *testing.T) {
	a := serve(t)
	for want, query := range map[string]string{
		"COMPLEXITY_LIMIT_EXCEEDED": `{ orchestrations(hub: "default", first: 200) { nodes { history(first: 5000) { events { seq at } } } } }`,
		"DEPTH_LIMIT_EXCEEDED":      `{ orchestration(hub: "default", instanceId: "a") { failure { ` + strings.Repeat("inner { ", 12) + "type" + strings.Repeat(" }", 12) + " } } }",
		"ALIAS_LIMIT_EXCEEDED":      `{ a: server { version } b: server { version } c: server { version } d: server { version } e: server { version } f: server { version } g: server { version } h: server { version } i: server { version } j: server { version } k: server { version } }`,
		"QUERY_LIMIT_EXCEEDED":      "{ server { version } } #" + strings.Repeat("x", 64<<10),
	} {
		e := a.refused(query, nil)
		if e.Extensions.Code != want || !strings.ContainsAny(e.Message, "0123456789") {
			t.Errorf("got %+v, want %s", e, want)
		}
	}
}

// TestDeadline: a query that Postgres does not answer in time is given up, there as well.
func TestDeadline(t *testing.T) {
	a := serve(t, func(c *graph.Config, _ *pgxpool.Config) { c.Deadline = 300 * time.Millisecond })
	tx, err := a.pool.Begin(a.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(a.ctx)
	if _, err := tx.Exec(a.ctx, "LOCK TABLE weir.instances IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	e := a.refused(`{ orchestrations(hub: "default") { nodes { id } } }`, nil)
	if e.Extensions.Code != "TIMEOUT" {
		t.Errorf("got %+v", e)
	}
	a.until("no statement waits for the lock", func() bool {
		var n int
		err := a.pool.QueryRow(a.ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// TestInternalErrors: what the client can do nothing about is in the log, under the request's id, and nowhere else.
func TestInternalErrors(t *testing.T) {
	a := serve(t)
	if _, err := a.pool.Exec(a.ctx, "ALTER TABLE weir.instances RENAME COLUMN custom_status TO secret_column"); err != nil {
		t.Fatal(err)
	}
	e := a.refused(`{ orchestrations(hub: "default") { nodes { id } } }`, nil)
	if e.Extensions.Code != "INTERNAL" || strings.Contains(e.Message, "custom_status") || strings.Contains(e.Message, "SQL") {
		t.Errorf("got %+v", e)
	}
	line := ""
	for l := range strings.SplitSeq(a.logs.String(), "\n") {
		if strings.Contains(l, e.Extensions.RequestID) {
			line = l
		}
	}
	if !strings.Contains(line, "custom_status") || !strings.Contains(line, "orchestrations") {
		t.Errorf("the log has %q", line)
	}
}

// TestServerSentEvents: the other way to follow, for clients without websockets.
func TestServerSentEvents(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 1})).InstanceID
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	body := fmt.Sprintf(`{"query": "subscription { orchestration(hub: \"default\", instanceId: \"%s\") { status } }"}`, id)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.server.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	raised := false
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
		case strings.Contains(data, `"COMPLETED"`):
			cancel()
		case !strings.Contains(data, `"status"`):
			t.Fatalf("got %s", data)
		case !raised:
			raised = true
			a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "x"}))
		}
	}
	if !raised || ctx.Err() == nil {
		t.Fatal("the stream ended by itself")
	}
	a.until("the stream is gone", func() bool { return a.handler.Stats() == graph.Stats{} })
}
