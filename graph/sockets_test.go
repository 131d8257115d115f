package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/weir-dev/weir/graph"
)

// TestSocketProtocol: the close codes of graphql-transport-ws.
func TestSocketProtocol(t *testing.T) {
	a := serve(t)
	raw := func(s *socket, text string) {
		t.Helper()
		if err := s.conn.Write(a.ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	init := message{Type: "connection_init"}
	forever := message{Type: "subscribe", ID: "1", Payload: json.RawMessage(`{"query": "subscription { orchestrationChanges(hub: \"default\") { seq } }"}`)}
	for name, test := range map[string]struct {
		do   func(s *socket)
		code websocket.StatusCode
	}{
		"no JSON":              {func(s *socket) { raw(s, "hello") }, 4400},
		"unknown type":         {func(s *socket) { raw(s, `{"type":"start"}`) }, 4400},
		"not UTF-8":            {func(s *socket) { raw(s, "{\"type\":\"connection_init\",\"payload\":{\"a\":\"\xff\"}}") }, 1007},
		"subscribe first":      {func(s *socket) { s.write(forever) }, 4401},
		"ping first":           {func(s *socket) { s.write(message{Type: "ping"}) }, 4401},
		"twice":                {func(s *socket) { s.write(init); s.write(init) }, 4429},
		"subscribe without id": {func(s *socket) { s.write(init); raw(s, `{"type":"subscribe","payload":{"query":"{server{version}}"}}`) }, 4400},
		"an id twice":          {func(s *socket) { s.write(init); s.write(forever); s.write(forever) }, 4409},
		"too large": {func(s *socket) {
			s.write(init)
			raw(s, `{"type":"ping","payload":{"x":"`+strings.Repeat("x", 1<<20)+`"}}`)
		}, websocket.StatusMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			s := a.dial()
			test.do(s)
			if code, why := s.closed(); code != test.code {
				t.Errorf("closed with %d %q, want %d", code, why, test.code)
			}
		})
	}
	t.Run("AnIDAgain", func(t *testing.T) {
		s := a.connect()
		for range 3 {
			s.subscribe("x", "{ server { version } }", nil)
			next[any](s)
			if m := s.read(); m.Type != "complete" || m.ID != "x" {
				t.Errorf("got %+v", m)
			}
		}
		s.write(message{Type: "ping"})
		if m := s.read(); m.Type != "pong" {
			t.Errorf("got %+v", m)
		}
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
	})
	t.Run("Upgrade", func(t *testing.T) {
		for name, test := range map[string]struct {
			header http.Header
			status int
		}{
			"another origin":   {http.Header{"Sec-Websocket-Protocol": {"graphql-transport-ws"}, "Origin": {"https://evil.example"}}, 403},
			"a null origin":    {http.Header{"Sec-Websocket-Protocol": {"graphql-transport-ws"}, "Origin": {"null"}}, 403},
			"another protocol": {http.Header{"Sec-Websocket-Protocol": {"graphql-ws"}}, 400},
			"no protocol":      {http.Header{}, 400},
			"the same origin":  {http.Header{"Sec-Websocket-Protocol": {"graphql-ws, graphql-transport-ws"}, "Origin": {a.server.URL}}, 101},
		} {
			req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, a.server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = test.header
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "websocket")
			req.Header.Set("Sec-Websocket-Version", "13")
			req.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.status)
			}
		}
	})
	a.until("all is closed", func() bool { return a.handler.Stats() == graph.Stats{} })
}

// TestSocketBounds: so many operations on one connection, and no more.
func TestSocketBounds(t *testing.T) {
	a := serve(t)
	s := a.connect()
	for i := range 33 {
		s.subscribe(fmt.Sprint(i), `subscription { orchestrationChanges(hub: "default") { reset } }`, nil)
	}
	snapshots, refused := 0, ""
	for snapshots < 32 || refused == "" {
		switch m := s.read(); {
		case m.Type == "next" && strings.Contains(string(m.Payload), `"reset":true`):
			snapshots++
		case m.Type == "next" && strings.Contains(string(m.Payload), "SUBSCRIPTION_LIMIT"):
			refused = m.ID
		case m.Type == "complete" && m.ID == refused:
		default:
			t.Fatalf("got %s %s %s", m.Type, m.ID, m.Payload)
		}
	}
	// One ends, and there is room for another.
	free := "0"
	if refused == free {
		free = "1"
	}
	s.write(message{Type: "complete", ID: free})
	a.until("it has ended", func() bool { return a.handler.Stats().Subscriptions == 31 })
	s.subscribe("again", `subscription { orchestrationChanges(hub: "default") { reset } }`, nil)
	for {
		if m := s.read(); m.ID == "again" {
			if !strings.Contains(string(m.Payload), `"reset":true`) {
				t.Errorf("got %s %s", m.Type, m.Payload)
			}
			break
		}
	}
}

// TestSilentSocket: a connection on which nothing is said is closed.
func TestSilentSocket(t *testing.T) {
	a := serve(t)
	s := a.dial()
	if code, why := s.closed(); code != 4408 {
		t.Errorf("closed with %d %q", code, why)
	}
}
