package model

// localSteps are the steps of the tasks that sessions run in their own process.
func (p *protocol) localSteps(b *brancher, w, i int) {
	wk := &b.from.workers[w]
	for t := range maxTasks {
		loc := wk.locals[i][t]
		switch {
		case loc.phase == localQueued && p.slotsTaken(b.from, w) == 0:
			b.step(progress, "{w} starts a queued task of {i}", w, i, func(s *state) {
				s.workers[w].locals[i][t].phase = localRunning
			})
		case loc.phase != localRunning:
			continue
		case p.kindOf(i, loc.gen, t) == taskTxLocal:
			p.localTxSteps(b, w, i, t, loc)
		default:
			b.step(progress, "a local activity of {i} ends in {w}", w, i, func(s *state) {
				p.endLocal(s, w, i, t, localFinished)
			})
		}
		if b.from.budget.failures > 0 && loc.phase == localRunning {
			b.step(fault, "a local attempt of {i} fails in {w}", w, i, func(s *state) {
				s.budget.failures--
				p.endLocal(s, w, i, t, localFailed)
			})
		}
	}
}

// endLocal puts the outcome of a local attempt into the session's mailbox. It
// is dropped if there is no session, or the session does not wait for it.
func (p *protocol) endLocal(s *state, w, i, t int, phase localPhase) {
	wk := &s.workers[w]
	sess, loc := &wk.sessions[i], &wk.locals[i][t]
	loc.phase = phase
	if sess.phase == sessionNone || sess.phase == sessionOpen && !p.mine(sess, loc, t) {
		*loc = local{}
	}
}

// localTxSteps: a TxHandler in the session's process. It commits its result
// itself, together with the user's writes.
func (p *protocol) localTxSteps(b *brancher, w, i, t int, loc local) {
	b.step(progress, "a local TxHandler of {i} commits in {w}", w, i, func(s *state) {
		s.workers[w].locals[i][t] = local{}
		p.finishTask(s, i, loc.gen, t, loc.token, loc.epoch)
	})
	if b.from.budget.secondAttempts > 0 && b.from.workers[w].call.phase == callNone {
		b.step(environment, "a second attempt of a TxHandler of {i} starts beside the first in {w}", w, i, func(s *state) {
			s.budget.secondAttempts--
			s.workers[w].call = workCall{callRunning, loc.token, jobTask, uint8(i), uint8(t), loc.gen, loc.epoch}
		})
	}
}

// finishTask is the tail of a TxHandler, in the user's transaction: lock the
// instance, live and of this generation, delete the token, deliver. Without
// tokens, it tests the epoch, and the inbox row is its deduplication key.
func (p *protocol) finishTask(s *state, i int, gen uint8, t int, token, epoch uint8) {
	inst := &s.instances[i]
	held := s.deleteJob(token) || !p.on(tokenDeleted)
	if epoch != 0 {
		held = inst.epoch == epoch && !inst.hasResult(gen, t)
	}
	if held && inst.status.live() && inst.gen == gen {
		p.commitTx(s, i, gen, t)
	}
}

// commitTx commits the writes of a TxHandler together with its result.
func (p *protocol) commitTx(s *state, i int, gen uint8, t int) {
	s.writes[i][gen][t]++
	if s.writes[i][gen][t] > 1 {
		s.violate(doubleWrite)
	}
	p.send(s, i, message{kind: messageResult, gen: gen, task: uint8(t)})
}
