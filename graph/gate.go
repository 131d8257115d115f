package graph

import (
	"context"
	"sync"
)

// gate counts what is open, bounds it, and waits for it to end.
type gate struct {
	limit int
	full  string // what to say when it is, with a %d for the limit

	mu     sync.Mutex
	open   int
	closed bool
	idle   chan struct{} // closed when nothing is open any more, and nothing will be
}

func newGate(limit int, full string) *gate {
	return &gate{limit: limit, full: full, idle: make(chan struct{})}
}

// enter counts one in. Errors: SUBSCRIPTION_LIMIT, UNAVAILABLE.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return refuse(codeUnavailable, "the server stops")
	case g.open >= g.limit:
		return refuse(codeLimit, g.full, g.limit)
	}
	g.open++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.closed && g.open == 0 {
		close(g.idle)
	}
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// close lets nobody in any more, and waits until all have left.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		if g.open == 0 {
			close(g.idle)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
