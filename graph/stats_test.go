package graph_test

import (
	"testing"
)

// TestStats: what happened within the window is in its buckets, and nothing else.
func TestStats(t *testing.T) {
	a := serve(t)
	// In each of the last ten minutes one was started; some have ended half a minute later, each in its way. One is older.
	_, err := a.pool.Exec(a.ctx, `INSERT INTO weir.instances (no, hub, id, name, status, outcome, created_at, updated_at, completed_at)
		SELECT 1000000 + g, (SELECT no FROM weir.hubs WHERE name = 'default'), 'i-' || g, 'name' || g % 2, CASE WHEN s.outcome IS NULL THEN 0 ELSE s.outcome END, s.outcome, s.at, now(),
			CASE WHEN s.outcome IS NOT NULL THEN s.at + make_interval(secs => CASE WHEN g = 9 THEN 55 ELSE 30 END) END
		FROM generate_series(0, 10) g, LATERAL (SELECT (ARRAY[1, 3, 4, 5, NULL])[g % 5 + 1]::smallint AS outcome,
			CASE WHEN g = 10 THEN now() - interval '3 hours' ELSE now() - interval '30 seconds' - (9 - g) * interval '1 minute' - interval '29 seconds' END AS at) s`)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		Hub struct {
			Stats struct {
				From, To                                   string
				BucketSeconds                              float64
				MedianSeconds, SlowSeconds, SlowestSeconds float64
				Ended                                      string
				Partial                                    bool
				Workers                                    int
				Buckets                                    []struct {
					At                                               string
					Started, Completed, Failed, Canceled, Terminated int
				}
				Backlog []struct {
					Kind            string
					Pending, Active int
					OldestSeconds   float64
				}
			}
		}
	}
	const query = `query($w: String!, $n: Int!) { hub(name: "default") { stats(window: $w, buckets: $n) { from to bucketSeconds medianSeconds slowSeconds slowestSeconds ended partial workers
		buckets { at started completed failed canceled terminated } backlog { kind pending active oldestSeconds } } } }`
	s := ask[answer](a, query, vars{"w": "1h", "n": 60}).Hub.Stats
	var started, completed, failed, canceled, terminated, used int
	for _, b := range s.Buckets {
		started, completed, failed = started+b.Started, completed+b.Completed, failed+b.Failed
		canceled, terminated = canceled+b.Canceled, terminated+b.Terminated
		if b.Started > 0 {
			used++
		}
	}
	if len(s.Buckets) != 60 || s.BucketSeconds != 60 || started != 10 || used < 5 || completed != 2 || failed != 2 || canceled != 2 || terminated != 2 {
		t.Errorf("%d started in %d buckets, %d completed, %d failed, %d canceled, %d terminated: %+v", started, used, completed, failed, canceled, terminated, s)
	}
	if s.Ended != "8" || s.MedianSeconds != 30 || s.SlowestSeconds != 30 || s.Partial || s.Workers != 0 {
		t.Errorf("got %+v", s)
	}
	if len(s.Backlog) != 3 || s.Backlog[0].Kind != "orchestration" {
		t.Errorf("the backlog is %+v", s.Backlog)
	}
	if s := ask[answer](a, query, vars{"w": "6h", "n": 1}).Hub.Stats; len(s.Buckets) != 1 || s.Buckets[0].Started != 11 {
		t.Errorf("of six hours: %+v", s)
	}
	// What waits is seen.
	a.must(a.start(vars{"name": "unserved", "instanceId": "waits"}))
	if s := ask[answer](a, query, vars{"w": "1h", "n": 1}).Hub.Stats; s.Backlog[0].Pending != 1 {
		t.Errorf("the backlog is %+v", s.Backlog)
	}
	for name, v := range map[string]vars{
		"no length": {"w": "soon", "n": 1}, "too short": {"w": "59s", "n": 1}, "too long": {"w": "91d", "n": 1}, "no buckets": {"w": "1h", "n": 0}, "too many": {"w": "1h", "n": 501},
	} {
		if e := a.refused(query, v); e.Extensions.Code != "INVALID_ARGUMENT" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
