package graph

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/weir-dev/weir/graph/model"
)

// TestKindsAreKnown: each reason and each state of a pending task that the engine tells has its value in the schema. The
// engine's are passed on as text, so no compiler sees one that is missing.
func TestKindsAreKnown(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../engine/explain.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{"ReasonKind": {}, "TaskState": {}}
	for _, k := range model.AllWaitKind {
		known["ReasonKind"][string(k)] = true
	}
	for _, s := range model.AllPendingTaskState {
		known["TaskState"][string(s)] = true
	}
	found := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		typ, ok := spec.Type.(*ast.Ident)
		if !ok || known[typ.Name] == nil {
			return true
		}
		for _, v := range spec.Values {
			value, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found[typ.Name]++
			if !known[typ.Name][value] {
				t.Errorf("the schema lacks %s %s", typ.Name, value)
			}
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if found[name] != len(known[name]) {
			t.Errorf("%s: the engine has %d, the schema %d", name, found[name], len(known[name]))
		}
	}
}
