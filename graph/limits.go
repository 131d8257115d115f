package graph

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// limitOf reads the API's form of a limit. What bounds nothing is left out there, so that a 0 is refused: nobody can take it
// for "none may pass". Errors: INVALID_ARGUMENT.
func limitOf(in *model.PutLimitInput) (engine.Limit, error) {
	l := engine.Limit{Name: in.Name}
	for _, n := range []struct {
		field string
		value *int32
		into  *int
	}{{"concurrency", in.Concurrency.Value(), &l.Concurrency}, {"rate", in.Rate.Value(), &l.Rate}, {"burst", in.Burst.Value(), &l.Burst}} {
		if n.value == nil {
			continue
		}
		if *n.value == 0 {
			return l, &engine.Error{Code: engine.CodeInvalid, Field: n.field, Message: "is 0, allowed are 1 to 1000000; leave it out for no bound"}
		}
		*n.into = int(*n.value)
	}
	if text := in.Period.Value(); text != nil {
		v, err := engine.ParseLength("period", *text)
		if err != nil {
			return l, err
		}
		if v == 0 { // which is a second to the engine
			return l, &engine.Error{Code: engine.CodeInvalid, Field: "period", Message: "is 0s, must be positive; leave it out for a second"}
		}
		l.Period = v
	}
	return l, nil
}

// limit reads a limit; nil if there is none.
func (r *Resolver) limit(ctx context.Context, hub, name string) (*model.Limit, error) {
	l, err := absent(r.engine.Limit(ctx, hub, name))
	if l == nil || err != nil {
		return nil, err
	}
	return &model.Limit{LimitState: l}, nil
}

// limitChanged is the payload of a mutation: the limit as it is afterwards.
func (r *Resolver) limitChanged(ctx context.Context, hub, name string, err error) (*model.LimitPayload, error) {
	errs, err := userErrors(err)
	if err != nil {
		return nil, err
	}
	l, err := r.limit(ctx, hub, name)
	if err != nil {
		return nil, err
	}
	return &model.LimitPayload{Limit: l, Errors: errs, RequestID: requestID(ctx)}, nil
}

// limits reads a page of a hub's limits.
func (r *Resolver) limits(ctx context.Context, hub string, first int, after *string) (*model.LimitConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	list := fmt.Sprintf("limits %q", hub)
	from := ""
	if after != nil {
		if err := r.cursors.open(list, *after, &from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.Limits(ctx, hub, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(l *engine.LimitState) string { return r.cursors.seal(list, l.Name) },
		func(l *engine.LimitState) *model.Limit { return &model.Limit{LimitState: l} },
		func(cursor string, node *model.Limit) *model.LimitEdge {
			return &model.LimitEdge{Cursor: cursor, Node: node}
		})
	return &model.LimitConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

// holders lists the calls that are under way within a limit.
func (r *Resolver) holders(ctx context.Context, l *model.Limit, first int) ([]*model.LimitHolder, error) {
	if err := check("first", first, 1, maxPage); err != nil {
		return nil, err
	}
	found, err := r.engine.Holders(ctx, l.Hub, l.Name, first)
	if err != nil {
		return nil, err
	}
	out := make([]*model.LimitHolder, len(found))
	for i, h := range found {
		out[i] = &model.LimitHolder{InstanceID: h.InstanceID, Generation: int32(h.Generation), TaskID: h.Task, Key: text(h.Key), Since: h.Since}
	}
	return out, nil
}
