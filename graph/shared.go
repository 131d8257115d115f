package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// runs are the subscriptions to lists that are being carried out. Those with the same text, the same variables and the
// same rights are one run: its frames are read, resolved and written as JSON once for all of its members.
type runs struct {
	mu   sync.Mutex
	open map[string]*run
}

// run is one subscription that is carried out for its members.
type run struct {
	stop  context.CancelFunc
	ended chan struct{}

	// What follows belongs to its goroutine.
	feed   chan *model.OrchestrationDelta // what the resolver returned: one frame at a time
	stream *listStream
	leave  func()

	mu      sync.Mutex
	view    *view // once the resolver has accepted it
	members map[*member]bool
	over    bool // nobody may join any more
}

// member is one of those who have subscribed.
type member struct {
	out  chan *graphql.Response
	last time.Time // when it was given its last frame
	// fresh says that it needs a snapshot: it has just come, or has not taken its last frame when the next was there.
	fresh bool
}

type runContext struct{}

func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runContext{}).(*run)
	return r
}

// sharedKey tells what of a subscription to a list must be equal for two of them to be one run.
func sharedKey(ctx context.Context) (string, bool) {
	op := graphql.GetOperationContext(ctx)
	if op.Operation.Operation != ast.Subscription {
		return "", false
	}
	lists := false
	each(op.Operation.SelectionSet, func(f *ast.Field) { lists = lists || f.Name == "orchestrationChanges" })
	if !lists {
		return "", false
	}
	var rights any
	if p := auth.From(ctx); p != nil {
		rights = []any{p.Grants, p.OperatorValues}
	}
	rest, err := json.Marshal([]any{op.OperationName, op.Variables, rights})
	if err != nil { // variables came as JSON, so this cannot be
		return "", false
	}
	return strings.Join([]string{op.RawQuery, string(rest)}, "\x00"), true
}

// share lets a subscriber take part in the run of its subscription, which begins with the first.
func (h *Handler) share(ctx context.Context, key string, next graphql.OperationHandler) graphql.ResponseHandler {
	if err := h.r.streams.enter(); err != nil {
		return graphql.OneShot(graphql.ErrorResponse(ctx, "%s", err.Error()))
	}
	m := &member{out: make(chan *graphql.Response, 1), fresh: true}
	var begin func()
	h.runs.mu.Lock()
	r := h.runs.open[key]
	if r == nil || !r.add(m) {
		detached, stop := context.WithCancel(context.WithoutCancel(ctx)) // the run outlives its first member
		r = &run{stop: stop, ended: make(chan struct{}), feed: make(chan *model.OrchestrationDelta, 1), members: map[*member]bool{m: true}}
		if h.runs.open == nil {
			h.runs.open = map[string]*run{}
		}
		h.runs.open[key] = r
		begin = func() {
			inner := withScope(context.WithValue(detached, runContext{}, r))
			responses := next(inner) // calls watch
			go r.carryOut(inner, responses)
		}
	}
	h.runs.mu.Unlock()
	if begin != nil {
		begin()
	}
	context.AfterFunc(ctx, func() {
		defer h.r.streams.leave()
		h.runs.mu.Lock()
		last := r.remove(m)
		if last && h.runs.open[key] == r {
			delete(h.runs.open, key)
		}
		h.runs.mu.Unlock()
		if last {
			r.stop()
			<-r.ended
		}
	})
	return func(context.Context) *graphql.Response { // whose context may be the run's
		r.ready(m)
		select {
		case response := <-m.out: // nil once it is closed
			return response
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *run) add(m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.members[m] = true
	return true
}

// remove tells whether it was the last.
func (r *run) remove(m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[m] {
		delete(r.members, m)
		close(m.out)
	}
	r.over = r.over || len(r.members) == 0
	return len(r.members) == 0
}

// ready is for a member that waits for its next frame. One that was too slow for the last waits as long as the others
// do for a snapshot.
func (r *run) ready(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !m.fresh || r.view == nil || len(m.out) > 0 {
		return
	}
	v, s := r.view, r.stream
	if wait := frameEvery - time.Since(m.last); wait > 0 {
		time.AfterFunc(wait, func() { v.welcome(s) })
		return
	}
	v.welcome(s)
}

// watch is the resolver of the run's only field.
func (r *run) watch(ctx context.Context, from *Resolver, of viewOf, f engine.Filter) (<-chan *model.OrchestrationDelta, error) {
	s := newListStream()
	v, leave, err := from.watch(ctx, of, f, s)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.view, r.stream, r.leave = v, s, leave
	r.mu.Unlock()
	return r.feed, nil
}

// carryOut serves the members until the last has left, or there is nothing to be watched any more.
func (r *run) carryOut(ctx context.Context, responses graphql.ResponseHandler) {
	defer close(r.ended)
	if r.stream == nil { // it is refused, and so is who joins until all are told
		r.end(responses(ctx))
		return
	}
	defer r.end(nil)
	defer r.leave()
	for {
		select {
		case <-ctx.Done():
			return
		case frame, ok := <-r.stream.out:
			if !ok {
				return
			}
			scopeOf(ctx).reset()
			r.feed <- frame.delta
			response := responses(ctx)
			if response == nil {
				return
			}
			response.Data = bytes.Clone(response.Data) // its buffer is used again for the next
			r.hand(frame, response)
		}
	}
}

// hand gives a response to the members that it is for. It waits for none: one that has not taken the last will begin
// anew.
func (r *run) hand(frame listFrame, response *graphql.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.members {
		switch {
		case m.fresh && !frame.delta.Reset, !m.fresh && frame.only:
		case len(m.out) > 0:
			m.fresh = true
		default:
			m.fresh, m.last = false, time.Now()
			m.out <- response
		}
	}
}

// end lets nobody join any more, and ends those who are there once they have taken their last frame, which is last unless
// that is nil.
func (r *run) end(last *graphql.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for m := range r.members {
		if last != nil {
			m.out <- last // the first it is given
		}
		delete(r.members, m)
		close(m.out)
	}
}
