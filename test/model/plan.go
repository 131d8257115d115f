package model

// planUnits lists the units that the session of worker w on instance i may
// submit now. Units of kind progress come sooner or later; the others may.
func (p *protocol) planUnits(s *state, w, i int, plan func(stepKind, unit)) {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	inFlight := sess.inFlight()
	if sess.phase != sessionOpen || inFlight == max(p.world.inFlight, 1) || inFlight > 0 && sess.units[inFlight-1].closes() {
		return
	}
	mayLetGo := inFlight == 0 || !p.on(letGoAlone)
	p.planRows(s, w, i, plan)
	if wk.draining && mayLetGo { // the deadline may come at any time
		plan(progress, p.planSettling(s, w, i, unitHandOver))
	}
	if turn, needsCode, some := p.planTurn(s, w, i); some {
		fits := !needsCode || !wk.unfit
		if fits {
			plan(progress, turn)
		}
		switch {
		case !mayLetGo:
		case !fits:
			plan(progress, p.planSettling(s, w, i, unitHold))
		case needsCode && s.budget.panics > 0:
			plan(fault, p.planSettling(s, w, i, unitHold))
		}
		return
	}
	if u := p.planPark(s, w, i); u.touches != 0 {
		plan(progress, u)
		return
	}
	busy := p.isBusy(s, w, i)
	switch {
	case !mayLetGo || wk.draining:
	case inFlight == 0 && (sess.redispatch != 0 || busy && !sess.claimed && p.on(claimIfBusy)):
		plan(progress, p.planClaim(s, w, i))
	case !busy && sess.redispatch == 0:
		u := p.newUnit(s, w, i, unitRelease)
		u.spills = p.unrecorded(s, w, i)
		plan(progress, u)
	}
}

// planRows plans rows for local tasks: a promotion of one that runs, an export
// of one that is queued.
func (p *protocol) planRows(s *state, w, i int, plan func(stepKind, unit)) {
	wk := &s.workers[w]
	for t := range maxTasks {
		loc := &wk.locals[i][t]
		kind := noUnit
		switch {
		case !p.mine(&wk.sessions[i], loc, t) || p.kindOf(i, loc.gen, t) != taskLocal:
		case p.world.promotes && loc.phase == localRunning && !loc.row:
			kind = unitPromote
		case p.world.exports && loc.phase == localQueued:
			kind = unitExport
		}
		if kind != noUnit {
			u := p.newUnit(s, w, i, kind)
			u.touches.add(t)
			plan(environment, u)
		}
	}
}

// planPark plans to park a local task whose attempt failed, if there is one.
func (p *protocol) planPark(s *state, w, i int) unit {
	wk := &s.workers[w]
	u := p.newUnit(s, w, i, unitPark)
	for t := range maxTasks {
		if loc := &wk.locals[i][t]; u.touches == 0 && loc.phase == localFailed && p.mine(&wk.sessions[i], loc, t) {
			u.touches.add(t)
		}
	}
	return u
}

// planClaim plans to become the owner, and to start what the load found to be
// run by nobody.
func (p *protocol) planClaim(s *state, w, i int) unit {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	u := p.newUnit(s, w, i, unitClaim)
	for t := range maxTasks {
		if !sess.redispatch.has(t) {
			continue
		}
		u.tokens[t] = sess.rows[t]
		if wk.locals[i][t].phase == localNone {
			u.starts.add(t)
		} else { // an attempt of an older generation is still in the way
			u.settles.add(t)
		}
	}
	return u
}

// isBusy tells whether the session waits for local tasks.
func (p *protocol) isBusy(s *state, w, i int) bool {
	wk := &s.workers[w]
	for t := range maxTasks {
		if loc := &wk.locals[i][t]; p.mine(&wk.sessions[i], loc, t) && loc.phase != localFinished {
			return true
		}
	}
	return false
}

// mine tells whether loc is an attempt whose result the session still waits for.
func (p *protocol) mine(sess *session, loc *local, t int) bool {
	return loc.phase != localNone && (loc.gen == sess.history.gen || !p.on(resultsHaveGen)) && sess.history.pending(t)
}

// planTurn computes a turn from the session's memory: control messages, then
// the start message, then the other messages by id, then local results; then
// the user's code runs, unless the instance is suspended or not started.
func (p *protocol) planTurn(s *state, w, i int) (u unit, needsCode, some bool) {
	inst, wk := &s.instances[i], &s.workers[w]
	sess := &wk.sessions[i]
	u = p.newUnit(s, w, i, unitTurn)
	u.upTo, u.controlOnly = sess.read, true
	starts := false
	for _, msg := range inst.inbox {
		if !sess.knows(msg) {
			continue
		}
		switch msg.kind {
		case messageSuspend:
			u.status = statusSuspended
			u.consumes++
		case messageResume:
			if u.status == statusSuspended {
				u.status = statusRunning
			}
			u.consumes++
		case messageStart:
			starts = true
		}
	}
	if u.status == statusSuspended || !starts && !u.history.started {
		return u, false, u.consumes > 0
	}
	u.controlOnly = false
	for _, msg := range inst.inbox {
		if sess.knows(msg) && msg.kind == messageStart && p.on(startFirst) {
			u.start(msg)
		}
	}
	for _, msg := range inst.inbox {
		if !sess.knows(msg) || msg.kind.control() {
			continue
		}
		u.consumes++
		switch msg.kind {
		case messageStart:
			if !p.on(startFirst) {
				u.start(msg)
			}
		case messageEvent:
			u.recordEvent(msg.event)
		case messageResult:
			p.recordResult(&u, int(msg.task), msg.gen)
		}
	}
	for t := range maxTasks {
		if loc := &wk.locals[i][t]; loc.phase == localFinished && p.mine(sess, loc, t) && u.history.pending(t) {
			p.recordResult(&u, t, loc.gen)
			u.records.add(t)
		}
	}
	if u.consumes == 0 && u.records == 0 {
		return u, false, false
	}
	u.status = statusRunning
	u.decide(&p.world.programs[i])
	for t := range maxTasks {
		if u.schedules.has(t) && wk.locals[i][t].phase != localNone && !u.records.has(t) {
			u.overflow.add(t)
		}
	}
	return u, true, true
}

// start consumes a start message: a new generation begins, with the events
// that it carries over.
func (u *unit) start(msg message) {
	u.history.started, u.history.gen = true, msg.gen
	for c := range msg.carried {
		u.recordEvent(msg.event + c)
	}
}

func (u *unit) recordEvent(number uint8) {
	if number != u.history.lastEvent+1 {
		u.fault = eventDisorder
	}
	u.history.events++
	u.history.lastEvent = number
}

// recordResult records a result if the task is pending in the generation that
// the result is for; otherwise it is dropped.
func (p *protocol) recordResult(u *unit, t int, gen uint8) {
	if !u.history.pending(t) || gen != u.history.gen && p.on(resultsHaveGen) {
		return
	}
	u.history.tasks[t] = taskDone
	if gen != u.history.gen {
		u.fault = staleResult
	}
}

// decide runs the code and turns what it wants into the unit.
func (u *unit) decide(code *program) {
	d := code.run(&u.history)
	u.schedules, u.ends, u.renews = d.schedules, d.ends, d.renews
	if d.renews {
		u.schedules = 0
		u.carried = u.history.events - 1
		u.history = history{gen: u.history.gen + 1, lastEvent: u.history.lastEvent - u.carried}
	}
}

// planSettling computes a unit that lets go of an instance in the middle of
// its work: results that are not recorded go to the inbox, and whatever else
// only this process knows to be running becomes an available row.
func (p *protocol) planSettling(s *state, w, i int, kind unitKind) unit {
	wk := &s.workers[w]
	sess := &wk.sessions[i]
	u := p.newUnit(s, w, i, kind)
	if kind == unitHandOver || p.on(holdSpills) {
		u.spills = p.unrecorded(s, w, i)
	}
	for t := range maxTasks {
		loc := &wk.locals[i][t]
		hasRow := loc.row
		switch {
		case sess.redispatch.has(t):
			u.tokens[t] = sess.rows[t]
			hasRow = sess.rows[t] != 0
		case !p.mine(sess, loc, t) || u.spills.has(t):
			continue
		}
		if kind == unitHandOver || hasRow && p.on(holdReplacesRows) || !hasRow && p.on(holdQueuesRowless) {
			u.settles.add(t)
		}
	}
	return u
}

// unrecorded returns the tasks whose results wait in the session's mailbox.
func (p *protocol) unrecorded(s *state, w, i int) (ts taskSet) {
	wk := &s.workers[w]
	for t := range maxTasks {
		if loc := &wk.locals[i][t]; loc.phase == localFinished && p.mine(&wk.sessions[i], loc, t) {
			ts.add(t)
		}
	}
	return ts
}
