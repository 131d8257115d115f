package graph

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph/model"
)

const (
	// operationEvery, workersEvery and statsEvery are how often is read what the engine does not announce: one row, a few,
	// and up to 50,000 of each outcome.
	operationEvery = frameEvery
	workersEvery   = time.Second
	statsEvery     = 5 * time.Second
	// maxOnline is how many workers of a hub are watched.
	maxOnline = 1000
)

// watched is what somebody reads again and again. Who watches the same thing reads it together: one of them asks
// Postgres, and the others take its answer for as long as half of the pace.
type watched struct {
	mu   sync.Mutex
	open map[any]*lastRead
}

type lastRead struct {
	watchers int // the lock of watched guards it

	mu    sync.Mutex
	at    time.Time
	value any
	err   error
}

func (w *watched) enter(key any) *lastRead {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[any]*lastRead{}
	}
	l := w.open[key]
	if l == nil {
		l = &lastRead{}
		w.open[key] = l
	}
	l.watchers++
	return l
}

func (w *watched) leave(key any, l *lastRead) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.watchers--; l.watchers == 0 {
		delete(w.open, key)
	}
}

// get returns what was read within an age, or reads.
func (l *lastRead) get(ctx context.Context, age time.Duration, read func(context.Context) (any, error)) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.at.IsZero() || time.Since(l.at) > age {
		l.value, l.err = read(ctx)
		l.at = time.Now()
	}
	return l.value, l.err
}

// again runs a subscription to what is read at a pace: frame makes of what was read what the client is sent, and tells
// whether that is anything, and whether it is the last. An error of the first read is the subscription's; while the
// database does not answer later, the stream waits. It ends when what is watched is gone.
func again[T, F any](ctx context.Context, r *Resolver, key any, pace time.Duration, read func(context.Context) (T, error), frame func(T) (f F, send, last bool)) (<-chan F, error) {
	if err := r.streams.enter(); err != nil {
		return nil, err
	}
	shared := r.watched.enter(key)
	leave := func() {
		r.watched.leave(key, shared)
		r.streams.leave()
	}
	get := func() (T, error) {
		v, err := shared.get(ctx, pace/2, func(ctx context.Context) (any, error) { return read(ctx) })
		t, _ := v.(T)
		return t, err
	}
	now, err := get()
	if err != nil {
		leave()
		return nil, err
	}
	out := make(chan F, 1)
	go func() {
		defer leave()
		defer close(out)
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			if err == nil {
				scopeOf(ctx).reset()
				f, send, last := frame(now)
				if send {
					select {
					case out <- f:
					case <-ctx.Done():
						return
					}
				}
				if last {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if now, err = get(); err != nil {
				if ctx.Err() != nil || errors.Is(err, engine.ErrNotFound) {
					return
				}
				r.log.WarnContext(ctx, "subscription waits for the database", logkey.RequestID, requestID(ctx), logkey.Err, err)
			}
		}
	}()
	return out, nil
}

// watchStats is the subscription to a hub's figures.
func (r *Resolver) watchStats(ctx context.Context, of statsOf) (<-chan *model.HubStats, error) {
	return again(ctx, r, of, statsEvery,
		func(ctx context.Context) (*model.HubStats, error) { return r.stats(ctx, of.hub, of.window, of.buckets) },
		func(s *model.HubStats) (*model.HubStats, bool, bool) { return s, true, false })
}

type operationOf struct{ hub, id string }

// watchOperation is the subscription to an operation on many instances.
func (r *Resolver) watchOperation(ctx context.Context, hub, id string) (<-chan *model.BatchOperation, error) {
	var sent *engine.Operation
	return again(ctx, r, operationOf{hub, id}, operationEvery,
		func(ctx context.Context) (*engine.Operation, error) { return r.engine.Operation(ctx, hub, id) },
		func(o *engine.Operation) (*model.BatchOperation, bool, bool) {
			same := sent != nil && sent.UpdatedAt.Equal(o.UpdatedAt) && sent.State == o.State && sent.Examined == o.Examined
			sent = o
			return &model.BatchOperation{Operation: o}, !same, o.State.Over()
		})
}

type onlineOf struct{ hub string }

// watchWorkers is the subscription to a hub's workers.
func (r *Resolver) watchWorkers(ctx context.Context, hub string) (<-chan *model.WorkerDelta, error) {
	var (
		seq  int32
		sent = map[int32]string{} // global ids by number
	)
	return again(ctx, r, onlineOf{hub}, workersEvery,
		func(ctx context.Context) ([]engine.WorkerInfo, error) {
			return r.engine.ListWorkers(ctx, engine.WorkerQuery{Hub: hub, States: []engine.WorkerState{engine.WorkerOnline}, Limit: maxOnline})
		},
		func(found []engine.WorkerInfo) (*model.WorkerDelta, bool, bool) {
			d := &model.WorkerDelta{Reset: seq == 0, Upserts: []*model.Worker{}, Leaves: []string{}}
			online := make(map[int32]string, len(found))
			for _, w := range found {
				worker := &model.Worker{WorkerInfo: w}
				if online[w.No] = worker.ID(); sent[w.No] == "" { // what it says of itself is said once, as it joins
					d.Upserts = append(d.Upserts, worker)
				}
			}
			for no, id := range sent {
				if online[no] == "" {
					d.Leaves = append(d.Leaves, id)
				}
			}
			sent = online
			if !d.Reset && len(d.Upserts)+len(d.Leaves) == 0 {
				return nil, false, false
			}
			seq++
			d.Seq = seq
			return d, true, false
		})
}

// listWorkers reads a page of a hub's workers.
func (r *Resolver) listWorkers(ctx context.Context, hub string, states []model.WorkerState, first int, after *string) (*model.WorkerConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	q := engine.WorkerQuery{Hub: hub, EndedWithin: workerMemory, Limit: first + 1}
	for _, s := range states {
		switch s {
		case model.WorkerStateOnline:
			q.States = append(q.States, engine.WorkerOnline)
		case model.WorkerStateLost:
			q.States = append(q.States, engine.WorkerLost)
		case model.WorkerStateLeft:
			q.States = append(q.States, engine.WorkerLeft)
		}
	}
	list := workerList(hub, q.States)
	if after != nil {
		if err := r.cursors.open(list, *after, &q.After); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.ListWorkers(ctx, q)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(w engine.WorkerInfo) string { return r.cursors.seal(list, w.No) },
		func(w engine.WorkerInfo) *model.Worker { return &model.Worker{WorkerInfo: w} },
		func(cursor string, node *model.Worker) *model.WorkerEdge {
			return &model.WorkerEdge{Cursor: cursor, Node: node}
		})
	return &model.WorkerConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}
