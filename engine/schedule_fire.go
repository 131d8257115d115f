package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

const (
	// scheduleEvery is how often the leader looks for schedules, besides the moments at which it knows one to be due.
	scheduleEvery = 500 * time.Millisecond
	// scheduleAhead is how far ahead it looks.
	scheduleAhead = time.Second
	// scheduleOverdue is how late a firing is when others than the leader act on it: it may be hung.
	scheduleOverdue = 5 * time.Second
	// scheduleChunk is how many schedules are read at once.
	scheduleChunk = 200
	// scheduleRest is how long a schedule is left alone that could not be fired.
	scheduleRest = 10 * time.Second
)

// firer is the part of a node that fires schedules. What it has read may be stale: the commit compares. It belongs to
// one goroutine.
type firer struct {
	n *Node
	// resting are schedules that could not be fired, and until when they are left alone.
	resting map[int64]time.Time
}

// fireSchedules runs until ctx ends.
func (n *Node) fireSchedules(ctx context.Context) error {
	f := &firer{n: n, resting: map[int64]time.Time{}}
	alarm := time.NewTimer(scheduleEvery)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-alarm.C:
		}
		wait, err := f.round(ctx)
		if err != nil {
			n.warn(ctx, "fire schedules", err)
		}
		alarm.Reset(wait)
	}
}

// round fires what is due, and returns how long to wait for the next round.
func (f *firer) round(ctx context.Context) (time.Duration, error) {
	n, ahead, wait := f.n, scheduleAhead, scheduleEvery
	if !n.isLeader() {
		ahead, wait = -scheduleOverdue, 4*scheduleEvery
	}
	for no, until := range f.resting {
		if time.Now().After(until) {
			delete(f.resting, no)
		}
	}
	p := store.DueSchedulesParams{Ahead: ahead.Seconds(), Chunk: scheduleChunk}
	for {
		rows, err := n.e.q.DueSchedules(ctx, n.e.pool, p)
		if err != nil {
			return wait, err
		}
		due := rows[:0:0]
		for _, row := range rows {
			left := row.DueAt.Sub(row.Now) // by the database's clock: never early
			if left <= 0 {
				due = append(due, row)
				continue
			}
			wait = min(wait, left+time.Millisecond)
		}
		again, err := f.fire(ctx, due)
		if err != nil {
			return wait, err
		}
		if again {
			wait = 0
		}
		if len(rows) < scheduleChunk {
			break
		}
		last := rows[len(rows)-1]
		p.AfterDue, p.AfterNo = *last.DueAt, last.No
	}
	if !n.isLeader() {
		return wait, nil
	}
	for after := int64(0); ; {
		rows, err := n.e.q.BufferedSchedules(ctx, n.e.pool, store.BufferedSchedulesParams{AfterNo: after, Chunk: scheduleChunk})
		if err != nil {
			return wait, err
		}
		waiting := make([]store.DueSchedulesRow, len(rows))
		for i, row := range rows {
			waiting[i], after = store.DueSchedulesRow(row), row.No
		}
		if _, err := f.fire(ctx, waiting); err != nil {
			return wait, err
		}
		if len(rows) < scheduleChunk {
			return wait, nil
		}
	}
}

// fire acts on schedules at once, each in a unit of its own. It tells whether there is more to do for any of them right
// away.
func (f *firer) fire(ctx context.Context, rows []store.DueSchedulesRow) (again bool, err error) {
	n := f.n
	answers := make(chan func(), len(rows))
	left := 0
	for i := range rows {
		row := &rows[i]
		if _, rests := f.resting[row.No]; rests {
			continue
		}
		u, more, err := f.plan(ctx, row)
		if err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			f.rest(ctx, row, err)
			continue
		}
		again = again || more
		if u == nil {
			continue
		}
		u.done = func(_ *unit, o outcome) {
			answers <- func() {
				switch {
				case o.err == nil:
				case errors.Is(o.err, errLost): // somebody was first, or has changed it: the next round sees
					again = true
				default:
					f.rest(ctx, row, o.err)
				}
			}
		}
		left++
		n.lane.submit(u)
	}
	for ; left > 0; left-- {
		(<-answers)() // the lane answers every unit, also when it ends
	}
	return again, nil
}

// rest leaves a schedule alone for a while.
func (f *firer) rest(ctx context.Context, row *store.DueSchedulesRow, err error) {
	if ctx.Err() == nil {
		f.n.log.WarnContext(ctx, "a schedule cannot be fired", logkey.Schedule, row.ID, logkey.Err, err)
	}
	f.resting[row.No] = time.Now().Add(scheduleRest)
}

// plan makes the unit of what is due of a schedule; nil if there is nothing to commit. more says that there is more to
// do right away.
func (f *firer) plan(ctx context.Context, row *store.DueSchedulesRow) (u *unit, more bool, err error) {
	e := f.n.e
	hub, err := e.hubByNo(ctx, row.Hub)
	if err != nil {
		return nil, false, err
	}
	s := &Schedule{
		ScheduleDefinition: ScheduleDefinition{ID: row.ID, Orchestration: row.Orchestration, Version: row.Version, InstanceID: row.InstanceID},
		Hub:                hub.Name, State: ScheduleState(row.State),
		no: row.No, seq: row.Seq, next: orZero(row.NextAt), otherNo: row.OtherNo, otherID: row.OtherID, otherLives: row.OtherLives,
	}
	if row.Buffered != nil {
		err = json.Unmarshal(row.Buffered, &s.Buffered)
	}
	if err == nil {
		s.times, err = s.readSpec(row.Spec, row.CreatedAt)
	}
	if err != nil { // changed by hand, or by a newer version: it stops, and says why
		_, err = e.q.SetScheduleState(ctx, e.pool, store.SetScheduleStateParams{
			State: int16(SchedulePaused), Note: unreadable(err), NextAt: row.NextAt, DueAt: row.DueAt, No: row.No, Seq: row.Seq,
		})
		return nil, false, err
	}
	p := planFirings(firingState{
		times: s.times, overlap: s.Overlap, catchUp: s.CatchUp, next: s.next, buffered: s.Buffered, lives: s.otherLives,
		most: startsAtOnce(int(row.InputSize)),
	}, row.Now)
	if p.terminate {
		err := e.Terminate(ctx, TerminateRequest{Hub: hub.Name, Instance: s.otherID, Reason: "the schedule " + s.ID + " starts the next"})
		if errors.Is(err, ErrWrongState) || errors.Is(err, ErrNotFound) {
			err = nil // it has ended by itself
		}
		return nil, true, err
	}
	if p.cancel {
		err := e.Cancel(ctx, CancelRequest{Hub: hub.Name, Instance: s.otherID, Reason: "the schedule " + s.ID + " starts the next"})
		if err != nil && !errors.Is(err, ErrWrongState) && !errors.Is(err, ErrNotFound) { // else it has ended by itself
			return nil, false, err
		}
	}
	if len(p.starts) > 0 {
		if row.InputSize >= 0 && row.Input == nil {
			if row.Input, err = e.q.ReadScheduleInput(ctx, e.pool, store.ReadScheduleInputParams{No: row.No, Seq: row.Seq}); err != nil {
				if errors.Is(err, pgx.ErrNoRows) {
					return nil, true, nil // somebody was first
				}
				return nil, false, err
			}
		}
		if row.InputSize >= 0 {
			s.Input = history.Bytes(row.Input)
		}
	}
	u, err = e.firingUnit(ctx, s, p.starts, &p)
	return u, p.more, err
}

// instanceOf is the id of the instance of a firing.
func (s *Schedule) instanceOf(at time.Time) string {
	if s.InstanceID != "" {
		return s.InstanceID
	}
	return s.ID + "-" + at.UTC().Format("2006-01-02T15:04:05.999999Z")
}

// firingUnit makes the unit that starts instances of firings and moves the schedule on: to where a plan has it, or
// nowhere, for firings beside those that are due.
func (e *Engine) firingUnit(ctx context.Context, s *Schedule, firings []time.Time, p *firingPlan) (*unit, error) {
	hub, err := e.hub(ctx, s.Hub)
	if err != nil {
		return nil, err
	}
	f := &firing{no: s.no, base: s.seq, state: s.State, runs: int64(len(firings))}
	next, buffered := s.next, s.Buffered
	if p != nil {
		next, buffered, f.skipped = p.next, p.buffered, p.skipped
		if next.IsZero() && len(buffered) == 0 {
			f.state = ScheduleCompleted
		}
	}
	if f.next = next; !next.IsZero() {
		f.due = s.times.Due(next)
	}
	if len(buffered) > 0 {
		if f.buffered, err = json.Marshal(buffered); err != nil {
			return nil, err
		}
	}
	u := &unit{firing: f}
	for _, at := range firings {
		st, large, err := e.newStart(ctx, hub, &StartRequest{
			Hub: s.Hub, Name: s.Orchestration, ID: s.instanceOf(at), Version: s.Version, Input: s.Input,
		})
		if err != nil {
			return nil, err
		}
		u.starts, u.large = append(u.starts, st), append(u.large, large...)
		f.last, f.lastNo, u.no = at, st.no, st.no
	}
	if s.InstanceID != "" && len(firings) > 0 && s.otherNo != 0 {
		u.dropping(purge{no: s.otherNo, mask: endedStatuses}) // ended: the new one takes its place
	}
	times := firings
	u.conflict = func(u *unit, i int, _ store.FindInstancesRow) bool {
		if s.InstanceID != "" { // somebody else has started one of that id meanwhile
			u.answer(outcome{err: errLost})
			return false
		}
		// This firing has its instance: of a backfill, or of a schedule of the same id before. That stays as it is.
		u.starts = append(u.starts[:i:i], u.starts[i+1:]...)
		times = append(times[:i:i], times[i+1:]...)
		f.runs--
		if p != nil {
			f.skipped++
		}
		switch left := len(u.starts); {
		case left == 0:
			f.lastNo = 0
		case f.lastNo != 0:
			f.last, f.lastNo = times[left-1], u.starts[left-1].no
		}
		return true
	}
	return u, nil
}

// forgetSchedules deletes those that have no firing left, a day after the last.
func (n *Node) forgetSchedules(ctx context.Context) error {
	return n.e.q.ForgetSchedules(ctx, n.e.pool, completedFor.Seconds())
}
