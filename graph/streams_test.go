package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph"
)

// socket is a client of graphql-transport-ws.
type socket struct {
	a    *api
	conn *websocket.Conn
}

type message struct {
	Type    string          `json:"type"`
	ID      string          `json:"id,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// dial opens a websocket, without the protocol's first message.
func (a *api) dial() *socket {
	a.t.Helper()
	return a.dialWith(nil)
}

// dialWith is dial with more headers.
func (a *api) dialWith(header http.Header) *socket {
	a.t.Helper()
	conn, resp, err := websocket.Dial(a.ctx, a.server.URL, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: header}) //nolint:bodyclose // Dial says: never needs to be closed
	if err != nil {
		a.t.Fatal(err)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		a.t.Error("the connection has no request id")
	}
	conn.SetReadLimit(64 << 20)
	a.t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{a, conn}
}

// connect opens a websocket and waits for the server's word.
func (a *api) connect() *socket {
	a.t.Helper()
	s := a.dial()
	s.write(message{Type: "connection_init"})
	if m := s.read(); m.Type != "connection_ack" {
		a.t.Fatalf("got %+v", m)
	}
	return s
}

func (s *socket) write(m message) {
	s.a.t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		s.a.t.Fatal(err)
	}
	if err := s.conn.Write(s.a.ctx, websocket.MessageText, raw); err != nil {
		s.a.t.Fatal(err)
	}
}

// read returns the next message; pings are answered on the way.
func (s *socket) read() message {
	s.a.t.Helper()
	for {
		_, raw, err := s.conn.Read(s.a.ctx)
		if err != nil {
			s.a.t.Fatal(err)
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			s.a.t.Fatal(err)
		}
		if m.Type != "ping" {
			return m
		}
		s.write(message{Type: "pong"})
	}
}

// closed reads until the server closes, and returns its code and reason.
func (s *socket) closed() (websocket.StatusCode, string) {
	s.a.t.Helper()
	for {
		if _, _, err := s.conn.Read(s.a.ctx); err != nil {
			var c websocket.CloseError
			if !errors.As(err, &c) {
				s.a.t.Fatalf("the connection broke: %v", err)
			}
			return c.Code, c.Reason
		}
	}
}

func (s *socket) subscribe(id, query string, v vars) {
	s.a.t.Helper()
	raw, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		s.a.t.Fatal(err)
	}
	s.write(message{Type: "subscribe", ID: id, Payload: raw})
}

// next reads the next frame of the only subscription.
func next[T any](s *socket) T {
	s.a.t.Helper()
	m := s.read()
	var out struct {
		Data   T          `json:"data"`
		Errors []apiError `json:"errors"`
	}
	if err := json.Unmarshal(m.Payload, &out); m.Type != "next" || err != nil || len(out.Errors) > 0 {
		s.a.t.Fatalf("got %s %s", m.Type, m.Payload)
	}
	return out.Data
}

// until reads frames until one is as wanted, and returns it.
func until[T any](s *socket, done func(T) bool) T {
	s.a.t.Helper()
	for {
		if v := next[T](s); done(v) {
			return v
		}
	}
}

type changesFrame struct {
	Seq     int
	Reset   bool
	Upserts []instance
	Leaves  []string
}

type changes struct{ OrchestrationChanges changesFrame }

const changesQuery = `subscription($filter: OrchestrationFilter, $first: Int! = 50) { orchestrationChanges(hub: "default", filter: $filter, first: $first) {
	seq reset upserts { id instanceId status doingNow } leaves } }`

func TestListStream(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	for i := range 5 {
		a.must(a.start(vars{"name": "unserved", "instanceId": fmt.Sprintf("old-%d", i)}))
	}
	s := a.connect()
	s.subscribe("1", changesQuery, vars{"filter": vars{"statuses": []string{"PENDING", "RUNNING"}}, "first": 3})
	snapshot := next[changes](s).OrchestrationChanges
	var got []string
	for _, u := range snapshot.Upserts {
		got = append(got, u.InstanceID)
	}
	if !snapshot.Reset || snapshot.Seq != 1 || len(snapshot.Leaves) != 0 || !slices.Equal(got, []string{"old-4", "old-3", "old-2"}) {
		t.Fatalf("got %+v", snapshot)
	}

	// It comes, it changes, it leaves; an instance that matches the filter no more is named once.
	seq := 1
	delta := func(done func(changes) bool) changes {
		t.Helper()
		return until(s, func(c changes) bool {
			if seq++; c.OrchestrationChanges.Seq != seq || c.OrchestrationChanges.Reset {
				t.Fatalf("frame %d is %+v", seq, c)
			}
			return done(c)
		})
	}
	upserted := func(id, status string) func(changes) bool {
		return func(c changes) bool {
			return slices.ContainsFunc(c.OrchestrationChanges.Upserts, func(i instance) bool { return i.InstanceID == id && i.Status == status })
		}
	}
	inst := a.must(a.start(vars{"name": "waiter", "instanceId": "new", "input": 1}))
	delta(upserted("new", "RUNNING"))
	a.must(a.raise(vars{"instanceId": "new", "name": "go", "payload": "x"}))
	left := delta(func(c changes) bool { return len(c.OrchestrationChanges.Leaves) > 0 })
	if l := left.OrchestrationChanges.Leaves; len(l) != 1 || l[0] != inst.ID {
		t.Errorf("%v left, want %s", l, inst.ID)
	}
	// What never matched is never spoken of: the next frame is about the one after it.
	a.must(a.terminate(vars{"instanceId": "old-0", "reason": "was never sent"}))
	a.must(a.start(vars{"name": "unserved", "instanceId": "last"}))
	c := delta(func(changes) bool { return true })
	for len(c.OrchestrationChanges.Upserts) == 0 {
		if len(c.OrchestrationChanges.Leaves) != 0 {
			t.Errorf("got %+v", c)
		}
		c = delta(func(changes) bool { return true })
	}
	if u := c.OrchestrationChanges.Upserts; len(u) != 1 || u[0].InstanceID != "last" {
		t.Errorf("got %+v", c)
	}
	a.must(a.terminate(vars{"instanceId": "old-4", "reason": "was in the snapshot"}))
	if l := delta(func(c changes) bool { return true }).OrchestrationChanges.Leaves; len(l) != 1 || l[0] != snapshot.Upserts[0].ID {
		t.Errorf("%v left, want %s", l, snapshot.Upserts[0].ID)
	}
}

func TestInstanceStream(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter))
	id := a.must(a.start(vars{"name": "waiter", "input": 2})).InstanceID
	a.until("it waits", func() bool { return a.get(id).Waiting.Kind == "EVENT" })
	s := a.connect()
	type frame struct {
		Orchestration struct {
			Status, LastSeq string
			Output          *struct{ Text string }
			Waiting         waiting
		}
	}
	s.subscribe("a", `subscription($id: String!) { orchestration(hub: "default", instanceId: $id) { status lastSeq output { text } waiting { kind } } }`, vars{"id": id})
	first := next[frame](s).Orchestration
	if first.Status != "RUNNING" || first.Waiting.Kind != "EVENT" {
		t.Fatalf("got %+v", first)
	}
	a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "x"}))
	until(s, func(f frame) bool {
		return f.Orchestration.LastSeq != first.LastSeq && f.Orchestration.Status == "RUNNING"
	})
	a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": "y"}))
	end := until(s, func(f frame) bool { return f.Orchestration.Status != "RUNNING" }).Orchestration
	if end.Status != "COMPLETED" || end.Output == nil || end.Output.Text != `["x","y"]` || end.Waiting.Kind != "ENDED" {
		t.Errorf("got %+v", end)
	}
	// The client leaves; the server knows.
	s.write(message{Type: "complete", ID: "a"})
	a.until("the subscription is gone", func() bool { return a.handler.Stats().Subscriptions == 0 })
	if n := a.handler.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

type historyFrame struct{ History page }

const historyQuery = `subscription($id: String!, $after: Long! = "0") { history(hub: "default", instanceId: $id, after: $after) { events { __typename seq } lastSeq hasMore reset } }`

func TestHistoryStream(t *testing.T) {
	a := serve(t)
	a.worker(nil, Waiter.Handler(waiter), Loop.Handler(loop))
	id := a.must(a.start(vars{"name": "waiter", "input": 3})).InstanceID
	a.until("it waits", func() bool { return a.get(id).Waiting.Kind == "EVENT" })
	s := a.connect()
	s.subscribe("h", historyQuery, vars{"id": id})
	var seqs []string
	last := next[historyFrame](s).History
	if last.Reset || len(last.Events) == 0 || last.HasMore {
		t.Fatalf("got %+v", last)
	}
	seqs = append(seqs, last.seqs()...)
	for i := range 3 {
		a.must(a.raise(vars{"instanceId": id, "name": "go", "payload": fmt.Sprint(i)}))
	}
	for last.Events[len(last.Events)-1].Typename != "ExecutionCompleted" {
		if last = next[historyFrame](s).History; last.Reset || len(last.Events) == 0 {
			t.Fatalf("got %+v", last)
		}
		seqs = append(seqs, last.seqs()...)
	}
	for i, seq := range seqs {
		if seq != fmt.Sprint(i+1) {
			t.Fatalf("the numbers are %v", seqs)
		}
	}

	t.Run("ResumesAfter", func(t *testing.T) {
		s := a.connect()
		s.subscribe("h", historyQuery, vars{"id": id, "after": seqs[4]})
		if p := next[historyFrame](s).History; p.Reset || !slices.Equal(p.seqs(), seqs[5:]) {
			t.Errorf("got %+v", p)
		}
		s.subscribe("end", historyQuery, vars{"id": id, "after": seqs[len(seqs)-1]})
		if p := next[historyFrame](s).History; p.Reset || len(p.Events) != 0 || p.LastSeq != seqs[len(seqs)-1] {
			t.Errorf("got %+v", p)
		}
		s.subscribe("beyond", historyQuery, vars{"id": id, "after": "1000"})
		if p := next[historyFrame](s).History; !p.Reset || !slices.Equal(p.seqs(), seqs) {
			t.Errorf("got %+v", p)
		}
	})

	t.Run("InFramesOf500", func(t *testing.T) {
		id := a.must(a.start(vars{"name": "waiter", "input": 2000})).InstanceID
		for i := range 700 {
			if err := a.engine.Raise(a.ctx, engine.RaiseRequest{Hub: "default", Instance: id, Name: "go", Input: history.Text(fmt.Sprintf(`"%d"`, i))}); err != nil {
				t.Fatal(err)
			}
		}
		var want int
		a.until("700 events are read", func() bool {
			o := ask[struct {
				Orchestration struct {
					LastSeq int `json:",string"`
					Waiting waiting
				}
			}](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { lastSeq waiting { kind } } }`, vars{"id": id}).Orchestration
			same := o.LastSeq == want && o.Waiting.Kind == "EVENT"
			want = o.LastSeq
			return same && want > 700
		})
		s := a.connect()
		s.subscribe("h", historyQuery, vars{"id": id})
		n, frames := 0, 0
		for {
			p := next[historyFrame](s).History
			n, frames = n+len(p.Events), frames+1
			if len(p.Events) > 500 || p.HasMore && len(p.Events) != 500 {
				t.Errorf("a frame of %d events", len(p.Events))
			}
			if !p.HasMore {
				break
			}
		}
		if n != want || frames < 2 {
			t.Errorf("%d events in %d frames, want %d", n, frames, want)
		}
	})

	t.Run("BeginsAnewWithEachGeneration", func(t *testing.T) {
		id := a.must(a.start(vars{"name": "loop", "input": 1})).InstanceID
		a.until("it waits", func() bool { return a.get(id).Waiting.Kind == "EVENT" })
		s := a.connect()
		s.subscribe("h", historyQuery, vars{"id": id})
		first := next[historyFrame](s).History
		a.must(a.raise(vars{"instanceId": id, "name": "ping", "payload": 1}))
		p := until(s, func(f historyFrame) bool { return f.History.Reset }).History
		if len(p.Events) < 2 || p.Events[1].Typename != "ExecutionStarted" || slices.Contains(first.seqs(), p.Events[0].Seq) {
			t.Errorf("got %+v", p)
		}
		// What comes then goes on from there.
		a.must(a.terminate(vars{"instanceId": id, "reason": "enough"}))
		if p := next[historyFrame](s).History; p.Reset || len(p.Events) == 0 || p.Events[0].Typename != "ExecutionTerminated" {
			t.Errorf("got %+v", p)
		}
	})
}

// TestStreamErrors: what cannot be followed is told at once, and ends only itself.
func TestStreamErrors(t *testing.T) {
	a := serve(t)
	s := a.connect()
	refused := func(id, query string, v vars, code string) {
		t.Helper()
		s.subscribe(id, query, v)
		m := s.read()
		if m.ID != id || m.Type == "complete" {
			t.Fatalf("%s: got %+v", query, m)
		}
		var list []apiError
		if m.Type == "next" {
			var p struct {
				Errors []apiError `json:"errors"`
			}
			if err := json.Unmarshal(m.Payload, &p); err != nil {
				t.Fatal(err)
			}
			list = p.Errors
		} else if err := json.Unmarshal(m.Payload, &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Extensions.Code != code || list[0].Extensions.RequestID == "" {
			t.Errorf("%s: %s %+v, want %s", query, m.Type, list, code)
		}
		if m.Type == "next" {
			if m = s.read(); m.Type != "complete" || m.ID != id {
				t.Errorf("got %+v", m)
			}
		}
	}
	refused("1", `subscription { orchestrationChanges(hub: "nowhere") { seq } }`, nil, "NOT_FOUND")
	refused("2", `subscription { orchestration(hub: "default", instanceId: "nobody") { id } }`, nil, "NOT_FOUND")
	refused("3", `subscription { history(hub: "default", instanceId: "nobody") { lastSeq } }`, nil, "NOT_FOUND")
	refused("4", `subscription { history(hub: "a\u0000b", instanceId: "nobody\u0000") { lastSeq } }`, nil, "NOT_FOUND")
	refused("5", changesQuery, vars{"first": 201}, "INVALID_ARGUMENT")
	refused("6", changesQuery, vars{"first": 0}, "INVALID_ARGUMENT")
	refused("7", changesQuery, vars{"filter": vars{"name": ""}}, "INVALID_ARGUMENT")
	refused("8", `subscription { nothing }`, nil, "GRAPHQL_VALIDATION_FAILED")
	refused("9", `subscription { `, nil, "GRAPHQL_PARSE_FAILED")
	refused("10", `subscription { orchestrationChanges(hub: "default", first: 200) { upserts { history(first: 5000) { events { seq } } } } }`, nil, "COMPLEXITY_LIMIT_EXCEEDED")
	// Queries and mutations go by it too.
	s.subscribe("1", `{ server { version } }`, nil)
	if got := next[struct{ Server struct{ Version string } }](s).Server.Version; got != "1.2.3" {
		t.Errorf("got %q", got)
	}
}

// TestVanishingClients: whoever goes without a word leaves nothing behind.
func TestVanishingClients(t *testing.T) {
	a := serveAlone(t) // its goroutines are counted
	id := a.must(a.start(vars{"name": "unserved"})).InstanceID
	for range 10 {
		s := a.connect()
		s.subscribe("1", changesQuery, nil)
		s.subscribe("2", historyQuery, vars{"id": id})
		s.subscribe("3", `subscription($id: String!) { orchestration(hub: "default", instanceId: $id) { id } }`, vars{"id": id})
		for range 3 {
			next[any](s)
		}
		if n := a.handler.Stats().Subscriptions; n < 3 {
			t.Fatalf("%d subscriptions", n)
		}
		_ = s.conn.CloseNow()
	}
	a.until("all are gone", func() bool { return a.handler.Stats() == graph.Stats{} })
	a.until("their goroutines are gone", func() bool { return goroutines("graph.live", "transport.(*wsConnection)") == 0 })
}

// TestShutdown ends streams with a word, refuses new ones, and answers requests all the same.
func TestShutdown(t *testing.T) {
	a := serve(t)
	s := a.connect()
	s.subscribe("1", changesQuery, nil)
	next[changes](s)
	ctx, cancel := context.WithTimeout(a.ctx, 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.handler.Shutdown(ctx) }()
	if code, why := s.closed(); code != websocket.StatusGoingAway || why == "" {
		t.Errorf("closed with %d %q", code, why)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := a.handler.Stats(); got != (graph.Stats{}) {
		t.Errorf("got %+v", got)
	}
	_, resp, err := websocket.Dial(a.ctx, a.server.URL, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // Dial says: never needs to be closed
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new connection: %v", err)
	}
	got := a.send(`{"query": "subscription { orchestrationChanges(hub: \"default\") { seq } }"}`, http.Header{"Accept": {"text/event-stream"}})
	if got.Status != http.StatusServiceUnavailable || got.Errors[0].Extensions.Code != "UNAVAILABLE" {
		t.Errorf("got %+v", got)
	}
	a.must(a.start(vars{"name": "x"}))
}
