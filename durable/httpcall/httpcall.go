// Package httpcall is an activity that makes HTTP requests, for orchestrations that call services over HTTP. A service
// that answers 202 Accepted with a Location is asked again there until it has finished; the waits between are durable
// timers, so a call may take days and survives any restart.
//
//	w, err := durable.NewWorker(pool, nil, httpcall.Handler(httpcall.Options{}), ...)
//
//	res, err := httpcall.Call(ctx, httpcall.Request{Method: "POST", URL: "https://example.com/jobs", Body: body},
//		durable.Retry{Attempts: 5}, durable.Overall(time.Minute))
//
// What is sent and received is in the instance's history. Secrets do not belong there: Options.Prepare adds them where
// the request is made.
package httpcall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// Name is the name of the activity.
const Name durable.Activity[Request, Response] = "http"

// ErrStatus is found by errors.Is in the error of a call whose last attempt was answered with a status in RetryOn.
const ErrStatus durable.Failure = "HTTP_STATUS"

// Request is an HTTP request.
type Request struct {
	// Method is an HTTP method; empty means GET.
	Method string `json:"method,omitempty"`
	// URL is absolute, http or https, at most 8 KB.
	URL string `json:"url"`
	// Header is sent as it is. Call gives a POST or PATCH without an Idempotency-Key one that is the same for all attempts:
	// an attempt whose process dies is made again, and the service may have seen it.
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
	// RetryOn are the statuses that fail an attempt, so that the retry policy of the call decides, such as Transient. Any
	// other status is a response.
	RetryOn []int `json:"retryOn,omitempty"`

	// Accept202 makes a 202 the response. Without it, a 202 that has a Location is followed there.
	Accept202 bool `json:"accept202,omitempty"`
	// PollEvery is the wait before the Location is asked, where the service names none by Retry-After; 0 means 30 s.
	PollEvery time.Duration `json:"pollEvery,omitempty"`
	// PollFor bounds the whole call with all its polls; 0 does not. The call fails with durable.ErrTimeout then.
	PollFor time.Duration `json:"pollFor,omitempty"`
}

// Transient are the statuses that may be gone at the next attempt.
var Transient = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// Response is what the service answered.
type Response struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
	// RetryAfter is the wait that the service asks for; 0 if it does not.
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
	// URL is what answered, after redirects.
	URL string `json:"url,omitempty"`
}

// JSON reads the body.
func (r *Response) JSON(into any) error {
	if err := json.Unmarshal(r.Body, into); err != nil {
		return fmt.Errorf("response %d of %s: %w", r.Status, r.URL, err)
	}
	return nil
}

// OK tells whether the status is 200 to 299.
func (r *Response) OK() bool { return r.Status >= 200 && r.Status <= 299 }

// Options say how a worker makes requests.
type Options struct {
	// Client makes them; nil means a client with Go's default transport.
	Client *http.Client
	// Timeout bounds one attempt, its body included; 0 means 100 s. A durable.Timeout of the call goes before it.
	Timeout time.Duration
	// MaxBody bounds the body of a response, in bytes; 0 means 4 MiB. A larger one fails the call with
	// durable.ErrTooLarge.
	MaxBody int64
	// Prepare is called with each request before it is sent: to add what must not be in the history, such as
	// Authorization, or to refuse it. An error with a durable.Failure in its chain is final.
	Prepare func(*http.Request) error
}

// The defaults of Options and Request, and what bounds them.
const (
	defaultTimeout = 100 * time.Second
	defaultMaxBody = 4 << 20
	defaultPoll    = 30 * time.Second
	maxURL         = 8 << 10
	maxPoll        = 365 * 24 * time.Hour
	maxQuoted      = 512 // of a body, in an error
)

// Handler is the activity, for durable.NewWorker.
func Handler(o Options) durable.Handler {
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	return Name.Handler(o.do, durable.Timeout(o.Timeout))
}

// Call makes the request and returns the response; where the service answers 202 with a Location, the response that it
// gives there in the end. Options are those of an activity's call; each request is a call of its own. Errors:
// *durable.TaskError when the request could not be made; durable.ErrInvalid for a bad Request; durable.ErrTimeout.
func Call(ctx *durable.Context, r Request, opts ...durable.CallOption) (Response, error) {
	if err := r.check(); err != nil {
		return Response{}, err
	}
	if m := strings.ToUpper(r.Method); (m == http.MethodPost || m == http.MethodPatch) && !r.has("Idempotency-Key") {
		header := maps.Clone(r.Header)
		if header == nil {
			header = map[string][]string{}
		}
		header["Idempotency-Key"] = []string{ctx.NewID()}
		r.Header = header
	}
	began := ctx.Now()
	for {
		res, err := Name.Call(ctx, r, opts...)
		if err != nil || res.Status != http.StatusAccepted || r.Accept202 {
			return res, err
		}
		next, err := r.poll(&res)
		if err != nil || next == nil {
			return res, err
		}
		wait := res.RetryAfter
		if wait <= 0 {
			wait = r.PollEvery
		}
		if wait <= 0 {
			wait = defaultPoll
		}
		if r.PollFor > 0 && ctx.Now().Add(wait).After(began.Add(r.PollFor)) {
			return res, fmt.Errorf("%s has not finished within %s: %w", r.URL, r.PollFor, durable.ErrTimeout)
		}
		if err := ctx.Sleep(min(wait, maxPoll)); err != nil {
			return res, err
		}
		r = *next
	}
}

// has tells whether a header is set, however it is spelled.
func (r *Request) has(name string) bool {
	for k := range r.Header {
		if textproto.CanonicalMIMEHeaderKey(k) == name {
			return true
		}
	}
	return false
}

// poll is the request that asks how far the service is; nil if it names no place.
func (r *Request) poll(res *Response) (*Request, error) {
	location := first(res.Header, "Location")
	if location == "" {
		return nil, nil
	}
	base, err := url.Parse(res.URL)
	if err != nil {
		return nil, fmt.Errorf("poll %s: %w", res.URL, err)
	}
	at, err := base.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("poll %s: Location: %w", res.URL, err)
	}
	next := *r
	next.Method, next.Body, next.URL, next.Header = http.MethodGet, nil, at.String(), map[string][]string{}
	for k, v := range r.Header {
		k = textproto.CanonicalMIMEHeaderKey(k)
		switch k {
		case "Content-Type", "Content-Length", "Content-Encoding", "Idempotency-Key":
			continue // of the body that is not sent again
		case "Authorization", "Cookie", "Proxy-Authorization", "Www-Authenticate":
			if at.Host != base.Host || at.Scheme != base.Scheme {
				continue // not meant for others
			}
		}
		next.Header[k] = v
	}
	return &next, next.check()
}

// check tells what is wrong with a request.
func (r *Request) check() error {
	invalid := func(field, format string, args ...any) error {
		return &engine.Error{Code: engine.CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if strings.ContainsFunc(r.Method, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' }) || len(r.Method) > 32 {
		return invalid("method", "%.40q is not an HTTP method", r.Method)
	}
	if len(r.URL) > maxURL {
		return invalid("url", "has %d bytes, at most %d are allowed", len(r.URL), maxURL)
	}
	u, err := url.Parse(r.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return invalid("url", "%.200q is not an absolute http or https URL", r.URL)
	}
	for k, values := range r.Header {
		if !isToken(k) {
			return invalid("header", "%.40q is not the name of a header", k)
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(c rune) bool { return c == '\r' || c == '\n' || c == 0 }) {
				return invalid("header", "the value of %q has a line break", k)
			}
		}
	}
	for _, s := range r.RetryOn {
		if s < 100 || s > 599 {
			return invalid("retryOn", "%d is not an HTTP status", s)
		}
	}
	if r.PollEvery < 0 || r.PollFor < 0 {
		return invalid("pollEvery, pollFor", "must not be negative")
	}
	return nil
}

// isToken tells whether s may name a header.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	})
}

// do is the activity: one request.
func (o Options) do(ctx context.Context, r Request) (Response, error) {
	if err := r.check(); err != nil {
		return Response{}, fmt.Errorf("%w: %w", durable.Failure(engine.CodeInvalid), err)
	}
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(r.Method), r.URL, strings.NewReader(string(r.Body)))
	if err != nil {
		return Response{}, fmt.Errorf("%w: %w", durable.Failure(engine.CodeInvalid), err)
	}
	for k, v := range r.Header {
		req.Header[textproto.CanonicalMIMEHeaderKey(k)] = slices.Clone(v)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if o.Prepare != nil {
		if err := o.Prepare(req); err != nil {
			return Response{}, fmt.Errorf("prepare %s %s: %w", req.Method, r.URL, err)
		}
	}
	res, err := o.Client.Do(req)
	if err != nil {
		return Response{}, ended(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, o.MaxBody+1))
	if err != nil {
		return Response{}, ended(ctx, fmt.Errorf("read the response of %s: %w", r.URL, err))
	}
	if int64(len(body)) > o.MaxBody {
		return Response{}, fmt.Errorf("%w: the response of %s has more than %d bytes", durable.Failure(engine.CodeTooLarge), r.URL, o.MaxBody)
	}
	out := Response{Status: res.StatusCode, Header: text(res.Header), Body: body, RetryAfter: retryAfter(res), URL: res.Request.URL.String()}
	if slices.Contains(r.RetryOn, out.Status) {
		return Response{}, &engine.Error{
			Code: engine.Code(ErrStatus), Message: strings.ToValidUTF8(fmt.Sprintf("%s %s answered %s: %.*s", req.Method, r.URL, res.Status, maxQuoted, body), "?"),
		}
	}
	return out, nil
}

// ended puts the reason why ctx has ended in the place of what followed from it.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// retryAfter reads how long the service asks to wait: seconds, or a date by the service's own clock.
func retryAfter(res *http.Response) time.Duration {
	v := res.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxPoll/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxPoll)
}

// text makes headers text that JSON can hold: their values may be of any bytes.
func text(h http.Header) map[string][]string {
	for _, values := range h {
		for i := range values {
			values[i] = strings.ToValidUTF8(values[i], "?")
		}
	}
	return h
}

// first is a header's first value.
func first(h map[string][]string, k string) string { return http.Header(h).Get(k) }
