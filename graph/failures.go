package graph

import (
	"context"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// failureGroups reads what has failed of late.
func (r *Resolver) failureGroups(ctx context.Context, hub, window string, first int) ([]*model.FailureGroup, error) {
	back, err := engine.ParseLength("window", window)
	if err != nil {
		return nil, err
	}
	found, err := r.engine.FailureGroups(ctx, hub, back, first)
	if err != nil {
		return nil, err
	}
	out := make([]*model.FailureGroup, len(found))
	for i, g := range found {
		if model.Redacted(ctx) {
			g.Message = ""
		}
		out[i] = &model.FailureGroup{
			Name: g.Name, FailureType: text(g.Type), Message: g.Message, Count: g.Count, FirstAt: g.FirstAt, LastAt: g.LastAt, NewestInstanceID: g.Newest,
		}
	}
	return out, nil
}
