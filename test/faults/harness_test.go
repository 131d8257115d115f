package faults_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

// all runs every case; without it, tests that repeat a fault at many points take a few of them.
var all = flag.Bool("all", false, "inject every fault at every point")

// workerEnv marks a process of the test binary that is to be a worker.
const workerEnv = "WEIR_FAULTS_WORKER_DSN"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(workerEnv); dsn != "" {
		if err := work(dsn); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	pgtest.Main(m)
}

// work is the worker process.
func work(dsn string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	pool, err := openPool(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	w, err := durable.NewWorker(pool, &durable.Config{Logger: logger, DrainTimeout: 5 * time.Second}, handlers(pool)...)
	if err != nil {
		return err
	}
	fmt.Println("started")
	return w.Run(ctx)
}

func openPool(ctx context.Context, dsn string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] = "app"
	return pgxpool.NewWithConfig(ctx, config)
}

// bench is what a test works with: a database of its own, behind a proxy for those that are to suffer.
type bench struct {
	t      *testing.T
	ctx    context.Context
	dsn    string
	pool   *pgxpool.Pool
	client *durable.Client
	proxy  *proxy
}

func setup(t *testing.T) *bench {
	t.Helper()
	db := pgtest.New(t, weirtest.Schema)
	return newBench(t, db.DSN(), db.Pool(t))
}

func newBench(t *testing.T, dsn string, pool *pgxpool.Pool) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	b := &bench{t: t, ctx: ctx, dsn: dsn, pool: pool, proxy: newProxy(t, dsn)}
	if _, err := pool.Exec(ctx, traces); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.client, err = durable.NewClient(pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// no fails the test on an error.
func (b *bench) no(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// worker runs a worker in this process, on the database or through the proxy, until stop or the test's end.
func (b *bench) worker(dsn string, cfg *durable.Config) (stop func()) {
	b.t.Helper()
	if cfg == nil {
		cfg = &durable.Config{}
	}
	cfg.Logger = slog.New(slog.NewTextHandler(&testWriter{t: b.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.DrainTimeout = 5 * time.Second
	pool, err := openPool(b.ctx, dsn)
	b.no(err)
	w, err := durable.NewWorker(pool, cfg, handlers(pool)...)
	b.no(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker: %v", err)
		}
		pool.Close()
	})
	b.t.Cleanup(stop)
	return stop
}

// testWriter writes lines to the test's log until the test has ended.
type testWriter struct {
	t    *testing.T
	mu   sync.Mutex
	once sync.Once
	done bool
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { w.t.Cleanup(func() { w.mu.Lock(); w.done = true; w.mu.Unlock() }) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done && w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

// process is a worker in a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

// process starts one, on the database or through the proxy.
func (b *bench) process(dsn string) *process {
	b.t.Helper()
	self, err := os.Executable()
	b.no(err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), workerEnv+"="+dsn)
	log := &testWriter{t: b.t}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	b.no(err)
	b.no(cmd.Start())
	p := &process{cmd: cmd, done: make(chan error, 1)}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.t.Fatalf("the worker process did not start: %v", err)
	}
	go func() { p.done <- cmd.Wait() }()
	b.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		p.wait()
	})
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// wait waits until the process has ended.
func (p *process) wait() {
	err := <-p.done
	p.done <- err
}

// kill is kill -9.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	p.wait()
}

// load is a set of started instances.
type load struct {
	b     *bench
	mixed []*durable.Instance[string]
	sink  *durable.Instance[[]string]
}

// start starts n instances of the workload, and the one they tell.
func (b *bench) start(n int, flaky bool) *load {
	b.t.Helper()
	l := &load{b: b}
	var err error
	l.sink, err = Sink.Start(b.ctx, b.client, n, durable.ID("sink"))
	b.no(err)
	for i := range n {
		inst, err := Mixed.Start(b.ctx, b.client, mixedInput{Sink: "sink", Flaky: flaky}, durable.ID(fmt.Sprintf("mixed-%d", i)))
		b.no(err)
		for range generations {
			b.no(Go.Raise(b.ctx, b.client, inst.ID(), "go"))
		}
		l.mixed = append(l.mixed, inst)
	}
	return l
}

// finish waits for all instances and checks what they have left behind.
func (l *load) finish() {
	b := l.b
	b.t.Helper()
	var told []string
	for _, inst := range l.mixed {
		out, err := inst.Wait(b.ctx)
		if err != nil || out != "done" {
			b.explain()
			b.t.Fatalf("%s: %q, %v", inst.ID(), out, err)
		}
		told = append(told, inst.ID())
	}
	got, err := l.sink.Wait(b.ctx)
	if err != nil {
		b.explain()
		b.t.Fatalf("sink: %v", err)
	}
	slices.Sort(got)
	slices.Sort(told)
	if !slices.Equal(got, told) {
		b.t.Errorf("the sink was told by %v, want each once: %v", got, told)
	}
	b.check()
	if n := b.count("SELECT count(*) FROM charges"); n != len(l.mixed)*generations {
		b.t.Errorf("%d charges, want %d", n, len(l.mixed)*generations)
	}
	if n := b.count("SELECT count(*) FROM (SELECT DISTINCT instance, what FROM charges) AS d"); n != len(l.mixed)*generations {
		b.t.Errorf("%d different charges, want %d", n, len(l.mixed)*generations)
	}
}

// check looks at everything Weir has written, once nothing is under way any more.
func (b *bench) check() {
	b.t.Helper()
	weirtest.CheckHistories(b.ctx, b.t, b.pool)
	b.until("nothing is left to do", func() bool {
		return b.count(`SELECT (SELECT count(*) FROM river.river_job WHERE state IN ('available', 'running', 'scheduled', 'retryable'))
			+ (SELECT count(*) FROM weir.inbox) + (SELECT count(*) FROM weir.timers) + (SELECT count(*) FROM weir.outbox)`) == 0
	})
}

// explain logs what is left, for a test that fails.
func (b *bench) explain() {
	for _, q := range []string{
		"SELECT id || ' ' || status || ' seq ' || seq || ' epoch ' || epoch || ' owner ' || coalesce(owner, 0) || ' job ' || coalesce(turn_job, 0) || ' held ' || coalesce(convert_from(held, 'UTF8'), '') FROM weir.instances WHERE outcome IS NULL",
		"SELECT id || ' ' || state || ' ' || kind || ' ' || args || ' by ' || coalesce(attempted_by[cardinality(attempted_by)], '') FROM river.river_job WHERE state <> 'completed'",
		"SELECT instance_no || ' message ' || id || ' kind ' || kind || ' task ' || task FROM weir.inbox",
		"SELECT 'worker ' || no || ' state ' || state FROM weir.workers",
	} {
		rows, err := b.pool.Query(context.WithoutCancel(b.ctx), q)
		if err != nil {
			b.t.Log(err)
			continue
		}
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err == nil {
				b.t.Log(s)
			}
		}
	}
}

func (b *bench) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// until polls a condition that only the database shows.
func (b *bench) until(what string, cond func() bool) {
	b.t.Helper()
	for !cond() {
		select {
		case <-b.ctx.Done():
			b.explain()
			b.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
