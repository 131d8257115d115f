package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-dev/weir/durable"
)

// api is W15: what the API takes among a million instances, first pages and histories, and how soon it refuses what is
// too much; then what those cost who watch.
func (b *bench) api(ctx context.Context) error {
	if err := b.remember(ctx, b.size(1_000_000)); err != nil {
		return err
	}
	server, err := b.startServer(ctx)
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context, *apiServer) error{b.pages, b.refusals, b.sockets, b.watchers} {
		if err := part(ctx, server); err != nil {
			return errors.Join(err, server.stop())
		}
	}
	return server.stop()
}

// pages measures first pages of the list and of a history, as the dashboard asks for them, over HTTP.
func (b *bench) pages(ctx context.Context, s *apiServer) error {
	const list = `query($filter: OrchestrationFilter) { orchestrations(hub: "default", filter: $filter, first: 50) {
		edges { node { id instanceId name version status createdAt startedAt lastEventAt finishedAt tags { key value } parent { instanceId } } }
		pageInfo { hasNextPage endCursor } } }`
	worst := 0.0
	for _, f := range []struct {
		what   string
		filter map[string]any
	}{
		{"nothing", nil},
		{"a status", map[string]any{"statuses": []string{"FAILED"}}},
		{"a name and live", map[string]any{"names": []string{"past-3"}, "statuses": []string{"PENDING", "RUNNING", "SUSPENDED"}}},
	} {
		progressf("%-8s pages over HTTP by %s", b.current, f.what)
		p95, err := p95Of(200, func() error { return s.query(ctx, list, map[string]any{"filter": f.filter}) })
		if err != nil {
			return fmt.Errorf("by %s: %w", f.what, err)
		}
		b.report.add("W15", "list p95 ms, by "+f.what, p95)
		worst = max(worst, p95)
	}
	b.report.add("W15", "list p95 ms, worst", worst)

	for _, window := range []string{"1h", "60d"} {
		p95, err := p95Of(20, func() error {
			return s.query(ctx, `query($w: String!) { hub(name: "default") { stats(window: $w) { partial ended slowestSeconds buckets { started completed failed } } } }`, map[string]any{"w": window})
		})
		if err != nil {
			return err
		}
		b.report.add("W15", "stats p95 ms, "+window, p95)
	}

	const steps = 3334 // three events each, nearly
	err := b.withWorker(ctx, func(*process) error {
		inst, err := Steps.Start(ctx, b.client, steps, durable.ID("long"))
		if err == nil {
			_, err = inst.Wait(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	const events = `{ orchestration(hub: "default", instanceId: "long") { id name status history(first: 500) {
		lastSeq hasMore events { __typename seq at type ... on TaskScheduled { name } ... on TaskCompleted { result { size text(maxBytes: 256) } } } } } }`
	folded, err := p95Of(50, func() error {
		return s.query(ctx, `{ orchestration(hub: "default", instanceId: "long") { timeline(maxSpans: 500) { total truncated spans { kind name state from to } } } }`, nil)
	})
	if err != nil {
		return err
	}
	b.report.add("W15", "timeline p95 ms, of 10,000 events", folded)
	p95, err := p95Of(200, func() error { return s.query(ctx, events, nil) })
	b.report.add("W15", "history p95 ms, 500 of 10,000 events", p95)
	return err
}

// refusals measures how soon what is too much is refused.
func (b *bench) refusals(ctx context.Context, s *apiServer) error {
	worst := 0.0
	for what, query := range map[string]string{
		"deep":    strings.Repeat("{ hub(name: \"default\") ", 200) + strings.Repeat("}", 200),
		"aliases": "{" + strings.Repeat(" a: server { version }", 4000) + "}",
		"tokens":  "{" + strings.Repeat(" server { version }", 20_000) + "}",
		"wide":    `{ orchestrations(hub: "default", first: 200) { edges { node { children(first: 200) { edges { node { history(first: 5000) { lastSeq } } } } } } } }`,
		"fragments": "query { ...f0 } " + func() string {
			var all strings.Builder
			for i := range 300 {
				fmt.Fprintf(&all, "fragment f%d on Query { ...f%d ...f%d } ", i, i+1, i+1)
			}
			return all.String() + "fragment f300 on Query { server { version } }"
		}(),
	} {
		var ms []float64
		for range 50 {
			began := time.Now()
			if err := s.query(ctx, query, nil); err == nil {
				return fmt.Errorf("a hostile query, %s, was answered", what)
			}
			ms = append(ms, time.Since(began).Seconds()*1000)
		}
		worst = max(worst, slices.Max(ms))
	}
	b.report.add("W15", "hostile query refused, worst ms", worst)
	return nil
}

// p95Of calls fn n times, after ten that do not count.
func p95Of(n int, fn func() error) (float64, error) {
	var ms []float64
	for i := range n + 10 {
		began := time.Now()
		if err := fn(); err != nil {
			return 0, err
		}
		if i >= 10 {
			ms = append(ms, time.Since(began).Seconds()*1000)
		}
	}
	return quantile(ms, 0.95), nil
}

func quantile(ms []float64, q float64) float64 {
	slices.Sort(ms)
	return ms[min(len(ms)-1, int(float64(len(ms))*q))]
}

// apiServer is a server process and its address.
type apiServer struct {
	*process
	url string
}

// query runs an operation over HTTP and reads the whole answer. An answer with errors is an error.
func (s *apiServer) query(ctx context.Context, query string, variables map[string]any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if bytes.Contains(answer[:min(len(answer), 200)], []byte(`"errors"`)) || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, answer)
	}
	return nil
}
