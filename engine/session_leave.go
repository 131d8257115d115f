package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
)

// handOver gives the instance to whoever comes next, because this worker leaves before its tasks have ended:
// running ones become available rows under a new epoch, so that no result of theirs counts any more.
func (s *session) handOver(ctx context.Context) error {
	s.ending = true
	f := s.newFlight(unitHandOver)
	f.unit.waiting = s.state.waiting().encode()
	for _, id := range sorted(s.local) {
		a := s.local[id]
		fresh, err := s.n.e.jobIDs.one(ctx)
		if err != nil {
			return err
		}
		delete(s.local, id)
		token := a.token
		s.n.abandon(a)
		p := s.state.pending[id]
		switch {
		case p == nil || p.task == nil:
		case p.task.Step:
			// A step runs where its orchestration runs: the next session redispatches it.
			if f.unit.nextTurnJob == 0 {
				f.unit.nextTurnJob = fresh
				f.unit.jobs = append(f.unit.jobs, turnJob(fresh, s.no, s.hub.no, s.info.Name, s.info.Version, s.priority))
			}
		case token != 0:
			f.unit.replaces = append(f.unit.replaces, replacedJob{token, fresh})
		default:
			f.unit.jobs = append(f.unit.jobs, s.taskJob(fresh, a.task.key, p.task, "available", 0))
			s.watchEnd(f, a.task.key, p.task)
		}
	}
	s.submit(f)
	return nil
}

// hold records that the instance's code does not fit and lets go of it. What was taken in and not committed
// goes back: results of this process's tasks into the inbox; tasks that still run get River rows, go on, and
// deliver by them.
func (s *session) hold(ctx context.Context, why *Held) Verdict {
	later := Verdict{Snooze: time.Second}
	why.Build = s.n.build
	s.n.metrics.held.Inc()
	s.n.log.WarnContext(ctx, "turn held", logkey.Instance, s.info.InstanceID, logkey.Orchestration, s.info.Name, logkey.Kind, why.Kind,
		logkey.Step, why.Step, logkey.Err, why.Message)
	if s.state == nil || !s.settled(ctx) {
		return later // what is on its way is judged first; the next session finds the same and holds
	}
	held, err := json.Marshal(why)
	if err != nil {
		return later
	}
	f := s.newFlight(unitHold)
	f.unit.held, f.ends = held, &Verdict{Snooze: 10 * time.Second, Held: true}
	letters := s.letters
	if s.failing != nil {
		letters = append(letters, s.failing.letters...)
		f.unit.deleteJobs = append(f.unit.deleteJobs, s.failing.unit.deleteJobs...)
		f.unit.freed = append(f.unit.freed, s.failing.unit.freed...)
	}
	for _, l := range letters {
		if !l.inMemory() {
			continue
		}
		s.settleLocal(f, l.task)
		payload, err := history.Encode(l.events)
		if err != nil {
			return later
		}
		f.unit.messages = append(f.unit.messages, message{no: s.no, gen: l.gen, task: l.task, kind: msgResult, payload: payload})
	}
	for _, id := range sorted(s.local) {
		a, p := s.local[id], s.state.pending[id]
		if p == nil || p.task == nil || p.task.Step {
			continue // abandoned with the session
		}
		if a.token == 0 {
			jobID, err := s.n.e.jobIDs.one(ctx)
			if err != nil {
				return later
			}
			a.promote(jobID)
			s.addTask(f, jobID, a.task.key, p.task, "running", a.number())
		}
		f.detach = append(f.detach, a)
		delete(s.local, id)
	}
	s.submit(f)
	if !s.settled(ctx) || s.verdict == nil {
		return later
	}
	return *s.verdict
}

// settled waits until no unit is on its way and tells whether all of them have landed.
func (s *session) settled(ctx context.Context) bool {
	for len(s.flights) > 0 {
		if err := s.wait(ctx, 0); err != nil {
			return false
		}
		s.mu.Lock()
		outcomes := s.mail.outcomes
		s.mail.outcomes = nil
		s.mu.Unlock()
		for _, o := range outcomes {
			if err := s.landed(o.flight, o.outcome); err != nil {
				return false
			}
		}
	}
	return !s.lost
}
