package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

// empty is a database without anything in it.
func empty(t *testing.T) *pgtest.DB {
	t.Helper()
	return pgtest.New(t, pgtest.Template{Name: "empty", Build: func(context.Context, string) error { return nil }})
}

// running is a server that a test has started.
type running struct {
	t    *testing.T
	ctx  context.Context
	url  string // without a path
	stop context.CancelFunc
	done chan error
	logs *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// boot runs a server on a free port until the test ends, as the environment says.
func boot(t *testing.T, env ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	cfg, err := loadConfig(environment(append(env, "WEIR_LISTEN", "127.0.0.1:0", "WEIR_ALLOW_ANYBODY", "true")...))
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, ctx: ctx, done: make(chan error, 1), logs: &logBuffer{}}
	s := NewServer(cfg, slog.New(slog.NewTextHandler(r.logs, nil)))
	address := make(chan string, 1)
	s.Started = func(a string) { address <- a }
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	t.Cleanup(func() { r.stopped() })
	go func() { r.done <- s.Run(life) }()
	select {
	case a := <-address:
		r.url = "http://" + a
	case err := <-r.done:
		r.done <- err
		t.Fatalf("the server ended: %v", err)
	}
	return r
}

// stopped stops the server, and fails the test unless it ends in order.
func (r *running) stopped() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("the server ended with %v", err)
		}
		r.done <- err
	case <-time.After(60 * time.Second):
		r.t.Error("the server does not stop")
	}
}

func (r *running) get(path string) (int, string, http.Header) {
	r.t.Helper()
	return r.request(http.MethodGet, path, "", nil)
}

func (r *running) request(method, path, body string, change func(*http.Request)) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

func (r *running) until(what string, cond func() bool) {
	r.t.Helper()
	for !cond() {
		select {
		case <-r.ctx.Done():
			r.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *running) ready() {
	r.t.Helper()
	r.until("the server is ready", func() bool { code, _, _ := r.get("/readyz"); return code == http.StatusOK })
}

// TestServer boots on a database without anything in it.
func TestServer(t *testing.T) {
	t.Parallel()
	r := boot(t, "WEIR_DATABASE_URL", empty(t).DSN(), "WEIR_HUBS", "default,second", "WEIR_DEPLOYMENT", "blue")
	if code, body, _ := r.get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	r.ready()
	if code, body, _ := r.get("/readyz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("readyz: %d %q", code, body)
	}

	t.Run("API", func(t *testing.T) {
		code, body, h := r.request(http.MethodPost, "/graphql", `{"query": "{ server { version deployment identity } hubs { nodes { name } } }"}`, nil)
		if code != http.StatusOK || h.Get("X-Request-Id") == "" || !strings.Contains(body, `"deployment":"blue","identity":false`) || !strings.Contains(body, `{"name":"second"}`) {
			t.Errorf("%d %s", code, body)
		}
		if _, body, _ := r.request(http.MethodPost, "/graphql", `{"query": "{ __schema { queryType { name } } }"}`, nil); !strings.Contains(body, `"FORBIDDEN"`) {
			t.Errorf("introspection: %s", body)
		}
		if code, body, h := r.get("/graphql/schema.graphql"); code != http.StatusOK || body != graph.Schema() || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
			t.Errorf("schema: %d, %d bytes, %s", code, len(body), h.Get("Content-Type"))
		}
		if code, _, _ := r.get("/"); code != http.StatusOK {
			t.Errorf("dashboard: %d", code)
		}
	})

	t.Run("OnlyLoopback", func(t *testing.T) {
		for host, want := range map[string]int{
			"localhost": 200, "localhost:8082": 200, "127.0.0.1": 200, "[::1]:80": 200,
			"evil.example": 403, "evil.example:8082": 403, "127.0.0.1.evil.example": 403, "10.0.0.1": 403, "localhost.evil.example": 403, "0.0.0.0": 403,
		} {
			for _, path := range []string{"/healthz", "/metrics", "/", "/graphql/schema.graphql", "/api/v1/openapi.json"} {
				if code, _, _ := r.request(http.MethodGet, path, "", func(req *http.Request) { req.Host = host }); code != want {
					t.Errorf("%s of %s: %d, want %d", path, host, code, want)
				}
			}
			want := map[int]int{200: 200, 403: 403}[want]
			if code, _, _ := r.request(http.MethodPost, "/graphql", `{"query": "{ server { version } }"}`, func(req *http.Request) { req.Host = host }); code != want {
				t.Errorf("graphql of %s: %d, want %d", host, code, want)
			}
		}
		_, resp, err := websocket.Dial(r.ctx, r.url+"/graphql", &websocket.DialOptions{Host: "evil.example", Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // Dial says: never needs to be closed
		if err == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("a websocket of another host: %v", err)
		}
	})
	r.stopped()
	if logs := r.logs.String(); strings.Contains(logs, "level=ERROR") || strings.Contains(logs, "level=WARN") {
		t.Errorf("the log has faults:\n%s", logs)
	}
}

// TestServerPath serves below a path, and nothing above.
// TestServerIdentity: it serves whom it knows, by the token of the settings and by those made with it; what nobody may have
// is left out of the log.
func TestServerIdentity(t *testing.T) {
	t.Parallel()
	db := empty(t)
	secret := strings.Repeat("s", 32)
	r := boot(t, "WEIR_DATABASE_URL", db.DSN(), "WEIR_ALLOW_ANYBODY", "false", "WEIR_ADMIN_TOKEN", secret)
	r.ready()
	with := func(token string) func(*http.Request) {
		return func(req *http.Request) {
			req.Host = "weir.example" // whoever is known may come by any name
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
		}
	}
	const viewer = `{"query": "{ viewer { subject } server { identity } }"}`
	for path, method := range map[string]string{"/graphql": http.MethodPost, "/graphql/schema.graphql": http.MethodGet, "/api/v1/openapi.json": http.MethodGet} {
		for token, want := range map[string]int{"": 401, "weir_unknown": 401, secret + "x": 401, secret: 200} {
			if code, body, h := r.request(method, path, viewer, with(token)); code != want || (code == 401) != (h.Get("WWW-Authenticate") != "") {
				t.Errorf("%s with %q: %d %s, want %d", path, token, code, body, want)
			}
		}
	}
	if _, body, _ := r.request(http.MethodPost, "/graphql", viewer, with(secret)); !strings.Contains(body, `"subject":"token:admin"`) || !strings.Contains(body, `"identity":true`) {
		t.Errorf("got %s", body)
	}
	for _, path := range []string{"/", "/healthz", "/metrics"} {
		if code, _, _ := r.request(http.MethodGet, path, "", with("")); code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
	}
	_, body, _ := r.request(http.MethodPost, "/graphql",
		`{"query": "mutation { createApiToken(input: {name: \"ci\", grants: [{hub: \"*\", roles: [READER]}]}) { secret errors { code } } }"}`, with(secret))
	_, rest, _ := strings.Cut(body, `"secret":"`)
	made, _, _ := strings.Cut(rest, `"`)
	if code, body, _ := r.request(http.MethodPost, "/graphql", viewer, with(made)); code != http.StatusOK {
		t.Errorf("the token that was made: %d %s", code, body)
	}
	// A browser signs in with it, and shows a cookie from then on.
	signIn := func(token string, change func(*http.Request)) (int, string, http.Header) {
		return r.request(http.MethodPost, "/auth/token", `{"token": "`+token+`"}`, func(req *http.Request) {
			req.Header.Set("X-Weir-Dashboard", "1")
			if change != nil {
				change(req)
			}
		})
	}
	for name, c := range map[string]struct {
		token  string
		change func(*http.Request)
		status int
	}{
		"none":              {"", nil, 400},
		"unknown":           {"weir_unknown", nil, 401},
		"from another site": {made, func(req *http.Request) { req.Header.Set("Origin", "https://evil.example") }, 403},
		"without a header":  {made, func(req *http.Request) { req.Header.Del("X-Weir-Dashboard") }, 403},
	} {
		if code, body, h := signIn(c.token, c.change); code != c.status || h.Get("Set-Cookie") != "" {
			t.Errorf("a token, %s: %d %s", name, code, body)
		}
	}
	code, _, h := signIn(made, nil)
	cookie := h.Get("Set-Cookie")
	if code != http.StatusNoContent || !strings.Contains(cookie, "HttpOnly; SameSite=Strict") || strings.Contains(cookie, "Max-Age") {
		t.Errorf("a token: %d, %q", code, cookie)
	}
	shows := func(change func(*http.Request)) (int, string) {
		code, body, _ := r.request(http.MethodPost, "/graphql", viewer, func(req *http.Request) {
			req.Header.Set("Cookie", strings.Split(cookie, ";")[0])
			req.Header.Set("X-Weir-Dashboard", "1")
			if change != nil {
				change(req)
			}
		})
		return code, body
	}
	if code, body := shows(nil); code != http.StatusOK || !strings.Contains(body, "OPERATION_NOT_TRUSTED") { // it is none of the dashboard's
		t.Errorf("with the cookie: %d %s", code, body)
	}
	if code, _ := shows(func(req *http.Request) { req.Header.Del("X-Weir-Dashboard") }); code != http.StatusForbidden {
		t.Errorf("with the cookie, by another site: %d", code)
	}
	if _, body, _ := r.request(http.MethodPost, "/graphql", `{"query": "{ auditLog { nodes { action actor result address } } }"}`, with(secret)); !strings.Contains(body, `"createApiToken","actor":"token:admin"`) || !strings.Contains(body, `"enter"`) {
		t.Errorf("the audit log is %s", body)
	}
	r.stopped()
	if log := r.logs.String(); strings.Contains(log, secret) || strings.Contains(log, made) {
		t.Error("a secret is in the log")
	}
	// Who has made a token needs the administrator's no more.
	again := boot(t, "WEIR_DATABASE_URL", db.DSN(), "WEIR_ALLOW_ANYBODY", "false")
	if code, _, _ := again.request(http.MethodPost, "/graphql", viewer, with(made)); code != http.StatusOK {
		t.Errorf("after a restart: %d", code)
	}
	if code, _, _ := again.request(http.MethodPost, "/graphql", viewer, with(secret)); code != http.StatusUnauthorized {
		t.Errorf("a token that is in the settings no more: %d", code)
	}
}

func TestServerPath(t *testing.T) {
	t.Parallel()
	r := boot(t, "WEIR_DATABASE_URL", pgtest.New(t, weirtest.Schema).DSN(), "WEIR_PATH", "/ops/weir/")
	for path, want := range map[string]int{"/ops/weir/healthz": 200, "/ops/weir/": 200, "/ops/weir/graphql/schema.graphql": 200, "/ops/weir/api/v1/openapi.json": 200, "/ops/weir/api/v1/": 404, "/api/v1/openapi.json": 404, "/healthz": 404, "/": 404, "/graphql": 404} {
		if code, _, _ := r.get(path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// TestShutdownInStages: what is under way is answered, what is open is ended, and readiness goes first.
func TestShutdownInStages(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, weirtest.Schema)
	r := boot(t, "WEIR_DATABASE_URL", db.DSN())
	r.ready()
	conn, _, err := websocket.Dial(r.ctx, r.url+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // Dial says: never needs to be closed
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, m := range []string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":{"query":"subscription { orchestrationChanges(hub: \"default\") { seq } }"}}`} {
		if err := conn.Write(r.ctx, websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	// A request that waits for a lock, which is released only once the server stops.
	locker, err := pgx.Connect(r.ctx, db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Close(r.ctx)
	if _, err := locker.Exec(r.ctx, "BEGIN; LOCK TABLE weir.hubs IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	type reply struct {
		code int
		body string
	}
	answered := make(chan reply, 1)
	go func() {
		code, body, _ := r.request(http.MethodPost, "/graphql", `{"query": "{ hubs { nodes { name } } }"}`, nil)
		answered <- reply{code, body}
	}()
	r.until("the request waits for the lock", func() bool {
		var n int
		if err := locker.QueryRow(r.ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	r.stop()
	for err == nil { // the stream ends, with a word
		_, _, err = conn.Read(r.ctx)
	}
	if code := websocket.CloseStatus(err); code != websocket.StatusGoingAway {
		t.Errorf("the websocket ended with %v", err)
	}
	r.until("no new connection is taken", func() bool {
		c, err := (&net.Dialer{}).DialContext(r.ctx, "tcp", strings.TrimPrefix(r.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if _, err := locker.Exec(r.ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got.code != http.StatusOK || !strings.Contains(got.body, `"default"`) {
		t.Errorf("the request was answered with %+v", got)
	}
	r.stopped()
	var left int
	r.until("its connections are closed", func() bool {
		err := locker.QueryRow(r.ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&left)
		return err == nil && left == 0
	})
	var state int
	if err := locker.QueryRow(r.ctx, "SELECT state FROM weir.workers").Scan(&state); err != nil || state != 2 {
		t.Errorf("the server's row says %d (%v), not that it has left", state, err)
	}
}

// TestReadiness: alive and not ready while the database is away.
func TestReadiness(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Server(t, pgtest.ServerOptions{})
	r := boot(t, "WEIR_DATABASE_URL", cluster.New(t, weirtest.Schema).DSN())
	r.ready()
	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	r.until("it is not ready", func() bool {
		code, body, _ := r.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "not ready")
	})
	if code, _, _ := r.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	if err := cluster.Start(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.ready()
}

// TestServerRefuses: what keeps a server from starting is told in words that say what to do.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // the parallel subtests run after this function
	newer := pgtest.New(t, weirtest.Schema)
	execute(t, newer, "INSERT INTO weir.migrations (version, name) VALUES (9999, 'from_the_future')")
	unmigrated := empty(t)
	behind := pgtest.New(t, weirtest.Schema)
	execute(t, behind, "DELETE FROM weir.migrations")
	notOurs := empty(t)
	execute(t, notOurs, "CREATE SCHEMA weir; CREATE TABLE weir.migrations (version text)")
	good := pgtest.New(t, weirtest.Schema)

	const closed = "postgres://weir:hunter2@127.0.0.1:1/weir"
	for name, test := range map[string]struct {
		env   []string
		words []string
	}{
		"nobody could use it":     {[]string{"WEIR_DATABASE_URL", good.DSN(), "WEIR_ALLOW_ANYBODY", "false"}, []string{"knows nobody", "WEIR_ADMIN_TOKEN", "WEIR_ALLOW_ANYBODY"}},
		"the port is taken":       {[]string{"WEIR_DATABASE_URL", good.DSN(), "WEIR_LISTEN", taken.Addr().String()}, []string{"another program listens on " + taken.Addr().String(), "WEIR_LISTEN"}},
		"nobody answers":          {[]string{"WEIR_DATABASE_URL", closed}, []string{"cannot reach the database of WEIR_DATABASE_URL", "127.0.0.1", "connection refused"}},
		"no such database":        {[]string{"WEIR_DATABASE_URL", strings.Replace(good.DSN(), good.Name(), "no_such_db", 1)}, []string{"cannot reach the database", "no_such_db", "does not exist"}},
		"a newer database":        {[]string{"WEIR_DATABASE_URL", newer.DSN()}, []string{"9999", "newer"}},
		"a newer one, unmigrated": {[]string{"WEIR_DATABASE_URL", newer.DSN(), "WEIR_MIGRATE", "false"}, []string{"9999", "newer"}},
		"nothing migrated":        {[]string{"WEIR_DATABASE_URL", unmigrated.DSN(), "WEIR_MIGRATE", "false"}, []string{`schema "weir" is at version 0`, "weir migrate"}},
		"another schema":          {[]string{"WEIR_DATABASE_URL", good.DSN(), "WEIR_MIGRATE", "false", "WEIR_SCHEMA", "wier"}, []string{`schema "wier" is at version 0`, "weir migrate"}},
		"another river schema":    {[]string{"WEIR_DATABASE_URL", good.DSN(), "WEIR_MIGRATE", "false", "WEIR_RIVER_SCHEMA", "rivre"}, []string{`schema "rivre" has no tables of River`}},
		"not Weir's schema":       {[]string{"WEIR_DATABASE_URL", notOurs.DSN()}, []string{"migrations"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			env := test.env
			if !strings.Contains(strings.Join(env, " "), "WEIR_LISTEN") {
				env = append(env, "WEIR_LISTEN", "127.0.0.1:0")
			}
			cfg, err := loadConfig(environment(env...))
			if err != nil {
				t.Fatal(err)
			}
			err = NewServer(cfg, slog.New(slog.DiscardHandler)).Run(ctx)
			if err == nil || ctx.Err() != nil {
				t.Fatalf("it ran: %v", err)
			}
			for _, w := range test.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func execute(t *testing.T, db *pgtest.DB, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestMigrateCommand brings a database to this version, and again is no error.
func TestMigrateCommand(t *testing.T) {
	t.Parallel()
	db := empty(t)
	env := environment("WEIR_DATABASE_URL", db.DSN(), "WEIR_SCHEMA", "other", "WEIR_RIVER_SCHEMA", "jobs")
	for _, args := range [][]string{{"migrate"}, {"migrate"}, {"migrate", "--roles"}} {
		if err := run(t.Context(), args, env, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	// The server needs no more than its role has.
	pool := db.Pool(t)
	t.Cleanup(func() { // roles belong to the cluster
		for _, role := range []string{"weir_server", "weir_worker", "weir_reader"} {
			if _, err := pool.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE IF EXISTS "+role+"_account; DROP ROLE "+role); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := pool.Exec(t.Context(), "CREATE ROLE weir_server_account LOGIN PASSWORD 'secret' IN ROLE weir_server"); err != nil {
		t.Fatal(err)
	}
	account, err := url.Parse(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	account.User = url.UserPassword("weir_server_account", "secret")
	r := boot(t, "WEIR_DATABASE_URL", account.String(), "WEIR_SCHEMA", "other", "WEIR_RIVER_SCHEMA", "jobs", "WEIR_MIGRATE", "false")
	r.ready()
	code, body, _ := r.request(http.MethodPost, "/graphql", `{"query": "mutation { startOrchestration(input: {hub: \"default\", name: \"x\"}) { errors { message } orchestration { status } } }"}`, nil)
	if code != http.StatusOK || !strings.Contains(body, `"errors":[],"orchestration":{"status":"PENDING"}`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestPasswordsAreNotShown, however a connection string is written.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	for connection, want := range map[string]string{
		"postgres://u:hunter2@h:5/db":               "postgres://u:xxxxx@h:5/db",
		"postgres://u@h/db?password=hunter2&port=7": "postgres://u@h/db?password=xxxxx&port=7",
		"host=h user=u password=hunter2 dbname=db":  "host=h port=5432 user=u dbname=db",
	} {
		if got := withoutPassword(connection); got != want {
			t.Errorf("%s is shown as %s, want %s", connection, got, want)
		}
	}
}
