package model

// timerSteps: a worker reads a timers row into its heap, and fires what is
// there. What it holds may be stale, or held by others too.
func (p *protocol) timerSteps(b *brancher, w, i int) {
	wk, inst := &b.from.workers[w], &b.from.instances[i]
	for t := range maxTasks {
		if p.world.timers && inst.timers[t]&^wk.heap[i][t] != 0 {
			b.step(progress, "{w} reads timers of {i}", w, i, func(s *state) {
				s.workers[w].heap[i][t] |= s.instances[i].timers[t]
			})
		}
		if p.world.timers && inst.retries[t]&^wk.retries[i][t] != 0 {
			b.step(progress, "{w} reads retry timers of {i}", w, i, func(s *state) {
				s.workers[w].retries[i][t] |= s.instances[i].retries[t]
			})
		}
		for gen := range uint8(maxGens) {
			if wk.heap[i][t].has(gen) {
				b.step(progress, "{w} fires a timer of {i}", w, i, func(s *state) { p.fire(s, w, i, t, gen) })
			}
			if wk.retries[i][t].has(gen) {
				b.step(progress, "{w} fires a retry timer of {i}", w, i, func(s *state) { p.fireRetry(s, w, i, t, gen) })
			}
		}
	}
}

// fire delivers a timer, if its row is still there to be deleted.
func (p *protocol) fire(s *state, w, i, t int, gen uint8) {
	inst := &s.instances[i]
	s.workers[w].heap[i][t].remove(gen)
	if !inst.timers[t].has(gen) && p.on(timerRow) {
		return
	}
	inst.timers[t].remove(gen)
	if p.send(s, i, message{kind: messageResult, gen: gen, task: uint8(t)}) {
		s.fired[i][gen][t]++
		if s.fired[i][gen][t] > 1 {
			s.violate(timerTwice)
		}
	}
}

// fireRetry makes a parked row available, if the timer's row is still there to
// be deleted.
func (p *protocol) fireRetry(s *state, w, i, t int, gen uint8) {
	inst := &s.instances[i]
	s.workers[w].retries[i][t].remove(gen)
	if !inst.retries[t].has(gen) {
		return
	}
	inst.retries[t].remove(gen)
	if row := s.taskRow(i, gen, t); row != nil && (row.state == jobParked || !p.on(retryIfParked)) {
		row.state, row.by = jobAvailable, 0
	}
}
