package files_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/ingest/files"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// write writes files below a folder of the test's own and returns the folder.
func write(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestIngest(t *testing.T) {
	t.Parallel()
	t.Run("CountsEachFileOnce", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		contents := map[string]string{}
		for i := range 40 {
			contents[fmt.Sprintf("%d/%02d.txt", i%3, i)] = strings.Repeat("two words\n", i)
		}
		paths, err := files.Find([]string{write(t, contents)})
		if err != nil {
			t.Fatal(err)
		}
		var (
			mu      sync.Mutex
			counted []string
		)
		h.Worker(files.Handlers(func(path string) {
			mu.Lock()
			defer mu.Unlock()
			counted = append(counted, path)
		})...)
		run, err := files.Ingest.Start(h.Ctx, h.Client, files.Job{Files: paths, AtOnce: 3})
		if err != nil {
			t.Fatal(err)
		}
		report, err := run.Wait(h.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		const lines = 39 * 40 / 2
		if report.Lines != lines || report.Words != 2*lines || report.Bytes != 10*lines || report.Failed != 0 {
			t.Errorf("got %d lines, %d words, %d bytes, %d failed", report.Lines, report.Words, report.Bytes, report.Failed)
		}
		for i, f := range report.Files {
			if f.Path != paths[i] {
				t.Errorf("file %d is %s, want %s", i, f.Path, paths[i])
			}
		}
		slices.Sort(counted)
		if !slices.Equal(counted, paths) {
			t.Errorf("counted %v", counted)
		}
		harness.Reaches(h, run, "all are done", func(p files.Progress) bool { return p == files.Progress{Done: 40, Total: 40} })
	})
	t.Run("UnreadableFilesAreReported", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		h.Worker(files.Handlers(nil)...)
		dir := write(t, map[string]string{"a.txt": "fine\n"})
		job := files.Job{Files: []string{dir + "/a.txt", dir, dir + "/gone.txt"}}
		run, err := files.Ingest.Start(h.Ctx, h.Client, job)
		if err != nil {
			t.Fatal(err)
		}
		report, err := run.Wait(h.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		if report.Lines != 1 || report.Failed != 2 {
			t.Errorf("got %+v", report)
		}
		if got := report.Files[1].Error; !strings.Contains(got, dir) || !strings.Contains(got, "is a directory") {
			t.Errorf("got %q", got)
		}
		if got := report.Files[2].Error; !strings.Contains(got, "gone.txt: no such file") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("NoFiles", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		h.Worker(files.Handlers(nil)...)
		run, err := files.Ingest.Start(h.Ctx, h.Client, files.Job{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Wait(h.Ctx); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Sample", func(t *testing.T) {
		t.Parallel()
		h := harness.New(t)
		h.Worker(files.Handlers(nil)...)
		dir := filepath.Join(t.TempDir(), "new")
		paths, err := files.WriteSample(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := files.WriteSample(dir); err != nil || !slices.Equal(again, paths) {
			t.Errorf("again: %v, %v", again, err)
		}
		run, err := files.Ingest.Start(h.Ctx, h.Client, files.Job{Files: paths})
		if err != nil {
			t.Fatal(err)
		}
		if report, err := run.Wait(h.Ctx); err != nil || report.Failed != 0 || report.Words < 100 {
			t.Errorf("got %+v, %v", report, err)
		}
	})
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"b.txt": "b", "a.txt": "a", "sub/c.txt": "c", "sub/deep/d": ""})
	if err := os.MkdirAll(filepath.Join(dir, "empty", "too"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.txt", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) []string {
		for i := range names {
			names[i] = filepath.Join(dir, names[i])
		}
		return names
	}
	all := in("a.txt", "b.txt", "sub/c.txt", "sub/deep/d")
	for _, test := range []struct {
		name       string
		args, want []string
	}{
		{"AFolder", in("."), all},
		{"FilesAndFoldersEachOnce", in("sub", "b.txt", "sub/c.txt", "b.txt"), in("b.txt", "sub/c.txt", "sub/deep/d")},
		{"ALinkThatIsNamed", in("link"), in("link")},
		{"ALinkToAFolderThatIsNamed", in("folder"), in("sub/c.txt", "sub/deep/d")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := files.Find(test.args)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	t.Run("Faults", func(t *testing.T) {
		t.Parallel()
		fifo := filepath.Join(dir, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := files.Find(append(in("gone", "empty", "a.txt"), fifo))
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{
			dir + "/gone: no such file", dir + "/empty: there are no files in this folder", dir + "/fifo: is neither a file nor a folder",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %q: %v", want, err)
			}
		}
	})
	t.Run("NamesThatAreNotUTF8", func(t *testing.T) {
		t.Parallel()
		odd := t.TempDir()
		err := os.WriteFile(filepath.Join(odd, "caf\xe9"), nil, 0o600)
		if runtime.GOOS == "darwin" { // its file systems have no such names
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err = files.Find([]string{odd}); err == nil || !strings.Contains(err.Error(), `caf\xe9": the name is not valid UTF-8`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ManyFaultsAreCutShort", func(t *testing.T) {
		t.Parallel()
		args := make([]string, 25)
		for i := range args {
			args[i] = fmt.Sprintf("%s/gone%d", dir, i)
		}
		if _, err := files.Find(args); err == nil || !strings.HasSuffix(err.Error(), "\nand 15 more") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TooManyFiles", func(t *testing.T) {
		t.Parallel()
		many := t.TempDir()
		for i := range files.MaxFiles + 1 {
			// Links to one file are as many names, and quicker to make.
			if i == 0 {
				if err := os.WriteFile(many+"/0", nil, 0o600); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Link(many+"/0", fmt.Sprintf("%s/%d", many, i)); err != nil {
				t.Fatal(err)
			}
		}
		want := "20001 files, at most 20000 fit into one run"
		if _, err := files.Find([]string{many}); err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
}

func TestRunID(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"a": "one", "b": "two"})
	id := func() string {
		t.Helper()
		id, err := files.RunID([]string{dir + "/a", dir + "/b"})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := id()
	if id() != first {
		t.Error("the id changes though no file does")
	}
	if err := os.WriteFile(dir+"/b", []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id() == first {
		t.Error("the id stays though a file has changed")
	}
}
