package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// OpenPool opens a pool whose connections a proxy can tell from the engine's own.
func OpenPool(ctx context.Context, dsn string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] = "app"
	return pgxpool.NewWithConfig(ctx, config)
}

// IdleRelease is so short that instances are released in the workload's sleep of 20 ms, however fast the machine is.
const IdleRelease = 5 * time.Millisecond

// Run runs a worker for the workload until ctx ends.
func Run(ctx context.Context, dsn string, cfg durable.Config, logger *slog.Logger) error {
	pool, err := OpenPool(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := durable.NewClient(pool)
	if err != nil {
		return err
	}
	defer client.Close()
	cfg.Logger, cfg.DrainTimeout, cfg.IdleRelease = logger, 5*time.Second, IdleRelease
	w, err := durable.NewWorker(pool, &cfg, Handlers(pool, client)...)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Load is a set of started instances.
type Load struct {
	mixed []*durable.Instance[string]
	sink  *durable.Instance[SinkOutput]
}

// Start starts n instances of Mixed and the Sink they tell. Names tells several loads of one database apart. Every
// call is made until it succeeds, under one id or key, so that the database may break meanwhile.
func Start(ctx context.Context, client *durable.Client, names string, n int, flaky bool) (*Load, error) {
	l := &Load{}
	sink := names + "sink"
	err := insist(ctx, func() (err error) {
		l.sink, err = Sink.Start(ctx, client, n, durable.ID(sink))
		if errors.Is(err, durable.ErrExists) {
			l.sink, err = Sink.Instance(client, sink), nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range n {
		id := fmt.Sprintf("%smixed-%d", names, i)
		inst := Mixed.Instance(client, id)
		err := insist(ctx, func() error {
			_, err := Mixed.Start(ctx, client, MixedInput{Sink: sink, Flaky: flaky}, durable.ID(id))
			if errors.Is(err, durable.ErrExists) {
				err = nil
			}
			return err
		})
		for g := range Generations {
			if err == nil {
				err = insist(ctx, func() error { return Go.Raise(ctx, client, id, "go", durable.Key(fmt.Sprint(g))) })
			}
		}
		if err != nil {
			return nil, err
		}
		l.mixed = append(l.mixed, inst)
	}
	return l, nil
}

// insist calls fn until it succeeds or ctx ends.
func insist(ctx context.Context, fn func() error) error {
	for {
		err := fn()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Wait waits until all instances have ended and returns the faults of what they say.
func (l *Load) Wait(ctx context.Context) (faults []string, err error) {
	var (
		told  []string
		paid  []string
		out   string
		heard SinkOutput
	)
	wait := func(fn func() error) error {
		return insist(ctx, func() error {
			err := fn()
			var failed *durable.TaskError
			if errors.As(err, &failed) {
				faults = append(faults, failed.Error())
				return nil
			}
			return err
		})
	}
	for _, inst := range l.mixed {
		if err := wait(func() (err error) { out, err = inst.Wait(ctx); return err }); err != nil {
			return faults, fmt.Errorf("wait for %s: %w", inst.ID(), err)
		}
		if out != "done" {
			faults = append(faults, fmt.Sprintf("%s returned %q", inst.ID(), out))
		}
		told = append(told, inst.ID())
		for g := range Generations {
			paid = append(paid, fmt.Sprintf("%s, generation %d", inst.ID(), g))
		}
	}
	if err := wait(func() (err error) { heard, err = l.sink.Wait(ctx); return err }); err != nil {
		return faults, fmt.Errorf("wait for the sink: %w", err)
	}
	for _, x := range []struct {
		what      string
		got, want []string
	}{{"ends", heard.Done, told}, {"charges", heard.Paid, paid}} {
		slices.Sort(x.got)
		slices.Sort(x.want)
		if !slices.Equal(x.got, x.want) {
			faults = append(faults, fmt.Sprintf("the sink was told of the %s %v, want each once: %v", x.what, x.got, x.want))
		}
	}
	return faults, nil
}

// Account compares the workload's own tables with what n instances of Mixed must have done.
func Account(ctx context.Context, pool *pgxpool.Pool, n int) (faults []string, err error) {
	for _, c := range []struct {
		what, sql string
		want      int
	}{
		{"charges", "SELECT count(*) FROM charges", n * Generations},
		{"different charges", "SELECT count(*) FROM (SELECT DISTINCT instance, what FROM charges) AS d", n * Generations},
		{"receipts that have completed", "SELECT count(*) FROM weir.instances WHERE name = 'receipt' AND outcome = 1", n * Generations},
		{"instances that failed", "SELECT count(*) FROM weir.instances WHERE outcome <> 1", 0},
		{
			"activities that ran", "SELECT count(*) FROM (SELECT DISTINCT instance, task, gen FROM runs WHERE instance LIKE '%mixed-%' AND gen LIKE 'g%') AS d",
			n * Generations * 2,
		},
	} {
		var got int
		if err := pool.QueryRow(ctx, c.sql).Scan(&got); err != nil {
			return faults, fmt.Errorf("count %s: %w", c.what, err)
		}
		if got != c.want {
			faults = append(faults, fmt.Sprintf("%d %s, want %d", got, c.what, c.want))
		}
	}
	return faults, nil
}
