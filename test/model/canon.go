package model

import "bytes"

// canonical replaces a state by the representative of all states that differ
// from it only in names or in what can no longer have an effect, so that they
// count as one:
//
//   - Workers are alike but for what they hold: they are sorted.
//   - Ids of rows are compared for equality only: rows are sorted and numbered
//     anew. All ids of rows that are gone are one.
//   - Ids of messages are compared with each other: they are numbered anew, in
//     their order.
//   - seq and epoch are compared with the row's, and never go back: what is
//     behind the row's can never equal it again.
//   - A wake-up for a worker without a session that it could reach, a Work call
//     whose row is gone when it returns, a cache entry that is stale or equal to
//     the row, and a timer in a heap whose row is gone have no effect.
//
// A rule that is turned off can take the ground from a point; then that point
// is left out.
func (p *protocol) canonical(s *state) {
	p.forgetIdle(s)
	if p.on(seqNeverBack | discardLater) {
		p.relativeNumbers(s)
	}
	renumberMessages(s)
	sortWorkers(s, p.world.workers)
	renumberJobs(s)
}

// forgetIdle clears what can no longer have an effect.
func (p *protocol) forgetIdle(s *state) {
	for w := range s.workers {
		wk := &s.workers[w]
		for n := range wk.returned {
			if r := &wk.returned[n]; s.job(r.job) == nil {
				*r = returned{}
			}
		}
		for i := range s.instances {
			inst, c := &s.instances[i], &wk.cache[i]
			switch wk.sessions[i].phase {
			case sessionNone, sessionFetched, sessionReload:
				wk.wake[i] = false
			}
			if p.on(seqNeverBack|discardLater) && (c.seq != inst.seq || c.epoch != inst.epoch || c.history == inst.history) {
				*c = cached{}
			}
			for t := range maxTasks {
				if p.on(timerRow) {
					wk.heap[i][t] &= inst.timers[t]
				}
			}
		}
	}
}

// relativeNumbers makes every seq and epoch relative to its row's, which is 1.
// What is behind the row's is 0.
func (p *protocol) relativeNumbers(s *state) {
	for i := range s.instances {
		inst := &s.instances[i]
		relative := func(number *uint8, row uint8) {
			if !inst.status.exists() || *number < row {
				*number = 0
			} else {
				*number -= row - 1
			}
		}
		for w := range s.workers {
			wk := &s.workers[w]
			if sess := &wk.sessions[i]; sess.phase == sessionOpen || sess.phase == sessionUnknown && !p.on(fenceOldLane) {
				next := sess.uncommitted()
				oldest := sess.seq
				if next < sess.inFlight() {
					oldest = sess.units[next].base
				}
				if oldest < inst.seq { // its oldest unit will lose, and take the others with it
					sess.seq = 0
					for k := range sess.inFlight() {
						sess.units[k].base = 0
					}
				}
				relative(&sess.seq, inst.seq)
				relative(&sess.epoch, inst.epoch)
				for k := range sess.inFlight() {
					relative(&sess.units[k].base, inst.seq)
					relative(&sess.units[k].epoch, inst.epoch)
				}
			}
			if c := &wk.cache[i]; c.used {
				relative(&c.seq, inst.seq)
				relative(&c.epoch, inst.epoch)
			}
			for t := range maxTasks {
				relative(&wk.locals[i][t].epoch, inst.epoch)
			}
			if int(wk.call.inst) == i {
				relative(&wk.call.epoch, inst.epoch)
			}
		}
		if l := &s.lostBatch; l.on && int(l.inst) == i {
			relative(&l.unit.base, inst.seq)
			relative(&l.unit.epoch, inst.epoch)
		}
		if inst.status.exists() {
			inst.seq, inst.epoch = 1, 1
		}
	}
}

// renumberMessages numbers the messages of each inbox from 1.
func renumberMessages(s *state) {
	for i := range s.instances {
		inst := &s.instances[i]
		upTo := func(id *uint8) {
			count := uint8(0)
			for _, msg := range inst.inbox {
				if msg.kind != noMessage && msg.id <= *id {
					count++
				}
			}
			*id = count
		}
		for w := range s.workers {
			sess := &s.workers[w].sessions[i]
			upTo(&sess.read)
			for k := range sess.inFlight() {
				upTo(&sess.units[k].upTo)
				upTo(&sess.units[k].late)
			}

		}
		if l := &s.lostBatch; l.on && int(l.inst) == i {
			upTo(&l.unit.upTo)
		}
		if f := &s.faulty.stray; f.on && int(f.inst) == i {
			upTo(&f.unit.upTo)
		}
		inst.lastID = 0
		for k := range inst.inbox {
			if inst.inbox[k].kind != noMessage {
				inst.lastID++
				inst.inbox[k].id = inst.lastID
			}
		}
	}
}

// sortWorkers orders the workers by what they hold.
func sortWorkers(s *state, count int) {
	if count < 2 {
		return
	}
	var keys [maxWorkers]workerKey
	order := [maxWorkers]int{0, 1, 2}
	for w := range count {
		keys[w] = keyOf(s, w)
	}
	sorted := true
	for a := 1; a < count; a++ {
		for b := a; b > 0 && bytes.Compare(bytesOf(&keys[order[b]]), bytesOf(&keys[order[b-1]])) > 0; b-- {
			order[b], order[b-1] = order[b-1], order[b]
			sorted = false
		}
	}
	if sorted {
		return
	}
	var place [maxWorkers + 1]uint8 // new number by old number
	workers := s.workers
	for w, old := range order {
		s.workers[w] = workers[old]
		place[old+1] = uint8(w + 1)
	}
	for i := range s.instances {
		s.instances[i].owner = place[s.instances[i].owner]
	}
	for k := range s.jobs {
		j := &s.jobs[k]
		j.by = place[j.by]
		tried := uint8(0)
		for w := range maxWorkers {
			if j.tried&(1<<w) != 0 {
				tried |= 1 << (place[w+1] - 1)
			}
		}
		j.tried = tried
	}
	s.lostBatch.worker = renamed(&place, s.lostBatch.on, s.lostBatch.worker)
	s.lostCall.worker = renamed(&place, s.lostCall.on, s.lostCall.worker)
	f := &s.faulty
	f.oldFlags.owner = place[f.oldFlags.owner]
	f.renewal.worker = renamed(&place, f.renewal.on, f.renewal.worker)
	f.stray.worker = renamed(&place, f.stray.on, f.stray.worker)
}

func renamed(place *[maxWorkers + 1]uint8, on bool, w uint8) uint8 {
	if !on {
		return 0
	}
	return place[w+1] - 1
}

// workerKey is what distinguishes a worker, without names of workers and rows.
type workerKey struct {
	worker worker // with codes in the place of ids
	owns   [maxInstances]bool
	lost   [2]bool
	rows   [maxJobs]uint8 // codes of the rows that run in its name or that it tried, sorted
}

func keyOf(s *state, w int) workerKey {
	key := workerKey{worker: s.workers[w]}
	for i := range s.instances {
		key.owns[i] = int(s.instances[i].owner) == w+1
	}
	key.lost[0] = s.lostBatch.on && int(s.lostBatch.worker) == w
	key.lost[1] = s.lostCall.on && int(s.lostCall.worker) == w
	for k := range s.jobs {
		j := &s.jobs[k]
		if j.id == 0 || int(j.by) != w+1 && j.tried&(1<<w) == 0 {
			continue
		}
		code := s.code(j, w)
		for slot := range key.rows {
			if code > key.rows[slot] {
				code, key.rows[slot] = key.rows[slot], code
			}
		}
	}
	key.worker.eachJob(func(id *uint8) {
		if j := s.job(*id); j != nil {
			*id = s.code(j, w)
		} else if *id != 0 {
			*id = gone
		}
	})
	return key
}

// code describes a row in the eyes of one worker.
func (s *state) code(j *job, w int) uint8 {
	return uint8(j.kind)<<6 | j.inst<<5 | j.task&1<<4 | (uint8(j.state)-1)<<2 |
		b2i(s.instances[j.inst].turnJob == j.id)<<1 | b2i(int(j.by) == w+1)
}

func b2i(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// eachJob visits every reference to a row in a worker's memory.
func (wk *worker) eachJob(visit func(*uint8)) {
	for i := range wk.sessions {
		sess := &wk.sessions[i]
		if sess.phase != sessionNone {
			visit(&sess.job)
			for t := range sess.rows {
				visit(&sess.rows[t])
			}
			for n := range sess.inFlight() {
				sess.units[n].eachJob(visit)
			}
		}
		for t := range wk.locals[i] {
			visit(&wk.locals[i][t].token)
		}
	}
	visit(&wk.call.job)
	for n := range wk.returned {
		visit(&wk.returned[n].job)
	}
}

func (u *unit) eachJob(visit func(*uint8)) {
	visit(&u.job)
	for t := range u.tokens {
		visit(&u.tokens[t])
	}
}

// renumberJobs sorts the rows by what they say and numbers them from 1.
func renumberJobs(s *state) {
	less := func(a, b *job) bool {
		if a.id == 0 || b.id == 0 {
			return a.id != 0 && b.id == 0
		}
		return a.order() < b.order()
	}
	for a := 1; a < maxJobs && s.jobs[a].id != 0; a++ {
		for b := a; b > 0 && less(&s.jobs[b], &s.jobs[b-1]); b-- {
			s.jobs[b], s.jobs[b-1] = s.jobs[b-1], s.jobs[b]
		}
	}
	var name [256]uint8
	for k := range s.jobs {
		if id := s.jobs[k].id; id != 0 {
			name[id] = uint8(k + 1)
			s.jobs[k].id = uint8(k + 1)
			s.lastJob = uint8(k + 1)
		}
	}
	if s.jobs[0].id == 0 {
		s.lastJob = 0
	}
	rename := func(id *uint8) {
		if *id == 0 {
			return
		}
		if *id = name[*id]; *id == 0 {
			*id = gone
		}
	}
	for i := range s.instances {
		rename(&s.instances[i].turnJob)
	}
	for w := range s.workers {
		wk := &s.workers[w]
		wk.eachJob(rename)
		for a := 1; a < maxReturned; a++ {
			for b := a; b > 0 && wk.returned[b].job > wk.returned[b-1].job; b-- {
				wk.returned[b], wk.returned[b-1] = wk.returned[b-1], wk.returned[b]
			}
		}
	}
	if s.lostBatch.on {
		s.lostBatch.unit.eachJob(rename)
	}
	if s.lostCall.on {
		rename(&s.lostCall.call.job)
	}
	rename(&s.faulty.oldFlags.turnJob)
	if s.faulty.stray.on {
		s.faulty.stray.unit.eachJob(rename)
	}
}

// order is a number by which rows are sorted.
func (j *job) order() uint64 {
	return uint64(j.kind)<<48 | uint64(j.inst)<<40 | uint64(j.task)<<32 | uint64(j.gen)<<24 |
		uint64(j.state)<<16 | uint64(j.by)<<8 | uint64(j.tried)
}
