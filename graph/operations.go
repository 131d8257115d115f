package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph/model"
)

// operationRequest reads the API's form of an operation on many instances.
func operationRequest(hub string, kind model.BatchOperationKind, filter *model.OrchestrationFilter) (engine.OperationRequest, error) {
	r := engine.OperationRequest{Hub: hub}
	if err := r.Kind.UnmarshalText([]byte(kind)); err != nil {
		return r, err
	}
	var err error
	r.Filter, err = filterOf(filter)
	return r, err
}

// ofOperation says what the API calls the engine's arguments: what is in the filter is the filter's.
func ofOperation(err error) error {
	var coded *engine.Error
	if !errors.As(err, &coded) {
		return err
	}
	switch coded.Field {
	case "hub", "kind", "reason", "recursive", "perSecond", "by", "operationId", "":
		return err
	case "id":
		return renamed(err, map[string]string{"id": "operationId"})
	}
	out := *coded
	out.Field, out.Message = "filter", coded.Field+": "+coded.Message
	return &out
}

// startOperation starts an operation on many instances.
func (r *Resolver) startOperation(ctx context.Context, in *model.StartBatchOperationInput) (*model.BatchOperationPayload, error) {
	req, err := operationRequest(in.Hub, in.Kind, in.Filter)
	if err != nil {
		return nil, err
	}
	req.Reason, req.Recursive, req.By = in.Reason, in.Recursive, deref(in.By.Value())
	if who := actor(ctx); who != "" {
		req.By = who
	}
	perSecond, id := in.PerSecond.Value(), in.OperationID.Value()
	if perSecond != nil {
		req.PerSecond = int(*perSecond)
	}
	switch {
	case perSecond != nil && *perSecond == 0: // which means no bound to the engine
		err = &engine.Error{Code: engine.CodeInvalid, Field: "perSecond", Message: fmt.Sprintf("is 0, allowed are 1 to %d", engine.MaxPerSecond)}
	case strings.TrimSpace(in.Reason) == "":
		err = noReason()
	case !mayOperate(ctx, in.Hub, req.Kind):
		err = forbidden("this needs the permission %s in hub %q", operationNeeds(req.Kind), in.Hub)
	case id != nil:
		req.ID = *id
		err = engine.CheckID("operationId", *id)
	}
	var o *engine.Operation
	if err == nil {
		o, err = r.engine.StartOperation(ctx, req)
	}
	return operationChanged(ctx, o, err)
}

// operationChanged is the payload of a mutation: the operation as it is afterwards, if the change was made.
func operationChanged(ctx context.Context, o *engine.Operation, err error) (*model.BatchOperationPayload, error) {
	errs, err := userErrors(ofOperation(err))
	if err != nil {
		return nil, err
	}
	out := &model.BatchOperationPayload{Errors: errs, RequestID: requestID(ctx)}
	if o != nil {
		out.Operation = &model.BatchOperation{Operation: o}
	}
	return out, nil
}

// operations reads a page of a hub's operations.
func (r *Resolver) operations(ctx context.Context, hub string, states []model.BatchOperationState, first int, after *string) (*model.BatchOperationConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	var in []engine.OperationState
	for _, s := range states {
		var state engine.OperationState
		if err := state.UnmarshalText([]byte(s)); err != nil {
			return nil, err
		}
		in = append(in, state)
	}
	list := fmt.Sprintf("operations %q %v", hub, in)
	var before int64
	if after != nil {
		if err := r.cursors.open(list, *after, &before); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.Operations(ctx, hub, in, before, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(o *engine.Operation) string { return r.cursors.seal(list, o.No()) },
		func(o *engine.Operation) *model.BatchOperation { return &model.BatchOperation{Operation: o} },
		func(cursor string, node *model.BatchOperation) *model.BatchOperationEdge {
			return &model.BatchOperationEdge{Cursor: cursor, Node: node}
		})
	return &model.BatchOperationConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

// setRetention makes a rule.
func (r *Resolver) setRetention(ctx context.Context, in *model.SetRetentionInput) error {
	rule := engine.Retention{Name: deref(in.Name.Value())}
	var err error
	if rule.Status, err = endedStatus(in.Status.Value()); err != nil {
		return err
	}
	if text := in.Keep.Value(); text != nil {
		if rule.Keep, err = engine.ParseLength("keep", *text); err != nil {
			return err
		}
		if rule.Keep == 0 { // which is for ever to the engine
			return &engine.Error{Code: engine.CodeInvalid, Field: "keep", Message: "is 0, allowed are 1m and more, such as 30d; leave it out for ever"}
		}
	}
	return r.engine.SetRetention(ctx, in.Hub, rule)
}

func endedStatus(in *model.OrchestrationStatus) (*history.Status, error) {
	if in == nil {
		return nil, nil
	}
	var s history.Status
	if err := s.UnmarshalText([]byte(*in)); err != nil {
		return nil, err
	}
	return &s, nil
}

// rules are a hub's rules of retention.
func (r *Resolver) rules(ctx context.Context, hub string) ([]*model.RetentionRule, error) {
	found, err := r.engine.Retentions(ctx, hub)
	if err != nil {
		return nil, err
	}
	out := make([]*model.RetentionRule, len(found))
	for n, rule := range found {
		out[n] = &model.RetentionRule{Retention: rule}
	}
	return out, nil
}

// retentionChanged is the payload of a mutation: the rules as they are afterwards.
func (r *Resolver) retentionChanged(ctx context.Context, hub string, err error) (*model.RetentionPayload, error) {
	errs, err := userErrors(err)
	if err != nil {
		return nil, err
	}
	out := &model.RetentionPayload{Rules: []*model.RetentionRule{}, Errors: errs, RequestID: requestID(ctx)}
	rules, err := r.rules(ctx, hub)
	switch {
	case errors.Is(err, engine.ErrNotFound): // the hub, as errors say
		return out, nil
	case err != nil:
		return nil, err
	}
	out.Rules = rules
	return out, nil
}

// operationNeeds is the permission for what an operation does to each instance.
func operationNeeds(kind engine.OperationKind) auth.Permission {
	if kind == engine.OperationPurge {
		return auth.Purge
	}
	return auth.Control
}

func mayOperate(ctx context.Context, hub string, kind engine.OperationKind) bool {
	return auth.From(ctx).May(operationNeeds(kind), hub)
}

// resumeOperation lets an operation go on, for who may do what it does.
func (r *Resolver) resumeOperation(ctx context.Context, hub, id string) (*engine.Operation, error) {
	o, err := r.engine.Operation(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	if !mayOperate(ctx, hub, o.Kind) {
		return nil, forbidden("this needs the permission %s in hub %q", operationNeeds(o.Kind), hub)
	}
	return r.engine.ResumeOperation(ctx, hub, id)
}
