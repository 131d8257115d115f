package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// callers is how many call entities at the same time.
const callers = 128

// entities is W9: signals from as many callers, one at a time each, until the last has been carried out; on one
// entity, and over a hundred.
func (b *bench) entities(ctx context.Context) error {
	return b.withWorker(ctx, func(w *process) error {
		for _, load := range []struct {
			name, figure string
			keys, n      int
		}{{"W9", "signal/s, one entity", 1, b.size(20_000)}, {"W9", "operation/s, 100 entities", 100, b.size(40_000)}} {
			m, err := b.meter(ctx, w)
			if err != nil {
				return err
			}
			if err := b.signal(ctx, load.keys, load.n); err != nil {
				return err
			}
			u, err := b.stop(ctx, m)
			if err != nil {
				return err
			}
			b.report.add(load.name, load.figure, float64(load.n)/u.Elapsed.Seconds())
			b.report.add(load.name, fmt.Sprintf("CPU ms/operation, %d", load.keys), (u.Client+u.Worker+u.PG).Seconds()*1000/float64(load.n))
		}
		return nil
	})
}

// signal adds 1 to entities n times in all, and waits until all of it is in their states.
func (b *bench) signal(ctx context.Context, keys, n int) error {
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		mu    sync.Mutex
		first error
	)
	prefix := fmt.Sprintf("of-%d-", keys)
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > n {
					return
				}
				if err := Count.Invoke(ctx, b.client, prefix+strconv.Itoa(i%keys), 1); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
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
	for i := range keys {
		key := prefix + strconv.Itoa(i)
		err := b.until(ctx, func() (bool, error) {
			have, _, err := Count.State(ctx, b.client, key)
			want := n / keys
			if i != 0 && i <= n%keys {
				want++
			}
			return have == want, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// alarms is W10: instances that sleep until moments within one second. How late a timer fires, a trigger on its row
// tells, by the database's clock; how late the code goes on, the time of the turn that follows.
func (b *bench) alarms(ctx context.Context) error {
	return b.withWorker(ctx, func(*process) error {
		n := b.size(10_000)
		for _, sql := range []string{
			"CREATE UNLOGGED TABLE public.fired (ms float8)",
			`CREATE FUNCTION public.note_fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO public.fired SELECT extract(epoch FROM clock_timestamp() - gone.fire_at) * 1000 FROM gone;
				RETURN NULL;
			END $$`,
			"CREATE TRIGGER note_fired AFTER DELETE ON weir.timers REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.note_fired()",
		} {
			if _, err := b.pg.pool.Exec(ctx, sql); err != nil {
				return err
			}
		}
		due := time.Now().Add(time.Duration(6+n/1000) * time.Second)
		in := make([]int64, n)
		for i := range in {
			in[i] = due.Add(time.Duration(i) * time.Second / time.Duration(n)).UnixMicro()
		}
		if _, err := Alarm.StartMany(ctx, b.client, in); err != nil {
			return err
		}
		progressf("%-8s waiting for the second in which they are due", b.current)
		if err := b.untilEnded(ctx, string(Alarm), n); err != nil {
			return err
		}
		fired, err := b.sorted(ctx, "SELECT ms FROM public.fired ORDER BY ms")
		if err != nil {
			return err
		}
		turns, err := b.sorted(ctx, "SELECT convert_from(output, 'UTF8')::float8 / 1000 FROM weir.instances WHERE name = '"+string(Alarm)+"' ORDER BY 1")
		if err != nil {
			return err
		}
		if len(fired) < n || len(turns) != n {
			return fmt.Errorf("%d timers fired and %d instances ended, want %d", len(fired), len(turns), n)
		}
		early := 0.0
		for _, ms := range slices.Concat(fired, turns) {
			if ms < 0 {
				early++
			}
		}
		b.report.add("W10", "early", early)
		b.report.add("W10", "ms late p50", fired[len(fired)/2])
		b.report.add("W10", "ms late p99", fired[len(fired)*99/100])
		b.report.add("W10", "ms late p50, next turn", turns[n/2])
		b.report.add("W10", "ms late p99, next turn", turns[n*99/100])
		return nil
	})
}

// sorted reads a column of numbers.
func (b *bench) sorted(ctx context.Context, sql string) ([]float64, error) {
	rows, err := b.pg.pool.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[float64])
}

// sleepers is W11: what a million instances that sleep cost while nothing happens, and whether a new one is slower
// beside them.
func (b *bench) sleepers(ctx context.Context) error {
	alone, err := b.trips(ctx)
	if err != nil {
		return err
	}
	idle, timers := b.idle, b.timers
	b.idle, b.timers = 1, 1_000_000
	err = b.grow(ctx)
	b.idle, b.timers = idle, timers
	if err != nil {
		return err
	}
	return b.withWorker(ctx, func(w *process) error {
		if err := b.rest(ctx, "letting things rest", 15*time.Second); err != nil {
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
		b.report.add("W11", "idle % of a core", (u.Worker+u.PG).Seconds()/u.Elapsed.Seconds()*100)
		beside, err := b.tripTimes(ctx)
		if err != nil {
			return err
		}
		b.report.add("W11", "start to finish p50 ms, alone", alone)
		b.report.add("W11", "start to finish p50 ms", beside)
		b.report.add("W11", "slower %", (beside/alone-1)*100)
		return nil
	})
}

func (b *bench) trips(ctx context.Context) (p50 float64, err error) {
	err = b.withWorker(ctx, func(*process) error {
		p50, err = b.tripTimes(ctx)
		return err
	})
	return p50, err
}

// tripTimes is the median round trip of a one-activity orchestration, in milliseconds: the best of ten stretches, because the
// machine's speed changes from one second to the next.
func (b *bench) tripTimes(ctx context.Context) (float64, error) {
	best := math.Inf(1)
	for range 10 {
		var trips []float64
		for range 150 {
			began := time.Now()
			inst, err := One.Start(ctx, b.client, "x")
			if err != nil {
				return 0, err
			}
			if _, err := inst.Wait(ctx); err != nil {
				return 0, err
			}
			trips = append(trips, time.Since(began).Seconds()*1000)
		}
		slices.Sort(trips)
		best = min(best, trips[len(trips)/2])
	}
	return best, nil
}

func (b *bench) rest(ctx context.Context, what string, d time.Duration) error {
	progressf("%-8s %s", b.current, what)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wide is W12: whether an activity costs more when its instance has ten thousand of them at once.
func (b *bench) wide(ctx context.Context) error {
	return b.withWorker(ctx, func(*process) error {
		each := func(n int) (float64, error) {
			best := math.Inf(1)
			for range 3 {
				began := time.Now()
				inst, err := Fan.Start(ctx, b.client, n)
				if err != nil {
					return 0, err
				}
				if _, err := inst.Wait(ctx); err != nil {
					return 0, err
				}
				best = min(best, time.Since(began).Seconds()*1000/float64(n))
			}
			return best, nil
		}
		few, err := each(b.size(1000))
		if err != nil {
			return err
		}
		many, err := each(b.size(10_000))
		if err != nil {
			return err
		}
		b.report.add("W12", "ms/activity, fan-out of 1,000", few)
		b.report.add("W12", "ms/activity, fan-out of 10,000", many)
		b.report.add("W12", "growth", many/few)
		return nil
	})
}
