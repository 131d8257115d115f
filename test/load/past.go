package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// past is W13 and W14: how long a filtered first page takes where there are a million instances, most of which have ended;
// and how much their purge, in the background, slows down those that run.
func (b *bench) past(ctx context.Context) error {
	n := b.size(1_000_000)
	if err := b.remember(ctx, n); err != nil {
		return err
	}
	if err := b.lists(ctx); err != nil {
		return err
	}
	return b.purge(ctx, n)
}

// remember fills the tables with instances as they are when they have ended, and some that live: ten names, all outcomes,
// tags on each tenth, a parent for each twentieth. Their histories are those of one that was run.
func (b *bench) remember(ctx context.Context, n int) error {
	err := b.withWorker(ctx, func(*process) error {
		inst, err := Hello.Start(ctx, b.client, "weir", durable.ID("pattern-past"))
		if err == nil {
			_, err = inst.Wait(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	const chunk = 100_000
	for at := 0; at < n; at += chunk {
		progressf("%-8s filling the tables: %d of %d", b.current, at, n)
		tx, err := b.pg.pool.Begin(ctx)
		if err != nil {
			return err
		}
		for _, sql := range []string{
			`CREATE TEMP TABLE fresh ON COMMIT DROP AS
				SELECT (nextval('weir.instance_no') - g % 64) AS no, 'past-' || g % 10 AS name, now() - random() * interval '60 days' AS created_at,
					CASE WHEN g % 100 < 80 THEN 1 WHEN g % 100 < 88 THEN 3 WHEN g % 100 < 90 THEN 4 WHEN g % 100 < 92 THEN 5 END AS outcome, g
				FROM generate_series(1, $1::int) g`,
			`INSERT INTO weir.instances (no, seq, base_seq, created_at, updated_at, started_at, completed_at, hub, epoch, gen, status, outcome, id, name, version,
					input, output, failure, parent_no, tags)
				SELECT f.no, p.seq, p.base_seq, f.created_at, f.created_at + interval '1 minute', f.created_at,
					CASE WHEN f.outcome IS NOT NULL THEN f.created_at + random() * interval '1 hour' END, p.hub, p.epoch, p.gen,
					coalesce(f.outcome, 0), f.outcome, f.name || '-' || f.no, f.name, CASE WHEN f.g % 3 = 0 THEN '2' END, p.input, p.output,
					CASE WHEN f.outcome = 3 THEN convert_to('{"type":"declined","message":"card declined"}', 'UTF8') END,
					CASE WHEN f.g % 20 = 0 THEN p.no END,
					CASE WHEN f.g % 10 = 0 THEN jsonb_build_object('customer', (f.g / 100)::text) END
				FROM fresh f CROSS JOIN weir.instances p WHERE p.id = 'pattern-past' AND $1::int > 0`,
			`INSERT INTO weir.history SELECT f.no, h.seq, h.n, h.codec, h.events
				FROM fresh f CROSS JOIN weir.instances p JOIN weir.history h ON h.instance_no = p.no WHERE p.id = 'pattern-past' AND $1::int > 0`,
		} {
			if _, err := tx.Exec(ctx, sql, min(chunk, n-at)); err != nil {
				_ = tx.Rollback(ctx)
				return fmt.Errorf("%s: %w", strings.Fields(sql)[2], err)
			}
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
	}
	return b.settle(ctx)
}

// lists is W13. Each kind of filter is asked for a first page of 50 a hundred times, with values that differ.
func (b *bench) lists(ctx context.Context) error {
	e, err := engine.Open(ctx, engine.Config{Pool: b.pg.pool})
	if err != nil {
		return err
	}
	defer e.Close()
	ago := func(days float64) time.Time { return time.Now().Add(-time.Duration(days * 24 * float64(time.Hour))) }
	name := func() string { return fmt.Sprint("past-", rand.IntN(10)) }
	ended := []history.Status{history.Completed, history.Failed, history.Canceled, history.Terminated}
	worst := 0.0
	for _, f := range []struct {
		what    string
		indexed bool // or close to it: most rows that are read match
		filter  func() engine.Filter
	}{
		{"nothing", true, func() engine.Filter { return engine.Filter{} }},
		{"a status", true, func() engine.Filter { return engine.Filter{Statuses: []history.Status{ended[rand.IntN(4)]}} }},
		{"live", true, func() engine.Filter {
			return engine.Filter{Statuses: []history.Status{history.Pending, history.Running, history.Suspended}}
		}},
		{"a name", true, func() engine.Filter { return engine.Filter{Name: name()} }},
		{"a name and a status", true, func() engine.Filter { return engine.Filter{Name: name(), Statuses: []history.Status{history.Failed}} }},
		{"an id prefix", true, func() engine.Filter {
			return engine.Filter{IDPrefix: fmt.Sprint(name(), "-", 1+rand.IntN(9), rand.IntN(10))}
		}},
		{"created between", true, func() engine.Filter {
			day := 60 * rand.Float64()
			return engine.Filter{CreatedFrom: ago(day + 1), CreatedTo: ago(day)}
		}},
		{"ended between", true, func() engine.Filter {
			day := 60 * rand.Float64()
			return engine.Filter{CompletedFrom: ago(day + 1), CompletedTo: ago(day)}
		}},
		{"a tag", true, func() engine.Filter {
			return engine.Filter{Tags: map[string]string{"customer": fmt.Sprint(rand.IntN(1000))}}
		}},
		{"a parent", true, func() engine.Filter { return engine.Filter{Parent: "pattern-past"} }},
		{"a version", true, func() engine.Filter { return engine.Filter{Versions: []string{"2"}} }},
		{"a class of failure", false, func() engine.Filter { return engine.Filter{FailureType: "declined"} }},
	} {
		progressf("%-8s first pages by %s", b.current, f.what)
		var ms []float64
		for range 100 {
			filter := f.filter()
			began := time.Now()
			if _, err := e.List(ctx, durable.DefaultHub, filter, engine.Page{Limit: 50}); err != nil {
				return fmt.Errorf("by %s: %w", f.what, err)
			}
			ms = append(ms, time.Since(began).Seconds()*1000)
		}
		slices.Sort(ms)
		p95 := ms[94]
		b.report.add("W13", "first page p95 ms, by "+f.what, p95)
		if f.indexed {
			worst = max(worst, p95)
		}
	}
	b.report.add("W13", "first page p95 ms, worst with an index", worst)
	return nil
}

// purge is W14: orchestrations are run at full load, in stretches, beside the purge and while it is paused.
func (b *bench) purge(ctx context.Context, n int) error {
	return b.withWorker(ctx, func(*process) error {
		const id = "purge-of-the-past"
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprint("past-", i))
		}
		began := time.Now()
		_, err := b.client.StartOperation(ctx, durable.ManyOperation{
			ID: id, Kind: durable.PurgeMany, Filter: durable.Filter{Names: names}, Reason: "benchmark", By: "bench",
		})
		if err != nil {
			return err
		}
		done := func() (int64, error) {
			s, err := b.client.OperationState(ctx, id)
			if err == nil && s.Status == "FAILED" {
				err = errors.New(s.Error)
			}
			return s.Done, err
		}
		if err := b.rest(ctx, "purging beside nothing", 10*time.Second); err != nil {
			return err
		}
		purged, err := done()
		if err != nil {
			return err
		}
		b.report.add("W14", "purged/s, beside nothing", float64(purged)/time.Since(began).Seconds())

		var alone, beside, purging float64
		rounds := 0
		for ; rounds < 5; rounds++ {
			progressf("%-8s round %d: beside the purge, and without it", b.current, rounds+1)
			before, err := done()
			if err != nil {
				return err
			}
			rate, err := b.helloFor(ctx)
			if err != nil {
				return err
			}
			after, err := done()
			if err != nil {
				return err
			}
			if after == before || after >= int64(n)*92/100-1000 {
				break // there is nothing left to purge
			}
			beside, purging = beside+rate, purging+float64(after-before)/stretch.Seconds()
			if _, err := b.client.PauseOperation(ctx, id); err != nil {
				return err
			}
			if rate, err = b.helloFor(ctx); err != nil {
				return err
			}
			alone += rate
			if _, err := b.client.ResumeOperation(ctx, id); err != nil {
				return err
			}
		}
		if rounds == 0 {
			return errors.New("the purge was over before it could be measured")
		}
		r := float64(rounds)
		b.report.add("W14", "orchestration/s, alone", alone/r)
		b.report.add("W14", "orchestration/s, beside the purge", beside/r)
		b.report.add("W14", "purged/s, beside them", purging/r)
		b.report.add("W14", "slower %", (alone/beside-1)*100)
		return nil
	})
}

// stretch is how long full load is measured.
const stretch = 8 * time.Second

// helloFor runs orchestrations of three activities for a stretch, 400 at a time, and returns how many ended in a second.
func (b *bench) helloFor(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ended atomic.Int64
	errs := make(chan error, 8)
	began := time.Now()
	for range 8 {
		go func() {
			for time.Since(began) < stretch {
				all, err := Hello.StartMany(ctx, b.client, make([]string, 50))
				for _, inst := range all {
					if _, failed := inst.Wait(ctx); err == nil && failed != nil {
						err = failed
					}
					ended.Add(1)
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return float64(ended.Load()) / time.Since(began).Seconds(), nil
}
