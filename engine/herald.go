package engine

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// watch is what of the feed is watched by anybody.
type watch int32

const (
	watchNothing watch = iota
	watchEnds          // somebody waits for instances to end
	watchEverything
)

// herald tells the feed of changes after they are committed, on a connection of its own. A notification inside a
// commit delays its answer until Postgres has woken every listener of the database, which takes longer than the
// commit; and many commits can share one that comes after them. What a process has not told when it dies, those
// who watch are told to look for.
type herald struct {
	e      *Engine
	signal chan struct{}

	mu      sync.Mutex
	running bool
	pending map[int64]change
	many    bool
}

// maxTold is how many changes are told one by one; of more only that there are many.
const maxTold = 2000

func newHerald(e *Engine) *herald {
	return &herald{e: e, signal: make(chan struct{}, 1), pending: map[int64]change{}}
}

// tell queues changes. Of an instance that changes again before it was told, the last counts.
func (h *herald) tell(changes []change) {
	if len(changes) == 0 {
		return
	}
	h.mu.Lock()
	for _, c := range changes {
		if before, told := h.pending[c.no]; told {
			c = before.and(c)
		}
		h.pending[c.no] = c
	}
	if len(h.pending) > maxTold {
		h.many = true
		clear(h.pending)
	}
	h.start()
	h.mu.Unlock()
	h.poke()
}

// resync tells those who watch that anything may have changed.
func (h *herald) resync() {
	h.mu.Lock()
	h.many = true
	h.start()
	h.mu.Unlock()
	h.poke()
}

// start runs the herald from its first news on. The caller holds the lock.
func (h *herald) start() {
	if !h.running && h.e.ctx.Err() == nil {
		h.running = true
		h.e.work.Go(func() { h.run(h.e.ctx) })
	}
}

func (h *herald) poke() {
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

// run tells until ctx ends, and then what is left.
func (h *herald) run(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-h.signal:
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		var err error
		if conn, err = h.news(last, conn); err != nil && ctx.Err() == nil {
			h.e.log.WarnContext(ctx, "tell the feed", logkey.Err, err)
			h.mu.Lock()
			h.many = true // the news are lost with the connection
			h.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
				h.poke()
			}
		}
		cancel()
	}
}

// news sends what is pending, in notifications that Postgres accepts. It returns the connection to use next.
func (h *herald) news(ctx context.Context, conn *pgx.Conn) (*pgx.Conn, error) {
	h.mu.Lock()
	changes := make([]change, 0, len(h.pending))
	for _, c := range h.pending {
		changes = append(changes, c)
	}
	many := h.many
	clear(h.pending)
	h.many = false
	h.mu.Unlock()
	var payloads []string
	const each = 350 // a change is at most 20 bytes long for numbers that fit into 40 bits
	for len(changes) > 0 && !many {
		n := min(len(changes), each)
		payloads, changes = append(payloads, encodeChanges(changes[:n])), changes[n:]
	}
	if many {
		payloads = []string{"*"}
	}
	if len(payloads) == 0 {
		return conn, nil
	}
	if conn == nil {
		var err error
		if conn, err = h.e.db.Connect(ctx, "herald", map[string]string{"synchronous_commit": "off"}); err != nil {
			return nil, err
		}
	}
	for _, payload := range payloads {
		err := h.e.q.NotifyChannel(ctx, conn, store.NotifyChannelParams{Channel: h.e.db.Channel("feed"), Payload: payload})
		if err != nil {
			_ = conn.Close(ctx)
			return nil, err
		}
	}
	return conn, nil
}
