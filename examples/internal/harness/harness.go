// Package harness is what the tests of the examples share.
package harness

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

// Harness is a database of the test's own, a client, and the means to run workers.
type Harness struct {
	t      testing.TB
	Ctx    context.Context // ends well before the test binary's own deadline
	Pool   *pgxpool.Pool
	DSN    string
	Client *durable.Client
}

// New makes a harness. At the end of the test every history is checked.
func New(tb testing.TB) *Harness {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 90*time.Second)
	tb.Cleanup(cancel)
	db := pgtest.New(tb, weirtest.Schema)
	h := &Harness{t: tb, Ctx: ctx, Pool: db.Pool(tb), DSN: db.DSN()}
	tb.Cleanup(func() { weirtest.CheckHistories(context.WithoutCancel(ctx), tb, h.Pool) })
	c, err := durable.NewClient(h.Pool)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	h.Client = c
	return h
}

// Worker runs a worker until stop is called, or the test ends. It is given little time to drain: what it does not
// finish is left to the next one.
func (h *Harness) Worker(handlers ...durable.Handler) (stop func()) {
	h.t.Helper()
	w, err := durable.NewWorker(h.Pool, &durable.Config{
		DrainTimeout: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(h.t.Output(), nil)),
	}, handlers...)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Ctx))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("worker: %v", err)
		}
	})
	h.t.Cleanup(stop)
	return stop
}

// Until waits for a condition that only the database shows, and nothing signals.
func (h *Harness) Until(what, sql string, args ...any) {
	h.t.Helper()
	for {
		var yes bool
		if err := h.Pool.QueryRow(h.Ctx, sql, args...).Scan(&yes); err != nil {
			h.t.Fatalf("until %s: %v", what, err)
		}
		if yes {
			return
		}
		select {
		case <-h.Ctx.Done():
			h.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Number runs a query that yields one number.
func (h *Harness) Number(sql string, args ...any) (n int64) {
	h.t.Helper()
	if err := h.Pool.QueryRow(h.Ctx, sql, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// Text runs a query that yields one text.
func (h *Harness) Text(sql string, args ...any) (s string) {
	h.t.Helper()
	if err := h.Pool.QueryRow(h.Ctx, sql, args...).Scan(&s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// Raise raises an event or fails the test.
func Raise[T any](h *Harness, e durable.Event[T], instance string, payload T) {
	h.t.Helper()
	if err := e.Raise(h.Ctx, h.Client, instance, payload); err != nil {
		h.t.Fatal(err)
	}
}

// Reaches waits until an instance's custom status is as wanted, and returns it.
func Reaches[S, O any](h *Harness, i *durable.Instance[O], what string, ok func(S) bool) S {
	h.t.Helper()
	w, err := i.Watch(h.Ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	defer w.Close()
	var last durable.State
	for {
		state, err := w.Next(h.Ctx)
		if err != nil {
			h.t.Fatalf("waiting until %s: %v; last seen %s %s %s", what, err, last.Status, last.CustomStatus, last.Held)
		}
		last = state
		var status S
		if len(state.CustomStatus) > 0 {
			if err := json.Unmarshal(state.CustomStatus, &status); err != nil {
				h.t.Fatal(err)
			}
			if ok(status) {
				return status
			}
		}
		if state.Status != "RUNNING" && state.Status != "PENDING" {
			h.t.Fatalf("waiting until %s: the instance is %s, its status %s", what, state.Status, state.CustomStatus)
		}
	}
}
