package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/internal/devpg"
)

// cluster is the Postgres of a run.
type cluster struct {
	pg   *devpg.Server
	pool *pgxpool.Pool
	dsn  string
}

// startCluster starts a fresh Postgres with fsync on and settings of a small production server.
func startCluster(ctx context.Context, dir string, statements bool) (*cluster, error) {
	settings := map[string]string{
		"shared_buffers": "1GB", "max_connections": "200", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "autovacuum_naptime": "10s",
	}
	if statements {
		settings["shared_preload_libraries"], settings["pg_stat_statements.track_planning"] = "pg_stat_statements", "on"
	}
	bin, err := devpg.FindOrFetch(ctx, devpg.Lookup{}, func(line string) { donef("%s", line) })
	if err != nil {
		return nil, err
	}
	pg, err := devpg.Start(ctx, devpg.Options{Dir: dir, Binaries: bin, Settings: settings})
	if err != nil {
		return nil, err
	}
	return &cluster{pg: pg}, nil
}

// database makes a fresh database for a workload.
func (c *cluster) database(ctx context.Context, name string) error {
	if c.pool != nil {
		c.pool.Close()
	}
	if err := c.pg.CreateDatabase(ctx, name); err != nil {
		return err
	}
	c.dsn = c.pg.DSN(name)
	pool, err := pgxpool.New(ctx, c.dsn)
	if err != nil {
		return err
	}
	c.pool = pool
	return nil
}

// drop drops a database that is done with.
func (c *cluster) drop(ctx context.Context, name string) error {
	c.pool.Close()
	c.pool = nil
	conn, err := pgx.Connect(ctx, c.pg.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return err
}

func (c *cluster) stop(ctx context.Context) error {
	if c.pool != nil {
		c.pool.Close()
	}
	return c.pg.Stop(ctx, devpg.Fast)
}

// wal is the position in the write-ahead log, in bytes.
func (c *cluster) wal(ctx context.Context) (int64, error) {
	var n int64
	err := c.pool.QueryRow(ctx, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").Scan(&n)
	return n, err
}

// cpu is the processor time of the whole cluster so far: the postmaster, its children, and those that have
// ended.
func (c *cluster) cpu() (time.Duration, error) {
	own, err := cpuOf(c.pg.PID(), true)
	if err != nil {
		return 0, err
	}
	children, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range children {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if parentOf(pid) != c.pg.PID() {
			continue
		}
		if d, err := cpuOf(pid, false); err == nil {
			own += d
		}
	}
	return own, nil
}

// ticks is the kernel's unit of processor time.
const ticks = 100

func statOf(pid int) ([]string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, ok := strings.Cut(string(raw), ") ")
	if !ok {
		return nil, errors.New("unexpected form of /proc/pid/stat")
	}
	return strings.Fields(rest), nil
}

func parentOf(pid int) int {
	f, err := statOf(pid)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

// cpuOf is the processor time of a process, with that of its ended children if asked.
func cpuOf(pid int, children bool) (time.Duration, error) {
	f, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	last := 13
	if children {
		last = 15
	}
	var total int64
	for _, field := range f[11:last] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return time.Duration(total) * time.Second / ticks, nil
}

// rssOf is the memory a process holds, in bytes.
func rssOf(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// process is a worker process of the run.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once it has, with err
	err   error
}

// startWorker starts a worker in a process of its own and waits until it has joined.
func (b *bench) startWorker(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	before, err := b.alive(ctx)
	if err != nil {
		return nil, err
	}
	all := append([]string{"worker", "-dsn", b.pg.dsn}, slices.Concat(b.worker, args)...)
	if b.profile != "" {
		all = append(all, "-profile", filepath.Join(b.profile, b.current+".prof"))
	}
	if b.verbose {
		all = append(all, "-v")
	}
	cmd := exec.CommandContext(ctx, self, all...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the worker did not start: %w", err)
	}
	p := watched(cmd)
	return p, b.until(ctx, func() (bool, error) {
		select {
		case <-p.ended:
			return false, fmt.Errorf("the worker ended: %w", p.err)
		default:
		}
		now, err := b.alive(ctx)
		return now > before, err
	})
}

// watched watches over a process that has been started.
func watched(cmd *exec.Cmd) *process {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process in order.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-p.ended
	return p.err
}

// kill ends it at once.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// alive counts the workers that have joined.
func (b *bench) alive(ctx context.Context) (int, error) {
	var n int
	err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FROM weir.workers WHERE state = 0").Scan(&n)
	return n, err
}

// until asks every few milliseconds.
func (b *bench) until(ctx context.Context, cond func() (bool, error)) error {
	for {
		ok, err := cond()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
