package graph

// The resolvers of schedule.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// PutSchedule is the resolver for the putSchedule field.
func (r *mutationResolver) PutSchedule(ctx context.Context, input model.PutScheduleInput) (*model.SchedulePayload, error) {
	d, err := definitionOf(&input)
	if err == nil {
		_, err = r.engine.PutSchedule(ctx, input.Hub, d, engine.PutOptions{IfRevision: input.IfRevision.Value(), Paused: input.Paused.Value()})
	}
	return r.scheduleChanged(ctx, input.Hub, input.ScheduleID, renamed(err, map[string]string{"from": "startAt", "until": "endAt"}))
}

// PauseSchedule is the resolver for the pauseSchedule field.
func (r *mutationResolver) PauseSchedule(ctx context.Context, input model.PauseScheduleInput) (*model.SchedulePayload, error) {
	_, err := r.engine.PauseSchedule(ctx, input.Hub, input.ScheduleID, deref(input.Note.Value()))
	return r.scheduleChanged(ctx, input.Hub, input.ScheduleID, err)
}

// ResumeSchedule is the resolver for the resumeSchedule field.
func (r *mutationResolver) ResumeSchedule(ctx context.Context, input model.ResumeScheduleInput) (*model.SchedulePayload, error) {
	_, err := r.engine.ResumeSchedule(ctx, input.Hub, input.ScheduleID)
	return r.scheduleChanged(ctx, input.Hub, input.ScheduleID, err)
}

// DeleteSchedule is the resolver for the deleteSchedule field.
func (r *mutationResolver) DeleteSchedule(ctx context.Context, input model.DeleteScheduleInput) (*model.SchedulePayload, error) {
	return r.scheduleChanged(ctx, input.Hub, input.ScheduleID, r.engine.DeleteSchedule(ctx, input.Hub, input.ScheduleID))
}

// RunSchedule is the resolver for the runSchedule field.
func (r *mutationResolver) RunSchedule(ctx context.Context, input model.RunScheduleInput) (*model.RunSchedulePayload, error) {
	started, err := r.engine.RunSchedule(ctx, input.Hub, input.ScheduleID)
	ran := err == nil
	p, err := r.scheduleChanged(ctx, input.Hub, input.ScheduleID, err)
	if err != nil {
		return nil, err
	}
	out := &model.RunSchedulePayload{Schedule: p.Schedule, Errors: p.Errors, RequestID: p.RequestID}
	if !ran {
		return out, nil
	}
	i, err := absent(r.engine.Get(ctx, input.Hub, started.ID))
	if err != nil {
		return nil, err
	}
	if i != nil {
		out.Orchestration = &model.Orchestration{Instance: i}
	}
	return out, nil
}

// BackfillSchedule is the resolver for the backfillSchedule field.
func (r *mutationResolver) BackfillSchedule(ctx context.Context, input model.BackfillScheduleInput) (*model.BackfillSchedulePayload, error) {
	done, err := r.engine.Backfill(ctx, input.Hub, input.ScheduleID, input.From, input.To)
	p, err := r.scheduleChanged(ctx, input.Hub, input.ScheduleID, err)
	if err != nil {
		return nil, err
	}
	return &model.BackfillSchedulePayload{
		Started: int32(done.Started), Existing: int32(done.Existing), Schedule: p.Schedule, Errors: p.Errors, RequestID: p.RequestID,
	}, nil
}

// Schedule is the resolver for the schedule field.
func (r *queryResolver) Schedule(ctx context.Context, hub, scheduleID string) (*model.Schedule, error) {
	s, err := absent(r.engine.Schedule(ctx, hub, scheduleID))
	if s == nil || err != nil {
		return nil, err
	}
	return &model.Schedule{Schedule: s}, nil
}

// Schedules is the resolver for the schedules field.
func (r *queryResolver) Schedules(ctx context.Context, hub string, filter *model.ScheduleFilter, first int32, after *string) (*model.ScheduleConnection, error) {
	return r.schedules(ctx, hub, filter, int(first), after)
}

// Input is the resolver for the input field. Lists do not read it.
func (r *scheduleResolver) Input(ctx context.Context, obj *model.Schedule) (*model.Payload, error) {
	s := obj.Schedule
	if !s.Input.Present() {
		var err error
		if s, err = absent(r.engine.Schedule(ctx, obj.Hub, obj.ScheduleID())); s == nil || err != nil {
			return nil, err
		}
	}
	return model.NewPayload(s.Input, r.engine.ReadValue), nil
}

// NextFirings is the resolver for the nextFirings field.
func (r *scheduleResolver) NextFirings(_ context.Context, obj *model.Schedule, first int32, after *time.Time) ([]*time.Time, error) {
	if err := check("first", int(first), 1, maxFirings); err != nil {
		return nil, err
	}
	from := time.Time{}
	if after != nil {
		from = *after
	}
	found, err := obj.Schedule.NextFirings(from, int(first))
	if err != nil {
		return nil, err
	}
	out := make([]*time.Time, len(found))
	for i := range found {
		out[i] = &found[i]
	}
	return out, nil
}

// Schedule returns generated.ScheduleResolver implementation.
func (r *Resolver) Schedule() generated.ScheduleResolver { return &scheduleResolver{r} }

type scheduleResolver struct{ *Resolver }
