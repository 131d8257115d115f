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

// ProgressRecord is the resolver for the progressRecord field.
func (r *orchestrationResolver) ProgressRecord(ctx context.Context, obj *model.Orchestration, seq int64) (*model.ProgressRecord, error) {
	if seq < 1 { // they count from 1
		return nil, nil
	}
	said, _, err := r.engine.Progress(ctx, obj.Instance, seq-1, 1)
	if err != nil || len(said) == 0 || said[0].Seq != seq {
		return nil, err
	}
	return r.records(said)[0], nil
}

// ProgressAppended is the resolver for the progressAppended field.
func (r *subscriptionResolver) ProgressAppended(ctx context.Context, hub, instanceID string, after int64) (<-chan *model.ProgressPage, error) {
	return r.watchProgress(ctx, hub, instanceID, after)
}
