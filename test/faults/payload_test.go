package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-dev/weir/durable"
)

const (
	Carry  durable.Orchestration[string, string] = "carry"
	Pass   durable.Orchestration[string, string] = "pass"
	Return durable.Activity[string, string]      = "return"
	Refuse durable.Activity[string, string]      = "refuse"
	Bring  durable.Event[string]                 = "bring"
)

// large stands for a text of 8 MiB. That such texts go through inputs, outputs, events and results is tested in
// package durable; here they are a failure's message and a custom status.
const large = "large"

func expand(s string) string {
	if s == large {
		return strings.Repeat("0123456789abcdef", 512<<10)
	}
	return s
}

// fails lets an activity fail with the text as its message, and makes the text the custom status.
func fails(ctx *durable.Context, s string) error {
	var failed *durable.TaskError
	if _, err := Refuse.Call(ctx, s); !errors.As(err, &failed) {
		return fmt.Errorf("failure: %w", err)
	}
	if want := expand(s); failed.Message != want {
		return fmt.Errorf("a failure's message of %d bytes came back as %d bytes", len(want), len(failed.Message))
	}
	ctx.SetStatus(expand(s))
	return nil
}

// carriers take a text through every place where a value can be: input and output of instances, children and
// activities, events, failures and the custom status.
func carriers() []durable.Handler {
	return []durable.Handler{
		Carry.Handler(func(ctx *durable.Context, s string) (string, error) {
			if s == large {
				return s, fails(ctx, s)
			}
			v, err := Return.Call(ctx, s)
			if err != nil {
				return "", fmt.Errorf("activity: %w", err)
			}
			if v, err = Pass.Call(ctx, v); err != nil {
				return "", fmt.Errorf("child: %w", err)
			}
			e, err := Bring.Wait(ctx)
			if err != nil || e != v {
				return "", fmt.Errorf("event of %d bytes, result of %d: %w", len(e), len(v), err)
			}
			return v, fails(ctx, s)
		}),
		Pass.Handler(func(_ *durable.Context, s string) (string, error) { return s, nil }),
		Return.Handler(func(_ context.Context, s string) (string, error) { return s, nil }),
		Refuse.Handler(func(_ context.Context, s string) (string, error) { return "", errors.New(expand(s)) }),
	}
}

// TestPayloads sends texts of 0 bytes, 1 byte and 8 MiB, with NUL and with all that JSON escapes, through every
// place. They come out as they went in.
func TestPayloads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(nil, carriers()...)
	for name, s := range map[string]string{
		"empty": "", "one": "x", large: large, "nul": "a\x00b\x00", "escapes": "\u2028<&>\ufffd\"\\\u007f",
	} {
		inst, err := Carry.Start(b.ctx, b.client, s, durable.ID(name))
		b.no(err)
		if s != large {
			b.no(Bring.Raise(b.ctx, b.client, name, s))
		}
		got, err := inst.Wait(b.ctx)
		if err != nil || got != s {
			t.Errorf("%s: %d bytes came back as %d: %.300v", name, len(s), len(got), err)
			continue
		}
		state, err := inst.State(b.ctx)
		b.no(err)
		var status string
		if err := json.Unmarshal(state.CustomStatus, &status); err != nil || status != expand(s) {
			t.Errorf("%s: the custom status has %d bytes: %v", name, len(status), err)
		}
	}
	b.check()
}

// TestPayloadsRefused sends what cannot be kept, over the limit or invalid UTF-8, to every place. Each says so by a
// coded error; nothing is truncated, and the others go on.
func TestPayloadsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const limit = 1000
	l := b.start(1, false)
	b.worker(b.dsn)
	const (
		Try durable.Orchestration[string, string] = "try"
		Say durable.Activity[string, string]      = "say"
	)
	bad := map[string]string{"long": strings.Repeat("x", limit), "invalid": "a\xffb"}
	b.run(&durable.Config{PayloadLimit: limit}, append(carriers(),
		Say.Handler(func(_ context.Context, kind string) (string, error) { return bad[kind], nil }),
		Try.Handler(func(ctx *durable.Context, where string) (string, error) {
			kind, place, _ := strings.Cut(where, " ")
			switch place {
			case "activity input":
				return Return.Call(ctx, bad[kind])
			case "activity output":
				return Say.Call(ctx, kind)
			case "child input":
				return Pass.Call(ctx, bad[kind])
			case "event sent":
				return "", Bring.Send(ctx, "try sink", bad[kind])
			case "step output":
				return durable.Step(ctx, "step", func(context.Context) (string, error) { return bad[kind], nil })
			case "custom status":
				ctx.SetStatus(bad[kind])
				_, err := Bring.Wait(ctx)
				return "", err
			}
			return bad[kind], nil
		}))...)
	client, err := durable.NewClient(b.pool, durable.PayloadLimit(limit))
	b.no(err)
	defer client.Close()
	for kind, want := range map[string]error{"long": durable.ErrTooLarge, "invalid": durable.ErrInvalid} {
		if _, err := Carry.Start(b.ctx, client, bad[kind]); !errors.Is(err, want) {
			t.Errorf("%s input: got %v", kind, err)
		}
		if err := Bring.Raise(b.ctx, client, "any", bad[kind]); !errors.Is(err, want) {
			t.Errorf("%s event: got %v", kind, err)
		}
		for _, place := range []string{"activity input", "activity output", "child input", "event sent", "step output", "output"} {
			inst, err := Try.Start(b.ctx, client, kind+" "+place)
			b.no(err)
			out, err := inst.Wait(b.ctx)
			if !errors.Is(err, want) {
				t.Errorf("%s %s: got %d bytes, %v", kind, place, len(out), err)
			}
		}
		// A status is set by the orchestration's code, which has no error to look at: its turn is held.
		inst, err := Try.Start(b.ctx, client, kind+" custom status", durable.ID(kind))
		b.no(err)
		b.until("it is held", func() bool {
			s, err := inst.State(b.ctx)
			b.no(err)
			return strings.Contains(s.Held, "status")
		})
		b.no(inst.Terminate(b.ctx, ""))
	}
	if faults, err := l.Wait(b.ctx); err != nil || faults != nil {
		t.Fatal(faults, err)
	}
	b.check()
}
