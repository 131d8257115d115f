package model

import "fmt"

// violation is something that must never happen.
type violation uint8

const (
	safe violation = iota
	staleBase
	staleResult
	doubleResult
	eventDisorder
	eventLost
	timerTwice
	doubleWrite
	revived
	rowsOfPurged
	rowsOfEnded
	unclaimedEffect
	deafOwner
	idleUnclaimed
	missingMessage
	missingJob
	ownerWithoutJob
	twoRows
	numbersGrow
	overflow
)

var violationTexts = [...]string{
	staleBase:       "a unit computed from one history was applied to another (I1)",
	staleResult:     "a result of an older generation was recorded (I2)",
	doubleResult:    "two results of one task were delivered under one generation (I2)",
	eventDisorder:   "an event was recorded or delivered twice, or out of order (I3)",
	eventLost:       "the events accepted are not those recorded, carried and waiting (I3)",
	timerTwice:      "a timer fired twice",
	doubleWrite:     "a TxHandler's writes were committed twice (I2)",
	revived:         "a terminated instance came back to life (I8)",
	rowsOfPurged:    "rows are left of a purged instance (I7)",
	rowsOfEnded:     "rows are left of an instance that has ended (I7)",
	unclaimedEffect: "a local task was started that no commit under this owner has scheduled (I6)",
	deafOwner:       "an owner has an unread deliverable message, and no wake-up is on its way (I4)",
	idleUnclaimed:   "a session that is not the owner waits for local work, deaf to messages (I4)",
	missingMessage:  "a consumed message was not in the inbox (assertion of B5)",
	missingJob:      "turn_job names a row that does not exist (I5)",
	ownerWithoutJob: "an owner is set, and no turn job (I5)",
	twoRows:         "a second River row for one task (unique index)",
	numbersGrow:     "seq or epoch grow without bound",
	overflow:        "the model's bounds are too small",
}

func (v violation) String() string { return violationTexts[v] }

// violate records the first violation that a step commits.
func (s *state) violate(v violation) {
	if s.violation == safe {
		s.violation = v
	}
}

// violation looks for what must not be true in any state.
func (p *protocol) violation(s *state) string {
	v := s.violation
	for i := range s.instances {
		if v == safe && s.instances[i].status != statusAbsent {
			v = p.inspect(s, i)
		}
	}
	return v.String()
}

func (p *protocol) inspect(s *state, i int) violation {
	inst := &s.instances[i]
	rows := inst.inbox[0].kind != noMessage || inst.timers != [maxTasks]genSet{} || inst.retries != [maxTasks]genSet{}
	turns := false
	for _, j := range s.jobs {
		rows = rows || j.kind == jobTask && int(j.inst) == i
		turns = turns || j.kind == jobTurn && int(j.inst) == i
	}
	switch {
	case inst.sealed && inst.status != statusTerminated && inst.status != statusPurged:
		return revived
	case inst.status == statusPurged && (rows || turns):
		return rowsOfPurged
	case inst.status.ended() && (rows || inst.owner != 0 || inst.turnJob != 0):
		return rowsOfEnded
	case inst.turnJob != 0 && s.job(inst.turnJob) == nil:
		return missingJob
	case inst.status.live() && inst.owner != 0 && inst.turnJob == 0 && !p.world.localStart:
		return ownerWithoutJob
	case inst.seq > 40 || inst.epoch > 40:
		return numbersGrow
	}
	if inst.status.live() {
		waiting := uint8(0)
		for _, msg := range inst.inbox {
			switch msg.kind {
			case messageEvent:
				waiting++
			case messageStart:
				waiting += msg.carried
			}
		}
		if inst.history.lastEvent+waiting != inst.accepted {
			return eventLost
		}
	}
	for w := range s.workers {
		wk := &s.workers[w]
		sess := &wk.sessions[i]
		if !wk.up || !wk.alive || sess.phase != sessionOpen || sess.epoch != inst.epoch {
			continue
		}
		if sess.claimed && int(inst.owner) == w+1 && inst.deliverable(sess.reads()) && !wk.wake[i] {
			return deafOwner
		}
		if !sess.claimed && p.waitsForLocal(s, w, i) {
			return idleUnclaimed
		}
	}
	return safe
}

// waitsForLocal tells whether the session has nothing to submit, and waits for
// a local task.
func (p *protocol) waitsForLocal(s *state, w, i int) bool {
	if !p.isBusy(s, w, i) || s.workers[w].sessions[i].inFlight() > 0 {
		return false
	}
	idle := true
	p.planUnits(s, w, i, func(kind stepKind, _ unit) { idle = idle && kind != progress })
	return idle
}

// rest tells whether the system may stay as it is for ever: nothing is queued,
// owned, stranded or leaked, and every instance has ended, is suspended, waits
// for something that only a user can send, or is held because nobody's code
// fits.
func (p *protocol) rest(s *state) string {
	for _, j := range s.jobs {
		if j.id != 0 && !p.isHeld(s, j) {
			return fmt.Sprintf("a River row is left (%s of i%d)", jobNames[j.kind], j.inst)
		}
	}
	if s.faulty.oldFlags.on || s.retriedRaise.first || s.retriedRaise.second || s.userTx.open {
		return "a sender is stuck"
	}
	if s.outbox[0].used {
		return "an event is stranded in the outbox"
	}
	for i := range s.instances {
		if why := p.instanceRests(s, i); why != "" {
			return why
		}
	}
	return ""
}

// isHeld tells whether a row is a turn that is held while no worker's code fits.
func (p *protocol) isHeld(s *state, j job) bool {
	if j.kind != jobTurn || j.state != jobAvailable || s.instances[j.inst].turnJob != j.id {
		return false
	}
	tried := false
	for w := range s.workers {
		if !s.workers[w].up {
			continue
		}
		if !s.workers[w].unfit || j.tried&(1<<w) == 0 {
			return false
		}
		tried = true
	}
	return tried
}

func (p *protocol) instanceRests(s *state, i int) string {
	inst := &s.instances[i]
	if !inst.status.live() {
		return ""
	}
	if inst.owner != 0 {
		return "owner is set, and nobody works on the instance"
	}
	if inst.turnJob != 0 {
		return "" // held
	}
	if inst.deliverable(0) {
		return "a message is stranded in the inbox"
	}
	if inst.status == statusSuspended {
		return ""
	}
	waits := p.world.programs[i].waits(&inst.history)
	for t := range maxTasks {
		if !inst.history.pending(t) {
			continue
		}
		child := &s.instances[1]
		if p.kindOf(i, inst.history.gen, t) != taskChild || !child.status.live() || child.parent != inst.gen+1 {
			return "a scheduled task never gets a result"
		}
		waits = true
	}
	if !waits {
		return "an instance neither ends nor waits"
	}
	return ""
}
