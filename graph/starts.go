package graph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// start starts an instance.
func (r *Resolver) start(ctx context.Context, in *model.StartOrchestrationInput) (*model.OrchestrationPayload, error) {
	id := deref(in.InstanceID.Value())
	req := engine.StartRequest{Hub: in.Hub, Name: in.Name, ID: id, Version: deref(in.Version.Value())}
	if in.Input.IsSet() {
		req.Input = value(in.Input.Value())
	}
	if reuse := in.Reuse.Value(); reuse != nil {
		var err error
		if req.Reuse.Replace, err = statuses("input.reuse.replace", reuse.Replace); err != nil {
			return nil, err
		}
		req.Reuse.Existing = reuse.ReturnExisting
	}
	err := standing(&req, in.Tags.Value(), in.Priority)
	if err == nil {
		err = due(&req, in.StartAt.Value(), in.Delay.Value())
	}
	if err != nil {
		return r.changed(ctx, in.Hub, id, err)
	}
	started, err := r.engine.Start(ctx, req)
	return r.started(ctx, &req, started, renamed(err, map[string]string{"at": "startAt"}))
}

// raiseOrStart raises an event to an instance that it starts if there is none.
func (r *Resolver) raiseOrStart(ctx context.Context, in *model.RaiseOrStartInput) (*model.OrchestrationPayload, error) {
	req := engine.StartRequest{Hub: in.Hub, Name: in.Name, ID: in.InstanceID, Version: deref(in.Version.Value())}
	if in.Input.IsSet() {
		req.Input = value(in.Input.Value())
	}
	raise := engine.RaiseRequest{Name: in.Event, Key: deref(in.IdempotencyKey.Value())}
	if in.Payload.IsSet() {
		raise.Input = value(in.Payload.Value())
	}
	var err error
	if req.Reuse.Replace, err = statuses("input.replace", in.Replace); err != nil {
		return nil, err
	}
	if err = standing(&req, in.Tags.Value(), in.Priority); err == nil {
		err = due(&req, in.StartAt.Value(), in.Delay.Value())
	}
	if err != nil {
		return r.changed(ctx, in.Hub, in.InstanceID, err)
	}
	started, raised := r.engine.RaiseOrStart(ctx, raise, req)
	out, err := r.started(ctx, &req, started, renamed(raised, map[string]string{"reuse": "replace", "at": "startAt"}))
	var coded *engine.Error
	if err == nil && len(out.Errors) > 0 && errors.As(raised, &coded) && coded.Field == "event" {
		out.Errors[0].Path = []string{"input", "event"} // elsewhere an event is named by name, which here is what is started
	}
	return out, err
}

// standing reads what of a start is about where an instance stands: its tags and its priority.
func standing(req *engine.StartRequest, in []*model.TagInput, priority graphql.Omittable[*int32]) error {
	var err error
	if req.Tags, err = tags("tags", in); err != nil {
		return err
	}
	if p := priority.Value(); p != nil {
		if req.Priority = int(*p); req.Priority == 0 { // to the engine that is none
			return &engine.Error{Code: engine.CodeInvalid, Field: "priority", Message: fmt.Sprintf("is %d, allowed are 1, which goes first, to 4", *p)}
		}
	}
	return nil
}

// due reads when an instance is not to start before. Errors: INVALID_ARGUMENT.
func due(req *engine.StartRequest, at *time.Time, delay *string) error {
	switch {
	case at != nil && delay != nil:
		return &engine.Error{Code: engine.CodeInvalid, Field: "delay", Message: "excludes startAt: give one of them"}
	case at != nil:
		req.At = *at
	case delay != nil:
		wait, err := engine.ParseLength("delay", *delay)
		if err != nil {
			return err
		}
		if wait < 0 {
			return &engine.Error{Code: engine.CodeInvalid, Field: "delay", Message: fmt.Sprintf("is %s, must not be negative", wait)}
		}
		if wait > 0 { // a start without a delay leaves the time to the database
			req.At = time.Now().Add(wait)
		}
	}
	return nil
}

// started is the payload of a mutation that starts an instance, or finds it.
func (r *Resolver) started(ctx context.Context, req *engine.StartRequest, started engine.Started, err error) (*model.OrchestrationPayload, error) {
	id := req.ID
	if err == nil {
		id = started.ID
	}
	out, err := r.changed(ctx, req.Hub, id, err)
	if err == nil {
		out.Existing = started.Existing
	}
	return out, err
}
