package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// HubStats are a hub's figures over a time.
type HubStats struct {
	From, To time.Time
	// Each is the length of a bucket.
	Each    time.Duration
	Buckets []StatsBucket
	// P50, P95 and P99 are how long what ended took from its start, of the Ended that were looked at.
	P50, P95, P99 time.Duration
	Ended         int64
	// Partial says that there was more than is looked at, so that the earlier buckets show less than there was.
	Partial bool
	// Backlog is what waits and what is at work now.
	Backlog HubBacklog
}

// StatsBucket is what happened in a stretch of time.
type StatsBucket struct {
	At                                               time.Time
	Started, Completed, Failed, Canceled, Terminated int64
}

// Bounds of statistics.
const (
	minStatsWindow  = time.Minute
	maxStatsWindow  = 90 * 24 * time.Hour
	MaxStatsBuckets = 500
	// maxStatsRows is how many instances of each outcome, and of each name and outcome, are looked at.
	maxStatsRows = 50_000
)

// Stats returns the figures of a hub over a window that ends now, in so many buckets. Errors: INVALID_ARGUMENT (window, buckets),
// NOT_FOUND (hub).
func (e *Engine) Stats(ctx context.Context, hubName string, window time.Duration, buckets int) (*HubStats, error) {
	hub, err := e.hub(ctx, hubName)
	switch {
	case err != nil:
		return nil, err
	case window < minStatsWindow || window > maxStatsWindow:
		return nil, invalid("window", "is %s, allowed are a minute to 90 days", window)
	case buckets < 1 || buckets > MaxStatsBuckets:
		return nil, invalid("buckets", "is %d, allowed are 1 to %d", buckets, MaxStatsBuckets)
	}
	now, err := e.Now(ctx)
	if err != nil {
		return nil, err
	}
	out := &HubStats{From: now.Add(-window).UTC(), To: now.UTC(), Each: window / time.Duration(buckets), Buckets: make([]StatsBucket, buckets)}
	for n := range out.Buckets {
		out.Buckets[n].At = out.From.Add(time.Duration(n) * out.Each)
	}
	names, err := e.q.ListNames(ctx, e.lists, store.ListNamesParams{Hub: hub.no, Chunk: math.MaxInt32})
	if err != nil {
		return nil, fmt.Errorf("list names: %w", err)
	}
	var (
		outcomes = []int16{int16(history.Completed), int16(history.Failed), int16(history.Canceled), int16(history.Terminated)}
		seconds  = out.Each.Seconds()
		started  []store.StartedBucketsRow
		ended    []store.EndedBucketsRow
		took     store.DurationsRow
		backlog  []HubBacklog
	)
	g, asked := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		started, err = e.q.StartedBuckets(asked, e.lists, store.StartedBucketsParams{
			Hub: hub.no, Outcomes: outcomes, Since: out.From, Until: out.To, Seconds: seconds, Most: maxStatsRows,
		})
		return err
	})
	g.Go(func() (err error) {
		ended, err = e.q.EndedBuckets(asked, e.lists, store.EndedBucketsParams{
			Hub: hub.no, Names: names, Outcomes: outcomes, Since: out.From, Until: out.To, Seconds: seconds, Most: maxStatsRows,
		})
		return err
	})
	g.Go(func() (err error) {
		took, err = e.q.Durations(asked, e.lists, store.DurationsParams{
			Hub: hub.no, Names: names, Outcomes: outcomes, Since: out.From, Until: out.To, Most: maxStatsRows,
		})
		return err
	})
	g.Go(func() (err error) {
		backlog, err = e.Backlog(asked)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read figures: %w", err)
	}
	// The last moment of the window can fall behind the last bucket by rounding.
	at := func(bucket int32) *StatsBucket { return &out.Buckets[min(max(int(bucket), 0), buckets-1)] }
	for _, r := range started {
		at(r.Bucket).Started += r.Count
		out.Partial = out.Partial || r.Partial
	}
	for _, r := range ended {
		b := at(r.Bucket)
		switch history.Status(r.Outcome) {
		case history.Completed:
			b.Completed += r.Count
		case history.Failed:
			b.Failed += r.Count
		case history.Canceled:
			b.Canceled += r.Count
		case history.Terminated:
			b.Terminated += r.Count
		}
		out.Partial = out.Partial || r.Partial
	}
	length := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	out.P50, out.P95, out.P99, out.Ended = length(took.P50), length(took.P95), length(took.P99), took.Count
	out.Backlog.Hub = hubName
	for _, b := range backlog {
		if b.Hub == hubName {
			out.Backlog = b
		}
	}
	return out, nil
}
