package graph

import (
	"context"
	"math"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// figure is a count for the API, whose integers have 32 bits.
func figure(n int64) int32 { return int32(min(n, math.MaxInt32)) }

// stats reads a hub's figures.
func (r *Resolver) stats(ctx context.Context, hub, window string, buckets int) (*model.HubStats, error) {
	back, err := engine.ParseLength("window", window)
	if err != nil {
		return nil, err
	}
	s, err := r.engine.Stats(ctx, hub, back, buckets)
	if err != nil {
		return nil, err
	}
	out := &model.HubStats{
		From: s.From, To: s.To, BucketSeconds: s.Each.Seconds(), Buckets: make([]*model.StatsBucket, len(s.Buckets)), MedianSeconds: s.P50.Seconds(),
		SlowSeconds: s.P95.Seconds(), SlowestSeconds: s.P99.Seconds(), Ended: s.Ended, Partial: s.Partial, Workers: figure(s.Backlog.Workers),
	}
	for n, b := range s.Buckets {
		out.Buckets[n] = &model.StatsBucket{
			At: b.At, Started: figure(b.Started), Completed: figure(b.Completed), Failed: figure(b.Failed), Canceled: figure(b.Canceled), Terminated: figure(b.Terminated),
		}
	}
	for n, k := range s.Backlog.Kinds {
		out.Backlog = append(out.Backlog, &model.KindBacklog{Kind: engine.BacklogKinds[n], Pending: figure(k.Pending), Active: figure(k.Active), OldestSeconds: k.Oldest.Seconds()})
	}
	return out, nil
}
