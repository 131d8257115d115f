package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// maxFirings is how many firings are foretold at once.
const maxFirings = 1000

// definitionOf reads the API's form of a schedule. Errors: INVALID_ARGUMENT.
func definitionOf(in *model.PutScheduleInput) (engine.ScheduleDefinition, error) {
	d := engine.ScheduleDefinition{
		ID: in.ScheduleID, Orchestration: in.Orchestration, Version: deref(in.Version.Value()), InstanceID: deref(in.InstanceID.Value()),
		StartIfLate: in.StartIfLate,
	}
	if in.Input.IsSet() {
		d.Input = value(in.Input.Value())
	}
	d.Spec.Cron, d.Spec.Zone = in.Cron.Value(), deref(in.Zone.Value())
	if t := in.StartAt.Value(); t != nil {
		d.Spec.From = *t
	}
	if t := in.EndAt.Value(); t != nil {
		d.Spec.Until = *t
	}
	if err := d.Overlap.UnmarshalText([]byte(in.Overlap)); err != nil {
		return d, err
	}
	for _, length := range []struct {
		field string
		text  *string
		into  *time.Duration
	}{{"every", in.Every.Value(), &d.Spec.Every}, {"jitter", in.Jitter.Value(), &d.Spec.Jitter}, {"catchUp", in.CatchUp.Value(), &d.CatchUp}} {
		if length.text == nil {
			continue
		}
		v, err := engine.ParseLength(length.field, *length.text)
		if err != nil {
			return d, err
		}
		if v == 0 && length.field != "jitter" { // which is none to the engine
			return d, &engine.Error{Code: engine.CodeInvalid, Field: length.field, Message: "is 0, must be positive"}
		}
		*length.into = v
	}
	return d, nil
}

// renamed says what the API calls the engine's arguments.
func renamed(err error, names map[string]string) error {
	var coded *engine.Error
	if !errors.As(err, &coded) || names[coded.Field] == "" {
		return err
	}
	out := *coded
	out.Field = names[coded.Field]
	return &out
}

// scheduleChanged is the payload of a mutation: the schedule as it is afterwards.
func (r *Resolver) scheduleChanged(ctx context.Context, hub, id string, err error) (*model.SchedulePayload, error) {
	err = renamed(err, map[string]string{"id": "scheduleId"})
	errs, err := userErrors(err)
	if err != nil {
		return nil, err
	}
	for _, e := range errs {
		for i, part := range e.Path { // cron[2] is two steps
			if name, index, ok := strings.Cut(part, "["); ok {
				e.Path = append(e.Path[:i:i], name, strings.TrimSuffix(index, "]"))
			}
		}
	}
	out := &model.SchedulePayload{Errors: errs, RequestID: requestID(ctx)}
	s, err := absent(r.engine.Schedule(ctx, hub, id))
	if err != nil {
		return nil, err
	}
	if s != nil {
		out.Schedule = &model.Schedule{Schedule: s}
	}
	return out, nil
}

// schedules reads a page of a hub's schedules.
func (r *Resolver) schedules(ctx context.Context, hub string, filter *model.ScheduleFilter, first int, after *string) (*model.ScheduleConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	f, err := scheduleFilterOf(filter)
	if err != nil {
		return nil, err
	}
	list := fmt.Sprintf("schedules %q %q %v %v %v", hub, f.IDPrefix, stateName(f.State), f.CreatedFrom, f.CreatedTo)
	from := ""
	if after != nil {
		if err := r.cursors.open(list, *after, &from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.Schedules(ctx, hub, f, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(s *engine.Schedule) string { return r.cursors.seal(list, s.ID) },
		func(s *engine.Schedule) *model.Schedule { return &model.Schedule{Schedule: s} },
		func(cursor string, node *model.Schedule) *model.ScheduleEdge {
			return &model.ScheduleEdge{Cursor: cursor, Node: node}
		})
	return &model.ScheduleConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

func stateName(s *engine.ScheduleState) string {
	if s == nil {
		return ""
	}
	return s.String()
}

func scheduleFilterOf(in *model.ScheduleFilter) (engine.ScheduleFilter, error) {
	var f engine.ScheduleFilter
	if in == nil {
		return f, nil
	}
	if prefix := deref(in.ScheduleIDPrefix.Value()); prefix != "" {
		if err := engine.CheckScheduleID("filter.scheduleIdPrefix", prefix); err != nil {
			return f, err
		}
		f.IDPrefix = prefix
	}
	if s := in.State.Value(); s != nil {
		for _, state := range []engine.ScheduleState{engine.ScheduleActive, engine.SchedulePaused, engine.ScheduleCompleted} {
			if state.String() == string(*s) {
				f.State = &state
			}
		}
	}
	if t := in.CreatedFrom.Value(); t != nil {
		f.CreatedFrom = t.UTC().Truncate(time.Microsecond)
	}
	if t := in.CreatedTo.Value(); t != nil {
		f.CreatedTo = t.UTC().Truncate(time.Microsecond)
	}
	return f, nil
}
