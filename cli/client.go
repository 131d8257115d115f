package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// DefaultServer is where a server listens unless it is told otherwise.
const DefaultServer = "http://127.0.0.1:8082"

const (
	subprotocol = "graphql-transport-ws"
	// maxAnswer bounds what a client reads of one answer or frame.
	maxAnswer = 64 << 20
)

// client asks a server's GraphQL API.
type client struct {
	url     string // of the API
	server  string // the address of the server, written the same however it was given
	token   string
	signIn  *signIn // what counts where no token was given; nil where nothing does
	timeout time.Duration
	http    *http.Client
}

// newClient makes a client of the server at an address. Errors: Usage.
func newClient(server, token string, timeout time.Duration) (*client, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, Usage(fmt.Sprintf("--server (WEIR_SERVER): want an address such as %s or https://weir.example/ops/, got %q", DefaultServer, printable(server)))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, Usage("--token (WEIR_TOKEN): want printable ASCII characters without blanks")
	}
	if token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, Usage("--token (WEIR_TOKEN): it would be sent in the clear: use https for a server that is not on this machine")
	}
	if timeout <= 0 {
		return nil, Usage(fmt.Sprintf("--timeout: is %s, must be positive", timeout))
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		u.Host = u.Host[:strings.LastIndexByte(u.Host, ':')]
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/"
	c := &client{server: u.String(), token: token, timeout: timeout, http: &http.Client{CheckRedirect: stay}}
	c.url = c.server + "graphql"
	return c, nil
}

// stay follows no redirect: a token goes nowhere else.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// provider is a client for asking a provider.
func (c *client) provider() *http.Client {
	return &http.Client{Timeout: c.timeout, CheckRedirect: stay}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// APIError is what the API answers to what it does not do.
type APIError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Path names the input field, if it is about one.
	Path      []string `json:"path"`
	Retryable bool     `json:"retryable"`
	// RequestID is how the server's log calls it; set on what is a fault of the server's.
	RequestID string `json:"-"`
}

// Error implements error.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString(e.Code)
	path := e.Path
	if len(path) > 0 && path[0] == "input" {
		path = path[1:]
	}
	if len(path) > 0 {
		b.WriteString(" at " + strings.Join(path, "."))
	}
	b.WriteString(": " + printable(e.Message))
	if e.RequestID != "" {
		b.WriteString(" (request " + printable(e.RequestID) + ")")
	}
	return b.String()
}

// exitCode is what a program exits with because of an error of the API.
func exitCode(code string) int {
	switch code {
	case "NOT_FOUND":
		return ExitNotFound
	case "UNAVAILABLE", "UNAUTHENTICATED", "FORBIDDEN":
		return ExitUnreachable
	}
	return ExitFailed
}

func refused(e *APIError) error { return &Exit{exitCode(e.Code), e} }

func unreachable(format string, args ...any) error {
	return &Exit{ExitUnreachable, fmt.Errorf(format, args...)}
}

// answer is an answer of GraphQL's, over HTTP or in a frame.
type answer struct {
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message    string `json:"message"`
		Extensions struct {
			Code       string `json:"code"`
			RequestID  string `json:"requestId"`
			RetryAfter string `json:"retryAfter"`
		} `json:"extensions"`
	} `json:"errors"`
}

// done reads what an operation has under the alias "done". Errors: *Exit.
func (a *answer) done() (json.RawMessage, error) {
	if len(a.Errors) > 0 {
		first := a.Errors[0]
		e := &APIError{Code: first.Extensions.Code, Message: first.Message}
		if e.Code == "" {
			e.Code = "BAD_REQUEST"
		}
		if e.Code == "INTERNAL" {
			e.RequestID = first.Extensions.RequestID
		}
		return nil, refused(e)
	}
	var data struct {
		Done json.RawMessage `json:"done"`
	}
	if err := json.Unmarshal(a.Data, &data); err != nil || data.Done == nil {
		return nil, &Exit{ExitFailed, errors.New("the server's answer is not one of Weir's")}
	}
	var payload struct {
		Errors    []*APIError `json:"errors"`
		RequestID string      `json:"requestId"`
	}
	if data.Done[0] == '{' && json.Unmarshal(data.Done, &payload) == nil && len(payload.Errors) > 0 {
		e := payload.Errors[0]
		if e.Code == "INTERNAL" || e.Code == "UNAVAILABLE" {
			e.RequestID = payload.RequestID
		}
		return data.Done, refused(e)
	}
	return data.Done, nil
}

type request struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables,omitempty"`
}

// ask sends an operation and returns what it has under the alias "done". Who has asked for too much waits as long as the server
// says, a minute at most. Errors: *Exit.
func (c *client) ask(ctx context.Context, text string, vars map[string]any) (json.RawMessage, error) {
	for {
		data, wait, err := c.askOnce(ctx, text, vars)
		if wait <= 0 || wait > time.Minute {
			return data, err
		}
		alarm := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			alarm.Stop()
			return data, err
		case <-alarm.C:
		}
	}
}

// askOnce is ask without waiting; wait is how long the server asks for, if it does.
func (c *client) askOnce(ctx context.Context, text string, vars map[string]any) (data json.RawMessage, wait time.Duration, err error) {
	body, err := json.Marshal(request{text, vars})
	if err != nil {
		return nil, 0, fmt.Errorf("write request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, 0, fmt.Errorf("write request: %w", err)
	}
	if err := c.header(ctx, req.Header); err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, unreachable("cannot reach the server at %s: %w", c.url, plain(err))
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, 0, unreachable("the answer of %s did not come to its end: %w", c.url, plain(err))
	}
	if len(raw) > maxAnswer {
		return nil, 0, &Exit{ExitFailed, fmt.Errorf("the answer of %s is larger than %d bytes", c.url, maxAnswer)}
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil || (a.Data == nil && len(a.Errors) == 0) {
		return nil, 0, c.strange(resp)
	}
	if resp.StatusCode == http.StatusUnauthorized && len(a.Errors) > 0 {
		a.Errors[0].Extensions.Code = "UNAUTHENTICATED"
		if c.token == "" {
			a.Errors[0].Message += " (`weir login` signs in)"
		}
	}
	if len(a.Errors) > 0 && a.Errors[0].Extensions.Code == "RATE_LIMITED" {
		if seconds, wrong := strconv.ParseFloat(a.Errors[0].Extensions.RetryAfter, 64); wrong == nil && seconds > 0 {
			wait = time.Duration(seconds * float64(time.Second))
		}
	}
	data, err = a.done()
	return data, wait, err
}

// strange is the error of an answer that is not GraphQL's.
func (c *client) strange(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return unreachable("UNAUTHENTICATED: the server at %s does not know you: sign in with `weir login`, or give a token in WEIR_TOKEN", c.url)
	case resp.StatusCode == http.StatusForbidden:
		return unreachable("FORBIDDEN: the server at %s does not let you in", c.url)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return unreachable("the server at %s sends elsewhere, to %s: name that with --server", c.url, printable(resp.Header.Get("Location")))
	}
	return unreachable("what answers at %s is no Weir server: %s", c.url, resp.Status)
}

// header says who asks. Errors: *Exit.
func (c *client) header(ctx context.Context, h http.Header) error {
	h.Set("User-Agent", "weir-cli")
	h.Set("Accept", "application/graphql-response+json, application/json")
	token := c.token
	if token == "" && c.signIn != nil {
		var err error
		if token, err = c.signIn.token(ctx); err != nil {
			return err
		}
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return nil
}

// plain takes method and address out of an error of HTTP: they are said beside it.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return errors.New("it did not answer in time")
		}
		return u.Err
	}
	return err
}

// errStreamLost says that a stream broke off, so that asking again may help.
var errStreamLost = errors.New("the connection broke off")

// frames subscribes and hands over what comes, until the stream ends, fn returns an error, or ctx ends. Errors: *Exit; errStreamLost
// once there was a frame.
func (c *client) frames(ctx context.Context, text string, vars map[string]any, fn func(json.RawMessage) error) error {
	dial, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	h := http.Header{}
	if err := c.header(dial, h); err != nil {
		return err
	}
	conn, resp, err := websocket.Dial(dial, "ws"+strings.TrimPrefix(c.url, "http"), &websocket.DialOptions{ //nolint:bodyclose // Dial says: never needs to be closed
		HTTPClient: c.http, HTTPHeader: h, Subprotocols: []string{subprotocol},
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return c.strange(resp)
		}
		return unreachable("cannot reach the server at %s: %w", c.url, plain(err))
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxAnswer)
	s := &stream{conn: conn, text: text, vars: vars, fn: fn}
	err = s.begin(dial)
	cancel()
	for err == nil {
		err = s.next(ctx)
	}
	var exit *Exit
	switch {
	case errors.Is(err, errComplete):
		_ = conn.Close(websocket.StatusNormalClosure, "")
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit):
		return err
	case s.stopped != nil:
		return s.stopped
	case websocket.CloseStatus(err) == 4401 && s.came && c.signIn != nil:
		return errStreamLost // the access token has come to its end, and the next one goes on
	case websocket.CloseStatus(err) == 4401 || websocket.CloseStatus(err) == 4403:
		return unreachable("UNAUTHENTICATED: the server at %s does not let you in", c.url)
	case s.came:
		return errStreamLost
	}
	return unreachable("the server at %s does not answer as it should: %w", c.url, err)
}

// stream is a subscription over a websocket.
type stream struct {
	conn    *websocket.Conn
	text    string
	vars    map[string]any
	fn      func(json.RawMessage) error
	came    bool
	stopped error // of fn
}

type message struct {
	Type    string          `json:"type"`
	ID      string          `json:"id,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func (s *stream) send(ctx context.Context, m message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.conn.Write(ctx, websocket.MessageText, data)
}

func (s *stream) begin(ctx context.Context) error {
	payload, err := json.Marshal(request{s.text, s.vars})
	if err != nil {
		return err
	}
	if err := s.send(ctx, message{Type: "connection_init"}); err != nil {
		return err
	}
	return s.send(ctx, message{Type: "subscribe", ID: "1", Payload: payload})
}

// errComplete is the end of a stream in good order.
var errComplete = errors.New("complete")

// next takes one message. Errors: errComplete.
func (s *stream) next(ctx context.Context) error {
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		return err
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	switch m.Type {
	case "ping":
		return s.send(ctx, message{Type: "pong"})
	case "complete":
		return errComplete
	case "error":
		var a answer
		if err := json.Unmarshal(m.Payload, &a.Errors); err != nil {
			return err
		}
		_, err := a.done()
		return err
	case "next":
		var a answer
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			return err
		}
		raw, err := a.done()
		if err != nil {
			return err
		}
		s.came = true
		if s.stopped = s.fn(raw); s.stopped != nil {
			return s.stopped
		}
	}
	return nil
}

// operation is the text of an operation of GraphQL, and the type of what it has under the alias "done".
type operation[P any] struct{ text string }

// defined lists all operations, for a test to hold them against the schema.
var defined []Defined

// Defined is an operation and the type that its answer is read into.
type Defined struct {
	Text string
	Data reflect.Type
}

// Operations lists the operations that the commands send.
func Operations() []Defined { return defined }

func define[P any](text string, fragments ...string) operation[P] {
	text = strings.Join(append([]string{strings.TrimSpace(text)}, fragments...), "\n")
	defined = append(defined, Defined{text, reflect.TypeFor[P]()})
	return operation[P]{text}
}

// ask sends the operation; nil says that there is none of what was asked for. raw is the answer as the server wrote it. Errors:
// *Exit.
func (o operation[P]) ask(ctx context.Context, c *call, vars map[string]any) (*P, error) {
	raw, err := c.client.ask(ctx, o.text, vars)
	if err != nil {
		return nil, err
	}
	return o.read(c, raw)
}

func (o operation[P]) read(c *call, raw json.RawMessage) (*P, error) {
	c.raw = raw
	var p *P
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, &Exit{ExitFailed, fmt.Errorf("the server's answer is not one that this version of weir knows: %w", err)}
	}
	return p, nil
}

// need asks for one thing that has to be there. Errors: *Exit.
func (o operation[P]) need(ctx context.Context, c *call, vars map[string]any, what string) (*P, error) {
	p, err := o.ask(ctx, c, vars)
	if err == nil && p == nil {
		err = refused(&APIError{Code: "NOT_FOUND", Message: "there is no " + what})
	}
	return p, err
}
