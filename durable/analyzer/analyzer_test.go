package analyzer_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/weir-dev/weir/durable/analyzer"
)

func TestRules(t *testing.T) {
	t.Parallel()
	analysistest.Run(t, analysistest.TestData(), analyzer.Analyzer, "orders", "plain")
}

// TestVet: as a tool of go vet, it finds what the testdata has wrong, and nothing in the examples.
func TestVet(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "weirvet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "./cmd/weirvet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	vet := func(pkg string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", "vet", "-vettool="+tool, pkg)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := vet("./testdata/vet")
	for _, want := range []string{"vet.go:13:2: the order of a map", "vet.go:18:9: time.Now: the time is another"} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("go vet does not say %q: %v\n%s", want, err, out)
		}
	}
	if out, err := vet("../../examples/..."); err != nil {
		t.Errorf("in the examples it finds %v\n%s", err, out)
	}
}
