package graph

// The resolvers of entity.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"
	"strings"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// SignalEntity is the resolver for the signalEntity field.
func (r *mutationResolver) SignalEntity(ctx context.Context, input model.SignalEntityInput) (*model.EntityPayload, error) {
	s := signalOf(input.Hub, input.Name, input.Key, input.Operation, input.Input)
	s.Key = deref(input.IdempotencyKey.Value())
	s.At = deref(input.At.Value())
	return r.entityChanged(ctx, s.Hub, s.Entity, r.engine.SignalEntity(ctx, s))
}

// CallEntity is the resolver for the callEntity field.
func (r *mutationResolver) CallEntity(ctx context.Context, input model.CallEntityInput) (*model.CallEntityPayload, error) {
	return r.callEntity(ctx, signalOf(input.Hub, input.Name, input.Key, input.Operation, input.Input))
}

// ReleaseEntityLock is the resolver for the releaseEntityLock field.
func (r *mutationResolver) ReleaseEntityLock(ctx context.Context, input model.ReleaseEntityLockInput) (*model.EntityPayload, error) {
	id := engine.EntityID{Name: strings.ToLower(input.Name), Key: input.Key}
	if strings.TrimSpace(input.Reason) == "" {
		return r.entityChanged(ctx, input.Hub, id, noReason())
	}
	return r.entityChanged(ctx, input.Hub, id, r.engine.ReleaseEntityLock(ctx, input.Hub, id))
}

// CleanEntities is the resolver for the cleanEntities field.
func (r *mutationResolver) CleanEntities(ctx context.Context, input model.CleanEntitiesInput) (*model.CleanEntitiesPayload, error) {
	done, err := r.engine.CleanEntities(ctx, input.Hub)
	errs, err := userErrors(err)
	if err != nil {
		return nil, err
	}
	return &model.CleanEntitiesPayload{Removed: int32(done.Removed), Released: int32(done.Released), Errors: errs, RequestID: requestID(ctx)}, nil
}

// Entity is the resolver for the entity field.
func (r *queryResolver) Entity(ctx context.Context, hub, name, key string) (*model.Entity, error) {
	return r.entity(ctx, hub, engine.EntityID{Name: strings.ToLower(name), Key: key})
}

// Entities is the resolver for the entities field.
func (r *queryResolver) Entities(ctx context.Context, hub string, filter *model.EntityFilter, first int32, after *string) (*model.EntityConnection, error) {
	return r.entities(ctx, hub, filter, int(first), after)
}
