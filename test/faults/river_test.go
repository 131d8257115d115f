package faults_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// TestRiverShape fails when a River of another shape comes in with an update: the engine's own statements on
// river_job know its columns, its states, and the condition of its unique index.
func TestRiverShape(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m, err := rivermigrate.New(riverpgxv5.New(b.pool), &rivermigrate.Config{Schema: "river"})
	b.no(err)
	have, err := m.ExistingVersions(b.ctx)
	b.no(err)
	const known = 8
	if n, newest := len(have), len(m.AllVersions()); n != known || newest != known {
		t.Errorf("River's tables are at migration %d of %d; the engine's statements were written for %d", n, newest, known)
	}
	for _, c := range []struct {
		what, sql string
		want      []string
	}{
		{"columns", `
			SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
				|| coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
			FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE a.attrelid = 'river.river_job'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname`, []string{
			"args jsonb not null", "attempt smallint not null default 0", "attempted_at timestamp with time zone", "attempted_by text[]",
			"created_at timestamp with time zone not null default now()", "errors jsonb[]", "finalized_at timestamp with time zone",
			"id bigint not null default nextval('river.river_job_id_seq'::regclass)", "kind text not null", "max_attempts smallint not null default 25",
			"metadata jsonb not null default '{}'::jsonb", "priority smallint not null default 1", "queue text not null default 'default'::text",
			"scheduled_at timestamp with time zone not null default now()",
			"state river.river_job_state not null default 'available'::river.river_job_state",
			"tags character varying(255)[] not null default '{}'::character varying[]", "unique_key bytea", "unique_states bit(8)",
		}},
		{"states", `SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = 'river.river_job_state'::regtype ORDER BY e.enumsortorder`, []string{
			"available", "cancelled", "completed", "discarded", "pending", "retryable", "running", "scheduled",
		}},
		{"unique index", `SELECT pg_get_indexdef('river.river_job_unique_idx'::regclass)`, []string{
			"CREATE UNIQUE INDEX river_job_unique_idx ON river.river_job USING btree (unique_key) " +
				"WHERE ((unique_key IS NOT NULL) AND (unique_states IS NOT NULL) AND river.river_job_state_in_bitmask(unique_states, state))",
		}},
		{"bitmask of all states", `
			SELECT s::text FROM unnest(enum_range(NULL::river.river_job_state)) AS s
			WHERE NOT river.river_job_state_in_bitmask(B'11111111', s)`, nil},
		{"triggers", `SELECT tgname FROM pg_trigger WHERE tgrelid = 'river.river_job'::regclass AND NOT tgisinternal`, nil},
		{"foreign keys", `SELECT conname FROM pg_constraint WHERE contype = 'f' AND 'river.river_job'::regclass IN (conrelid, confrelid)`, nil},
	} {
		if got := column(t, b.pool, c.sql); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.what, got, c.want)
		}
	}
}

// column reads a column of text.
func column(t *testing.T, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
