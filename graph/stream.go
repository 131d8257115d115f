package graph

import (
	"context"
	"errors"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph/model"
)

const (
	// frameEvery is the shortest time between two frames of one subscription.
	frameEvery = 250 * time.Millisecond
	// retryEvery is how soon a frame is tried again that the database did not answer.
	retryEvery = time.Second
	// eventsPerFrame bounds a frame of history.
	eventsPerFrame = 500
)

// live runs a subscription to an instance: frame is called at once, and then whenever it has changed, at most four
// times a second. The engine's subscription holds only which instances have changed, never what happened, so a slow
// client costs nothing but its own delay. While the database does not answer, the stream waits; then it begins
// anew, as it does when notifications were missed.
func live[T any](ctx context.Context, r *Resolver, no int64, frame func(sub *engine.Subscription, changed map[int64]engine.Change, resync bool, send func(T) bool) error) (<-chan T, error) {
	if err := r.streams.enter(); err != nil {
		return nil, err
	}
	sub, err := r.engine.SubscribeTo(ctx, no)
	if err != nil {
		r.streams.leave()
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
		defer r.streams.leave()
		defer close(out)
		defer sub.Close()
		again := false
		for {
			if !again {
				select {
				case <-ctx.Done():
					return
				case <-sub.C:
				}
			}
			changed, resync := sub.Take()
			scopeOf(ctx).reset()
			err := frame(sub, changed, resync || again, send)
			wait := frameEvery // from here on, so that two frames never begin closer to each other
			if again = err != nil; again {
				if ctx.Err() != nil || errors.Is(err, engine.ErrNotFound) { // nobody is there any more, or nothing
					return
				}
				r.log.WarnContext(ctx, "subscription waits for the database", logkey.RequestID, requestID(ctx), logkey.Err, err)
				wait = retryEvery
			}
			rest := time.NewTimer(wait)
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

// watchOne is the subscription to one instance. It ends when the instance is purged.
func (r *Resolver) watchOne(ctx context.Context, hub, id string) (<-chan *model.Orchestration, error) {
	first, err := r.engine.Get(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	no := first.No()
	return live(ctx, r, no, func(sub *engine.Subscription, changed map[int64]engine.Change, resync bool, send func(*model.Orchestration) bool) error {
		if c, mine := changed[no]; (!mine || c.OnlyProgress) && !resync {
			return nil
		}
		i, err := r.engine.Get(ctx, hub, id)
		if err != nil {
			return err
		}
		if i.No() != no {
			no = i.No()
			sub.Follow(no)
		}
		send(&model.Orchestration{Instance: i})
		return nil
	})
}

// stale tells that a client which has a history up to a number has that of an older generation, or of an instance
// that is gone and had the same id.
func stale(i *engine.Instance, after int64) bool {
	return after > 0 && after < i.FirstSeq-1 || after > i.Seq
}

// watchHistory is the subscription to the history of one instance. What there is already comes in frames that
// follow each other at once; what is added, at the pace of frames.
func (r *Resolver) watchHistory(ctx context.Context, hub, id string, after int64) (<-chan *model.HistoryPage, error) {
	first, err := r.engine.Get(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	var (
		no, base = first.No(), first.FirstSeq
		started  bool
		reset    bool // until it is sent
	)
	return live(ctx, r, no, func(sub *engine.Subscription, changed map[int64]engine.Change, resync bool, send func(*model.HistoryPage) bool) error {
		if c, mine := changed[no]; (!mine || c.OnlyProgress) && !resync {
			return nil
		}
		i, err := r.engine.Get(ctx, hub, id)
		if err != nil {
			return err
		}
		if stale(i, after) || i.No() != no || i.FirstSeq != base {
			no, base, after, reset = i.No(), i.FirstSeq, 0, true
			sub.Follow(no)
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
			if !send(&model.HistoryPage{Events: r.events(events), LastSeq: after, HasMore: more, Reset: reset}) {
				return nil
			}
			if reset = false; !more {
				return nil
			}
		}
	})
}
