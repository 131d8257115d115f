package graph

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// maxText is the most of one value that is shown at once, maxTexts of all values in one answer.
const (
	maxText  = 1 << 20
	maxTexts = 10 << 20
)

// scope is what one operation has read and used so far, so that a list of instances asks for its hub's workers
// once, and an answer stays within bounds. A subscription begins anew with each frame.
type scope struct {
	mu      sync.Mutex
	workers map[workersOf][]engine.WorkerInfo
	texts   int
	live    bool // it is a subscription's
	read    map[any]*onceRead
}

// onceRead is something that is read once in an operation, however often it is asked for.
type onceRead struct {
	once  sync.Once
	value any
	err   error
}

// readOnce reads something once in an operation. The key says what; its type keeps it apart from others.
func readOnce[T any](ctx context.Context, key any, read func(context.Context) (T, error)) (T, error) {
	s := scopeOf(ctx)
	s.mu.Lock()
	if s.read == nil {
		s.read = map[any]*onceRead{}
	}
	r := s.read[key]
	if r == nil {
		r = &onceRead{}
		s.read[key] = r
	}
	s.mu.Unlock()
	r.once.Do(func() { r.value, r.err = read(ctx) })
	out, _ := r.value.(T)
	return out, r.err
}

// What is read of a hub once in an operation.
type (
	deathsOf struct{ hub string }
	statsOf  struct {
		hub, window string
		buckets     int
	}
	groupsOf struct {
		hub, window string
		first       int
	}
)

type workersOf struct {
	hub         string
	endedWithin time.Duration
}

type scopeKey struct{}

func withScope(ctx context.Context) context.Context {
	return context.WithValue(model.WithRedaction(ctx), scopeKey{}, &scope{workers: map[workersOf][]engine.WorkerInfo{}})
}

func scopeOf(ctx context.Context) *scope {
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		return s
	}
	return &scope{workers: map[workersOf][]engine.WorkerInfo{}}
}

func (s *scope) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.workers)
	clear(s.read)
	s.texts, s.live = 0, true
}

// spend counts the bytes of a value. Errors: RESPONSE_TOO_LARGE.
func (s *scope) spend(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts += n; s.texts > maxTexts {
		return refuse(codeTooMuch, "the values asked for have more than %d bytes together: ask for fewer, or for less of each with maxBytes", maxTexts)
	}
	return nil
}

// workers lists a hub's workers, those included that ended within a time.
func (r *Resolver) workers(ctx context.Context, hub string, endedWithin time.Duration) ([]engine.WorkerInfo, error) {
	s, key := scopeOf(ctx), workersOf{hub, endedWithin}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.workers[key]
	if !ok {
		read := r.engine.Workers
		if s.live {
			read = r.recent.workers(read)
		}
		var err error
		if found, err = read(ctx, hub, endedWithin); err != nil {
			return nil, err
		}
		s.workers[key] = found
	}
	return found, nil
}

// recent shares among all subscriptions what they would each read with every frame.
type recent struct {
	mu   sync.Mutex
	read map[workersOf]workersThen
}

type workersThen struct {
	at      time.Time
	workers []engine.WorkerInfo
}

type readWorkers func(ctx context.Context, hub string, endedWithin time.Duration) ([]engine.WorkerInfo, error)

// workers is read, but for what was read less than a frame ago.
func (c *recent) workers(read readWorkers) readWorkers {
	return func(ctx context.Context, hub string, endedWithin time.Duration) ([]engine.WorkerInfo, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		key := workersOf{hub, endedWithin}
		if then, ok := c.read[key]; ok && time.Since(then.at) < frameEvery {
			return then.workers, nil
		}
		found, err := read(ctx, hub, endedWithin)
		if err != nil {
			return nil, err
		}
		if c.read == nil || len(c.read) > 1000 {
			c.read = map[workersOf]workersThen{}
		}
		c.read[key] = workersThen{time.Now(), found}
		return found, nil
	}
}

// served tells, for a hub, which definitions a worker that lives accepts.
func (r *Resolver) served(ctx context.Context, hub string) (func(engine.Definition) bool, error) {
	workers, err := r.workers(ctx, hub, 0)
	if err != nil {
		return nil, err
	}
	return func(d engine.Definition) bool {
		return slices.ContainsFunc(workers, func(w engine.WorkerInfo) bool { return w.Accepts(d.Name, d.Version) })
	}, nil
}
