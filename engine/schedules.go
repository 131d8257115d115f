package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/schedule"
)

// Overlap says what becomes of a firing while the instance that the schedule started before has not ended.
type Overlap int16

// The overlap policies.
const (
	// OverlapSkip leaves the firing out.
	OverlapSkip Overlap = iota
	// OverlapBufferOne keeps one firing until the instance has ended, and leaves out the others.
	OverlapBufferOne
	// OverlapBufferAll keeps up to 100 firings, and runs them one after the other.
	OverlapBufferAll
	// OverlapTerminate ends the instance at once and starts the next. Of firings that are due together only the newest
	// counts.
	OverlapTerminate
	// OverlapAllow starts the next beside it.
	OverlapAllow
	// OverlapCancel asks the instance to end by itself, and starts the next when it has. Of the firings that come until then
	// only the newest is started.
	OverlapCancel
)

var overlapNames = []string{"SKIP", "BUFFER_ONE", "BUFFER_ALL", "TERMINATE_OTHER", "ALLOW_ALL", "CANCEL_OTHER"}

// String is the policy's name in the API.
func (o Overlap) String() string {
	if o < 0 || int(o) >= len(overlapNames) {
		return fmt.Sprintf("Overlap(%d)", int16(o))
	}
	return overlapNames[o]
}

// MarshalText implements encoding.TextMarshaler.
func (o Overlap) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Overlap) UnmarshalText(text []byte) error {
	i := slices.Index(overlapNames, string(text))
	if i < 0 {
		return invalid("overlap", "%q is no policy, allowed are %s", text, strings.Join(overlapNames, ", "))
	}
	*o = Overlap(i)
	return nil
}

// ScheduleState is how a schedule stands.
type ScheduleState int16

// The states of schedules.
const (
	// ScheduleActive fires.
	ScheduleActive ScheduleState = iota
	// SchedulePaused does not; firings that would have been meanwhile are left out.
	SchedulePaused
	// ScheduleCompleted has no firing left. It is deleted by itself a day later.
	ScheduleCompleted
)

var scheduleStates = []string{"ACTIVE", "PAUSED", "COMPLETED"}

// String is the state's name in the API.
func (s ScheduleState) String() string {
	if s < 0 || int(s) >= len(scheduleStates) {
		return fmt.Sprintf("ScheduleState(%d)", int16(s))
	}
	return scheduleStates[s]
}

// Limits on schedules.
const (
	maxScheduleID = 160 // leaves room for the time in the ids of instances
	defaultWindow = time.Minute
	minWindow     = 10 * time.Second // a change of leader must not lose a firing
	maxWindow     = 10 * 365 * 24 * time.Hour
	// maxBackfill is how many firings one call may backfill.
	maxBackfill = 1000
	// maxNext is how many firings are foretold.
	maxNext = 1000
	// scheduleTries is how often a change is tried again that somebody else's change came before.
	scheduleTries = 20
	// completedFor is how long a schedule stays that has no firing left.
	completedFor = 24 * time.Hour
)

// ScheduleDefinition is what a schedule does (S-21, S-22).
type ScheduleDefinition struct {
	// ID names it in its hub: 1 to 160 printable ASCII characters, not starting with "@".
	ID string
	// Orchestration, Version and Input are what it starts.
	Orchestration string
	Version       string
	Input         history.Payload
	// InstanceID is the id of every instance, for which the one before must have ended. Empty: each has an id of its
	// own, the schedule's and the time of the firing, as in nightly-2026-01-31T02:00:00Z.
	InstanceID string
	// Spec is when it fires. Anchor is set by the engine, to the time the schedule was created.
	Spec schedule.Spec
	// Overlap is what becomes of a firing while the last instance runs.
	Overlap Overlap
	// CatchUp is how late a firing may still start, after a time in which no process fired: 10 s to ten years; 0 means
	// a minute. Those that are later are left out.
	CatchUp time.Duration
	// StartIfLate starts an instance at once if Spec.From is past when the schedule is created, or set to it.
	StartIfLate bool
}

// Schedule is a schedule and how it stands.
type Schedule struct {
	ScheduleDefinition

	Hub   string
	State ScheduleState
	// Note is why it is paused.
	Note string
	// Revision counts the changes that people made, from 1.
	Revision  int64
	CreatedAt time.Time
	UpdatedAt time.Time
	// Next is the next firing and Due when it starts, a jitter later; zero if none is left, or while it is paused.
	Next time.Time
	Due  time.Time
	// Last is the last firing that started an instance, zero if none has, and LastInstance that instance, if it is
	// still there. What was started by RunSchedule counts if no other instance ran then; a backfill does not.
	Last         time.Time
	LastInstance string
	// Runs counts the instances it started, Skipped the firings that were left out.
	Runs    int64
	Skipped int64
	// Buffered are firings that wait for the last instance to end.
	Buffered []time.Time

	no         int64
	seq        int64
	now        time.Time
	next       time.Time // as Next, also while it is paused
	otherNo    int64
	otherID    string
	otherLives bool
	times      *schedule.Schedule
}

// scheduleSpec is the column spec.
type scheduleSpec struct {
	Every       history.Duration `json:"every,omitzero"`
	Cron        []string         `json:"cron,omitempty"`
	Zone        string           `json:"zone,omitempty"`
	Jitter      history.Duration `json:"jitter,omitzero"`
	From        time.Time        `json:"from,omitzero"`
	Until       time.Time        `json:"until,omitzero"`
	Overlap     Overlap          `json:"overlap"`
	CatchUp     history.Duration `json:"catchUp"`
	StartIfLate bool             `json:"startIfLate,omitempty"`
}

func (d *ScheduleDefinition) spec() ([]byte, error) {
	s := d.Spec
	return json.Marshal(scheduleSpec{
		Every: history.Duration(s.Every), Cron: s.Cron, Zone: s.Zone, Jitter: history.Duration(s.Jitter), From: s.From, Until: s.Until,
		Overlap: d.Overlap, CatchUp: history.Duration(d.CatchUp), StartIfLate: d.StartIfLate,
	})
}

// readSpec reads the column, and computes with it. created anchors intervals.
func (d *ScheduleDefinition) readSpec(data []byte, created time.Time) (*schedule.Schedule, error) {
	var s scheduleSpec
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read schedule: %w", err)
	}
	d.Spec = schedule.Spec{
		Every: time.Duration(s.Every), Anchor: created.UTC(), Cron: s.Cron, Zone: s.Zone, Jitter: time.Duration(s.Jitter),
		From: s.From, Until: s.Until,
	}
	d.Overlap, d.CatchUp, d.StartIfLate = s.Overlap, time.Duration(s.CatchUp), s.StartIfLate
	return schedule.New(d.Spec, d.ID)
}

// CheckScheduleID tests the id of a schedule: as CheckID, with at most 160 characters.
func CheckScheduleID(field, id string) error {
	if len(id) > maxScheduleID {
		return invalid(field, "has %d characters, at most %d are allowed", len(id), maxScheduleID)
	}
	return CheckID(field, id)
}

// check tests a definition and fills in what it leaves open.
func (e *Engine) checkSchedule(d *ScheduleDefinition) error {
	if d.CatchUp == 0 {
		d.CatchUp = defaultWindow
	}
	err := first(
		CheckScheduleID("id", d.ID), CheckName("orchestration", d.Orchestration), CheckVersion("version", d.Version),
		e.checkPayload("input", d.Input))
	switch {
	case err != nil:
	case d.Overlap < 0 || int(d.Overlap) >= len(overlapNames):
		err = invalid("overlap", "%d is no policy", d.Overlap)
	case d.CatchUp < minWindow || d.CatchUp > maxWindow:
		err = invalid("catchUp", "is %s, allowed are %s to %s", d.CatchUp, minWindow, maxWindow)
	case d.InstanceID != "" && d.Overlap == OverlapAllow:
		err = invalid("overlap", "must not be %s with a fixed instance id: no two instances have one id", OverlapAllow)
	case d.InstanceID != "":
		err = CheckID("instanceId", d.InstanceID)
	}
	if err != nil {
		return err
	}
	times := func(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) } // what Postgres keeps
	d.Spec.From, d.Spec.Until = times(d.Spec.From), times(d.Spec.Until)
	d.Spec.Anchor = time.Time{}
	_, err = schedule.New(d.Spec, d.ID)
	var bad *schedule.Error
	if errors.As(err, &bad) {
		return &Error{Code: CodeInvalid, Field: bad.Field, Message: bad.Message}
	}
	return err
}

func scheduleNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "id", Message: fmt.Sprintf("there is no schedule %q", id)}
}

func busySchedule(id string) error {
	return &Error{Code: CodeUnavailable, Field: "id", Message: fmt.Sprintf("the schedule %q changes too often, try again", id)}
}

// PutOptions are conditions and extras of PutSchedule.
type PutOptions struct {
	// IfRevision makes the call fail with FAILED_PRECONDITION unless the schedule is at that revision: nobody else
	// has changed it since it was read. 0 means that there must be none, else ALREADY_EXISTS. Nil: whatever is there.
	IfRevision *int64
	// Paused says whether the schedule is paused afterwards. Nil leaves that as it is; a new one is active.
	Paused *bool
}

// PutSchedule creates a schedule, or replaces the definition of the one of that id, which keeps its counters, its last
// instance and, if the times are the same, its next firing. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (hub),
// ALREADY_EXISTS and FAILED_PRECONDITION (see PutOptions), UNAVAILABLE.
func (e *Engine) PutSchedule(ctx context.Context, hubName string, d ScheduleDefinition, o PutOptions) (*Schedule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := e.checkSchedule(&d); err != nil {
		return nil, err
	}
	for range scheduleTries {
		old, err := e.readSchedule(ctx, hub, d.ID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err := o.allow(d.ID, old); err != nil {
			return nil, err
		}
		n, err := e.tryPut(ctx, hub, &d, old, o.Paused)
		if err != nil {
			return nil, fmt.Errorf("put schedule: %w", err)
		}
		if n > 0 {
			return e.Schedule(ctx, hubName, d.ID)
		}
	}
	return nil, busySchedule(d.ID)
}

func (o PutOptions) allow(id string, old *Schedule) error {
	switch {
	case o.IfRevision == nil:
		return nil
	case old == nil && *o.IfRevision == 0:
		return nil
	case old == nil:
		return scheduleNotFound(id)
	case *o.IfRevision == 0:
		return &Error{Code: CodeAlreadyExists, Field: "id", Message: fmt.Sprintf("a schedule with the id %q exists", id)}
	case *o.IfRevision != old.Revision:
		return &Error{Code: CodeWrongState, Field: "ifRevision", Message: fmt.Sprintf(
			"the schedule is at revision %d, not %d: somebody has changed it", old.Revision, *o.IfRevision)}
	}
	return nil
}

// tryPut writes the definition over old, which may be nil, unless that has changed. It returns how many rows it wrote.
func (e *Engine) tryPut(ctx context.Context, hub *Hub, d *ScheduleDefinition, old *Schedule, paused *bool) (int64, error) {
	var now time.Time
	if old != nil {
		now = old.now
	} else {
		var err error
		if now, err = e.Now(ctx); err != nil {
			return 0, err
		}
	}
	now = now.UTC().Truncate(time.Microsecond)
	created, state, note := now, ScheduleActive, ""
	if old != nil {
		created = old.CreatedAt
		if old.State == SchedulePaused {
			state, note = SchedulePaused, old.Note
		}
	}
	if paused != nil {
		switch {
		case !*paused:
			state, note = ScheduleActive, ""
		default:
			state = SchedulePaused
		}
	}
	d.Spec.Anchor = created
	times, err := schedule.New(d.Spec, d.ID)
	if err != nil {
		return 0, err
	}
	next := times.Next(now)
	from := d.Spec.From
	late := d.StartIfLate && !from.IsZero() && from.Before(now) && (d.Spec.Until.IsZero() || !d.Spec.Until.Before(now)) &&
		(old == nil || !old.Spec.From.Equal(from))
	same := old != nil && old.times != nil && old.State == ScheduleActive && state == ScheduleActive && sameTimes(old.Spec, d.Spec) && !old.Next.IsZero()
	switch {
	case late:
		next = now
	case same:
		next = old.Next // one that is due, and was not acted on, is not to be lost
	}
	if next.IsZero() && state == ScheduleActive && (old == nil || len(old.Buffered) == 0) {
		state = ScheduleCompleted
	}
	spec, err := d.spec()
	if err != nil {
		return 0, err
	}
	nextAt, dueAt := pointers(times, next)
	input := d.Input.Data()
	if d.Input.Present() && input == nil {
		input = []byte{}
	}
	if old == nil {
		return e.q.InsertSchedule(ctx, e.pool, store.InsertScheduleParams{
			Hub: hub.no, ID: d.ID, Orchestration: d.Orchestration, Version: d.Version, InstanceID: d.InstanceID, Spec: spec, Input: input,
			State: int16(state), NextAt: nextAt, DueAt: dueAt, CreatedAt: created,
		})
	}
	return e.q.UpdateSchedule(ctx, e.pool, store.UpdateScheduleParams{
		Orchestration: d.Orchestration, Version: d.Version, InstanceID: d.InstanceID, Spec: spec, Input: input, State: int16(state), Note: note,
		NextAt: nextAt, DueAt: dueAt, No: old.no, Seq: old.seq,
	})
}

func sameTimes(a, b schedule.Spec) bool {
	return a.Every == b.Every && slices.Equal(a.Cron, b.Cron) && a.Zone == b.Zone && a.From.Equal(b.From) && a.Until.Equal(b.Until)
}

// pointers are the columns next_at and due_at.
func pointers(times *schedule.Schedule, next time.Time) (nextAt, dueAt *time.Time) {
	if next.IsZero() {
		return nil, nil
	}
	due := times.Due(next)
	return &next, &due
}

// Schedule reads a schedule. Errors: NOT_FOUND.
func (e *Engine) Schedule(ctx context.Context, hubName, id string) (*Schedule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	for range scheduleTries {
		s, err := e.readSchedule(ctx, hub, id)
		if err != nil {
			return nil, err
		}
		input, err := e.q.ReadScheduleInput(ctx, e.pool, store.ReadScheduleInputParams{No: s.no, Seq: s.seq})
		if errors.Is(err, pgx.ErrNoRows) {
			continue // it has fired meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read schedule: %w", err)
		}
		if input != nil {
			s.Input = history.Bytes(input)
		}
		return s, nil
	}
	return nil, busySchedule(id)
}

// readSchedule reads a schedule without its input.
func (e *Engine) readSchedule(ctx context.Context, hub *Hub, id string) (*Schedule, error) {
	if CheckScheduleID("id", id) != nil { // there is none, and Postgres would refuse some
		return nil, scheduleNotFound(id)
	}
	// Ids are printable: nothing but the id itself lies before the next.
	rows, err := e.listSchedules(ctx, hub, ScheduleFilter{}, id, id+"\x01", "", 1)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, scheduleNotFound(id)
	}
	return rows[0], nil
}

// ScheduleFilter selects schedules; zero fields select all.
type ScheduleFilter struct {
	State       *ScheduleState
	IDPrefix    string
	CreatedFrom time.Time // inclusive
	CreatedTo   time.Time // exclusive
}

// Schedules lists a hub's schedules by id, at most limit after the given id, without their inputs. Errors: NOT_FOUND
// (hub), INVALID_ARGUMENT.
func (e *Engine) Schedules(ctx context.Context, hubName string, f ScheduleFilter, after string, limit int) ([]*Schedule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if f.IDPrefix != "" {
		if err := CheckScheduleID("idPrefix", f.IDPrefix); err != nil {
			return nil, err
		}
	}
	if after != "" {
		if err := CheckScheduleID("after", after); err != nil {
			return nil, err
		}
	}
	if limit < 1 || limit > maxNext {
		return nil, invalid("limit", "is %d, allowed are 1 to %d", limit, maxNext)
	}
	return e.listSchedules(ctx, hub, f, f.IDPrefix, f.IDPrefix+"\x7f", after, limit)
}

func (e *Engine) listSchedules(ctx context.Context, hub *Hub, f ScheduleFilter, from, beyond, after string, limit int) ([]*Schedule, error) {
	p := store.ListSchedulesParams{
		Hub: hub.no, AfterID: after, Prefix: from, Beyond: beyond, State: -1, CreatedFrom: f.CreatedFrom, CreatedTo: f.CreatedTo, Chunk: int32(limit),
	}
	if f.State != nil {
		p.State = int16(*f.State)
	}
	if f.CreatedTo.IsZero() {
		p.CreatedTo = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	rows, err := e.q.ListSchedules(ctx, e.pool, p)
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", err)
	}
	out := make([]*Schedule, len(rows))
	for i := range rows {
		out[i] = newSchedule(hub, &rows[i])
	}
	return out, nil
}

func newSchedule(hub *Hub, row *store.ListSchedulesRow) *Schedule {
	s := &Schedule{
		ScheduleDefinition: ScheduleDefinition{ID: row.ID, Orchestration: row.Orchestration, Version: row.Version, InstanceID: row.InstanceID},
		Hub:                hub.Name, State: ScheduleState(row.State), Note: row.Note, Revision: row.Revision, CreatedAt: row.CreatedAt.UTC(),
		UpdatedAt: row.UpdatedAt.UTC(), Next: orZero(row.NextAt), Due: orZero(row.DueAt), Last: orZero(row.LastAt), LastInstance: row.LastID,
		Runs: row.Runs, Skipped: row.Skipped, no: row.No, seq: row.Seq, now: row.Now.UTC(), next: orZero(row.NextAt), otherNo: row.OtherNo, otherID: row.OtherID, otherLives: row.OtherLives,
	}
	var err error
	if s.times, err = s.readSpec(row.Spec, row.CreatedAt); err != nil {
		s.Note = unreadable(err) // changed by hand, or by a newer version
	}
	if row.Buffered != nil && json.Unmarshal(row.Buffered, &s.Buffered) != nil {
		s.Buffered = nil
	}
	if s.State == SchedulePaused {
		s.Next, s.Due = time.Time{}, time.Time{}
	}
	return s
}

func unreadable(err error) string { return "its definition cannot be read: " + printable(err.Error()) }

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// NextFirings foretells the next firings of a schedule, n at most (1 to 1000): from now, or after a time. A paused
// schedule has the ones that it would have. Firings that wait, and jitter, are not in it. Errors: INVALID_ARGUMENT,
// FAILED_PRECONDITION when the definition cannot be read.
func (s *Schedule) NextFirings(after time.Time, n int) ([]time.Time, error) {
	if n < 1 || n > maxNext {
		return nil, invalid("n", "is %d, allowed are 1 to %d", n, maxNext)
	}
	if s.times == nil {
		return nil, &Error{Code: CodeWrongState, Field: "id", Message: s.Note}
	}
	if after.IsZero() {
		after = s.now
		if !s.Next.IsZero() { // one that is due and was not acted on, or that is on no grid, comes first
			after = s.Next.Add(-time.Nanosecond)
		}
	}
	out := []time.Time{}
	next := s.times.Next(after)
	if !s.Next.IsZero() && s.Next.After(after) && (next.IsZero() || s.Next.Before(next)) {
		next = s.Next
	}
	for ; !next.IsZero() && len(out) < n; next = s.times.Next(next) {
		out = append(out, next)
	}
	return out, nil
}

// overdueAfter is how late a firing is before that is worth a word.
const overdueAfter = 10 * time.Second

// Explain says in a sentence or two how the schedule stands, and why it does not fire if it does not.
func (s *Schedule) Explain() string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
	switch {
	case s.State == ScheduleCompleted:
		say("It is over: no firing is left. It is deleted by itself %s.", at(s.UpdatedAt.Add(completedFor)))
	case s.State == SchedulePaused && s.Note != "":
		say("It is paused: %s.", strings.TrimSuffix(s.Note, "."))
	case s.State == SchedulePaused:
		say("It is paused.")
	case s.times == nil:
		say("It does not fire: %s.", s.Note)
	case !s.Due.IsZero() && s.now.Sub(s.Due) > overdueAfter:
		say("The firing of %s is overdue: no worker and no server is running, or none gets through to the database.", at(s.Next))
	case !s.Due.IsZero():
		say("It fires next at %s.", at(s.Due))
	}
	if n := len(s.Buffered); n > 0 && s.State != ScheduleCompleted {
		what := "Firings wait"
		if n == 1 {
			what = "A firing waits"
		}
		if s.otherLives {
			say("%s for the instance %s to end (%d).", what, s.otherID, n)
		} else {
			say("%s (%d).", what, n)
		}
	} else if s.State == ScheduleActive && s.otherLives && s.Overlap == OverlapSkip {
		say("While the instance %s runs, firings are left out.", s.otherID)
	}
	return strings.Join(out, " ")
}
