package model

// controlSteps are the operations of users and operators on one instance of
// the world, and processes that join.
func (p *protocol) controlSteps(b *brancher) {
	i, s := p.world.operateOn, b.from
	inst := &s.instances[i]
	control := func(budget uint8, possible bool, text string, apply func(*state)) {
		if budget > 0 && possible {
			b.step(environment, text, 0, i, apply)
		}
	}
	askedToSuspend := inst.status == statusSuspended
	for _, msg := range inst.inbox {
		askedToSuspend = askedToSuspend || msg.kind == messageSuspend
	}
	live, left := inst.status.live(), s.budget
	control(left.terminates, live, "{i} is terminated", func(s *state) { p.terminate(s, i) })
	control(left.suspends, live && inst.status != statusSuspended, "{i} is suspended", func(s *state) { p.suspend(s, i) })
	control(left.resumes, live && askedToSuspend, "{i} is resumed", func(s *state) { p.resume(s, i) })
	control(left.rewinds, inst.status == statusFailed, "{i} is rewound", func(s *state) { p.rewind(s, i) })
	control(left.restarts, inst.status.ended(), "{i} is restarted", func(s *state) { p.restart(s, i) })
	control(left.purges, inst.status.ended(), "{i} is purged", func(s *state) { p.purge(s, i) })
	for _, j := range s.jobs {
		control(left.hurries, j.state == jobParked, "a parked task of {i} is made available at once", func(s *state) {
			s.budget.hurries--
			s.job(j.id).state = jobAvailable
		})
	}
	if left.joins > 0 {
		w := p.world.workers - int(left.joins)
		b.step(environment, "{w} joins, with code that fits", w, 0, func(s *state) {
			s.budget.joins--
			s.workers[w] = worker{up: true, alive: true}
		})
	}
}

// terminate (4.7) ends an instance without regard to its session, which loses
// its next commit.
func (p *protocol) terminate(s *state, i int) {
	s.budget.terminates--
	inst := &s.instances[i]
	inst.sealed = true
	if !p.on(terminateBumps) {
		inst.status = statusTerminated
		return
	}
	owner := inst.owner
	inst.seq++
	inst.epoch++
	if p.reportToParent(s, i) {
		p.wake(s, 0)
	}
	p.dropInstanceRows(s, i)
	s.deleteJob(inst.turnJob)
	inst.status, inst.owner, inst.turnJob = statusTerminated, 0, 0
	s.notify(owner, i)
}

// suspend and resume (4.8) commit directly if no session owns the instance, and
// go by control message if one does.
func (p *protocol) suspend(s *state, i int) {
	s.budget.suspends--
	inst := &s.instances[i]
	if inst.owner != 0 {
		p.send(s, i, message{kind: messageSuspend})
		return
	}
	inst.status = statusSuspended
	inst.seq++
	s.stir(i)
}

func (p *protocol) resume(s *state, i int) {
	s.budget.resumes--
	inst := &s.instances[i]
	if inst.owner != 0 || inst.status != statusSuspended {
		p.send(s, i, message{kind: messageResume})
		return
	}
	inst.status = statusRunning
	inst.seq++
	s.stir(i)
	p.wake(s, i)
}

// rewind (4.11) undoes the failure: task 0 is scheduled again, and what is
// still pending is linked to the new generation.
func (p *protocol) rewind(s *state, i int) {
	s.budget.rewinds--
	inst := &s.instances[i]
	old := inst.gen
	inst.gen++
	inst.epoch++
	inst.seq++
	inst.status = statusRunning
	inst.history.gen = inst.gen
	inst.history.tasks[0] = taskUnknown
	for t := range maxTasks {
		if !inst.history.pending(t) {
			continue
		}
		switch p.kindOf(i, old, t) {
		case taskTimer:
			inst.timers[t].add(inst.gen)
		case taskChild:
			switch child := &s.instances[1]; {
			case !p.on(rewindRelinks):
			case child.status.live():
				child.parent = inst.gen + 1
			default:
				p.insert(s, i, message{kind: messageResult, gen: inst.gen, task: uint8(t)})
			}
		default:
			s.addJob(job{kind: jobTask, inst: uint8(i), task: uint8(t), gen: inst.gen, state: jobAvailable})
		}
	}
	p.send(s, i, message{kind: messageRewound})
}

// restart (4.10) begins a new generation of an instance that has ended.
func (p *protocol) restart(s *state, i int) {
	s.budget.restarts--
	inst := &s.instances[i]
	inst.gen++
	inst.epoch++ // fences by itself: seq stays, so that histories have no gap
	if !p.on(seqNeverBack) {
		inst.seq, inst.epoch = 1, inst.epoch-1
	}
	inst.status, inst.parent, inst.sealed = statusPending, 0, false
	inst.history = history{gen: inst.gen, lastEvent: inst.accepted}
	p.send(s, i, message{kind: messageStart, gen: inst.gen})
}

// purge (4.17) deletes an instance that has ended, and all that belongs to it.
func (p *protocol) purge(s *state, i int) {
	s.budget.purges--
	inst := &s.instances[i]
	p.dropInstanceRows(s, i)
	for k := 0; k < maxJobs; {
		if j := s.jobs[k]; j.kind == jobTurn && int(j.inst) == i {
			s.deleteJob(j.id)
			continue
		}
		k++
	}
	*inst = instance{status: statusPurged, accepted: inst.accepted, raised: inst.raised, moved: inst.moved, sealed: inst.sealed}
}
