package model

// callSteps are the steps of River jobs other than turns.
func (p *protocol) callSteps(b *brancher, w int) {
	wk := &b.from.workers[w]
	call := wk.call
	i := int(call.inst)
	canCommit := !p.throughLane(call) || p.laneOpen(b.from, w)
	switch call.phase {
	case callNone:
		return
	case callHanded:
		b.step(progress, "River calls Work for a task of {i} in {w}", w, i, func(s *state) {
			s.workers[w].call.phase = callRunning
		})
		return
	case callUnknown:
		if canCommit {
			b.step(progress, "{w} takes its lane over and snoozes a job of {i}", w, i, func(s *state) {
				if p.throughLane(call) {
					s.takeLaneOver(w)
				}
				s.giveBack(w, returned{job: call.job})
				s.workers[w].call = workCall{}
			})
		}
		return
	}
	if canCommit {
		b.step(progress, "{w} completes a job of {i}", w, i, func(s *state) {
			s.workers[w].call = workCall{}
			p.complete(s, call)
		})
	}
	if call.phase != callRunning {
		return
	}
	if canCommit && b.from.budget.losses > 0 && !b.from.lostCall.on {
		b.step(fault, "{w} loses its connection while it completes a job of {i}", w, i, func(s *state) {
			s.budget.losses--
			s.lostCall = lostCall{true, p.throughLane(call), uint8(w), call}
			s.workers[w].call.phase = callUnknown
		})
	}
	if call.kind == jobTask && p.laneOpen(b.from, w) && b.from.budget.failures > 0 {
		b.step(fault, "a task of {i} fails in {w} and is parked", w, i, func(s *state) {
			s.budget.failures--
			s.workers[w].call = workCall{}
			if p.park(s, call) {
				s.giveBack(w, returned{job: call.job, done: true})
			}
		})
	}
	if wk.draining || !wk.alive {
		b.step(progress, "Work for a job of {i} returns early in {w}", w, i, func(s *state) {
			s.giveBack(w, returned{job: call.job})
			wk := &s.workers[w]
			wk.call = workCall{}
			if call.kind == jobTask && p.kindOf(i, call.gen, int(call.task)).tx() {
				wk.call = call
				wk.call.phase = callReturned // it may go on and try to commit
			}
		})
	}
}

// complete is the unit that ends a River job in the lane of its executor, or
// the tail of a TxHandler.
func (p *protocol) complete(s *state, call workCall) {
	i, t := int(call.inst), int(call.task)
	switch {
	case call.kind == jobDeliver:
		p.deliver(s, call)
	case p.kindOf(i, call.gen, t).tx():
		p.finishTask(s, i, call.gen, t, call.job, call.epoch)
	case s.deleteJob(call.job) || !p.on(tokenDeleted):
		p.send(s, i, message{kind: messageResult, gen: call.gen, task: call.task})
	}
}

// park is the unit of a River task whose attempt failed, and is to be tried
// again later: the row gives way to a new one that waits for its retry timer.
//
// With parkNewRow off, the same row waits, and Work returns nil.
func (p *protocol) park(s *state, call workCall) (sameRow bool) {
	i, t := int(call.inst), int(call.task)
	inst := &s.instances[i]
	old := s.job(call.job)
	if old == nil && p.on(parkNeedsToken) {
		return false
	}
	waits := inst.status.live() && inst.gen == call.gen
	if waits && !p.on(parkNewRow) {
		old.state, old.by = jobParked, 0
		inst.retries[t].add(call.gen)
		return true
	}
	s.deleteJob(call.job)
	if waits {
		s.addJob(job{kind: jobTask, inst: call.inst, task: call.task, gen: call.gen, state: jobParked})
		inst.retries[t].add(call.gen)
	}
	return false
}

// throughLane tells whether the unit that ends a River job goes through a lane;
// a TxHandler's goes through the user's own connection.
func (p *protocol) throughLane(call workCall) bool {
	return call.kind == jobDeliver || !p.kindOf(int(call.inst), call.gen, int(call.task)).tx()
}
