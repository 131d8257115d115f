package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/weirtest"
)

// TestRiverFetchAfterALull: a worker fetches while there are no jobs, and then many come at once. River's fetch must soon
// not be done any more as for an empty table, by reading the whole of it for each job it takes.
func TestRiverFetchAfterALull(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pool := weirtest.Pool(t)
	e, err := engine.Open(ctx, engine.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const insert = `INSERT INTO river.river_job (state, max_attempts, kind, queue, args) SELECT 'available', 9, 'turn:x', 'h1_orch', '{}' FROM generate_series(1, $1)`
	for _, sql := range []string{"INSERT INTO river.river_job (state, max_attempts, kind, queue, args) VALUES ('available', 9, 'x', 'x', '{}')", "DELETE FROM river.river_job", "VACUUM ANALYZE river.river_job"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	river, err := e.RiverPool(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer river.Close()
	driver := riverpgxv5.New(river)
	// fetch takes jobs and counts the rows of the table that were read.
	fetch := func() (jobs int, read int64) {
		tx, err := river.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		res, err := driver.UnwrapExecutor(tx).JobGetAvailable(ctx, &riverdriver.JobGetAvailableParams{
			ClientID: "test", MaxAttemptedBy: 100, MaxToLock: 50, Queue: "h1_orch", Schema: e.RiverSchema(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(ctx, "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relid = 'river.river_job'::regclass").Scan(&read); err != nil {
			t.Fatal(err)
		}
		// Rolled back, so that there are jobs for as long as the plans stay old.
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		return len(res.Jobs), read
	}
	if jobs, _ := fetch(); jobs != 0 {
		t.Fatalf("%d jobs of none", jobs)
	}
	if _, err := pool.Exec(ctx, insert, 20_000); err != nil {
		t.Fatal(err)
	}
	for {
		jobs, read := fetch()
		if jobs != 50 {
			t.Fatalf("%d jobs, by reading %d rows", jobs, read)
		}
		if read < 1000 {
			return
		}
	}
}
