package jobs

import (
	"context"
	"slices"

	"github.com/riverqueue/river"

	"github.com/weir-dev/weir/engine/logkey"
)

// harvestNative delivers the outcomes of plain River jobs as soon as River has finalized them. What it misses,
// because the process stopped in between, the reaper finds.
func (c *Client) harvestNative(ctx context.Context) {
	events, cancel := c.river.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobCancelled)
	go func() {
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-events:
				if !ok {
					return
				}
				if e == nil || len(e.Job.UniqueKey) != 16 || e.Job.FinalizedAt == nil || !slices.Contains(c.cfg.NativeKinds, e.Job.Kind) {
					continue
				}
				if err := c.cfg.Node.HarvestNative(ctx); err != nil && ctx.Err() == nil {
					c.cfg.Logger.WarnContext(ctx, "harvest river jobs", logkey.Err, err)
				}
			}
		}
	}()
}
