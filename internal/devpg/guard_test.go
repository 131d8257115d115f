//go:build unix

package devpg

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphanLimit is how long a server may outlive the parent that was killed.
const orphanLimit = 2 * time.Second

// TestNoOrphan kills processes that have started a server, by SIGKILL, and
// watches all processes of the server go. As root it does so for a parent that
// is root and for one that is an ordinary user.
func TestNoOrphan(t *testing.T) {
	t.Parallel()
	parents := map[string]*account{"AsWeAre": nil}
	if os.Geteuid() == 0 {
		parents = map[string]*account{"Root": nil, "Unprivileged": nobody(t)}
	}
	for parentName, acct := range parents {
		for _, tc := range []struct {
			name  string
			spec  helperSpec
			shell bool
		}{
			{name: "BothGuards"},
			{name: "BothGuardsFromShell", shell: true},
			{name: "SignalAlone", spec: helperSpec{NoShell: true}},
			{name: "SignalAloneFromShell", spec: helperSpec{NoShell: true}, shell: true},
			{name: "ShellAlone", spec: helperSpec{NoSignal: true}},
			{name: "ShellAloneFromShell", spec: helperSpec{NoSignal: true}, shell: true},
			{name: "FastStopHangs", spec: helperSpec{Settings: hangAtStop}},
		} {
			if tc.spec.NoShell && runtime.GOOS != "linux" {
				continue // there is no such signal
			}
			t.Run(parentName+tc.name, func(t *testing.T) {
				t.Parallel()
				h := startHelper(t, acct, tc.spec, tc.shell)
				if tc.spec.Settings != nil {
					mustExec(t, h.dsn, "CREATE TABLE t ()", "SELECT pg_switch_wal()")
				}
				if err := syscall.Kill(h.parent, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				took := waitNoProcess(t, filepath.Join(h.dir, "data"), orphanLimit)
				t.Logf("gone after %v", took.Round(time.Millisecond))
				if tc.spec.Settings != nil && took < 900*time.Millisecond {
					t.Errorf("the fast stop did not hang, so that this proves nothing")
				}
				if _, err := os.Stat(filepath.Join(h.dir, "data", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("postmaster.pid is still there: %v", err)
				}
			})
		}
	}
}

// hangAtStop makes a fast stop wait for an archiver that takes its time.
var hangAtStop = map[string]string{"archive_mode": "on", "archive_command": "sleep 30; false"}

// TestGuardEndsWithServer sees that the shell is there while the server runs,
// and that Stop leaves none behind.
func TestGuardEndsWithServer(t *testing.T) {
	t.Parallel()
	srv := mustStart(t, testOptions(t))
	if n := guardsOf(srv.PID()); n != 1 && runtime.GOOS == "linux" {
		t.Errorf("%d guards watch over the server, want 1", n)
	}
	if err := srv.Stop(testContext(t), Fast); err != nil {
		t.Fatal(err)
	}
	if n := guardsOf(srv.PID()); n != 0 {
		t.Errorf("%d guards still run", n)
	}
}

// guardsOf counts the shells that watch over a server process.
func guardsOf(pid int) int {
	n := 0
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if strings.Contains(string(text), "weir-postgres-guard\x00"+strconv.Itoa(pid)+"\x00") {
			n++
		}
	}
	return n
}

// A helperProcess is a parent that has a server, ready to be killed.
type helperProcess struct {
	dir    string // Options.Dir of its server
	parent int    // its process number
	server int    // that of its server
	dsn    string
}

// startHelper runs this test binary as a parent, directly or as a background
// job of a shell, which makes it ignore SIGINT.
func startHelper(t *testing.T, acct *account, spec helperSpec, shell bool) helperProcess {
	t.Helper()
	base := scratchDir(t)
	spec.Dir = filepath.Join(base, "pg")
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if acct == nil && os.Geteuid() == 0 {
		if err := os.Chmod(spec.Dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := acct.chown(spec.Dir); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}

	name, args := parentExe, []string(nil)
	pidFile := filepath.Join(spec.Dir, "parent.pid")
	if shell {
		name, args = "/bin/sh", []string{"-c", `"$0" & echo $! >"$1"; wait`, parentExe, pidFile}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = asUser(acct)
	// The helper may run as somebody else, whose cache has no binaries.
	cmd.Env = append(os.Environ(), helperEnv+"="+string(text), "HOME="+base, BinEnv+"="+binDir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // if the test has not done so
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			t.Error("the parent still runs")
		}
	})

	h := helperProcess{dir: spec.Dir, parent: cmd.Process.Pid}
	deadline := time.After(time.Minute)
	for {
		report, err := os.ReadFile(filepath.Join(spec.Dir, "report"))
		if err == nil {
			pid, dsn, _ := strings.Cut(strings.TrimSpace(string(report)), " ")
			if h.server, err = strconv.Atoi(pid); err != nil {
				t.Fatal(err)
			}
			h.dsn = dsn
			break
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("the parent ended: %v: %s", err, stderr.String())
		case <-deadline:
			t.Fatalf("the parent has no server after a minute: %s", stderr.String())
		case <-time.After(10 * time.Millisecond): // it has no other way to tell us, started by a shell
		}
	}
	if shell {
		pid, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		if h.parent, err = strconv.Atoi(strings.TrimSpace(string(pid))); err != nil {
			t.Fatal(err)
		}
	}
	if got := processesOf(filepath.Join(h.dir, "data")); runtime.GOOS == "linux" && len(got) < 3 {
		t.Fatalf("the server has processes %v, so that seeing none later would prove nothing", got)
	}
	return h
}

func nobody(t *testing.T) *account {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &account{name: "nobody", uid: uint32(uid), gid: uint32(gid)}
}
