package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Bounds of an operation.
const (
	maxQuery      = 64 << 10 // bytes of the document: values belong into variables, and documents are remembered
	maxTokens     = 5000
	maxDepth      = 12
	maxAliases    = 30 // of one field in one place
	maxRoots      = 10
	maxFields     = 5000 // with fragments written out
	maxComplexity = 20_000
	maxDefinition = 15 // depth below __schema and __type
)

// shape bounds the form of an operation: how long and how deep it is, how many fields it has when its fragments
// are written out, and how many times one field is asked for beside itself.
type shape struct {
	// introspection lets operations ask for the schema.
	introspection bool
}

var (
	_ graphql.OperationParameterMutator = shape{}
	_ graphql.OperationContextMutator   = shape{}
)

// ExtensionName implements graphql.HandlerExtension.
func (shape) ExtensionName() string { return "Shape" }

// Validate implements graphql.HandlerExtension.
func (shape) Validate(graphql.ExecutableSchema) error { return nil }

func beyond(code, format string, args ...any) *gqlerror.Error { return refusal(code, format, args...) }

// MutateOperationParameters implements graphql.OperationParameterMutator.
func (shape) MutateOperationParameters(_ context.Context, p *graphql.RawParams) *gqlerror.Error {
	if len(p.Query) > maxQuery {
		return beyond("QUERY_LIMIT_EXCEEDED", "the query has %d bytes, at most %d are allowed: values belong into variables", len(p.Query), maxQuery)
	}
	return nil
}

// MutateOperationContext implements graphql.OperationContextMutator.
func (s shape) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	set := op.Operation.SelectionSet
	sizes := sizes{}
	if sizes.of(set) > maxFields {
		return beyond("COMPLEXITY_LIMIT_EXCEEDED", "the operation has more than %d fields when its fragments are written out", maxFields)
	}
	roots, meta := 0, false
	each(set, func(f *ast.Field) {
		roots++
		meta = meta || f.Name == "__schema" || f.Name == "__type"
	})
	if meta && !s.introspection {
		return beyond(codeForbidden, "introspection is off here: the schema is served as a file, below this address at /schema.graphql")
	}
	if roots > maxRoots {
		return beyond("ALIAS_LIMIT_EXCEEDED", "the operation has %d fields at its root, at most %d are allowed", roots, maxRoots)
	}
	return checkShape([]ast.SelectionSet{set}, 1, nil)
}

// sizes is how many fields the fragments are when written out, each computed once: fragments that name each other
// twice grow by powers of two.
type sizes map[*ast.FragmentDefinition]int

func (s sizes) of(set ast.SelectionSet) int {
	n := 0
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			n += 1 + s.of(sel.SelectionSet)
		case *ast.InlineFragment:
			n += s.of(sel.SelectionSet)
		case *ast.FragmentSpread:
			size, known := s[sel.Definition]
			if !known && sel.Definition != nil {
				s[sel.Definition] = 0 // validation has refused cycles; if not, this ends them
				size = s.of(sel.Definition.SelectionSet)
				s[sel.Definition] = size
			}
			n += size
		}
		n = min(n, maxFields+1)
	}
	return n
}

// each visits the fields of one place, fragments written out.
func each(set ast.SelectionSet, visit func(*ast.Field)) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			visit(sel)
		case *ast.InlineFragment:
			each(sel.SelectionSet, visit)
		case *ast.FragmentSpread:
			if sel.Definition != nil {
				each(sel.Definition.SelectionSet, visit)
			}
		}
	}
}

// checkShape checks one place of the operation, whose fields are those of all sets, and what is below. meta holds
// the lists of the schema's description that have been entered, nil outside of it.
func checkShape(sets []ast.SelectionSet, depth int, meta []string) *gqlerror.Error {
	limit := maxDepth
	if meta != nil {
		limit = maxDefinition
	}
	if depth > limit {
		return beyond("DEPTH_LIMIT_EXCEEDED", "the operation is deeper than %d levels", limit)
	}
	var (
		names    = map[string]int{}
		children = map[string][]ast.SelectionSet{} // by the key in the answer: fields of one key are merged
		fields   = map[string]*ast.Field{}
		order    []string
		bad      *gqlerror.Error
	)
	for _, set := range sets {
		each(set, func(f *ast.Field) {
			if _, merged := fields[f.Alias]; merged {
				children[f.Alias] = append(children[f.Alias], f.SelectionSet)
				return
			}
			if names[f.Name]++; names[f.Name] > maxAliases && bad == nil {
				bad = beyond("ALIAS_LIMIT_EXCEEDED", "the field %s is asked for more than %d times in one place", f.Name, maxAliases)
			}
			fields[f.Alias] = f
			children[f.Alias] = append(children[f.Alias], f.SelectionSet)
			order = append(order, f.Alias)
		})
	}
	for _, key := range order {
		if bad != nil {
			return bad
		}
		f := fields[key]
		below, inside, err := enter(f, depth+1, meta)
		if err != nil {
			return err
		}
		if len(f.SelectionSet) > 0 {
			bad = checkShape(children[key], below, inside)
		}
	}
	return bad
}

// enter follows the schema's description, whose lists refer to each other: each may be entered once on a path,
// which is what tools ask for, and more would grow by powers.
func enter(f *ast.Field, depth int, meta []string) (int, []string, *gqlerror.Error) {
	if meta == nil {
		if f.Name == "__schema" || f.Name == "__type" {
			return 1, []string{}, nil
		}
		return depth, nil, nil
	}
	if f.Definition != nil && strings.HasPrefix(f.Definition.Type.String(), "[") {
		if slices.Contains(meta, f.Name) {
			return 0, nil, beyond("DEPTH_LIMIT_EXCEEDED", "%s is asked for below itself", f.Name)
		}
		meta = append(meta[:len(meta):len(meta)], f.Name)
	}
	return depth, meta, nil
}
