package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/engine/tracing"
)

const (
	// sendAt is how many bytes of spans are sent before their time.
	sendAt = 256 << 10
	// maxText bounds one text of a span, a failure's message for instance, in bytes.
	maxText = 2048
	// tries is how often a request is made that the collector could not take.
	tries = 5
)

// Stats count spans since the exporter was made.
type Stats struct {
	Sent int64
	// Dropped are those for which there was no room, and Failed those that the collector did not take.
	Dropped int64
	Failed  int64
	// Waiting are those that are to be sent.
	Waiting int64
}

// Exporter sends what it is given. It implements tracing.Sink, durable.Tracing's Sink.
type Exporter struct {
	cfg  Config
	stop context.CancelFunc
	done chan struct{}
	full chan struct{}

	mu      sync.Mutex
	closed  bool
	spans   []byte // fields of a ScopeSpans
	scratch []byte
	stats   Stats
	idle    chan struct{} // closed when nothing waits and nothing is under way; nil if nobody asks
	out     bool          // a request is under way
}

// New makes an exporter; Close ends it. One without an address for traces drops spans.
func New(cfg Config) *Exporter {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.Every = cmp.Or(cfg.Every, 5*time.Second)
	cfg.MetricsEvery = cmp.Or(cfg.MetricsEvery, time.Minute)
	cfg.Buffer = cmp.Or(cfg.Buffer, 8<<20)
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Exporter{cfg: cfg, stop: stop, done: make(chan struct{}), full: make(chan struct{}, 1)}
	go e.run(ctx)
	return e
}

// Export implements tracing.Sink.
func (e *Exporter) Export(spans []tracing.Span) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.cfg.Traces == "" {
		e.stats.Dropped += int64(len(spans))
		return
	}
	for i := range spans {
		if len(e.spans) >= e.cfg.Buffer {
			e.stats.Dropped += int64(len(spans) - i)
			break
		}
		sanitize(&spans[i])
		e.spans, e.scratch = appendSpan(e.spans, e.scratch, &spans[i])
		e.stats.Waiting++
	}
	if len(e.spans) >= sendAt {
		select {
		case e.full <- struct{}{}:
		default:
		}
	}
}

// sanitize bounds the texts that come from outside, and makes them what the protocol takes.
func sanitize(s *tracing.Span) {
	s.Message = clean(s.Message)
	s.Name = clean(s.Name)
	for i := range s.Attrs {
		s.Attrs[i].Text = clean(s.Attrs[i].Text)
	}
}

func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Stats returns the present figures.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// Close sends what waits and ends the exporter. When ctx ends, what is left is dropped, and its error returned.
func (e *Exporter) Close(ctx context.Context) error {
	err := e.Flush(ctx)
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	<-e.done
	return err
}

// Flush sends what waits, and returns once it is sent or given up.
func (e *Exporter) Flush(ctx context.Context) error {
	e.mu.Lock()
	if len(e.spans) == 0 && !e.out {
		e.mu.Unlock()
		return nil
	}
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	idle := e.idle
	e.mu.Unlock()
	select {
	case e.full <- struct{}{}:
	default:
	}
	select {
	case <-idle:
		return nil
	case <-e.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("send spans: %w", ctx.Err())
	}
}

func (e *Exporter) run(ctx context.Context) {
	defer close(e.done)
	defer e.cfg.Client.CloseIdleConnections()
	every := time.NewTicker(e.cfg.Every)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-e.full:
		}
		e.send(ctx)
	}
}

// send sends all spans that wait.
func (e *Exporter) send(ctx context.Context) {
	for ctx.Err() == nil {
		e.mu.Lock()
		spans, n := e.spans, e.stats.Waiting
		if n == 0 {
			if e.out = false; e.idle != nil {
				close(e.idle)
				e.idle = nil
			}
			e.mu.Unlock()
			return
		}
		e.out, e.spans, e.stats.Waiting = true, nil, 0
		e.mu.Unlock()
		err := e.post(ctx, e.cfg.Traces, e.cfg.TraceHeaders, envelope(e.cfg.Resource, tracing.Source, spans))
		e.mu.Lock()
		if err == nil {
			e.stats.Sent += n
		} else {
			e.stats.Failed += n
		}
		if e.spans == nil {
			e.spans = spans[:0]
		}
		e.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			e.cfg.Logger.WarnContext(ctx, "spans could not be sent", logkey.Count, n, logkey.Err, err)
		}
	}
}

// post makes a request, and makes it again while the collector cannot take it.
func (e *Exporter) post(ctx context.Context, address string, headers map[string]string, body []byte) error {
	if e.cfg.Gzip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		body = b.Bytes()
	}
	for try, wait := 1, time.Second; ; try, wait = try+1, 2*wait {
		again, after, err := e.try(ctx, address, headers, body)
		if err == nil || !again || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(min(after, time.Minute), wait)):
		}
	}
}

var errRefused = errors.New("the collector refuses")

// try makes one request. again says that another may succeed, no sooner than after.
func (e *Exporter) try(ctx context.Context, address string, headers map[string]string, body []byte) (again bool, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "weir-otlp")
	if e.cfg.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := e.cfg.Client.Do(req)
	if err != nil {
		return true, 0, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	switch {
	case res.StatusCode/100 == 2:
		return false, 0, nil
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusBadGateway, res.StatusCode == http.StatusServiceUnavailable,
		res.StatusCode == http.StatusGatewayTimeout:
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
			after = time.Duration(s) * time.Second
		}
		return true, after, fmt.Errorf("%w: %s", errRefused, res.Status)
	}
	return false, 0, fmt.Errorf("%w: %s", errRefused, res.Status)
}
