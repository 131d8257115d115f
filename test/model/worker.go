package model

// fetchSteps: River hands available rows to a worker. A worker that is fenced
// may fetch once more, then its next read or commit tells it. A held turn goes
// to a worker whose code did not fit only once for each state of the instance.
func (p *protocol) fetchSteps(b *brancher, w int) {
	wk := &b.from.workers[w]
	if wk.draining || wk.lateFetch {
		return
	}
	for _, j := range b.from.jobs {
		i := int(j.inst)
		switch {
		case j.id == 0 || j.state != jobAvailable:
		case j.kind == jobTurn:
			if wk.sessions[i].phase != sessionNone || wk.unfit && j.tried&(1<<w) != 0 {
				continue
			}
			b.step(progress, "{w} fetches the turn job of {i}", w, i, func(s *state) {
				p.fetch(s, w, j.id)
				s.workers[w].sessions[i] = session{phase: sessionFetched, job: j.id}
			})
		case wk.call.phase == callNone:
			b.step(progress, "{w} fetches a job of {i}", w, i, func(s *state) {
				p.fetch(s, w, j.id)
				s.workers[w].call = workCall{phase: callRunning, job: j.id, kind: j.kind, inst: j.inst, task: j.task, gen: j.gen}
				if p.world.slowCalls {
					s.workers[w].call.phase = callHanded
				}
			})
		}
	}
}

func (p *protocol) fetch(s *state, w int, id uint8) {
	row := s.job(id)
	row.state, row.by = jobRunning, uint8(w+1)
	s.workers[w].lateFetch = !s.workers[w].alive
}

// leaveSteps: a Work call that has returned is reported by River; processes
// that are fenced or drained come to their end.
func (p *protocol) leaveSteps(b *brancher, w int) {
	wk := &b.from.workers[w]
	busy := false
	for n, r := range wk.returned {
		if r.job == 0 {
			continue
		}
		busy = busy || b.from.job(r.job) != nil
		b.step(progress, "River reports a job that Work of {w} returned", w, 0, func(s *state) {
			s.workers[w].returned[n] = returned{}
			p.report(s, w, r)
		})
	}
	for i := range maxInstances {
		if wk.sessions[i].phase == sessionNone {
			continue
		}
		busy = true
		if !wk.alive {
			b.step(progress, "fenced {w} drops its session on {i}", w, i, func(s *state) {
				wk := &s.workers[w]
				s.giveBack(w, returned{job: wk.sessions[i].job})
				wk.endSession(i)
			})
		}
	}
	if !wk.alive {
		b.step(progress, "fenced {w} exits", w, 0, func(s *state) { s.workers[w].forget() })
	}
	if wk.draining && !busy {
		b.step(progress, "drained {w} exits", w, 0, func(s *state) { s.workers[w] = worker{} })
	}
}

// report is what River does when Work returns: it changes the row by id, if it
// is running, whoever runs it. Work snoozes; to return nil means completion.
func (p *protocol) report(s *state, w int, r returned) {
	row := s.job(r.job)
	switch {
	case row == nil || row.state != jobRunning:
	case r.done || !p.on(snoozeNotNil):
		row.state = jobCompleted
	default:
		row.state, row.by = jobAvailable, 0
		if r.held {
			row.tried |= 1 << w
		}
	}
}
