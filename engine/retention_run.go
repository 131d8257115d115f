package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

const (
	// retainEvery is how often the leader looks for what is no longer to be kept.
	retainEvery = time.Minute
	// retainNames is how many names of orchestrations are looked at in one statement.
	retainNames = 250
)

// retain has the leader purge, each minute, what is no longer to be kept. It runs until ctx ends.
func (n *Node) retain(ctx context.Context) error {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := n.retainRound(ctx); err != nil {
			n.warn(ctx, "purge what is no longer to be kept", err)
		}
	}
}

// retainRound purges what is no longer to be kept, of each hub a page in turn, as long as this node leads. After each page
// it rests, at least for as long as that took, so that it leaves most of the time to others, however much there is to do.
func (n *Node) retainRound(ctx context.Context) error {
	if !n.isLeader() {
		return nil
	}
	hubs, err := n.e.q.HubsWithRetention(ctx, n.e.pool)
	if err != nil {
		return fmt.Errorf("read retention: %w", err)
	}
	sweeps := make([]*retentionSweep, len(hubs))
	for i, hub := range hubs {
		sweeps[i] = &retentionSweep{e: n.e, hub: hub}
	}
	var pace pace
	for len(sweeps) > 0 {
		for i, s := range sweeps {
			began := time.Now()
			acted, more, err := s.page(ctx)
			if err != nil {
				return err
			}
			if !more {
				sweeps[i] = nil
			}
			if err := n.rest(ctx, pace.restAfter(time.Since(began), acted, 0)); err != nil || !n.isLeader() {
				return err
			}
		}
		sweeps = slices.DeleteFunc(sweeps, func(s *retentionSweep) bool { return s == nil })
	}
	return nil
}

// retentionSweep goes through the names of a hub's orchestrations.
type retentionSweep struct {
	e     *Engine
	hub   int32
	after string // the last name of which nothing is left to purge, nor of those before it
}

// page purges up to a hundred instances, by the rules as they are now, and tells how many they were, and whether there may be
// more.
func (s *retentionSweep) page(ctx context.Context) (acted int, more bool, err error) {
	all, err := s.e.retentions(ctx, s.hub)
	if err != nil {
		return 0, false, err
	}
	names, err := s.e.q.ListNames(ctx, s.e.pool, store.ListNamesParams{Hub: s.hub, After: s.after, Chunk: retainNames})
	if err != nil {
		return 0, false, fmt.Errorf("list names: %w", err)
	}
	if len(names) == 0 {
		return 0, false, nil
	}
	rows, err := s.e.q.FindExpired(ctx, s.e.pool, s.expired(rulesOf(all), names))
	if err != nil {
		return 0, false, fmt.Errorf("find what is no longer to be kept: %w", err)
	}
	expired := make([]seen, len(rows))
	for i, row := range rows {
		expired[i] = seen{row.No, row.Seq, row.UpdatedAt}
	}
	gone, err := s.e.purgeUnchanged(ctx, s.hub, expired)
	if err != nil {
		return 0, false, err
	}
	if len(rows) == purgesPerUnit && gone > 0 {
		return len(rows), true, nil
	}
	s.after = names[len(names)-1]
	return len(rows), len(names) == retainNames, nil
}

// expired asks for what the rules no longer keep, in any order: none of the names is always the last.
func (s *retentionSweep) expired(rules retentionRules, names []string) store.FindExpiredParams {
	p := store.FindExpiredParams{Hub: s.hub, Chunk: purgesPerUnit, Names: []string{}, Outcomes: []int16{}, Keeps: []float64{}}
	for _, i := range rand.Perm(len(names)) {
		for _, status := range []history.Status{history.Completed, history.Failed, history.Canceled, history.Terminated} {
			if keep := rules.keep(names[i], status); keep > 0 {
				p.Names = append(p.Names, names[i])
				p.Outcomes = append(p.Outcomes, int16(status))
				p.Keeps = append(p.Keeps, keep.Seconds())
			}
		}
	}
	return p
}
