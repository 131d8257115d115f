package store

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestSchedulesAreLookedUp: with 20,000 schedules and instances, the statements of schedules look rows up by index, and
// those that page do not sort.
func TestSchedulesAreLookedUp(t *testing.T) {
	t.Parallel()
	conn, pool := connect(t)
	for _, sql := range []string{
		`INSERT INTO weir.instances (no, hub, id, name, outcome, created_at, updated_at)
			SELECT n, 1, 'i' || n, 'x', CASE WHEN n % 2 = 0 THEN 1 END, now(), now() FROM generate_series(1, 20000) n`,
		`INSERT INTO weir.schedules (hub, id, orchestration, version, instance_id, spec, state, next_at, due_at, last_no, buffered)
			SELECT 1 + n % 2, 's' || n, 'x', '', CASE WHEN n % 3 = 0 THEN 'i' || n ELSE '' END, '{}', n % 3, now() + n * interval '1 minute',
				now() + n * interval '1 minute', n, CASE WHEN n % 1000 = 0 THEN '[]'::jsonb END FROM generate_series(1, 20000) n`,
		"ANALYZE weir.instances, weir.schedules",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ sql, index string }{
		"due":       {dueSchedules, "schedules_due"},
		"buffered":  {bufferedSchedules, "schedules_buffered"},
		"list":      {listSchedules, "schedules_hub_id_key"},
		"lock":      {lockSchedules, "schedules_pkey"},
		"fire":      {fireSchedules, "schedules_pkey"},
		"seqs":      {readScheduleSeqs, "schedules_pkey"},
		"input":     {readScheduleInput, "schedules_pkey"},
		"update":    {updateSchedule, "schedules_pkey"},
		"set state": {setScheduleState, "schedules_pkey"},
		"delete":    {deleteSchedule, "schedules_hub_id_key"},
		"forget":    {forgetSchedules, "schedules_completed"},
	} {
		plan := planOf(t, conn, name, c.sql)
		paged := name == "due" || name == "buffered" || name == "list"
		if !strings.Contains(plan, c.index) || regexp.MustCompile(`Seq Scan on (schedules|instances)`).MatchString(plan) || paged && strings.Contains(plan, "Sort") {
			t.Errorf("%s: want the index %s, got\n%s", name, c.index, plan)
		}
	}
}

// planOf is the generic plan of a statement.
func planOf(t *testing.T, conn *pgx.Conn, name, sql string) string {
	t.Helper()
	d, err := conn.Prepare(t.Context(), "plan of "+name, sql)
	if err != nil {
		t.Fatal(err)
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL,", len(d.ParamOIDs)), ",")
	rows, err := conn.Query(t.Context(), fmt.Sprintf("EXPLAIN EXECUTE %q(%s)", d.Name, nulls), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
