package graph

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// recordsPerFrame bounds a frame of progress.
const recordsPerFrame = 100

func (r *Resolver) records(said []engine.Progress) []*model.ProgressRecord {
	out := make([]*model.ProgressRecord, len(said))
	for n, p := range said {
		out[n] = &model.ProgressRecord{Progress: p, Read: r.engine.ReadValue}
	}
	return out
}

// progress reads a page of an instance's progress.
func (r *Resolver) progress(ctx context.Context, i *engine.Instance, first int, after *string) (*model.ProgressConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	list := fmt.Sprintf("progress %d", i.No())
	var from int64
	if after != nil {
		if err := r.cursors.open(list, *after, &from); err != nil {
			return nil, err
		}
	}
	said, more, err := r.engine.Progress(ctx, i, from, first)
	if err != nil {
		return nil, err
	}
	out := &model.ProgressConnection{
		Nodes: r.records(said), Edges: make([]*model.ProgressEdge, len(said)),
		PageInfo: &model.PageInfo{HasNextPage: more, HasPreviousPage: from > 0},
	}
	for n, node := range out.Nodes {
		out.Edges[n] = &model.ProgressEdge{Cursor: r.cursors.seal(list, node.Seq), Node: node}
	}
	if n := len(out.Edges); n > 0 {
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &out.Edges[0].Cursor, &out.Edges[n-1].Cursor
	}
	return out, nil
}

// watchProgress is the subscription to the progress of one instance.
func (r *Resolver) watchProgress(ctx context.Context, hub, id string, after int64) (<-chan *model.ProgressPage, error) {
	if after < 0 {
		return nil, refuse(codeInvalid, "after is %d, must not be negative", after)
	}
	first, err := r.engine.Get(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	// One that has less than the client has had is another instance with the id of one that was purged.
	last, err := r.engine.LastProgress(ctx, first)
	if err != nil {
		return nil, err
	}
	var (
		no      = first.No()
		started bool
		reset   = after > last
	)
	if reset {
		after = 0
	}
	return live(ctx, r, no, func(sub *engine.Subscription, changed map[int64]engine.Change, resync bool, send func(*model.ProgressPage) bool) error {
		if c, mine := changed[no]; (!mine || !c.Progress && c.Status.Live()) && !resync {
			return nil
		}
		i, err := r.engine.Get(ctx, hub, id)
		if err != nil {
			return err
		}
		if i.No() != no {
			no, after, reset = i.No(), 0, true
			sub.Follow(no)
		}
		for {
			said, more, err := r.engine.Progress(ctx, i, after, recordsPerFrame)
			if err != nil {
				return err
			}
			if len(said) == 0 && started && !reset {
				return nil
			}
			if len(said) > 0 {
				after = said[len(said)-1].Seq
			}
			started = true
			if !send(&model.ProgressPage{Records: r.records(said), LastSeq: after, HasMore: more, Reset: reset}) {
				return nil
			}
			if reset = false; !more {
				return nil
			}
		}
	})
}
