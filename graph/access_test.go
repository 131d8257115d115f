package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// guarded is an API that knows its callers by tokens.
type guarded struct {
	*api
	tokens map[string]string // secrets by name
}

// serveKnown serves the API to who has a token.
func serveKnown(t *testing.T, configure ...func(*graph.Config, *pgxpool.Config)) *guarded {
	t.Helper()
	a := serve(t, configure...)
	gate := &auth.Gate{Verifiers: []auth.Verifier{auth.Tokens(engine.TokenPrefix, func(ctx context.Context, secret string) (*auth.Found, error) {
		found, err := a.engine.FindToken(ctx, secret)
		if found == nil || err != nil {
			return nil, err
		}
		return &auth.Found{ID: found.ID, Name: found.Name, Grants: found.Grants}, nil
	}, auth.Options{})}}
	a.server.Config.Handler = gate.Protect(a.handler, graph.Refuse)
	return &guarded{api: a, tokens: map[string]string{}}
}

// token makes a token with grants, such as "default=READER,OPERATOR other=ADMIN".
func (g *guarded) token(grants string) string {
	g.t.Helper()
	if secret, ok := g.tokens[grants]; ok {
		return secret
	}
	all := map[string][]string{}
	for part := range strings.FieldsSeq(grants) {
		hub, roles, _ := strings.Cut(part, "=")
		all[hub] = strings.Split(roles, ",")
	}
	_, secret, err := g.engine.CreateToken(g.ctx, engine.TokenRequest{Name: grants, Grants: all, By: "test"})
	if err != nil {
		g.t.Fatal(err)
	}
	g.tokens[grants] = secret
	return secret
}

type answered struct {
	status int
	raw    string
	Data   map[string]json.RawMessage `json:"data"`
	Errors []apiError                 `json:"errors"`
}

// into reads what was answered.
func (a answered) into(t *testing.T, data any) {
	t.Helper()
	if len(a.Errors) > 0 {
		t.Fatal(a.raw)
	}
	out := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal([]byte(a.raw), &out); err != nil {
		t.Fatal(err)
	}
}

// as sends an operation with a token, or with none.
func (g *guarded) as(secret, query string, variables vars) answered {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.ctx, http.MethodPost, g.server.URL, strings.NewReader(string(body)))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	out := answered{status: resp.StatusCode, raw: string(raw)}
	if err := json.Unmarshal(raw, &out); err != nil {
		g.t.Fatalf("%v: %s", err, raw)
	}
	return out
}

// code is how an operation of one field ended: OK, or the code of its error.
func (a answered) code() string {
	if len(a.Errors) > 0 {
		return a.Errors[0].Extensions.Code
	}
	for _, data := range a.Data {
		var payload struct {
			Errors []struct {
				Code string `json:"code"`
			} `json:"errors"`
		}
		if json.Unmarshal(data, &payload) == nil && len(payload.Errors) > 0 {
			return payload.Errors[0].Code
		}
		if string(data) == "null" {
			return "NULL"
		}
	}
	return "OK"
}

func schemaOf() *ast.Schema { return generated.NewExecutableSchema(generated.Config{}).Schema() }

// TestEveryRootFieldRequires: none can be forgotten.
func TestEveryRootFieldRequires(t *testing.T) {
	t.Parallel()
	n := 0
	for _, root := range []*ast.Definition{schemaOf().Query, schemaOf().Mutation, schemaOf().Subscription} {
		for _, f := range root.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			n++
			d := f.Directives.ForName("requires")
			switch {
			case d == nil:
				t.Errorf("%s.%s does not say what it requires", root.Name, f.Name)
			case d.Arguments.ForName("permission") == nil && f.Name != "viewer" && f.Name != "server" && f.Name != "queryCost":
				t.Errorf("%s.%s requires no permission", root.Name, f.Name)
			case root.Name == "Mutation" && d.Arguments.ForName("permission").Value.Raw == string(auth.Read):
				t.Errorf("%s.%s changes something for who may only read", root.Name, f.Name)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d fields were seen", n)
	}
}

// sample makes a value for an argument of a type: what is required, and nothing else. Hubs and ids are those given.
func sample(t *ast.Type, name string, given map[string]any) any {
	if v, ok := given[name]; ok {
		return v
	}
	if t.Elem != nil {
		return []any{sample(t.Elem, name, given)}
	}
	def := schemaOf().Types[t.NamedType]
	switch def.Kind {
	case ast.Enum:
		return def.EnumValues[0].Name
	case ast.InputObject:
		out := map[string]any{}
		for _, f := range def.Fields {
			if _, ok := given[f.Name]; ok || f.Type.NonNull && f.DefaultValue == nil {
				out[f.Name] = sample(f.Type, f.Name, given)
			}
		}
		return out
	}
	switch t.NamedType {
	case "Int", "Long", "Float":
		return 1
	case "Boolean":
		return true
	case "DateTime":
		return time.Now().UTC().Format(time.RFC3339)
	case "JSON":
		return map[string]any{}
	}
	return "x" + name
}

// operationOn makes an operation of one root field.
func operationOn(kind string, f *ast.FieldDefinition, given map[string]any) (string, vars) {
	v := vars{}
	var declared, passed []string
	for _, a := range f.Arguments {
		if _, ok := given[a.Name]; !ok && (!a.Type.NonNull || a.DefaultValue != nil) {
			continue
		}
		v[a.Name] = sample(a.Type, a.Name, given)
		declared = append(declared, "$"+a.Name+": "+a.Type.String())
		passed = append(passed, a.Name+": $"+a.Name)
	}
	query := kind + " "
	if len(declared) > 0 {
		query += "(" + strings.Join(declared, ", ") + ")"
	}
	query += " { " + f.Name
	if len(passed) > 0 {
		query += "(" + strings.Join(passed, ", ") + ")"
	}
	query += selection(f.Type.Name()) + " }"
	return query, v
}

// selection is the fields of an answer that tell what it is.
func selection(name string) string {
	def := schemaOf().Types[name]
	switch {
	case def.Kind == ast.Scalar || def.Kind == ast.Enum:
		return ""
	case def.Fields.ForName("errors") != nil:
		return " { errors { code message } }"
	case def.Fields.ForName("nodes") != nil:
		return " { nodes { __typename } }"
	}
	return " { __typename }"
}

// TestEveryMutationIsRefused: without credentials, with the wrong role, in another hub; each is in the audit log, and
// nothing has changed. A mutation that is added to the schema is tried like the others.
func TestEveryMutationIsRefused(t *testing.T) {
	g := serveKnown(t)
	if err := g.engine.EnsureHub(g.ctx, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.engine.Start(g.ctx, engine.StartRequest{Hub: "default", Name: "unserved", ID: "it"}); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		t.Helper()
		err := g.pool.QueryRow(g.ctx, `SELECT (SELECT count(*) FROM weir.instances) + (SELECT count(*) FROM weir.schedules) + (SELECT count(*) FROM weir.hubs)
			+ (SELECT count(*) FROM weir.batch_operations) + (SELECT count(*) FROM weir.inbox) + (SELECT sum(seq) FROM weir.instances)`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	given := map[string]any{"hub": "default", "instanceId": "it", "reason": "test"}
	tried := 0
	for _, f := range schemaOf().Mutation.Fields {
		query, v := operationOn("mutation", f, given)
		d := f.Directives.ForName("requires")
		needs := auth.Permission(d.Arguments.ForName("permission").Value.Raw)
		scope := "HUB"
		if s := d.Arguments.ForName("scope"); s != nil {
			scope = s.Value.Raw
		}
		if a := g.as("", query, v); a.status != http.StatusUnauthorized || a.code() != "UNAUTHENTICATED" {
			t.Errorf("%s without credentials: %d %s", f.Name, a.status, a.raw)
		}
		if a := g.as(engine.TokenPrefix+strings.Repeat("x", 43), query, v); a.status != http.StatusUnauthorized {
			t.Errorf("%s with a token that is none: %d %s", f.Name, a.status, a.raw)
		}
		for _, role := range auth.Roles {
			if slices.Contains(role.Permissions(), needs) && scope == "HUB" {
				continue
			}
			want := "FORBIDDEN"
			if scope == "HUB" && !slices.Contains(role.Permissions(), auth.Read) {
				want = "NOT_FOUND"
			}
			tried++
			if a := g.as(g.token("default="+string(role)), query, v); a.code() != want {
				t.Errorf("%s by a %s: %s, want %s", f.Name, role, a.raw, want)
			}
		}
		if scope == "HUB" { // all of another hub, nothing of this
			if a := g.as(g.token("other=ADMIN"), query, v); a.code() != "NOT_FOUND" || !strings.Contains(a.raw, `there is no hub \"default\"`) {
				t.Errorf("%s by who has nothing to do with the hub: %s", f.Name, a.raw)
			}
			tried++
		}
	}
	if after := count(); after != before {
		t.Errorf("something was changed: %d, then %d", before, after)
	}
	g.until("every result is written", func() bool {
		var n, open int
		err := g.pool.QueryRow(g.ctx, `SELECT count(*), count(*) FILTER (WHERE r.result IS NULL) FROM weir.audit_log l LEFT JOIN weir.audit_results r ON r.entry = l.no`).Scan(&n, &open)
		return err == nil && n == tried && open == 0
	})
	if tried < 140 {
		t.Errorf("only %d were tried", tried)
	}
	for _, secret := range g.tokens {
		if strings.Contains(g.logs.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}

// TestNoCrossReads: 1,000 operations at random by callers with roles at random, held against the table of roles (I14).
func TestNoCrossReads(t *testing.T) {
	g := serveKnown(t)
	hubs := []string{"default", "alpha", "beta"}
	for _, hub := range hubs {
		if err := g.engine.EnsureHub(g.ctx, hub); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			_, err := g.engine.Start(g.ctx, engine.StartRequest{
				Hub: hub, Name: "unserved", ID: fmt.Sprintf("of-%s-%d", hub, n), Input: history.Text(`"secret of ` + hub + `"`),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	type caller struct {
		grants map[string][]auth.Role
		secret string
	}
	var callers []caller
	for range 12 {
		c := caller{grants: map[string][]auth.Role{}}
		var parts []string
		for _, hub := range append(hubs, auth.AllHubs) {
			if random.IntN(3) == 0 || hub == auth.AllHubs && len(parts) == 0 {
				role := auth.Roles[random.IntN(len(auth.Roles))]
				c.grants[hub] = []auth.Role{role}
				parts = append(parts, hub+"="+string(role))
			}
		}
		slices.Sort(parts)
		c.secret = g.token(strings.Join(parts, " "))
		callers = append(callers, c)
	}
	fields := slices.DeleteFunc(slices.Clone(schemaOf().Query.Fields), func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
	const instance = `{ id instanceId input { text redacted } hub { name } parent { instanceId } }`
	for n := range 1000 {
		c := callers[random.IntN(len(callers))]
		who := &auth.Principal{Grants: c.grants}
		hub := hubs[random.IntN(len(hubs))]
		id := fmt.Sprintf("of-%s-%d", hub, random.IntN(3))
		var (
			query string
			v     vars
		)
		switch random.IntN(4) {
		case 0:
			query = `query($hub: String!, $id: String!) { orchestration(hub: $hub, instanceId: $id) ` + instance + ` }`
			v = vars{"hub": hub, "id": id}
		case 1:
			query = `query($hub: String!) { orchestrations(hub: $hub) { nodes ` + instance + ` } }`
			v = vars{"hub": hub}
		case 2:
			query = `query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Orchestration ` + instance + ` ... on TaskHub { name } } hubs { nodes { name } } }`
			ids := []string{}
			for _, h := range hubs {
				ids = append(ids, model.EncodeID("Orchestration", h, fmt.Sprintf("of-%s-0", h)), model.EncodeID("TaskHub", h, h), model.EncodeID("TaskHub", hub, h))
			}
			v = vars{"ids": ids}
		default:
			query, v = operationOn("query", fields[random.IntN(len(fields))], map[string]any{"hub": hub, "instanceId": id, "name": hub})
		}
		a := g.as(c.secret, query, v)
		for _, h := range hubs {
			if strings.Contains(a.raw, "of-"+h+"-") && !who.May(auth.Read, h) && !strings.Contains(fmt.Sprint(v), "of-"+h+"-") {
				t.Fatalf("seed %d, %d: %v reads of hub %s: %s %v: %s", seed, n, c.grants, h, query, v, a.raw)
			}
			if strings.Contains(a.raw, `"name":"`+h+`"`) && !who.May(auth.Read, h) {
				t.Fatalf("seed %d, %d: %v sees the hub %s: %s %v: %s", seed, n, c.grants, h, query, v, a.raw)
			}
			if strings.Contains(a.raw, "secret of "+h) && !who.May(auth.ReadValues, h) {
				t.Fatalf("seed %d, %d: %v sees values of hub %s: %s %v: %s", seed, n, c.grants, h, query, v, a.raw)
			}
		}
		if who.May(auth.ReadValues, hub) && strings.Contains(query, "orchestration(hub: $hub, instanceId: $id) "+instance) && !strings.Contains(a.raw, "secret of "+hub) {
			t.Fatalf("seed %d, %d: %v does not see what it may: %s", seed, n, c.grants, a.raw)
		}
	}
	if strings.Contains(g.logs.String(), "secret of") {
		t.Error("a value is in the log")
	}
}

// TestRedaction: who may not see values sees that there are some, and none of them, wherever they show.
func TestRedaction(t *testing.T) {
	g := serveKnown(t)
	g.worker(nil, Waiter.Handler(waiter))
	secretive := func(s string) history.Payload { return history.Text(`"marker-` + s + `"`) }
	if _, err := g.engine.Start(g.ctx, engine.StartRequest{Hub: "default", Name: "waiter", ID: "w", Input: history.Text("1")}); err != nil {
		t.Fatal(err)
	}
	if err := g.engine.Raise(g.ctx, engine.RaiseRequest{Hub: "default", Instance: "w", Name: "go", Input: secretive("event")}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.engine.Wait(g.ctx, "default", "w"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.engine.Start(g.ctx, engine.StartRequest{Hub: "default", Name: "unserved", ID: "u", Input: secretive("input")}); err != nil {
		t.Fatal(err)
	}
	const everything = `{ orchestrations(hub: "default") { nodes { instanceId doingNow waiting { text } customStatus { text redacted } input { text size redacted } output { text redacted }
		failure { message redacted } history(first: 50) { events { __typename ... on ExecutionStarted { input { text } } ... on EventRaised { payload { text redacted } } ... on ExecutionCompleted { result { text } } } }
		progress(first: 5) { nodes { value { text } } } } } hub(name: "default") { failureGroups(window: "1h") { message } } }`
	seen, hidden := g.as(g.token("default=READER"), everything, nil), g.as(g.token("default=OPERATOR"), everything, nil)
	for name, a := range map[string]answered{"reader": seen, "operator": hidden} {
		if len(a.Errors) > 0 {
			t.Fatalf("%s: %s", name, a.raw)
		}
	}
	if n := strings.Count(seen.raw, "marker-"); n < 3 || strings.Contains(seen.raw, `"redacted":true`) {
		t.Errorf("a reader sees %d values: %s", n, seen.raw)
	}
	if strings.Contains(hidden.raw, "marker-") || !strings.Contains(hidden.raw, `"redacted":true`) {
		t.Errorf("an operator sees %s", hidden.raw)
	}
	for _, filter := range []vars{{"input": `$ starts with "marker"`}, {"output": "$ != null"}, {"failureText": "marker"}} {
		a := g.as(g.token("default=OPERATOR"), `query($f: OrchestrationFilter) { orchestrations(hub: "default", filter: $f) { nodes { id } } }`, vars{"f": filter})
		if a.code() != "FORBIDDEN" {
			t.Errorf("an operator looks by %v: %s", filter, a.raw)
		}
	}
}

// TestTokens: made, used, revoked; nobody gives more than they have; bad input is named.
func TestTokens(t *testing.T) {
	g := serveKnown(t)
	const create = `mutation($input: CreateApiTokenInput!) { createApiToken(input: $input) { token { id name grants { hub roles } createdBy expiresAt } secret errors { code message path } } }`
	admin := g.token("*=ADMIN")
	type made struct {
		CreateAPIToken struct {
			Token  *struct{ ID, Name, CreatedBy string }
			Secret *string
			Errors []struct {
				Code, Message string
				Path          []string
			}
		} `json:"createApiToken"`
	}
	do := func(secret string, input vars) (out made) {
		t.Helper()
		g.as(secret, create, vars{"input": input}).into(t, &out)
		return out
	}
	grant := func(hub string, roles ...string) []vars {
		return []vars{{"hub": hub, "roles": append([]string{}, roles...)}}
	}
	first := do(admin, vars{"name": "ci", "grants": grant("default", "CONTRIBUTOR"), "expiresAt": time.Now().Add(time.Hour).Format(time.RFC3339)}).CreateAPIToken
	if first.Token == nil || first.Secret == nil || !strings.HasPrefix(*first.Secret, engine.TokenPrefix) || len(first.Errors) > 0 {
		t.Fatalf("got %+v", first)
	}
	for name, test := range map[string]struct {
		input vars
		code  string
		field string
	}{
		"no name":       {vars{"name": " ", "grants": grant("default", "READER")}, "INVALID_ARGUMENT", "name"},
		"a long name":   {vars{"name": strings.Repeat("x", 101), "grants": grant("default", "READER")}, "INVALID_ARGUMENT", "name"},
		"no grants":     {vars{"name": "x", "grants": []vars{}}, "INVALID_ARGUMENT", "grants"},
		"no roles":      {vars{"name": "x", "grants": grant("default")}, "INVALID_ARGUMENT", "grants"},
		"no such hub":   {vars{"name": "x", "grants": grant("nowhere", "READER")}, "NOT_FOUND", "grants"},
		"in the past":   {vars{"name": "x", "grants": grant("default", "READER"), "expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_ARGUMENT", "expiresAt"},
		"for too long":  {vars{"name": "x", "grants": grant("default", "READER"), "expiresAt": "2999-01-01T00:00:00Z"}, "INVALID_ARGUMENT", "expiresAt"},
		"a zero inside": {vars{"name": "a\x00b", "grants": grant("default", "READER")}, "INVALID_ARGUMENT", "name"},
	} {
		got := do(admin, test.input).CreateAPIToken
		if got.Token != nil || got.Secret != nil || len(got.Errors) != 1 || got.Errors[0].Code != test.code || !slices.Contains(got.Errors[0].Path, test.field) {
			t.Errorf("%s: %+v", name, got)
		}
	}

	// What it is for, and whose it is.
	viewer := g.as(*first.Secret, `{ viewer { subject name kind roles { hub roles } here: permissions(hub: "default") everywhere: permissions } }`, nil)
	for _, want := range []string{`"subject":"token:` + first.Token.ID, `"name":"ci"`, `"kind":"TOKEN"`, `"here":["READ","READ_VALUES","CONTROL","START","PURGE"]`, `"everywhere":[]`} {
		if !strings.Contains(viewer.raw, want) {
			t.Errorf("the viewer is %s, want %s in it", viewer.raw, want)
		}
	}
	list := g.as(admin, `{ apiTokens(first: 200) { nodes { id name revokedAt lastUsedAt } } }`, nil)
	if !strings.Contains(list.raw, first.Token.ID) || strings.Contains(list.raw, *first.Secret) {
		t.Errorf("the list is %s", list.raw)
	}
	var stored int
	if err := g.pool.QueryRow(g.ctx, "SELECT count(*) FROM weir.api_tokens t WHERE t::text LIKE '%' || $1 || '%'", *first.Secret).Scan(&stored); err != nil || stored != 0 {
		t.Errorf("the secret is stored: %d, %v", stored, err)
	}

	// It ends when it is revoked, or has expired.
	const revoke = `mutation($id: ID!) { revokeApiToken(input: {id: $id}) { token { revokedAt revokedBy } errors { code } } }`
	if a := g.as(admin, revoke, vars{"id": first.Token.ID}); a.code() != "OK" || !strings.Contains(a.raw, `"revokedBy":"token:`) {
		t.Errorf("revoked: %s", a.raw)
	}
	if a := g.as(*first.Secret, "{ viewer { subject } }", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d %s", a.status, a.raw)
	}
	for _, id := range []string{"nothing", "", "\x00"} {
		if a := g.as(admin, revoke, vars{"id": id}); a.code() != "NOT_FOUND" {
			t.Errorf("revoke %q: %s", id, a.raw)
		}
	}
	short := do(admin, vars{"name": "short", "grants": grant("*", "READER"), "expiresAt": time.Now().Add(time.Hour).Format(time.RFC3339)}).CreateAPIToken
	if a := g.as(*short.Secret, "{ viewer { subject } }", nil); a.status != http.StatusOK {
		t.Fatalf("a fresh token: %s", a.raw)
	}
	if _, err := g.pool.Exec(g.ctx, "UPDATE weir.api_tokens SET expires_at = now() - interval '1 second' WHERE id = $1", short.Token.ID); err != nil {
		t.Fatal(err)
	}
	if a := g.as(*short.Secret, "{ viewer { subject } }", nil); a.status != http.StatusUnauthorized {
		t.Errorf("an expired token: %d %s", a.status, a.raw)
	}
}

// TestRoleBindings: given, listed, taken away.
func TestRoleBindings(t *testing.T) {
	g := serveKnown(t)
	admin := g.token("*=ADMIN")
	const set, remove = `mutation($input: RoleBindingInput!) { setRoleBinding(input: $input) { errors { code path } } }`, `mutation($input: RoleBindingInput!) { removeRoleBinding(input: $input) { errors { code path } } }`
	binding := vars{"subject": "group:ops", "hub": "default", "role": "OPERATOR"}
	for _, step := range []struct{ query, code string }{{set, "OK"}, {set, "OK"}, {remove, "OK"}, {remove, "NOT_FOUND"}, {set, "OK"}} {
		if a := g.as(admin, step.query, vars{"input": binding}); a.code() != step.code {
			t.Errorf("%s: %s, want %s", step.query, a.raw, step.code)
		}
	}
	for name, bad := range map[string]vars{
		"nobody": {"subject": "", "hub": "default", "role": "READER"}, "no form": {"subject": "ann", "hub": "default", "role": "READER"},
		"no group": {"subject": "group:", "hub": "default", "role": "READER"}, "too long": {"subject": "group:" + strings.Repeat("x", 500), "hub": "default", "role": "READER"},
	} {
		if a := g.as(admin, set, vars{"input": bad}); a.code() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	if a := g.as(admin, set, vars{"input": vars{"subject": "group:x", "hub": "nowhere", "role": "READER"}}); a.code() != "NOT_FOUND" {
		t.Errorf("no such hub: %s", a.raw)
	}
	if a := g.as(admin, `{ roleBindings { nodes { subject hub role createdBy } } }`, nil); strings.Count(a.raw, "group:ops") != 1 {
		t.Errorf("the list is %s", a.raw)
	}
	roles, err := g.engine.RolesOf(g.ctx, []string{"group:ops", "group:other"})
	if err != nil || !maps.EqualFunc(roles, map[string][]string{"default": {"OPERATOR"}}, slices.Equal) {
		t.Errorf("%v, %v", roles, err)
	}
}

type auditEntry struct {
	Actor, ActorName, Kind, Action, Address, RequestID string
	Hub, Target, Reason, Result                        *string
}

// TestAuditLog: each change has its entry, with who, what, why and how it ended; who administers one hub sees that one.
func TestAuditLog(t *testing.T) {
	g := serveKnown(t)
	if err := g.engine.EnsureHub(g.ctx, "other"); err != nil {
		t.Fatal(err)
	}
	const start, end = `mutation($hub: String!, $id: String!) { startOrchestration(input: {hub: $hub, name: "unserved", instanceId: $id}) { errors { code } } }`,
		`mutation($hub: String!, $id: String!, $reason: String!) { terminateOrchestration(input: {hub: $hub, instanceId: $id, reason: $reason}) { errors { code } } }`
	contributor, other := g.token("default=CONTRIBUTOR"), g.token("other=CONTRIBUTOR")
	g.as(contributor, start, vars{"hub": "default", "id": "a"})
	g.as(contributor, end, vars{"hub": "default", "id": "a", "reason": "was wrong"})
	g.as(contributor, end, vars{"hub": "default", "id": "missing", "reason": "\x00" + strings.Repeat("ü", 5000)})
	g.as(other, start, vars{"hub": "other", "id": "b"})
	type page struct {
		AuditLog struct {
			Nodes    []auditEntry
			PageInfo struct {
				HasNextPage bool
				EndCursor   *string
			}
		}
	}
	read := func(secret string, filter vars, first int, after *string) (out page) {
		t.Helper()
		a := g.as(secret, `query($f: AuditFilter, $n: Int!, $after: String) { auditLog(filter: $f, first: $n, after: $after) {
			nodes { actor actorName kind action address requestId hub target reason result } pageInfo { hasNextPage endCursor } } }`, vars{"f": filter, "n": first, "after": after})
		a.into(t, &out)
		return out
	}
	admin := g.token("default=ADMIN")
	g.until("the results are written", func() bool {
		nodes := read(admin, nil, 50, nil).AuditLog.Nodes
		return len(nodes) == 3 && !slices.ContainsFunc(nodes, func(n auditEntry) bool { return n.Result == nil })
	})
	nodes := read(admin, nil, 50, nil).AuditLog.Nodes
	if n := nodes[1]; n.Action != "terminateOrchestration" || *n.Target != "a" || *n.Reason != "was wrong" || *n.Result != "OK" || *n.Hub != "default" ||
		n.ActorName != "default=CONTRIBUTOR" || n.Kind != "TOKEN" || n.Address != "127.0.0.1" || n.RequestID == "" {
		t.Errorf("got %+v", n)
	}
	if n := nodes[0]; *n.Result == "OK" || len(*n.Reason) > 4010 {
		t.Errorf("got %+v", n)
	}
	if n := read(g.token("*=ADMIN"), nil, 50, nil).AuditLog.Nodes; len(n) != 4 {
		t.Errorf("who administers all sees %d", len(n))
	}
	for _, c := range []struct {
		filter vars
		want   int
	}{{vars{"refused": true}, 1}, {vars{"action": "startOrchestration"}, 1}, {vars{"target": "a"}, 2}, {vars{"hub": "other"}, 0}, {vars{"until": "2020-01-01T00:00:00Z"}, 0}, {vars{"actor": "nobody"}, 0}} {
		if n := read(admin, c.filter, 50, nil).AuditLog.Nodes; len(n) != c.want {
			t.Errorf("by %v there are %d, want %d", c.filter, len(n), c.want)
		}
	}
	var all int
	for after := (*string)(nil); ; {
		p := read(admin, nil, 2, after).AuditLog
		if all += len(p.Nodes); !p.PageInfo.HasNextPage {
			break
		}
		after = p.PageInfo.EndCursor
	}
	if all != 3 {
		t.Errorf("page by page there are %d", all)
	}
	if a := g.as(contributor, `{ auditLog { nodes { actor } } }`, nil); a.code() != "FORBIDDEN" {
		t.Errorf("who administers nothing reads %s", a.raw)
	}
}

// TestOusted: a connection ends soon after its token is revoked, or has other rights.
func TestOusted(t *testing.T) {
	g := serveKnown(t, func(c *graph.Config, _ *pgxpool.Config) { c.Recheck = 20 * time.Millisecond })
	connect := func(secret string) *socket {
		t.Helper()
		s := g.dialWith(http.Header{"Authorization": {"Bearer " + secret}})
		s.write(message{Type: "connection_init"})
		if m := s.read(); m.Type != "connection_ack" {
			t.Fatalf("got %+v", m)
		}
		s.subscribe("1", changesQuery, nil)
		next[changes](s)
		return s
	}
	for _, c := range []struct {
		change string
		code   int
	}{
		{"UPDATE weir.api_tokens SET revoked_at = now() WHERE name = $1", 4401},
		{`UPDATE weir.api_tokens SET grants = '{"default": ["WORKER"]}' WHERE name = $1`, 4403},
	} {
		grants := fmt.Sprintf("default=READER other%d=READER", c.code)
		s := connect(g.token(grants))
		if _, err := g.pool.Exec(g.ctx, c.change, grants); err != nil {
			t.Fatal(err)
		}
		if code, why := s.closed(); int(code) != c.code || why == "" {
			t.Errorf("%s: closed with %d %q, want %d", c.change, code, why, c.code)
		}
	}
	s := connect(g.token("default=READER"))
	s.write(message{Type: "complete", ID: "1"})
	_ = s.conn.CloseNow()
	g.until("all are gone", func() bool { return g.handler.Stats() == graph.Stats{} })
}
