package graph

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/weir-dev/weir/graph/generated"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "testdata/schema.graphql"

// types lists the schema's own types.
func types(t *testing.T) (*ast.Schema, []*ast.Definition) {
	t.Helper()
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	var out []*ast.Definition
	for name, def := range schema.Types {
		if !def.BuiltIn && !strings.HasPrefix(name, "__") {
			out = append(out, def)
		}
	}
	slices.SortFunc(out, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return schema, out
}

// TestSchemaIsDescribedAndNamed: everything has a description, and names follow the rules.
func TestSchemaIsDescribedAndNamed(t *testing.T) {
	t.Parallel()
	var (
		schema, defs = types(t)
		pascal       = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]*)*$|^JSON$`)
		camel        = regexp.MustCompile(`^[a-z]+([A-Z][a-z]*)*$`)
		screaming    = regexp.MustCompile(`^[A-Z]+[0-9]*(_[A-Z]+)*$`)
		verb         = regexp.MustCompile(`^(start|create|raise|cancel|terminate|suspend|restart|put|pause|resume|delete|run|backfill|set|purge|signal|call|release|clean|rewind|redrive|revoke|remove|update|mute|rotate|test)[A-Z]`)
	)
	if len(defs) < 40 {
		t.Fatalf("the schema has %d types", len(defs))
	}
	// described also takes the description of the interface's field that a field implements.
	described := func(def *ast.Definition, f *ast.FieldDefinition) bool {
		if f.Description != "" {
			return true
		}
		return slices.ContainsFunc(def.Interfaces, func(name string) bool {
			i := schema.Types[name].Fields.ForName(f.Name)
			return i != nil && i.Description != ""
		})
	}
	for _, def := range defs {
		if def.Description == "" && def.Kind != ast.Object || def.Description == "" && def.Kind == ast.Object {
			t.Errorf("%s has no description", def.Name)
		}
		if !pascal.MatchString(def.Name) {
			t.Errorf("%s: the names of types are singular and PascalCase", def.Name)
		}
		if def.Kind == ast.InputObject && !strings.HasSuffix(def.Name, "Input") && !strings.HasSuffix(def.Name, "Filter") {
			t.Errorf("%s: the names of inputs end in Input or Filter", def.Name)
		}
		for _, f := range def.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			if !described(def, f) {
				t.Errorf("%s.%s has no description", def.Name, f.Name)
			}
			if !camel.MatchString(f.Name) {
				t.Errorf("%s.%s: the names of fields are camelCase", def.Name, f.Name)
			}
			for _, a := range f.Arguments {
				if a.Description == "" {
					t.Errorf("%s.%s(%s) has no description", def.Name, f.Name, a.Name)
				}
				if !camel.MatchString(a.Name) {
					t.Errorf("%s.%s(%s): the names of arguments are camelCase", def.Name, f.Name, a.Name)
				}
			}
		}
		for _, v := range def.EnumValues {
			// The types of events are named as the types are, and described there.
			if def.Name == "HistoryEventType" {
				if schema.Types[v.Name] == nil || schema.Types[v.Name].Description == "" {
					t.Errorf("%s.%s is no described type", def.Name, v.Name)
				}
				continue
			}
			if v.Description == "" {
				t.Errorf("%s.%s has no description", def.Name, v.Name)
			}
			if !screaming.MatchString(v.Name) {
				t.Errorf("%s.%s: the names of enum values are SCREAMING", def.Name, v.Name)
			}
		}
	}
	for _, f := range schema.Mutation.Fields {
		if !verb.MatchString(f.Name) {
			t.Errorf("mutation %s does not begin with a verb", f.Name)
		}
		if len(f.Arguments) != 1 || f.Arguments[0].Name != "input" || !f.Arguments[0].Type.NonNull {
			t.Errorf("mutation %s: want one argument, input, not null", f.Name)
		}
		payload := schema.Types[f.Type.Name()]
		for _, want := range []string{"errors: [UserError!]!", "requestId: String!"} {
			name, kind, _ := strings.Cut(want, ": ")
			if g := payload.Fields.ForName(name); g == nil || g.Type.String() != kind {
				t.Errorf("%s has no field %s", payload.Name, want)
			}
		}
	}
}

// TestSchemaOnlyGrows compares with the schema that clients know. What is new is accepted with -update; what is
// gone or has another type breaks clients, and needs the golden file to be edited by hand first.
func TestSchemaOnlyGrows(t *testing.T) {
	t.Parallel()
	now := Schema()
	old, err := os.ReadFile(golden)
	if *update {
		if err == nil {
			if faults := breaks(t, string(old), now); len(faults) > 0 {
				t.Fatalf("clients break; if that is meant, delete %s first:\n%s", golden, strings.Join(faults, "\n"))
			}
		}
		if err := os.WriteFile(golden, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range breaks(t, string(old), now) {
		t.Errorf("clients break: %s", fault)
	}
	if string(old) != now {
		t.Errorf("the schema has changed: `go test ./graph -run TestSchemaOnlyGrows -update` writes %s anew", golden)
	}
}

// breaks lists what a client written for the old schema stumbles over with the new one.
func breaks(t *testing.T, oldText, newText string) []string {
	t.Helper()
	load := func(text string) *ast.Schema {
		s, err := gqlparser.LoadSchema(&ast.Source{Input: text})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var (
		was, is = load(oldText), load(newText)
		faults  []string
		say     = func(parts ...string) { faults = append(faults, strings.Join(parts, "")) }
	)
	for name, def := range was.Types {
		now := is.Types[name]
		if now == nil || now.Kind != def.Kind {
			say(name, " is gone or of another kind")
			continue
		}
		for _, i := range def.Interfaces {
			if !slices.Contains(now.Interfaces, i) {
				say(name, " does not implement ", i, " any more")
			}
		}
		for _, v := range def.EnumValues {
			if now.EnumValues.ForName(v.Name) == nil {
				say(name, ".", v.Name, " is gone")
			}
		}
		for _, f := range def.Fields {
			g := now.Fields.ForName(f.Name)
			switch {
			case g == nil:
				say(name, ".", f.Name, " is gone")
				continue
			case g.Type.String() != f.Type.String():
				say(name, ".", f.Name, " was ", f.Type.String(), " and is ", g.Type.String())
			}
			for _, a := range f.Arguments {
				b := g.Arguments.ForName(a.Name)
				switch {
				case b == nil:
					say(name, ".", f.Name, "(", a.Name, ") is gone")
				case b.Type.String() != a.Type.String():
					say(name, ".", f.Name, "(", a.Name, ") was ", a.Type.String(), " and is ", b.Type.String())
				}
			}
			for _, b := range g.Arguments {
				if f.Arguments.ForName(b.Name) == nil && b.Type.NonNull && b.DefaultValue == nil {
					say(name, ".", f.Name, "(", b.Name, ") is new and required")
				}
			}
		}
		for _, g := range now.Fields {
			if def.Kind == ast.InputObject && def.Fields.ForName(g.Name) == nil && g.Type.NonNull && g.DefaultValue == nil {
				say(name, ".", g.Name, " is new and required")
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// TestBreaksAreSeen makes sure that the comparison sees what it is for.
func TestBreaksAreSeen(t *testing.T) {
	t.Parallel()
	const base = `type Query { a(x: Int): String b: E c(i: I!): N } enum E { ONE TWO } input I { f: Int } interface N { id: ID! } type T implements N { id: ID! }`
	for change, want := range map[string]string{
		"a(x: Int): String b=>a(x: Int): Int b": "Query.a was String and is Int",
		"b: E =>":                               "Query.b is gone",
		"ONE TWO=>ONE":                          "E.TWO is gone",
		"a(x: Int)=>a(x: String)":               "Query.a(x) was Int and is String",
		"a(x: Int)=>a":                          "Query.a(x) is gone",
		"a(x: Int)=>a(x: Int, y: Int!)":         "Query.a(y) is new and required",
		"{ f: Int }=>{ f: Int g: Int! }":        "I.g is new and required",
		"type T implements N=>type T":           "T does not implement N any more",
	} {
		from, to, _ := strings.Cut(change, "=>")
		if got := breaks(t, base, strings.Replace(base, from, to, 1)); !slices.Contains(got, want) {
			t.Errorf("%s: %q, want %q", change, got, want)
		}
	}
	more := strings.Replace(base, "{ f: Int }", "{ f: Int g: Int! = 3 }", 1) + ` type New { x: Int }`
	if got := breaks(t, base, more); len(got) != 0 {
		t.Errorf("what is added breaks: %q", got)
	}
}
