package graph

// The resolvers of worker.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"

	"github.com/weir-dev/weir/graph/model"
)

// Workers is the resolver for the workers field.
func (r *queryResolver) Workers(ctx context.Context, hub string, states []model.WorkerState, first int32, after *string) (*model.WorkerConnection, error) {
	return r.listWorkers(ctx, hub, states, int(first), after)
}

// Workers is the resolver for the workers field.
func (r *subscriptionResolver) Workers(ctx context.Context, hub string) (<-chan *model.WorkerDelta, error) {
	return r.watchWorkers(ctx, hub)
}
