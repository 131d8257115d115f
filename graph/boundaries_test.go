package graph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-dev/weir/engine"
)

// bounded is a list with pages, for TestBoundaries.
type bounded struct {
	// path is the list's place in a query, with %s for its arguments; other is a list of the same kind elsewhere: of another
	// hub, with another filter, or of another parent. Empty if there is only one list of the kind.
	path, other string
	// key is the field of a node that tells one from the others.
	key string
	// add makes one more row. Rows are numbered from 0 on.
	add func(a *api, n int)
}

// change carries out a mutation that must succeed.
func (a *api) change(field, input string, in vars) {
	a.t.Helper()
	got := ask[map[string]struct {
		Errors []struct{ Code, Message string }
	}](a,
		fmt.Sprintf(`mutation($input: %s!) { %s(input: $input) { errors { code message } } }`, input, field), vars{"input": in})
	if errs := got[field].Errors; len(errs) > 0 {
		a.t.Fatalf("%s: %+v", field, errs)
	}
}

func (a *api) exec(sql string, args ...any) {
	a.t.Helper()
	if _, err := a.pool.Exec(a.ctx, sql, args...); err != nil {
		a.t.Fatal(err)
	}
}

// boundedLists has every list with pages, by its type and field.
var boundedLists = map[string]bounded{
	"Query.hubs": {path: "hubs%s", key: "name", add: func(a *api, n int) { a.change("createHub", "CreateHubInput", vars{"name": fmt.Sprintf("hub-%d", n)}) }},
	"Query.orchestrations": {
		path: `orchestrations(hub: "default", %s`, other: `orchestrations(hub: "default", filter: {names: ["x"]}, %s`, key: "instanceId",
		add: func(a *api, n int) { a.must(a.start(vars{"name": "unserved", "instanceId": fmt.Sprint("i-", n)})) },
	},
	"Orchestration.children": {
		path: `orchestration(hub: "default", instanceId: "parent") { children%s }`, other: `orchestration(hub: "default", instanceId: "other") { children%s }`, key: "instanceId",
		add: func(a *api, n int) {
			if n == 0 {
				a.must(a.start(vars{"name": "unserved", "instanceId": "parent"}))
				a.must(a.start(vars{"name": "unserved", "instanceId": "other"}))
			}
			id := fmt.Sprint("child-", n)
			a.must(a.start(vars{"name": "unserved", "instanceId": id}))
			a.exec(`UPDATE weir.instances SET parent_no = (SELECT no FROM weir.instances WHERE id = 'parent'), parent_gen = 0, parent_task = $2 WHERE id = $1`, id, n)
		},
	},
	"Orchestration.progress": {
		path: `orchestration(hub: "default", instanceId: "says") { progress%s }`, other: `orchestration(hub: "default", instanceId: "other") { progress%s }`, key: "seq",
		add: func(a *api, n int) {
			if n == 0 {
				a.must(a.start(vars{"name": "unserved", "instanceId": "says"}))
				a.must(a.start(vars{"name": "unserved", "instanceId": "other"}))
			}
			a.exec(`INSERT INTO weir.progress (instance_no, seq, gen, task, attempt, data) SELECT no, $1, 0, -1, 0, '1' FROM weir.instances WHERE id = 'says'`, n+1)
		},
	},
	"Query.schedules": {
		path: `schedules(hub: "default", %s`, other: `schedules(hub: "second", %s`, key: "scheduleId",
		add: func(a *api, n int) {
			a.change("putSchedule", "PutScheduleInput", vars{"hub": "default", "scheduleId": fmt.Sprint("s-", n), "orchestration": "unserved", "cron": []string{"0 0 1 1 *"}})
		},
	},
	"Query.entities": {
		path: `entities(hub: "default", %s`, other: `entities(hub: "second", %s`, key: "key",
		add: func(a *api, n int) {
			a.change("signalEntity", "SignalEntityInput", vars{"hub": "default", "name": "counter", "key": fmt.Sprint("k", n), "operation": "add"})
		},
	},
	"Query.limits": {
		path: `limits(hub: "default", %s`, other: `limits(hub: "second", %s`, key: "name",
		add: func(a *api, n int) {
			a.change("putLimit", "PutLimitInput", vars{"hub": "default", "name": fmt.Sprint("l", n), "concurrency": 1})
		},
	},
	"Query.batchOperations": {
		path: `batchOperations(hub: "default", %s`, other: `batchOperations(hub: "default", states: [DONE], %s`, key: "operationId",
		add: func(a *api, n int) {
			a.change("startBatchOperation", "StartBatchOperationInput", vars{"hub": "default", "operationId": fmt.Sprint("o", n), "kind": "TERMINATE", "reason": "test", "filter": vars{}})
		},
	},
	"Query.deadLetters": {
		path: `deadLetters(hub: "default", %s`, other: `deadLetters(hub: "second", %s`, key: "instanceId",
		add: func(a *api, n int) {
			id := fmt.Sprint("deadly-", n)
			if n == 0 {
				a.change("setMaxDeaths", "SetMaxDeathsInput", vars{"hub": "default", "maxDeaths": 1})
			}
			a.must(a.start(vars{"name": "deadly", "instanceId": id}))
			a.exec(`UPDATE river.river_job SET state = 'running', attempted_by = '{weir-77777-gone}' WHERE kind = 'turn:deadly' AND state = 'available'`)
			if n == 0 {
				a.worker(nil, Echo.Handler(echo))
			}
			a.until("it is a dead letter", func() bool {
				var held bool
				if err := a.pool.QueryRow(a.ctx, `SELECT EXISTS (SELECT 1 FROM weir.deaths d JOIN weir.instances i ON i.no = d.instance_no WHERE i.id = $1 AND d.held_at IS NOT NULL)`, id).Scan(&held); err != nil {
					a.t.Fatal(err)
				}
				return held
			})
		},
	},
	"Query.alertRules": {
		path: `alertRules(hub: "default", %s`, other: `alertRules(hub: "second", %s`, key: "ruleId",
		add: func(a *api, n int) {
			a.change("createAlertRule", "AlertRuleInput", vars{"hub": "default", "ruleId": fmt.Sprint("r", n), "kind": "FAILURE_RATE", "threshold": 5, "window": "15m"})
		},
	},
	"Query.webhooks": {
		path: `webhooks(hub: "default", %s`, other: `webhooks(hub: "second", %s`, key: "webhookId",
		add: func(a *api, n int) {
			a.change("createWebhook", "CreateWebhookInput", vars{"hub": "default", "webhookId": fmt.Sprint("w", n), "url": "https://example.com/hook"})
		},
	},
	"Query.workers": {
		path: `workers(hub: "default", %s`, other: `workers(hub: "default", states: [ONLINE], %s`, key: "no",
		add: func(a *api, n int) {
			a.exec(`INSERT INTO weir.workers (no, hub, lock_pid, lock_backend_start, state, ended_at, name, build, river_client, caps)
				SELECT $1, h.no, 0, now(), 2, now(), 'w', 'b', $2, '{}' FROM weir.hubs h WHERE h.name = 'default'`, 1000+n, fmt.Sprint("gone-", n))
		},
	},
	"Query.apiTokens": {
		path: "apiTokens%s", key: "name",
		add: func(a *api, n int) {
			a.exec(`INSERT INTO weir.api_tokens (id, name, hash, grants, created_by) VALUES ($1::text, $1::text, sha256(convert_to($1::text, 'UTF8')), '{}', 'x')`, fmt.Sprint("t", n))
		},
	},
	"Query.roleBindings": {
		path: "roleBindings%s", key: "subject",
		add: func(a *api, n int) {
			a.exec(`INSERT INTO weir.role_bindings (subject, hub, role, created_by) VALUES ($1, '*', 'READER', 'x')`, fmt.Sprint("group:g", n))
		},
	},
	"Query.auditLog": {
		path: "auditLog%s", other: "auditLog(filter: {actor: \"x\"}, %s", key: "no",
		add: func(a *api, n int) {
			result, err := a.engine.Note(a.ctx, engine.AuditEntry{Actor: "somebody", Kind: "TOKEN", Action: "createHub", RequestID: fmt.Sprint(n)})
			if err != nil {
				a.t.Fatal(err)
			}
			result("OK")
		},
	},
}

// query writes a query of the list: arguments put into its place, and what is selected of it.
func (b bounded) query(path, arguments, fields string) string {
	head, tail, _ := strings.Cut(path, "%s")
	if !strings.HasSuffix(head, ", ") {
		arguments = "(" + arguments
	}
	if strings.HasSuffix(tail, "}") {
		return "{ " + head + arguments + ") { " + fields + " }" + tail + " }"
	}
	return "{ " + head + arguments + ") { " + fields + " } }"
}

type boundedPage struct {
	keys        []string
	more        bool
	first, last *string
}

// read asks for a page.
func (b bounded) read(a *api, arguments string) (p boundedPage) {
	a.t.Helper()
	query := b.query(b.path, arguments, "nodes { "+b.key+" } edges { cursor } pageInfo { hasNextPage startCursor endCursor }")
	var find func(v any) map[string]any
	find = func(v any) map[string]any {
		m, _ := v.(map[string]any)
		if _, ok := m["pageInfo"]; ok {
			return m
		}
		for _, inner := range m {
			if found := find(inner); found != nil {
				return found
			}
		}
		return nil
	}
	list := find(ask[map[string]any](a, query, nil))
	if list == nil {
		a.t.Fatalf("no list in the answer to %s", query)
	}
	for _, n := range list["nodes"].([]any) {
		p.keys = append(p.keys, fmt.Sprint(n.(map[string]any)[b.key]))
	}
	if edges := list["edges"].([]any); len(edges) != len(p.keys) {
		a.t.Errorf("%d edges of %d nodes", len(edges), len(p.keys))
	}
	info := list["pageInfo"].(map[string]any)
	p.more, _ = info["hasNextPage"].(bool)
	if s, ok := info["startCursor"].(string); ok {
		p.first = &s
	}
	if s, ok := info["endCursor"].(string); ok {
		p.last = &s
	}
	return p
}

// TestBoundaries puts every list with pages of the schema to what clients get wrong, and reads each while it grows.
func TestBoundaries(t *testing.T) {
	seen := map[string]bool{}
	for _, def := range schemaOf().Types {
		for _, f := range def.Fields {
			if strings.HasSuffix(f.Type.Name(), "Connection") && !strings.HasPrefix(def.Name, "__") {
				seen[def.Name+"."+f.Name] = true
			}
		}
	}
	for name := range boundedLists {
		if !seen[name] {
			t.Errorf("%s is no list of the schema", name)
		}
	}
	for name := range seen {
		list, ok := boundedLists[name]
		if !ok {
			t.Errorf("%s is missing here: say how it is asked for, and how it grows", name)
			continue
		}
		t.Run(name, func(t *testing.T) { list.test(serve(t)) })
	}
}

func (b bounded) test(a *api) {
	t := a.t
	if err := a.engine.EnsureHub(a.ctx, "second"); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		b.add(a, n)
	}
	refused := func(path, arguments, code, tells string) {
		t.Helper()
		e := a.refused(b.query(path, arguments, "pageInfo { endCursor }"), nil)
		if e.Extensions.Code != code || !strings.Contains(e.Message, tells) {
			t.Errorf("%s: %s %q, want %s and %q", arguments, e.Extensions.Code, e.Message, code, tells)
		}
	}
	refused(b.path, "first: -1", "INVALID_ARGUMENT", "first is -1, allowed are ")
	refused(b.path, "first: 201", "INVALID_ARGUMENT", "allowed are ")
	if p := b.read(a, "first: 0"); len(p.keys) != 0 {
		t.Errorf("first: 0 gives %v", p.keys)
	}
	all := b.read(a, "first: 200")
	if len(all.keys) < 5 || all.more {
		t.Fatalf("first: 200 gives %+v", all)
	}

	quoted := func(cursor string) string {
		raw, err := json.Marshal(cursor)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, bad := range []string{"", "x", "bm90IGEgY3Vyc29y", (*all.last)[:20] + "x" + (*all.last)[21:], strings.Repeat("A", 5000)} {
		refused(b.path, "first: 1, after: "+quoted(bad), "BAD_CURSOR", "cursor")
	}
	if b.other != "" {
		refused(b.other, "first: 1, after: "+quoted(*all.last), "BAD_CURSOR", "cursor")
	}
	if !strings.HasPrefix(b.path, "hubs") {
		hubs := boundedLists["Query.hubs"].read(a, "first: 1")
		refused(b.path, "first: 1, after: "+quoted(*hubs.last), "BAD_CURSOR", "another list")
	}

	// It grows after each page: what was there is seen once, in its order, and what has come since is seen at most once.
	var got []string
	arguments := "first: 2"
	for n := 5; ; n++ {
		p := b.read(a, arguments)
		got = append(got, p.keys...)
		if !p.more {
			break
		}
		if n < 8 {
			b.add(a, n)
		}
		arguments = "first: 2, after: " + quoted(*p.last)
	}
	if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != len(got) {
		t.Errorf("a row is seen twice: %v", got)
	}
	var old []string
	for _, key := range got {
		if slices.Contains(all.keys, key) {
			old = append(old, key)
		}
	}
	if !slices.Equal(old, all.keys) {
		t.Errorf("of %v, pages gave %v", all.keys, old)
	}
}
