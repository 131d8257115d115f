package durabletest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/durabletest"
)

// The bounds of a call hold in virtual time too.
func TestBounds(t *testing.T) {
	t.Parallel()
	call := func(opts ...durable.CallOption) durable.Handler {
		return Approve.Handler(func(ctx *durable.Context, s string) (string, error) { return Slow.Call(ctx, s, opts...) })
	}
	t.Run("Overall", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, call(durable.Overall(24*time.Hour)), Slow.Handler(func(ctx context.Context, _ string) (string, error) {
			return "", durabletest.Sleep(ctx, 48*time.Hour)
		}))
		from := env.Now()
		if _, err := durabletest.Start(env, Approve, "").Await(); !errors.Is(err, durable.ErrTimeout) {
			t.Errorf("got %v", err)
		}
		if d := env.Now().Sub(from); d != 24*time.Hour {
			t.Errorf("it took %s", d)
		}
	})
	t.Run("OverallEndsRetries", func(t *testing.T) {
		t.Parallel()
		attempts := 0
		env := durabletest.New(t, call(durable.Overall(time.Hour), durable.Retry{Initial: 25 * time.Minute}),
			Slow.Handler(func(context.Context, string) (string, error) {
				attempts++
				return "", errors.New("no")
			}))
		if _, err := durabletest.Start(env, Approve, "").Await(); err == nil || attempts != 3 {
			t.Errorf("got %v after %d attempts", err, attempts)
		}
	})
	t.Run("Heartbeat", func(t *testing.T) {
		t.Parallel()
		env := durabletest.New(t, call(durable.HeartbeatTimeout(time.Hour), durable.Retry{Attempts: 2, Initial: time.Minute}),
			Slow.Handler(func(ctx context.Context, _ string) (string, error) {
				at := 0
				if _, err := durable.LastHeartbeat(ctx, &at); err != nil {
					return "", err
				}
				for i := at + 1; i <= at+3; i++ {
					if err := durabletest.Sleep(ctx, 50*time.Minute); err != nil {
						return "", err
					}
					if err := durable.Heartbeat(ctx, i); err != nil {
						return "", err
					}
				}
				if at == 0 {
					return "", durabletest.Sleep(ctx, 2*time.Hour)
				}
				return fmt.Sprint(at), nil
			}))
		if got, err := durabletest.Start(env, Approve, "").Await(); err != nil || got != "3" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
