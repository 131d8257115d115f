package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-dev/weir/examples/ingest/files"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// endless is the size of a file that nobody counts to its end. It has a length, but takes no room.
const endless = 1 << 40

// TestResumesAfterKill kills the command in the middle of its work, and runs it again.
//
// It reads two files at once. Two of them are endless, so the run gets as far as the second of these and no
// further: what comes before is counted, the two are being read, the rest has not begun. That is the moment of the
// kill. Before the second run they are made short.
func TestResumesAfterKill(t *testing.T) {
	t.Parallel()
	h := harness.New(t)
	binary := filepath.Join(t.TempDir(), "ingest")
	build := exec.CommandContext(h.Ctx, "go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const (
		total  = 60
		first  = 10 // of the endless files
		second = 31
	)
	paths := make([]string, total)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("%02d.txt", i))
		text := fmt.Sprintf("file %d\n%s", i, strings.Repeat("and one more line\n", i))
		if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resize(t, paths[first], endless)
	resize(t, paths[second], endless)
	journal := filepath.Join(t.TempDir(), "journal")
	command := func() *exec.Cmd {
		return exec.CommandContext(h.Ctx, binary, "-database", h.DSN, "-id", "run", "-at-once", "2", "-journal", journal, dir)
	}

	killed := command()
	killed.Stderr = t.Output()
	stdout, err := killed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	const before = second - 1 // all before the second endless file but the first one
	want := fmt.Sprintf("counted %d of %d files", before, total)
	for lines := bufio.NewScanner(stdout); ; {
		if !lines.Scan() {
			t.Fatalf("the output ends without %q", want)
		}
		if lines.Text() == want {
			break
		}
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := killed.Wait(); err == nil {
		t.Fatal("it ended by itself")
	}
	counted := append(slices.Clone(paths[:first]), paths[first+1:second]...)
	if got := read(t, journal); !slices.Equal(got, counted) {
		t.Fatalf("counted before the kill: %v", got)
	}

	resize(t, paths[first], 0)
	resize(t, paths[second], 0)
	again := command()
	again.Stderr = t.Output()
	out, err := again.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		fmt.Sprintf("Run run was begun before: %d of %d files are counted already\n", before, total),
		fmt.Sprintf("counted %d of %d files\n", total, total),
		fmt.Sprintf("in %d files\n", total),
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if got := read(t, journal); !slices.Equal(got, paths) {
		t.Errorf("counted in both runs: %v", got)
	}
	report, err := files.Ingest.Instance(h.Client, "run").Wait(h.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for i := range paths {
		if i != first && i != second {
			lines += i + 1
		}
	}
	if report.Lines != int64(lines) || report.Failed != 0 {
		t.Errorf("got %d lines, want %d; %d failed", report.Lines, lines, report.Failed)
	}
}

func resize(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// read returns the lines of a file, sorted.
func read(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n"))
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("one two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("TheSameFilesAreTheSameRun", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		var first, again bytes.Buffer
		if err := run(h.Ctx, []string{"-database", h.DSN, dir}, &first); err != nil {
			t.Fatal(err)
		}
		if err := run(h.Ctx, []string{"-database", h.DSN, dir}, &again); err != nil {
			t.Fatal(err)
		}
		_, table, ok := strings.Cut(first.String(), "counted 1 of 1 files\n")
		if !ok || !strings.Contains(table, "  1      2      8  ") {
			t.Errorf("got %s", first.String())
		}
		if !strings.Contains(again.String(), "was begun before: 1 of 1 files are counted already\n") || !strings.HasSuffix(again.String(), table) {
			t.Errorf("got %s", again.String())
		}
		if n := h.Number("SELECT count(*) FROM weir.instances"); n != 1 {
			t.Errorf("%d instances", n)
		}
	})
	t.Run("Interrupted", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		ctx, cancel := context.WithCancel(h.Ctx)
		defer cancel()
		large := t.TempDir()
		for _, name := range []string{"1", "2"} {
			if err := os.WriteFile(filepath.Join(large, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		resize(t, filepath.Join(large, "2"), endless)
		err := run(ctx, []string{"-database", h.DSN, "-id", "run", large}, writerFunc(func(p []byte) {
			if bytes.Contains(p, []byte("counted 1 of 2")) {
				cancel()
			}
		}))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		resize(t, filepath.Join(large, "2"), 5)
		var out bytes.Buffer
		if err := run(h.Ctx, []string{"-database", h.DSN, "-id", "run", large}, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "1 of 2 files are counted already") || !strings.Contains(out.String(), "  5  ") {
			t.Errorf("got %s", out.String())
		}
	})
	t.Run("UnreadableFiles", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		good := filepath.Join(dir, "a.txt")
		// A file that has gone since the run was begun.
		job := files.Job{Files: []string{good, filepath.Join(dir, "gone.txt")}}
		if _, err := files.Ingest.Start(h.Ctx, h.Client, job); err != nil {
			t.Fatal(err)
		}
		id := h.Text("SELECT id FROM weir.instances")
		var out bytes.Buffer
		err := run(h.Ctx, []string{"-database", h.DSN, "-id", id, good}, &out)
		if want := "1 of 2 files could not be read"; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(out.String(), "gone.txt: no such file") {
			t.Errorf("got %s", out.String())
		}
	})
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"NoArguments":  {nil, "name the files or folders to count"},
		"MissingPath":  {[]string{dir + "/gone"}, dir + "/gone: no such file or directory"},
		"EmptyFolder":  {[]string{t.TempDir()}, "there are no files in this folder"},
		"AtOnce":       {[]string{"-at-once", "0", dir}, "-at-once: want at least 1"},
		"Journal":      {[]string{"-journal", dir + "/no/such/folder", dir}, "journal: open " + dir},
		"BadDatabase":  {[]string{"-database", "postgres://localhost:1/none?connect_timeout=1", dir}, "connect"},
		"UnknownFlags": {[]string{"-x"}, "-x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := run(t.Context(), test.args, &out); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
