package graph

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// streams counts the subscriptions of this server and bounds them.
type streams struct {
	open  atomic.Int64
	limit int64
}

const (
	// frameEvery is the shortest time between two frames of one subscription.
	frameEvery = 250 * time.Millisecond
	// maxStreams is how many subscriptions a server serves at once.
	maxStreams = 2000
	// eventsPerFrame bounds a frame of history.
	eventsPerFrame = 500
	// maxTracked is how many instances a list subscription remembers having sent.
	maxTracked = 5000
)

// live runs a subscription: frame is called at once, and then whenever something has changed, at most four times
// a second. It returns what to send, if anything. The engine's subscription holds only which instances have
// changed, never what happened, so a slow client costs nothing but its own delay.
func live[T any](ctx context.Context, r *Resolver, frame func(changed map[int64]engine.Change, resync bool, send func(T) bool) error) (<-chan T, error) {
	if r.streams.open.Add(1) > r.streams.limit {
		r.streams.open.Add(-1)
		return nil, refuse("SUBSCRIPTION_LIMIT", "this server serves %d subscriptions at most", r.streams.limit)
	}
	sub, err := r.engine.Subscribe(ctx)
	if err != nil {
		r.streams.open.Add(-1)
		return nil, err
	}
	out := make(chan T, 1)
	send := func(v T) bool {
		select {
		case out <- v:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(out)
		defer r.streams.open.Add(-1)
		defer sub.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-sub.C:
			}
			began := time.Now()
			changed, resync := sub.Take()
			if err := frame(changed, resync, send); err != nil {
				if ctx.Err() == nil && !errors.Is(err, errStreamEnds) {
					r.log.WarnContext(ctx, "subscription", "request", requestID(ctx), "error", err)
				}
				return
			}
			rest := time.NewTimer(frameEvery - time.Since(began))
			select {
			case <-ctx.Done():
				rest.Stop()
				return
			case <-rest.C:
			}
		}
	}()
	return out, nil
}

// errStreamEnds ends a subscription in order.
var errStreamEnds = errors.New("the stream ends")

// watchList is the subscription to a filtered list.
func (r *Resolver) watchList(ctx context.Context, hub string, f engine.Filter, first int) (<-chan *model.OrchestrationDelta, error) {
	var (
		seq  int32
		sent = map[int64]string{} // global ids by number
	)
	return live(ctx, r, func(changed map[int64]engine.Change, resync bool, send func(*model.OrchestrationDelta) bool) error {
		delta := &model.OrchestrationDelta{Leaves: []string{}, Reset: resync || len(sent)+len(changed) > maxTracked}
		ask, page := f, engine.Page{Limit: first}
		if !delta.Reset {
			ask.Nos = make([]int64, 0, len(changed))
			for no := range changed {
				ask.Nos = append(ask.Nos, no)
			}
			page.Limit = len(ask.Nos)
			if page.Limit == 0 {
				return nil
			}
		}
		found, err := r.engine.List(ctx, hub, ask, page)
		if err != nil {
			return err
		}
		if delta.Reset {
			clear(sent)
		}
		matched := make(map[int64]bool, len(found))
		delta.Upserts = orchestrations(found)
		for _, o := range delta.Upserts {
			matched[o.No()] = true
			sent[o.No()] = o.ID()
		}
		for _, no := range ask.Nos {
			if id, ok := sent[no]; ok && !matched[no] {
				delta.Leaves = append(delta.Leaves, id)
				delete(sent, no)
			}
		}
		if !delta.Reset && len(delta.Upserts)+len(delta.Leaves) == 0 {
			return nil
		}
		seq++
		delta.Seq = seq
		send(delta)
		return nil
	})
}

// watchOne is the subscription to one instance.
func (r *Resolver) watchOne(ctx context.Context, hub, id string) (<-chan *model.Orchestration, error) {
	first, err := r.engine.Get(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	no := first.No()
	return live(ctx, r, func(changed map[int64]engine.Change, resync bool, send func(*model.Orchestration) bool) error {
		if _, mine := changed[no]; !mine && !resync {
			return nil
		}
		i, err := r.engine.Get(ctx, hub, id)
		if errors.Is(err, engine.ErrNotFound) {
			return errStreamEnds
		}
		if err != nil {
			return err
		}
		no = i.No()
		send(&model.Orchestration{Instance: i})
		return nil
	})
}

// watchHistory is the subscription to the history of one instance.
func (r *Resolver) watchHistory(ctx context.Context, hub, id string, after int64) (<-chan *model.HistoryPage, error) {
	first, err := r.engine.Get(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	no, base, started := first.No(), first.FirstSeq, false
	return live(ctx, r, func(changed map[int64]engine.Change, resync bool, send func(*model.HistoryPage) bool) error {
		if _, mine := changed[no]; !mine && !resync {
			return nil
		}
		i, err := r.engine.Get(ctx, hub, id)
		if errors.Is(err, engine.ErrNotFound) {
			return errStreamEnds
		}
		if err != nil {
			return err
		}
		reset := i.FirstSeq != base || i.No() != no
		if reset {
			no, base, after = i.No(), i.FirstSeq, 0
		}
		for {
			events, more, err := r.engine.History(ctx, i, after, eventsPerFrame, false)
			if err != nil {
				return err
			}
			if len(events) == 0 && started && !reset {
				return nil
			}
			if len(events) > 0 {
				after = events[len(events)-1].Seq
			}
			started = true
			if !send(&model.HistoryPage{Events: r.events(i, events), LastSeq: after, HasMore: more, Reset: reset}) || !more {
				return nil
			}
			reset = false
		}
	})
}
