package durable_test

import (
	"testing"

	"github.com/weir-dev/weir/durable"
)

// An event that arrives in the very turn in which the code continues as new, after it has done so, belongs to the
// next generation, even if the code had asked for one and not waited.
func TestEventAfterContinueAsNewIsCarriedOver(t *testing.T) {
	const (
		Next durable.Event[durable.None]        = "next"
		Gen  durable.Orchestration[int, string] = "generation"
	)
	b := setup(t)
	inst := start(b, Gen, 0)
	// All of it is there before the first turn, and in this order.
	raise(b, Next, inst.ID(), durable.None{})
	raise(b, Item, inst.ID(), "for the next generation")
	b.worker(nil, Gen.Handler(func(ctx *durable.Context, gen int) (string, error) {
		if gen == 0 {
			item, next := Item.Next(ctx), Next.Next(ctx)
			if durable.First(item, next) == durable.Awaitable(next) {
				return Gen.ContinueAsNew(ctx, 1) // item is still open
			}
			return item.Await()
		}
		item, err := Item.Wait(ctx)
		return "second generation: " + item, err
	}))
	if got, want := wait(b, inst), "second generation: for the next generation"; got != want {
		t.Errorf("got %q", got)
	}
}
