package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestHello(t *testing.T) {
	t.Setenv("WEIR_DATABASE_URL", weirtest.Pool(t).Config().ConnString())
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != "hello Ada, hello Grace" {
		t.Errorf("it said %q", got)
	}
}

// TestReadme: the program that the README shows is this one.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(readme), "```go\n")
	shown, _, closed := strings.Cut(shown, "```\n")
	if !found || !closed {
		t.Fatal("the README shows no program")
	}
	for part := range strings.SplitSeq(shown, "\n// ...\n") {
		if part = strings.Trim(part, "\n"); !strings.Contains(string(program), part) {
			t.Errorf("the README shows what examples/hello/main.go does not have:\n%s", part)
		}
	}
}
