package store

import (
	"regexp"
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
