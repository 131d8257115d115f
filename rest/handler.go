// Package rest is a thin mirror of the API for programs that only start instances, look at them and raise events: HTTP with
// JSON, errors as problem details (RFC 9457), and a document of OpenAPI that says all of it.
package rest

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/engine/tracing"
	"github.com/weir-dev/weir/internal/requests"
)

// Document describes the addresses, in OpenAPI 3.1.
//
//go:embed openapi.json
var Document []byte

// Config says how the mirror is served.
type Config struct {
	Engine *engine.Engine
	Logger *slog.Logger
	// Path is where it is served, such as /api/v1/: what Location begins with.
	Path string
	// Deadline bounds a request, besides the time that it asks to wait; 0 means 10 seconds.
	Deadline time.Duration
}

// Bounds.
const (
	// maxWait is how long a client may have an answer wait for the end of an instance, maxWaiting how many wait at once.
	maxWait    = 60 * time.Second
	maxWaiting = 2000
	// maxValue is how large an input or output may be to be part of an answer.
	maxValue = 1 << 20
	// retryAfter is when a client should look again, in seconds.
	retryAfter = "5"
)

// Codes of errors beside the engine's.
const (
	codeBadRequest = "BAD_REQUEST"
	codeForbidden  = "FORBIDDEN"
)

// Handler serves the mirror. Whatever is to know its callers goes before it.
type Handler struct {
	engine   *engine.Engine
	log      *slog.Logger
	path     string
	deadline time.Duration
	mux      *http.ServeMux
	guard    *http.CrossOriginProtection
	waiting  chan struct{}
	closing  context.Context
	close    context.CancelFunc
	once     sync.Once
}

// New makes a handler.
func New(cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = 10 * time.Second
	}
	h := &Handler{
		engine: cfg.Engine, log: cfg.Logger, path: cfg.Path, deadline: cfg.Deadline, mux: http.NewServeMux(),
		guard: http.NewCrossOriginProtection(), waiting: make(chan struct{}, maxWaiting),
	}
	h.closing, h.close = context.WithCancel(context.Background()) //nolint:gosec // Shutdown calls it
	at := strings.TrimSuffix(cfg.Path, "/")
	h.route(at+"/openapi.json", map[string]answer{http.MethodGet: h.document})
	for _, r := range []struct {
		method, pattern string
		serve           answer
	}{
		{http.MethodPost, at + "/hubs/{hub}/instances", h.permitted(auth.Start, "start", h.start)},
		{http.MethodGet, at + "/hubs/{hub}/instances/{id}", h.permitted(auth.Read, "", h.status)},
		{http.MethodPost, at + "/hubs/{hub}/instances/{id}/events/{event}", h.permitted(auth.Start, "raise", h.raise)},
	} {
		h.route(r.pattern, map[string]answer{r.method: h.traced(r.method, r.pattern, r.serve)})
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		h.refuse(w, req, &problem{Status: http.StatusNotFound, Code: string(engine.CodeNotFound), Detail: "there is nothing at this address: see " + at + "/openapi.json"})
	})
	return h
}

// Shutdown ends the answers that wait: they say how their instances stand. Later ones do not wait.
func (h *Handler) Shutdown() { h.once.Do(h.close) }

// answer serves a request, or returns why it does not.
type answer func(http.ResponseWriter, *http.Request) error

func (h *Handler) route(pattern string, methods map[string]answer) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
		method := req.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		serve, ok := methods[method]
		if !ok {
			for m := range methods { // each address has one
				w.Header().Set("Allow", m)
				h.refuse(w, req, &problem{Status: http.StatusMethodNotAllowed, Code: codeBadRequest, Detail: "use " + m})
			}
			return
		}
		if err := serve(w, req); err != nil {
			h.refuse(w, req, h.problem(req, err))
		}
	})
}

// traced serves within the trace of the caller, and makes a span of the request. Reading is repeated, and begins no trace.
func (h *Handler) traced(method, pattern string, serve answer) answer {
	return func(w http.ResponseWriter, req *http.Request) error {
		cfg := h.engine.Tracing()
		ctx := tracing.With(req.Context(), tracing.ParseHeaders(req.Header.Get("Traceparent"), req.Header.Get("Tracestate")))
		begin := cfg.Below
		if method == http.MethodPost {
			begin = cfg.Root
		}
		origin := begin(ctx)
		err := serve(w, req.WithContext(tracing.With(ctx, origin.Context)))
		attrs := []tracing.Attr{tracing.Text("http.request.method", method), tracing.Text("http.route", pattern)}
		var failed error
		if err != nil {
			p := h.problem(req, err)
			err = p
			attrs = append(attrs, tracing.Int("http.response.status_code", int64(p.Status)))
			if p.Status >= http.StatusInternalServerError { // else it is the caller's fault
				failed = p
			}
		}
		cfg.End(&origin, method+" "+pattern, tracing.Server, failed, attrs...)
		return err
	}
}

type requestKey struct{}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id := requests.NewID()
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	req = req.WithContext(context.WithValue(req.Context(), requestKey{}, id))
	// A page of another site must not do anything in a visitor's name, nor have answers wait.
	if h.guard.Check(req) != nil || req.Header.Get("Sec-Fetch-Site") == "cross-site" {
		h.refuse(w, req, &problem{Status: http.StatusForbidden, Code: codeForbidden, Detail: "requests from other sites are not accepted"})
		return
	}
	h.mux.ServeHTTP(w, req)
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Field     string `json:"field,omitempty"`
	Retryable bool   `json:"retryable"`
	RequestID string `json:"requestId"`
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

func badRequest(field, format string, args ...any) error {
	return &problem{Status: http.StatusBadRequest, Code: codeBadRequest, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// statusOf are the statuses of the engine's codes.
var statusOf = map[engine.Code]int{
	engine.CodeNotFound: http.StatusNotFound, engine.CodeAlreadyExists: http.StatusConflict, engine.CodeInvalid: http.StatusBadRequest,
	engine.CodeTooLarge: http.StatusRequestEntityTooLarge, engine.CodeWrongState: http.StatusGone, engine.CodeUnavailable: http.StatusServiceUnavailable,
}

// fields are the names of the engine's fields in the mirror.
var fields = map[string]string{"id": "instanceId", "at": "startAt", "instance": "instanceId", "key": "Idempotency-Key"}

// problem says what is wrong, and no more than a caller should know.
func (h *Handler) problem(req *http.Request, err error) *problem {
	var (
		p     *problem
		coded *engine.Error
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &coded) && statusOf[coded.Code] != 0:
		p = &problem{Status: statusOf[coded.Code], Code: string(coded.Code), Field: coded.Field, Detail: coded.Message, Retryable: coded.Code == engine.CodeUnavailable}
		if name, ok := fields[coded.Field]; ok {
			p.Field = name
		}
		return p
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{Status: http.StatusServiceUnavailable, Code: string(engine.CodeUnavailable), Detail: "the answer took longer than allowed", Retryable: true}
	case req.Context().Err() != nil:
		return &problem{Status: http.StatusServiceUnavailable, Code: string(engine.CodeUnavailable), Detail: "the request was cancelled", Retryable: true}
	}
	h.log.ErrorContext(req.Context(), "rest", logkey.RequestID, req.Context().Value(requestKey{}), logkey.Path, req.URL.Path, logkey.Err, err)
	return &problem{Status: http.StatusInternalServerError, Code: string(engine.CodeInternal), Detail: "an internal error; the server's log has it under the request's id"}
}

func (h *Handler) refuse(w http.ResponseWriter, req *http.Request, p *problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	p.RequestID, _ = req.Context().Value(requestKey{}).(string)
	if p.Retryable {
		w.Header().Set("Retry-After", retryAfter)
	}
	write(w, p.Status, "application/problem+json", p)
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // texts, numbers, and JSON that was checked
		panic(err)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// body reads a request's body: JSON, or nothing.
func body(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	// A form or plain text could come from any web page without a preflight.
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: codeBadRequest, Field: "Content-Type", Detail: "the content type must be application/json"}
	}
	raw, err := requests.Body(w, req)
	switch {
	case errors.Is(err, requests.ErrTooLarge):
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Code: string(engine.CodeTooLarge), Field: "body", Detail: fmt.Sprintf("the request is larger than %d bytes", requests.MaxBody)}
	case errors.Is(err, requests.ErrNotUTF8):
		return nil, badRequest("body", "is not valid UTF-8")
	case err != nil:
		return nil, badRequest("body", "the request did not come to its end")
	case len(raw) > 0 && !json.Valid(raw):
		return nil, badRequest("body", "is not JSON")
	}
	return raw, nil
}

// query checks that a request has no parameters but these, and each once.
func query(req *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, badRequest("query", "the parameters cannot be read")
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			return nil, badRequest("query", "there is no parameter %q; allowed are %q", name, known)
		}
		if len(all) > 1 {
			return nil, badRequest(name, "is given more than once")
		}
	}
	return values, nil
}

func (h *Handler) document(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(Document)
	return nil
}

// startBody is what to start.
type startBody struct {
	Name       string            `json:"name"`
	InstanceID string            `json:"instanceId"`
	Version    string            `json:"version"`
	Input      json.RawMessage   `json:"input"`
	StartAt    *time.Time        `json:"startAt"`
	Delay      string            `json:"delay"`
	Tags       map[string]string `json:"tags"`
	Priority   *int              `json:"priority"`
	Reuse      struct {
		Replace        []history.Status `json:"replace"`
		ReturnExisting bool             `json:"returnExisting"`
	} `json:"reuse"`
}

// decode reads an object, and refuses fields that it does not know.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var (
		kind *json.UnmarshalTypeError
		when *time.ParseError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind) && kind.Field != "":
		return badRequest(kind.Field, "must not be of the type %s", kind.Value)
	case errors.As(err, &kind), errors.Is(err, io.EOF):
		return badRequest("body", "must be one JSON object")
	case errors.As(err, &when):
		return badRequest("startAt", "want a time such as 2026-11-27T09:00:00Z")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return badRequest(strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`), "there is no such field")
	}
	return badRequest("body", "cannot be read: %v", err)
}

func (b *startBody) request(hub string) (engine.StartRequest, error) {
	r := engine.StartRequest{
		Hub: hub, Name: b.Name, ID: b.InstanceID, Version: b.Version, Tags: b.Tags,
		Reuse: engine.ReusePolicy{Replace: b.Reuse.Replace, Existing: b.Reuse.ReturnExisting},
	}
	if b.Input != nil {
		r.Input = history.Bytes(b.Input)
	}
	if b.Priority != nil {
		if r.Priority = *b.Priority; r.Priority == 0 { // to the engine that is none
			return r, &engine.Error{Code: engine.CodeInvalid, Field: "priority", Message: "is 0, allowed are 1, which goes first, to 4"}
		}
	}
	switch {
	case b.Delay != "" && b.StartAt != nil:
		return r, &engine.Error{Code: engine.CodeInvalid, Field: "delay", Message: "excludes startAt: give one of them"}
	case b.StartAt != nil:
		r.At = *b.StartAt
	case b.Delay != "":
		wait, err := engine.ParseLength("delay", b.Delay)
		if err != nil {
			return r, err
		}
		if wait < 0 {
			return r, &engine.Error{Code: engine.CodeInvalid, Field: "delay", Message: "must not be negative"}
		}
		if wait > 0 {
			r.At = time.Now().Add(wait)
		}
	}
	return r, nil
}

// accepted is the answer to a start.
type accepted struct {
	InstanceID string `json:"instanceId"`
	Existing   bool   `json:"existing"`
	StatusURL  string `json:"statusUrl"`
	EventsURL  string `json:"eventsUrl"`
}

func (h *Handler) start(w http.ResponseWriter, req *http.Request) error {
	ctx, cancel := context.WithTimeout(req.Context(), h.deadline)
	defer cancel()
	if _, err := query(req); err != nil {
		return err
	}
	raw, err := body(w, req)
	if err != nil {
		return err
	}
	var in startBody
	if err := decode(raw, &in); err != nil {
		return err
	}
	hub := req.PathValue("hub")
	r, err := in.request(hub)
	if err != nil {
		return err
	}
	started, err := h.engine.Start(ctx, r)
	if err != nil {
		return err
	}
	at := strings.TrimSuffix(h.path, "/") + "/hubs/" + url.PathEscape(hub) + "/instances/" + url.PathEscape(started.ID)
	w.Header().Set("Location", at)
	w.Header().Set("Retry-After", retryAfter)
	write(w, http.StatusAccepted, "application/json", accepted{started.ID, started.Existing, at, at + "/events/{event}"})
	return nil
}

func (h *Handler) raise(w http.ResponseWriter, req *http.Request) error {
	ctx, cancel := context.WithTimeout(req.Context(), h.deadline)
	defer cancel()
	if _, err := query(req); err != nil {
		return err
	}
	raw, err := body(w, req)
	if err != nil {
		return err
	}
	r := engine.RaiseRequest{
		Hub: req.PathValue("hub"), Instance: req.PathValue("id"), Name: req.PathValue("event"), Key: req.Header.Get("Idempotency-Key"),
	}
	if len(raw) > 0 {
		r.Input = history.Bytes(raw)
	}
	if err := h.engine.Raise(ctx, r); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// instance is an instance as it is read.
type instance struct {
	InstanceID   string            `json:"instanceId"`
	Name         string            `json:"name"`
	Version      string            `json:"version,omitempty"`
	Status       string            `json:"status"`
	Generation   int               `json:"generation"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
	StartedAt    *time.Time        `json:"startedAt,omitempty"`
	FinishedAt   *time.Time        `json:"finishedAt,omitempty"`
	ScheduledAt  *time.Time        `json:"scheduledAt,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	CustomStatus *value            `json:"customStatus,omitempty"`
	Input        *value            `json:"input,omitempty"`
	Output       *value            `json:"output,omitempty"`
	Failure      *failed           `json:"failure,omitempty"`
}

type failed struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	// Redacted says that the caller may not see values.
	Redacted bool `json:"redacted,omitempty"`
}

// value is a value: JSON in place. What is no JSON, or too large, is only described.
type value struct {
	Size int             `json:"size"`
	JSON json.RawMessage `json:"json,omitempty"`
	// Redacted says that the caller may not see values.
	Redacted bool `json:"redacted,omitempty"`
}

func valueOf(size int, data []byte) *value {
	v := &value{Size: size}
	if len(data) == size && utf8.Valid(data) && json.Valid(data) {
		v.JSON = data
	}
	return v
}

func (h *Handler) status(w http.ResponseWriter, req *http.Request) error {
	values, err := query(req, "wait", "input")
	if err != nil {
		return err
	}
	var wait time.Duration
	if text := values.Get("wait"); text != "" {
		if wait, err = engine.ParseLength("wait", text); err != nil {
			return err
		}
		if wait < 0 || wait > maxWait {
			return &engine.Error{Code: engine.CodeInvalid, Field: "wait", Message: fmt.Sprintf("is %s, allowed are 0s to %s", wait, maxWait)}
		}
	}
	withInput := values.Get("input")
	if withInput != "" && withInput != "true" && withInput != "false" {
		return &engine.Error{Code: engine.CodeInvalid, Field: "input", Message: "allowed are true and false"}
	}
	hub, id := req.PathValue("hub"), req.PathValue("id")
	if wait > 0 {
		if err := h.wait(req.Context(), hub, id, wait); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(req.Context(), h.deadline)
	defer cancel()
	out, live, err := h.read(ctx, hub, id, withInput == "true")
	if err != nil {
		return err
	}
	code := http.StatusOK
	if live {
		code = http.StatusAccepted
		w.Header().Set("Location", req.URL.EscapedPath())
		w.Header().Set("Retry-After", retryAfter)
	}
	write(w, code, "application/json", out)
	return nil
}

// wait returns when an instance has ended, the time is over, or the server stops.
func (h *Handler) wait(ctx context.Context, hub, id string, long time.Duration) error {
	select {
	case h.waiting <- struct{}{}:
	default:
		return &problem{Status: http.StatusServiceUnavailable, Code: string(engine.CodeUnavailable), Field: "wait", Detail: fmt.Sprintf("this server lets %d answers wait at most", maxWaiting), Retryable: true}
	}
	defer func() { <-h.waiting }()
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	defer context.AfterFunc(h.closing, cancel)()
	if _, err := h.engine.Wait(ctx, hub, id); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// read reads an instance, and tells whether it is live.
func (h *Handler) read(ctx context.Context, hub, id string, withInput bool) (*instance, bool, error) {
	i, err := h.engine.Get(ctx, hub, id)
	if err != nil {
		return nil, false, err
	}
	hidden := !auth.From(ctx).May(auth.ReadValues, hub)
	out := &instance{
		InstanceID: i.ID, Name: i.Name, Version: i.Version, Status: i.Status.String(), Generation: i.Generation, CreatedAt: i.CreatedAt.UTC(),
		UpdatedAt: i.UpdatedAt.UTC(), StartedAt: utc(i.StartedAt), FinishedAt: utc(i.CompletedAt), ScheduledAt: utc(i.ScheduledAt), Tags: i.Tags,
	}
	if i.CustomStatus != nil {
		out.CustomStatus = valueOf(len(i.CustomStatus), i.CustomStatus)
	}
	if i.Failure != nil {
		out.Failure = &failed{Type: i.Failure.Type, Message: i.Failure.Message}
	}
	if hidden {
		out.CustomStatus = out.CustomStatus.hide()
		if out.Failure != nil {
			out.Failure.Message, out.Failure.Redacted = "", true
		}
	}
	all := []*engine.Instance{i}
	if withInput {
		if out.Input, err = h.value(ctx, all, h.engine.Inputs); err != nil {
			return nil, false, err
		}
	}
	if out.Output, err = h.value(ctx, all, h.engine.Outputs); err != nil {
		return nil, false, err
	}
	if hidden {
		out.Input, out.Output = out.Input.hide(), out.Output.hide()
	}
	return out, i.Status.Live(), nil
}

// hide leaves out what a value is, and keeps that there is one; of none it is none.
func (v *value) hide() *value {
	if v == nil {
		return nil
	}
	return &value{Size: v.Size, Redacted: true}
}

// value reads a value of an instance, unless it is too large.
func (h *Handler) value(ctx context.Context, all []*engine.Instance, read func(context.Context, []*engine.Instance) ([]history.Payload, error)) (*value, error) {
	found, err := read(ctx, all)
	if err != nil || !found[0].Present() {
		return nil, err
	}
	if found[0].Size() > maxValue {
		return &value{Size: found[0].Size()}, nil
	}
	data, err := h.engine.ReadValue(ctx, found[0], maxValue)
	if err != nil {
		return nil, err
	}
	return valueOf(found[0].Size(), data), nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
