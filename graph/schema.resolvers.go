package graph

// The resolvers of schema.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"
	"strings"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// StartOrchestration is the resolver for the startOrchestration field.
func (r *mutationResolver) StartOrchestration(ctx context.Context, input model.StartOrchestrationInput) (*model.OrchestrationPayload, error) {
	return r.start(ctx, &input)
}

// RaiseEvent is the resolver for the raiseEvent field.
func (r *mutationResolver) RaiseEvent(ctx context.Context, input model.RaiseEventInput) (*model.OrchestrationPayload, error) {
	req := engine.RaiseRequest{Hub: input.Hub, Instance: input.InstanceID, Name: input.Name, Key: deref(input.IdempotencyKey.Value())}
	if input.Payload.IsSet() {
		req.Input = value(input.Payload.Value())
	}
	return r.changed(ctx, input.Hub, input.InstanceID, r.engine.Raise(ctx, req))
}

// RaiseOrStart is the resolver for the raiseOrStart field.
func (r *mutationResolver) RaiseOrStart(ctx context.Context, input model.RaiseOrStartInput) (*model.OrchestrationPayload, error) {
	return r.raiseOrStart(ctx, &input)
}

// SetTags is the resolver for the setTags field.
func (r *mutationResolver) SetTags(ctx context.Context, input model.SetTagsInput) (*model.OrchestrationPayload, error) {
	set, err := tags("set", input.Set)
	if err == nil {
		err = r.engine.SetTags(ctx, input.Hub, input.InstanceID, set, input.Remove)
	}
	return r.changed(ctx, input.Hub, input.InstanceID, err)
}

// CreateHub is the resolver for the createHub field.
func (r *mutationResolver) CreateHub(ctx context.Context, input model.CreateHubInput) (*model.CreateHubPayload, error) {
	errs, err := userErrors(r.engine.CreateHub(ctx, input.Name))
	out := &model.CreateHubPayload{Errors: errs, RequestID: requestID(ctx)}
	if err == nil && len(errs) == 0 {
		out.Hub, err = r.hub(ctx, input.Name)
	}
	return out, err
}

// PurgeOrchestrations is the resolver for the purgeOrchestrations field.
func (r *mutationResolver) PurgeOrchestrations(ctx context.Context, input model.PurgeOrchestrationsInput) (*model.PurgePayload, error) {
	return r.purge(ctx, &input)
}

// CancelOrchestration is the resolver for the cancelOrchestration field.
func (r *mutationResolver) CancelOrchestration(ctx context.Context, input model.CancelOrchestrationInput) (*model.OrchestrationPayload, error) {
	if strings.TrimSpace(input.Reason) == "" {
		return r.changed(ctx, input.Hub, input.InstanceID, &engine.Error{Code: engine.CodeInvalid, Field: "reason", Message: "must not be empty"})
	}
	err := r.engine.Cancel(ctx, engine.CancelRequest{Hub: input.Hub, Instance: input.InstanceID, Reason: input.Reason, By: actor(ctx)})
	return r.changed(ctx, input.Hub, input.InstanceID, err)
}

// TerminateOrchestration is the resolver for the terminateOrchestration field.
func (r *mutationResolver) TerminateOrchestration(ctx context.Context, input model.TerminateOrchestrationInput) (*model.OrchestrationPayload, error) {
	if strings.TrimSpace(input.Reason) == "" {
		return r.changed(ctx, input.Hub, input.InstanceID, noReason())
	}
	err := r.engine.Terminate(ctx, engine.TerminateRequest{Hub: input.Hub, Instance: input.InstanceID, Reason: input.Reason, Recursive: input.Recursive})
	return r.changed(ctx, input.Hub, input.InstanceID, err)
}

// SuspendOrchestration is the resolver for the suspendOrchestration field.
func (r *mutationResolver) SuspendOrchestration(ctx context.Context, input model.SuspendOrchestrationInput) (*model.OrchestrationPayload, error) {
	if strings.TrimSpace(input.Reason) == "" {
		return r.changed(ctx, input.Hub, input.InstanceID, noReason())
	}
	err := r.engine.Suspend(ctx, engine.ControlRequest{Hub: input.Hub, Instance: input.InstanceID, Reason: input.Reason, By: actor(ctx)})
	return r.changed(ctx, input.Hub, input.InstanceID, err)
}

// ResumeOrchestration is the resolver for the resumeOrchestration field.
func (r *mutationResolver) ResumeOrchestration(ctx context.Context, input model.ResumeOrchestrationInput) (*model.OrchestrationPayload, error) {
	req := engine.ControlRequest{Hub: input.Hub, Instance: input.InstanceID, Reason: deref(input.Reason.Value()), By: actor(ctx)}
	return r.changed(ctx, input.Hub, input.InstanceID, r.engine.Resume(ctx, req))
}

// RestartOrchestration is the resolver for the restartOrchestration field.
func (r *mutationResolver) RestartOrchestration(ctx context.Context, input model.RestartOrchestrationInput) (*model.OrchestrationPayload, error) {
	req := engine.RestartRequest{Hub: input.Hub, Instance: input.InstanceID, New: input.AsNew, NewID: deref(input.NewInstanceID.Value())}
	id := input.InstanceID
	started, err := r.engine.Restart(ctx, req)
	if err == nil {
		id = started.ID
	}
	return r.changed(ctx, input.Hub, id, err)
}

// RewindOrchestration is the resolver for the rewindOrchestration field.
func (r *mutationResolver) RewindOrchestration(ctx context.Context, input model.RewindOrchestrationInput) (*model.OrchestrationPayload, error) {
	req := engine.RewindRequest{Hub: input.Hub, Instance: input.InstanceID, Reason: input.Reason, Step: input.Step.Value()}
	if strings.TrimSpace(input.Reason) == "" {
		return r.changed(ctx, input.Hub, input.InstanceID, noReason())
	}
	return r.changed(ctx, input.Hub, input.InstanceID, r.engine.Rewind(ctx, req))
}

// Node is the resolver for the node field.
func (r *queryResolver) Node(ctx context.Context, id string) (model.Node, error) {
	return r.node(ctx, id)
}

// Nodes is the resolver for the nodes field.
func (r *queryResolver) Nodes(ctx context.Context, ids []string) ([]model.Node, error) {
	if err := check("ids", len(ids), 0, maxNodes); err != nil {
		return nil, err
	}
	out := make([]model.Node, len(ids))
	for i, id := range ids {
		n, err := r.node(ctx, id)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// Server is the resolver for the server field.
func (r *queryResolver) Server(ctx context.Context) (*model.ServerInfo, error) {
	now, err := r.engine.Now(ctx)
	if err != nil {
		return nil, err
	}
	return &model.ServerInfo{
		Version: r.info.Version, Deployment: text(r.info.Deployment), Identity: r.info.Identity, Now: now, PayloadLimit: int32(r.engine.PayloadLimit()),
	}, nil
}

// Hubs is the resolver for the hubs field.
func (r *queryResolver) Hubs(ctx context.Context, first int32, after *string) (*model.TaskHubConnection, error) {
	return r.hubs(ctx, int(first), after)
}

// Hub is the resolver for the hub field.
func (r *queryResolver) Hub(ctx context.Context, name string) (*model.TaskHub, error) {
	return r.hub(ctx, name)
}

// Orchestration is the resolver for the orchestration field.
func (r *queryResolver) Orchestration(ctx context.Context, hub, instanceID string) (*model.Orchestration, error) {
	i, err := absent(r.engine.Get(ctx, hub, instanceID))
	if i == nil || err != nil {
		return nil, err
	}
	return &model.Orchestration{Instance: i}, nil
}

// Orchestrations is the resolver for the orchestrations field.
func (r *queryResolver) Orchestrations(ctx context.Context, hub string, filter *model.OrchestrationFilter, first *int32, after *string, last *int32, before *string) (*model.OrchestrationConnection, error) {
	return r.page(ctx, hub, filter, pageArgs{first, last, after, before})
}

// OrchestrationChanges is the resolver for the orchestrationChanges field.
func (r *subscriptionResolver) OrchestrationChanges(ctx context.Context, hub string, filter *model.OrchestrationFilter, first int32) (<-chan *model.OrchestrationDelta, error) {
	f, err := filterOf(filter)
	if err != nil {
		return nil, err
	}
	if err := check("first", int(first), 1, maxPage); err != nil {
		return nil, err
	}
	return runOf(ctx).watch(ctx, r.Resolver, viewOf{hub, int(first)}, f)
}

// Orchestration is the resolver for the orchestration field.
func (r *subscriptionResolver) Orchestration(ctx context.Context, hub, instanceID string) (<-chan *model.Orchestration, error) {
	return r.watchOne(ctx, hub, instanceID)
}

// History is the resolver for the history field.
func (r *subscriptionResolver) History(ctx context.Context, hub, instanceID string, after int64) (<-chan *model.HistoryPage, error) {
	return r.watchHistory(ctx, hub, instanceID, after)
}

// Workers is the resolver for the workers field.
func (r *taskHubResolver) Workers(ctx context.Context, obj *model.TaskHub) ([]*model.Worker, error) {
	found, err := r.workers(ctx, obj.Name, workerRecent)
	if err != nil {
		return nil, err
	}
	out := make([]*model.Worker, len(found))
	for i := range found {
		out[i] = &model.Worker{WorkerInfo: found[i]}
	}
	return out, nil
}

// MaxDeaths is the resolver for the maxDeaths field.
func (r *taskHubResolver) MaxDeaths(ctx context.Context, obj *model.TaskHub) (int32, error) {
	n, err := readOnce(ctx, deathsOf{obj.Name}, func(ctx context.Context) (int, error) { return r.engine.MaxDeaths(ctx, obj.Name) })
	return int32(n), err
}

// FailureGroups is the resolver for the failureGroups field.
func (r *taskHubResolver) FailureGroups(ctx context.Context, obj *model.TaskHub, window string, first int32) ([]*model.FailureGroup, error) {
	return readOnce(ctx, groupsOf{obj.Name, window, int(first)}, func(ctx context.Context) ([]*model.FailureGroup, error) {
		return r.failureGroups(ctx, obj.Name, window, int(first))
	})
}

// Mutation returns generated.MutationResolver implementation.
func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

// Query returns generated.QueryResolver implementation.
func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

// Subscription returns generated.SubscriptionResolver implementation.
func (r *Resolver) Subscription() generated.SubscriptionResolver { return &subscriptionResolver{r} }

// TaskHub returns generated.TaskHubResolver implementation.
func (r *Resolver) TaskHub() generated.TaskHubResolver { return &taskHubResolver{r} }

type (
	mutationResolver     struct{ *Resolver }
	queryResolver        struct{ *Resolver }
	subscriptionResolver struct{ *Resolver }
	taskHubResolver      struct{ *Resolver }
)
