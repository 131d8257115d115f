// Package migrations brings a database to the version this program needs: River's tables in one schema,
// Weir's in another. Migrations only go forward in production; the files that go back are for tests.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/weir-dev/weir/engine/logkey"
)

//go:embed sql/*.sql
var files embed.FS

// RiverVersion is the level of River's own migrations that Weir's statements on river_job are written for.
const RiverVersion = 8

// Schemas says where the tables live. The zero value means the defaults, "weir" and "river".
type Schemas struct {
	Weir  string
	River string
}

func (s Schemas) withDefaults() Schemas {
	if s.Weir == "" {
		s.Weir = "weir"
	}
	if s.River == "" {
		s.River = "river"
	}
	return s
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// Migration is one numbered step.
type Migration struct {
	Version int
	Name    string
	up      string
	down    string
}

// All lists the migrations in order.
func All() ([]Migration, error) {
	names, err := fs.Glob(files, "sql/*.up.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	sort.Strings(names)
	list := make([]Migration, 0, len(names))
	for i, path := range names {
		base := strings.TrimSuffix(strings.TrimPrefix(path, "sql/"), ".up.sql")
		number, name, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d", path, i+1)
		}
		up, err := files.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		down, err := files.ReadFile("sql/" + base + ".down.sql")
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		list = append(list, Migration{Version: version, Name: name, up: string(up), down: string(down)})
	}
	return list, nil
}

// Latest is the version that Apply brings a database to.
func Latest() int {
	list, err := All()
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Version
}

// Apply brings the database to the latest version, under an advisory lock, so that any number of processes
// may call it at once. What is up to date is left alone. A database that a newer program has migrated is an
// error.
func Apply(ctx context.Context, pool *pgxpool.Pool, schemas Schemas, logger *slog.Logger) error {
	schemas = schemas.withDefaults()
	for _, name := range []string{schemas.Weir, schemas.River} {
		if !schemaName.MatchString(name) {
			return fmt.Errorf("schema %q: want 1 to 40 of a-z, 0-9 and _, not starting with a digit", name)
		}
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("apply migrations: %w", err)
	}
	defer conn.Release()
	const key = 0x77656972 // "weir"
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", key) }()

	ours, err := applyRiver(ctx, pool, conn.Conn(), schemas.River, logger)
	if err != nil {
		return err
	}
	if err := applyWeir(ctx, conn.Conn(), schemas, logger); err != nil {
		return err
	}
	if ours {
		_, err = conn.Exec(ctx, "INSERT INTO "+pgx.Identifier{schemas.Weir, "settings"}.Sanitize()+
			" (key, value) VALUES ('river_owned', 'true') ON CONFLICT DO NOTHING")
	}
	return err
}

// applyRiver runs River's own migrations, and tunes the job table if it was us who created it: another
// application's River is its own affair. It tells which.
func applyRiver(ctx context.Context, pool *pgxpool.Pool, conn *pgx.Conn, schema string, logger *slog.Logger) (ours bool, err error) {
	err = conn.QueryRow(ctx, "SELECT to_regclass($1) IS NULL", pgx.Identifier{schema, "river_job"}.Sanitize()).Scan(&ours)
	if err != nil {
		return false, fmt.Errorf("look for river: %w", err)
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize()); err != nil {
		return false, fmt.Errorf("create schema %s: %w", schema, err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return false, fmt.Errorf("migrate river: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: RiverVersion}); err != nil {
		var existing int
		if conn.QueryRow(ctx, "SELECT max(version) FROM "+pgx.Identifier{schema, "river_migration"}.Sanitize()).Scan(&existing) == nil &&
			existing >= RiverVersion {
			return false, nil
		}
		return false, fmt.Errorf("migrate river: %w", err)
	}
	if !ours {
		return false, nil
	}
	logger.InfoContext(ctx, "made River's tables", logkey.Version, RiverVersion, logkey.Schema, schema)
	// The two GIN indexes cost half of a job's WAL and serve only filters on args and metadata, which Weir
	// keeps tiny. Rows come and go at a high rate, so dead ones are cleared early.
	table := pgx.Identifier{schema, "river_job"}.Sanitize()
	_, err = conn.Exec(ctx, fmt.Sprintf(`
		DROP INDEX IF EXISTS %s;
		DROP INDEX IF EXISTS %s;
		ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
			autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0)`,
		pgx.Identifier{schema, "river_job_args_index"}.Sanitize(),
		pgx.Identifier{schema, "river_job_metadata_index"}.Sanitize(), table))
	if err != nil {
		return false, fmt.Errorf("tune river_job: %w", err)
	}
	return true, nil
}

func applyWeir(ctx context.Context, conn *pgx.Conn, schemas Schemas, logger *slog.Logger) error {
	list, err := All()
	if err != nil {
		return err
	}
	schema := pgx.Identifier{schemas.Weir}.Sanitize()
	table := pgx.Identifier{schemas.Weir, "migrations"}.Sanitize()
	_, err = conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema+"; CREATE TABLE IF NOT EXISTS "+table+
		" (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
	if err != nil {
		return fmt.Errorf("create schema %s: %w", schemas.Weir, err)
	}
	var have int
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&have); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if have > len(list) {
		return fmt.Errorf("schema %s is at version %d, this program knows %d: run a newer program", schemas.Weir, have, len(list))
	}
	for _, m := range list[have:] {
		err := inSchema(ctx, conn, schemas, m.up,
			"INSERT INTO migrations (version, name) VALUES ($1, $2)", m.Version, m.Name)
		if err != nil {
			return fmt.Errorf("migration %d (%s): %w", m.Version, m.Name, err)
		}
		logger.InfoContext(ctx, "applied migration", logkey.Version, m.Version, logkey.Name, m.Name, logkey.Schema, schemas.Weir)
	}
	return nil
}

// Revert undoes the latest migration. It is for tests: the data goes with the tables.
func Revert(ctx context.Context, conn *pgx.Conn, schemas Schemas) error {
	schemas = schemas.withDefaults()
	list, err := All()
	if err != nil {
		return err
	}
	var have int
	table := pgx.Identifier{schemas.Weir, "migrations"}.Sanitize()
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&have); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if have == 0 {
		return errors.New("nothing to revert")
	}
	return inSchema(ctx, conn, schemas, list[have-1].down, "DELETE FROM migrations WHERE version = $1", have)
}

// inSchema runs a file and the note of it in one transaction, with the schemas as search path.
func inSchema(ctx context.Context, conn *pgx.Conn, schemas Schemas, script, note string, args ...any) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		path := pgx.Identifier{schemas.Weir}.Sanitize() + ", " + pgx.Identifier{schemas.River}.Sanitize()
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+path); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, script); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, note, args...)
		return err
	})
}

// Fingerprint changes whenever a migration does.
func Fingerprint() string {
	h := fnv.New64a()
	list, err := All()
	if err != nil {
		return err.Error()
	}
	for _, m := range list {
		_, _ = h.Write([]byte(m.up))
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
