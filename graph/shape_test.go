package graph

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	gqlcomplexity "github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/weir-dev/weir/graph/generated"
)

// covered are list fields without a cost of their own, and why that is so.
var covered = map[string]string{
	"Orchestration.allowedActions":     "no more than there are actions",
	"OrchestrationConnection.edges":    "counted by orchestrations(first)",
	"OrchestrationConnection.nodes":    "counted by orchestrations(first)",
	"TaskHubConnection.edges":          "counted by hubs(first)",
	"TaskHubConnection.nodes":          "counted by hubs(first)",
	"OrchestrationDelta.upserts":       "counted by orchestrationChanges(first)",
	"OrchestrationDelta.leaves":        "counted by orchestrationChanges(first)",
	"WorkerConnection.edges":           "counted by workers(first)",
	"WorkerConnection.nodes":           "counted by workers(first)",
	"WorkerDelta.upserts":              "counted by the subscription workers",
	"WorkerDelta.leaves":               "counted by the subscription workers",
	"HistoryPage.events":               "counted by history(first)",
	"OrchestrationPayload.errors":      "one",
	"PurgePayload.errors":              "one",
	"ProgressConnection.edges":         "counted by progress(first)",
	"ProgressConnection.nodes":         "counted by progress(first)",
	"ProgressPage.records":             "counted by progressAppended",
	"ScheduleConnection.edges":         "counted by schedules(first)",
	"ScheduleConnection.nodes":         "counted by schedules(first)",
	"SchedulePayload.errors":           "one",
	"RunSchedulePayload.errors":        "one",
	"BackfillSchedulePayload.errors":   "one",
	"EntityConnection.edges":           "counted by entities(first)",
	"EntityConnection.nodes":           "counted by entities(first)",
	"DeadLetterConnection.edges":       "counted by deadLetters(first)",
	"DeadLetterConnection.nodes":       "counted by deadLetters(first)",
	"RedriveDeadLettersPayload.errors": "one",
	"SetMaxDeathsPayload.errors":       "one",
	"CreateHubPayload.errors":          "one",
	"EntityPayload.errors":             "one",
	"ApiTokenConnection.edges":         "counted by apiTokens(first)",
	"ApiTokenConnection.nodes":         "counted by apiTokens(first)",
	"RoleBindingConnection.edges":      "counted by roleBindings(first)",
	"RoleBindingConnection.nodes":      "counted by roleBindings(first)",
	"AuditEntryConnection.edges":       "counted by auditLog(first)",
	"AuditEntryConnection.nodes":       "counted by auditLog(first)",
	"CreateApiTokenPayload.errors":     "one",
	"ApiTokenPayload.errors":           "one",
	"RoleBindingPayload.errors":        "one",
	"CallEntityPayload.errors":         "one",
	"CleanEntitiesPayload.errors":      "one",
	"AlertRuleConnection.edges":        "counted by alertRules(first)",
	"AlertRuleConnection.nodes":        "counted by alertRules(first)",
	"AlertRulePayload.errors":          "one",
	"WebhookConnection.edges":          "counted by webhooks(first)",
	"WebhookConnection.nodes":          "counted by webhooks(first)",
	"WebhookPayload.errors":            "one",
	"BatchOperationConnection.edges":   "counted by batchOperations(first)",
	"BatchOperationConnection.nodes":   "counted by batchOperations(first)",
	"BatchOperationPayload.errors":     "one",
	"RetentionPayload.errors":          "one",
	"UserError.path":                   "two names",
	"LimitConnection.edges":            "counted by limits(first)",
	"LimitConnection.nodes":            "counted by limits(first)",
	"LimitPayload.errors":              "one",
}

// TestEveryListHasACost: a field that returns a list, or a page of one, costs more the more it may hold. gqlgen
// itself counts a list as one.
func TestEveryListHasACost(t *testing.T) {
	t.Parallel()
	es := generated.NewExecutableSchema(generated.Config{Complexity: complexity()})
	schema, defs := types(t)
	seen := 0
	for _, def := range defs {
		if def.Kind != ast.Object {
			continue
		}
		for _, f := range def.Fields {
			paged := slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool {
				return slices.Contains([]string{"first", "last", "limit", "ids"}, a.Name)
			})
			page := strings.HasSuffix(f.Type.Name(), "Connection") || f.Type.Name() == "HistoryPage" || def == schema.Subscription && f.Type.Name() == "OrchestrationDelta"
			if f.Type.Elem == nil && !paged && !page {
				continue
			}
			name := def.Name + "." + f.Name
			args := map[string]any{}
			for _, a := range f.Arguments {
				switch {
				case a.DefaultValue != nil:
					v, err := a.DefaultValue.Value(nil)
					if err != nil {
						t.Fatal(err)
					}
					args[a.Name] = v
				case a.Type.Elem != nil && a.Type.NonNull:
					args[a.Name] = []any{"a", "b"}
				case a.Type.NonNull:
					args[a.Name] = "x"
				}
			}
			const child = 1000
			cost, ok := es.Complexity(context.Background(), def.Name, f.Name, child, args)
			if _, known := covered[name]; known {
				if ok {
					t.Errorf("%s has a cost, and is listed as having none", name)
				}
				seen++
				continue
			}
			least := 2 * child
			if f.Type.Name() == "Count" || f.Type.Name() == "StatusCounts" {
				least = child + 10 // one row, whose counting takes a statement
			}
			if !ok || cost < least {
				t.Errorf("%s costs %d with children of %d: it needs an entry in complexity()", name, cost, child)
			}
		}
	}
	if seen != len(covered) {
		t.Errorf("%d of %d fields listed as covered exist", seen, len(covered))
	}
}

// judge parses an operation as the server does, and applies the bounds.
func judge(t *testing.T, query string, variables map[string]any) (code string) {
	t.Helper()
	es := generated.NewExecutableSchema(generated.Config{Complexity: complexity()})
	if err := (shape{introspection: true}).MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query}); err != nil {
		return err.Extensions["code"].(string)
	}
	doc, err := gqlparser.LoadQueryWithRules(es.Schema(), query, rules.NewDefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	op := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0], Variables: variables}
	if err := (shape{introspection: true}).MutateOperationContext(t.Context(), op); err != nil {
		return err.Extensions["code"].(string)
	}
	if gqlcomplexity.Calculate(t.Context(), es, op.Operation, variables) > maxComplexity {
		return "COMPLEXITY_LIMIT_EXCEEDED"
	}
	return ""
}

const (
	listPage = `query($first: Int) { orchestrations(hub: "default", first: $first) { pageInfo { hasNextPage endCursor } totalCount { value exact }
		statusCounts { all pending running suspended completed failed canceled terminated exact }
		nodes { id instanceId name version status generation createdAt startedAt lastEventAt finishedAt scheduledAt doingNow held { kind message }
			customStatus { text } failure { type message } parent { instanceId name } lastSeq allowedActions } } }`
	instancePage = `query { orchestration(hub: "default", instanceId: "a") { id instanceId name status waiting { kind text since until subject parts { text strong at style } }
		pendingTasks { taskId name state attempt startedAt nextAttemptAt lastError worker } input { size encoding text truncated } output { size text }
		failure { type message stack inner { type message inner { type message } } } parent { instanceId }
		history(first: 5000) { lastSeq hasMore reset events { __typename seq at type
			... on TaskScheduled { taskId name version step native queue input { size text(maxBytes: 2048) truncated(maxBytes: 2048) } }
			... on TaskCompleted { taskId result { size text(maxBytes: 2048) } startedAt worker attempts earlier { n message } } } } } }`
	introspection = `query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name } types { ...FullType }
			directives { name description locations args { ...InputValue } } } }
		fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
			inputFields { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
		fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
		fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }`
)

// bomb is fragments that each name the next one twice: 2^n fields in a few bytes.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("{ ...F0 ...F0 }")
	for i := range n {
		fmt.Fprintf(&b, " fragment F%d on Query { ...F%d ...F%d }", i, i+1, i+1)
	}
	fmt.Fprintf(&b, " fragment F%d on Query { server { version } }", n)
	return b.String()
}

// deepFailure asks for failures in failures; Query, orchestration and n of them make n + 2 levels and the leaf.
func deepFailure(n int) string {
	return `{ orchestration(hub: "default", instanceId: "a") { failure { ` + strings.Repeat("inner { ", n-1) + "type" + strings.Repeat(" }", n-1) + " } } }"
}

func aliases(n int, field string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: %s ", i, field)
	}
	return b.String()
}

func TestShape(t *testing.T) {
	t.Parallel()
	spread := func(n int) string { // aliases of one field spread over fragments in one place
		var b strings.Builder
		b.WriteString("{ server { ")
		for i := range n {
			fmt.Fprintf(&b, "... on ServerInfo { a%d: version } ", i)
		}
		return b.String() + "} }"
	}
	merged := func(n int) string { // fields of one key, whose children come together
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "server { a%d: version } ", i)
		}
		return "{ " + b.String() + "}"
	}
	for name, test := range map[string]struct {
		query string
		vars  map[string]any
		want  string
	}{
		"list page":              {listPage, map[string]any{"first": 200}, ""},
		"instance page":          {instancePage, nil, ""},
		"a tool's query":         {introspection, nil, ""},
		"deep enough":            {deepFailure(maxDepth - 2 - 1), nil, ""},
		"too deep":               {deepFailure(maxDepth), nil, "DEPTH_LIMIT_EXCEEDED"},
		"as many aliases":        {"{ server { " + aliases(maxAliases, "version") + "} }", nil, ""},
		"too many aliases":       {"{ server { " + aliases(maxAliases+1, "version") + "} }", nil, "ALIAS_LIMIT_EXCEEDED"},
		"aliases in fragments":   {spread(maxAliases + 1), nil, "ALIAS_LIMIT_EXCEEDED"},
		"aliases in merged":      {merged(maxAliases + 1), nil, "ALIAS_LIMIT_EXCEEDED"},
		"as many roots":          {"{ " + aliases(maxRoots, "server { version }") + "}", nil, ""},
		"too many roots":         {"{ " + aliases(maxRoots+1, "server { version }") + "}", nil, "ALIAS_LIMIT_EXCEEDED"},
		"fragment bomb":          {bomb(40), nil, "COMPLEXITY_LIMIT_EXCEEDED"},
		"long query":             {"# " + strings.Repeat("x", maxQuery) + "\n{ server { version } }", nil, "QUERY_LIMIT_EXCEEDED"},
		"history of a long list": {`{ orchestrations(hub: "default", first: 200) { nodes { history(first: 5000) { events { seq at } } } } }`, nil, "COMPLEXITY_LIMIT_EXCEEDED"},
		"huge first":             {`query($n: Int) { orchestrations(hub: "default", first: $n) { nodes { waiting { text } history { lastSeq } } } }`, map[string]any{"n": int64(1<<31 - 1)}, "COMPLEXITY_LIMIT_EXCEEDED"},
		"nested description":     {"{ __schema { types { fields { type { fields { name } } } } } }", nil, "DEPTH_LIMIT_EXCEEDED"},
		"deep description":       {`{ __type(name: "Query") { ` + strings.Repeat("ofType { ", 15) + "name" + strings.Repeat(" }", 16) + " }", nil, "DEPTH_LIMIT_EXCEEDED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := judge(t, test.query, test.vars); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
