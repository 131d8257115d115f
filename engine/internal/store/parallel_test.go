package store_test

import (
	"testing"

	"github.com/weir-dev/weir/internal/weirtest"
)

// TestFunctionsInParallelQueries: what handles exceptions begins a subtransaction, which a parallel query cannot. Postgres
// finds out only when a table is large enough for one.
func TestFunctionsInParallelQueries(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), weirtest.Pool(t)
	var wrong, handling []string
	err := pool.QueryRow(ctx, `SELECT coalesce(array_agg(proname::text) FILTER (WHERE proparallel <> 'u'), '{}'), array_agg(proname::text)
		FROM pg_proc WHERE pronamespace = 'weir'::regnamespace AND prosrc ~ '\mEXCEPTION WHEN\M'`).Scan(&wrong, &handling)
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 || len(handling) == 0 {
		t.Errorf("of %v, which handle exceptions, %v say that they may run in a parallel query", handling, wrong)
	}
	for _, sql := range []string{
		"INSERT INTO weir.instances (no, hub, id, name, created_at, updated_at, failure) SELECT g, 1, 'i' || g, 'x', now(), now(), '{\"type\":\"declined\"}' FROM generate_series(1, 1000) g",
		"SET force_parallel_mode = on",
		"SELECT count(*) FROM weir.instances WHERE weir.json_of(failure)->>'type' = 'declined'",
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
