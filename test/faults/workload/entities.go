package workload

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/durable"
)

// Vault is the state of the entities of the workload. It knows how far each sender has come, so that an operation that
// is carried out twice, or too early, shows.
type Vault struct {
	Sum   int
	Seen  map[string]int
	Wrong []string
}

// Entry is what an operation of a vault adds: the N-th of its sender, from 1.
type Entry struct {
	Sender string
	N      int
	Amount int
}

// Operations of vaults, and the orchestration that carries from one to another under locks.
const (
	Note durable.Operation[Vault, Entry, int]  = "vault/note"
	Haul durable.Orchestration[HaulInput, int] = "haul"
)

// HaulInput says between which vaults, and how often.
type HaulInput struct {
	From, To string
	Times    int
}

func note(_ *durable.EntityContext, v *Vault, e Entry) (int, error) {
	if v.Seen == nil {
		v.Seen = map[string]int{}
	}
	if want := v.Seen[e.Sender] + 1; e.N != want {
		v.Wrong = append(v.Wrong, fmt.Sprintf("entry %d of %s came when %d was due", e.N, e.Sender, want))
	}
	v.Seen[e.Sender] = e.N
	v.Sum += e.Amount
	return v.Sum, nil
}

func haul(ctx *durable.Context, in HaulInput) (int, error) {
	for n := range in.Times {
		unlock, err := durable.Lock(ctx, Note.ID(in.From), Note.ID(in.To))
		if err != nil {
			return n, err
		}
		before, err := Note.Call(ctx, in.From, Entry{ctx.ID(), 2*n + 1, -1})
		if err != nil {
			return n, err
		}
		if _, err := Note.Call(ctx, in.To, Entry{ctx.ID(), n + 1, 1}); err != nil {
			return n, err
		}
		after, err := Note.Call(ctx, in.From, Entry{ctx.ID(), 2*n + 2, 0})
		if err != nil {
			return n, err
		}
		if before != after {
			return n, fmt.Errorf("somebody came to %s while it was locked: %d, then %d", in.From, before, after)
		}
		unlock()
	}
	return in.Times, nil
}

// Pay signals a vault times often, each signal until it is recorded, under a key of its own.
func Pay(ctx context.Context, client *durable.Client, vault, sender string, times int) error {
	for n := range times {
		err := insist(ctx, func() error {
			return Note.Invoke(ctx, client, vault, Entry{sender, n + 1, 1}, durable.Key(fmt.Sprint(sender, "-", n)))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
