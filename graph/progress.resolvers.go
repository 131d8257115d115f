package graph

// The resolvers of progress.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"

	"github.com/weir-dev/weir/graph/model"
)

// Progress is the resolver for the progress field.
func (r *orchestrationResolver) Progress(ctx context.Context, obj *model.Orchestration, first int32, after *string) (*model.ProgressConnection, error) {
	return r.progress(ctx, obj.Instance, int(first), after)
}

// ProgressAppended is the resolver for the progressAppended field.
func (r *subscriptionResolver) ProgressAppended(ctx context.Context, hub, instanceID string, after int64) (<-chan *model.ProgressPage, error) {
	return r.watchProgress(ctx, hub, instanceID, after)
}
