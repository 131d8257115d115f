package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-dev/weir/internal/devpg"
)

// program is `weir dev` as a process of its own.
type program struct {
	t    *testing.T
	ctx  context.Context
	cmd  *exec.Cmd
	out  chan string // lines, closed at the end
	mu   sync.Mutex
	text strings.Builder
}

// launch starts the binary.
func launch(ctx context.Context, t *testing.T, binary, dir string, env ...string) *program {
	t.Helper()
	p := &program{t: t, ctx: ctx, cmd: exec.CommandContext(ctx, binary, "dev"), out: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), append([]string{"WEIR_DEV_DIR=" + dir, "WEIR_LISTEN=127.0.0.1:0", "WEIR_DATABASE_URL="}, env...)...)
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			p.mu.Lock()
			p.text.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			p.out <- lines.Text()
		}
		close(p.out)
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

func (p *program) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

var dashboardLine = regexp.MustCompile(`Dashboard +(http://127\.0\.0\.1:[0-9]+)/`)

// ready waits for the line with the address.
func (p *program) ready() (url string) {
	p.t.Helper()
	for {
		select {
		case line, ok := <-p.out:
			if !ok {
				p.t.Fatalf("it ended:\n%s", p.said())
			}
			if m := dashboardLine.FindStringSubmatch(line); m != nil {
				return m[1]
			}
		case <-p.ctx.Done():
			p.t.Fatalf("it does not become ready:\n%s", p.said())
		}
	}
}

// end sends a signal and returns the exit code, -1 after a signal that is not caught.
func (p *program) end(sig syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *program) wait() int {
	p.t.Helper()
	err := p.cmd.Wait()
	p.cmd.Stdout.(*io.PipeWriter).Close()
	for range p.out { // to its end
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// postgres is the process of the server on a directory.
func postgres(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone waits until a process is no more.
func gone(ctx context.Context, t *testing.T, pid int) {
	t.Helper()
	for syscall.Kill(pid, 0) == nil {
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			return // dead, and whoever is to bury it has not yet
		}
		select {
		case <-ctx.Done():
			t.Fatalf("process %d is still there", pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func query(ctx context.Context, t *testing.T, url, text string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", strings.NewReader(`{"query": `+strconv.Quote(text)+`}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestDev runs the program as people do: from the command line, with a Postgres of its own, ended by hand.
func TestDev(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	scratch, err := devpg.ScratchDir() // short enough for a socket, and open to the account that Postgres runs as
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp(scratch, "weir-dev-") //nolint:usetesting // t.TempDir is not for root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o711); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := filepath.Join(base, "dev")

	t.Run("EndsInOrderAndKeepsTheData", func(t *testing.T) {
		p := launch(ctx, t, binary, dir, "WEIR_DEV_WORKER=false")
		url := p.ready()
		pid := postgres(t, dir)
		for _, words := range []string{"Making a database in " + dir, "Starting Postgres", "Weir is ready after", url + "/graphql", "Ctrl-C", "Nobody is identified"} {
			if !strings.Contains(p.said(), words) {
				t.Errorf("it does not say %q:\n%s", words, p.said())
			}
		}
		if got := query(ctx, t, url, `mutation { startOrchestration(input: {hub: "default", name: "x", instanceId: "kept"}) { errors { message } } }`); !strings.Contains(got, `"errors":[]`) {
			t.Errorf("got %s", got)
		}
		if got := query(ctx, t, url, `{ __schema { queryType { name } } }`); !strings.Contains(got, `"Query"`) {
			t.Errorf("developers may look at the schema: %s", got)
		}
		if code := p.end(syscall.SIGINT); code != 0 || !strings.HasSuffix(p.said(), "Stopped. The data is kept.\n") {
			t.Errorf("exit code %d:\n%s", code, p.said())
		}
		gone(ctx, t, pid)
		if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Postgres was not stopped in order: %v", err)
		}
		if _, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), time.Second); err == nil {
			t.Error("somebody listens still")
		}
	})

	t.Run("LeavesNoOrphan", func(t *testing.T) {
		p := launch(ctx, t, binary, dir, "WEIR_DEV_WORKER=true")
		url := p.ready()
		pid := postgres(t, dir)
		if strings.Contains(p.said(), "Making a database") {
			t.Error("it makes the database anew")
		}
		if got := query(ctx, t, url, `{ orchestration(hub: "default", instanceId: "kept") { status } }`); !strings.Contains(got, `"PENDING"`) {
			t.Errorf("the data is not kept: %s", got)
		}
		if code := p.end(syscall.SIGKILL); code != -1 {
			t.Errorf("exit code %d", code)
		}
		gone(ctx, t, pid)
	})

	t.Run("AfterAKill", func(t *testing.T) {
		p := launch(ctx, t, binary, dir, "WEIR_DEV_WORKER=false")
		url := p.ready()
		if got := query(ctx, t, url, `{ orchestration(hub: "default", instanceId: "kept") { status } }`); !strings.Contains(got, `"PENDING"`) {
			t.Errorf("the data is not kept: %s", got)
		}

		second := launch(ctx, t, binary, dir, "WEIR_DEV_WORKER=false")
		if code := second.wait(); code != 1 || !strings.Contains(second.said(), dir) || !strings.Contains(second.said(), "in use by another process") {
			t.Errorf("a second one on the directory: exit code %d\n%s", code, second.said())
		}

		address := strings.TrimPrefix(url, "http://")
		third := launch(ctx, t, binary, filepath.Join(base, "other"), "WEIR_LISTEN="+address)
		if code := third.wait(); code != 1 || !strings.Contains(third.said(), "another program listens on "+address) || !strings.Contains(third.said(), "WEIR_LISTEN") ||
			strings.Contains(third.said(), "Postgres") {
			t.Errorf("a taken address: exit code %d\n%s", code, third.said())
		}
		if _, err := os.Stat(filepath.Join(base, "other")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it has made something before it found out: %v", err)
		}

		// Postgres dies by itself: there is nothing left to do.
		pid := postgres(t, dir)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != 1 || !strings.Contains(p.said(), "postgres has ended") || !strings.Contains(p.said(), "postgres.log") {
			t.Errorf("exit code %d\n%s", code, p.said())
		}
	})

	t.Run("CommandLine", func(t *testing.T) {
		out, err := exec.CommandContext(ctx, binary, "version").Output()
		if err != nil || strings.TrimSpace(string(out)) == "" {
			t.Errorf("%q, %v", out, err)
		}
		cmd := exec.CommandContext(ctx, binary, "sever")
		var exit *exec.ExitError
		if out, err := cmd.Output(); !errors.As(err, &exit) || exit.ExitCode() != 2 || len(out) != 0 || !strings.Contains(string(exit.Stderr), `weir: there is no command "sever"`) {
			t.Errorf("%q, %v", out, err)
		}
	})
}
