package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql/handler/transport"
)

// subprotocol is the one websocket protocol that is served (github.com/enisdenjo/graphql-ws, PROTOCOL.md).
const subprotocol = "graphql-transport-ws"

// The protocol's close codes.
const (
	closeGoingAway   = 1001
	closeNotUTF8     = 1007
	closeBadMessage  = 4400
	closeNotInit     = 4401
	closeUnknown     = 4401
	closeForbidden   = 4403
	closeInitTimeout = 4408
	closeDuplicate   = 4409
	closeInitTwice   = 4429
)

// socketServer accepts websockets. It puts between the transport and the connection what the transport leaves out
// of the protocol: the close codes, ids that are in use, and a limit to how long a frame may take to be sent. A
// page of another origin is refused by the accept itself.
type socketServer struct {
	transport.CoderWebsocketImplementation
	closing      context.Context
	writeTimeout time.Duration
}

// Accept implements transport.WebsocketImplementation.
func (s *socketServer) Accept(w http.ResponseWriter, r *http.Request, o transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	o.Subprotocols = []string{subprotocol}
	conn, err := s.CoderWebsocketImplementation.Accept(w, r, o)
	if err != nil {
		return nil, err
	}
	state, _ := r.Context().Value(socketKey{}).(*socketState)
	return &socket{WebsocketConn: conn, s: s, state: state, ids: map[string]bool{}}, nil
}

// socket is a connection.
type socket struct {
	transport.WebsocketConn
	s     *socketServer
	state *socketState // nil without a handler

	mu   sync.Mutex
	init bool
	ids  map[string]bool // operations under way
}

type envelope struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// NextReader implements transport.WebsocketConn.
func (c *socket) NextReader() (int, io.Reader, error) {
	kind, r, err := c.WebsocketConn.NextReader()
	if err != nil {
		return kind, r, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return kind, nil, err
	}
	if code, why := c.judge(data); code != 0 {
		_ = c.WebsocketConn.WriteClose(code, why)
		return kind, nil, transport.ErrWebsocketClosed
	}
	return kind, bytes.NewReader(data), nil
}

// judge follows the protocol: it returns the code to close with, or 0.
func (c *socket) judge(data []byte) (code int, why string) {
	if !utf8.Valid(data) {
		return closeNotUTF8, "not UTF-8"
	}
	var m envelope
	if json.Unmarshal(data, &m) != nil {
		return closeBadMessage, "not a message"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Type {
	case "connection_init":
		if c.init {
			return closeInitTwice, "too many initialisation requests"
		}
		c.init = true
	case "subscribe":
		switch {
		case !c.init:
			return closeNotInit, "connection_init must come first"
		case m.ID == "":
			return closeBadMessage, "subscribe needs an id"
		case c.ids[m.ID]:
			return closeDuplicate, "there is a subscriber with this id"
		}
		c.ids[m.ID] = true
	case "complete":
		delete(c.ids, m.ID)
	case "ping", "pong":
		if !c.init {
			return closeNotInit, "connection_init must come first"
		}
	default:
		return closeBadMessage, "unknown type of message"
	}
	return 0, ""
}

// WriteJSON implements transport.WebsocketConn. It returns an error and closes the connection if the client does
// not take the frame in time: nothing is kept for it meanwhile, and it will come back for a snapshot.
func (c *socket) WriteJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if ends(data) {
		var m envelope
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		c.mu.Lock()
		open := c.ids[m.ID]
		delete(c.ids, m.ID)
		c.mu.Unlock()
		if !open {
			return nil // the client has ended it, or knows of its end
		}
	}
	late := time.AfterFunc(c.s.writeTimeout, func() { _ = c.WebsocketConn.Close() })
	defer late.Stop()
	return c.WebsocketConn.WriteJSON(json.RawMessage(data))
}

// ends tells messages that end an operation, without reading those that carry data.
func ends(data []byte) bool {
	return bytes.HasSuffix(data, []byte(`"type":"complete"}`)) || bytes.HasSuffix(data, []byte(`"type":"error"}`))
}

// WriteClose implements transport.WebsocketConn.
func (c *socket) WriteClose(code int, why string) error {
	var out *ousting
	if c.state != nil {
		out = c.state.ousted.Load()
	}
	switch {
	case out != nil:
		code, why = out.code, out.why
	case c.s.closing.Err() != nil:
		code, why = closeGoingAway, "the server stops"
	case code == transport.WebsocketCloseProtocolError && why == "connection initialisation timeout":
		code = closeInitTimeout
	case code == transport.WebsocketCloseProtocolError:
		code = closeBadMessage
	}
	return c.WebsocketConn.WriteClose(code, why)
}

// SetReadLimit implements transport.WebsocketReadLimiter.
func (c *socket) SetReadLimit(limit int64) {
	if l, ok := c.WebsocketConn.(transport.WebsocketReadLimiter); ok {
		l.SetReadLimit(limit)
	}
}

// SetReadDeadline implements transport.WebsocketReadDeadliner.
func (c *socket) SetReadDeadline(t time.Time) error {
	if d, ok := c.WebsocketConn.(transport.WebsocketReadDeadliner); ok {
		return d.SetReadDeadline(t)
	}
	return nil
}
