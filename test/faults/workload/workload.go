// Package workload is what the fault tests and the soak run while things break: orchestrations that use
// everything that reaches the database, and the account of what they must have done.
package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// The definitions. Mixed uses activities of its own process and through River, a TxHandler, a step, parallel
// branches, a child, timers, events in both directions, a parked retry, a custom status and continue-as-new. Its
// charges start receipts and raise events inside their own transactions. Each activity leaves a trace in a table
// of the workload's own.
const (
	Mixed   durable.Orchestration[MixedInput, string]  = "mixed"
	Sub     durable.Orchestration[string, string]      = "sub"
	Receipt durable.Orchestration[string, string]      = "receipt"
	Sink    durable.Orchestration[int, SinkOutput]     = "sink"
	Hello   durable.Orchestration[string, string]      = "hello"
	Napper  durable.Orchestration[NapInput, int]       = "napper"
	Deadly  durable.Orchestration[DeadlyInput, string] = "deadly"
	Work    durable.Activity[string, string]           = "work"
	Charge  durable.Activity[ChargeInput, int]         = "charge"
	Flaky   durable.Activity[string, string]           = "flaky"
	Nap     durable.Activity[int, int]                 = "nap"
	Kill    durable.Activity[string, string]           = "kill"
	Go      durable.Event[string]                      = "go"
	Done    durable.Event[string]                      = "done"
	Paid    durable.Event[string]                      = "paid"
)

// MixedInput is what an instance of Mixed starts with.
type MixedInput struct {
	// Sink is the instance that is told of the end and of each charge.
	Sink string
	// Flaky adds an activity whose first attempt fails and whose second comes a second later.
	Flaky      bool
	Generation int
}

// ChargeInput says what to charge, and whom to tell.
type ChargeInput struct {
	What string
	Sink string
}

// NapInput says how many activities to run, one after the other, and how long each takes.
type NapInput struct {
	Times int
	Ms    int
}

// DeadlyInput says what kills the process, unless that is cured: an activity, one that the limit Gate bounds, or else the
// orchestration's own code. Harmless does not, and has a call that the limit bounds.
type DeadlyInput struct {
	Activity, Bounded, Harmless bool
}

// Gate is a limit, for tests to put.
const Gate = "gate"

// SinkOutput is what a Sink has heard.
type SinkOutput struct {
	Done []string
	Paid []string
}

// Generations is how often an instance of Mixed runs: it continues as new in between.
const Generations = 2

// Tables is what the workload's activities write.
const Tables = `
	CREATE TABLE runs (instance text NOT NULL, task int NOT NULL, gen text NOT NULL, name text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
	CREATE TABLE charges (instance text NOT NULL, task int NOT NULL, what text NOT NULL);`

// patient is the policy of activities that use the database while it breaks.
var patient = durable.Retry{Attempts: 100, Initial: 50 * time.Millisecond, Factor: 2, Max: 500 * time.Millisecond}

// CuredEnv marks a process in which nothing is deadly any more.
const CuredEnv = "WEIR_FAULTS_CURED"

// die is kill -9 from within.
func die(s string) string {
	if os.Getenv(CuredEnv) == "" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return s
}

// Handlers serve all of it. The pool is for the traces, the client for what a TxHandler starts and raises.
func Handlers(pool *pgxpool.Pool, client *durable.Client) []durable.Handler {
	trace := func(ctx context.Context, what string) error {
		info, ok := durable.Task(ctx)
		if !ok {
			return errors.New("not in an activity")
		}
		_, err := pool.Exec(ctx, "INSERT INTO runs (instance, task, gen, name) VALUES ($1, $2, $3, $4)", info.InstanceID, info.TaskID, what, info.Name)
		return err
	}
	return []durable.Handler{
		Note.Handler(note),
		Haul.Handler(haul),
		Mixed.Handler(mixed),
		Sub.Handler(func(ctx *durable.Context, s string) (string, error) { return Work.Call(ctx, s) }),
		Receipt.Handler(func(ctx *durable.Context, s string) (string, error) { return Work.Call(ctx, s) }),
		Sink.Handler(sink),
		Hello.Handler(func(ctx *durable.Context, s string) (string, error) {
			for i := range 3 {
				if _, err := Work.Call(ctx, fmt.Sprint(i)); err != nil {
					return "", err
				}
			}
			return s, nil
		}),
		Napper.Handler(func(ctx *durable.Context, in NapInput) (int, error) {
			for range in.Times {
				if _, err := Nap.Call(ctx, in.Ms); err != nil {
					return 0, err
				}
			}
			return in.Times, nil
		}),
		Deadly.Handler(func(ctx *durable.Context, in DeadlyInput) (string, error) {
			switch {
			case in.Harmless:
				return Work.Call(ctx, "harmless", durable.Limit(Gate))
			case in.Bounded:
				return Kill.Call(ctx, "bounded", durable.Limit(Gate))
			case in.Activity:
				return Kill.Call(ctx, "activity")
			}
			return die("turn"), nil
		}),
		Kill.Handler(func(_ context.Context, s string) (string, error) { return die(s), nil }),
		Nap.Handler(func(ctx context.Context, ms int) (int, error) {
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
				return ms, trace(ctx, "nap")
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}, patient),
		Work.Handler(func(ctx context.Context, s string) (string, error) { return "did " + s, trace(ctx, s) }, patient),
		Charge.TxHandler(func(ctx context.Context, tx pgx.Tx, in ChargeInput) (int, error) {
			info, _ := durable.Task(ctx)
			what := info.InstanceID + ", " + in.What
			if _, err := Receipt.StartTx(ctx, client, tx, what, durable.ID("receipt: "+what)); err != nil {
				return 0, err
			}
			if err := Paid.RaiseTx(ctx, client, tx, in.Sink, what); err != nil {
				return 0, err
			}
			_, err := tx.Exec(ctx, "INSERT INTO charges (instance, task, what) VALUES ($1, $2, $3)", info.InstanceID, info.TaskID, in.What)
			return info.TaskID, err
		}, patient),
		Flaky.Handler(func(ctx context.Context, s string) (string, error) {
			info, _ := durable.Task(ctx)
			if info.Attempt == 1 {
				return "", errors.New("not yet")
			}
			return s, trace(ctx, s)
		}, durable.Retry{Attempts: 100, Initial: time.Second, Jitter: -1}),
	}
}

func mixed(ctx *durable.Context, in MixedInput) (string, error) {
	var flaky *durable.Future[string]
	if in.Flaky {
		flaky = Flaky.Go(ctx, fmt.Sprintf("retried %d", in.Generation))
	}
	for i := range 2 {
		if _, err := Work.Call(ctx, fmt.Sprintf("g%d-%d", in.Generation, i)); err != nil {
			return "", err
		}
	}
	if _, err := Charge.Call(ctx, ChargeInput{fmt.Sprintf("generation %d", in.Generation), in.Sink}); err != nil {
		return "", err
	}
	ctx.SetStatus(fmt.Sprintf("generation %d: charged", in.Generation))
	branches := make([]string, 4)
	for i := range branches {
		branches[i] = fmt.Sprintf("branch %d of %d", i, in.Generation) // no two calls of an instance leave the same trace
	}
	fan, err := Work.Map(ctx, branches)
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
	if in.Generation+1 < Generations {
		in.Generation++
		return Mixed.ContinueAsNew(ctx, in)
	}
	if err := Done.Send(ctx, in.Sink, ctx.ID()); err != nil {
		return "", err
	}
	return "done", nil
}

// sink hears of n ends and of the charges before them.
func sink(ctx *durable.Context, n int) (out SinkOutput, err error) {
	for range n * Generations {
		v, err := Paid.Wait(ctx)
		if err != nil {
			return out, err
		}
		out.Paid = append(out.Paid, v)
	}
	for range n {
		v, err := Done.Wait(ctx)
		if err != nil {
			return out, err
		}
		out.Done = append(out.Done, v)
	}
	return out, nil
}
