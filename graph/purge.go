package graph

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// purgeTime is how long one call purges.
const purgeTime = 5 * time.Second

// purge deletes instances, by ids or by a filter.
func (r *Resolver) purge(ctx context.Context, in *model.PurgeOrchestrationsInput) (*model.PurgePayload, error) {
	req := engine.PurgeRequest{Hub: in.Hub, IDs: in.InstanceIds.Value(), Recursive: in.Recursive}
	filter := in.Filter.Value()
	var done engine.Purged
	var err error
	if (req.IDs == nil) == (filter == nil) {
		err = &engine.Error{Code: engine.CodeInvalid, Field: "instanceIds", Message: "give instanceIds or filter"}
	} else {
		if req.Filter, err = filterOf(filter); err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, purgeTime)
		done, err = r.engine.Purge(limited, req)
		cancel()
	}
	errs, err := userErrors(err)
	if err != nil {
		return nil, err
	}
	out := &model.PurgePayload{
		Deleted: int32(done.Deleted), RefusedCount: int32(done.RefusedCount), Complete: done.Complete, Refused: []*model.PurgeRefusal{},
		Errors: errs, RequestID: requestID(ctx),
	}
	for _, refused := range done.Refused {
		out.Refused = append(out.Refused, &model.PurgeRefusal{
			InstanceID: refused.ID, Code: model.ErrorCode(engine.CodeOf(refused.Err)), Message: refused.Err.Error(),
		})
	}
	return out, nil
}
