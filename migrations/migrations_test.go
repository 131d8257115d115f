package migrations_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/migrations"
)

// applyTo names a database to be migrated, in a process of its own: see TestApplyInManyProcesses.
const applyTo = "WEIR_TEST_APPLY_TO"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(applyTo); dsn != "" {
		ctx := context.Background()
		pool, err := pgxpool.New(ctx, dsn)
		if err == nil {
			err = migrations.Apply(ctx, pool, migrations.Schemas{}, slog.New(slog.NewTextHandler(os.Stdout, nil)))
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Main(m)
}

func empty(t *testing.T) (*pgtest.DB, *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, pgtest.Template{Name: "empty", Build: func(context.Context, string) error { return nil }})
	return db, db.Pool(t)
}

func apply(t *testing.T, pool *pgxpool.Pool, s migrations.Schemas) {
	t.Helper()
	if err := migrations.Apply(t.Context(), pool, s, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// shape lists all there is in the schemas: tables, columns, indexes, constraints, functions, settings.
func shape(t *testing.T, pool *pgxpool.Pool, schemas ...string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		WITH s AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY($1))
		SELECT format('%s.%s %s %s', s.nspname, c.relname, c.relkind, c.reloptions) FROM pg_class c JOIN s ON s.oid = c.relnamespace WHERE c.relkind <> 't'
		UNION ALL SELECT format('%s.%s.%s %s %s %s', s.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN s ON s.oid = c.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
			WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')
		UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN s ON s.oid = c.relnamespace
		UNION ALL SELECT format('%s %s', k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN s ON s.oid = k.connamespace
		UNION ALL SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN s ON s.oid = p.pronamespace
		UNION ALL SELECT format('type %s.%s', s.nspname, t.typname) FROM pg_type t JOIN s ON s.oid = t.typnamespace WHERE t.typtype = 'e'
		ORDER BY 1`, schemas)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func differences(a, b []string) (out []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, "- "+x)
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			out = append(out, "+ "+x)
		}
	}
	return out
}

// TestUpDownUp: going back leaves nothing, and forward again gives the same.
func TestUpDownUp(t *testing.T) {
	t.Parallel()
	_, pool := empty(t)
	apply(t, pool, migrations.Schemas{})
	first := shape(t, pool, "weir", "river")
	if len(first) < 100 {
		t.Fatalf("only %d things: %v", len(first), first)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for range migrations.Latest() {
		if err := migrations.Revert(t.Context(), conn.Conn(), migrations.Schemas{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := migrations.Revert(t.Context(), conn.Conn(), migrations.Schemas{}); err == nil {
		t.Error("there is more to revert than there are migrations")
	}
	for _, left := range shape(t, pool, "weir") {
		if !strings.Contains(left, "migrations") {
			t.Errorf("%s is left", left)
		}
	}
	apply(t, pool, migrations.Schemas{})
	if d := differences(first, shape(t, pool, "weir", "river")); len(d) > 0 {
		t.Errorf("up, down and up again differs:\n%s", strings.Join(d, "\n"))
	}
	again := shape(t, pool, "weir", "river")
	apply(t, pool, migrations.Schemas{}) // what is up to date is left alone
	if d := differences(again, shape(t, pool, "weir", "river")); len(d) > 0 {
		t.Errorf("a second Apply changes:\n%s", strings.Join(d, "\n"))
	}
}

// TestApplyInManyProcesses: servers that start at once do not stumble over each other.
func TestApplyInManyProcesses(t *testing.T) {
	t.Parallel()
	db, pool := empty(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmds := make([]*exec.Cmd, 4)
	outs := make([]*strings.Builder, len(cmds))
	for i := range cmds {
		cmds[i], outs[i] = exec.CommandContext(t.Context(), binary), &strings.Builder{}
		cmds[i].Env = append(os.Environ(), applyTo+"="+db.DSN())
		cmds[i].Stdout, cmds[i].Stderr = outs[i], outs[i]
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	applied := 0
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v: %s", i, err, outs[i])
		}
		applied += strings.Count(outs[i].String(), "applied migration")
	}
	if applied != migrations.Latest() {
		t.Errorf("%d migrations were applied, there are %d", applied, migrations.Latest())
	}
	var weir, river int
	if err := pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM weir.migrations), (SELECT max(version) FROM river.river_migration)").Scan(&weir, &river); err != nil {
		t.Fatal(err)
	}
	if weir != migrations.Latest() || river != migrations.RiverVersion {
		t.Errorf("%d migrations, River at %d", weir, river)
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	fails := func(pool *pgxpool.Pool, s migrations.Schemas, words ...string) {
		t.Helper()
		err := migrations.Apply(t.Context(), pool, s, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Error("it is applied")
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("the error does not say %q: %v", w, err)
			}
		}
	}
	_, pool := empty(t)
	for _, name := range []string{"Weir", "1x", "a b", "x;", `"`, strings.Repeat("x", 41)} {
		fails(pool, migrations.Schemas{Weir: name}, "1 to 40")
		fails(pool, migrations.Schemas{River: name}, "1 to 40")
	}
	if got := shape(t, pool, "weir", "river"); len(got) != 0 {
		t.Errorf("something was made before it was refused: %v", got)
	}
	apply(t, pool, migrations.Schemas{})
	before := shape(t, pool, "weir", "river")
	if _, err := pool.Exec(t.Context(), "INSERT INTO weir.migrations (version, name) VALUES (9999, 'from_the_future')"); err != nil {
		t.Fatal(err)
	}
	fails(pool, migrations.Schemas{}, "version 9999", "newer program")
	if d := differences(before, shape(t, pool, "weir", "river")); len(d) > 0 {
		t.Errorf("a newer database was changed: %v", d)
	}
}

// TestFailedMigration leaves nothing behind, and the lock is free again.
func TestFailedMigration(t *testing.T) {
	t.Parallel()
	_, pool := empty(t)
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA weir; CREATE TABLE weir.payloads (mine int)"); err != nil {
		t.Fatal(err)
	}
	err := migrations.Apply(t.Context(), pool, migrations.Schemas{}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "migration 1") || !strings.Contains(err.Error(), "payloads") {
		t.Errorf("got %v", err)
	}
	for _, thing := range shape(t, pool, "weir") {
		if strings.Contains(thing, "weir.instances") {
			t.Errorf("%s is left", thing)
		}
	}
	if _, err := pool.Exec(t.Context(), "DROP TABLE weir.payloads"); err != nil {
		t.Fatal(err)
	}
	apply(t, pool, migrations.Schemas{})
}

// TestRiverOfAnother: an application's own River is used as it is, older or newer, tuned by nobody and not cleaned.
func TestRiverOfAnother(t *testing.T) {
	t.Parallel()
	const indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND indexname IN ('river_job_args_index', 'river_job_metadata_index')"
	count := func(pool *pgxpool.Pool, sql string, args ...any) (n int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	owned := "SELECT count(*) FROM weir.settings WHERE key = 'river_owned'"

	_, ours := empty(t)
	apply(t, ours, migrations.Schemas{})
	if count(ours, owned) != 1 || count(ours, indexes, "river") != 0 {
		t.Error("River's tables of our own are not marked and tuned")
	}

	for name, target := range map[string]int{"as new as ours": 0, "older": 4} {
		_, pool := empty(t)
		if _, err := pool.Exec(t.Context(), "CREATE SCHEMA app"); err != nil {
			t.Fatal(err)
		}
		m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: "app", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Migrate(t.Context(), rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: target}); err != nil {
			t.Fatal(err)
		}
		before := shape(t, pool, "app")
		apply(t, pool, migrations.Schemas{River: "app"})
		if count(pool, owned) != 0 || count(pool, indexes, "app") != 2 {
			t.Errorf("%s: another's tables were marked or tuned", name)
		}
		if v := count(pool, "SELECT max(version) FROM app.river_migration"); v < migrations.RiverVersion {
			t.Errorf("%s: River is at version %d", name, v)
		}
		if d := differences(before, shape(t, pool, "app")); target == 0 && len(d) > 0 {
			t.Errorf("%s: changed: %v", name, d)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	all, err := migrations.All()
	if err != nil || len(all) == 0 || len(all) != migrations.Latest() {
		t.Fatalf("%d migrations, the latest is %d: %v", len(all), migrations.Latest(), err)
	}
	for i, m := range all {
		if m.Version != i+1 || m.Name == "" {
			t.Errorf("migration %d is %d %q", i+1, m.Version, m.Name)
		}
	}
	if migrations.Fingerprint() == "" || migrations.Fingerprint() != migrations.Fingerprint() { //nolint:staticcheck // the same twice is what is asked
		t.Error("the fingerprint is not one")
	}
}
