package migrations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine/logkey"
)

// Roles are the roles of Postgres under which processes work. They cannot log in themselves: grant them to the accounts that
// do. The zero value means weir_server, weir_worker and weir_reader.
type Roles struct {
	// Server is for `weir server`: it reads and writes all rows, and changes no table.
	Server string
	// Worker is for workers and clients: like Server, but without what identifies people or signs for the server.
	Worker string
	// Reader is for people and reports: it reads what Worker reads, and writes nothing.
	Reader string
}

func (r Roles) withDefaults() Roles {
	for _, role := range []struct {
		name *string
		def  string
	}{{&r.Server, "weir_server"}, {&r.Worker, "weir_worker"}, {&r.Reader, "weir_reader"}} {
		if *role.name == "" {
			*role.name = role.def
		}
	}
	return r
}

// workerSettings are the rows of settings that workers and readers may read. The others are keys that sign for the server.
const workerSettings = "'river_owned'"

// identity are the tables by which callers are known, and those of alerts, which have the secrets of webhooks and say where
// the server sends requests: only the server sees them. appended are those to which it only adds:
// nobody but their owner can change or remove what is in the audit log.
var (
	identity = map[string]bool{"api_tokens": true, "role_bindings": true, "logins": true, "sessions": true, "logout_tokens": true, "webhooks": true, "alert_rules": true, "webhook_deliveries": true}
	appended = map[string]bool{"audit_log": true, "audit_results": true}
)

// serverSequences are those of tables that only the server sees.
func serverSequences(schema string) []string {
	var out []string
	for _, table := range []string{"api_tokens", "audit_log", "webhooks", "alert_rules", "webhook_deliveries"} {
		out = append(out, pgx.Identifier{schema, table + "_no_seq"}.Sanitize())
	}
	return out
}

// CreateRoles makes the roles if they are not there, and grants each what it needs of the tables as they are now, and no
// more; what they had before in these schemas is taken away. It is to be repeated after each migration. The tables stay with
// whoever migrated, and only that owner can change them. It needs the right to create roles, and to grant
// pg_signal_backend and pg_read_all_stats, by which workers end the connections of workers that hang: a superuser's, as a
// rule.
func CreateRoles(ctx context.Context, pool *pgxpool.Pool, schemas Schemas, roles Roles, logger *slog.Logger) error {
	schemas, roles = schemas.withDefaults(), roles.withDefaults()
	names := []string{roles.Server, roles.Worker, roles.Reader}
	for i, name := range names {
		if !schemaName.MatchString(name) {
			return fmt.Errorf("role %q: want 1 to 40 of a-z, 0-9 and _, not starting with a digit", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("role %q: each role needs a name of its own", name)
		}
	}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, name := range names {
			if err := createRole(ctx, tx, name, logger); err != nil {
				return err
			}
		}
		return grants(ctx, tx, schemas, roles)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return fmt.Errorf("create roles: %w: this needs an account that may create roles and grant pg_signal_backend and pg_read_all_stats, such as a superuser", err)
	}
	if err != nil {
		return fmt.Errorf("create roles: %w", err)
	}
	return nil
}

func createRole(ctx context.Context, tx pgx.Tx, name string, logger *slog.Logger) error {
	// Roles belong to the cluster: another database may make the same one at the same time.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('weir.roles'))"); err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)", name).Scan(&there); err != nil || there {
		return err
	}
	if _, err := tx.Exec(ctx, "CREATE ROLE "+pgx.Identifier{name}.Sanitize()+" NOLOGIN"); err != nil {
		return err
	}
	logger.InfoContext(ctx, "made a role", logkey.Name, name)
	return nil
}

// grants gives the roles what they need.
func grants(ctx context.Context, tx pgx.Tx, schemas Schemas, roles Roles) error {
	server, worker, reader := pgx.Identifier{roles.Server}.Sanitize(), pgx.Identifier{roles.Worker}.Sanitize(), pgx.Identifier{roles.Reader}.Sanitize()
	all := strings.Join([]string{server, worker, reader}, ", ")
	weir := pgx.Identifier{schemas.Weir}.Sanitize()
	both := weir + ", " + pgx.Identifier{schemas.River}.Sanitize()
	settings := pgx.Identifier{schemas.Weir, "settings"}.Sanitize()
	script := []string{
		"REVOKE ALL ON SCHEMA " + weir + " FROM PUBLIC",
		"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA " + weir + " FROM PUBLIC",
		"REVOKE ALL ON SCHEMA " + both + " FROM " + all,
		"REVOKE ALL ON ALL TABLES IN SCHEMA " + both + " FROM " + all,
		"REVOKE ALL ON ALL SEQUENCES IN SCHEMA " + both + " FROM " + all,
		"GRANT USAGE ON SCHEMA " + both + " TO " + all,
		"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA " + both + " TO " + all,
		"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA " + both + " TO " + server + ", " + worker,
		"REVOKE ALL ON SEQUENCE " + strings.Join(serverSequences(schemas.Weir), ", ") + " FROM " + worker,
		"GRANT pg_signal_backend, pg_read_all_stats TO " + server + ", " + worker,
		"ALTER TABLE " + settings + " ENABLE ROW LEVEL SECURITY",
		"DROP POLICY IF EXISTS server ON " + settings,
		"DROP POLICY IF EXISTS worker ON " + settings,
		"CREATE POLICY server ON " + settings + " TO " + server + " USING (true)",
		"CREATE POLICY worker ON " + settings + " FOR SELECT TO " + worker + ", " + reader + " USING (key IN (" + workerSettings + "))",
	}
	tables, err := tx.Query(ctx, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ($1, $2) ORDER BY 1, 2", schemas.Weir, schemas.River)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(tables, func(row pgx.CollectableRow) (struct{}, error) {
		var schema, name string
		if err := row.Scan(&schema, &name); err != nil {
			return struct{}{}, err
		}
		table := pgx.Identifier{schema, name}.Sanitize()
		switch {
		case name == "migrations" || name == "river_migration": // who migrates owns them
			script = append(script, "GRANT SELECT ON "+table+" TO "+all)
		case schema == schemas.Weir && appended[name]:
			script = append(script, "GRANT SELECT, INSERT ON "+table+" TO "+server)
		case schema == schemas.Weir && identity[name]:
			script = append(script, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+table+" TO "+server)
		case schema == schemas.Weir && name == "settings":
			script = append(script, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+table+" TO "+server, "GRANT SELECT ON "+table+" TO "+worker+", "+reader)
		default:
			script = append(script, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+table+" TO "+server+", "+worker, "GRANT SELECT ON "+table+" TO "+reader)
		}
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	for _, sql := range script {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}
