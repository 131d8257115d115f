package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph/model"
)

const (
	// maxTracked is how many instances a list subscription remembers having sent, and maxDelta how many may have
	// changed since the last frame. Beyond either it starts anew, with a snapshot.
	maxTracked = 5000
	maxDelta   = 500
)

// views are the lists that are watched. Who watches the same list of the same hub shares one view: it reads from
// Postgres once for all of them, so what two hundred open dashboards cost the engine is what one does.
type views struct {
	mu   sync.Mutex
	open map[viewKey]*view
}

func (v *views) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.open)
}

// viewOf is which list a view shows: the newest so many of a hub.
type viewOf struct {
	hub   string
	first int
}

type viewKey struct {
	viewOf
	filter string // as JSON
}

// view is a list that is watched. Its goroutine reads what has changed, at most four times a second, and hands it
// to its streams; it never waits for one.
type view struct {
	viewOf
	r      *Resolver
	filter engine.Filter
	sub    *engine.Subscription
	joined chan struct{} // somebody has joined
	stop   context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	streams map[*listStream]bool
	gone    bool // the hub is: nobody may join any more

	// What follows belongs to the goroutine.
	sent map[int64]string   // global ids by number, of what anybody was sent
	last []*engine.Instance // the last snapshot, as long as no delta has followed it
}

// listStream is what a view serves: all who watch the list with the same selection of fields.
type listStream struct {
	out chan listFrame
	seq int32
	// behind says that it needs a snapshot: it has just come, or has not taken its last frame when the next was there.
	behind bool
	// newcomers says that some of those who watch need one.
	newcomers bool
}

// listFrame is a frame on its way to those who watch.
type listFrame struct {
	delta *model.OrchestrationDelta
	// only says that it is for newcomers only: the others have it already.
	only bool
}

func newListStream() *listStream { return &listStream{out: make(chan listFrame, 1), behind: true} }

// watch serves a stream with a list until leave is called, or the hub is gone; then out is closed. Errors: NOT_FOUND.
func (r *Resolver) watch(ctx context.Context, of viewOf, f engine.Filter, s *listStream) (v *view, leave func(), err error) {
	if _, err := r.engine.Hub(ctx, of.hub); err != nil {
		return nil, nil, err
	}
	filter, err := json.Marshal(f)
	if err != nil {
		return nil, nil, fmt.Errorf("watch list: %w", err)
	}
	key := viewKey{of, string(filter)}
	if v, err = r.join(ctx, key, f, s); err != nil {
		return nil, nil, err
	}
	return v, func() { r.part(key, v, s) }, nil
}

// join adds a stream to the view of its list, which it opens if there is none.
func (r *Resolver) join(ctx context.Context, key viewKey, f engine.Filter, s *listStream) (*view, error) {
	r.views.mu.Lock()
	defer r.views.mu.Unlock()
	if v := r.views.open[key]; v != nil && v.add(s) {
		return v, nil
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	sub, err := r.engine.Subscribe(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	v := &view{
		viewOf: key.viewOf, r: r, filter: f, sub: sub, stop: stop, joined: make(chan struct{}, 1), ended: make(chan struct{}),
		streams: map[*listStream]bool{s: true}, sent: map[int64]string{},
	}
	if r.views.open == nil {
		r.views.open = map[viewKey]*view{}
	}
	r.views.open[key] = v
	go v.run(run)
	return v, nil
}

// part takes a stream out of its view, and ends the view with its last one.
func (r *Resolver) part(key viewKey, v *view, s *listStream) {
	r.views.mu.Lock()
	last := v.remove(s)
	if last && r.views.open[key] == v {
		delete(r.views.open, key)
	}
	r.views.mu.Unlock()
	if last {
		v.stop()
		<-v.ended
	}
}

func (v *view) add(s *listStream) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		return false
	}
	v.streams[s] = true
	v.poke()
	return true
}

// welcome asks for a snapshot for those who have just come to a stream.
func (v *view) welcome(s *listStream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.newcomers = true
	v.poke()
}

func (v *view) poke() {
	select {
	case v.joined <- struct{}{}:
	default:
	}
}

// remove tells whether it was the last.
func (v *view) remove(s *listStream) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.streams[s] {
		delete(v.streams, s)
		close(s.out)
	}
	return len(v.streams) == 0
}

// run serves the streams until the last has left, or the hub is gone. While the database does not answer, they wait;
// then they begin anew, as they do when notifications were missed.
func (v *view) run(ctx context.Context) {
	defer close(v.ended)
	defer v.sub.Close()
	rest := time.NewTimer(0) // until the next frame may begin
	defer rest.Stop()
	<-rest.C
	var (
		resting, again bool
		ready          = v.sub.C
	)
	for {
		newcomers := false
		select {
		case <-ctx.Done():
			return
		case <-ready:
		case <-rest.C:
			resting, ready = false, v.sub.C
			if waiting, ready := v.behind(); !again && !ready {
				if waiting { // for a client that takes its frame
					rest.Reset(frameEvery)
					resting = true
				}
				continue
			}
		case <-v.joined:
			newcomers = resting // they do not wait for the others' next frame
		}
		var err error
		if newcomers {
			err = v.snapshot(ctx)
		} else {
			err = v.frame(ctx, again)
		}
		wait := frameEvery // from here on, so that two frames never begin closer to each other
		switch {
		case err == nil:
			again = again && newcomers
		case ctx.Err() != nil:
			return
		case errors.Is(err, engine.ErrNotFound):
			v.end()
			return
		default:
			v.r.log.WarnContext(ctx, "a watched list waits for the database", logkey.Hub, v.hub, logkey.Err, err)
			again, wait = true, retryEvery
		}
		if !newcomers || again {
			rest.Reset(wait)
			resting, ready = true, nil
		}
	}
}

// end is for a hub that is gone.
func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone = true
	for s := range v.streams {
		delete(v.streams, s)
		close(s.out)
	}
}

// behind tells whether a stream needs a snapshot, and whether one of those can take it.
func (v *view) behind() (waiting, ready bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := range v.streams {
		needs := s.behind || s.newcomers
		waiting = waiting || needs
		ready = ready || needs && len(s.out) == 0
	}
	return waiting, ready
}

// frame reads what has changed and hands it out: a delta, or, if anything may have changed, a snapshot.
func (v *view) frame(ctx context.Context, again bool) error {
	changed, resync := v.sub.Take()
	if again = again || resync; again || len(changed) > maxDelta || len(v.sent)+len(changed) > maxTracked {
		return v.anew(ctx, again)
	}
	ask := v.filter
	ask.Nos = make([]int64, 0, len(changed))
	for no, c := range changed {
		if !c.OnlyProgress {
			ask.Nos = append(ask.Nos, no)
		}
	}
	if len(ask.Nos) > 0 {
		found, err := v.r.engine.List(ctx, v.hub, ask, engine.Page{Limit: len(ask.Nos)})
		if err != nil {
			return err
		}
		matched := make(map[int64]bool, len(found))
		for _, i := range found {
			matched[i.No()] = true
			v.sent[i.No()] = model.EncodeID("Orchestration", i.Hub, i.ID)
		}
		leaves := []string{}
		for _, no := range ask.Nos {
			if id, ok := v.sent[no]; ok && !matched[no] {
				leaves = append(leaves, id)
				delete(v.sent, no)
			}
		}
		if len(found)+len(leaves) > 0 {
			v.last = nil
			v.hand(false, found, leaves)
		}
	}
	return v.snapshot(ctx)
}

// snapshot gives those who are behind the present list.
func (v *view) snapshot(ctx context.Context) error {
	if _, ready := v.behind(); !ready {
		return nil
	}
	found, err := v.r.engine.List(ctx, v.hub, v.filter, engine.Page{Limit: v.first})
	if err != nil {
		return err
	}
	for _, i := range found {
		v.sent[i.No()] = model.EncodeID("Orchestration", i.Hub, i.ID)
	}
	v.last = nil
	v.hand(true, found, []string{})
	return nil
}

// anew gives everybody the present list. Where only much has changed, and nothing was missed, the list may be the
// same: then those who have it hear nothing.
func (v *view) anew(ctx context.Context, missed bool) error {
	found, err := v.r.engine.List(ctx, v.hub, v.filter, engine.Page{Limit: v.first})
	if err != nil {
		return err
	}
	same := !missed && v.last != nil && reflect.DeepEqual(v.last, found)
	v.last = found
	clear(v.sent)
	for _, i := range found {
		v.sent[i.No()] = model.EncodeID("Orchestration", i.Hub, i.ID)
	}
	if !same {
		v.mu.Lock()
		for s := range v.streams {
			s.behind = true
		}
		v.mu.Unlock()
	}
	v.hand(true, found, []string{})
	return nil
}

// hand gives a frame to the streams that it is for: a snapshot to those that need one, a delta to the others. Who has
// not taken the last one is behind from then on.
func (v *view) hand(reset bool, found []*engine.Instance, leaves []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := range v.streams {
		if s.behind && !reset || reset && !s.behind && !s.newcomers {
			continue
		}
		if len(s.out) > 0 {
			s.behind = true
			continue
		}
		only := reset && !s.behind
		if !only {
			s.seq++
		}
		if reset {
			s.behind, s.newcomers = false, false
		}
		s.out <- listFrame{&model.OrchestrationDelta{Seq: s.seq, Reset: reset, Upserts: orchestrations(found), Leaves: leaves}, only}
	}
}
