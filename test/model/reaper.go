package model

// reaperSteps: dead workers are fenced, and rows that run in the name of a
// client that is not alive are swept, whenever they appear.
func (p *protocol) reaperSteps(b *brancher) {
	s := b.from
	for w := range p.world.workers {
		if !s.workers[w].up && s.workers[w].alive {
			b.step(progress, "a reaper fences dead {w}", w, 0, func(s *state) { p.fence(s, w) })
		}
	}
	for _, j := range s.jobs {
		if p.on(sweepForEver) && j.state == jobRunning && j.by != 0 && !s.workers[j.by-1].alive {
			b.step(progress, "a reaper sweeps a job of {i} that runs in the name of {w}", int(j.by)-1, int(j.inst), func(s *state) {
				p.sweep(s, j)
			})
		}
	}
	for i := range s.instances {
		inst := &s.instances[i]
		if inst.status.live() && inst.owner != 0 && inst.turnJob == 0 && !s.workers[inst.owner-1].alive { // the ledger of local starts
			b.step(progress, "a reaper queues {i}, which {w} owns without a job", int(inst.owner)-1, i, func(s *state) {
				s.instances[i].owner = 0
				s.instances[i].epoch++
				p.queueTurn(s, i)
			})
		}
	}
}

// fence is the death of a worker: from here on its lanes are shut.
func (p *protocol) fence(s *state, w int) {
	s.workers[w].alive = false
	if p.on(sweepForEver) {
		return
	}
	for _, j := range s.jobs {
		if j.state == jobRunning && int(j.by) == w+1 {
			p.sweep(s, j)
		}
	}
}

// sweep replaces a row that runs in the name of a dead client: what entitles
// nobody any more is just deleted.
func (p *protocol) sweep(s *state, j job) {
	inst := &s.instances[j.inst]
	fresh := job{kind: j.kind, inst: j.inst, task: j.task, gen: j.gen, state: jobAvailable}
	if !p.on(newRowID) {
		if j.kind == jobTurn && inst.status.live() {
			p.bumpSwept(inst, j)
			if inst.owner == j.by {
				inst.owner = 0
			}
		}
		row := s.job(j.id)
		row.state, row.by = jobAvailable, 0
		return
	}
	s.deleteJob(j.id)
	switch j.kind {
	case jobTurn:
		if inst.status.live() && inst.turnJob == j.id {
			p.bumpSwept(inst, j)
			inst.owner, inst.turnJob = 0, s.addJob(fresh)
		}
	case jobTask:
		if inst.status.live() && inst.gen == j.gen {
			s.addJob(fresh)
		}
	case jobDeliver:
		if p.on(sweepDeliveries) {
			s.addJob(fresh)
		}
	}
}

func (p *protocol) bumpSwept(inst *instance, j job) {
	if p.on(sweepBumpsEpoch) && (p.on(sweepBumpsAlways) || inst.owner == j.by) {
		inst.epoch++
	}
}
