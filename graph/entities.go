package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// callWait is how long a call of an entity waits for the answer: less than a request may take.
const callWait = 8 * time.Second

func (r *Resolver) entityOf(e *engine.Entity) *model.Entity {
	return &model.Entity{Entity: e, Read: r.engine.ReadValue}
}

// entity reads an entity; nil if there is none.
func (r *Resolver) entity(ctx context.Context, hub string, id engine.EntityID) (*model.Entity, error) {
	if engine.CheckEntity("entity", id) != nil { // no entity has such an id
		return nil, nil //nolint:nilerr // what is no id names nothing
	}
	e, err := absent(r.engine.Entity(ctx, hub, id))
	if e == nil || err != nil {
		return nil, err
	}
	return r.entityOf(e), nil
}

// signalOf reads the API's form of a request to an entity.
func signalOf(hub, name, key, operation string, input graphql.Omittable[json.RawMessage]) engine.SignalRequest {
	s := engine.SignalRequest{Hub: hub, Entity: engine.EntityID{Name: strings.ToLower(name), Key: key}, Operation: operation}
	if input.IsSet() {
		s.Input = value(input.Value())
	}
	return s
}

// entityErrors are a mutation's errors, with what the API calls the engine's arguments.
func entityErrors(err error) ([]*model.UserError, error) {
	field := map[string]string{"entity.name": "name", "entity.key": "key", "entity": "key"}
	var coded *engine.Error
	of := ""
	if errors.As(err, &coded) {
		of = field[coded.Field] // else a key is an idempotency key
	}
	errs, err := userErrors(err)
	for _, e := range errs {
		if of != "" {
			e.Path = []string{"input", of}
		}
	}
	return errs, err
}

// entityChanged is the payload of a mutation: the entity as it is afterwards.
func (r *Resolver) entityChanged(ctx context.Context, hub string, id engine.EntityID, err error) (*model.EntityPayload, error) {
	errs, err := entityErrors(err)
	if err != nil {
		return nil, err
	}
	out := &model.EntityPayload{Errors: errs, RequestID: requestID(ctx)}
	out.Entity, err = r.entity(ctx, hub, id)
	return out, err
}

// callEntity calls an operation and waits a while for its answer.
func (r *Resolver) callEntity(ctx context.Context, s engine.SignalRequest) (*model.CallEntityPayload, error) {
	waiting, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	result, err := r.engine.CallEntity(waiting, s)
	out := &model.CallEntityPayload{RequestID: requestID(ctx)}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		out.TimedOut, err = true, nil
	}
	if out.Errors, err = entityErrors(err); err != nil {
		return nil, err
	}
	out.Result, out.Failure = model.NewPayload(result.Output, r.engine.ReadValue), model.NewFailure(result.Failure)
	out.Entity, err = r.entity(ctx, s.Hub, s.Entity)
	return out, err
}

// entities reads a page of a hub's entities.
func (r *Resolver) entities(ctx context.Context, hub string, filter *model.EntityFilter, first int, after *string) (*model.EntityConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	f := engine.EntityFilter{Hub: hub, Limit: first + 1}
	if filter != nil {
		f.Name, f.KeyPrefix = deref(filter.Name.Value()), deref(filter.KeyPrefix.Value())
		f.Locked = deref(filter.Locked.Value())
		f.ModifiedFrom, f.ModifiedTo = deref(filter.ModifiedFrom.Value()), deref(filter.ModifiedTo.Value())
	}
	list := fmt.Sprintf("entities %q %q %q %v %v %v", hub, strings.ToLower(f.Name), f.KeyPrefix, f.Locked, f.ModifiedFrom.UTC(), f.ModifiedTo.UTC())
	if after != nil {
		if err := r.cursors.open(list, *after, &f.After); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.Entities(ctx, f)
	if err != nil {
		return nil, renamed(err, map[string]string{
			"filter.name": "filter.name", "keyPrefix": "filter.keyPrefix", "modifiedTo": "filter.modifiedTo", "limit": "first",
		})
	}
	p := pageOf(found, first, after,
		func(e *engine.Entity) string { return r.cursors.seal(list, e.ID.String()) },
		r.entityOf,
		func(cursor string, node *model.Entity) *model.EntityEdge {
			return &model.EntityEdge{Cursor: cursor, Node: node}
		})
	return &model.EntityConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}
