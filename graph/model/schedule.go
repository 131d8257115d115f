package model

import (
	"time"

	"github.com/weir-dev/weir/engine"
)

// Schedule is a recurring start of an orchestration.
type Schedule struct {
	*engine.Schedule
}

// IsNode implements Node.
func (Schedule) IsNode() {}

// ID is the global id.
func (s *Schedule) ID() string { return EncodeID("Schedule", s.Hub, s.ScheduleID()) }

// TaskHub is the hub it lives in.
func (s *Schedule) TaskHub() *TaskHub { return &TaskHub{s.Hub} }

// ScheduleID is the id that people know.
func (s *Schedule) ScheduleID() string { return s.ScheduleDefinition.ID }

// Version is null when there is none.
func (s *Schedule) Version() *string { return optional(s.ScheduleDefinition.Version) }

// InstanceID is null when each instance has one of its own.
func (s *Schedule) InstanceID() *string { return optional(s.ScheduleDefinition.InstanceID) }

// Every is null when there are cron expressions.
func (s *Schedule) Every() *string { return duration(s.Spec.Every) }

// Cron is empty when there is an interval.
func (s *Schedule) Cron() []string {
	if s.Spec.Cron == nil {
		return []string{}
	}
	return s.Spec.Cron
}

// Zone is UTC where none was given.
func (s *Schedule) Zone() string {
	if s.Spec.Zone == "" {
		return "UTC"
	}
	return s.Spec.Zone
}

// Jitter is null when there is none.
func (s *Schedule) Jitter() *string { return duration(s.Spec.Jitter) }

// StartAt is the first possible firing.
func (s *Schedule) StartAt() *time.Time { return moment(s.Spec.From) }

// EndAt is the last possible firing.
func (s *Schedule) EndAt() *time.Time { return moment(s.Spec.Until) }

// Overlap is the policy.
func (s *Schedule) Overlap() ScheduleOverlap {
	return ScheduleOverlap(s.ScheduleDefinition.Overlap.String())
}

// CatchUp is how late a firing may be.
func (s *Schedule) CatchUp() string { return s.ScheduleDefinition.CatchUp.String() }

// State is how it stands.
func (s *Schedule) State() ScheduleState { return ScheduleState(s.Schedule.State.String()) }

// Note is why it is paused.
func (s *Schedule) Note() *string { return optional(s.Schedule.Note) }

// Explanation is how it stands, in words.
func (s *Schedule) Explanation() string { return s.Explain() }

// NextAt is the next firing.
func (s *Schedule) NextAt() *time.Time { return moment(s.Next) }

// LastAt is the last firing that started an instance.
func (s *Schedule) LastAt() *time.Time { return moment(s.Last) }

// LastInstanceID is that instance.
func (s *Schedule) LastInstanceID() *string { return optional(s.LastInstance) }

// Buffered are the firings that wait.
func (s *Schedule) Buffered() []time.Time {
	if s.Schedule.Buffered == nil {
		return []time.Time{}
	}
	return s.Schedule.Buffered
}

// AllowedActions is what may be done with it now.
func (s *Schedule) AllowedActions() []ScheduleAction {
	out := []ScheduleAction{ScheduleActionPut, ScheduleActionDelete, ScheduleActionRun}
	switch s.Schedule.State {
	case engine.ScheduleActive:
		out = append(out, ScheduleActionPause)
	case engine.SchedulePaused:
		out = append(out, ScheduleActionPause, ScheduleActionResume)
	}
	if s.ScheduleDefinition.InstanceID == "" {
		out = append(out, ScheduleActionBackfill)
	}
	return out
}

func duration(d time.Duration) *string {
	if d == 0 {
		return nil
	}
	return optional(d.String())
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
