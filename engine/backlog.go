package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
)

// MaxBacklogHubs is of how many hubs backlogs are read, the oldest ones: what is made of them must be bounded.
const MaxBacklogHubs = 100

// BacklogKinds are the kinds of work that a backlog is of.
var BacklogKinds = [...]string{"orchestration", "activity", "entity"}

// HubBacklog is what waits in a hub, and what is at work.
type HubBacklog struct {
	Hub     string
	Workers int64 // that are online
	// Kinds are in the order of BacklogKinds.
	Kinds [len(BacklogKinds)]KindBacklog
}

// KindBacklog is the work of one kind.
type KindBacklog struct {
	// Pending waits to be taken up. Active is at work as far as the database shows it: activities in the process of their
	// orchestration only after a second.
	Pending int64
	Active  int64
	// Oldest is how long the first of those that wait has waited.
	Oldest time.Duration
}

// Backlog reads what waits in each hub, by one look at River's rows: ask now and then, not at every turn.
func (e *Engine) Backlog(ctx context.Context) ([]HubBacklog, error) {
	rows, err := e.q.Backlog(ctx, e.lists, MaxBacklogHubs)
	var workers []store.CountWorkersRow
	if err == nil {
		workers, err = e.q.CountWorkers(ctx, e.lists, MaxBacklogHubs)
	}
	if err != nil {
		return nil, fmt.Errorf("read backlog: %w", err)
	}
	var out []HubBacklog
	for _, row := range rows {
		if len(out) == 0 || out[len(out)-1].Hub != row.Hub {
			out = append(out, HubBacklog{Hub: row.Hub})
			for _, w := range workers {
				if w.Hub == row.Hub {
					out[len(out)-1].Workers = w.Workers
				}
			}
		}
		out[len(out)-1].Kinds[row.Kind] = KindBacklog{row.Pending, row.Active, time.Duration(row.Oldest * float64(time.Second))}
	}
	return out, nil
}
