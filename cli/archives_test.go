package cli_test

import (
	"bytes"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/weir-dev/weir/cli"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// command runs one of the commands as from a command line, and returns what it says.
func command(t *testing.T, e *engine.Engine, args ...string) (out, progress string, err error) {
	t.Helper()
	var o, p strings.Builder
	f, err := cli.ParseFiles(args[0], args[1:], &o)
	if err == nil {
		err = f.Run(t.Context(), e, &o, &p)
	}
	return o.String(), p.String(), err
}

func count(t *testing.T, e *engine.Engine, hub string, statuses ...history.Status) (n int64) {
	t.Helper()
	counts, _, err := e.Counts(t.Context(), hub, engine.Filter{Statuses: statuses}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		n += c
	}
	return n
}

var ended = []history.Status{history.Completed, history.Failed, history.Canceled, history.Terminated}

// TestFiles exports, imports and archives from the command line, to folders and to a store that speaks S3.
func TestFiles(t *testing.T) {
	e := deployed(t)
	dir := t.TempDir()
	all := count(t, e, "default", ended...)
	orders := func() int64 {
		c, _, err := e.Counts(t.Context(), "default", engine.Filter{Name: "order", Statuses: []history.Status{history.Completed}}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return c[history.Completed]
	}
	if all < 5 || orders() == 0 {
		t.Fatalf("%d instances have ended", all)
	}

	file := filepath.Join(dir, "exported", "all.jsonl.gz")
	if _, said, err := command(t, e, "export", "--hub", "default", "-o", file); err != nil || !strings.Contains(said, " instances exported.") {
		t.Fatalf("said %q, %v", said, err)
	}
	piped, _, err := command(t, e, "export", "--hub", "default", "--name", "order", "--status", "completed", "-o", "-")
	if err != nil || !strings.HasPrefix(piped, "\x1f\x8b") {
		t.Errorf("the pipe has %.10q, %v", piped, err)
	}
	if _, _, err := command(t, e, "export", "--hub", "default", "-o", file); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
	if _, said, err := command(t, e, "import", "--hub", "copy", file); err != nil || !strings.Contains(said, "imported, 0 existed") {
		t.Errorf("said %q, %v", said, err)
	}
	if n := count(t, e, "copy", ended...); n != all {
		t.Errorf("%d of %d are in the copy", n, all)
	}
	if _, _, err := command(t, e, "import", "--hub", "copy", file); !errors.Is(err, engine.ErrExists) {
		t.Errorf("imported again: %v", err)
	}
	if _, said, err := command(t, e, "import", "--hub", "copy", "--existing", "skip", file); err != nil || !strings.Contains(said, "0 instances imported") {
		t.Errorf("imported again, said %q, %v", said, err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:len(whole)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := command(t, e, "import", "--hub", "damaged", file); err == nil || !strings.Contains(err.Error(), "the file is damaged") {
		t.Errorf("a damaged file: %v", err)
	}
	if _, err := e.Hub(t.Context(), "damaged"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a damaged file has made a hub: %v", err)
	}

	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	where := "s3://backups/weir?region=us-east-1&endpoint=" + server.URL
	done := orders()
	if _, said, err := command(t, e, "archive", "--hub", "default", "--name", "order", "--status", "COMPLETED", "--older-than", "1ms", "--dry-run"); err != nil || !strings.Contains(said, "would be archived") || orders() != done {
		t.Errorf("said %q, %v", said, err)
	}
	_, said, err := command(t, e, "archive", "--hub", "default", "--name", "order", "--status", "COMPLETED", "--older-than", "1ms", "--per-file", "2", "--to", where)
	if err != nil || !strings.Contains(said, "6 instances archived in 3 files.") || strings.Contains(said, "changed") || orders() != 0 {
		t.Fatalf("said %q, %v, and %d are left", said, err, orders())
	}
	files := 0
	for line := range strings.Lines(said) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), ".jsonl.gz"); ok {
			files++
			from := "s3://backups/weir/" + name + ".jsonl.gz?region=us-east-1&endpoint=" + server.URL
			if _, said, err := command(t, e, "import", "--hub", "default", from); err != nil {
				t.Errorf("%s: said %q, %v", name, said, err)
			}
		}
	}
	if files != int(done+1)/2 || orders() != done {
		t.Errorf("%d instances came back from %d files, want %d", orders(), files, done)
	}
	server.Close()
	if _, _, err := command(t, e, "archive", "--hub", "default", "--older-than", "1ms", "--to", where); err == nil || orders() != done {
		t.Errorf("with the store gone: %v, and %d are left", err, orders())
	}
	for name, args := range map[string][]string{
		"export":  {"export", "--hub", "nowhere", "-o", "-"},
		"archive": {"archive", "--hub", "nowhere", "--older-than", "1d", "--to", dir},
		"dry run": {"archive", "--hub", "nowhere", "--older-than", "1d", "--dry-run"},
	} {
		if _, _, err := command(t, e, args...); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s of no hub: %v", name, err)
		}
	}
	if _, _, err := command(t, e, "import", "--hub", "default", filepath.Join(dir, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestFilesUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"export":                                 "name the hub with --hub",
		"export --hub x":                         "name the file with -o",
		"export --hub x -o f --status running":   "allowed are COMPLETED, FAILED, CANCELED and TERMINATED",
		"export --hub x -o f --older-than 3":     "no length of time",
		"export --hub x -o f --older-than -3d":   "must be positive",
		"export --hub x -o f more":               `"more" is no flag`,
		"import --hub x":                         "name the file",
		"import --hub x --existing replace f":    "allowed are refuse and skip",
		"import --hub x f g":                     `"g" is no flag`,
		"archive --hub x --to /tmp":              "--older-than",
		"archive --hub x --older-than 30d":       "name the place with --to",
		"archive --hub x --older-than 3d --skip": "flag provided but not defined",
	} {
		words := strings.Fields(args)
		_, err := cli.ParseFiles(words[0], words[1:], &bytes.Buffer{})
		var usage cli.Usage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "weir "+words[0]+" --help") {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	var out strings.Builder
	if _, err := cli.ParseFiles("archive", []string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-per-file") || !strings.Contains(out.String(), "WEIR_DATABASE_URL") {
		t.Errorf("help is %v:\n%s", err, out.String())
	}
}
