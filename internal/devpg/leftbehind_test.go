//go:build unix

package devpg

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestLeftBehind(t *testing.T) {
	t.Parallel()

	// stopped returns the options of a server that has run and been killed, so
	// that its postmaster.pid is still there, and the lines of that file.
	stopped := func(t *testing.T) (Options, *Server, []string) {
		t.Helper()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		if err := srv.Kill(); err != nil {
			t.Fatal(err)
		}
		waitNoProcess(t, srv.files.data(), 5*time.Second)
		text, err := os.ReadFile(filepath.Join(srv.files.data(), "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		return opts, srv, strings.Split(string(text), "\n")
	}

	t.Run("PidFileOfADeadProcess", func(t *testing.T) {
		t.Parallel()
		opts, _, _ := stopped(t)
		mustStart(t, opts)
	})

	t.Run("PidFileWhoseNumberAStrangerHas", func(t *testing.T) {
		t.Parallel()
		opts, srv, lines := stopped(t)
		lines[0] = strconv.Itoa(os.Getppid())
		if err := os.WriteFile(filepath.Join(srv.files.data(), "postmaster.pid"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		mustStart(t, opts)
	})

	t.Run("ServerWhoseParentIsDeadIsReplaced", func(t *testing.T) {
		t.Parallel()
		h := startHelper(t, nil, helperSpec{NoSignal: true, NoShell: true}, false)
		mustExec(t, h.dsn, "CREATE TABLE t AS SELECT 1 AS n")
		parent, err := os.FindProcess(h.parent)
		if err != nil {
			t.Fatal(err)
		}
		if err := parent.Kill(); err != nil {
			t.Fatal(err)
		}
		var srv *Server
		for srv == nil { // until the kernel has taken the lock from the dead
			srv, err = Start(testContext(t), Options{Dir: h.dir, NoFsync: true})
			if err != nil && !errors.Is(err, ErrInUse) {
				t.Fatal(err)
			}
		}
		stopAtEnd(t, srv)
		if srv.PID() == h.server {
			t.Error("the old server was adopted")
		}
		if got := mustQuery(t, srv.DSN("postgres"), "SELECT n::text FROM t"); got != "1" {
			t.Errorf("got %s", got)
		}
	})

	t.Run("ServerOfSomeoneElseIsLeftAlone", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		sock := srv.files.socketDir()
		if _, err := srv.files.makeSocketDir(srv.acct); err != nil {
			t.Fatal(err)
		}
		theirs := srv.acct.command(testContext(t), filepath.Join(srv.Binaries().Dir, "postgres"),
			"-D", srv.files.data(), "-k", sock, "-c", "listen_addresses=", "-c", "fsync=off")
		if err := theirs.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = theirs.Process.Signal(signalImmediate)
			_ = theirs.Wait()
		}()
		ctx := testContext(t)
		for { // until it serves
			conn, err := pgx.Connect(ctx, srv.DSN("postgres"))
			if err == nil {
				_ = conn.Close(ctx)
				break
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		_, err := Start(testContext(t), opts)
		wantError(t, err, "another PostgreSQL server, process "+strconv.Itoa(theirs.Process.Pid), "kill -INT")
		mustExec(t, srv.DSN("postgres"), "SELECT 1") // it still serves
	})
}

// TestOwnerOfTheDataRunsTheServer is for root: data that an ordinary user made
// remain that user's, with everything around them. Anyone else runs the server
// under the own name.
func TestOwnerOfTheDataRunsTheServer(t *testing.T) {
	t.Parallel()
	want := uint32(os.Geteuid())
	opts := testOptions(t)
	opts.Port = AnyPort
	if os.Geteuid() == 0 {
		want = nobody(t).uid
		first := mustStart(t, opts)
		if err := first.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{first.files.log(), first.files.password(), first.files.lock()} {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("chown", "-R", strconv.Itoa(int(want)), opts.Dir).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
	}
	mustStart(t, opts)
	files := 0
	err := filepath.WalkDir(opts.Dir, func(path string, d os.DirEntry, err error) error {
		var info os.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil // the server has deleted it meanwhile
		}
		if err != nil {
			return err
		}
		files++
		if uid, _ := owner(info); uid != want {
			t.Errorf("%s belongs to user %d, want %d", path, uid, want)
		}
		return nil
	})
	if err != nil || files < 900 {
		t.Errorf("looked at %d files (%v)", files, err)
	}
}
