package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/internal/devpg"
	"github.com/weir-dev/weir/internal/devpg/flock"
)

// DSNEnv is the environment variable that names a running server to use.
const DSNEnv = "WEIR_TEST_DSN"

// Time allowed for what should take a second, on a machine that is overloaded.
const (
	setupLimit   = 2 * time.Minute
	cleanupLimit = 30 * time.Second
)

// settings of servers for tests, on top of those of devpg: no effort to survive
// a crash of the machine, none spent in the background, and small files and
// buffers, for most databases live for a second.
var settings = map[string]string{
	"autovacuum":       "off",
	"full_page_writes": "off",
	"max_connections":  "500",
	"max_wal_size":     "256MB",
	"min_wal_size":     "32MB",
	"shared_buffers":   "32MB",
}

// Main runs the tests of a package and exits. Call it from TestMain; without it
// New and Server fail.
func Main(m *testing.M) { os.Exit(Wrap(m).Run()) }

// Tests are the tests of a package with the server they use. Its method Run is
// what goleak.VerifyTestMain wants:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }
type Tests struct{ m *testing.M }

// Wrap puts tests together with a server, for a TestMain that has more to do.
func Wrap(m *testing.M) *Tests { return &Tests{m} }

// Run runs the tests, stops the server if one was started, and returns the exit code.
func (t *Tests) Run() int {
	s := &suite{}
	if !current.CompareAndSwap(nil, s) {
		fmt.Fprintln(os.Stderr, "pgtest: Run was called twice at once")
		return 1
	}
	defer current.Store(nil)
	code := t.m.Run()
	ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
	defer cancel()
	if err := s.close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	return code
}

// current is the suite that runs. The tests of a package have no other common
// ground than package variables.
var current atomic.Pointer[suite]

// A suite is what the tests of one binary share. All of it is made when first
// wanted.
type suite struct {
	mu     sync.Mutex
	dir    string      // folder of this binary's servers, "" if there is none yet
	lock   *flock.Lock // tells others that the folder is in use
	shared *shared
	err    error // of starting shared; it will not get better

	servers atomic.Int64 // numbers the folders
}

// suiteOf returns the running suite or ends the test with advice.
func suiteOf(t testing.TB) *suite {
	t.Helper()
	s := current.Load()
	if s == nil {
		t.Fatal("pgtest: the tests of this package run without pgtest.Main; add to one of its test files:\n\n" +
			"\tfunc TestMain(m *testing.M) { pgtest.Main(m) }\n")
	}
	return s
}

// server returns the shared server, which it starts for the first caller.
func (s *suite) server(ctx context.Context) (*shared, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared == nil && s.err == nil {
		s.shared, s.err = s.openShared(ctx)
	}
	return s.shared, s.err
}

func (s *suite) openShared(ctx context.Context) (*shared, error) {
	if dsn := os.Getenv(DSNEnv); dsn != "" {
		sh, err := openShared(ctx, func(database string) (string, error) { return withDatabase(dsn, database) }, "")
		if err != nil {
			return nil, fmt.Errorf("use the server of %s: %w", DSNEnv, err)
		}
		return sh, nil
	}
	opts, err := s.options(ctx)
	if err != nil {
		return nil, err
	}
	srv, err := devpg.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	sh, err := openShared(ctx, func(database string) (string, error) { return srv.DSN(database), nil }, "postgres")
	if err != nil {
		return nil, errors.Join(err, srv.Stop(context.WithoutCancel(ctx), devpg.Immediate))
	}
	sh.own = srv
	return sh, nil
}

// advise adds what is particular to tests to the reasons for having no server.
func advise(err error) error {
	if errors.Is(err, devpg.ErrNoBinaries) {
		return fmt.Errorf("%w, in %s", err, DSNEnv)
	}
	return err
}

// options returns options for a server in a new folder. s.mu is held.
func (s *suite) options(ctx context.Context) (devpg.Options, error) {
	if s.dir == "" {
		if err := s.makeDir(ctx); err != nil {
			return devpg.Options{}, fmt.Errorf("make folder for test servers: %w", err)
		}
	}
	bin, err := devpg.FindOrFetch(ctx, devpg.Lookup{}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return devpg.Options{}, advise(err)
	}
	return devpg.Options{
		Binaries:  bin,
		Dir:       filepath.Join(s.dir, fmt.Sprintf("server%d", s.servers.Add(1))),
		NoFsync:   true,
		Settings:  settings,
		InitCache: initCache(filepath.Dir(s.dir)),
	}, nil
}

// initCache returns a folder where initialised data directories are kept: one
// that lasts, else one in the scratch folder.
func initCache(scratch string) string {
	if cache, err := devpg.CacheDir(); err == nil {
		dir := filepath.Join(cache, "initdb")
		if err := os.MkdirAll(dir, 0o755); err == nil {
			return dir
		}
	}
	return filepath.Join(scratch, "initdb")
}

// makeDir makes and claims the folder of this binary, after removing those of
// binaries that died. Nobody else does either meanwhile: a folder just made and
// not yet claimed would look like one whose owner is dead.
func (s *suite) makeDir(ctx context.Context) error {
	scratch, err := devpg.ScratchDir()
	if err != nil {
		return err
	}
	all, err := flock.Wait(ctx, filepath.Join(scratch, "pgtest.lock"), nil)
	if err != nil {
		return err
	}
	defer func() { _ = all.Close() }()
	old, err := filepath.Glob(filepath.Join(scratch, "pgtest-*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		l, err := flock.Try(filepath.Join(dir, "lock"))
		if err != nil {
			continue // in use, or not ours to judge
		}
		// A server that is just being stopped may still write; then the next one removes it.
		_ = os.RemoveAll(dir)
		l.Close()
	}
	dir, err := os.MkdirTemp(scratch, "pgtest-")
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 { // the user that runs the server passes through
		if err := os.Chmod(dir, 0o711); err != nil {
			return err
		}
	}
	if s.lock, err = flock.Try(filepath.Join(dir, "lock")); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	s.dir = dir
	return nil
}

// close stops the shared server and removes everything.
func (s *suite) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.shared != nil {
		errs = append(errs, s.shared.close(ctx))
	}
	if s.dir != "" {
		errs = append(errs, removeAll(ctx, s.dir), s.lock.Close())
	}
	return errors.Join(errs...)
}
