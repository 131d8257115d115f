package cli_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	_ "github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/weir-dev/weir/cli"
	"github.com/weir-dev/weir/graph"
)

// TestOperations holds every operation against the schema, and the type that its answer is read into against what it asks for:
// no field is asked for in vain, and none is read that is not asked for, or is null where the type cannot be.
func TestOperations(t *testing.T) {
	t.Parallel()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema", Input: graph.Schema()})
	if err != nil {
		t.Fatal(err)
	}
	if len(cli.Operations()) < 35 {
		t.Fatalf("there are %d operations", len(cli.Operations()))
	}
	for _, o := range cli.Operations() {
		doc, errs := gqlparser.LoadQueryWithRules(schema, o.Text, nil)
		if len(errs) > 0 {
			t.Errorf("%s\n%v", o.Text, errs)
			continue
		}
		op := doc.Operations[0]
		field, ok := op.SelectionSet[0].(*ast.Field)
		if !ok || field.Alias != "done" || len(op.SelectionSet) != 1 {
			t.Errorf("%s\nwant one field, done", o.Text)
			continue
		}
		compare(t, op.Name+" "+field.Name, o.Data, field.Definition.Type, field.SelectionSet)
	}
}

var raw = reflect.TypeFor[json.RawMessage]()

// compare holds a type of Go against a type of the schema and what is asked for of it.
func compare(t *testing.T, at string, goes reflect.Type, is *ast.Type, selected ast.SelectionSet) {
	t.Helper()
	if goes == raw {
		return
	}
	if goes.Kind() == reflect.Pointer {
		goes = goes.Elem()
	} else if !is.NonNull && goes.Kind() != reflect.Slice && strings.Contains(at, ".") {
		t.Errorf("%s may be null, and %s cannot", at, goes)
	}
	if is.Elem != nil {
		if goes.Kind() != reflect.Slice {
			t.Errorf("%s is a list, and is read into %s", at, goes)
			return
		}
		compare(t, at+".of", goes.Elem(), is.Elem, selected)
		return
	}
	want := map[string]reflect.Kind{"Int": reflect.Int, "Float": reflect.Float64, "String": reflect.String, "Long": reflect.String, "DateTime": reflect.String, "ID": reflect.String, "Boolean": reflect.Bool, "JSON": reflect.Slice}
	kind, scalar := want[is.NamedType]
	switch {
	case len(selected) == 0 && !scalar: // an enum
		kind = reflect.String
	case len(selected) > 0:
		kind = reflect.Struct
	}
	if goes.Kind() != kind {
		t.Errorf("%s is %s, and is read into %s", at, is, goes)
		return
	}
	if kind != reflect.Struct {
		return
	}
	asked := map[string]*ast.Field{}
	var collect func(ast.SelectionSet)
	collect = func(set ast.SelectionSet) {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				asked[s.Alias] = s
			case *ast.FragmentSpread:
				collect(s.Definition.SelectionSet)
			case *ast.InlineFragment:
				collect(s.SelectionSet)
			}
		}
	}
	collect(selected)
	read := map[string]bool{}
	for _, f := range reflect.VisibleFields(goes) {
		if f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		read[name] = true
		of := asked[name]
		switch {
		case of == nil && name == "retryable", of == nil && name == "existing" && strings.Contains(at, "runSchedule"), of == nil && name == "existing" && strings.Contains(at, "redriveOrchestration"):
		case of == nil:
			t.Errorf("%s.%s is read and not asked for", at, name)
		default:
			compare(t, at+"."+name, f.Type, of.Definition.Type, of.SelectionSet)
		}
	}
	for name := range asked {
		if !read[name] {
			t.Errorf("%s.%s is asked for and not read", at, name)
		}
	}
}
