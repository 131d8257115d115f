package graph

// The resolvers of operation.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// Refusals is the resolver for the refusals field.
func (r *batchOperationResolver) Refusals(ctx context.Context, obj *model.BatchOperation) ([]*model.BatchRefusal, error) {
	out := []*model.BatchRefusal{}
	if obj.Refused == 0 {
		return out, nil
	}
	found, err := r.engine.OperationRefusals(ctx, obj.Operation)
	if err != nil {
		return nil, err
	}
	for _, refused := range found {
		out = append(out, &model.BatchRefusal{
			InstanceID: refused.ID, Code: model.ErrorCode(engine.CodeOf(refused.Err)), Message: refused.Err.Error(),
		})
	}
	return out, nil
}

// StartBatchOperation is the resolver for the startBatchOperation field.
func (r *mutationResolver) StartBatchOperation(ctx context.Context, input model.StartBatchOperationInput) (*model.BatchOperationPayload, error) {
	return r.startOperation(ctx, &input)
}

// PauseBatchOperation is the resolver for the pauseBatchOperation field.
func (r *mutationResolver) PauseBatchOperation(ctx context.Context, input model.PauseBatchOperationInput) (*model.BatchOperationPayload, error) {
	o, err := r.engine.PauseOperation(ctx, input.Hub, input.OperationID)
	return operationChanged(ctx, o, err)
}

// ResumeBatchOperation is the resolver for the resumeBatchOperation field.
func (r *mutationResolver) ResumeBatchOperation(ctx context.Context, input model.ResumeBatchOperationInput) (*model.BatchOperationPayload, error) {
	o, err := r.resumeOperation(ctx, input.Hub, input.OperationID)
	return operationChanged(ctx, o, err)
}

// CancelBatchOperation is the resolver for the cancelBatchOperation field.
func (r *mutationResolver) CancelBatchOperation(ctx context.Context, input model.CancelBatchOperationInput) (*model.BatchOperationPayload, error) {
	o, err := r.engine.CancelOperation(ctx, input.Hub, input.OperationID)
	return operationChanged(ctx, o, err)
}

// SetRetention is the resolver for the setRetention field.
func (r *mutationResolver) SetRetention(ctx context.Context, input model.SetRetentionInput) (*model.RetentionPayload, error) {
	return r.retentionChanged(ctx, input.Hub, r.setRetention(ctx, &input))
}

// DeleteRetention is the resolver for the deleteRetention field.
func (r *mutationResolver) DeleteRetention(ctx context.Context, input model.DeleteRetentionInput) (*model.RetentionPayload, error) {
	status, err := endedStatus(input.Status.Value())
	if err == nil {
		err = r.engine.DeleteRetention(ctx, input.Hub, deref(input.Name.Value()), status)
	}
	return r.retentionChanged(ctx, input.Hub, err)
}

// BatchOperation is the resolver for the batchOperation field.
func (r *queryResolver) BatchOperation(ctx context.Context, hub, operationID string) (*model.BatchOperation, error) {
	o, err := absent(r.engine.Operation(ctx, hub, operationID))
	if o == nil || err != nil {
		return nil, err
	}
	return &model.BatchOperation{Operation: o}, nil
}

// BatchOperations is the resolver for the batchOperations field.
func (r *queryResolver) BatchOperations(ctx context.Context, hub string, states []model.BatchOperationState, first int32, after *string) (*model.BatchOperationConnection, error) {
	return r.operations(ctx, hub, states, int(first), after)
}

// PreviewBatchOperation is the resolver for the previewBatchOperation field.
func (r *queryResolver) PreviewBatchOperation(ctx context.Context, input model.PreviewBatchOperationInput) (*model.BatchOperationPreview, error) {
	req, err := operationRequest(input.Hub, input.Kind, input.Filter.Value())
	if err != nil {
		return nil, err
	}
	p, err := r.engine.PreviewOperation(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &model.BatchOperationPreview{Matched: &model.Count{Value: int32(p.Matched), Exact: p.Exact}, Sample: []*model.OrchestrationRef{}}
	for _, i := range p.Sample {
		out.Sample = append(out.Sample, &model.OrchestrationRef{InstanceID: i.ID, Name: i.Name})
	}
	return out, nil
}

// Retention is the resolver for the retention field.
func (r *queryResolver) Retention(ctx context.Context, hub string) ([]*model.RetentionRule, error) {
	return r.rules(ctx, hub)
}

// BatchOperation is the resolver for the batchOperation field.
func (r *subscriptionResolver) BatchOperation(ctx context.Context, hub, operationID string) (<-chan *model.BatchOperation, error) {
	return r.watchOperation(ctx, hub, operationID)
}

// BatchOperation returns generated.BatchOperationResolver implementation.
func (r *Resolver) BatchOperation() generated.BatchOperationResolver {
	return &batchOperationResolver{r}
}

type batchOperationResolver struct{ *Resolver }
