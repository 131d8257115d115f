package engine

import (
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// How long a call may take is bounded by whoever runs it. While nobody does, because its River row waits for a worker or
// for its next attempt, timers watch: they come with the row, in the same commit.

const (
	msgNotBegun = "no worker has begun the call within its StartTimeout"
	msgOverall  = "the call took longer than its Overall time"
)

func timeout(message string) *history.Failure {
	return &history.Failure{Type: string(CodeTimeout), Message: message, NonRetriable: true}
}

// startBy and endBy are when a call must have begun and ended; the zero time if it need not.
func startBy(t *history.TaskScheduled) time.Time {
	if t.StartTimeout == 0 {
		return time.Time{}
	}
	return t.At.Add(time.Duration(t.StartTimeout))
}

func endBy(t *history.TaskScheduled) time.Time {
	if t.Overall == 0 {
		return time.Time{}
	}
	return t.At.Add(time.Duration(t.Overall))
}

// bounded tells whether timers may watch the call.
func bounded(t *history.TaskScheduled) bool { return t.StartTimeout != 0 || t.Overall != 0 }

// addTask adds the River row of a task to a flight, and the timers that watch it. One that anybody may run waits first to be
// let through, if a limit bounds it.
func (s *session) addTask(f *flight, id int64, key taskKey, t *history.TaskScheduled, state string, attempt int16) {
	if t.Limit != "" && state == "available" {
		state = "pending"
		f.unit.limited = append(f.unit.limited, limitedCall{key, store.Bucket{Hub: s.hub.no, Name: t.Limit, Key: t.Key}, s.priorityOf(t)})
	}
	f.unit.jobs = append(f.unit.jobs, s.taskJob(id, key, t, state, attempt))
	if at := startBy(t); !at.IsZero() && attempt == 0 {
		s.addTimer(f, newTimer{timerKey: timerKey{key, timerStartBy}, fireAt: at})
	}
	s.watchEnd(f, key, t)
}

// watchEnd adds the timer that ends a call.
func (s *session) watchEnd(f *flight, key taskKey, t *history.TaskScheduled) {
	if at := endBy(t); !at.IsZero() {
		s.addTimer(f, newTimer{timerKey: timerKey{key, timerEndBy}, fireAt: at})
	}
}

// addTimer adds a timer to a flight. One that is due soon is held in this process, so that it fires on time; the others
// are found by the scanner.
func (s *session) addTimer(f *flight, row newTimer) {
	if s.n.clock.until(row.fireAt) < timerHorizon {
		row.holder = s.n.no
		f.timers = append(f.timers, row)
	}
	f.unit.timers = append(f.unit.timers, row)
}

// settleBounds makes the commit that takes in the end of a call delete what watched it.
func (s *session) settleBounds(f *flight, l *letter) {
	if l.kind != msgResult || !s.state.fits(l) {
		return
	}
	p, a := s.state.pending[l.task], s.local[l.task]
	if p.task != nil && (bounded(p.task) || p.task.Heartbeat != 0 || a != nil && a.hasBeaten()) {
		f.unit.settled = append(f.unit.settled, taskKey{s.no, s.state.gen, l.task})
	}
}

// deadlineDue makes the unit of a deadline that is due.
func (t *timers) deadlineDue(key timerKey) (*unit, error) {
	message := msgOverall
	if key.kind == timerStartBy {
		message = msgNotBegun
	}
	payload, err := history.Encode([]history.Event{&history.TaskFailed{
		Header: history.Header{At: t.n.clock.now()}, TaskID: key.task, Failure: timeout(message),
	}})
	if err != nil {
		return nil, err
	}
	return &unit{no: key.no, flowParts: flowParts{deadlines: []deadline{{key, payload}}}, done: func(*unit, outcome) {}}, nil
}

// late tells that the call's time is over before the attempt begins.
func (a *attempt) late(now time.Time) *history.Failure {
	switch {
	case !a.endBy.IsZero() && !now.Before(a.endBy):
		return timeout(msgOverall)
	case !a.startBy.IsZero() && a.task.Attempt == 1 && !now.Before(a.startBy):
		return timeout(msgNotBegun)
	}
	return nil
}

// next is NextAttempt, within the bounds of the call.
func (a *attempt) next(f *history.Failure, now time.Time) (time.Duration, bool) {
	wait, again := NextAttempt(a.retry, f, a.task.Attempt, now.Sub(a.firstAt))
	if again && !a.endBy.IsZero() && !now.Add(wait).Before(a.endBy) {
		return 0, false
	}
	return wait, again
}
