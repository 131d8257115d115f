//go:build unix

package devpg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// helperEnv makes the test binary a process that starts a server and is killed.
const helperEnv = "WEIR_DEVPG_HELPER"

var (
	initCache string // saves the tests that are not about initdb its second
	parentExe string // a copy of this binary where every user can run it
	binDir    string // the PostgreSQL that the tests use
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(helperEnv); spec != "" {
		if err := helper(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(func() int {
		dir, err := setUp()
		defer os.RemoveAll(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// setUp makes what the tests share, in the folder that it returns. The copy is
// made here and once: with other tests about to fork, a file just written may
// be busy.
func setUp() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "weir-devpg-"); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, err
	}
	bin, err := FindOrFetch(context.Background(), Lookup{}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return dir, err
	}
	binDir = bin.Dir
	initCache = filepath.Join(dir, "init")
	parentExe = filepath.Join(dir, "parent")
	self, err := os.Executable()
	if err != nil {
		return dir, err
	}
	if err := copyFile(self, parentExe); err != nil {
		return dir, err
	}
	return dir, os.Chmod(parentExe, 0o755)
}

// A helperSpec tells the helper process what to start.
type helperSpec struct {
	Dir      string            `json:"dir"`
	Settings map[string]string `json:"settings"`
	NoSignal bool              `json:"noSignal"`
	NoShell  bool              `json:"noShell"`
}

// helper starts a server, reports its process number and waits to be killed.
func helper(text string) error {
	var spec helperSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, err := Start(ctx, Options{
		Dir: spec.Dir, NoFsync: true, Settings: spec.Settings, noSignal: spec.NoSignal, noShell: spec.NoShell,
	})
	if err != nil {
		return err
	}
	report := fmt.Sprintf("%d %s\n", srv.PID(), srv.DSN("postgres"))
	if err := os.WriteFile(filepath.Join(spec.Dir, "report.new"), []byte(report), 0o644); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(spec.Dir, "report.new"), filepath.Join(spec.Dir, "report")); err != nil {
		return err
	}
	select {
	case <-ctx.Done(): // nobody has killed us: the test has died itself
	case <-srv.Done():
	}
	return errors.Join(srv.Err(), srv.Stop(context.Background(), Immediate))
}

// scratchDir returns a folder for the data of servers.
func scratchDir(t *testing.T) string {
	t.Helper()
	dir, err := ScratchDir()
	if err != nil {
		t.Fatal(err)
	}
	return makeTemp(t, dir)
}

// tempDir returns a folder from which programs may be run.
func tempDir(t *testing.T) string { return makeTemp(t, "") }

// makeTemp makes a folder that the server's account can enter, which that of
// t.TempDir is not for root.
func makeTemp(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "weir-devpg-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}

// testContext ends a minute from now, and before the test does.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// testOptions are those of a quick server in a folder of its own.
func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{Dir: filepath.Join(scratchDir(t), "pg"), NoFsync: true, InitCache: initCache}
}

// mustStart starts a server that is stopped when the test ends.
func mustStart(t *testing.T, opts Options) *Server {
	t.Helper()
	srv, err := Start(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, srv)
	return srv
}

func mustRestart(t *testing.T, srv *Server) *Server {
	t.Helper()
	srv, err := srv.Restart(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, srv)
	return srv
}

func stopAtEnd(t *testing.T, srv *Server) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Stop(ctx, Immediate); err != nil {
			t.Error(err)
		}
		waitNoProcess(t, srv.files.data(), 5*time.Second)
	})
}

// mustExec runs statements on a connection of its own.
func mustExec(t *testing.T, dsn string, sql ...string) {
	t.Helper()
	ctx := testContext(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range sql {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// mustQuery returns the one value of a query as text.
func mustQuery(t *testing.T, dsn, sql string) string {
	t.Helper()
	ctx := testContext(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var value string
	if err := conn.QueryRow(ctx, sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// processesOf returns the server processes that work in a data directory, main
// process and children. It sees those of other users only as root.
func processesOf(dataDir string) []string {
	data, err := os.Stat(dataDir)
	if err != nil {
		return nil
	}
	var pids []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, dir := range dirs {
		if cwd, err := os.Stat(dir); err == nil && os.SameFile(cwd, data) {
			pids = append(pids, filepath.Base(filepath.Dir(dir)))
		}
	}
	return pids
}

// waitNoProcess waits until no server process works in the data directory, and
// returns how long that took.
func waitNoProcess(t *testing.T, dataDir string, patience time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		pids := processesOf(dataDir)
		if len(pids) == 0 {
			return time.Since(start)
		}
		if time.Since(start) > patience {
			t.Errorf("processes %s still run on %s after %v", strings.Join(pids, ", "), dataDir, patience)
			return time.Since(start)
		}
		time.Sleep(5 * time.Millisecond) // nothing tells of the end of a process that is not our child
	}
}

// wantError checks that an error is there and that its text has all the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error lacks %q:\n%v", p, err)
		}
	}
}

// asUser sets the attributes that make a child run as the given account, or as
// we do if it is nil.
func asUser(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}
