package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/migrations"
)

// bench is a run: its Postgres, what it has measured, and how large the workloads are.
type bench struct {
	only    *regexp.Regexp
	scale   float64
	idle    int
	timers  int
	profile string
	dir     string
	verbose bool
	// worker holds more arguments for worker processes.
	worker []string
	// statements asks for the cost of each statement.
	statements bool

	pg      *cluster
	client  *durable.Client
	report  report
	current string
}

// workload is one measurement on a database of its own.
type workload struct {
	name string
	what string
	run  func(*bench, context.Context) error
}

var workloads = []workload{
	{"commit", "pgbench: single-row insert commits", (*bench).yardstickCommit},
	{"river", "River: no-op jobs", (*bench).yardstickRiver},
	{"W1", "hello, 3 sequential activities x 2,000", func(b *bench, ctx context.Context) error { return b.hello(ctx, "W1", 2000, false) }},
	{"W1-20k", "hello, 3 sequential activities x 20,000", func(b *bench, ctx context.Context) error { return b.hello(ctx, "W1-20k", 20000, false) }},
	{"W1-rows", "the same with a River job for every activity", func(b *bench, ctx context.Context) error { return b.hello(ctx, "W1-rows", 20000, true) }},
	{"W2", "fan-out 20 x 200", (*bench).fanOut},
	{"W3", "200 sequential steps; one-activity round trip", (*bench).sequential},
	{"W4", "5,000 sequential steps", (*bench).long},
	{"W5", "starts", (*bench).starts},
	{"W6", "500 events one at a time", (*bench).events},
	{"W7", "hello again on grown tables", (*bench).grown},
	{"W8", "kill -9 of one of two workers", (*bench).recovery},
	{"W9", "signals to one entity, and to a hundred", (*bench).entities},
	{"W10", "10,000 timers due in one second", (*bench).alarms},
	{"W11", "1,000,000 instances asleep", (*bench).sleepers},
	{"W12", "fan-out of 10,000 in one instance", (*bench).wide},
	{"W13", "lists of 1,000,000 instances, and their purge", (*bench).past},
	{"W15", "the API among 1,000,000 instances, and 200 who watch", (*bench).api},
	{"memory", "10,000 live instances; an idle server", (*bench).memory},
}

func (b *bench) run(ctx context.Context) error {
	// On a disk: a commit must cost what a commit costs.
	dir, err := os.MkdirTemp(b.dir, "weir-bench-")
	if err != nil {
		return err
	}
	// The account that runs the server passes through to its own folder.
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	progressf("starting Postgres in %s", dir)
	if b.pg, err = startCluster(ctx, filepath.Join(dir, "data"), b.statements); err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		_ = b.pg.stop(stop)
	}()
	b.report.machine(b)
	for _, w := range workloads {
		if b.only != nil && !b.only.MatchString(w.name) {
			continue
		}
		b.current = w.name
		began := time.Now()
		progressf("%-8s %s", w.name, w.what)
		if err := b.on(ctx, "bench_"+strings.ToLower(strings.ReplaceAll(w.name, "-", "_")), func() error {
			if relative(w.name) {
				return b.besideCommits(ctx, &w)
			}
			return w.run(b, ctx)
		}); err != nil {
			fmt.Fprintln(os.Stderr)
			return fmt.Errorf("%s: %w", w.name, err)
		}
		donef("%-8s %s: %s (%.0f s)", w.name, w.what, b.report.summary(w.name), time.Since(began).Seconds())
	}
	return nil
}

// on runs fn with a fresh, migrated database and a client on it.
func (b *bench) on(ctx context.Context, database string, fn func() error) error {
	if err := b.pg.database(ctx, database); err != nil {
		return err
	}
	if b.statements {
		if _, err := b.pg.pool.Exec(ctx, "CREATE EXTENSION pg_stat_statements"); err != nil {
			return err
		}
	}
	if err := migrations.Apply(ctx, b.pg.pool, migrations.Schemas{}, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if _, err := b.pg.pool.Exec(ctx, "INSERT INTO weir.hubs (name) VALUES ('default')"); err != nil {
		return err
	}
	traced, flush, err := traces()
	if err != nil {
		return err
	}
	defer flush()
	c, err := durable.NewClient(b.pg.pool, durable.WithTracing(traced))
	if err != nil {
		return err
	}
	b.client = c
	err = fn()
	c.Close()
	if err == nil && b.verbose {
		err = b.tables(ctx)
	}
	if err == nil && b.statements {
		err = b.costs(ctx)
	}
	if err != nil {
		return err
	}
	return b.pg.drop(ctx, database)
}

// tables prints what the workload did to each table.
func (b *bench) tables(ctx context.Context) error {
	rows, err := b.pg.pool.Query(ctx, `SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, autovacuum_count
		FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY relname`)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\n%-20s %10s %10s %10s %10s %8s\n", "table", "inserted", "updated", "hot", "deleted", "vacuums")
	var (
		name                               string
		inserted, updated, hot, gone, vacs int64
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &inserted, &updated, &hot, &gone, &vacs}, func() error {
		fmt.Fprintf(os.Stderr, "%-20s %10d %10d %10d %10d %8d\n", name, inserted, updated, hot, gone, vacs)
		return nil
	})
	return err
}

// costs prints the statements that cost Postgres most since the last reading began.
func (b *bench) costs(ctx context.Context) error {
	rows, err := b.pg.pool.Query(ctx, `SELECT calls, rows, total_plan_time::bigint, total_exec_time::bigint, wal_bytes::bigint, shared_blks_hit,
			regexp_replace(left(query, 90), '\s+', ' ', 'g')
		FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		ORDER BY total_exec_time + total_plan_time DESC LIMIT 30`)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\n%9s %9s %8s %8s %11s %10s  %s\n", "calls", "rows", "plan ms", "run ms", "WAL B", "buffers", "statement")
	var (
		calls, n, plan, ms, wal, hits int64
		query                         string
	)
	_, err = pgx.ForEachRow(rows, []any{&calls, &n, &plan, &ms, &wal, &hits, &query}, func() error {
		fmt.Fprintf(os.Stderr, "%9d %9d %8d %8d %11d %10d  %s\n", calls, n, plan, ms, wal, hits, query)
		return nil
	})
	return err
}

// meter measures what happens between two readings: time, processor time of this process, a worker's and
// Postgres's, and write-ahead log.
type meter struct {
	began   time.Time
	self    time.Duration
	workers time.Duration
	pg      time.Duration
	wal     int64
	pids    []int
}

func (b *bench) meter(ctx context.Context, workers ...*process) (*meter, error) {
	if _, err := b.pg.pool.Exec(ctx, "CHECKPOINT"); err != nil {
		return nil, err
	}
	m := &meter{}
	for _, w := range workers {
		m.pids = append(m.pids, w.pid())
	}
	var err error
	if m.self, m.workers, m.pg, m.wal, err = b.read(ctx, m.pids); err != nil {
		return nil, err
	}
	m.began = time.Now()
	return m, nil
}

func (b *bench) read(ctx context.Context, pids []int) (self, workers, pg time.Duration, wal int64, err error) {
	var usage syscall.Rusage
	if err = syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return self, workers, pg, wal, err
	}
	self = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	for _, pid := range pids {
		d, e := cpuOf(pid, false)
		if e != nil {
			return self, workers, pg, wal, e
		}
		workers += d
	}
	if pg, err = b.pg.cpu(); err != nil {
		return self, workers, pg, wal, err
	}
	wal, err = b.pg.wal(ctx)
	return self, workers, pg, wal, err
}

// usage is what a measured stretch took.
type usage struct {
	Elapsed time.Duration
	Client  time.Duration
	Worker  time.Duration
	PG      time.Duration
	WAL     int64
}

func (b *bench) stop(ctx context.Context, m *meter) (usage, error) {
	elapsed := time.Since(m.began)
	self, workers, pg, wal, err := b.read(ctx, m.pids)
	return usage{elapsed, self - m.self, workers - m.workers, pg - m.pg, wal - m.wal}, err
}

// perUnit adds the figures of a stretch in which n things were done.
func (b *bench) perUnit(workload, unit string, n int, u usage) {
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(n) }
	b.report.add(workload, unit+"/s", float64(n)/u.Elapsed.Seconds())
	b.report.add(workload, "CPU ms/"+unit, each(u.Client+u.Worker+u.PG))
	b.report.add(workload, "CPU ms/"+unit+" client", each(u.Client))
	b.report.add(workload, "CPU ms/"+unit+" worker", each(u.Worker))
	b.report.add(workload, "CPU ms/"+unit+" Postgres", each(u.PG))
	b.report.add(workload, "WAL B/"+unit, float64(u.WAL)/float64(n))
}

func (b *bench) size(n int) int { return max(1, int(float64(n)*b.scale)) }

// yardstickCommit measures C: commits of one inserted row by one client. All targets are ratios to it.
func (b *bench) yardstickCommit(ctx context.Context) error {
	c, err := b.commits(ctx, 10*time.Second)
	if err == nil {
		b.report.add("commit", "commits/s", c)
	}
	return err
}

// besideCommits runs a workload whose targets are ratios, and measures C right before and after it: how fast a
// machine and its disk are may change within minutes.
func (b *bench) besideCommits(ctx context.Context, w *workload) error {
	const each = 3 * time.Second
	before, err := b.commits(ctx, each)
	if err != nil {
		return err
	}
	if err := w.run(b, ctx); err != nil {
		return err
	}
	after, err := b.commits(ctx, each)
	if err != nil {
		return err
	}
	c := (before + after) / 2
	b.report.judge(w.name, c)
	b.report.add(w.name, "commits/s beside it", c)
	return nil
}

// commits is how many rows one client commits in a second, one by one.
func (b *bench) commits(ctx context.Context, length time.Duration) (float64, error) {
	if _, err := b.pg.pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS public.yardstick (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v integer)"); err != nil {
		return 0, err
	}
	const insert = "INSERT INTO public.yardstick (v) VALUES (1)"
	path := b.pg.pg.Binaries().Dir + "/pgbench"
	if _, err := os.Stat(path); err == nil {
		script, err := os.CreateTemp("", "insert-*.sql")
		if err != nil {
			return 0, err
		}
		defer os.Remove(script.Name())
		if _, err := script.WriteString(insert + ";\n"); err != nil {
			return 0, err
		}
		if err := script.Close(); err != nil {
			return 0, err
		}
		seconds := strconv.Itoa(int(length.Seconds()))
		out, err := exec.CommandContext(ctx, path, "-n", "-M", "prepared", "-f", script.Name(), "-c", "1", "-T", seconds, b.pg.dsn).Output()
		if err != nil {
			return 0, fmt.Errorf("pgbench: %w", err)
		}
		m := regexp.MustCompile(`tps = ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("pgbench said: %s", out)
		}
		return strconv.ParseFloat(string(m[1]), 64)
	}
	// These binaries come without pgbench: the same by a prepared statement on one connection.
	conn, err := b.pg.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	n, began := 0, time.Now()
	for time.Since(began) < length {
		if _, err := conn.Exec(ctx, insert); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

func machineLine() string {
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), runtime.GOARCH, runtime.Version())
}
