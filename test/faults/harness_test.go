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
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/internal/weirtest/check"
	"github.com/weir-dev/weir/test/faults/workload"
)

// workerEnv marks a process of the test binary that is to be a worker.
const workerEnv = "WEIR_FAULTS_WORKER_DSN"

// testLimit bounds one test. It is far from what any needs, and far from the limit of the whole.
const testLimit = 2 * time.Minute

// activitiesEnv is how many activities run at once in that process. Few make the rest go through River.
const activitiesEnv = "WEIR_FAULTS_WORKER_ACTIVITIES"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(workerEnv); dsn != "" {
		if err := work(dsn); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	// Most of the time goes by in waiting for others to notice: more cases than cores at once.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("4")
	}
	pgtest.Main(m)
}

// work is the worker process.
func work(dsn string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	activities, _ := strconv.Atoi(os.Getenv(activitiesEnv))
	cfg := durable.Config{Activities: activities}
	to, err := otlp.FromEnv(os.LookupEnv)
	if err != nil {
		return err
	}
	if to.Traces != "" {
		exporter := otlp.New(to)
		defer exporter.Close(context.Background())
		cfg.Tracing.Sink = exporter
	}
	fmt.Println("started")
	return workload.Run(ctx, dsn, cfg, logger)
}

// bench is what a test works with: a database of its own, behind a proxy for those that are to suffer.
type bench struct {
	t      *testing.T
	ctx    context.Context
	dsn    string
	pool   *pgxpool.Pool
	client *durable.Client
	proxy  *proxy
	logger *slog.Logger
}

func setup(t *testing.T) *bench {
	t.Helper()
	db := pgtest.New(t, weirtest.Schema)
	return newBench(t, db.DSN(), db.Pool(t))
}

func newBench(t *testing.T, dsn string, pool *pgxpool.Pool) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	b := &bench{t: t, ctx: ctx, dsn: dsn, pool: pool, proxy: newProxy(t, dsn)}
	b.logger = slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if _, err := pool.Exec(ctx, workload.Tables); err != nil {
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

// worker runs a worker for the workload in this process, on the database or through the proxy, until stop or the
// test's end.
func (b *bench) worker(dsn string) (stop func()) {
	b.t.Helper()
	pool, err := workload.OpenPool(b.ctx, dsn)
	b.no(err)
	client, err := durable.NewClient(pool)
	b.no(err)
	return b.serve(pool, &durable.Config{IdleRelease: workload.IdleRelease}, func() { client.Close(); pool.Close() }, workload.Handlers(pool, client)...)
}

// run runs a worker with handlers of the test's own in this process.
func (b *bench) run(cfg *durable.Config, handlers ...durable.Handler) (stop func()) {
	b.t.Helper()
	return b.serve(b.pool, cfg, func() {}, handlers...)
}

func (b *bench) serve(pool *pgxpool.Pool, cfg *durable.Config, after func(), handlers ...durable.Handler) (stop func()) {
	b.t.Helper()
	if cfg == nil {
		cfg = &durable.Config{}
	}
	cfg.Logger, cfg.DrainTimeout = b.logger, 5*time.Second
	w, err := durable.NewWorker(pool, cfg, handlers...)
	b.no(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker: %v", err)
		}
		after()
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
func (b *bench) process(dsn string, env ...string) *process {
	b.t.Helper()
	self, err := os.Executable()
	b.no(err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), workerEnv+"="+dsn), env...)
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

// load is a set of started instances of the workload.
type load struct {
	*workload.Load
	b *bench
	n int
}

// start starts n instances of the workload, and the one they tell.
func (b *bench) start(n int, flaky bool) *load {
	b.t.Helper()
	l, err := workload.Start(b.ctx, b.client, "", n, flaky)
	b.no(err)
	return &load{l, b, n}
}

// finish waits for all instances and checks what they have left behind.
func (l *load) finish() {
	b := l.b
	b.t.Helper()
	faults, err := l.Wait(b.ctx)
	if err != nil {
		b.explain()
		b.t.Fatal(err)
	}
	b.faults(faults)
	b.check() // what the charges started ends a little later
	faults, err = workload.Account(b.ctx, b.pool, l.n)
	b.no(err)
	b.faults(faults)
}

func (b *bench) faults(all []string) {
	b.t.Helper()
	for _, f := range all {
		b.t.Error(f)
	}
}

// check looks at everything Weir has written, once all instances have ended.
func (b *bench) check() {
	b.t.Helper()
	b.until("nothing is left to do", func() bool {
		left, err := check.Left(b.ctx, b.pool)
		b.no(err)
		return len(left) == 0
	})
	b.checkNow()
}

// checkNow looks at what must be right at every moment.
func (b *bench) checkNow() {
	b.t.Helper()
	faults, err := check.Always(b.ctx, b.pool)
	b.no(err)
	b.faults(faults)
	weirtest.CheckHistories(b.ctx, b.t, b.pool)
	d, err := engine.Diagnose(b.ctx, engine.Config{Pool: b.pool}, engine.DoctorOptions{Rows: 100_000, Timeout: time.Minute})
	b.no(err)
	for _, f := range d.Findings {
		if f.Health == engine.HealthBroken && strings.HasPrefix(f.Check, "I") {
			b.t.Errorf("the doctor says: %s: %s: %v", f.Check, f.Detail, f.First)
		}
	}
}

// explain logs what is left, for a test that fails.
func (b *bench) explain() {
	for _, q := range []string{
		"SELECT id || ' ' || status || ' seq ' || seq || ' epoch ' || epoch || ' owner ' || coalesce(owner, 0) || ' job ' || coalesce(turn_job, 0) || ' held ' || coalesce(convert_from(held, 'UTF8'), '') FROM weir.instances WHERE outcome IS NULL",
		"SELECT id || ' ' || state || ' ' || kind || ' ' || args || ' by ' || coalesce(attempted_by[cardinality(attempted_by)], '') FROM river.river_job WHERE state <> 'completed'",
		"SELECT instance_no || ' message ' || id || ' kind ' || kind || ' task ' || task FROM weir.inbox",
		"SELECT 'outbox ' || id || ' for ' || target FROM weir.outbox",
		"SELECT i.id || ': ' || left(convert_from(h.events, 'UTF8'), 2000) FROM weir.history h JOIN weir.instances i ON i.no = h.instance_no WHERE i.outcome IS NULL AND h.codec = 1 ORDER BY h.instance_no, h.seq",
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
