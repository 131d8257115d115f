package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// What `weir doctor` reads of Postgres's own catalogs, which sqlc does not know.

// RoleRights is what a role lacks of the tables as they are now, and what it has too much.
type RoleRights struct {
	Role    string
	Lacks   []string
	TooMuch []string
}

// Load is how busy the database server is.
type Load struct {
	Connections int32
	// OldestXact is for how many seconds the oldest transaction of this database has been open.
	OldestXact float64
	// FrozenAge is how old the oldest row version is, in transactions.
	FrozenAge int64
	Now       time.Time
}

func (d *DB) schemas() []string { return []string{d.Schema, d.RiverSchema} }

// DoctorIndexes lists the indexes that were not made to their end.
func (d *DB) DoctorIndexes(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return texts(ctx, conn, `
		SELECT n.nspname || '.' || c.relname
		FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = ANY($1::text[]) AND NOT (x.indisvalid AND x.indisready)
		ORDER BY 1 LIMIT 1000`, d.schemas())
}

// DoctorBloat lists the tables most of whose rows are dead.
func (d *DB) DoctorBloat(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return texts(ctx, conn, `
		SELECT t.schemaname || '.' || t.relname || ' (' || t.n_dead_tup || ' dead rows, ' || t.n_live_tup || ' live)'
		FROM pg_stat_user_tables t
		WHERE t.schemaname = ANY($1::text[]) AND t.n_dead_tup > 100000 AND t.n_dead_tup > t.n_live_tup
		ORDER BY t.n_dead_tup DESC LIMIT 1000`, d.schemas())
}

// DoctorRoles tells what the roles lack and have too much; of no roles it returns nothing.
func (d *DB) DoctorRoles(ctx context.Context, conn *pgx.Conn) ([]RoleRights, error) {
	rows, err := conn.Query(ctx, `
		WITH t AS (
			SELECT t.tablename::text AS name, quote_ident(t.schemaname) || '.' || quote_ident(t.tablename) AS full_name
			FROM pg_tables t WHERE t.schemaname = ANY($1::text[])
		)
		SELECT r.rolname::text,
		       ARRAY(SELECT t.name FROM t
		             WHERE (r.rolname = 'weir_server' OR t.name NOT IN ('api_tokens', 'role_bindings', 'logins', 'sessions', 'logout_tokens', 'audit_log', 'audit_results', 'webhooks', 'alert_rules', 'webhook_deliveries'))
		               AND NOT has_table_privilege(r.oid, t.full_name, CASE
		                 WHEN r.rolname = 'weir_reader' OR t.name IN ('migrations', 'river_migration', 'settings') THEN 'SELECT' ELSE 'INSERT' END)
		             ORDER BY 1),
		       ARRAY(SELECT t.name FROM t
		             WHERE has_table_privilege(r.oid, t.full_name, 'TRUNCATE')
		                OR (r.rolname = 'weir_reader' AND has_table_privilege(r.oid, t.full_name, 'INSERT, UPDATE, DELETE'))
		                OR (r.rolname <> 'weir_server' AND t.name IN ('api_tokens', 'role_bindings', 'logins', 'sessions', 'logout_tokens', 'audit_log', 'audit_results', 'webhooks', 'alert_rules', 'webhook_deliveries')
		                    AND has_table_privilege(r.oid, t.full_name, 'SELECT, INSERT, UPDATE, DELETE'))
		                OR (t.name IN ('audit_log', 'audit_results') AND has_table_privilege(r.oid, t.full_name, 'UPDATE, DELETE'))
		             ORDER BY 1)
		FROM pg_roles r WHERE r.rolname IN ('weir_server', 'weir_worker', 'weir_reader')
		ORDER BY 1`, d.schemas())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RoleRights])
}

// DoctorSettings reads the settings of the server that matter to Weir.
func (d *DB) DoctorSettings(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT s.name, s.reset_val FROM pg_settings s
		WHERE s.name IN ('autovacuum', 'autovacuum_naptime', 'fsync', 'full_page_writes', 'max_connections',
			'server_version_num', 'synchronous_commit', 'track_counts', 'wal_level')`)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		settings[name] = value
		return nil
	})
	return settings, err
}

// DoctorLoad tells how busy the server is.
func (d *DB) DoctorLoad(ctx context.Context, conn *pgx.Conn) (l Load, err error) {
	err = conn.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend')::integer,
		       (SELECT coalesce(extract(epoch FROM max(now() - a.xact_start)), 0) FROM pg_stat_activity a
		        WHERE a.datname = current_database() AND a.backend_type = 'client backend')::float8,
		       (SELECT age(d.datfrozenxid) FROM pg_database d WHERE d.datname = current_database())::bigint,
		       clock_timestamp()`).Scan(&l.Connections, &l.OldestXact, &l.FrozenAge, &l.Now)
	return l, err
}

func texts(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
