package store

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestOperationsAreLookedUp: with 20,000 operations, most of them over, statements look rows up by index, and those that
// page do not sort.
func TestOperationsAreLookedUp(t *testing.T) {
	t.Parallel()
	conn, pool := connect(t)
	for _, sql := range []string{
		`INSERT INTO weir.batch_operations (hub, id, kind, created_by, filter, options, state, finished_at)
			SELECT n % 200, 'o' || n, 0, '', '{}', '{}', CASE WHEN n % 1000 = 0 THEN 0 ELSE 2 END, CASE WHEN n % 1000 <> 0 THEN now() END
			FROM generate_series(1, 20000) n`,
		`INSERT INTO weir.batch_refusals SELECT no, 0, 'x', '', '' FROM weir.batch_operations`,
		"ANALYZE weir.batch_operations, weir.batch_refusals",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ sql, index string }{
		"claim":    {claimOperation, "batch_operations_running"},
		"get":      {getOperation, "batch_operations_hub_id_key"},
		"set":      {setOperationState, "batch_operations_hub_id_key"},
		"list":     {listOperations, "batch_operations_hub"},
		"begin":    {beginOperationPage, "batch_operations_running"},
		"advance":  {advanceOperation, "batch_operations_pkey"},
		"refusals": {listRefusals, "batch_refusals_pkey"},
		"forget":   {forgetOperations, "batch_operations_finished"},
	} {
		plan := planOf(t, conn, name, c.sql)
		paged := name == "claim" || name == "list" || name == "refusals"
		if !strings.Contains(plan, c.index) || regexp.MustCompile(`Seq Scan on batch`).MatchString(plan) || paged && strings.Contains(plan, "Sort") {
			t.Errorf("%s: want the index %s, got\n%s", name, c.index, plan)
		}
	}
}

// TestExpiredAreLookedUp: with 200,000 instances of which few are to go, the statements of retention read little.
func TestExpiredAreLookedUp(t *testing.T) {
	t.Parallel()
	conn, pool := connect(t)
	for _, sql := range []string{
		`INSERT INTO weir.instances (no, hub, id, name, status, outcome, created_at, updated_at, completed_at)
			SELECT n, 1, 'i' || n, 'x' || n % 20, 1, 1, now() - interval '1 year', now(), now() - n * interval '1 second' FROM generate_series(1, 200000) n`,
		"ANALYZE weir.instances",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ sql, index string }{
		"expired": {findExpired, "instances_ended"},
		"names":   {listNames, "instances_"},
	} {
		if plan := planOf(t, conn, name, c.sql); !strings.Contains(plan, c.index) || strings.Contains(plan, "Seq Scan on instances") || strings.Contains(plan, "Sort") {
			t.Errorf("%s: want the index %s, got\n%s", name, c.index, plan)
		}
	}
	var blocks int64
	for name, c := range map[string]struct {
		sql  string
		args []any
		most int64
	}{
		"expired": {findExpired, []any{int32(1), int32(100), []string{"x1", "x2", "x3"}, []int16{1, 1, 1}, []float64{199_990, 400_000, 400_000}}, 40},
		"names":   {listNames, []any{int32(100), int32(1), ""}, 200},
	} {
		var doc []byte
		if err := pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+c.sql, c.args...).Scan(&doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, m := range regexp.MustCompile(`"Shared (?:Hit|Read) Blocks": (\d+)`).FindAllStringSubmatch(string(doc), 2) { // of all of it
			n, _ := strconv.ParseInt(m[1], 10, 64)
			blocks += n
		}
		if blocks > c.most {
			t.Errorf("%s reads %d blocks, want at most %d", name, blocks, c.most)
		}
		blocks = 0
	}
}
