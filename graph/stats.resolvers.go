package graph

// The resolvers of stats.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"

	"github.com/weir-dev/weir/graph/model"
)

// Stats is the resolver for the stats field.
func (r *taskHubResolver) Stats(ctx context.Context, obj *model.TaskHub, window string, buckets int32) (*model.HubStats, error) {
	return readOnce(ctx, statsOf{obj.Name, window, int(buckets)}, func(ctx context.Context) (*model.HubStats, error) {
		return r.stats(ctx, obj.Name, window, int(buckets))
	})
}

// HubStats is the resolver for the hubStats field.
func (r *subscriptionResolver) HubStats(ctx context.Context, hub, window string, buckets int32) (<-chan *model.HubStats, error) {
	return r.watchStats(ctx, statsOf{hub, window, int(buckets)})
}
