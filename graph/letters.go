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
	out := &model.DeadLetterConnection{
		Nodes: []*model.DeadLetter{}, Edges: []*model.DeadLetterEdge{},
		PageInfo: &model.PageInfo{HasNextPage: len(found) > first, HasPreviousPage: after != nil},
	}
	for _, d := range found[:min(first, len(found))] {
		node := &model.DeadLetter{
			InstanceID: d.InstanceID, Name: d.Name, Deaths: int32(d.Deaths), Worker: d.Worker, LastAt: d.LastAt, HeldAt: d.HeldAt,
		}
		if d.Task >= 0 {
			node.TaskID, node.Activity = &d.Task, &d.Activity
		}
		out.Nodes = append(out.Nodes, node)
		out.Edges = append(out.Edges, &model.DeadLetterEdge{Cursor: r.cursors.seal(list, d.Position()), Node: node})
	}
	if n := len(out.Edges); n > 0 {
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &out.Edges[0].Cursor, &out.Edges[n-1].Cursor
	}
	return out, nil
}
