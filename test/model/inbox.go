package model

// insert adds a message under the lock of the target's row, and tells whether
// it was accepted: the row exists and is live (S4), and a result is for the
// generation that the row is in.
func (p *protocol) insert(s *state, i int, msg message) bool {
	inst := &s.instances[i]
	if !inst.status.exists() && p.on(targetExists) || inst.status == statusAbsent || inst.status.ended() {
		return false
	}
	switch msg.kind {
	case messageResult:
		if msg.gen != inst.gen && p.on(resultsHaveGen) {
			return false
		}
		if inst.hasResult(msg.gen, int(msg.task)) || msg.gen == inst.history.gen && inst.history.tasks[msg.task] == taskDone {
			s.violate(doubleResult)
		}
	case messageEvent:
		if msg.event == 0 {
			inst.accepted++
			msg.event = inst.accepted
		}
	}
	inst.lastID++
	msg.id = inst.lastID
	for k := range inst.inbox {
		if inst.inbox[k].kind == noMessage {
			inst.inbox[k] = msg
			s.stir(i)
			return true
		}
	}
	s.violate(overflow)
	return false
}

// send inserts a message and wakes its target.
func (p *protocol) send(s *state, i int, msg message) bool {
	if !p.insert(s, i, msg) {
		return false
	}
	p.wake(s, i)
	return true
}

// wake is B9: if something is deliverable, notify the owner, or insert a turn
// job if there is none.
func (p *protocol) wake(s *state, i int) {
	p.wakeBy(s, i, s.instances[i].owner, s.instances[i].turnJob)
}

func (p *protocol) wakeBy(s *state, i int, owner, turnJob uint8) {
	switch inst := &s.instances[i]; {
	case !inst.status.exists() || !inst.deliverable(0):
	case owner != 0:
		s.notify(owner, i)
	case turnJob == 0:
		p.queueTurn(s, i)
	}
}
