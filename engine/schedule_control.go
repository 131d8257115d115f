package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
)

// PauseSchedule stops a schedule until it is resumed; the note, at most 2000 characters, says why. Instances that run
// go on. When it returns, no firing starts any more. Pausing a paused schedule sets the note. Errors: NOT_FOUND,
// INVALID_ARGUMENT, FAILED_PRECONDITION when no firing is left, UNAVAILABLE.
func (e *Engine) PauseSchedule(ctx context.Context, hub, id, note string) (*Schedule, error) {
	return e.setState(ctx, hub, id, SchedulePaused, note)
}

// ResumeSchedule makes a paused schedule fire again, from now on: what was left out meanwhile stays so. Resuming an
// active one changes nothing. Errors: as PauseSchedule.
func (e *Engine) ResumeSchedule(ctx context.Context, hub, id string) (*Schedule, error) {
	return e.setState(ctx, hub, id, ScheduleActive, "")
}

func (e *Engine) setState(ctx context.Context, hubName, id string, state ScheduleState, note string) (*Schedule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := checkText("note", note, maxReason, true); err != nil {
		return nil, err
	}
	for range scheduleTries {
		s, err := e.readSchedule(ctx, hub, id)
		if err != nil {
			return nil, err
		}
		switch {
		case s.State == ScheduleCompleted:
			return nil, &Error{Code: CodeWrongState, Field: "id", Message: fmt.Sprintf("the schedule %q is over: no firing is left", id)}
		case s.State == state && state == ScheduleActive:
			return e.Schedule(ctx, hubName, id)
		case s.times == nil:
			return nil, &Error{Code: CodeWrongState, Field: "id", Message: s.Note}
		}
		p := store.SetScheduleStateParams{State: int16(state), Note: note, No: s.no, Seq: s.seq}
		next := s.times.Next(s.now)
		if next.IsZero() && state == ScheduleActive && len(s.Buffered) == 0 {
			p.State = int16(ScheduleCompleted)
		}
		p.NextAt, p.DueAt = pointers(s.times, next)
		n, err := e.q.SetScheduleState(ctx, e.pool, p)
		if err != nil {
			return nil, fmt.Errorf("set state of schedule: %w", err)
		}
		if n > 0 {
			return e.Schedule(ctx, hubName, id)
		}
	}
	return nil, busySchedule(id)
}

// DeleteSchedule deletes a schedule. Instances that it started go on. Errors: NOT_FOUND.
func (e *Engine) DeleteSchedule(ctx context.Context, hubName, id string) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	if CheckScheduleID("id", id) != nil {
		return scheduleNotFound(id)
	}
	n, err := e.q.DeleteSchedule(ctx, e.pool, store.DeleteScheduleParams{Hub: hub.no, ID: id})
	if err != nil {
		return fmt.Errorf("delete schedule: %w", err)
	}
	if n == 0 {
		return scheduleNotFound(id)
	}
	return nil
}

// RunSchedule starts an instance now, beside the firings, whether the schedule is paused or not and whatever its
// overlap policy is. Errors: NOT_FOUND, FAILED_PRECONDITION when the schedule has a fixed instance id and that instance
// runs, UNAVAILABLE.
func (e *Engine) RunSchedule(ctx context.Context, hubName, id string) (Started, error) {
	for range scheduleTries {
		s, err := e.Schedule(ctx, hubName, id)
		if err != nil {
			return Started{}, err
		}
		if s.times == nil {
			return Started{}, &Error{Code: CodeWrongState, Field: "id", Message: s.Note}
		}
		if s.InstanceID != "" && s.otherLives {
			return Started{}, &Error{Code: CodeWrongState, Field: "id", Message: fmt.Sprintf("the instance %s runs, and instances of this schedule have a fixed id", s.InstanceID)}
		}
		at := s.now.Truncate(time.Microsecond)
		u, err := e.firingUnit(ctx, s, []time.Time{at}, nil)
		if err != nil {
			return Started{}, err
		}
		if s.otherLives {
			u.firing.lastNo = 0 // what firings must not overlap with stays the one that runs already
		}
		started := Started{ID: u.starts[0].id, no: u.starts[0].no}
		switch _, err := e.commit(ctx, u); {
		case errors.Is(err, errLost):
		case err != nil:
			return Started{}, err
		case len(u.starts) == 1:
			return started, nil
		}
		// The schedule has changed, or an instance was started at the same microsecond.
	}
	return Started{}, busySchedule(id)
}

// Backfilled is what a backfill did.
type Backfilled struct {
	// Started is how many instances were started, Existing how many firings had one.
	Started  int
	Existing int
}

// Backfill starts instances for the firings from one time to another, both included, which must not be in the future:
// all at once, whatever the overlap policy is, and whether the schedule is paused or not. Firings that have an instance
// already are left alone, so that a backfill may be repeated after an error. At most 1000 firings. Errors: NOT_FOUND,
// INVALID_ARGUMENT, TOO_LARGE for more firings, FAILED_PRECONDITION when the schedule has a fixed instance id,
// UNAVAILABLE.
func (e *Engine) Backfill(ctx context.Context, hubName, id string, from, to time.Time) (Backfilled, error) {
	var done Backfilled
	from, to = from.UTC().Truncate(time.Microsecond), to.UTC().Truncate(time.Microsecond)
	for i, t := range []time.Time{from, to} {
		if year := t.Year(); year < 1970 || year > 9999 {
			return done, invalid([]string{"from", "to"}[i], "is in the year %d, allowed are 1970 to 9999", year)
		}
	}
	if to.Before(from) {
		return done, invalid("to", "is before from")
	}
	lost := 0
	for after := from.Add(-time.Nanosecond); lost < scheduleTries; {
		s, err := e.Schedule(ctx, hubName, id)
		if err != nil {
			return done, err
		}
		switch {
		case s.times == nil:
			return done, &Error{Code: CodeWrongState, Field: "id", Message: s.Note}
		case s.InstanceID != "":
			return done, &Error{Code: CodeWrongState, Field: "id", Message: "the instances of this schedule have a fixed id, and are started one after the other only"}
		case to.After(s.now):
			return done, invalid("to", "is in the future")
		}
		if after.Before(from) && len(s.times.Between(from, to, maxBackfill+1)) > maxBackfill {
			return done, &Error{Code: CodeTooLarge, Field: "to", Message: fmt.Sprintf("there are more than %d firings between from and to", maxBackfill)}
		}
		firings := s.times.Between(after.Add(time.Nanosecond), to, startsAtOnce(s.Input.Size()))
		if len(firings) == 0 {
			return done, nil
		}
		u, err := e.firingUnit(ctx, s, firings, nil)
		if err != nil {
			return done, err
		}
		u.firing.lastNo = 0
		switch _, err := e.commit(ctx, u); {
		case errors.Is(err, errLost):
			lost++ // somebody has changed it: look again
			continue
		case err != nil:
			return done, err
		}
		lost = 0
		done.Started += len(u.starts)
		done.Existing += len(firings) - len(u.starts)
		after = firings[len(firings)-1]
	}
	return done, busySchedule(id)
}
