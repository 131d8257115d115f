package house

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rowsOf lists the rows that docs/features.md has to tell of.
func rowsOf() []string {
	var rows []string
	for _, r := range []struct {
		letter   string
		from, to int
	}{
		{"O", 1, 7},
		{"O", 10, 30},
		{"O", 40, 46},
		{"O", 50, 65},
		{"E", 1, 14},
		{"S", 6, 7},
		{"S", 20, 23},
		{"T", 1, 12},
		{"P", 1, 7},
		{"X", 4, 4},
		{"X", 8, 8},
		{"X", 10, 11},
		{"X", 13, 13},
	} {
		for n := r.from; n <= r.to; n++ {
			rows = append(rows, fmt.Sprintf("%s-%02d", r.letter, n))
		}
	}
	return append(rows, "F16", "F18")
}

var (
	rowNames  = regexp.MustCompile(`^\| (([A-Z]-\d\d|F\d\d)?[^|]*) \| [^|]+ \|([^|]*)\|$`)
	testNames = regexp.MustCompile("`([a-z0-9/]+)/(Test[A-Za-z0-9]+)`")
	testFuncs = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(\w+ \*testing\.T\)`)
)

// TestFeaturesAreProved holds docs/features.md against the tests that are there: each row names at least one, and each
// that is named exists.
func TestFeaturesAreProved(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{} // by package
	told := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		row := rowNames.FindStringSubmatch(strings.TrimSpace(line))
		if row == nil || row[1] == "Row" || strings.HasPrefix(row[1], "---") {
			continue
		}
		if row[2] != "" && told[row[2]] {
			t.Errorf("row %s is there twice", row[2])
		}
		told[row[2]] = true
		proofs := testNames.FindAllStringSubmatch(row[3], -1)
		if len(proofs) == 0 {
			t.Errorf("row %q names no test", row[1])
		}
		for _, p := range proofs {
			if known[p[1]] == nil {
				known[p[1]] = testsIn(t, p[1])
			}
			if !known[p[1]][p[2]] {
				t.Errorf("row %q names %s, which %s does not have", row[1], p[2], p[1])
			}
		}
		if left := strings.TrimSpace(testNames.ReplaceAllString(row[3], "")); left != "" {
			t.Errorf("row %q has %q where only tests belong", row[1], left)
		}
	}
	for _, row := range rowsOf() {
		if !told[row] {
			t.Errorf("row %s is missing", row)
		}
	}
}

// testsIn returns the names of the tests of a package.
func testsIn(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	if pkg == "weir" { // the program itself
		pkg = ""
	}
	files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFuncs.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return names
}
