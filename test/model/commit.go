package model

// member is a unit in a batch.
type member struct {
	inst int
	unit *unit
	lost bool // the compare-and-set failed
}

// commit applies a batch of worker w in one transaction, in the order of the
// statements B0-B9; B10 is part of acknowledge. It returns false, and changes
// nothing, if a unit has lost.
//
// B0, the fence of the lane, is laneOpen; B1, the locks, is the atomicity of
// the step.
func (p *protocol) commit(s *state, w int, batch []member) bool {
	before := s
	if !p.on(statementOrder) {
		copied := *s
		before = &copied
	}
	var woken [maxInstances]bool
	if !p.compareAndSet(s, w, batch) {
		return false
	}
	for k := range batch {
		i, u := batch[k].inst, batch[k].unit
		inst := &s.instances[i]
		p.insertChildren(s, i, u, &woken)               // B3
		inst.history, inst.status = u.history, u.status // B4
		p.deleteConsumed(s, i, u)                       // B5
		p.insertMessages(s, w, i, u, &woken)            // B6
		p.changeRows(s, w, i, u)                        // B7
	}
	if !p.on(statementOrder) {
		p.wakeAll(s, &woken)
	}
	for k := range batch {
		p.letGo(s, before, &batch[k]) // B8
	}
	p.wakeAll(s, &woken) // B9
	return true
}

// laneOpen tells whether B0 succeeds: the fence of worker w is open.
func (p *protocol) laneOpen(s *state, w int) bool { return s.workers[w].alive || !p.on(laneFence) }

// compareAndSet is B2. All units win, or none is applied.
func (p *protocol) compareAndSet(s *state, w int, batch []member) bool {
	won := true
	for k := range batch {
		m := &batch[k]
		m.lost = !p.matches(&s.instances[m.inst], w, m.unit)
		won = won && !m.lost
	}
	if !won {
		return false
	}
	for _, m := range batch {
		inst, u := &s.instances[m.inst], m.unit
		if inst.history != u.from {
			s.violate(staleBase)
		}
		if u.fault != safe {
			s.violate(u.fault)
		}
		if u.kind == unitTurn {
			inst.seq++
		}
		if u.renews {
			inst.gen++
			if !p.on(seqNeverBack) {
				inst.seq = 1
			}
		}
		if u.claims() {
			inst.owner = uint8(w + 1)
			s.stir(m.inst)
		}
	}
	return true
}

// matches is the condition of B2: the unit was computed from what the row says
// now, and the worker has the right to commit.
func (p *protocol) matches(inst *instance, w int, u *unit) bool {
	if !inst.status.live() || inst.epoch != u.epoch {
		return false
	}
	if inst.seq != u.base && (p.on(namesPredecessor) || !u.claimed) {
		return false
	}
	if u.claimed {
		return int(inst.owner) == w+1
	}
	if !p.on(turnJobCompared) {
		return inst.owner == 0 && inst.turnJob != 0
	}
	return inst.owner == 0 && inst.turnJob == u.job
}

// insertChildren is B3.
func (p *protocol) insertChildren(s *state, i int, u *unit, woken *[maxInstances]bool) {
	child := &s.instances[1]
	for t := range maxTasks {
		if !u.schedules.has(t) || p.kindOf(i, u.history.gen, t) != taskChild {
			continue
		}
		if child.status == statusAbsent {
			p.newInstance(s, 1, u.history.gen+1)
		}
		woken[1] = true
	}
}

// newInstance inserts an instance with its start message and turn job.
func (p *protocol) newInstance(s *state, i int, parent uint8) {
	inst := &s.instances[i]
	*inst = instance{status: statusPending, seq: 1, epoch: 1, parent: parent} // not 0: that stands for "behind"
	inst.inbox[0] = message{id: 1, kind: messageStart}
	inst.lastID = 1
	inst.turnJob = s.addJob(job{kind: jobTurn, inst: uint8(i), state: jobAvailable})
}

// deleteConsumed is B5, with its assertion: every row was there.
func (p *protocol) deleteConsumed(s *state, i int, u *unit) {
	inst := &s.instances[i]
	count := uint8(0)
	for k := 0; k < maxInbox; {
		if m := inst.inbox[k]; m.kind != noMessage && u.consumed(m) {
			inst.deleteMessage(k)
			count++
			continue
		}
		k++
	}
	if count != u.consumes {
		s.violate(missingMessage)
	}
}

// insertMessages is B6.
func (p *protocol) insertMessages(s *state, w, i int, u *unit, woken *[maxInstances]bool) {
	inst := &s.instances[i]
	for t := range maxTasks {
		if u.spills.has(t) {
			p.spill(s, i, u.history.gen, t, u.tokens[t])
		}
	}
	if u.renews && p.on(renewInOneCommit) {
		p.insertRenewal(s, i, u.carried)
	}
	if r := &s.faulty.renewal; u.renews && !p.on(renewInOneCommit) {
		r.on, r.worker, r.inst, r.gen, r.carried = true, uint8(w), uint8(i), inst.gen, u.carried
	}
	if u.ends != statusAbsent {
		woken[0] = p.reportToParent(s, i) || woken[0]
	}
}

// insertRenewal inserts the start message of the generation that has just
// begun, with the events that the old one carries over.
func (p *protocol) insertRenewal(s *state, i int, carried uint8) {
	inst := &s.instances[i]
	first := inst.history.lastEvent + 1
	if p.on(carriedInStart) {
		p.insert(s, i, message{kind: messageStart, gen: inst.gen, event: first, carried: carried})
		return
	}
	p.insert(s, i, message{kind: messageStart, gen: inst.gen})
	for c := range carried {
		p.insert(s, i, message{kind: messageEvent, event: first + c})
	}
}

// spill writes a local result to the inbox. A task that has a row loses it.
func (p *protocol) spill(s *state, i int, gen uint8, t int, token uint8) {
	if p.on(spillDeletesRow) {
		if row := s.taskRow(i, gen, t); row != nil {
			s.deleteJob(row.id)
		} else if token != 0 && p.on(goneMeansDone) {
			return // delivered already, by whoever deleted it
		}
	}
	if p.on(spillWhenReleased) {
		p.insert(s, i, message{kind: messageResult, gen: gen, task: uint8(t)})
	}
}

// changeRows is B7: timers and task rows.
func (p *protocol) changeRows(s *state, w, i int, u *unit) {
	inst := &s.instances[i]
	if u.ends != statusAbsent {
		p.dropInstanceRows(s, i)
		s.deleteJob(inst.turnJob)
		inst.status, inst.owner, inst.turnJob = u.ends, 0, 0
		return
	}
	if u.renews && p.on(renewDropsRows) {
		inst.timers = [maxTasks]genSet{}
		s.dropTaskRows(i, !p.world.keepsOldRows)
		if p.on(endDropsRetries) {
			inst.retries = [maxTasks]genSet{}
		}
	}
	gen := u.history.gen
	for t := range maxTasks {
		row := job{kind: jobTask, inst: uint8(i), task: uint8(t), gen: gen, state: jobAvailable}
		switch {
		case u.records.has(t) && p.on(recordDeletesRow):
			if p.on(deletesByKey) {
				s.deleteTaskRow(i, gen, t)
			} else {
				s.deleteJob(u.tokens[t])
			}
		case u.schedules.has(t):
			p.insertTask(s, w, i, t, u)
		case u.touches.has(t) && u.kind == unitPromote:
			row.state, row.by = jobRunning, uint8(w+1)
			s.addJob(row)
		case u.touches.has(t) && u.kind == unitExport:
			s.addJob(row)
		case u.touches.has(t) && u.kind == unitPark:
			if p.replaceable(s, w, i, t, u) {
				s.deleteTaskRow(i, gen, t)
				row.state = jobParked
				s.addJob(row)
				inst.retries[t].add(gen)
			}
		case u.settles.has(t):
			if p.replaceable(s, w, i, t, u) {
				s.deleteTaskRow(i, gen, t)
				s.addJob(row)
			}
		}
	}
}

// replaceable tells whether a local task may get a new row: its old one runs in
// this worker's name, or it never had one. A task whose row is gone has
// delivered its result, and a row in another state is a River task already.
func (p *protocol) replaceable(s *state, w, i, t int, u *unit) bool {
	gen := u.history.gen
	if s.taskRow(i, gen, t) != nil {
		return s.rowIsMine(w, i, gen, t)
	}
	return (u.tokens[t] == 0 || !p.on(goneMeansDone)) && (p.kindOf(i, gen, t) == taskLocal || !p.on(txToken))
}

// insertTask inserts what makes a new task run.
func (p *protocol) insertTask(s *state, w, i, t int, u *unit) {
	gen := u.history.gen
	row := job{kind: jobTask, inst: uint8(i), task: uint8(t), gen: gen, state: jobAvailable}
	switch p.kindOf(i, gen, t) {
	case taskLocal:
		if u.overflow.has(t) {
			s.addJob(row)
		}
	case taskTxLocal:
		if !u.overflow.has(t) {
			row.state, row.by = jobRunning, uint8(w+1)
		}
		if u.overflow.has(t) || p.on(txToken) {
			s.addJob(row)
		}
	case taskRiver, taskTxRiver:
		s.addJob(row)
	case taskTimer:
		s.instances[i].timers[t].add(gen)
	}
}

// dropInstanceRows deletes all rows that belong to an instance that ends.
func (p *protocol) dropInstanceRows(s *state, i int) {
	inst := &s.instances[i]
	inst.inbox = [maxInbox]message{}
	inst.timers = [maxTasks]genSet{}
	if p.on(endDropsRetries) {
		inst.retries = [maxTasks]genSet{}
	}
	s.dropTaskRows(i, true)
}

// reportToParent sends the outcome of a child to the parent, and tells whether
// it was accepted.
func (p *protocol) reportToParent(s *state, i int) bool {
	inst := &s.instances[i]
	if i != 1 || inst.parent == 0 || !s.instances[0].status.live() {
		return false
	}
	gen := inst.parent - 1
	for t := range maxTasks {
		if p.kindOf(0, gen, t) == taskChild {
			return p.insert(s, 0, message{kind: messageResult, gen: gen, task: uint8(t)})
		}
	}
	return false
}

// letGo is B8: releases, hand-overs and holds. With statementOrder off, before
// is the state that a release tests.
func (p *protocol) letGo(s, before *state, m *member) {
	inst, u := &s.instances[m.inst], m.unit
	switch u.kind {
	case unitRelease:
		if p.blocksRelease(&before.instances[m.inst]) {
			u.refused = true
			return
		}
		s.deleteJob(u.job)
		inst.owner, inst.turnJob = 0, 0
	case unitHandOver:
		if p.on(handOverBumps) {
			inst.epoch++
		}
		s.deleteJob(u.job)
		inst.owner, inst.turnJob = 0, 0
		if inst.deliverable(0) {
			p.queueTurn(s, m.inst)
		}
	case unitHold:
		inst.owner = 0
		if inst.turnJob == 0 && p.on(holdQueuesTurn) {
			p.queueTurn(s, m.inst)
		}
		if !p.on(holdKeepsTurn) {
			inst.turnJob = 0
		}
	}
}

// blocksRelease is the condition under which B8 refuses a release.
func (p *protocol) blocksRelease(inst *instance) bool {
	if !p.on(releaseLooks) {
		return false
	}
	if !p.on(heldDoesNotBlock) {
		return inst.inbox[0].kind != noMessage
	}
	return inst.deliverable(0)
}

// queueTurn inserts a turn job.
func (p *protocol) queueTurn(s *state, i int) {
	s.instances[i].turnJob = s.addJob(job{kind: jobTurn, inst: uint8(i), state: jobAvailable})
}

// wakeAll is B9 for all targets of a batch.
func (p *protocol) wakeAll(s *state, woken *[maxInstances]bool) {
	for i := range woken {
		if woken[i] {
			p.wake(s, i)
			woken[i] = false
		}
	}
}
