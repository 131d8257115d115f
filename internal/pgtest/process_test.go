package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childEnv makes this test binary a child of itself: another test binary, as
// they run side by side under `go test ./...`.
const childEnv = "WEIR_PGTEST_CHILD"

// TestChild is what children run. In the parent it is an ordinary test of a
// template.
func TestChild(t *testing.T) {
	db := New(t, people)
	if n := mustCount(t, db.DSN(), "people"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	if os.Getenv(childEnv) == "" {
		return
	}
	fmt.Printf("built=%q dir=%q dsn=%q\n", fmt.Sprint(builds.Load()), suiteOf(t).dir, db.DSN())
	if os.Getenv(childEnv) == "waits" {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is done with us
	}
}

// A child is a test binary that runs TestChild.
type child struct {
	cmd    *exec.Cmd
	in     io.Closer // closing it lets the child end
	out    *bufio.Scanner
	output strings.Builder // what it has said so far

	built, dir, dsn string // from its report
}

// startChild starts a test binary.
func startChild(t *testing.T, mode string, env ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe, "-test.run=^TestChild$", "-test.v")}
	c.cmd.Env = append(append(os.Environ(), DSNEnv+"=", childEnv+"="+mode), env...)
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	c.cmd.Stderr = c.cmd.Stdout
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.finish() }) // an error if it was killed, or waited for before
	return c
}

// ready waits until the child has its database, and fails if it ends without.
func (c *child) ready(t *testing.T) *child {
	t.Helper()
	for c.out.Scan() {
		fmt.Fprintln(&c.output, c.out.Text())
		if n, _ := fmt.Sscanf(c.out.Text(), "built=%q dir=%q dsn=%q", &c.built, &c.dir, &c.dsn); n == 3 {
			return c
		}
	}
	t.Fatalf("the child has no database:\n%s", &c.output)
	return nil
}

// kill ends the child by SIGKILL.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// finish lets the child end and returns its error.
func (c *child) finish() error {
	_ = c.in.Close()
	for c.out.Scan() {
		fmt.Fprintln(&c.output, c.out.Text())
	}
	return c.cmd.Wait()
}

// TestKilledBinary kills a test binary and sees its server go at once, and its
// folder when the next binary starts, while those of binaries that live stay.
func TestKilledBinary(t *testing.T) {
	t.Parallel()
	living := startChild(t, "waits").ready(t)
	killed := startChild(t, "waits").ready(t)
	if living.dir == killed.dir {
		t.Fatalf("both have the folder %q", living.dir)
	}
	killed.kill(t)

	start := time.Now()
	ctx := testContext(t)
	pidFile := filepath.Join(killed.dir, "server1", "data", "postmaster.pid")
	for {
		_, err := os.Stat(pidFile)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Since(start) > 2*time.Second {
			t.Fatalf("the server still runs after %v: %v", time.Since(start), err)
		}
		time.Sleep(5 * time.Millisecond) // the end of another's child is not told
	}
	if err := execAt(ctx, killed.dsn, "SELECT 1"); err == nil {
		t.Error("the server still answers")
	}
	if err := startChild(t, "ends").finish(); err != nil {
		t.Errorf("the next binary: %v", err)
	}
	if _, err := os.Stat(killed.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s is still there: %v", killed.dir, err)
	}
	if err := execAt(ctx, living.dsn, "SELECT 1"); err != nil {
		t.Errorf("the other binary has lost its server: %v", err)
	}
}

// TestGivenServer runs test binaries against one server, as WEIR_TEST_DSN does.
func TestGivenServer(t *testing.T) {
	t.Parallel()
	given := Server(t, ServerOptions{})
	env := DSNEnv + "=" + given.DSN("postgres")
	databases := func(t *testing.T, pattern string) int {
		t.Helper()
		return mustCount(t, given.DSN("postgres"), "pg_database WHERE datname LIKE '"+pattern+"'")
	}

	// Two at once share a template that one of them builds.
	a, b := startChild(t, "waits", env), startChild(t, "waits", env)
	a.ready(t)
	b.ready(t)
	if a.built+b.built != "01" && a.built+b.built != "10" {
		t.Errorf("the template was built %s and %s times", a.built, b.built)
	}
	if n := databases(t, `weir\_template\_people\_%`); n != 1 {
		t.Errorf("there are %d templates", n)
	}

	// What one that was killed has left is dropped by the next, and only that.
	a.kill(t)
	waitDisconnected(t, given, a.dsn)
	if n := databases(t, `weir\_test\_%`); n != 2 {
		t.Errorf("%d databases are there, want those of both", n)
	}
	if c := startChild(t, "waits", env).ready(t); c.built != "0" {
		t.Errorf("the template was built again")
	}
	if err := execAt(testContext(t), a.dsn, "SELECT 1"); err == nil {
		t.Error("the database of the killed binary is still there")
	}
	if err := execAt(testContext(t), b.dsn, "SELECT 1"); err != nil {
		t.Errorf("the database of the living binary is gone: %v", err)
	}
}

// waitDisconnected waits until the server has noticed that a killed binary,
// which shared it, hung up.
func waitDisconnected(t *testing.T, c *Cluster, dsn string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	run := cfg.Database[len("weir_test_"):][:8]
	ctx := testContext(t)
	for mustCount(t, c.DSN("postgres"), "pg_locks WHERE locktype = 'advisory' AND to_hex(objid::bigint) = ltrim('"+run+"', '0')") > 0 {
		if ctx.Err() != nil {
			t.Fatal("the run of the killed binary still counts as alive")
		}
	}
}

// TestFailureTexts sees that a developer whose set-up is incomplete learns why.
func TestFailureTexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, mode string
		env        []string
		want       []string
	}{
		{"NoMain", "forgets Main", nil, []string{"run without pgtest.Main", "func TestMain(m *testing.M) { pgtest.Main(m) }"}},
		{"NoBinaries", "ends", []string{"WEIR_PG_BIN=/nonexistent"}, []string{"no usable PostgreSQL found", "WEIR_PG_BIN", "/nonexistent"}},
		{"NoServer", "ends", []string{DSNEnv + "=postgres://127.0.0.1:1/x"}, []string{"use the server of " + DSNEnv, "127.0.0.1:1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, tc.mode, tc.env...)
			err := c.finish()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it ended with %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(c.output.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, &c.output)
				}
			}
		})
	}
}
