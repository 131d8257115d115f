package faults_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// The workload uses everything that reaches the database: activities of this process and through River, a
// TxHandler, a step, parallel branches, a child, timers, events in both directions, a parked retry, a custom
// status and continue-as-new. Each activity leaves a trace in a table of the test's own.
const (
	Mixed  durable.Orchestration[mixedInput, string] = "mixed"
	Sub    durable.Orchestration[string, string]     = "sub"
	Sink   durable.Orchestration[int, []string]      = "sink"
	Hello  durable.Orchestration[string, string]     = "hello"
	Work   durable.Activity[string, string]          = "work"
	Charge durable.Activity[string, int]             = "charge"
	Flaky  durable.Activity[string, string]          = "flaky"
	Nap    durable.Activity[int, int]                = "nap"
	Napper durable.Orchestration[int, int]           = "napper"
	Go     durable.Event[string]                     = "go"
	Done   durable.Event[string]                     = "done"
)

type mixedInput struct {
	Sink string
	// Flaky adds an activity whose first attempt fails and whose second comes a second later.
	Flaky      bool
	Generation int
}

const generations = 2

// traces is what the workload's activities write.
const traces = `
	CREATE TABLE runs (instance text NOT NULL, task int NOT NULL, gen text NOT NULL, name text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
	CREATE TABLE charges (instance text NOT NULL, task int NOT NULL, what text NOT NULL);`

func handlers(pool *pgxpool.Pool) []durable.Handler {
	trace := func(ctx context.Context, what string) error {
		info, ok := durable.Task(ctx)
		if !ok {
			return errors.New("not in an activity")
		}
		_, err := pool.Exec(ctx, "INSERT INTO runs (instance, task, gen, name) VALUES ($1, $2, $3, $4)", info.InstanceID, info.TaskID, what, info.Name)
		return err
	}
	return []durable.Handler{
		Mixed.Handler(mixed),
		Sub.Handler(func(ctx *durable.Context, s string) (string, error) { return Work.Call(ctx, s) }),
		Sink.Handler(func(ctx *durable.Context, n int) ([]string, error) {
			var got []string
			for range n {
				v, err := Done.Wait(ctx)
				if err != nil {
					return nil, err
				}
				got = append(got, v)
			}
			return got, nil
		}),
		Hello.Handler(func(ctx *durable.Context, s string) (string, error) {
			for i := range 3 {
				if _, err := Work.Call(ctx, fmt.Sprint(i)); err != nil {
					return "", err
				}
			}
			return s, nil
		}),
		Napper.Handler(func(ctx *durable.Context, n int) (int, error) {
			for range n {
				if _, err := Nap.Call(ctx, 20); err != nil {
					return 0, err
				}
			}
			return n, nil
		}),
		Nap.Handler(func(ctx context.Context, ms int) (int, error) {
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
				return ms, trace(ctx, "nap")
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}),
		Work.Handler(func(ctx context.Context, s string) (string, error) { return "did " + s, trace(ctx, s) }),
		Charge.TxHandler(func(ctx context.Context, tx pgx.Tx, s string) (int, error) {
			info, _ := durable.Task(ctx)
			_, err := tx.Exec(ctx, "INSERT INTO charges (instance, task, what) VALUES ($1, $2, $3)", info.InstanceID, info.TaskID, s)
			return info.TaskID, err
		}),
		Flaky.Handler(func(ctx context.Context, s string) (string, error) {
			info, _ := durable.Task(ctx)
			if info.Attempt == 1 {
				return "", errors.New("not yet")
			}
			return s, trace(ctx, s)
		}, durable.Retry{Attempts: 5, Initial: time.Second, Jitter: -1}),
	}
}

func mixed(ctx *durable.Context, in mixedInput) (string, error) {
	var flaky *durable.Future[string]
	if in.Flaky {
		flaky = Flaky.Go(ctx, "f")
	}
	for i := range 2 {
		if _, err := Work.Call(ctx, fmt.Sprintf("g%d-%d", in.Generation, i)); err != nil {
			return "", err
		}
	}
	if _, err := Charge.Call(ctx, fmt.Sprintf("generation %d", in.Generation)); err != nil {
		return "", err
	}
	ctx.SetStatus(fmt.Sprintf("generation %d: charged", in.Generation))
	fan, err := Work.Map(ctx, []string{"a", "b", "c", "d"})
	if err != nil || len(fan) != 4 {
		return "", fmt.Errorf("fan-out: %v, %w", fan, err)
	}
	if _, err := Sub.Call(ctx, "child"); err != nil {
		return "", err
	}
	if err := ctx.Sleep(20 * time.Millisecond); err != nil {
		return "", err
	}
	if _, err := durable.Step(ctx, "step", func(context.Context) (string, error) { return "stepped", nil }); err != nil {
		return "", err
	}
	if _, err := Go.Wait(ctx); err != nil { // raised for every generation at the start
		return "", err
	}
	if flaky != nil {
		if _, err := flaky.Await(); err != nil {
			return "", err
		}
	}
	if in.Generation+1 < generations {
		in.Generation++
		return Mixed.ContinueAsNew(ctx, in)
	}
	if err := Done.Send(ctx, in.Sink, ctx.ID()); err != nil {
		return "", err
	}
	return "done", nil
}
