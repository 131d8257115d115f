package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/internal/devpg"
)

// ServerOptions say what a server of a test's own is like. The zero value is a
// server as New uses it, on a Unix socket.
type ServerOptions struct {
	// TCP opens a port on 127.0.0.1 as well, to put a proxy in between.
	TCP bool
	// Fsync makes commits as slow and as safe as in production.
	Fsync bool
	// Settings go on top of those for tests.
	Settings map[string]string
}

// A Cluster is a server that belongs to one test, to be stopped, killed and
// started again. Its addresses stay the same through all of that. Its methods
// may be called from several goroutines.
type Cluster struct {
	host    // to be used only while the server runs
	tcpDSN  func(database string) string
	port    int
	logFile string
	counter atomic.Int64

	mu  sync.Mutex
	srv *devpg.Server
}

// Server starts a server for the test alone, and stops it when the test ends.
// It costs the test about a fifth of a second. WEIR_TEST_DSN is of no
// consequence: the server is always one that the test may break.
func Server(t testing.TB, o ServerOptions) *Cluster {
	t.Helper()
	s := suiteOf(t)
	ctx, cancel := context.WithTimeout(context.Background(), setupLimit)
	defer cancel()
	s.mu.Lock()
	opts, err := s.options(ctx)
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	opts.NoFsync = !o.Fsync
	opts.Settings = maps.Clone(opts.Settings)
	maps.Copy(opts.Settings, o.Settings)
	if o.TCP {
		opts.Port = devpg.AnyPort
	}
	srv, err := devpg.Start(ctx, opts)
	if err != nil {
		t.Fatalf("pgtest: %v", advise(err))
	}
	c := &Cluster{
		host: host{
			dsn:         func(database string) (string, error) { return srv.DSN(database), nil },
			maintenance: "postgres",
			templates:   newTemplates(),
		},
		tcpDSN:  srv.TCPDSN,
		port:    srv.Port(),
		logFile: srv.LogFile(),
		srv:     srv,
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
		defer cancel()
		if err := c.Stop(ctx, devpg.Immediate); err != nil {
			t.Errorf("pgtest: %v", err)
			return
		}
		if err := removeAll(ctx, opts.Dir); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return c
}

// removeAll deletes the folder of a server that has been stopped or killed. In
// the latter case its children may make files for a moment longer.
func removeAll(ctx context.Context, dir string) error {
	for {
		err := os.RemoveAll(dir)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// DSN returns the address of a database by the Unix socket.
func (c *Cluster) DSN(database string) string {
	dsn, _ := c.dsn(database) // it has no error to return here
	return dsn
}

// TCPDSN returns the address of a database by TCP, password included, or "" if
// ServerOptions.TCP was not set. Put a proxy's port in for Port.
func (c *Cluster) TCPDSN(database string) string { return c.tcpDSN(database) }

// Port returns the TCP port on 127.0.0.1, or 0.
func (c *Cluster) Port() int { return c.port }

// LogFile returns the path of the server's log, which is gone after the test.
func (c *Cluster) LogFile() string { return c.logFile }

// New returns a database on this server, a copy of the template. It is not
// dropped: its server is thrown away as a whole.
func (c *Cluster) New(t testing.TB, tmpl Template) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN(c.maintenance))
	if err != nil {
		t.Fatalf("pgtest: create a database for the test: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	name := databaseName(fmt.Sprintf("weir_test_%d_", c.counter.Add(1)), t.Name())
	if err := c.create(ctx, conn, name, tmpl); err != nil {
		t.Fatalf("pgtest: create a database for the test: %v", err)
	}
	return &DB{name: name, dsn: c.DSN(name)}
}

// Stop stops the server. To stop one that is down is no error.
func (c *Cluster) Stop(ctx context.Context, mode devpg.StopMode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.srv.Stop(ctx, mode)
}

// Kill ends the server's main process by SIGKILL.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.srv.Kill()
}

// ErrRunning says that the server of the test is not down.
var ErrRunning = errors.New("server is running")

// Start starts the server again, after Stop or Kill, and returns when it
// accepts connections. It returns ErrRunning if the server is not down.
func (c *Cluster) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.srv.Done():
	default:
		return fmt.Errorf("start postgres again: %w", ErrRunning)
	}
	srv, err := c.srv.Restart(ctx)
	if err != nil {
		return err
	}
	c.srv = srv
	return nil
}
