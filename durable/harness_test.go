package durable_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bundle is what a test works with: a database of its own, a client, and the means to run workers.
type bundle struct {
	t      *testing.T
	ctx    context.Context // ends well before the test binary's own deadline
	pool   *pgxpool.Pool
	client *durable.Client
	second func() *durable.Client
	logger *slog.Logger
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	b := &bundle{t: t, ctx: ctx, pool: weirtest.Pool(t), logger: testLogger(t)}
	c, err := durable.NewClient(b.pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b.client = c
	b.second = sync.OnceValue(func() *durable.Client {
		c, err := durable.NewClient(b.pool)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	})
	return b
}

// clients are two clients, as of two processes.
func (b *bundle) clients() [2]*durable.Client { return [2]*durable.Client{b.client, b.second()} }

// testLogger writes to the test's log, and to stderr when WEIR_TEST_LOG is set.
func testLogger(t *testing.T) *slog.Logger {
	var w io.Writer = &testWriter{t: t}
	if os.Getenv("WEIR_TEST_LOG") != "" {
		w = os.Stderr
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct {
	t    *testing.T
	mu   sync.Mutex
	done bool
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.t.Cleanup(func() { w.mu.Lock(); w.done = true; w.mu.Unlock() })
		w.done = w.t.Context().Err() != nil
	}
	if !w.done {
		w.t.Log(string(p[:len(p)-1]))
	}
	return len(p), nil
}

// worker runs a worker until the test ends, or stop is called.
func (b *bundle) worker(cfg *durable.Config, handlers ...durable.Handler) (stop func()) {
	b.t.Helper()
	if cfg == nil {
		cfg = &durable.Config{}
	}
	cfg.Logger = b.logger
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 5 * time.Second
	}
	w, err := durable.NewWorker(b.pool, cfg, handlers...)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.run(w)
}

func (b *bundle) run(w *durable.Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// start starts an instance or fails the test.
func start[I, O any](b *bundle, o durable.Orchestration[I, O], in I, opts ...durable.StartOption) *durable.Instance[O] {
	b.t.Helper()
	inst, err := o.Start(b.ctx, b.client, in, opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	return inst
}

// wait waits for an instance's output or fails the test.
func wait[O any](b *bundle, i *durable.Instance[O]) O {
	b.t.Helper()
	out, err := i.Wait(b.ctx)
	if err != nil {
		b.t.Fatalf("instance %s: %v", i.ID(), err)
	}
	return out
}

// until polls a condition that only the database shows.
func (b *bundle) until(what string, cond func() bool) {
	b.t.Helper()
	for !cond() {
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// status is an instance's status.
func status[O any](b *bundle, i *durable.Instance[O]) durable.State {
	b.t.Helper()
	s, err := i.State(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// count runs a query that yields one number.
func (b *bundle) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// atRest fails the test unless nothing is left of finished instances: no jobs, messages, timers.
func (b *bundle) atRest() {
	b.t.Helper()
	b.until("River's completer has caught up", func() bool {
		return b.count("SELECT count(*) FROM river.river_job WHERE state IN ('available', 'pending', 'running', 'scheduled', 'retryable')")+b.count("SELECT count(*) FROM weir.limit_calls") == 0
	})
	for _, table := range []string{"inbox", "timers", "outbox"} {
		if n := b.count("SELECT count(*) FROM weir." + table); n != 0 {
			b.t.Errorf("%d rows are left in %s", n, table)
		}
	}
}
