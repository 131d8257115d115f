package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/test/faults/workload"
)

// TestScheduleLeadersKilled kills the worker process that fires schedules (kill -9), whichever it is, and starts
// another in its place. Every firing has its instance, once: a firing that is acted on again would find its id taken,
// and count as skipped.
func TestScheduleLeadersKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	workers := []*process{b.process(b.dsn), b.process(b.dsn), b.process(b.dsn)}
	const schedules, firings = 8, 15
	from := time.Now().UTC().Truncate(time.Second).Add(2 * time.Second)
	for i := range schedules {
		s := workload.Hello.Schedule(b.client, fmt.Sprint("every", i))
		b.no(s.Put(b.ctx, "you", durable.Every(time.Second), durable.From(from), durable.Until(from.Add((firings-1)*time.Second)), durable.OverlapAllow))
	}
	runs := func() int { return b.count("SELECT sum(runs) FROM weir.schedules") }
	kills := 0
	for at := 0; at < schedules*firings; {
		b.until("more has fired", func() bool { return runs() > at })
		if at = runs(); kills == 4 || at > schedules*firings*3/4 {
			break
		}
		var leader string
		b.until("somebody leads", func() bool {
			b.no(b.pool.QueryRow(b.ctx, `SELECT coalesce((SELECT w.name FROM weir.workers w JOIN pg_locks l ON l.pid = w.lock_pid
				WHERE w.state = 0 AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.objid = 0
					AND l.classid = (hashtext('weir.leader')::bigint & 4294967295)::oid LIMIT 1), '')`).Scan(&leader))
			return leader != ""
		})
		for i, w := range workers {
			if strings.HasSuffix(leader, fmt.Sprintf("-%d", w.cmd.Process.Pid)) {
				w.kill()
				kills++
				workers[i] = b.process(b.dsn)
			}
		}
	}
	if kills < 2 {
		t.Errorf("killed %d leaders only", kills)
	}
	b.until("all is over", func() bool { return b.count("SELECT count(*) FROM weir.schedules WHERE state = 2") == schedules })
	b.until("all instances have ended", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE outcome IS NULL") == 0 })
	if n := b.count("SELECT count(*) FROM weir.instances WHERE outcome = 1"); n != schedules*firings || runs() != schedules*firings {
		t.Errorf("%d instances, %d runs, want %d", n, runs(), schedules*firings)
	}
	if n := b.count("SELECT sum(skipped) FROM weir.schedules"); n != 0 {
		t.Errorf("%d firings were skipped", n)
	}
	t.Logf("killed %d leaders", kills)
}
