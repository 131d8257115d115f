package main

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/durable"
)

// The orchestrations of the workloads. Their activities do nothing, so that what is measured is Weir.
const (
	Hello durable.Orchestration[string, string] = "hello"
	One   durable.Orchestration[string, string] = "one"
	Fan   durable.Orchestration[int, int]       = "fan"
	Steps durable.Orchestration[int, []int64]   = "steps"
	Idle  durable.Orchestration[int, int]       = "idle"
	Pong  durable.Orchestration[int, int]       = "pong"
	Slow  durable.Orchestration[slowInput, int] = "slow"
	Sleep durable.Orchestration[int, int]       = "sleep"
	Alarm durable.Orchestration[int64, int64]   = "alarm"

	Count durable.Operation[int, int, int] = "count/add"

	Greet durable.Activity[string, string] = "greet"
	Nap   durable.Activity[int, int]       = "nap"
	Ping  durable.Event[int]               = "ping"
)

type slowInput struct {
	Steps int
	NapMs int
}

func handlers() []durable.Handler {
	return []durable.Handler{
		Greet.Handler(func(_ context.Context, s string) (string, error) { return s, nil }),
		Nap.Handler(func(ctx context.Context, ms int) (int, error) {
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
				return ms, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}),
		Hello.Handler(func(ctx *durable.Context, name string) (string, error) {
			for _, city := range []string{"Tokyo", "Seattle", "London"} {
				if _, err := Greet.Call(ctx, city); err != nil {
					return "", err
				}
			}
			return name, nil
		}),
		One.Handler(func(ctx *durable.Context, s string) (string, error) { return Greet.Call(ctx, s) }),
		Fan.Handler(func(ctx *durable.Context, n int) (int, error) {
			out, err := Greet.Map(ctx, make([]string, n))
			return len(out), err
		}),
		// Steps returns when each thousand of its steps was done, in microseconds.
		Steps.Handler(func(ctx *durable.Context, n int) ([]int64, error) {
			marks := []int64{ctx.Now().UnixMicro()}
			for i := range n {
				if _, err := Greet.Call(ctx, "x"); err != nil {
					return nil, err
				}
				if (i+1)%1000 == 0 || i == n-1 {
					marks = append(marks, ctx.Now().UnixMicro())
				}
			}
			return marks, nil
		}),
		Idle.Handler(func(ctx *durable.Context, _ int) (int, error) { return Ping.Wait(ctx) }),
		Pong.Handler(func(ctx *durable.Context, n int) (int, error) {
			for i := range n {
				got, err := Ping.Wait(ctx)
				if err != nil {
					return 0, err
				}
				if got != i {
					return 0, fmt.Errorf("event %d came as number %d", got, i)
				}
				ctx.SetStatus(got)
			}
			return n, nil
		}),
		Slow.Handler(func(ctx *durable.Context, in slowInput) (int, error) {
			for range in.Steps {
				if _, err := Nap.Call(ctx, in.NapMs); err != nil {
					return 0, err
				}
			}
			return in.Steps, nil
		}),
		Count.Handler(func(_ *durable.EntityContext, n *int, by int) (int, error) { *n += by; return *n, nil }),
		// Alarm sleeps until a moment, in microseconds, and returns how late it was, in microseconds.
		Alarm.Handler(func(ctx *durable.Context, at int64) (int64, error) {
			err := ctx.Sleep(time.UnixMicro(at).Sub(ctx.Now()))
			return ctx.Now().UnixMicro() - at, err
		}),
		Sleep.Handler(func(ctx *durable.Context, hours int) (int, error) {
			return hours, ctx.Sleep(time.Duration(hours) * time.Hour)
		}),
	}
}
