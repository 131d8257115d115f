package graph

import (
	"context"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

const maxSpans = 5000

// timeline folds the history of an instance.
func (r *Resolver) timeline(ctx context.Context, i *engine.Instance, limit int) (*model.Timeline, error) {
	if err := check("maxSpans", limit, 0, maxSpans); err != nil {
		return nil, err
	}
	t, err := r.engine.Timeline(ctx, i, limit)
	if err != nil {
		return nil, err
	}
	out := &model.Timeline{
		Spans: make([]*model.TimelineSpan, len(t.Spans)), Total: int32(t.Total), Turns: int32(t.Turns), Events: int32(t.Events), Truncated: t.Truncated,
	}
	for n := range t.Spans {
		s := &t.Spans[n]
		out.Spans[n] = &model.TimelineSpan{
			Kind: model.TimelineSpanKind(s.Kind), State: model.TimelineSpanState(s.State), Name: s.Name, From: s.From, BegunAt: s.BegunAt, To: s.To, Seq: s.Seq,
			Attempts: int32(s.Attempts), Worker: text(s.Worker), InstanceID: text(s.InstanceID), Failure: model.NewFailure(s.Failure), DueAt: s.DueAt,
		}
		if s.TaskID >= 0 {
			out.Spans[n].TaskID = &s.TaskID
		}
	}
	return out, nil
}

// pending lists the messages that an instance has not taken in.
func (r *Resolver) pending(ctx context.Context, i *engine.Instance, first int) ([]*model.PendingMessage, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	found, err := r.engine.PendingMessages(ctx, i, first)
	if err != nil {
		return nil, err
	}
	out := make([]*model.PendingMessage, len(found))
	for n, m := range found {
		out[n] = &model.PendingMessage{
			ID: m.ID, Kind: model.PendingMessageKind(m.Kind), Name: text(m.Name), At: m.At, Value: model.NewPayload(m.Value, r.engine.ReadValue), Held: m.Held,
		}
		if m.TaskID >= 0 {
			out[n].TaskID = &m.TaskID
		}
	}
	return out, nil
}
