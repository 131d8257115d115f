package durable_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// TestLargeValuesOfOldGenerations: what an eternal orchestration has stored apart goes with the history that held it,
// and nothing goes that is still wanted: inputs, and events that are carried over and over.
func TestLargeValuesOfOldGenerations(t *testing.T) {
	b := setup(t)
	const size = 100_000
	type state struct {
		Left int
		Pad  string
	}
	const (
		eternal durable.Orchestration[state, int] = "eternal"
		work    durable.Activity[string, string]  = "work"
		kept    durable.Event[string]             = "kept"
		step    durable.Event[string]             = "step"
	)
	most := 0
	b.worker(nil,
		eternal.Handler(func(ctx *durable.Context, in state) (int, error) {
			if len(in.Pad) != size {
				return 0, fmt.Errorf("the input has %d bytes", len(in.Pad))
			}
			if s, err := step.Wait(ctx); err != nil || len(s) != size {
				return 0, fmt.Errorf("an event of %d bytes, %w", len(s), err)
			}
			if s, err := work.Call(ctx, in.Pad); err != nil || len(s) != size {
				return 0, fmt.Errorf("a result of %d bytes, %w", len(s), err)
			}
			if in.Left > 0 {
				return eternal.ContinueAsNew(ctx, state{in.Left - 1, in.Pad})
			}
			total := 0
			for range 3 {
				s, err := kept.Wait(ctx)
				if err != nil {
					return 0, err
				}
				total += len(s)
			}
			return total, nil
		}),
		work.Handler(func(_ context.Context, in string) (string, error) { return in, nil }),
	)
	const generations = 12
	inst := start(b, eternal, state{generations, strings.Repeat("x", size)})
	for range 3 {
		if err := kept.Raise(b.ctx, b.client, inst.ID(), strings.Repeat("k", size)); err != nil {
			t.Fatal(err)
		}
	}
	for gen := range generations + 1 {
		if err := step.Raise(b.ctx, b.client, inst.ID(), strings.Repeat("s", size)); err != nil {
			t.Fatal(err)
		}
		b.until("the generation is over", func() bool {
			return b.count("SELECT gen FROM weir.instances WHERE id = $1", inst.ID()) > gen || gen == generations
		})
		most = max(most, b.count("SELECT count(*) FROM weir.payloads"))
	}
	if got := wait(b, inst); got != 3*size {
		t.Errorf("the events that were carried over have %d bytes", got)
	}
	// Two generations of five values each, the three events, and what is on its way.
	if most > 18 {
		t.Errorf("up to %d values were kept", most)
	}
}

// TestLargeEventsOutliveTheirSenders: a large event belongs to whoever gets it, however long that takes; one that
// nobody gets is not kept.
func TestLargeEventsOutliveTheirSenders(t *testing.T) {
	b := setup(t)
	const size = 100_000
	const (
		sender   durable.Orchestration[[]string, durable.None] = "sender"
		receiver durable.Orchestration[int, int]               = "receiver"
		big      durable.Event[string]                         = "big"
	)
	b.worker(nil,
		sender.Handler(func(ctx *durable.Context, to []string) (durable.None, error) {
			for _, id := range to {
				if err := big.Send(ctx, id, strings.Repeat("x", size)); err != nil {
					return durable.None{}, err
				}
			}
			return durable.None{}, nil
		}),
		receiver.Handler(func(ctx *durable.Context, n int) (int, error) {
			total := 0
			for range n {
				s, err := big.Wait(ctx)
				if err != nil {
					return 0, err
				}
				total += len(s)
			}
			return total, nil
		}),
	)
	// Not to be started yet: the event waits in its inbox while the sender goes.
	later := start(b, receiver, 1, durable.ID("later"), durable.Delay(time.Second))
	ended := start(b, receiver, 0, durable.ID("ended"))
	wait(b, ended)
	from := start(b, sender, []string{"later", "nobody", "ended"}, durable.ID("from"))
	wait(b, from)
	b.until("the events are delivered", func() bool { return b.count("SELECT count(*) FROM weir.outbox") == 0 })
	if got, err := b.client.Purge(b.ctx, durable.Purge{IDs: []string{"from", "ended"}}); err != nil || got.Deleted != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if n := b.count("SELECT count(*) FROM weir.payloads"); n != 1 {
		t.Errorf("%d values are stored, want that of the one event that was delivered", n)
	}
	if got := wait(b, later); got != size {
		t.Errorf("got %d bytes", got)
	}
	if got, err := b.client.Purge(b.ctx, durable.Purge{IDs: []string{"later"}}); err != nil || got.Deleted != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if n := b.count("SELECT count(*) FROM weir.payloads"); n != 0 {
		t.Errorf("%d values are left", n)
	}
}
