package graph

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// deadLetters reads a page of a hub's dead letters.
func (r *Resolver) deadLetters(ctx context.Context, hub string, first int, after *string) (*model.DeadLetterConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	list := fmt.Sprintf("dead letters %q", hub)
	var from *engine.LetterPosition
	if after != nil {
		from = &engine.LetterPosition{}
		if err := r.cursors.open(list, *after, from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.DeadLetters(ctx, hub, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(d *engine.DeadLetter) string { return r.cursors.seal(list, d.Position()) },
		letterOf,
		func(cursor string, node *model.DeadLetter) *model.DeadLetterEdge {
			return &model.DeadLetterEdge{Cursor: cursor, Node: node}
		})
	return &model.DeadLetterConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

func letterOf(d *engine.DeadLetter) *model.DeadLetter {
	out := &model.DeadLetter{InstanceID: d.InstanceID, Name: d.Name, Deaths: int32(d.Deaths), Worker: d.Worker, LastAt: d.LastAt, HeldAt: d.HeldAt}
	if d.Task >= 0 {
		out.TaskID, out.Activity = &d.Task, &d.Activity
	}
	return out
}
