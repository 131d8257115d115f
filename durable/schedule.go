package durable

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/schedule"
)

// Schedule is a handle on a schedule of an orchestration: it starts an instance again and again, at intervals or at
// the times of cron expressions. Any worker or server of the database fires it; which one does not matter, each firing
// is acted on once.
type Schedule[I, O any] struct {
	client        *Client
	orchestration string
	id            string
}

// Schedule returns a handle on the schedule of that id, which may or may not exist: 1 to 160 printable ASCII
// characters, unique in the hub.
func (o Orchestration[I, O]) Schedule(c *Client, id string) *Schedule[I, O] {
	return &Schedule[I, O]{client: c, orchestration: string(o), id: id}
}

// ScheduleOption is an option of Schedule.Put.
type ScheduleOption interface{ applySchedule(*scheduleOptions) }

type scheduleOptions struct {
	definition engine.ScheduleDefinition
	version    *Version
	put        engine.PutOptions
}

// Every is the distance of two firings, at least a second, counted from From, else from when the schedule was created.
// It knows no time zones.
type Every time.Duration

func (e Every) applySchedule(o *scheduleOptions) { o.definition.Spec.Every = time.Duration(e) }

// Cron are expressions of five fields: minute, hour, day of the month, month, day of the week. The schedule fires at
// the times of any of them. Ranges, lists, steps and names are allowed, L is the last day of the month, 5L its last
// Friday, 5#3 its third. A time of day that is left out when clocks are set forward is made up for at that moment; one
// that comes twice counts once, unless the minute or the hour begins with *.
type Cron []string

func (c Cron) applySchedule(o *scheduleOptions) { o.definition.Spec.Cron = c }

// Zone is the IANA name of the time zone in which Cron is read, such as "Europe/Berlin"; the default is UTC.
type Zone string

func (z Zone) applySchedule(o *scheduleOptions) { o.definition.Spec.Zone = string(z) }

// Jitter delays each firing by a part of it, always the same for one firing, so that schedules of the same times do not
// all start at once. At most 24 hours, and never beyond the next firing.
type Jitter time.Duration

func (j Jitter) applySchedule(o *scheduleOptions) { o.definition.Spec.Jitter = time.Duration(j) }

// From is the time of the first firing at the earliest.
type From time.Time

func (f From) applySchedule(o *scheduleOptions) { o.definition.Spec.From = time.Time(f) }

// Until is the time of the last firing at the latest. A schedule without further firings is deleted by itself a day
// after the last.
type Until time.Time

func (u Until) applySchedule(o *scheduleOptions) { o.definition.Spec.Until = time.Time(u) }

// CatchUp is how late a firing may still start, after a time in which no worker and no server ran: 10 s to ten years;
// the default is a minute. Those that are later are left out.
type CatchUp time.Duration

func (c CatchUp) applySchedule(o *scheduleOptions) { o.definition.CatchUp = time.Duration(c) }

// StartIfLate starts an instance at once if From is past when it is set.
type StartIfLate bool

func (s StartIfLate) applySchedule(o *scheduleOptions) { o.definition.StartIfLate = bool(s) }

// Overlap says what becomes of a firing while the instance that the schedule started before still runs.
type Overlap engine.Overlap

// The overlap policies.
const (
	// OverlapSkip leaves the firing out. It is the default.
	OverlapSkip = Overlap(engine.OverlapSkip)
	// OverlapBufferOne keeps one firing until the instance has ended.
	OverlapBufferOne = Overlap(engine.OverlapBufferOne)
	// OverlapBufferAll keeps up to 100 firings, and runs them one after the other.
	OverlapBufferAll = Overlap(engine.OverlapBufferAll)
	// OverlapTerminate ends the instance at once and starts the next.
	OverlapTerminate = Overlap(engine.OverlapTerminate)
	// OverlapAllow starts the next beside it.
	OverlapAllow = Overlap(engine.OverlapAllow)
	// OverlapCancel asks the instance to end by itself, and starts the newest firing when it has.
	OverlapCancel = Overlap(engine.OverlapCancel)
)

func (p Overlap) applySchedule(o *scheduleOptions) { o.definition.Overlap = engine.Overlap(p) }

// Paused says whether the schedule is paused after the Put. Without it a new schedule is active, and one that is
// replaced stays what it is.
type Paused bool

func (p Paused) applySchedule(o *scheduleOptions) { paused := bool(p); o.put.Paused = &paused }

// IfRevision makes a Put fail with ErrWrongState unless the schedule is at that revision, as State has it: nobody else
// has changed it since. 0 means that there must be none: ErrExists.
type IfRevision int64

func (r IfRevision) applySchedule(o *scheduleOptions) { n := int64(r); o.put.IfRevision = &n }

func (id ID) applySchedule(o *scheduleOptions) { o.definition.InstanceID = string(id) }

// ID is the schedule's id.
func (s *Schedule[I, O]) ID() string { return s.id }

// Put creates the schedule, or replaces what it does; it returns when that is safely recorded. One of the options Every
// and Cron is needed. With the option ID every instance has that one id, and one starts only when the one before has
// ended; else the id of an instance is that of the schedule and the time, as in nightly-2026-01-31T02:00:00Z. Errors:
// ErrInvalid, which names the option and what is allowed, ErrTooLarge, ErrExists and ErrWrongState (see IfRevision).
//
// Options: Every, Cron, Zone, Jitter, From, Until, CatchUp, StartIfLate, Overlap, ID, Version, Paused, IfRevision.
func (s *Schedule[I, O]) Put(ctx context.Context, in I, opts ...ScheduleOption) error {
	var o scheduleOptions
	for _, opt := range opts {
		opt.applySchedule(&o)
	}
	var err error
	d := &o.definition
	if d.Input, err = s.client.values.encode(ctx, in); err != nil {
		return fmt.Errorf("schedule %s: input: %w", s.id, err)
	}
	d.ID, d.Orchestration, d.Version = s.id, s.orchestration, o.version.or(s.client.version)
	return s.do(ctx, func(e *engine.Engine) error {
		_, err := e.PutSchedule(ctx, s.client.hub, *d, o.put)
		return err
	})
}

func (s *Schedule[I, O]) do(ctx context.Context, fn func(*engine.Engine) error) error {
	e, err := s.client.engine(ctx)
	if err == nil {
		err = fn(e)
	}
	if err != nil {
		return fmt.Errorf("schedule %s: %w", s.id, err)
	}
	return nil
}

// Pause stops the schedule until it is resumed; the note says why. When it returns, no firing starts any more;
// instances that run go on. Errors: ErrNotFound, ErrWrongState when no firing is left.
func (s *Schedule[I, O]) Pause(ctx context.Context, note string) error {
	return s.do(ctx, func(e *engine.Engine) error {
		_, err := e.PauseSchedule(ctx, s.client.hub, s.id, note)
		return err
	})
}

// Resume makes the schedule fire again, from now on: what was left out meanwhile stays so, unless it is backfilled.
// Errors: as Pause.
func (s *Schedule[I, O]) Resume(ctx context.Context) error {
	return s.do(ctx, func(e *engine.Engine) error {
		_, err := e.ResumeSchedule(ctx, s.client.hub, s.id)
		return err
	})
}

// Delete deletes the schedule. Instances that it started go on. Errors: ErrNotFound.
func (s *Schedule[I, O]) Delete(ctx context.Context) error {
	return s.do(ctx, func(e *engine.Engine) error { return e.DeleteSchedule(ctx, s.client.hub, s.id) })
}

// Run starts an instance now, beside the firings, whatever the overlap policy is, also of a paused schedule. Errors:
// ErrNotFound, ErrWrongState when the schedule has the option ID and that instance runs.
func (s *Schedule[I, O]) Run(ctx context.Context) (*Instance[O], error) {
	var started engine.Started
	err := s.do(ctx, func(e *engine.Engine) (err error) {
		started, err = e.RunSchedule(ctx, s.client.hub, s.id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Instance[O]{client: s.client, id: started.ID}, nil
}

// Backfill starts instances for the firings from one time to another, both included and not in the future: all at once,
// whatever the overlap policy is. Firings that have an instance already are left alone, so that it may be repeated. It
// returns how many instances it started. At most 1000 firings. Errors: ErrNotFound, ErrInvalid, ErrTooLarge, and
// ErrWrongState for a schedule with the option ID.
func (s *Schedule[I, O]) Backfill(ctx context.Context, from, to time.Time) (started int, err error) {
	err = s.do(ctx, func(e *engine.Engine) error {
		done, err := e.Backfill(ctx, s.client.hub, s.id, from, to)
		started = done.Started
		return err
	})
	return started, err
}

// Next foretells the next firings, 1 to 1000, without their jitter; those that a paused schedule would have. Errors:
// ErrNotFound, ErrInvalid.
func (s *Schedule[I, O]) Next(ctx context.Context, n int) (firings []time.Time, err error) {
	err = s.do(ctx, func(e *engine.Engine) error {
		found, err := e.Schedule(ctx, s.client.hub, s.id)
		if err != nil {
			return err
		}
		firings, err = found.NextFirings(time.Time{}, n)
		return err
	})
	return firings, err
}

// State reads how the schedule stands. Errors: ErrNotFound.
func (s *Schedule[I, O]) State(ctx context.Context) (ScheduleState, error) {
	var state ScheduleState
	err := s.do(ctx, func(e *engine.Engine) error {
		found, err := e.Schedule(ctx, s.client.hub, s.id)
		if err == nil {
			state = scheduleStateOf(found)
		}
		return err
	})
	return state, err
}

// ScheduleState is how a schedule stands.
type ScheduleState struct {
	ID string
	// Orchestration and Version are what it starts.
	Orchestration string
	Version       Version
	// Status is ACTIVE, PAUSED, or COMPLETED when no firing is left.
	Status string
	// Explanation says in a sentence when it fires next, or why it does not.
	Explanation string
	// Spec is when it fires.
	Spec schedule.Spec
	// Next is the next firing, zero if none is left or while it is paused; Last the last that started an instance, and
	// LastInstance that instance, if it is still there.
	Next         time.Time
	Last         time.Time
	LastInstance string
	// Runs counts the instances it started, Skipped the firings that were left out; Buffered are those that wait.
	Runs     int64
	Skipped  int64
	Buffered []time.Time
	// Revision counts what people have changed, from 1: see IfRevision.
	Revision int64
}

func scheduleStateOf(s *engine.Schedule) ScheduleState {
	return ScheduleState{
		ID: s.ID, Orchestration: s.Orchestration, Version: Version(s.Version), Status: s.State.String(), Explanation: s.Explain(), Spec: s.Spec,
		Next: s.Next, Last: s.Last, LastInstance: s.LastInstance, Runs: s.Runs, Skipped: s.Skipped, Buffered: s.Buffered, Revision: s.Revision,
	}
}

// Schedules lists the hub's schedules whose ids begin with a prefix, by id; the empty one is all of them. An error ends
// it.
func (c *Client) Schedules(ctx context.Context, prefix string) iter.Seq2[ScheduleState, error] {
	return paged(ctx, c, func(e *engine.Engine, after string, limit int) ([]*engine.Schedule, error) {
		return e.Schedules(ctx, c.hub, engine.ScheduleFilter{IDPrefix: prefix}, after, limit)
	}, func(s *engine.Schedule) string { return s.ID }, scheduleStateOf)
}
