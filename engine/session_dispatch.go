package engine

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
)

// dispatchAgain adds the tasks that nobody runs to a unit that makes this worker the owner.
func (s *session) dispatchAgain(f *flight) {
	for _, id := range s.redispatch {
		p := s.state.pending[id]
		if p == nil || p.task == nil {
			continue // answered by the turn of this unit
		}
		if err := s.dispatch(s.n.ctx, f, p.task, s.tokens[id]); err != nil {
			s.n.log.Warn("redispatch", logkey.Instance, s.info.InstanceID, logkey.Task, id, logkey.Err, err)
		}
	}
	s.redispatch = nil
}

// dispatch decides where a scheduled task runs: here, right after this commit, if this process can and has
// room; else through River. A call that a limit bounds goes through River, where it waits to be let through. token is the row it already has in this worker's name, if any.
func (s *session) dispatch(ctx context.Context, f *flight, t *history.TaskScheduled, token int64) error {
	var (
		u           = &f.unit
		key         = taskKey{s.no, s.state.gen, t.ID}
		kind, retry = s.n.exec.Activity(t.Name, t.Version)
		here        = (kind == PlainActivity || kind == TxActivity) && !t.Native && s.n.serves(t.Queue)
	)
	if t.Step {
		kind, here = PlainActivity, true // only the process that holds the code can run it
	}
	if at := endBy(t); !at.IsZero() && !s.n.clock.now().Before(at) {
		if token != 0 {
			u.deleteJobs = append(u.deleteJobs, token)
		}
		return s.refuse(u, refusal{id: t.ID, failure: timeout(msgOverall)})
	}
	here = here && (t.Limit == "" || token != 0) && s.n.slots.reserve(t.Step)
	if !here {
		id, err := s.n.e.jobIDs.one(ctx)
		if err != nil {
			return err
		}
		if token != 0 {
			u.replaces = append(u.replaces, replacedJob{token, id})
			return nil
		}
		s.addTask(f, id, key, t, "available", 0)
		return nil
	}
	if t.Retry != nil {
		retry = t.Retry
	}
	a := s.n.newAttempt(s, key, t, retry, kind == TxActivity, token)
	if token == 0 && (a.tx || ((s.hub.ActivityRows || s.handed.Deaths > 0) && !t.Step)) {
		id, err := s.n.e.jobIDs.one(ctx)
		if err != nil {
			return err
		}
		a.promote(id)
		s.addTask(f, id, key, t, "running", 1)
	}
	s.local[t.ID] = a
	f.start = append(f.start, a)
	return nil
}

// taskJob is the River row of a task.
func (s *session) taskJob(id int64, key taskKey, t *history.TaskScheduled, state string, attempt int16) job {
	j := job{
		id: id, state: state, attempt: attempt, priority: s.priorityOf(t), kind: TaskKind(t.Name, t.Version), queue: ActivityQueue(s.hub.no, t.Queue),
		args: taskArgs(s.info.InstanceID, s.row.Trace, t), key: key.bytes(), max: unlimited,
	}
	if t.Native {
		j.max = 25 // River's own default; River itself retries
		if t.Retry != nil && t.Retry.Attempts > 0 {
			j.max = int16(min(t.Retry.Attempts, unlimited))
		}
	}
	return j
}

const (
	// promoteAfter is how long a task runs without a River row, and exportAfter how long it waits for a slot
	// here before any worker may take it.
	promoteAfter = time.Second
	exportAfter  = 100 * time.Millisecond
)

// tend looks after tasks that take long: those that run get a River row, so that tools, cancellation and
// rescue see them; those that still wait for a slot are given to River. It returns when to look again.
func (s *session) tend(ctx context.Context) (time.Duration, error) {
	now := s.n.clock.now()
	next := time.Hour
	f := s.newFlight(unitClaim)
	for _, id := range sorted(s.local) {
		a := s.local[id]
		due, export := a.tendAt()
		if due.IsZero() {
			continue
		}
		if left := due.Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		jobID, err := s.n.e.jobIDs.one(ctx)
		if err != nil {
			return 0, err
		}
		p := s.state.pending[id]
		if p == nil || p.task == nil {
			continue
		}
		if export {
			if !s.n.slots.steal(a.entry) {
				next = min(next, time.Millisecond) // it has just begun
				continue
			}
			delete(s.local, id)
			s.n.forget(a)
			s.addTask(f, jobID, a.task.key, p.task, "available", 0)
			continue
		}
		a.promote(jobID)
		s.addTask(f, jobID, a.task.key, p.task, "running", a.number())
	}
	if len(f.unit.jobs) == 0 {
		f.free()
		return next, nil
	}
	f.unit.waiting = s.state.waiting().encode()
	s.submit(f)
	return 0, nil
}

// park puts a rowless task aside until its next attempt is due.
func (s *session) park(ctx context.Context, a *attempt) error {
	if s.local[a.task.ID] != a {
		s.n.forget(a)
		return nil
	}
	p := s.state.pending[a.task.ID]
	if p == nil || p.task == nil {
		return nil
	}
	id, err := s.n.e.jobIDs.one(ctx)
	if err != nil {
		return err
	}
	delete(s.local, a.task.ID)
	s.n.forget(a)
	f := s.newFlight(unitClaim)
	s.addTask(f, id, a.task.key, p.task, "scheduled", int16(a.task.Attempt-1))
	f.unit.jobs[len(f.unit.jobs)-1].err = a.parkErr
	s.addTimer(f, newTimer{timerKey: timerKey{a.task.key, timerRetry}, fireAt: a.parkUntil})
	f.unit.waiting = s.state.waiting().encode()
	s.submit(f)
	return nil
}
