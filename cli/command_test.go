package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/cli"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/internal/weirtest"
)

// remote is a server with a worker, and a terminal to ask it from.
type remote struct {
	t      *testing.T
	ctx    context.Context
	engine *engine.Engine
	server *httptest.Server
	api    *graph.Handler
	seen   sync.Map // headers of requests
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	pool := weirtest.Pool(t)
	log := slog.New(slog.DiscardHandler)
	e, err := engine.Open(ctx, engine.Config{Pool: pool, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	api, err := graph.NewHandler(ctx, graph.Config{Engine: e, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{t: t, ctx: ctx, engine: e, api: api}
	mux := http.NewServeMux()
	open := (&auth.Gate{Anybody: auth.Anybody()}).Protect(api, graph.Refuse)
	mux.HandleFunc("/graphql", func(w http.ResponseWriter, req *http.Request) {
		r.seen.Store("authorization", req.Header.Get("Authorization"))
		req.Header.Del("Authorization") // who it is does not matter here
		open.ServeHTTP(w, req)
	})
	r.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		if err := api.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		r.server.Close()
	})
	w, err := durable.NewWorker(pool, &durable.Config{Logger: log},
		Item.Handler(item), Child.Handler(func(*durable.Context, string) (int, error) { return 0, errors.New("no such child") }),
		Order.Handler(func(ctx *durable.Context, _ string) (int, error) { v, err := Paid.Wait(ctx); return len(v), err }),
		Add.Handler(func(_ *durable.EntityContext, n *int, by int) (int, error) { *n += by; return *n, nil }),
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
	return r
}

// result is what a command has left behind.
type result struct {
	out, notes string
	err        error
	code       int
}

// weir runs a command as from a command line.
func (r *remote) weir(args ...string) result { return r.with(nil, "", args...) }

func (r *remote) with(env map[string]string, in string, args ...string) result {
	r.t.Helper()
	var out, notes strings.Builder
	err := cli.Run(r.ctx, args, func(name string) (string, bool) {
		if v, ok := env[name]; ok {
			return v, true
		}
		if name == "WEIR_SERVER" {
			return r.server.URL, true
		}
		return "", false
	}, strings.NewReader(in), &out, &notes)
	return result{out.String(), notes.String(), err, code(err)}
}

func code(err error) int {
	var (
		exit  *cli.Exit
		usage cli.Usage
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

// ok runs a command that must do what it is for, and say so.
func (r *remote) ok(says string, args ...string) result {
	r.t.Helper()
	got := r.weir(args...)
	if got.err != nil || !strings.Contains(got.out, says) {
		r.t.Errorf("weir %s: want %q, got error %v and\n%s%s", strings.Join(args, " "), says, got.err, got.out, got.notes)
	}
	return got
}

// no runs a command that must be refused.
func (r *remote) no(code int, says string, args ...string) {
	r.t.Helper()
	got := r.weir(args...)
	if got.code != code || got.err == nil || !strings.Contains(got.err.Error(), says) {
		r.t.Errorf("weir %s: want exit code %d and %q, got %d, %v and\n%s", strings.Join(args, " "), code, says, got.code, got.err, got.out)
	}
}

// until runs a command again and again until it says something: what it asks for happens in the background.
func (r *remote) until(says string, args ...string) {
	r.t.Helper()
	last := ""
	for got := r.weir(args...); !strings.Contains(got.out, says); got = r.weir(args...) {
		if r.ctx.Err() != nil || got.err != nil {
			r.t.Fatalf("weir %s does not say %q: %v\n%s", strings.Join(args, " "), says, got.err, last)
		}
		last = got.out
	}
}

// ended waits until an instance has ended.
func (r *remote) ended(id string) {
	r.t.Helper()
	if _, err := r.engine.Wait(r.ctx, "default", id); err != nil {
		r.t.Fatal(err)
	}
}

// TestInstances runs all commands on instances.
func TestInstances(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.ok("INSTANCE  NAME  STATUS", "list")
	r.ok("one ", "start", "item", "--id", "one", "--input", `"abc"`, "--tag", "team=a", "--tag", "n=1", "--priority", "1")
	r.ok("COMPLETED", "watch", "one")
	got := r.ok(`output       3`, "get", "one")
	for _, want := range []string{"instance     one", "status       COMPLETED", `input        "abc"`, "tags         n=1 team=a", "may          restart, rewind"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("get does not say %q:\n%s", want, got.out)
		}
	}
	var one struct {
		InstanceID string              `json:"instanceId"`
		Tags       []map[string]string `json:"tags"`
		Output     struct {
			Text string `json:"text"`
		} `json:"output"`
	}
	r.no(2, "there is no command", "--json", "get", "one")
	if err := json.Unmarshal([]byte(r.ok("", "get", "--json", "one").out), &one); err != nil || one.InstanceID != "one" || one.Output.Text != "3" || len(one.Tags) != 2 {
		t.Errorf("%v, %+v", err, one)
	}
	got = r.ok("ExecutionStarted", "history", "one")
	for _, want := range []string{"TimerFired", `item generation=0 input="abc"`, "COMPLETED result=3"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("history does not say %q:\n%s", want, got.out)
		}
	}
	var events []map[string]any
	if err := json.Unmarshal([]byte(r.ok("", "history", "one", "--after", "2", "--limit", "2", "--output", "json").out), &events); err != nil || len(events) != 2 || events[0]["seq"] != "3" {
		t.Errorf("%v, %v", err, events)
	}

	// A value from a file, from the standard input, and with digits that a double does not keep.
	file := filepath.Join(t.TempDir(), "in.json")
	if err := os.WriteFile(file, []byte("\"from a file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.ok("two ", "start", "item", "--id", "two", "--input", "@"+file, "--wait")
	r.ok(`"from a file"`, "get", "two")
	if got := r.with(nil, `12345678901234567890.12`, "start", "unknown", "--id", "big", "--input", "-"); got.err != nil {
		t.Error(got.err)
	}
	r.ok("12345678901234567890.12", "get", "big")

	r.no(1, "ALREADY_EXISTS at instanceId", "start", "item", "--id", "one")
	r.ok("one ", "start", "item", "--id", "one", "--return-existing")
	r.ok("one ", "start", "item", "--id", "one", "--replace", "completed", "--input", `"abcd"`)
	r.ended("one")
	r.ok("later ", "start", "item", "--id", "later", "--delay", "24h")
	r.ok("SCHEDULED", "get", "later", "--json")
	r.ok("later2 ", "start", "item", "--id", "later2", "--at", "36h")

	r.ok("order-1 ", "start", "order", "--id", "order-1", "--input", `""`)
	r.ok("order-1 ", "suspend", "order-1", "--reason", "look into it")
	r.until("status       SUSPENDED", "get", "order-1")
	r.ok("order-1 ", "resume", "order-1")
	r.until("status       RUNNING", "get", "order-1")
	r.no(1, "INVALID_ARGUMENT at reason", "suspend", "order-1")
	r.ok("order-1 ", "raise", "order-1", "paid", `"euros"`, "--key", "k1")
	r.ended("order-1")
	r.ok("output       5", "get", "order-1")
	r.no(1, "FAILED_PRECONDITION", "raise", "order-1", "paid")

	r.ok("order-2 ", "start", "order", "--id", "order-2", "--input", `""`)
	r.ok("order-2 ", "cancel", "order-2", "--reason", "enough")
	r.ended("order-2")
	r.no(1, "has ended as CANCELED", "watch", "order-2")
	r.ok("order-3 ", "start", "order", "--id", "order-3", "--input", `""`)
	if _, err := r.engine.WaitStarted(r.ctx, "default", "order-3"); err != nil {
		t.Fatal(err)
	}
	r.ok("TERMINATED", "terminate", "order-3", "--reason", "enough", "--recursive")
	r.ok("order-3 ", "rewind", "order-3", "--reason", "it was not")
	r.ok("order-3 ", "raise", "order-3", "paid", `"x"`)
	r.ended("order-3")
	r.no(1, "INVALID_ARGUMENT at step", "rewind", "order-3", "--reason", "again", "--step", "99")
	r.ok("one ", "restart", "one")
	r.ended("one")
	r.ok("like-one ", "restart", "one", "--as-new", "--new-id", "like-one")
	r.ended("like-one")
	r.ok("2 purged, 0 refused.", "purge", "one", "like-one")
	r.no(3, "NOT_FOUND", "purge", "one")
	r.no(1, "FAILED_PRECONDITION", "purge", "later")
	r.no(3, `NOT_FOUND: there is no instance "one" in hub "default"`, "get", "one")
	r.no(3, "NOT_FOUND", "history", "one")
	r.no(3, "NOT_FOUND", "raise", "one", "paid")
	r.no(3, "NOT_FOUND", "get", "two", "--hub", "nowhere")

	// Lists, filtered and page by page.
	var many []engine.StartRequest
	for n := range 450 {
		many = append(many, engine.StartRequest{Name: "unknown", ID: fmt.Sprintf("many-%03d", n), Tags: map[string]string{"kind": "many"}})
	}
	if _, errs := r.engine.StartMany(r.ctx, "default", many); errors.Join(errs...) != nil {
		t.Fatal(errors.Join(errs...))
	}
	if got := r.ok("many-449", "list", "--prefix", "many-", "--limit", "430"); strings.Count(got.out, "\n") != 431 || !strings.Contains(got.notes, "more than 430") {
		t.Errorf("%d lines, %q", strings.Count(got.out, "\n"), got.notes)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(r.ok("", "list", "--tag", "kind=many", "--status", "pending", "--limit", "1000", "--json").out), &rows); err != nil || len(rows) != 450 {
		t.Errorf("%v, %d rows", err, len(rows))
	}
	if got := r.ok("order-3", "list", "--name", "order", "--status", "completed", "--status", "canceled", "--created-from", "1h", "--created-to", "2100-01-01T00:00:00Z"); strings.Contains(got.out, "many-") || !strings.Contains(got.out, "order-2") {
		t.Error(got.out)
	}
	r.ok("order-1", "list", "--filter", `{"instanceIds": ["order-1"]}`, "--where-output", "$ == 5")
	r.no(1, "INVALID_ARGUMENT", "list", "--where-input", "$.a >")
	r.no(3, "NOT_FOUND", "list", "--hub", "nowhere")
}

// finish reads what is left, so that the command comes to its end, and returns that.
func finish(lines io.Reader, done <-chan error) error {
	_, _ = io.Copy(io.Discard, lines)
	return <-done
}

// TestWatch follows a list and a history while things happen.
func TestWatch(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	lines, w := io.Pipe()
	ctx, stop := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	follow := func(args ...string) {
		go func() {
			err := cli.Run(ctx, args, func(name string) (string, bool) { return r.server.URL, name == "WEIR_SERVER" }, nil, w, w)
			_ = w.CloseWithError(io.EOF)
			done <- err
		}()
	}
	var said bytes.Buffer
	until := func(words string) {
		t.Helper()
		buf := make([]byte, 4096)
		for !strings.Contains(said.String(), words) {
			n, err := lines.Read(buf)
			said.Write(buf[:n])
			if err != nil {
				t.Fatalf("it does not say %q: %v, %v\n%s", words, err, finish(lines, done), said.String())
			}
		}
		said.Reset()
	}
	r.ok("first ", "start", "order", "--id", "first", "--input", `""`)
	follow("watch", "--name", "order")
	until("first (order)")
	r.ok("second ", "start", "order", "--id", "second", "--input", `""`)
	until("second (order)")
	r.ok("", "terminate", "first", "--reason", "enough")
	until("TERMINATED first (order)")
	stop()
	if err := finish(lines, done); err != nil {
		t.Errorf("it was stopped, and ended with %v", err)
	}

	ctx, stop = context.WithCancel(r.ctx)
	defer stop()
	lines, w = io.Pipe()
	follow("history", "second", "--follow")
	until("ExecutionStarted")
	r.ok("", "raise", "second", "paid", `"x"`)
	until("COMPLETED result=1")
	if err := finish(lines, done); err != nil {
		t.Error(err)
	}

	lines, w = io.Pipe()
	follow("watch", "--json", "--status", "completed")
	until(`"instanceId":"second"`)
	stop()
	if err := finish(lines, done); err != nil {
		t.Error(err)
	}
	r.no(3, "NOT_FOUND", "watch", "nobody")
	r.no(3, "NOT_FOUND", "watch", "--hub", "nowhere")
	r.no(1, "has ended as FAILED", "start", "child", "--input", `"x"`, "--wait")
}

// TestReconnect: a server that goes and comes back is followed on, from where the client was.
func TestReconnect(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.ok("it ", "start", "order", "--id", "it", "--input", `""`)
	// A door before the server that can be slammed.
	var (
		mu    sync.Mutex
		conns []io.Closer
	)
	door := httptest.NewUnstartedServer(r.server.Config.Handler)
	door.Config.ConnState = nil
	front, err := newDoor(r.server.Listener.Addr().String(), func(c io.Closer) { mu.Lock(); conns = append(conns, c); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	lines, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- cli.Run(r.ctx, []string{"history", "it", "--follow", "--server", "http://" + front.Addr().String()}, func(string) (string, bool) { return "", false }, nil, w, w)
		_ = w.Close()
	}()
	var said strings.Builder
	buf := make([]byte, 4096)
	until := func(words string) {
		t.Helper()
		for !strings.Contains(said.String(), words) {
			n, err := lines.Read(buf)
			said.Write(buf[:n])
			if err != nil {
				t.Fatalf("it does not say %q: %v\n%s", words, err, said.String())
			}
		}
	}
	until("ExecutionStarted")
	mu.Lock()
	for _, c := range conns {
		_ = c.Close()
	}
	mu.Unlock()
	until("connecting again")
	r.ok("", "raise", "it", "paid", `"x"`)
	until("COMPLETED result=1")
	if err := finish(lines, done); err != nil {
		t.Error(err)
	}
	if n := strings.Count(said.String(), "ExecutionStarted"); n != 1 {
		t.Errorf("the beginning came %d times:\n%s", n, said.String())
	}
}

// TestControlPlane runs the commands on schedules, entities, hubs, workers, limits, letters, operations on many, and retention.
func TestControlPlane(t *testing.T) {
	t.Parallel()
	r := newRemote(t)

	r.ok("nightly", "schedules", "create", "nightly", "--orchestration", "item", "--cron", "0 3 * * *", "--zone", "Europe/Berlin", "--input", `"x"`, "--overlap", "buffer-one", "--paused")
	r.no(1, "ALREADY_EXISTS at scheduleId", "schedules", "create", "nightly", "--orchestration", "item", "--every", "1h")
	r.no(1, "INVALID_ARGUMENT at every", "schedules", "create", "other", "--orchestration", "item", "--every", "1ms")
	r.ok("0 3 * * * Europe/Berlin", "schedules", "list", "--state", "paused", "--prefix", "night")
	r.ok("every 1h0m0s", "schedules", "update", "nightly", "--every", "1h", "--catch-up", "2h")
	got := r.ok("overlap      BUFFER_ONE", "schedules", "get", "nightly")
	for _, want := range []string{"catch-up     2h0m0s", "state        PAUSED", `input        "x"`, "revision     2"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the update has lost %q:\n%s", want, got.out)
		}
	}
	r.ok("ACTIVE", "schedules", "resume", "nightly")
	r.ok("PAUSED", "schedules", "pause", "nightly", "--note", "holidays")
	r.ok("item", "schedules", "trigger", "nightly")
	r.ok("2 started, 0 were there already.", "schedules", "backfill", "nightly", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T01:59:59.999999Z") // two hours, wherever in the hour the interval begins
	r.no(2, "--from and --to", "schedules", "backfill", "nightly")
	r.ok("deleted", "schedules", "delete", "nightly")
	r.no(3, "NOT_FOUND", "schedules", "get", "nightly")
	r.no(3, "NOT_FOUND", "schedules", "update", "nightly", "--every", "1h")
	r.no(3, "NOT_FOUND", "schedules", "pause", "nightly")

	r.ok("@counter@a", "signal", "counter", "a", "add", "5")
	if _, err := r.engine.CallEntity(r.ctx, engine.SignalRequest{Hub: "default", Entity: engine.EntityID{Name: "counter", Key: "a"}, Operation: "add", Input: payloadOf("1")}); err != nil {
		t.Fatal(err)
	}
	r.ok("state        6", "entities", "get", "counter", "a")
	r.ok("@counter@a", "entities", "list", "--name", "Counter", "--prefix", "a", "--modified-from", "1h")
	r.no(3, "NOT_FOUND", "entities", "get", "counter", "b")
	r.no(1, "INVALID_ARGUMENT", "signal", "co@unter", "a", "add")

	r.ok("default", "hubs")
	r.ok("ONLINE", "workers")
	r.no(3, "NOT_FOUND", "workers", "--hub", "nowhere")

	r.ok("5 in 1s, 5 at once", "limits", "put", "api", "--concurrency", "2", "--rate", "5")
	r.ok("api", "limits", "list")
	r.ok("api", "limits", "get", "api")
	r.no(1, "INVALID_ARGUMENT at rate", "limits", "put", "api", "--rate", "0")
	r.ok("deleted", "limits", "delete", "api")
	r.no(3, "NOT_FOUND", "limits", "get", "api")

	r.ok("INSTANCE", "letters", "list")
	r.ok("0 redriven.", "letters", "redrive", "--all")
	r.no(2, "name an instance, or say --all", "letters", "redrive")
	r.no(3, "NOT_FOUND", "letters", "redrive", "nobody")

	for n := range 3 {
		r.ok("", "start", "order", "--id", fmt.Sprintf("b-%d", n), "--input", `""`)
	}
	r.ok("3 instances\n  b-", "batch", "preview", "terminate", "--prefix", "b-")
	r.no(2, "say --all", "batch", "start", "terminate", "--reason", "x")
	r.no(1, "INVALID_ARGUMENT at reason", "batch", "start", "terminate", "--prefix", "b-")
	r.no(1, "INVALID_ARGUMENT at perSecond", "batch", "start", "terminate", "--prefix", "b-", "--reason", "x", "--per-second", "0")
	r.no(2, "allowed are PURGE", "batch", "start", "explode", "--prefix", "b-")
	r.ok("clean-up", "batch", "start", "terminate", "--prefix", "b-", "--reason", "clean up", "--operation-id", "clean-up", "--per-second", "100")
	for n := range 3 {
		r.ended(fmt.Sprintf("b-%d", n))
	}
	r.until("state        DONE", "batch", "get", "clean-up")
	r.ok("done         3", "batch", "get", "clean-up")
	r.ok("clean-up", "batch", "list", "--state", "done")
	for _, verb := range []string{"pause", "resume", "cancel"} {
		r.no(1, "FAILED_PRECONDITION", "batch", verb, "clean-up")
		r.no(3, "NOT_FOUND", "batch", verb, "nothing")
	}
	r.no(3, "NOT_FOUND", "batch", "get", "nothing")

	r.ok("720h0m0s", "retention", "set", "--name", "item", "--status", "completed", "--keep", "30d")
	r.ok("for ever", "retention", "set", "--for-ever")
	r.ok("item", "retention", "list")
	r.no(2, "either --keep or --for-ever", "retention", "set")
	r.no(1, "INVALID_ARGUMENT at keep", "retention", "set", "--keep", "1s")
	if got := r.ok("for ever", "retention", "delete", "--name", "item", "--status", "completed"); strings.Contains(got.out, "720h") {
		t.Error(got.out)
	}
	r.no(3, "NOT_FOUND", "retention", "list", "--hub", "nowhere")
}

// TestCommandLines: what is refused before anybody is asked.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	r := &remote{t: t, ctx: t.Context(), server: &httptest.Server{URL: "http://127.0.0.1:1"}}
	for line, want := range map[string]string{
		"get":                                         "it takes INSTANCE",
		"get a b":                                     `"b" is too much`,
		"list x":                                      `"x" is no flag`,
		"list --nonsense":                             "not defined: -nonsense",
		"list --output xml":                           "allowed are table and json",
		"list --limit 0":                              "allowed are 1 to 100000",
		"list --limit x":                              "invalid value",
		"list --status done":                          "allowed are PENDING",
		"list --tag x":                                "want NAME=VALUE",
		"list --created-from soon":                    "want a time such as",
		"list --filter [1]":                           "want an object of JSON",
		"list --filter {":                             "is no JSON",
		"history x --after -1":                        "must not be negative",
		"history x --limit 100001":                    "allowed are 1 to 100000",
		"watch --limit 201":                           "allowed are 1 to 200",
		"start x --input nonsense":                    "is no JSON: nonsense",
		"start x --input @/no/such/file":              "no such file",
		"start x --priority high":                     "invalid value",
		"raise x y nonsense":                          "PAYLOAD: is no JSON",
		"schedules":                                   "say what to do: list, get, create",
		"schedules explode":                           "say what to do",
		"schedules create x --overlap never":          "allowed are SKIP",
		"list --server ftp://x":                       "want an address such as",
		"list --server http://u:p@127.0.0.1":          "want an address such as",
		"list --server nonsense":                      "want an address such as",
		"list --timeout 0s":                           "must be positive",
		"list --server http://weir.example --token t": "use https",
		"list --token \xff":                           "printable ASCII",
		"get \xff":                                    "not valid UTF-8",
		"list --tag a=\xff":                           "not valid UTF-8",
		"explode":                                     "there is no command",
	} {
		r.no(2, want, strings.Split(line, " ")...)
	}
	r.no(2, "it takes INSTANCE", "get", "--")
	r.no(4, "cannot reach the server at http://127.0.0.1:1/graphql", "list")
	r.no(4, "cannot reach the server at http://127.0.0.1:1/graphql", "watch")
	r.no(4, "cannot reach", "get", "--", "--json")
}

// TestStrangeServers: what is no Weir server, does not let one in, or sends elsewhere.
func TestStrangeServers(t *testing.T) {
	t.Parallel()
	r := &remote{t: t, ctx: t.Context()}
	var tokens []string
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		tokens = append(tokens, req.Header.Get("Authorization"))
		switch strings.Split(req.URL.Path, "/")[1] {
		case "401":
			w.WriteHeader(http.StatusUnauthorized)
		case "401-json":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors": [{"message": "who are you?"}]}`)
		case "403":
			w.WriteHeader(http.StatusForbidden)
		case "302":
			http.Redirect(w, req, "https://login.example/", http.StatusFound)
		case "page":
			_, _ = io.WriteString(w, "<html>hello</html>")
		case "empty":
			_, _ = io.WriteString(w, `{"data": {}}`)
		case "wrong":
			_, _ = io.WriteString(w, `{"data": {"done": {"nodes": 7}}}`)
		case "escape":
			_, _ = io.WriteString(w, `{"errors": [{"message": "\u001b[31mred", "extensions": {"code": "INTERNAL", "requestId": "req_1"}}]}`)
		case "slow":
			_, _ = io.Copy(io.Discard, req.Body) // or the server would not see the client leave
			<-req.Context().Done()
		}
	}))
	defer r.server.Close()
	at := func(path string) []string { return []string{"list", "--server", r.server.URL + "/" + path} }
	r.no(4, "UNAUTHENTICATED", at("401")...)
	r.no(4, "UNAUTHENTICATED: who are you?", at("401-json")...)
	r.no(4, "FORBIDDEN", at("403")...)
	r.no(4, "sends elsewhere, to https://login.example/", at("302")...)
	r.no(4, "is no Weir server: 200 OK", at("page")...)
	r.no(1, "is not one of Weir's", at("empty")...)
	r.no(1, "not one that this version of weir knows", at("wrong")...)
	r.no(1, "INTERNAL: [31mred (request req_1)", at("escape")...)
	r.no(4, "did not answer in time", append(at("slow"), "--timeout", "50ms")...)
	r.no(4, "UNAUTHENTICATED", "watch", "--server", r.server.URL+"/401")
	r.no(4, "is no Weir server", "watch", "--server", r.server.URL+"/page")
	tokens = nil
	got := r.with(map[string]string{"WEIR_TOKEN": "secret", "WEIR_HUB": "other"}, "", "list")
	if len(tokens) != 1 || tokens[0] != "Bearer secret" || strings.Contains(fmt.Sprint(got), "secret") {
		t.Errorf("the server got %q, and it says %v", tokens, got)
	}
}

// TestAccess runs the commands on tokens, roles and the audit log.
func TestAccess(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.ok("anybody  anybody  NOTHING", "whoami")
	made := r.ok("weir_", "tokens", "create", "ci", "--grant", "default=contributor,worker", "--grant", "*=reader", "--expires", "90d")
	if strings.Count(made.out, "\n") != 1 || !strings.Contains(made.notes, "shown once") {
		t.Errorf("it says %q and %q", made.out, made.notes)
	}
	list := r.ok("*=READER default=CONTRIBUTOR,WORKER", "tokens", "list")
	if strings.Contains(list.out, strings.TrimSpace(made.out)) {
		t.Error("the list shows the secret")
	}
	id, _, _ := strings.Cut(strings.Split(list.out, "\n")[1], " ")
	r.ok(id, "tokens", "revoke", id)
	r.no(3, "NOT_FOUND", "tokens", "revoke", "nothing")
	r.no(2, "HUB=ROLE", "tokens", "create", "x")
	r.no(2, "allowed are READER", "tokens", "create", "x", "--grant", "default=king")
	r.no(2, "such as default=contributor", "tokens", "create", "x", "--grant", "reader")
	r.no(3, "NOT_FOUND at grants", "tokens", "create", "x", "--grant", "nowhere=reader")
	r.no(1, "INVALID_ARGUMENT at expiresAt", "tokens", "create", "x", "--grant", "*=reader", "--expires", "2020-01-01T00:00:00Z")

	r.ok("group:ops has the role OPERATOR in default.", "roles", "set", "group:ops", "operator")
	r.ok("in *.", "roles", "set", "https://id.example#ann", "admin", "--all-hubs")
	r.ok("group:ops", "roles", "list")
	r.ok("group:ops no longer has", "roles", "remove", "group:ops", "operator")
	r.no(3, "NOT_FOUND", "roles", "remove", "group:ops", "operator")
	r.no(2, "allowed are READER", "roles", "set", "group:ops", "king")
	r.no(1, "INVALID_ARGUMENT at subject", "roles", "set", "ann", "reader")

	r.until("removeRoleBinding", "audit", "--limit", "5", "--refused", "--action", "removeRoleBinding")
	r.ok("createApiToken", "audit", "--since", "1h")
	if got := r.ok("", "audit", "--of-hub"); strings.Contains(got.out, "createApiToken") {
		t.Errorf("what belongs to no hub is among %s", got.out)
	}
	lines := r.ok("", "audit", "--jsonl", "--action", "setRoleBinding")
	n := 0
	for line := range strings.Lines(lines.out) {
		var e struct {
			Action string `json:"action"`
			Actor  string `json:"actor"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action != "setRoleBinding" || e.Actor != "anybody" {
			t.Errorf("%v: %s", err, line)
		}
		n++
	}
	if n != 3 {
		t.Errorf("there are %d lines", n)
	}
}

// TestAlertCommands runs the commands on rules and webhooks.
func TestAlertCommands(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	made := r.ok("whsec_", "webhooks", "create", "ops", "https://example.com/hook")
	if strings.Count(made.out, "\n") != 1 || !strings.Contains(made.notes, "shown once") {
		t.Errorf("it says %q and %q", made.out, made.notes)
	}
	r.no(1, "ALREADY_EXISTS", "webhooks", "create", "ops", "https://example.com/hook")
	r.no(1, "INVALID_ARGUMENT at url", "webhooks", "create", "other", "ftp://example.com")
	r.ok("https://example.com/other  SLACK", "webhooks", "update", "ops", "https://example.com/other", "--format", "slack")
	if again := r.ok("whsec_", "webhooks", "rotate", "ops"); again.out == made.out {
		t.Error("the secret is the same")
	}
	r.ok("ops", "webhooks", "list")
	r.no(3, "NOT_FOUND", "webhooks", "test", "nobody")

	r.ok("fails  FAILURE_RATE  OK", "alerts", "create", "fails", "--kind", "failure-rate", "--threshold", "5", "--window", "15m", "--minimum", "20", "--name", "order", "--webhook", "ops", "--severity", "critical")
	r.no(1, "ALREADY_EXISTS", "alerts", "create", "fails", "--kind", "failure-rate", "--threshold", "5", "--window", "15m")
	r.no(1, "INVALID_ARGUMENT at threshold", "alerts", "create", "more", "--kind", "failure-rate", "--threshold", "500", "--window", "15m")
	r.no(2, "say --kind", "alerts", "create", "more")
	r.no(2, "allowed are FAILURE_RATE", "alerts", "create", "more", "--kind", "weather")
	r.ok("WARNING", "alerts", "update", "fails", "--kind", "stuck", "--threshold", "3", "--window", "1h")
	r.ok("fails", "alerts", "mute", "fails", "--until", "2h")
	r.ok("It watches all orchestrations, tells nobody", "alerts", "get", "fails")
	r.ok("fails", "alerts", "list")
	r.no(3, "rule \"nothing\"", "alerts", "get", "nothing")
	r.ok("is deleted", "alerts", "delete", "fails")
	r.ok("is deleted", "webhooks", "delete", "ops")
	r.no(3, "NOT_FOUND", "webhooks", "delete", "ops")
}

// TestHelp: every command and every flag is explained, and completed.
func TestHelp(t *testing.T) {
	t.Parallel()
	var overview strings.Builder
	cli.Overview(&overview)
	complete := func(words ...string) string {
		var out strings.Builder
		cli.Complete(words, &out)
		return out.String()
	}
	for _, name := range cli.Names() {
		if !strings.Contains(overview.String(), "weir "+name+" ") {
			t.Errorf("the overview does not have %q", name)
		}
		var out strings.Builder
		if err := cli.Help(&out, strings.Fields(name)); err != nil || !strings.Contains(out.String(), name) {
			t.Errorf("help %s: %v, %s", name, err, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if flagName, ok := strings.CutPrefix(line, "  -"); ok {
				flagName, _, _ = strings.Cut(strings.TrimSpace(flagName), " ")
				if got := complete(append(strings.Fields(name), "-")...); cli.Has(strings.Fields(name)[0]) && !strings.Contains(got, "--"+flagName+"\t") {
					t.Errorf("weir %s -: %s is not completed:\n%s", name, flagName, got)
				}
			}
		}
		words := strings.Fields(name)
		if got := complete(append(words[:len(words)-1:len(words)-1], words[len(words)-1][:2])...); !strings.Contains(got, words[len(words)-1]+"\t") {
			t.Errorf("%q is not completed: %q", name, got)
		}
	}
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"list", "--status", "pe"}, "pending\t\n"},
		{[]string{"list", "--output", ""}, "table\t\njson\t\n"},
		{[]string{"list", "--server", ""}, ""},
		{[]string{"schedules", "create", "x", "--overlap", "buffer"}, "buffer-one\t\nbuffer-all\t\n"},
		{[]string{"batch", "start", "pu"}, "purge\t\n"},
		{[]string{"completion", ""}, "bash\t\nzsh\t\nfish\t\n"},
		{[]string{"sched"}, "schedules\tcommands on schedules\n"},
		{[]string{"help", "schedules", "pau"}, "pause\tstop a schedule until it is resumed\n"},
		{[]string{"nonsense", ""}, ""},
		{nil, complete("")},
	} {
		if got := complete(c.words...); got != c.want {
			t.Errorf("%q is completed to %q, want %q", c.words, got, c.want)
		}
	}
	var out strings.Builder
	if err := cli.Help(&out, []string{"schedules"}); err != nil || !strings.Contains(out.String(), "schedules create SCHEDULE") {
		t.Errorf("%v, %s", err, out.String())
	}
	if err := cli.Help(&out, []string{"nonsense"}); code(err) != 2 {
		t.Error(err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out.Reset()
		if err := cli.Completion([]string{shell}, &out); err != nil || !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: %v", shell, err)
		}
		if path, err := exec.LookPath(shell); err == nil { // is it what the shell can read?
			cmd := exec.CommandContext(t.Context(), path, "-n")
			cmd.Stdin = strings.NewReader(out.String())
			if got, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", shell, err, got)
			}
		}
	}
	for _, args := range [][]string{nil, {"tcsh"}, {"bash", "zsh"}} {
		if err := cli.Completion(args, &out); code(err) != 2 {
			t.Errorf("%q: %v", args, err)
		}
	}
}
