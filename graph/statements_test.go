package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph"
)

// TestStatementsByField: what an operation asks of Postgres does not grow with the rows that it shows.
func TestStatementsByField(t *testing.T) {
	var asked counter
	a := serve(t, func(_ *graph.Config, p *pgxpool.Config) { p.ConnConfig.Tracer = &asked })
	for n := range 20 {
		_, err := a.engine.Start(a.ctx, engine.StartRequest{
			Hub: "default", Name: "unserved", ID: fmt.Sprintf("i-%02d", n), Input: history.Text(fmt.Sprintf(`"%d"`, n)), Tags: map[string]string{"k": "v"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func(query string) int64 {
		t.Helper()
		ask[map[string]any](a, query, nil) // plans, hubs and others that are kept for a while
		before := asked.n.Load()
		ask[map[string]any](a, query, nil)
		return asked.n.Load() - before
	}
	for _, f := range schemaOf().Types["Orchestration"].Fields {
		if strings.HasPrefix(f.Name, "__") || slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool { return a.Type.NonNull && a.DefaultValue == nil }) {
			continue
		}
		query := func(rows int) string {
			return fmt.Sprintf(`{ orchestrations(hub: "default", first: %d) { nodes { %s%s } } }`, rows, f.Name, leaves(f.Type.Name()))
		}
		few, many := count(query(2)), count(query(20))
		switch grows := many > few+1; { // one more if a hub's moment has passed
		case grows && !priced[f.Name]:
			t.Errorf("%s takes %d statements for 2 rows, %d for 20", f.Name, few, many)
		case !grows && priced[f.Name]:
			t.Errorf("%s takes %d statements for 2 rows and %d for 20: it need not be priced", f.Name, few, many)
		}
	}
	// All together on one instance, as its page asks.
	if n := count(`{ orchestration(hub: "default", instanceId: "i-00") { hub { name maxDeaths } waiting { text } input { text } output { text } customStatus { text } parent { instanceId }
		children(first: 5) { nodes { id } } history(first: 50) { lastSeq } progress(first: 5) { nodes { seq } } pendingTasks { taskId } timeline { total } pendingMessages { id } } }`); n > 16 {
		t.Errorf("the page of an instance takes %d statements", n)
	}
}

// priced are the fields that read for each instance by itself. They are for the page of one; their complexity keeps long
// lists from asking for them.
var priced = map[string]bool{
	"waiting": true, "children": true, "history": true, "progress": true, "pendingTasks": true, "timeline": true, "pendingMessages": true,
}

// leaves selects the fields of a type that have no arguments and no fields of their own.
func leaves(name string) string {
	def := schemaOf().Types[name]
	if def.Kind == ast.Scalar || def.Kind == ast.Enum {
		return ""
	}
	var out strings.Builder
	out.WriteString(" { __typename")
	for _, f := range def.Fields {
		kind := schemaOf().Types[f.Type.Name()].Kind
		if len(f.Arguments) == 0 && (kind == ast.Scalar || kind == ast.Enum) {
			out.WriteString(" " + f.Name)
		}
	}
	return out.String() + " }"
}
