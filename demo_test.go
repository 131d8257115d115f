package main

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/examples/checkout/orders"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

// hectic does in seconds what the demo does in minutes.
var hectic = demoPace{
	Order: func(int64) time.Duration { return 20 * time.Millisecond },
	Think: 50 * time.Millisecond, Within: 200 * time.Millisecond, Linger: time.Hour, Ride: 10 * time.Millisecond,
	Check: 100 * time.Millisecond, Ingest: 1000 * time.Hour,
}

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestDemo runs the server and the demo as weir dev does, twice on one database, and stops them in between.
func TestDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	db := pgtest.New(t, pgtest.Template{Name: "empty", Build: func(context.Context, string) error { return nil }})
	d := &demoWatch{t: t, ctx: ctx, pool: db.Pool(t, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["application_name"] = "watcher"
	})}
	settings := map[string]string{
		"WEIR_DATABASE_URL": db.DSN(), "WEIR_LISTEN": "127.0.0.1:0", "WEIR_DEV_DIR": t.TempDir(), "WEIR_LOG_LEVEL": "error", "WEIR_ALLOW_ANYBODY": "true",
	}
	cfg, err := loadConfig(func(name string) (string, bool) { v, ok := settings[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}

	address, stop := d.start(cfg)
	d.until("every kind of instance has ended", `
		SELECT count(*) FILTER (WHERE name = 'ingest' AND status = 1) = 1
			AND count(*) FILTER (WHERE name = 'clerk' AND status = 1) >= 9
			AND count(*) FILTER (WHERE name = 'checkout' AND status = 1) >= 7
			AND count(*) FILTER (WHERE name = 'checkout' AND status = 0) >= 1
			AND count(DISTINCT failed) FILTER (WHERE name = 'checkout' AND status = 3) = 4
		FROM seen`)
	want := []string{string(orders.ErrExpired), string(orders.ErrNoFunds), string(orders.ErrRejected), string(orders.ErrUndeliverable)}
	if got := d.texts("SELECT DISTINCT failed FROM seen WHERE failed IS NOT NULL ORDER BY 1"); !slices.Equal(got, want) {
		t.Errorf("orders fail by %v, want %v", got, want)
	}
	d.until("the monitor has found the server up", "SELECT count(*) = 1 FROM seen WHERE name = 'monitor' AND state ->> 'state' = 'up'")
	stop()
	if got := d.texts("SELECT name FROM weir.workers WHERE state = 0"); len(got) > 0 {
		t.Errorf("still registered: %v", got)
	}
	d.until("all connections but the test's are closed", `
		SELECT count(*) = 0 FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> 'watcher'`)
	if left := goroutines(); len(left) > 0 {
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}

	// The second run goes on with the same monitor, which is told the new address, and counts the sample no more.
	before := d.number("SELECT count(*) FROM seen WHERE name = 'checkout'")
	second, stop := d.start(cfg)
	if second == address {
		t.Fatalf("the address is the same: %s", second)
	}
	d.until("the monitor has followed", "SELECT count(*) = 1 FROM seen WHERE name = 'monitor' AND state ->> 'url' = $1", second+"healthz")
	d.until("new orders come", "SELECT count(*) > $1 FROM seen WHERE name = 'checkout'", before)
	for _, name := range []string{"monitor", "ingest"} {
		if n := d.number("SELECT count(*) FROM seen WHERE name = $1", name); n != 1 {
			t.Errorf("%d instances of %s", n, name)
		}
	}
	stop()
	if got := d.texts(`
		SELECT order_id
		FROM shop.charges
		GROUP BY order_id
		HAVING count(*) FILTER (WHERE cents > 0) <> 1 OR count(*) > 2 OR count(*) = 2 AND sum(cents) <> 0`); len(got) > 0 {
		t.Errorf("charged or refunded twice, or not in full: %v", got)
	}
	if got := d.texts("SELECT id FROM weir.instances WHERE held IS NOT NULL"); len(got) > 0 {
		t.Errorf("held: %v", got)
	}
	weirtest.CheckHistories(ctx, t, d.pool)
}

func TestDemoSlowsDown(t *testing.T) {
	t.Parallel()
	day := func(n int64) int64 {
		for left := 24 * time.Hour; left > 0; n++ {
			left -= calm.Order(n)
		}
		return n
	}
	first := day(0)
	if first > 3500 {
		t.Errorf("%d orders in the first day", first)
	}
	if second := day(first) - first; second > 720 {
		t.Errorf("%d orders in the second day", second)
	}
}

// demoWatch looks at the database of a demo.
type demoWatch struct {
	t    *testing.T
	ctx  context.Context
	pool *pgxpool.Pool
}

// start starts the server and the demo, and returns where the dashboard is.
func (d *demoWatch) start(cfg *Config) (dashboard string, stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.ctx)
	said := make(chan string, 100)
	done := make(chan error, 1)
	go func() {
		out := writerFunc(func(p []byte) { said <- string(p) })
		done <- serveWithDemo(ctx, cfg, out, time.Now(), hectic)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("weir dev: %v", err)
		}
	})
	d.t.Cleanup(stop)
	for {
		select {
		case text := <-said:
			if _, rest, ok := strings.Cut(text, "Dashboard  "); ok {
				dashboard, _, _ = strings.Cut(rest, "\n")
				return dashboard, stop
			}
		case err := <-done:
			done <- nil // for stop
			d.t.Fatalf("weir dev has ended: %v", err)
		}
	}
}

// seen is every instance as far as the test cares.
const seen = `
	WITH seen AS (
		SELECT name, status, convert_from(failure, 'UTF8')::jsonb ->> 'type' AS failed, convert_from(custom_status, 'UTF8')::jsonb AS state
		FROM weir.instances
	)`

func one[T any](d *demoWatch, sql string, args ...any) (v T) {
	d.t.Helper()
	if err := d.pool.QueryRow(d.ctx, seen+sql, args...).Scan(&v); err != nil {
		d.t.Fatalf("%v: %s", err, sql)
	}
	return v
}

func (d *demoWatch) number(sql string, args ...any) int64 {
	d.t.Helper()
	return one[int64](d, sql, args...)
}

func (d *demoWatch) texts(sql string) []string {
	d.t.Helper()
	rows, err := d.pool.Query(d.ctx, seen+sql)
	if err != nil {
		d.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.t.Fatalf("%v: %s", err, sql)
	}
	return got
}

// until waits for what only the database shows.
func (d *demoWatch) until(what, sql string, args ...any) {
	d.t.Helper()
	for !one[bool](d, sql, args...) {
		select {
		case <-d.ctx.Done():
			d.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// goroutines returns the stacks of those that run code of ours or of River.
func goroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] { // the first is the caller
		for _, what := range []string{
			"/weir/engine", "/weir/jobs", "/weir/durable", "/weir/graph", "/weir/examples", "riverqueue", "serveWithDemo",
		} {
			if strings.Contains(stack, what) {
				stacks = append(stacks, stack)
				break
			}
		}
	}
	return stacks
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
