package model

// protocol is the transition system of a world, with some rules turned off.
type protocol struct {
	world *world
	off   rule

	brancher brancher // reused
}

var _ system[state] = (*protocol)(nil)

func (p *protocol) on(r rule) bool { return p.off&r == 0 }

func (p *protocol) kindOf(i int, gen uint8, t int) taskKind { return p.world.programs[i].tasks[gen][t] }

// brancher collects the steps that are possible in a state.
type brancher struct {
	p      *protocol
	from   *state
	target state
	visit  func(label, *state)
	what   string // for the labels of the next steps
}

// step is one step: an atomic transaction, or something a process does in memory.
func (b *brancher) step(kind stepKind, text string, w, i int, apply func(*state)) {
	b.target = *b.from
	apply(&b.target)
	b.visit(label{kind: kind, text: text, worker: w, instance: i, what: b.what}, &b.target)
}

// next visits every state that one step leads to.
func (p *protocol) next(from *state, visit func(label, *state)) {
	b := &p.brancher
	b.p, b.from, b.visit = p, from, visit
	for w := range p.world.workers {
		if !from.workers[w].up {
			continue
		}
		p.fetchSteps(b, w)
		for i := range maxInstances {
			p.sessionSteps(b, w, i)
			p.localSteps(b, w, i)
			p.timerSteps(b, w, i)
			p.unitSteps(b, w, i)
		}
		p.batchStep(b, w)
		p.callSteps(b, w)
		p.leaveSteps(b, w)
		p.faultSteps(b, w)
	}
	p.reaperSteps(b)
	p.lostSteps(b)
	p.raiseSteps(b)
	p.controlSteps(b)
	if p.off != 0 {
		p.faultySteps(b)
	}
}
