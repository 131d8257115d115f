// Package store holds all SQL on the weir schema, and the few statements on River's job table that the
// commit protocol joins with it. Statements live in queries/*.sql and are checked and compiled by sqlc;
// batch.go puts those of a commit in their order; list.go builds the one dynamic query.
package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SQLSTATEs that Weir's own functions raise.
const (
	CodeFenced   = "WE001" // the lane is not this process's any more
	CodeLost     = "WE002" // a compare-and-set did not match
	CodeNoToken  = "WE003" // the attempt may not deliver
	CodeMoved    = "WE004" // a schedule has changed since it was read
	CodeBug      = "WE009" // cannot happen
	codeUnique   = "23505"
	codeLockWait = "55P03"
	codeDeadlock = "40P01"
	codeSerial   = "40001"
	// What a prepared statement gets after the tables under it have changed.
	codePlanChanged = "0A000"
	codeNoStatement = "26000"
)

// DB knows how to reach one Weir database: whose tables are in Schema, and River's in RiverSchema.
type DB struct {
	config      *pgxpool.Config
	Schema      string
	RiverSchema string
}

// NewDB describes the database that config connects to.
func NewDB(config *pgxpool.Config, schema, riverSchema string) *DB {
	return &DB{config: config.Copy(), Schema: schema, RiverSchema: riverSchema}
}

// RiverChannel is the notification channel on which River's producers hear of new jobs.
func (d *DB) RiverChannel() string { return d.RiverSchema + ".river_insert" }

// Channel is the full name of one of Weir's own notification channels.
func (d *DB) Channel(name string) string { return d.Schema + "." + name }

// ident quotes a schema name for search_path.
func (d *DB) searchPath() string {
	return pgx.Identifier{d.Schema}.Sanitize() + ", " + pgx.Identifier{d.RiverSchema}.Sanitize()
}

// Connect opens a connection of its own, outside any pool, with Weir's search path. The planner of lane and
// loader connections is pinned: their statements are prepared once, often while tables are small or their
// statistics stale, and a generic plan made then must still be the index plan when a table has grown.
func (d *DB) Connect(ctx context.Context, name string, settings map[string]string) (*pgx.Conn, error) {
	config := d.config.ConnConfig.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	config.StatementCacheCapacity = 256
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	config.RuntimeParams["search_path"] = d.searchPath()
	config.RuntimeParams["application_name"] = "weir " + name
	maps.Copy(config.RuntimeParams, settings)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", name, err)
	}
	registerArrays(conn.TypeMap())
	return conn, nil
}

// Pinned are the settings of connections whose plans are made once and kept, because planning takes longer than running.
// A plan that is made while a table is tiny may read all of it for each row it looks up, so that they have to be made anew
// whenever a table has grown: see Replan.
func Pinned() map[string]string {
	return map[string]string{
		"enable_seqscan":       "off",
		"enable_hashjoin":      "off",
		"enable_mergejoin":     "off",
		"enable_bitmapscan":    "off",
		"jit":                  "off",
		"plan_cache_mode":      "force_generic_plan",
		"synchronous_commit":   "on",
		"statement_timeout":    "0",
		"lock_timeout":         "2s",
		"tcp_keepalives_idle":  "5",
		"client_min_messages":  "error",
		"idle_session_timeout": "0",
	}
}

// Paging are the settings of connections that read pages of large tables. A page is read along an index in a millisecond; to
// compile the statement, or to start processes that share the work, takes tens of them, and the planner thinks of neither
// as a cost of its own.
func Paging() map[string]string {
	return map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0"}
}

// Pool opens a pool on the same database with Weir's search path and some settings. If its plans are pinned, plans tells
// the generation of the tables' sizes that they must be for.
func (d *DB) Pool(ctx context.Context, name string, maxConns int32, settings map[string]string, plans func() int64) (*pgxpool.Pool, error) {
	config := d.config.Copy()
	if plans != nil {
		config.PrepareConn = replanning(config.PrepareConn, plans)
	}
	config.MaxConns = maxConns
	config.MinConns = 0
	config.MinIdleConns = 0
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	config.ConnConfig.RuntimeParams["search_path"] = d.searchPath()
	config.ConnConfig.RuntimeParams["application_name"] = "weir " + name
	maps.Copy(config.ConnConfig.RuntimeParams, settings)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open pool %s: %w", name, err)
	}
	return pool, nil
}

// replanning is a hook that makes a connection's plans anew if they are old, after the hook that the user has set.
func replanning(first func(context.Context, *pgx.Conn) (bool, error), plans func() int64) func(context.Context, *pgx.Conn) (bool, error) {
	const generation = "weir plans"
	return func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		if first != nil {
			if ok, err := first(ctx, conn); !ok || err != nil {
				return ok, err
			}
		}
		data, now := conn.PgConn().CustomData(), plans()
		if have, ok := data[generation].(int64); ok && have != now {
			if err := Replan(ctx, conn); err != nil {
				return false, nil //nolint:nilerr // a broken connection is replaced
			}
		}
		data[generation] = now
		return true, nil
	}
}

// Code returns the SQLSTATE of an error that the server reported, else "".
func Code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// IsIDTaken tells that an instance id is in use.
func IsIDTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeUnique && pg.ConstraintName == "instances_id"
}

// IsLockWait tells that a row stayed locked for longer than lock_timeout.
func IsLockWait(err error) bool { return Code(err) == codeLockWait }

// IsTransient tells that the same transaction may succeed if it is tried again.
func IsTransient(err error) bool {
	switch Code(err) {
	case codeDeadlock, codeSerial, codePlanChanged, codeNoStatement:
		return true
	}
	return false
}

// ServerAnswered tells that the server itself refused the transaction, so that it is certainly rolled back.
// Errors of class 57 (the server is shutting down, the backend was terminated) and 08 come with the loss of
// the connection; one cannot know from them whether a COMMIT had already landed.
func ServerAnswered(err error) bool {
	code := Code(err)
	return code != "" && code[:2] != "57" && code[:2] != "08"
}

// BackendOf reads the pid and start time that name this connection's backend for good: pids are reused.
func BackendOf(ctx context.Context, conn *pgx.Conn) (pid int32, start time.Time, err error) {
	err = conn.QueryRow(ctx,
		"SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()").Scan(&pid, &start)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read own backend: %w", err)
	}
	return pid, start, nil
}

// HandlerLock is the statement with which the transaction of a TxHandler shows whose it is: it holds an advisory
// lock on the worker's number, shared, for as long as it lives.
func (d *DB) HandlerLock(workerNo int32) string {
	schema := strings.ReplaceAll(d.Schema, "'", "''")
	return fmt.Sprintf("SELECT pg_advisory_xact_lock_shared(hashtext('%s.handlers'), %d)", schema, workerNo)
}

// EndHandlers ends the transactions of TxHandlers whose worker does not live: they cannot commit any more, but a
// worker that is stopped or cut off would keep their row locks, and with them stop whoever takes over.
func EndHandlers(ctx context.Context, pool *pgxpool.Pool) (ended int64, err error) {
	tag, err := pool.Exec(ctx, `SELECT pg_terminate_backend(l.pid) FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
		  AND l.classid::bigint = (hashtext(current_schema() || '.handlers')::bigint & 4294967295)
		  AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.no = l.objid::bigint AND w.state = 0)`)
	if err != nil {
		return 0, fmt.Errorf("end transactions of the dead: %w", err)
	}
	return tag.RowsAffected(), nil
}

// TerminateBackend ends a backend for good; the start time guards against a pid that was used again.
func TerminateBackend(ctx context.Context, conn *pgx.Conn, pid int32, start time.Time) error {
	_, err := conn.Exec(ctx,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2", pid, start)
	if err != nil {
		return fmt.Errorf("terminate backend %d: %w", pid, err)
	}
	return nil
}
