// Command soak runs a mixed workload on several worker processes and, all the while, breaks things at random: it
// kills workers, stops and wakes them, ends database connections and crashes Postgres. Load after load must end
// with every invariant intact; it prints what it does and exits with 1 at the first violation.
//
//	go run ./test/faults/cmd/soak -for 10m -workers 3 -seed 1
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/internal/devpg"
	"github.com/weir-dev/weir/internal/weirtest/check"
	"github.com/weir-dev/weir/migrations"
	"github.com/weir-dev/weir/test/faults/workload"
)

// workerEnv marks a process of this program that is to be a worker.
const workerEnv = "WEIR_SOAK_WORKER_DSN"

func main() {
	var s soak
	flag.DurationVar(&s.duration, "for", 10*time.Minute, "how long")
	flag.IntVar(&s.workers, "workers", 3, "how many worker processes")
	flag.IntVar(&s.size, "size", 20, "how many orchestrations a load has; each is worth about 60 commits")
	flag.DurationVar(&s.every, "every", 2*time.Second, "how often something breaks, on average")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "of what breaks, and when")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if dsn := os.Getenv(workerEnv); dsn != "" {
		err = workload.Run(ctx, dsn, durable.Config{Activities: 4}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	} else {
		err = s.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		stop()
		os.Exit(1)
	}
}

type soak struct {
	duration, every time.Duration
	workers, size   int
	seed            uint64

	rng    *rand.Rand
	dir    string
	began  time.Time
	server *devpg.Server
	dsn    string
	pool   *pgxpool.Pool // of the checks; no fault touches it but a crash of Postgres
	client *durable.Client
	procs  []*exec.Cmd
	faults map[string]int
	loads  int
}

func (s *soak) sayf(format string, args ...any) {
	fmt.Printf("%7.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *soak) run(ctx context.Context) (err error) {
	s.rng, s.faults, s.began = rand.New(rand.NewPCG(s.seed, 1)), map[string]int{}, time.Now()
	if s.dir, err = os.MkdirTemp("", "weir-soak-"); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { // the account that runs Postgres passes through
		return err
	}
	s.sayf("seed %d, everything is in %s", s.seed, s.dir)
	log, err := os.Create(filepath.Join(s.dir, "client.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil))) // what the client's own connections suffer
	if err := s.setUp(ctx); err != nil {
		return err
	}
	defer s.tearDown()
	deadline := time.Now().Add(s.duration)
	for time.Now().Before(deadline) {
		if err := s.load(ctx, deadline); err != nil {
			return err
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

func (s *soak) setUp(ctx context.Context) (err error) {
	bin, err := devpg.FindOrFetch(ctx, devpg.Lookup{}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return err
	}
	s.server, err = devpg.Start(ctx, devpg.Options{Binaries: bin, Dir: filepath.Join(s.dir, "postgres"), Settings: map[string]string{"max_connections": "300"}})
	if err != nil {
		return err
	}
	if err := s.server.CreateDatabase(ctx, "soak"); err != nil {
		return err
	}
	s.dsn = s.server.DSN("soak")
	if s.pool, err = pgxpool.New(ctx, s.dsn); err != nil {
		return err
	}
	if err := migrations.Apply(ctx, s.pool, migrations.Schemas{}, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if _, err := s.pool.Exec(ctx, "INSERT INTO weir.hubs (name) VALUES ('default');"+workload.Tables); err != nil {
		return err
	}
	if s.client, err = durable.NewClient(s.pool); err != nil {
		return err
	}
	s.procs = make([]*exec.Cmd, s.workers)
	for i := range s.procs {
		if err := s.spawn(i); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) tearDown() {
	for _, p := range s.procs {
		if p != nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	}
	s.client.Close()
	s.pool.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.server.Stop(ctx, devpg.Immediate); err != nil {
		s.sayf("stop postgres: %v", err)
	}
}

// spawn starts worker i; its log goes to a file.
func (s *soak) spawn(i int) error {
	log, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("worker%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := exec.Command(self)
	p.Env = append(os.Environ(), workerEnv+"="+s.dsn)
	p.Stdout, p.Stderr = log, log
	s.procs[i] = p
	return p.Start()
}

// load starts a load and breaks things until it has ended.
func (s *soak) load(ctx context.Context, deadline time.Time) error {
	s.loads++
	names := fmt.Sprintf("%d ", s.loads)
	began := time.Now()
	type result struct {
		faults []string
		err    error
	}
	done := make(chan result, 1)
	go func() {
		l, err := workload.Start(ctx, s.client, names, s.size, true)
		if err != nil {
			done <- result{nil, err}
			return
		}
		faults, err := l.Wait(ctx)
		done <- result{faults, err}
	}()
	stuck := time.NewTimer(5 * time.Minute)
	defer stuck.Stop()
	for {
		pause := time.Duration(s.rng.ExpFloat64() * float64(s.every))
		if time.Now().After(deadline) {
			pause = time.Hour // the last load ends in peace
		}
		select {
		case r := <-done:
			if r.err != nil || len(r.faults) > 0 {
				return fmt.Errorf("load %d: %v %w", s.loads, r.faults, r.err)
			}
			if err := s.look(ctx); err != nil {
				return err
			}
			s.sayf("load %d ended after %v", s.loads, time.Since(began).Round(time.Millisecond))
			return nil
		case <-stuck.C:
			left, err := check.Left(ctx, s.pool)
			return fmt.Errorf("load %d does not end: %v %w", s.loads, left, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			if err := s.strike(ctx); err != nil {
				return err
			}
		}
	}
}

// look checks what must be right at every moment.
func (s *soak) look(ctx context.Context) error {
	faults, err := check.Always(ctx, s.pool)
	if err != nil || len(faults) > 0 {
		return fmt.Errorf("check: %v %w", faults, err)
	}
	return nil
}

// strike breaks something.
func (s *soak) strike(ctx context.Context) error {
	i := s.rng.IntN(s.workers)
	var name string
	switch n := s.rng.IntN(100); {
	case n < 40:
		name = "kill -9"
		_ = s.procs[i].Process.Kill()
		_ = s.procs[i].Wait()
		if err := s.spawn(i); err != nil {
			return err
		}
	case n < 55:
		name = "short stop"
		s.pause(i, time.Duration(s.rng.IntN(3000))*time.Millisecond)
	case n < 60:
		name = "long stop"
		s.pause(i, 18*time.Second)
	case n < 90:
		name = "connections ended"
		_, err := s.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
			AND (application_name LIKE 'weir %' OR application_name = 'app') AND random() < $1`, []float64{0.1, 0.5, 1}[s.rng.IntN(3)])
		if err != nil {
			return err
		}
	default:
		name = "crash of Postgres"
		if err := s.server.Stop(ctx, devpg.Immediate); err != nil {
			return err
		}
		time.Sleep(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
		server, err := s.server.Restart(ctx)
		if err != nil {
			return err
		}
		s.server = server
		s.pool.Reset()
	}
	s.faults[name]++
	s.sayf("%s", name)
	return nil
}

// pause stops a worker and lets it go on later; if it has been killed meanwhile, that does not matter.
func (s *soak) pause(i int, d time.Duration) {
	p := s.procs[i].Process
	_ = p.Signal(syscall.SIGSTOP)
	time.AfterFunc(d, func() { _ = p.Signal(syscall.SIGCONT) })
}

// settle waits until nothing is left to do, and checks everything.
func (s *soak) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		left, err := check.Left(ctx, s.pool)
		if err == nil && len(left) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("left: %v %w", left, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	events, faults, err := check.Histories(ctx, s.pool)
	if err != nil || len(faults) > 0 {
		return fmt.Errorf("histories: %v %w", faults, err)
	}
	faults, err = workload.Account(ctx, s.pool, s.loads*s.size)
	if err != nil || len(faults) > 0 {
		return fmt.Errorf("account: %v %w", faults, err)
	}
	var instances, runs, again int
	err = s.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM weir.instances), (SELECT count(*) FROM runs),
		(SELECT count(*) - count(DISTINCT (instance, task, gen)) FROM runs)`).Scan(&instances, &runs, &again)
	if err != nil {
		return err
	}
	s.sayf("%d loads, %d instances, %d events in their histories, all in order; %d activities ran, %d of them again", s.loads, instances, events, runs, again)
	s.sayf("faults: %v", s.faults)
	return nil
}
