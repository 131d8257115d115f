package uptime

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// patience is how long an endpoint may take to answer.
const patience = 5 * time.Second

// client makes a connection for each check: one that is kept open would not notice that nobody listens any more,
// and would outlive the worker.
var client = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
}

// checkHTTP asks the endpoint once. Up is an answer that says neither "client error" nor "server error".
func checkHTTP(ctx context.Context, address string) (Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	began := time.Now()
	resp, err := client.Do(req)
	took := Duration(time.Since(began).Round(time.Microsecond))
	if ctx.Err() != nil {
		return Result{}, ctx.Err() // it is this worker that stops: another one checks
	}
	if err != nil {
		return Result{Latency: took, Error: err.Error()}, nil
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	r := Result{Up: resp.StatusCode < 400, Code: resp.StatusCode, Latency: took}
	if !r.Up {
		r.Error = resp.Status
	}
	return r, nil
}
