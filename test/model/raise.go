package model

// raiseSteps are the steps of those who raise events.
func (p *protocol) raiseSteps(b *brancher) {
	s := b.from
	for i := range maxInstances {
		// With targetExists off, an event for a purged instance gets as far as the insert.
		reachable := s.instances[i].status.exists() || s.instances[i].status == statusPurged && !p.on(targetExists)
		switch {
		case s.budget.raises[i] == 0 || !reachable || s.faulty.oldFlags.on:
		case p.on(lockThenTest):
			b.step(environment, "an event is raised on {i}", 0, i, func(s *state) {
				s.budget.raises[i]--
				p.send(s, i, message{kind: messageEvent})
			})
		default:
			b.step(environment, "a sender reads owner and turn_job of {i}", 0, i, func(s *state) {
				s.budget.raises[i]--
				f, inst := &s.faulty.oldFlags, &s.instances[i]
				f.on, f.inst, f.owner, f.turnJob = true, uint8(i), inst.owner, inst.turnJob
			})
		}
		p.txRaiseSteps(b, i)
	}
	p.retriedRaiseSteps(b)
}

// retriedRaiseSteps: a raise whose outcome the caller does not learn. The
// caller tries again with the same key; the first attempt may still commit.
func (p *protocol) retriedRaiseSteps(b *brancher) {
	s := b.from
	if s.budget.unsureRaises > 0 && s.instances[0].status.live() {
		b.step(environment, "the outcome of a raise on {i} is unknown", 0, 0, func(s *state) {
			s.budget.unsureRaises--
			s.retriedRaise.first, s.retriedRaise.second = true, true
		})
	}
	if s.retriedRaise.first {
		b.step(progress, "the server commits the raise on {i}", 0, 0, func(s *state) {
			s.retriedRaise.first = false
			p.raiseWithKey(s)
		})
		b.step(progress, "the server drops the raise on {i}", 0, 0, func(s *state) { s.retriedRaise.first = false })
	}
	if s.retriedRaise.second {
		b.step(progress, "the caller raises on {i} again", 0, 0, func(s *state) {
			s.retriedRaise.second = false
			p.raiseWithKey(s)
		})
	}
}

// raiseWithKey raises an event on instance 0 unless its key is known.
func (p *protocol) raiseWithKey(s *state) {
	inst, event := &s.instances[0], s.retriedRaise.event
	known := event != 0
	if !p.on(eventKeys) {
		known = false
		for _, msg := range inst.inbox {
			known = known || msg.kind == messageEvent && msg.event == event
		}
	}
	if known || !inst.status.live() {
		return
	}
	if p.send(s, 0, message{kind: messageEvent, event: event}) && event == 0 {
		s.retriedRaise.event = inst.accepted
	}
}

// txRaiseSteps: a user raises an event in a transaction of the user's own. It
// writes an outbox row and a deliver job; both appear when it commits. Users
// whose transactions overlap have no claim to an order, so one is open at a
// time.
func (p *protocol) txRaiseSteps(b *brancher, i int) {
	s := b.from
	if s.budget.txRaises[i] > 0 && !s.userTx.open {
		b.step(environment, "a user raises an event on {i} in a transaction", 0, i, func(s *state) {
			s.budget.txRaises[i]--
			s.userTx = userTx{true, uint8(i)}
			if !p.on(deliverInTx) {
				s.addJob(job{kind: jobDeliver, inst: uint8(i), state: jobAvailable})
			}
		})
	}
	if !s.userTx.open || int(s.userTx.inst) != i {
		return
	}
	b.step(progress, "the user commits", 0, i, func(s *state) {
		s.userTx = userTx{}
		inst := &s.instances[i]
		inst.raised++
		if p.on(deliverInTx) {
			s.addJob(job{kind: jobDeliver, inst: uint8(i), task: inst.raised, state: jobAvailable})
		}
		for k := range s.outbox {
			if !s.outbox[k].used {
				s.outbox[k] = outboxRow{true, uint8(i), inst.raised}
				return
			}
		}
		s.violate(overflow)
	})
	b.step(progress, "the user rolls back", 0, i, func(s *state) { s.userTx = userTx{} })
}

// deliver is the unit of a deliver job: under the target's lock, it moves all
// outbox rows of the target to the inbox, in the order of their ids, and
// wakes. Events for a target that is unknown or has ended are dropped.
func (p *protocol) deliver(s *state, call workCall) {
	i := int(call.inst)
	inst := &s.instances[i]
	s.deleteJob(call.job)
	for r := 0; r < maxOutbox; {
		row := s.outbox[r]
		if !row.used || int(row.inst) != i || !p.on(deliverAll) && row.number != call.task {
			r++
			continue
		}
		if row.number != inst.moved+1 {
			s.violate(eventDisorder)
		}
		inst.moved = row.number
		if p.on(deliverDeletes) {
			copy(s.outbox[r:], s.outbox[r+1:])
			s.outbox[maxOutbox-1] = outboxRow{}
		} else {
			r++
		}
		if inst.status.live() {
			p.insert(s, i, message{kind: messageEvent})
		}
	}
	p.wake(s, i)
}
