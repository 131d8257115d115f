package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/durable"
)

// yardstickRiver measures River itself: no-op jobs, inserted before, worked with the settings Weir uses.
func (b *bench) yardstickRiver(ctx context.Context) error {
	n := b.size(20_000)
	workers := river.NewWorkers()
	var left sync.WaitGroup
	left.Add(n)
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[noopArgs]) error { left.Done(); return nil }))
	client, err := river.NewClient(riverpgxv5.New(b.pg.pool), &river.Config{
		Schema: "river", Workers: workers, FetchCooldown: time.Millisecond, FetchPollInterval: 10 * time.Millisecond,
		Queues: map[string]river.QueueConfig{"noop": {MaxWorkers: 1000}},
	})
	if err != nil {
		return err
	}
	params := make([]river.InsertManyParams, n)
	for i := range params {
		params[i] = river.InsertManyParams{Args: noopArgs{}, InsertOpts: &river.InsertOpts{Queue: "noop"}}
	}
	if _, err := client.InsertManyFast(ctx, params); err != nil {
		return err
	}
	m, err := b.meter(ctx)
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	left.Wait()
	u, err := b.stop(ctx, m)
	if err != nil {
		return err
	}
	b.perUnit("river", "job", n, u)
	return client.Stop(ctx)
}

type noopArgs struct{}

func (noopArgs) Kind() string { return "noop" }

// untilEnded waits until no instance is live, without disturbing: every 10 ms one look for any at all, which stops
// at the first, and a count every second for people. (Counting every time took a quarter of Postgres's time.)
func (b *bench) untilEnded(ctx context.Context, name string, n int) error {
	const live = "FROM weir.instances WHERE hub = 1 AND name = $1 AND outcome IS NULL"
	shown := time.Now()
	for {
		var some bool
		err := b.pg.pool.QueryRow(ctx, "SELECT EXISTS (SELECT 1 "+live+")", name).Scan(&some)
		if err != nil || !some {
			return err
		}
		if time.Since(shown) > time.Second {
			shown = time.Now()
			var left int
			if err := b.pg.pool.QueryRow(ctx, "SELECT count(*) "+live, name).Scan(&left); err != nil {
				return err
			}
			progressf("%-8s finished: %d of %d", b.current, n-left, n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// warm runs a few instances, so that connections are open, plans made and code paged in.
func (b *bench) warm(ctx context.Context) error {
	all, err := Hello.StartMany(ctx, b.client, make([]string, 200))
	if err != nil {
		return err
	}
	for _, inst := range all {
		if _, err := inst.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// withWorker runs fn beside a warm worker.
func (b *bench) withWorker(ctx context.Context, fn func(w *process) error) error {
	w, err := b.startWorker(ctx)
	if err != nil {
		return err
	}
	err = b.warm(ctx)
	if err == nil {
		err = fn(w)
	}
	return errors.Join(err, w.stop())
}

// hello is W1: instances of three sequential activities, all started at once in batches, through River.
func (b *bench) hello(ctx context.Context, name string, n int, rows bool) error {
	n = b.size(n)
	if rows {
		if _, err := b.pg.pool.Exec(ctx, "UPDATE weir.hubs SET activity_rows = true"); err != nil {
			return err
		}
	}
	return b.withWorker(ctx, func(w *process) error { return b.measureHello(ctx, name, n, w) })
}

func (b *bench) measureHello(ctx context.Context, name string, n int, w *process) error {
	in := make([]string, n)
	for i := range in {
		in[i] = "weir"
	}
	m, err := b.meter(ctx, w)
	if err != nil {
		return err
	}
	if _, err := Hello.StartMany(ctx, b.client, in); err != nil {
		return err
	}
	if err := b.untilEnded(ctx, string(Hello), n); err != nil {
		return err
	}
	u, err := b.stop(ctx, m)
	if err != nil {
		return err
	}
	b.perUnit(name, "orchestration", n, u)
	return b.checkCompleted(ctx, string(Hello))
}

// checkCompleted fails the run if an instance did not complete.
func (b *bench) checkCompleted(ctx context.Context, name string) error {
	var bad int
	err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FROM weir.instances WHERE name = $1 AND status <> 1", name).Scan(&bad)
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d instances did not complete", bad)
	}
	return err
}

// fanOut is W2: 20 instances that fan out to 200 activities each.
func (b *bench) fanOut(ctx context.Context) error {
	return b.withWorker(ctx, func(w *process) error {
		in := make([]int, 20)
		for i := range in {
			in[i] = b.size(200)
		}
		var rates []float64
		for range 5 {
			m, err := b.meter(ctx, w)
			if err != nil {
				return err
			}
			all, err := Fan.StartMany(ctx, b.client, in)
			if err != nil {
				return err
			}
			for _, inst := range all {
				if _, err := inst.Wait(ctx); err != nil {
					return err
				}
			}
			u, err := b.stop(ctx, m)
			if err != nil {
				return err
			}
			rates = append(rates, float64(len(in)*in[0])/u.Elapsed.Seconds())
		}
		slices.Sort(rates)
		b.report.add("W2", "activity/s", rates[len(rates)/2])
		b.report.add("W2", "activity/s best of 5", rates[len(rates)-1])
		return nil
	})
}

// sequential is W3: the cost of a step, and of the shortest orchestration as its client sees it.
func (b *bench) sequential(ctx context.Context) error {
	return b.withWorker(ctx, func(*process) error {
		var steps []float64
		for range 5 {
			n := b.size(200)
			began := time.Now()
			inst, err := Steps.Start(ctx, b.client, n)
			if err != nil {
				return err
			}
			if _, err := inst.Wait(ctx); err != nil {
				return err
			}
			steps = append(steps, time.Since(began).Seconds()*1000/float64(n))
		}
		slices.Sort(steps)
		b.report.add("W3", "ms/step", steps[len(steps)/2])
		var trips []float64
		for range b.size(500) {
			began := time.Now()
			inst, err := One.Start(ctx, b.client, "x")
			if err != nil {
				return err
			}
			if _, err := inst.Wait(ctx); err != nil {
				return err
			}
			trips = append(trips, time.Since(began).Seconds()*1000)
		}
		slices.Sort(trips)
		b.report.add("W3", "round trip p50 ms", trips[len(trips)/2])
		b.report.add("W3", "round trip p99 ms", trips[len(trips)*99/100])
		return nil
	})
}

// long is W4: whether a step costs more when the history is long.
func (b *bench) long(ctx context.Context) error {
	return b.withWorker(ctx, func(*process) error {
		n := max(2000, b.size(5000))
		began := time.Now()
		inst, err := Steps.Start(ctx, b.client, n)
		if err != nil {
			return err
		}
		marks, err := inst.Wait(ctx)
		if err != nil {
			return err
		}
		b.report.add("W4", "s in all", time.Since(began).Seconds())
		first, last := marks[1]-marks[0], marks[len(marks)-1]-marks[len(marks)-2]
		b.report.add("W4", "growth", float64(last)/float64(first))
		return nil
	})
}

// starts is W5: starts without anybody who executes.
func (b *bench) starts(ctx context.Context) error {
	n := b.size(20_000)
	if _, err := Idle.Start(ctx, b.client, 0); err != nil {
		return err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	began := time.Now()
	for range 16 {
		wg.Go(func() {
			for range n / 16 {
				if _, err := Idle.Start(ctx, b.client, 0); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	b.report.add("W5", "single starts/s, 16 callers", float64(n)/time.Since(began).Seconds())
	began = time.Now()
	if _, err := Idle.StartMany(ctx, b.client, make([]int, n)); err != nil {
		return err
	}
	b.report.add("W5", "batched starts/s", float64(n)/time.Since(began).Seconds())
	return nil
}

// events is W6: events raised one at a time, each when the one before was seen to be consumed.
func (b *bench) events(ctx context.Context) error {
	return b.withWorker(ctx, func(*process) error {
		n := b.size(500)
		inst, err := Pong.Start(ctx, b.client, n+20)
		if err != nil {
			return err
		}
		watch, err := inst.Watch(ctx)
		if err != nil {
			return err
		}
		defer watch.Close()
		one := func(i int) error {
			if err := Ping.Raise(ctx, b.client, inst.ID(), i); err != nil {
				return err
			}
			want, err := json.Marshal(i)
			if err != nil {
				return err
			}
			for {
				s, err := watch.Next(ctx)
				if err != nil {
					return err
				}
				if string(s.CustomStatus) == string(want) || s.Status == "COMPLETED" {
					return nil
				}
			}
		}
		for i := range 20 {
			if err := one(i); err != nil {
				return err
			}
		}
		var all []float64
		for i := range n {
			began := time.Now()
			if err := one(20 + i); err != nil {
				return err
			}
			all = append(all, time.Since(began).Seconds()*1000)
		}
		slices.Sort(all)
		b.report.add("W6", "ms/event", all[len(all)/2])
		b.report.add("W6", "ms/event p99", all[len(all)*99/100])
		return nil
	})
}

// grown is W7: W1 again among a million idle instances and two hundred thousand pending timers.
func (b *bench) grown(ctx context.Context) error {
	if err := b.grow(ctx); err != nil {
		return err
	}
	return b.withWorker(ctx, func(w *process) error {
		if err := b.measureHello(ctx, "W7", b.size(20_000), w); err != nil {
			return err
		}
		now, _ := b.report.get("W7", "orchestration/s")
		if before, ok := b.report.get("W1-20k", "orchestration/s"); ok {
			b.report.add("W7", "slower than W1-20k %", (before/now-1)*100)
		}
		return nil
	})
}

// grow fills the tables as a year of work would: instances that started, and wait for an event or a timer.
// Their rows are what the engine writes; running them all would only take longer.
func (b *bench) grow(ctx context.Context) error {
	w, err := b.startWorker(ctx)
	if err != nil {
		return err
	}
	// One of each made by the engine is the pattern for the rest.
	for _, o := range []durable.Orchestration[int, int]{Idle, Sleep} {
		if _, err := o.Start(ctx, b.client, 8760, durable.ID("pattern-"+string(o))); err != nil {
			return err
		}
	}
	err = b.until(ctx, func() (bool, error) {
		var n int
		err := b.pg.pool.QueryRow(ctx, "SELECT count(*) FROM weir.instances WHERE id LIKE 'pattern-%' AND owner IS NULL AND turn_job IS NULL AND seq > 0").Scan(&n)
		return n == 2, err
	})
	if err != nil {
		return err
	}
	if err := w.stop(); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		n    int
	}{{string(Idle), b.size(b.idle)}, {string(Sleep), b.size(b.timers)}} {
		const chunk = 100_000
		for at := 0; at < part.n; at += chunk {
			progressf("%-8s filling the tables: %s %d of %d", b.current, part.name, at, part.n)
			if err := b.copyPattern(ctx, part.name, min(chunk, part.n-at)); err != nil {
				return err
			}
		}
	}
	return b.settle(ctx)
}

// settle leaves the tables as they are long after they were filled: what filling them leaves Postgres to do, such as to write
// a gigabyte of pages, is not what their being there costs.
func (b *bench) settle(ctx context.Context) error {
	progressf("%-8s vacuum and checkpoint", b.current)
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := b.pg.pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// copyPattern multiplies a pattern instance with its history and timers.
func (b *bench) copyPattern(ctx context.Context, name string, n int) error {
	tx, err := b.pg.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	statements := []string{
		`CREATE TEMP TABLE fresh ON COMMIT DROP AS SELECT (nextval('weir.instance_no') - (g % 64)) AS no FROM generate_series(1, $2::int) g WHERE $1::text <> ''`,
		`INSERT INTO weir.instances (no, seq, base_seq, created_at, updated_at, started_at, hub, epoch, gen, status, id, name, input, waiting)
			SELECT f.no, p.seq, p.base_seq, p.created_at - random() * interval '30 days', p.updated_at, p.started_at, p.hub, p.epoch, p.gen, p.status,
				p.name || '-' || f.no, p.name, p.input, p.waiting
			FROM fresh f CROSS JOIN weir.instances p WHERE p.id = 'pattern-' || $1::text AND $2::int > 0`,
		`INSERT INTO weir.history SELECT f.no, h.seq, h.n, h.codec, h.events
			FROM fresh f CROSS JOIN weir.instances p JOIN weir.history h ON h.instance_no = p.no WHERE p.id = 'pattern-' || $1::text AND $2::int > 0`,
		`INSERT INTO weir.timers (instance_no, fire_at, gen, task, kind) SELECT f.no, t.fire_at + random() * interval '300 days', t.gen, t.task, t.kind
			FROM fresh f CROSS JOIN weir.instances p JOIN weir.timers t ON t.instance_no = p.no WHERE p.id = 'pattern-' || $1::text AND $2::int > 0`,
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql, name, n); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(sql)[2], err)
		}
	}
	return tx.Commit(ctx)
}
