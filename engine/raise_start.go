package engine

import (
	"context"
	"errors"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// errLive tells RaiseOrStart that the instance it was to start is there and live.
var errLive = errors.New("the instance is live")

// RaiseOrStart delivers an event to the instance with the id of s, and starts that instance if there is none: both in
// one commit, so that of many callers at once one starts it and all their events are in its inbox. An instance that
// has ended gives way as s.Reuse says; one that is live never does. r.Instance may be left empty. Errors: those of
// Start and of Raise; ALREADY_EXISTS when the instance has ended and does not give way.
func (e *Engine) RaiseOrStart(ctx context.Context, r RaiseRequest, s StartRequest) (Started, error) {
	switch {
	case s.ID == "":
		return Started{}, invalid("id", "must not be empty: an id that is made up names no instance to raise the event to")
	case r.Instance != "" && r.Instance != s.ID:
		return Started{}, invalid("instance", "is not the id of the instance to start")
	case r.Hub != "" && r.Hub != s.Hub:
		return Started{}, invalid("hub", "is not the hub of the instance to start")
	case s.Reuse.Existing:
		return Started{}, invalid("reuse", "an event cannot be raised to an instance that has ended: it must give way, or the call is refused")
	}
	for _, status := range s.Reuse.Replace {
		if status.Live() {
			return Started{}, invalid("reuse", "an instance that is %s gets the event: it does not give way", status)
		}
	}
	r.Hub, r.Instance = s.Hub, s.ID
	hub, err := e.hub(ctx, s.Hub)
	if err != nil {
		return Started{}, err
	}
	if err := first(e.check(&s, -1), e.checkRaise(&r)); err != nil {
		return Started{}, err
	}
	for {
		// Each round that comes to nothing means that somebody else has started the instance, or ended it.
		err := e.Raise(ctx, r)
		switch {
		case err == nil:
			no, _ := e.ids.get(instanceName{hub.no, s.ID})
			return Started{ID: s.ID, Existing: true, no: no}, nil
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrWrongState):
			return Started{}, err
		}
		started, err := e.startWith(ctx, hub, &r, &s)
		if !errors.Is(err, errLive) {
			return started, err
		}
	}
}

// startWith starts an instance that has an event in its inbox. Errors: errLive when it is there.
func (e *Engine) startWith(ctx context.Context, hub *Hub, r *RaiseRequest, req *StartRequest) (Started, error) {
	s, large, err := e.newStart(ctx, hub, req)
	if err != nil {
		return Started{}, err
	}
	payload, more, err := e.externalizeCopy(ctx, s.no, r.Input)
	if err != nil {
		return Started{}, err
	}
	origin := e.cfg.Tracing.Below(ctx)
	u, err := e.raised(s.no, append(large, more...), r, payload, &origin)
	if err != nil {
		return Started{}, err
	}
	u.starts = []start{s}
	u.conflict = func(u *unit, _ int, taken store.FindInstancesRow) bool {
		replaced, _, err := req.Reuse.decide(taken)
		switch {
		case err != nil:
		case replaced != nil:
			u.purges = append(u.purges[:0], *replaced)
			return true
		case statusOf(taken.Status).Live():
			err = errLive
		default:
			err = idTaken("id", req.ID)
		}
		u.done(u, outcome{err: err})
		return false
	}
	if _, err := e.commit(ctx, u); err != nil {
		return Started{}, err
	}
	e.cfg.Tracing.End(&origin, eventSpan(r.Name), tracing.Producer, nil, eventAttrs(r.Name, req.ID)...)
	e.ids.put(instanceName{hub.no, req.ID}, s.no)
	return Started{ID: req.ID, no: s.no}, nil
}

// WaitStarted returns an instance once a worker has taken it up, or it has ended without, or ctx's error (DTS:
// waitForInstanceStart, O-59). Errors: NOT_FOUND.
func (e *Engine) WaitStarted(ctx context.Context, hub, id string) (*Instance, error) {
	i, err := e.Get(ctx, hub, id)
	if err != nil || i.begun() {
		return i, err
	}
	sub, err := e.SubscribeTo(ctx, i.no)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	for { // a subscription begins with a resync, so the instance is read again first
		select {
		case <-sub.C:
		case <-ctx.Done():
			return i, ctx.Err()
		}
		if changed, resync := sub.Take(); !resync {
			if _, mine := changed[i.no]; !mine {
				continue
			}
		}
		if i, err = e.Get(ctx, hub, id); err != nil || i.begun() {
			return i, err
		}
	}
}

// begun tells that a worker has taken the instance up, or that none will.
func (i *Instance) begun() bool { return i.StartedAt != nil || !i.Status.Live() }
