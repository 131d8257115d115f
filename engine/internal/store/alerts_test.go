package store

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/internal/weirtest"
)

// TestAlertsAreLookedUp: with 50,000 instances and 20,000 jobs, what rules measure and how they are watched runs along indexes,
// with plans for the values that are asked for, among them a window that holds all there is, and with plans for any values.
func TestAlertsAreLookedUp(t *testing.T) {
	t.Parallel()
	pool := weirtest.Pool(t)
	conn, err := NewDB(pool.Config(), "weir", "river").Connect(t.Context(), "test", Paging()) // as rules are looked at
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, sql := range []string{
		// Half of them live, more than are looked at; the others have mostly ended as they should. "most" is the name of nearly all.
		`INSERT INTO weir.instances (no, hub, id, name, status, outcome, created_at, updated_at, completed_at)
			SELECT n, 1, 'i' || n, CASE WHEN n % 50 = 0 THEN 'few' ELSE 'most' END, o, NULLIF(o, 0), at, at, CASE WHEN o > 0 THEN at END
			FROM (SELECT n, CASE WHEN n % 20 < 10 THEN 0 WHEN n % 20 = 11 THEN 3 ELSE 1 END AS o, now() - n * interval '1 second' AS at
				FROM generate_series(1, 50000) n) AS made`,
		`INSERT INTO river.river_job (state, attempt, max_attempts, scheduled_at, priority, args, kind, metadata, queue, tags, finalized_at)
			SELECT CASE WHEN n % 4 = 0 THEN 'available' ELSE 'completed' END::river.river_job_state, 0, 25, now() - n * interval '1 second', 1 + n % 4,
				'{}', 'turn:most', '{}', 'h1_orch', '{}', CASE WHEN n % 4 > 0 THEN now() END FROM generate_series(1, 20000) n`,
		`INSERT INTO weir.deaths (hub, instance_no, gen, seq, task, deaths, worker, last_at, until, held_at)
			SELECT 1, n, 0, 0, 0, 10, 'w', now(), now(), CASE WHEN n % 10 = 0 THEN now() END FROM generate_series(1, 20000) n`,
		"INSERT INTO weir.alert_rules (hub, id, spec) SELECT 1, 'r' || n, '{}' FROM generate_series(1, 100) n",
		"ANALYZE weir.instances, weir.deaths, weir.alert_rules, river.river_job",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	force := func(mode string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = "+mode); err != nil {
			t.Fatal(err)
		}
	}
	long, lately := time.Now().Add(-365*24*time.Hour), time.Now().Add(-time.Minute)
	outcomes := []int16{1, 3}
	scan := regexp.MustCompile(`Seq Scan on (instances|history|river_job|deaths)\b`)
	for name, c := range map[string]struct {
		sql, index string
		args       []any
	}{
		"names":                {listNames, "instances_name", []any{int32(1 << 30), int32(1), ""}},
		"ended lately":         {countEnded, "instances_ended", []any{int32(1), int32(100_000), []string{"most", "few"}, outcomes, lately}},
		"ended, all there are": {countEnded, "instances_ended", []any{int32(1), int32(100_000), []string{"most", "few"}, outcomes, long}},
		"ended, of one name":   {countEnded, "instances_ended", []any{int32(1), int32(100_000), []string{"most"}, outcomes, long}},
		"stuck":                {countStuck, "instances_", []any{int32(1), "most", lately}},
		"stuck, of few":        {countStuck, "instances_name", []any{int32(1), "few", lately}},
		"waiting":              {countWaiting, "river_job_prioritized_fetching_index", []any{[]string{"h1_orch", "h1_act"}}},
		"letters":              {countLetters, "deaths_held", []any{int32(1)}},
		"unwatched":            {unwatchedAlertRules, "instances_", []any{int32(1)}},
		"any":                  {anyAlerts, "instances_outcome", []any{"weir-system"}},
	} {
		force("force_custom_plan")
		rows, err := conn.Query(t.Context(), "EXPLAIN "+c.sql, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(name, err)
		}
		force("force_generic_plan")
		for kind, plan := range map[string]string{"these values": strings.Join(lines, "\n"), "any values": planOf(t, conn, name, c.sql)} {
			// All that live may not be sorted to find the oldest.
			sorts := kind == "these values" && strings.Contains(plan, "created_at, s.no")
			if !strings.Contains(plan, c.index) || scan.MatchString(plan) || sorts {
				t.Errorf("%s, planned for %s: want the index %s, got\n%s", name, kind, c.index, plan)
			}
		}
	}
}
