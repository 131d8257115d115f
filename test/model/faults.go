package model

// faultSteps are what may befall a worker.
func (p *protocol) faultSteps(b *brancher, w int) {
	wk := &b.from.workers[w]
	if b.from.budget.kills > 0 {
		b.step(fault, "{w} is killed", w, 0, func(s *state) {
			s.budget.kills--
			s.workers[w].forget()
		})
	}
	if b.from.budget.deaths > 0 && wk.alive {
		b.step(fault, "{w} is declared dead, but lives", w, 0, func(s *state) {
			s.budget.deaths--
			p.fence(s, w)
		})
	}
	if b.from.budget.drains > 0 && !wk.draining {
		b.step(fault, "{w} is told to drain", w, 0, func(s *state) {
			s.budget.drains--
			s.workers[w].draining = true
		})
	}
}

// loseStep: the connection breaks while the unit is being committed. The
// server may or may not commit it, now or later.
func (p *protocol) loseStep(b *brancher, w, i int, kind stepKind, u unit) {
	if b.from.budget.losses == 0 || b.from.lostBatch.on {
		return
	}
	b.step(fault, "{w} loses its connection while it commits {what} of {i}", w, i, func(s *state) {
		s.budget.losses--
		p.spend(s, kind)
		sess := &s.workers[w].sessions[i]
		before := *sess
		if before.inFlight() == 0 {
			p.submit(s, w, i, u)
		}
		s.lostBatch = lostBatch{true, uint8(w), uint8(i), u}
		if p.on(fenceOldLane) {
			p.evict(s, w, i)
		} else {
			*sess = before
		}
		sess.phase = sessionUnknown
	})
}

// takeLaneOver terminates the old backend of a worker's lane and bumps inc: what
// was sent there and has not committed by now never will.
func (s *state) takeLaneOver(w int) {
	if int(s.lostBatch.worker) == w {
		s.lostBatch = lostBatch{}
	}
	if int(s.lostCall.worker) == w && s.lostCall.throughLane {
		s.lostCall = lostCall{}
	}
}

// lostSteps: what was sent on connections that broke.
func (p *protocol) lostSteps(b *brancher) {
	s := b.from
	if l := s.lostBatch; l.on {
		w, i := int(l.worker), int(l.inst)
		b.step(progress, "the server drops the lost batch of {w}", w, i, func(s *state) { s.lostBatch = lostBatch{} })
		if p.laneOpen(s, w) {
			b.step(progress, "the server commits the lost batch of {w}", w, i, func(s *state) {
				s.lostBatch = lostBatch{}
				p.commit(s, w, []member{{inst: i, unit: &l.unit}})
			})
		}
	}
	if l := s.lostCall; l.on {
		w, i := int(l.worker), int(l.call.inst)
		b.step(progress, "the server drops the lost completion of {w}", w, i, func(s *state) { s.lostCall = lostCall{} })
		if !l.throughLane || p.laneOpen(s, w) {
			b.step(progress, "the server commits the lost completion of {w}", w, i, func(s *state) {
				s.lostCall = lostCall{}
				p.complete(s, l.call)
			})
		}
	}
}
