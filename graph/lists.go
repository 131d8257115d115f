package graph

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph/model"
)

type pageArgs struct {
	first  *int32
	last   *int32
	after  *string
	before *string
}

// page reads a page of a hub's instances, from either end.
func (r *Resolver) page(ctx context.Context, hub string, filter *model.OrchestrationFilter, a pageArgs) (*model.OrchestrationConnection, error) {
	f, err := filterOf(filter)
	if err != nil {
		return nil, err
	}
	backwards := a.last != nil || (a.before != nil && a.first == nil)
	if a.first != nil && a.last != nil || a.after != nil && a.before != nil || backwards && a.after != nil || !backwards && a.before != nil {
		return nil, refuse(codeInvalid, "use first with after, or last with before")
	}
	limit, name, from := defaultPage, "first", a.after
	if a.first != nil {
		limit = int(*a.first)
	}
	if backwards {
		name, from = "last", a.before
		if a.last != nil {
			limit = int(*a.last)
		}
	}
	if err := check(name, limit, 0, maxPage); err != nil {
		return nil, err
	}
	page := engine.Page{Limit: limit + 1, Ascending: backwards} // one more tells whether there is more
	if from != nil {
		if page.After, err = r.cursors.position(hub, f, *from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.List(ctx, hub, f, page)
	if err != nil {
		return nil, err
	}
	more := len(found) > limit
	if more {
		found = found[:limit]
	}
	if backwards {
		slices.Reverse(found)
	}
	out := &model.OrchestrationConnection{
		Nodes: orchestrations(found), Edges: make([]*model.OrchestrationEdge, len(found)), PageInfo: &model.PageInfo{}, Hub: hub, Filter: f,
	}
	for i, node := range out.Nodes {
		out.Edges[i] = &model.OrchestrationEdge{Cursor: r.cursors.place(hub, f, node.Instance), Node: node}
	}
	if n := len(out.Edges); n > 0 {
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &out.Edges[0].Cursor, &out.Edges[n-1].Cursor
	}
	if backwards {
		out.PageInfo.HasPreviousPage, out.PageInfo.HasNextPage = more, a.before != nil
	} else {
		out.PageInfo.HasNextPage, out.PageInfo.HasPreviousPage = more, a.after != nil
	}
	return out, nil
}

// counts counts instances by status.
func (r *Resolver) counts(ctx context.Context, hub string, f engine.Filter, limit int) (*model.StatusCounts, error) {
	if err := check("limit", limit, 1, maxCount); err != nil {
		return nil, err
	}
	counts, exact, err := r.engine.Counts(ctx, hub, f, limit)
	if err != nil {
		return nil, err
	}
	out := &model.StatusCounts{
		Pending: int32(counts[history.Pending]), Running: int32(counts[history.Running]), Suspended: int32(counts[history.Suspended]),
		Completed: int32(counts[history.Completed]), Failed: int32(counts[history.Failed]), Canceled: int32(counts[history.Canceled]),
		Terminated: int32(counts[history.Terminated]), Exact: exact,
	}
	for _, n := range counts {
		out.All += int32(n)
	}
	out.All = min(out.All, int32(limit))
	return out, nil
}

// hubs reads a page of the hubs. There are few: they are read at once, and paged by name.
func (r *Resolver) hubs(ctx context.Context, first int, after *string) (*model.TaskHubConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	names, err := r.engine.Hubs(ctx)
	if err != nil {
		return nil, err
	}
	if mine, all := auth.From(ctx).Hubs(auth.Read); !all {
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(mine, n) })
	}
	slices.Sort(names) // not as the database's language would: below they are compared by bytes
	if after != nil {
		var name string
		if err := r.cursors.open(hubList, *after, &name); err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n <= name })
	}
	p := pageOf(names, first, after,
		func(name string) string { return r.cursors.seal(hubList, name) },
		func(name string) *model.TaskHub { return &model.TaskHub{Name: name} },
		func(cursor string, node *model.TaskHub) *model.TaskHubEdge {
			return &model.TaskHubEdge{Cursor: cursor, Node: node}
		})
	return &model.TaskHubConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

func (r *Resolver) hub(ctx context.Context, name string) (*model.TaskHub, error) {
	h, err := absent(r.engine.Hub(ctx, name))
	if h == nil || err != nil {
		return nil, err
	}
	return &model.TaskHub{Name: h.Name}, nil
}

// node finds any object by its global id; null if there is none.
func (r *Resolver) node(ctx context.Context, id string) (model.Node, error) {
	kind, hub, key, err := model.DecodeID(id)
	if err != nil {
		return nil, nil //nolint:nilerr // what is no id names nothing
	}
	if !auth.From(ctx).May(auth.Read, hub) {
		return nil, nil // as if there were none
	}
	switch kind {
	case "Orchestration":
		i, err := absent(r.engine.Get(ctx, hub, key))
		if i == nil || err != nil {
			return nil, err
		}
		return &model.Orchestration{Instance: i}, nil
	case "Schedule":
		s, err := absent(r.engine.Schedule(ctx, hub, key))
		if s == nil || err != nil {
			return nil, err
		}
		return &model.Schedule{Schedule: s}, nil
	case "BatchOperation":
		o, err := absent(r.engine.Operation(ctx, hub, key))
		if o == nil || err != nil {
			return nil, err
		}
		return &model.BatchOperation{Operation: o}, nil
	case "Entity":
		id, err := engine.ParseEntityID("id", key)
		if err != nil {
			return nil, nil //nolint:nilerr // as above
		}
		e, err := r.entity(ctx, hub, id)
		if e == nil || err != nil {
			return nil, err
		}
		return e, nil
	case "TaskHub":
		h, err := r.hub(ctx, hub)
		if h == nil || err != nil {
			return nil, err
		}
		return h, nil
	case "Worker":
		no, err := strconv.Atoi(key)
		if err != nil {
			return nil, nil //nolint:nilerr // as above
		}
		workers, err := r.workers(ctx, hub, workerMemory)
		if err != nil {
			_, err = absent[int](nil, err)
			return nil, err
		}
		for _, w := range workers {
			if int(w.No) == no {
				return &model.Worker{WorkerInfo: w}, nil
			}
		}
	}
	return nil, nil
}

// payloads reads a value of each of a list of instances at once.
func (r *Resolver) payloads(ctx context.Context, objs []*model.Orchestration, read func(context.Context, []*engine.Instance) ([]history.Payload, error)) ([]*model.Payload, error) {
	all := make([]*engine.Instance, len(objs))
	for n, o := range objs {
		all[n] = o.Instance
	}
	values, err := read(ctx, all)
	if err != nil {
		return nil, err
	}
	out := make([]*model.Payload, len(values))
	for n, v := range values {
		out[n] = model.NewPayload(v, r.engine.ReadValue)
	}
	return out, nil
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// oneLine shows a custom status in a list: a text as it is, another value as compact JSON, at most 200 bytes.
func oneLine(status []byte) string {
	var s string
	if json.Unmarshal(status, &s) != nil {
		s = string(status)
	}
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
