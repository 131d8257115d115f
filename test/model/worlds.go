package model

import (
	"fmt"
	"slices"
	"strings"
)

// world is a bounded world in which the protocol must hold.
type world struct {
	name  string
	large bool // too large for go test: explored in the full set only

	workers  int
	unfit    int // the code of so many of them does not match the history
	inFlight int // units of one session in flight: 1 (also if 0) or 2

	programs  [maxInstances]program
	second    bool // instance 1 is started on its own; otherwise it is the child of instance 0
	operateOn int  // the instance that users and operators act on

	timers       bool // workers look for due timers
	localStart   bool // instance 0 is started by a worker that owns it from the beginning
	keepsOldRows bool // continue-as-new leaves running rows of the old generation, which is harder
	promotes     bool // a local task may be promoted
	exports      bool // a worker has one slot for local tasks, and may export queued ones
	slowCalls    bool // time passes between River's fetch and its call of Work

	budget budget
}

// explore explores the world, without the given rules.
func (w *world) explore(off rule, maxStates int) result {
	return explore(&protocol{world: w, off: off}, maxStates)
}

// initial is the state in which a world begins.
func (p *protocol) initial() state {
	s := state{budget: p.world.budget}
	for w := range p.world.workers - int(s.budget.joins) {
		s.workers[w] = worker{up: true, alive: true, unfit: w < p.world.unfit}
	}
	p.newInstance(&s, 0, 0)
	if p.world.second {
		p.newInstance(&s, 1, 0)
	}
	if p.world.localStart {
		inst := &s.instances[0]
		s.deleteJob(inst.turnJob)
		inst.turnJob, inst.owner = 0, 1
		s.workers[0].sessions[0] = session{
			phase: sessionOpen, seq: inst.seq, epoch: inst.epoch, status: inst.status, read: 1, claimed: true,
		}
	}
	return s
}

// tasks makes a program that runs the given tasks in each generation.
func tasks(kinds ...taskKind) (code program) {
	for gen := range code.tasks {
		copy(code.tasks[gen][:], kinds)
	}
	return code
}

// awaits makes each generation wait for so many events.
func (code program) awaits(events uint8) program {
	for gen := range code.events {
		code.events[gen] = events
	}
	return code
}

// renewing makes the first generation continue as new at the first event; the
// later ones wait for so many.
func (code program) renewing(events uint8) program {
	code = code.awaits(events)
	code.renews[0] = true
	return code
}

// failing makes the first generation fail when task 0 is done.
func (code program) failing() program {
	code.fails[0] = true
	return code
}

// on gives each instance its program.
func on(programs ...program) (all [maxInstances]program) {
	copy(all[:], programs)
	return all
}

// times is a number of events for instance 0; onChild for instance 1.
func times(n uint8) [maxInstances]uint8   { return [maxInstances]uint8{n} }
func onChild(n uint8) [maxInstances]uint8 { return [maxInstances]uint8{0, n} }

// bounds describes a world in a few words.
func (w *world) bounds() string {
	var parts []string
	for i, code := range w.programs {
		if i == 0 || w.second || slices.Contains(w.programs[0].tasks[0][:], taskChild) {
			parts = append(parts, fmt.Sprintf("i%d:%s", i, code.describe()))
		}
	}
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	flag := func(on bool, what string) {
		if on {
			parts = append(parts, what)
		}
	}
	b := w.budget
	add(w.workers, "workers")
	add(w.unfit, "of them unfit")
	flag(w.inFlight > 1, "2 units in flight")
	flag(w.localStart, "local start")
	flag(w.promotes, "promotion")
	flag(w.exports, "one slot and export")
	flag(w.slowCalls, "slow Work calls")
	flag(w.keepsOldRows, "old rows stay")
	add(int(b.raises[0]+b.raises[1]), "raise")
	add(int(b.txRaises[0]+b.txRaises[1]), "raise in a transaction")
	add(int(b.unsureRaises), "raise of unknown outcome")
	add(int(b.failures), "failed attempt")
	add(int(b.hurries), "early retry")
	add(int(b.secondAttempts), "second attempt")
	add(int(b.panics), "panic")
	add(int(b.kills), "kill")
	add(int(b.deaths), "declared dead")
	add(int(b.losses), "lost connection")
	add(int(b.drains), "drain")
	add(int(b.joins), "join")
	add(int(b.terminates), "terminate")
	add(int(b.suspends), "suspend")
	add(int(b.resumes), "resume")
	add(int(b.rewinds), "rewind")
	add(int(b.restarts), "restart")
	add(int(b.purges), "purge")
	return strings.Join(parts, ", ")
}

// describe describes a program in a few words.
func (code *program) describe() string {
	var text strings.Builder
	for _, kind := range code.tasks[0] {
		if kind != noTask {
			text.WriteString(" " + kindNames[kind])
		}
	}
	switch {
	case code.renews[0]:
		fmt.Fprintf(&text, " renews, then awaits %d", code.events[1])
	case code.events[0] > 0:
		fmt.Fprintf(&text, " awaits %d", code.events[0])
	}
	if code.fails[0] {
		text.WriteString(" fails once")
	}
	if text.Len() == 0 {
		return " ends at once"
	}
	return text.String()
}
