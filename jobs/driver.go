package jobs

import (
	"context"
	"slices"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/engine"
)

// anyTurn is the kind under which River's library hands out turn jobs of versions that no handler names.
const anyTurn = "weir.turn"

// driver is River's, but that it also fetches turn jobs of the versions that the node takes and has no handler for. They
// become known while the node runs, whereas River asks which kinds it is to fetch when a client starts.
type driver struct {
	*riverpgxv5.Driver
	node *engine.Node
}

// GetExecutor implements riverdriver.Driver.
func (d *driver) GetExecutor() riverdriver.Executor {
	return &fetcher{d.Driver.GetExecutor(), d.node}
}

type fetcher struct {
	riverdriver.Executor
	node *engine.Node
}

// JobGetAvailable implements riverdriver.Executor.
func (f *fetcher) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	more := f.node.OtherTurnKinds()
	if len(more) == 0 || !slices.Contains(params.Kind, anyTurn) {
		return f.Executor.JobGetAvailable(ctx, params)
	}
	wider := *params
	wider.Kind = slices.Concat(params.Kind, more)
	found, err := f.Executor.JobGetAvailable(ctx, &wider)
	if err != nil {
		return nil, err
	}
	for _, job := range found.Jobs {
		if !slices.Contains(params.Kind, job.Kind) {
			job.Kind = anyTurn
		}
	}
	return found, nil
}
