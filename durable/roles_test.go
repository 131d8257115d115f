package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/migrations"
)

// as is a pool of an account that has a role.
func (b *bundle) as(role string) *pgxpool.Pool {
	b.t.Helper()
	cfg := b.pool.Config().Copy()
	cfg.ConnConfig.User, cfg.ConnConfig.Password = role+"_login", "a password"
	pool, err := pgxpool.NewWithConfig(b.ctx, cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	return pool
}

// TestRoles: workers, clients and the server do all their work under the roles made for them, and can do nothing else.
func TestRoles(t *testing.T) {
	b := setup(t)
	var name string // roles belong to the cluster, which the tests share
	if err := b.pool.QueryRow(b.ctx, "SELECT 'r' || md5(current_database())").Scan(&name); err != nil {
		t.Fatal(err)
	}
	roles := migrations.Roles{Server: name + "_s", Worker: name + "_w", Reader: name + "_r"}
	t.Cleanup(func() {
		for _, role := range []string{roles.Server, roles.Worker, roles.Reader} {
			if _, err := b.pool.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]s; DROP ROLE IF EXISTS %[1]s_login; DROP ROLE %[1]s", role)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 { // a second time changes nothing
		if err := migrations.CreateRoles(b.ctx, b.pool, migrations.Schemas{}, roles, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []string{roles.Server, roles.Worker, roles.Reader} {
		if _, err := b.pool.Exec(b.ctx, fmt.Sprintf("CREATE ROLE %[1]s_login LOGIN PASSWORD 'a password' IN ROLE %[1]s", role)); err != nil {
			t.Fatal(err)
		}
	}
	owner := b.pool
	defer func() { b.pool = owner }()
	b.pool = b.as(roles.Worker)
	b.with()
	b.worker(nil, Echo.Handler(func(_ context.Context, s string) (string, error) { return s, nil }),
		Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			if err := ctx.Sleep(time.Millisecond); err != nil {
				return "", err
			}
			if _, err := Item.Wait(ctx); err != nil {
				return "", err
			}
			return Echo.Call(ctx, s+strings.Repeat("x", 100_000), durable.Limit("gate"))
		}))
	if err := b.client.PutLimit(b.ctx, "gate", durable.Bounds{Concurrency: 1}); err != nil {
		t.Fatal(err)
	}
	inst := start(b, Text, "in", durable.Tags{"k": "v"})
	if _, err := inst.WaitStarted(b.ctx); err != nil { // by a worker that has joined
		t.Fatal(err)
	}
	if n := b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir worker'"); n != 1 {
		t.Fatalf("%d lock connections", n) // it joins again, and takes over what it held
	}
	raise(b, Item, inst.ID(), "go")
	if out := wait(b, inst); !strings.HasPrefix(out, "in") {
		t.Errorf("returned %.10q", out)
	}
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Text.StartTx(b.ctx, b.client, tx, "in", durable.ID("tx")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Item.RaiseTx(b.ctx, b.client, tx, "tx", "go"), tx.Commit(b.ctx)); err != nil {
		t.Fatal(err)
	}
	if _, err := Text.Instance(b.client, "tx").Wait(b.ctx); err != nil {
		t.Fatal(err)
	}

	e, err := engine.Open(b.ctx, engine.Config{Pool: b.as(roles.Server), Logger: b.logger})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Secret(b.ctx, "cursor_key"); err != nil {
		t.Errorf("the server cannot read its key: %v", err)
	}
	if i, err := e.Get(b.ctx, durable.DefaultHub, inst.ID()); err != nil || i.Tags["k"] != "v" {
		t.Errorf("the server reads %+v, %v", i, err)
	}
	if done, err := e.Purge(b.ctx, engine.PurgeRequest{Hub: durable.DefaultHub, IDs: []string{inst.ID()}}); err != nil || done.Deleted != 1 {
		t.Errorf("the server purges %+v, %v", done, err)
	}

	type tried struct{ role, sql string }
	var refuse []tried
	// The server knows callers and writes down what they do; nobody changes what is written.
	if _, _, err := e.CreateToken(b.ctx, engine.TokenRequest{Name: "ci", Grants: map[string][]string{"*": {"READER"}}}); err != nil {
		t.Errorf("the server makes no token: %v", err)
	}
	if _, err := e.SetBinding(b.ctx, engine.Binding{Subject: "group:ops", Hub: "*", Role: "READER"}); err != nil {
		t.Errorf("the server gives no role: %v", err)
	}
	if _, _, err := e.CreateWebhook(b.ctx, durable.DefaultHub, "hook", engine.WebhookSpec{URL: "https://example.com/"}); err != nil {
		t.Errorf("the server makes no webhook: %v", err)
	}
	if delivery, err := e.TestWebhook(b.ctx, durable.DefaultHub, "hook"); err != nil {
		t.Errorf("the server tests no webhook: %v", err)
	} else if _, err := e.Sending(b.ctx, delivery); err != nil {
		t.Errorf("the server cannot open a secret: %v", err)
	}
	if result, err := e.Note(b.ctx, engine.AuditEntry{Actor: "x", Action: "y"}); err != nil {
		t.Errorf("the server writes no audit log: %v", err)
	} else {
		result("OK")
	}
	for _, table := range []string{"audit_log", "audit_results"} {
		for _, sql := range []string{"UPDATE weir.%s SET at = now()", "DELETE FROM weir.%s", "TRUNCATE weir.%s CASCADE", "DROP TABLE weir.%s CASCADE"} {
			refuse = append(refuse, tried{roles.Server, fmt.Sprintf(sql, table)})
		}
	}
	for _, table := range []string{"api_tokens", "role_bindings", "sessions", "logins", "audit_log", "audit_results", "webhooks", "alert_rules", "webhook_deliveries"} {
		for _, role := range []string{roles.Worker, roles.Reader} {
			refuse = append(refuse, tried{role, "SELECT FROM weir." + table}, tried{role, "DELETE FROM weir." + table})
		}
	}

	for _, c := range append(refuse, []tried{
		{roles.Worker, "ALTER TABLE weir.instances ADD COLUMN x integer"},
		{roles.Server, "ALTER TABLE weir.instances ADD COLUMN x integer"},
		{roles.Server, "DROP TABLE weir.history"},
		{roles.Server, "ALTER TABLE weir.settings DISABLE ROW LEVEL SECURITY"},
		{roles.Worker, "TRUNCATE weir.history"},
		{roles.Worker, "CREATE TABLE weir.mine (x integer)"},
		{roles.Worker, "CREATE FUNCTION weir.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'"},
		{roles.Worker, "CREATE TRIGGER mine AFTER INSERT ON weir.instances EXECUTE FUNCTION weir.index_tags()"},
		{roles.Worker, "UPDATE weir.migrations SET version = 1"},
		{roles.Worker, "UPDATE weir.settings SET value = ''"},
		{roles.Worker, "INSERT INTO weir.settings VALUES ('x', '')"},
		{roles.Reader, "UPDATE weir.instances SET name = 'x'"},
		{roles.Reader, "DELETE FROM river.river_job"},
		{roles.Reader, "SELECT nextval('weir.inbox_id')"},
		{roles.Reader, "INSERT INTO weir.hubs (name) VALUES ('mine')"},
		{roles.Reader, "SELECT weir.outbox_event(1, 'x', NULL, '', 'c')"},
		{roles.Worker, "SELECT nextval('weir.audit_log_no_seq')"},
	}...) {
		_, err := b.as(c.role).Exec(b.ctx, c.sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s may %s: %v", strings.TrimPrefix(c.role, name), c.sql, err)
		}
	}
	for _, role := range []string{roles.Worker, roles.Reader} {
		var keys []string
		if err := b.as(role).QueryRow(b.ctx, "SELECT array_agg(key) FROM weir.settings").Scan(&keys); err != nil || len(keys) != 1 || keys[0] != "river_owned" {
			t.Errorf("%s reads the settings %v, %v", strings.TrimPrefix(role, name), keys, err)
		}
		var n int
		if err := b.as(role).QueryRow(b.ctx, "SELECT count(*) FROM weir.instances").Scan(&n); err != nil || n != 1 {
			t.Errorf("%s sees %d instances, %v", strings.TrimPrefix(role, name), n, err)
		}
	}
}

// TestRolesRefused: bad names, and an account that may not make roles.
func TestRolesRefused(t *testing.T) {
	b := setup(t)
	quiet := slog.New(slog.DiscardHandler)
	for _, roles := range []migrations.Roles{{Server: "a b"}, {Worker: "X"}, {Worker: "same", Reader: "same"}, {Reader: "weir_server"}} {
		if err := migrations.CreateRoles(b.ctx, b.pool, migrations.Schemas{}, roles, quiet); err == nil {
			t.Errorf("%+v is taken", roles)
		}
	}
	cfg := b.pool.Config().Copy()
	cfg.ConnConfig.RuntimeParams["role"] = "pg_monitor"
	other, err := pgxpool.NewWithConfig(b.ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = migrations.CreateRoles(b.ctx, other, migrations.Schemas{}, migrations.Roles{Server: "no_s", Worker: "no_w", Reader: "no_r"}, quiet)
	if err == nil || !strings.Contains(err.Error(), "such as a superuser") {
		t.Errorf("an account without the right: %v", err)
	}
}
