package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/internal/weirtest"
)

// TestAlertMeasures: what rules of each kind measure, in a hub where all of it is to be found, beside one where nothing is.
func TestAlertMeasures(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), weirtest.Pool(t)
	e, err := Open(ctx, Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.CreateHub(ctx, "empty"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		// Ended an hour ago: 30 completed, 10 failed; long ago: 100 failed.
		`INSERT INTO weir.instances (no, created_at, updated_at, completed_at, hub, status, outcome, id, name)
		 SELECT n, now() - interval '3 days', now(), now() - CASE WHEN n <= 40 THEN interval '1 hour' ELSE interval '2 days' END, h.no,
		        CASE WHEN n <= 30 THEN 1 ELSE 3 END, CASE WHEN n <= 30 THEN 1 ELSE 3 END, 'ended' || n, CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END
		 FROM generate_series(1, 140) n, weir.hubs h WHERE h.name = 'default'`,
		// Live and not moved for two hours: three of c that wait for nothing, one that waits for a timer, one suspended, one to start later.
		`INSERT INTO weir.instances (no, created_at, updated_at, hub, status, id, name, waiting, suspended, scheduled_at)
		 SELECT 1000 + n, now() - interval '1 day', now() - make_interval(mins => 120 - n), h.no, CASE WHEN n = 5 THEN 7 ELSE 0 END, 'live' || n, 'c',
		        CASE WHEN n = 4 THEN '{"timer": "2040-01-01T00:00:00Z", "since": "2026-01-01T00:00:00Z"}'::bytea END,
		        CASE WHEN n = 5 THEN '{"at": "2026-01-01T00:00:00Z"}'::bytea END, CASE WHEN n = 6 THEN now() + interval '1 day' END
		 FROM generate_series(1, 6) n, weir.hubs h WHERE h.name = 'default'`,
		`INSERT INTO river.river_job (state, attempt, max_attempts, scheduled_at, priority, args, kind, metadata, queue, tags)
		 SELECT 'available', 0, 25, now() - make_interval(secs => 100 * n), 2, '{}', CASE n WHEN 1 THEN 'turn:c' WHEN 2 THEN 'turn:c<2>' ELSE 'charge' END, '{}',
		        'h' || h.no || CASE WHEN n <= 2 THEN '_orch' ELSE '_act' END, '{}'
		 FROM generate_series(1, 4) n, weir.hubs h WHERE h.name = 'default'`,
		`INSERT INTO weir.deaths (hub, instance_no, gen, seq, task, deaths, worker, last_at, until, held_at)
		 SELECT h.no, 1001, 0, 0, n, 10, 'w', now(), now(), now() FROM generate_series(1, 2) n, weir.hubs h WHERE h.name = 'default'`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what        string
		spec        AlertSpec
		least, most float64
		detail      string
	}{
		{"failures", AlertSpec{Kind: AlertFailureRate, Window: 2 * time.Hour}, 25, 25, "10 of 40 instances that ended within 2 h failed"},
		{"failures of a name", AlertSpec{Kind: AlertFailureRate, Window: 2 * time.Hour, Names: []string{"a"}}, 25, 25, "5 of 20"},
		{"too few to say", AlertSpec{Kind: AlertFailureRate, Window: 2 * time.Hour, Minimum: 41}, 0, 0, "10 of 40"},
		{"failures of long", AlertSpec{Kind: AlertFailureRate, Window: 7 * day}, 78.5, 78.6, "110 of 140"},
		{"stuck", AlertSpec{Kind: AlertStuck, Window: time.Hour}, 3, 3, "3 instances have not moved for 1 h; longest live1: "},
		{"stuck of another name", AlertSpec{Kind: AlertStuck, Window: time.Hour, Names: []string{"a"}}, 0, 0, "0 instances"},
		{"no worker", AlertSpec{Kind: AlertNoWorker}, 4, 4, "no worker takes c, c 2, charge: 4 are due"},
		{"no worker for an activity", AlertSpec{Kind: AlertNoWorker, Names: []string{"charge"}}, 2, 2, "no worker takes charge: 2 are due"},
		{"backlog", AlertSpec{Kind: AlertBacklogAge}, 400, 460, "charge has been due for 6 min"},
		{"backlog of a name", AlertSpec{Kind: AlertBacklogAge, Names: []string{"c"}}, 200, 260, "c has been due for 3 min"},
		{"letters", AlertSpec{Kind: AlertDeadLetters}, 2, 2, "2 dead letters"},
	} {
		hub, err := e.hub(ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.measureAlert(ctx, hub, &c.spec)
		if err != nil || m.value < c.least || m.value > c.most || !strings.HasPrefix(m.detail, c.detail) {
			t.Errorf("%s: %v, %q, %v", c.what, m.value, m.detail, err)
		}
		if hub, err = e.hub(ctx, "empty"); err != nil {
			t.Fatal(err)
		}
		if m, err := e.measureAlert(ctx, hub, &c.spec); err != nil || m.value != 0 {
			t.Errorf("%s, nothing there: %v, %v", c.what, m.value, err)
		}
	}
	// More than are counted: the share is that of the newest. Each seventh failed, and 12 completed are counted.
	if _, err := pool.Exec(ctx, `INSERT INTO weir.instances (no, created_at, updated_at, completed_at, hub, status, outcome, id, name)
		SELECT 2000 + n, now(), now(), now() - make_interval(hours => n), h.no, CASE n % 7 WHEN 1 THEN 3 ELSE 1 END, CASE n % 7 WHEN 1 THEN 3 ELSE 1 END, 'many' || n, 'many'
		FROM generate_series(1, 70) n, weir.hubs h WHERE h.name = 'default'`); err != nil {
		t.Fatal(err)
	}
	hub, err := e.hub(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.measureFailures(ctx, hub, &AlertSpec{Kind: AlertFailureRate, Window: 7 * day, Names: []string{"many"}}, 12)
	if err != nil || !strings.HasPrefix(m.detail, "2 of 14 ") {
		t.Errorf("of many: %v, %q, %v", m.value, m.detail, err)
	}
}
