package model

// sessionSteps are the steps of a session other than its units.
func (p *protocol) sessionSteps(b *brancher, w, i int) {
	wk := &b.from.workers[w]
	sess := &wk.sessions[i]
	switch {
	case sess.phase == sessionFetched:
		b.step(progress, "{w} opens a session on {i}", w, i, func(s *state) { p.open(s, w, i) })
	case sess.phase == sessionReload:
		b.step(progress, "{w} reloads its session on {i}", w, i, func(s *state) { p.reload(s, w, i) })
	case sess.phase == sessionUnknown && p.laneOpen(b.from, w):
		b.step(progress, "{w} takes its lane over to learn the outcome on {i}", w, i, func(s *state) { p.learn(s, w, i) })
	}
	if wk.wake[i] {
		b.step(progress, "a wake-up for {i} reaches {w}", w, i, func(s *state) { p.wakeUp(s, w, i) })
	}
}

// open reads the row that the turn job is for. Who holds the turn job that the
// instance names has the right to open a session, and to take over.
func (p *protocol) open(s *state, w, i int) {
	inst, sess := &s.instances[i], &s.workers[w].sessions[i]
	entitled := inst.turnJob == sess.job
	if !p.on(turnJobCompared) {
		entitled = inst.turnJob != 0
	}
	if !p.on(takeOver) && inst.owner != 0 && int(inst.owner) != w+1 {
		entitled = false
	}
	if !inst.status.live() || !entitled {
		s.deleteJob(sess.job)
		*sess = session{}
		return
	}
	if inst.owner != 0 {
		if !p.laneOpen(s, w) {
			*sess = session{}
			return
		}
		inst.owner = uint8(w + 1)
		inst.epoch++
	}
	p.load(s, w, i)
}

// load fills a session from the row, in one snapshot. Local attempts that still
// run here belong to it, unless their task has a result or has become a River
// task meanwhile.
func (p *protocol) load(s *state, w, i int) {
	inst, wk := &s.instances[i], &s.workers[w]
	sess := &wk.sessions[i]
	*sess = session{
		phase: sessionOpen, job: sess.job, seq: inst.seq, epoch: inst.epoch, status: inst.status, history: inst.history,
		read: inst.last(), claimed: int(inst.owner) == w+1,
	}
	if c := wk.cache[i]; c.used && c.seq == inst.seq && c.epoch == inst.epoch {
		sess.history = c.history
	}
	wk.cache[i] = cached{}
	wk.wake[i] = false
	wk.dropWaiting(i)
	for t := range maxTasks {
		loc := &wk.locals[i][t]
		if !p.mine(sess, loc, t) {
			continue
		}
		row, isTx := s.taskRow(i, loc.gen, t), p.kindOf(i, loc.gen, t).tx()
		elsewhere := row != nil && (!s.rowIsMine(w, i, loc.gen, t) || isTx && row.id != loc.token)
		switch {
		case (elsewhere || inst.hasResult(loc.gen, t)) && p.on(loadDisowns):
			*loc = local{}
		case isTx:
		case row != nil && p.on(promoteOnce):
			loc.token, loc.row = row.id, true
		default:
			loc.token, loc.row = 0, false
		}
	}
	p.findRedispatch(s, w, i)
	if !p.on(claimBeforeStart) {
		u := p.newUnit(s, w, i, unitClaim)
		for t := range maxTasks {
			if sess.redispatch.has(t) {
				p.startTask(s, w, i, t, &u, sess.rows[t])
			}
		}
		sess.redispatch, sess.rows = 0, [maxTasks]uint8{}
	}
}

// findRedispatch finds the scheduled tasks that nobody runs: local ones without
// a row and without a result, and those whose row says that they run here when
// they do not.
func (p *protocol) findRedispatch(s *state, w, i int) {
	inst, wk := &s.instances[i], &s.workers[w]
	sess := &wk.sessions[i]
	for t := range maxTasks {
		gen := sess.history.gen
		kind := p.kindOf(i, gen, t)
		if !sess.history.pending(t) || inst.hasResult(gen, t) || !kind.local() || p.mine(sess, &wk.locals[i][t], t) {
			continue
		}
		row := s.taskRow(i, gen, t)
		switch {
		case row == nil:
			if kind == taskLocal || !p.on(txToken) {
				sess.redispatch.add(t)
			}
		case !p.on(redispatchRowless) && kind == taskLocal:
			sess.redispatch.add(t)
		case !s.rowIsMine(w, i, gen, t) || !p.on(adoptOwnRows) || kind == taskLocal && !p.on(adoptPromoted):
		case wk.call.job == row.id && wk.call.phase != callHanded || wk.gaveBack(row.id):
			// River has handed it to this worker.
		default:
			sess.redispatch.add(t)
			if p.on(adoptKeepsID) {
				sess.rows[t] = row.id
			}
		}
	}
}

// reload begins again after a lost unit or an unknown outcome. If the session
// is no longer entitled, it ends, and Work snoozes.
func (p *protocol) reload(s *state, w, i int) {
	inst, wk := &s.instances[i], &s.workers[w]
	sess := &wk.sessions[i]
	entitled := inst.status.live() && inst.turnJob == sess.job && p.on(reloadLosers)
	switch {
	case entitled && int(inst.owner) == w+1 && p.laneOpen(s, w):
		inst.epoch++
		p.load(s, w, i)
	case entitled && inst.owner == 0 && sess.job != 0:
		p.load(s, w, i)
	default:
		s.giveBack(w, returned{job: sess.job})
		wk.endSession(i)
	}
}

// learn resolves an unknown outcome: the old backend is terminated and the lane
// taken over. What has not committed by then never will.
func (p *protocol) learn(s *state, w, i int) {
	sess := &s.workers[w].sessions[i]
	if p.on(fenceOldLane) {
		s.takeLaneOver(w)
		sess.phase = sessionReload
		return
	}
	sess.phase = sessionOpen
	if s.instances[i].seq > sess.seq {
		sess.phase = sessionReload
	}
}

// wakeUp re-reads the inbox. Without a session it is ignored: the row is the
// promise, not the wake-up.
func (p *protocol) wakeUp(s *state, w, i int) {
	inst, wk := &s.instances[i], &s.workers[w]
	sess := &wk.sessions[i]
	wk.wake[i] = false
	switch {
	case sess.phase != sessionOpen:
	case inst.epoch != sess.epoch || !inst.status.live():
		p.evict(s, w, i)
	default:
		sess.read = inst.last()
	}
}

// evict sends a session to reload. Its units in flight are discarded.
func (p *protocol) evict(s *state, w, i int) {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	if at := sess.uncommitted() + 1; !p.on(discardLater) && at < sess.inFlight() {
		f := &s.faulty.stray
		f.on, f.worker, f.inst, f.unit = true, uint8(w), uint8(i), sess.units[at]
	}
	*sess = session{phase: sessionReload, job: sess.job}
}

func (p *protocol) closeSession(s *state, w, i int) {
	inst, wk := &s.instances[i], &s.workers[w]
	wk.cache[i] = cached{true, inst.seq, inst.epoch, inst.history}
	wk.endSession(i)
}
