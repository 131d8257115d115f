package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/engine/logkey"
)

// planAge says when the plans of pinned connections are too old. Postgres plans a statement for the size that its tables
// have at the time: while one is tiny, to read all of it may be as good as to look something up. A plan that is kept goes on
// reading everything when the table has grown, until Postgres analyzes it a minute or more later; River's table, inbox and
// timers are tiny again after every rush. So plans are made anew whenever a table has doubled.
type planAge struct {
	generation atomic.Int64

	mu    sync.Mutex
	every time.Duration // how often somebody looks; 0 = nobody does yet
	sizes []int64       // for which the present generation of plans was made, in bytes
	quick chan struct{} // closed when somebody wants to look more often
}

// now is the present generation.
func (a *planAge) now() int64 { return a.generation.Load() }

// watch looks at the sizes as often as that, or more often if it was asked to before, until the engine is closed.
func (a *planAge) watch(e *Engine, every time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.every == 0:
		a.every, a.quick = every, make(chan struct{})
		e.work.Go(func() { a.run(e) })
	case every < a.every:
		a.every = every
		close(a.quick)
		a.quick = make(chan struct{})
	}
}

func (a *planAge) run(e *Engine) {
	for e.ctx.Err() == nil {
		if err := a.look(e.ctx, e); err != nil && e.ctx.Err() == nil {
			e.log.DebugContext(e.ctx, "sizes of tables", logkey.Err, err) // who needs the database notices by itself
		}
		a.mu.Lock()
		every, quick := a.every, a.quick
		a.mu.Unlock()
		select {
		case <-e.ctx.Done():
		case <-quick:
		case <-time.After(every):
		}
	}
}

// enough is the size in bytes below which it does not matter how a table is read: 8 pages.
const enough = 64 << 10

// look begins a new generation if a table has doubled. Tables that have shrunk need no other plans, but may grow again.
func (a *planAge) look(ctx context.Context, e *Engine) error {
	sizes, err := e.q.TableSizes(ctx, e.pool)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	grown := a.sizes == nil
	for i := range a.sizes {
		grown = grown || sizes[i] > enough && sizes[i] > 2*a.sizes[i]
		a.sizes[i] = min(a.sizes[i], max(sizes[i], enough/2))
	}
	if grown {
		a.sizes = sizes
		a.generation.Add(1)
	}
	return nil
}
