package graph

// The resolvers of limit.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"

	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// PutLimit is the resolver for the putLimit field.
func (r *mutationResolver) PutLimit(ctx context.Context, input model.PutLimitInput) (*model.LimitPayload, error) {
	l, err := limitOf(&input)
	if err == nil {
		_, err = r.engine.PutLimit(ctx, input.Hub, l)
	}
	return r.limitChanged(ctx, input.Hub, input.Name, err)
}

// DeleteLimit is the resolver for the deleteLimit field.
func (r *mutationResolver) DeleteLimit(ctx context.Context, input model.DeleteLimitInput) (*model.LimitPayload, error) {
	return r.limitChanged(ctx, input.Hub, input.Name, r.engine.DeleteLimit(ctx, input.Hub, input.Name))
}

// Limit is the resolver for the limit field.
func (r *queryResolver) Limit(ctx context.Context, hub, name string) (*model.Limit, error) {
	return r.limit(ctx, hub, name)
}

// Limits is the resolver for the limits field.
func (r *queryResolver) Limits(ctx context.Context, hub string, first int32, after *string) (*model.LimitConnection, error) {
	return r.limits(ctx, hub, int(first), after)
}

// Holders is the resolver for the holders field.
func (r *limitResolver) Holders(ctx context.Context, obj *model.Limit, first int32) ([]*model.LimitHolder, error) {
	return r.holders(ctx, obj, int(first))
}

// Limit returns generated.LimitResolver implementation.
func (r *Resolver) Limit() generated.LimitResolver { return &limitResolver{r} }

type limitResolver struct{ *Resolver }
