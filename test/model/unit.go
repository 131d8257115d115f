package model

// unitKind is the kind of a unit: of what a session wants committed.
type unitKind uint8

const (
	noUnit unitKind = iota
	unitTurn
	unitClaim    // become the owner, then start what the load found to be run by nobody
	unitPromote  // give a long-running local task a row, running in my name
	unitExport   // give a queued local task a row that any process may fetch
	unitPark     // a local task failed and is to be tried again later
	unitRelease  // let go of an instance that has nothing to do
	unitHandOver // drain: let go in the middle of the work
	unitHold     // the code does not fit the history, or panics
)

// unit is what a session hands to its lane. It holds all that the commit needs
// to know; the commit reads nothing of the session's memory.
type unit struct {
	kind unitKind

	// The compare-and-set.

	base    uint8 // seq of the predecessor
	epoch   uint8
	job     uint8   // the turn job, for the first commit
	claimed bool    // a predecessor has set owner
	from    history // what the unit was computed from: only for the check of I1

	// What the turn did.

	history     history
	status      status
	upTo        uint8 // consumes the inbox up to this id
	controlOnly bool  // but only the control messages
	consumes    uint8 // so many rows
	ends        status
	renews      bool  // continues as new
	carried     uint8 // so many of the last events go into the start message
	fault       violation

	schedules taskSet         // new tasks
	overflow  taskSet         // those of them that found no free slot here: rows for any process
	records   taskSet         // local tasks whose result this turn records
	tokens    [maxTasks]uint8 // ids of the rows of local tasks, as far as the session knew
	starts    taskSet         // claim: tasks to start after the commit
	touches   taskSet         // promote, export, park: the task
	spills    taskSet         // results for the inbox
	settles   taskSet         // local tasks that become available rows

	// What became of it, until the session learns it.

	done    bool  // it has committed
	refused bool  // it was a release, and B8 refused it
	late    uint8 // B10: the last message that it returned
}

// closes tells whether no unit of the session may follow before its outcome is
// known.
func (u *unit) closes() bool {
	switch u.kind {
	case unitClaim, unitRelease, unitHandOver, unitHold:
		return true
	}
	return u.ends != statusAbsent || u.renews
}

// claims tells whether the unit makes the worker the owner.
func (u *unit) claims() bool {
	return u.kind != unitRelease && u.kind != unitHandOver && u.kind != unitHold
}

// consumed tells whether the unit consumes a message.
func (u *unit) consumed(msg message) bool {
	return u.kind == unitTurn && msg.id <= u.upTo && (!u.controlOnly || msg.kind.control())
}

func (p *protocol) newUnit(s *state, w, i int, kind unitKind) unit {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	u := unit{
		kind: kind, base: sess.seq, epoch: sess.epoch, job: sess.job, claimed: sess.claimed,
		from: sess.history, history: sess.history, status: sess.status,
	}
	for t := range maxTasks {
		if loc := wk.locals[i][t]; loc.gen == sess.history.gen {
			u.tokens[t] = loc.token
		}
	}
	return u
}

// unitSteps: sessions submit units, and lanes commit them. In a world with one
// unit in flight both are one step: all that a delay between them could change
// is what the session learns too late for this unit, and then learns before
// the next.
func (p *protocol) unitSteps(b *brancher, w, i int) {
	if !p.laneOpen(b.from, w) {
		return
	}
	p.planUnits(b.from, w, i, func(kind stepKind, u unit) {
		b.what = unitNames[u.kind]
		if p.world.inFlight > 1 {
			b.step(kind, "{w} submits {what} of {i}", w, i, func(s *state) {
				p.spend(s, kind)
				p.submit(s, w, i, u)
			})
			return
		}
		b.step(kind, "{w} commits {what} of {i}", w, i, func(s *state) {
			p.spend(s, kind)
			p.submit(s, w, i, u)
			p.commitOldest(s, w, i)
		})
		p.loseStep(b, w, i, kind, u)
	})
	sess := &b.from.workers[w].sessions[i]
	if sess.phase != sessionOpen {
		return
	}
	if next := sess.uncommitted(); next < sess.inFlight() {
		b.what = unitNames[sess.units[next].kind]
		b.step(progress, "{w} commits {what} of {i}", w, i, func(s *state) { p.commitOldest(s, w, i) })
		p.loseStep(b, w, i, progress, sess.units[next])
	}
	if sess.units[0].done {
		b.what = unitNames[sess.units[0].kind]
		b.step(progress, "{w} learns that {what} of {i} has committed", w, i, func(s *state) { p.acknowledge(s, w, i) })
	}
}

// spend takes a panic from the budget: a hold that is a fault needs one.
func (p *protocol) spend(s *state, kind stepKind) {
	if kind == fault {
		s.budget.panics--
	}
}

// commitOldest commits a batch of the oldest units of the given instances'
// sessions that have not committed. Losers are evicted; the others stay, and
// are submitted again.
func (p *protocol) commitOldest(s *state, w int, instances ...int) {
	var batch [maxInstances]member
	for k, i := range instances {
		sess := &s.workers[w].sessions[i]
		batch[k] = member{inst: i, unit: &sess.units[sess.uncommitted()]}
	}
	won := p.commit(s, w, batch[:len(instances)])
	for _, m := range batch[:len(instances)] {
		if !won {
			if m.lost {
				p.evict(s, w, m.inst)
			}
			continue
		}
		m.unit.done = true
		if p.returnsMessages(m.unit) { // B10
			m.unit.late = s.instances[m.inst].last()
		}
		if p.world.inFlight <= 1 {
			p.acknowledge(s, w, m.inst)
		}
	}
}

// batchStep commits units of both instances in one transaction.
func (p *protocol) batchStep(b *brancher, w int) {
	if !p.laneOpen(b.from, w) || p.world.inFlight > 1 {
		return
	}
	var units [maxInstances]unit
	for i := range maxInstances {
		p.planUnits(b.from, w, i, func(kind stepKind, u unit) {
			if kind == progress {
				units[i] = u
			}
		})
		if units[i].kind == noUnit {
			return
		}
	}
	b.step(progress, "{w} commits units of both instances in one batch", w, 0, func(s *state) {
		won := true
		for i := range maxInstances {
			if !p.matches(&s.instances[i], w, &units[i]) {
				p.evict(s, w, i)
				won = false
			}
		}
		if won {
			p.submit(s, w, 0, units[0])
			p.submit(s, w, 1, units[1])
			p.commitOldest(s, w, 0, 1)
		}
	})
}

// submit moves the session on as if the unit had committed, so that the next
// turn can be computed. What must wait for the commit is left to acknowledge.
func (p *protocol) submit(s *state, w, i int, u unit) {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	sess.units[sess.inFlight()] = u
	sess.history, sess.status = u.history, u.status
	if u.kind == unitTurn {
		sess.seq++
		for t := range maxTasks {
			loc := &wk.locals[i][t]
			if loc.phase == localFinished && (u.records.has(t) || !p.mine(sess, loc, t)) {
				*loc = local{}
			}
			if u.ends != statusAbsent || u.renews || !sess.history.pending(t) {
				sess.redispatch.remove(t)
				sess.rows[t] = 0
			}
		}
	}
	sess.claimed = sess.claimed || u.claims()
	for t := range maxTasks {
		switch loc := &wk.locals[i][t]; {
		case !u.touches.has(t):
		case u.kind == unitPromote:
			loc.row = true
		case u.kind == unitPark || p.on(exportLeaves):
			*loc = local{}
		}
	}
	if !p.on(startAfterCommit) {
		p.startScheduled(s, w, i, &u)
	}
}

// returnsMessages tells whether B10 returns to a unit what has come to the inbox
// since the session last read it.
func (p *protocol) returnsMessages(u *unit) bool {
	return u.refused || (!u.claimed && u.claims() || u.kind == unitClaim) && p.on(readBack) || u.renews && p.on(readBackRenewal)
}

// acknowledge is what a session does when it learns that its oldest unit in
// flight has committed.
func (p *protocol) acknowledge(s *state, w, i int) {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	u := sess.units[0]
	copy(sess.units[:], sess.units[1:])
	sess.units[maxUnits-1] = unit{}
	sess.read = max(sess.read, u.late)
	for t := range maxTasks {
		loc := &wk.locals[i][t]
		runsOn := loc.phase == localRunning && p.kindOf(i, loc.gen, t).tx() // until it finds that its token is gone
		if (u.spills.has(t) || u.settles.has(t)) && loc.gen == u.history.gen && !runsOn {
			*loc = local{}
		}
	}
	switch u.kind {
	case unitTurn:
		if p.on(startAfterCommit) {
			p.startScheduled(s, w, i, &u)
		}
	case unitClaim:
		sess.redispatch, sess.rows = 0, [maxTasks]uint8{}
		for t := range maxTasks {
			if u.starts.has(t) {
				p.startTask(s, w, i, t, &u, u.tokens[t])
			}
		}
	case unitPromote:
		for t := range maxTasks {
			if loc := &wk.locals[i][t]; u.touches.has(t) && loc.phase != localNone {
				if row := s.taskRow(i, loc.gen, t); row != nil {
					loc.token = row.id
				}
			}
		}
	case unitHold:
		if u.job != 0 {
			s.giveBack(w, returned{job: u.job, held: true})
		}
	}
	if u.ends != statusAbsent || !u.claims() && !u.refused {
		p.closeSession(s, w, i)
	}
}

// startScheduled starts the local tasks that a turn has scheduled.
func (p *protocol) startScheduled(s *state, w, i int, u *unit) {
	for t := range maxTasks {
		if u.schedules.has(t) && !u.overflow.has(t) && p.kindOf(i, u.history.gen, t).local() {
			token := uint8(0)
			if row := s.taskRow(i, u.history.gen, t); row != nil {
				token = row.id
			}
			p.startTask(s, w, i, t, u, token)
		}
	}
}

// startTask lets a process run a task of a session of its own, which the unit
// has scheduled or claimed. The token is the id of its row, if it has one.
func (p *protocol) startTask(s *state, w, i, t int, u *unit, token uint8) {
	wk := &s.workers[w]
	loc := &wk.locals[i][t]
	if loc.phase != localNone {
		return
	}
	if inst := &s.instances[i]; !u.done && (int(inst.owner) != w+1 || inst.gen == u.history.gen && !inst.history.pending(t)) {
		s.violate(unclaimedEffect)
	}
	*loc = local{phase: localRunning, gen: u.history.gen, token: token, row: token != 0}
	if !p.on(txToken) && p.kindOf(i, loc.gen, t).tx() {
		loc.epoch = u.epoch
	}
	if p.world.exports && loc.token == 0 && p.slotsTaken(s, w) > 1 {
		loc.phase = localQueued
	}
}

// slotsTaken counts the local tasks that run in a worker.
func (p *protocol) slotsTaken(s *state, w int) int {
	taken := 0
	for i := range maxInstances {
		for t := range maxTasks {
			if s.workers[w].locals[i][t].phase == localRunning {
				taken++
			}
		}
	}
	return taken
}
