package main

import (
	"context"
	"errors"
	"time"

	"github.com/weir-dev/weir/durable"
)

// recovery is W8: two workers at full load, one is killed; how long until every instance has moved again, and
// whether each has exactly its results.
func (b *bench) recovery(ctx context.Context) error {
	const naps, napMs = 100, 20
	n := b.size(1000)
	first, err := b.startWorker(ctx)
	if err != nil {
		return err
	}
	second, err := b.startWorker(ctx)
	if err != nil {
		return err
	}
	in := make([]slowInput, n)
	for i := range in {
		in[i] = slowInput{naps, napMs}
	}
	if _, err := Slow.StartMany(ctx, b.client, in); err != nil {
		return err
	}
	// Everything runs, on both.
	err = b.until(ctx, func() (bool, error) {
		var running, owners int
		err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FILTER (WHERE seq > 20), count(DISTINCT owner) FROM weir.instances").Scan(&running, &owners)
		return running >= n*9/10 && owners == 2, err
	})
	if err != nil {
		return err
	}
	var orphans int
	if err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FROM weir.instances WHERE owner = (SELECT min(no) FROM weir.workers WHERE state = 0)").Scan(&orphans); err != nil {
		return err
	}
	if err := first.kill(); err != nil {
		return err
	}
	var killed time.Time
	if err := b.pg.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&killed); err != nil {
		return err
	}
	err = b.until(ctx, func() (bool, error) {
		var still int
		err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FROM weir.instances WHERE outcome IS NULL AND updated_at <= $1", killed).Scan(&still)
		return still == 0, err
	})
	if err != nil {
		return err
	}
	var moving time.Time
	if err := b.pg.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&moving); err != nil {
		return err
	}
	b.report.add("W8", "instances of the killed worker", float64(orphans))
	b.report.add("W8", "all moving again after s", moving.Sub(killed).Seconds())
	if err := b.untilEnded(ctx, string(Slow), n); err != nil {
		return err
	}
	// A result that was lost or recorded twice shows in the number of events.
	var lost, twice int
	err = b.pg.pool.QueryRow(ctx, `
		WITH done AS (
			SELECT i.no, i.status, (SELECT count(*) FROM weir.history h, jsonb_array_elements(convert_from(h.events, 'UTF8')::jsonb) e
				WHERE h.instance_no = i.no AND e->>'type' = 'TaskCompleted') AS results
			FROM weir.instances i WHERE i.name = $1)
		SELECT count(*) FILTER (WHERE status <> 1 OR results < $2), count(*) FILTER (WHERE results > $2) FROM done`, string(Slow), naps).Scan(&lost, &twice)
	if err != nil {
		return err
	}
	b.report.add("W8", "lost", float64(lost))
	b.report.add("W8", "duplicate", float64(twice))
	return second.stop()
}

// memory measures what a worker holds with 10,000 live instances, and what idle processes cost.
func (b *bench) memory(ctx context.Context) error {
	n := b.size(10_000)
	w, err := b.startWorker(ctx, "-activities", "20000")
	if err != nil {
		return err
	}
	in := make([]slowInput, n)
	for i := range in {
		in[i] = slowInput{1, 20_000}
	}
	if _, err := Slow.StartMany(ctx, b.client, in); err != nil {
		return err
	}
	err = b.until(ctx, func() (bool, error) {
		var owned int
		err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FROM weir.instances WHERE owner IS NOT NULL").Scan(&owned)
		return owned == n, err
	})
	if err != nil {
		return err
	}
	rss, err := rssOf(w.pid())
	if err != nil {
		return err
	}
	b.report.add("memory", "worker MB, 10,000 live", float64(rss)/(1<<20))
	if err := b.untilEnded(ctx, string(Slow), n); err != nil {
		return err
	}
	// The worker stays, idle, and a server joins it.
	server, err := b.startServer(ctx)
	if err != nil {
		return err
	}
	if _, err := Idle.StartMany(ctx, b.client, make([]int, 1000), durable.IDs(nil)); err != nil {
		return err
	}
	if err := b.rest(ctx, "letting things rest", 15*time.Second); err != nil { // caches settle, autovacuum comes round
		return err
	}
	m, err := b.meter(ctx, w)
	if err != nil {
		return err
	}
	if err := b.rest(ctx, "measuring idle processes", 20*time.Second); err != nil {
		return err
	}
	u, err := b.stop(ctx, m)
	if err != nil {
		return err
	}
	if rss, err = rssOf(server.pid()); err != nil {
		return err
	}
	b.report.add("memory", "idle server MB", float64(rss)/(1<<20))
	b.report.add("memory", "idle Postgres % of a core", u.PG.Seconds()/u.Elapsed.Seconds()*100)
	b.report.add("memory", "idle worker % of a core", u.Worker.Seconds()/u.Elapsed.Seconds()*100)
	return errors.Join(server.stop(), w.stop())
}
