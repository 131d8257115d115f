package model

// Bounds of the state. A world that would need more is found to overflow.
const (
	maxInstances = 2
	maxWorkers   = 3
	maxTasks     = 2 // tasks of one generation
	maxGens      = 4
	maxJobs      = 10 // river_job rows
	maxInbox     = 8  // inbox rows of one instance
	maxOutbox    = 3
	maxUnits     = 2 // units of one session in flight
	maxReturned  = 4 // Work calls of one worker that have returned
)

// state is one state of the model: all rows, and the memory of all processes.
type state struct {
	instances [maxInstances]instance
	jobs      [maxJobs]job // by id, without gaps
	lastJob   uint8        // the sequence of river_job
	workers   [maxWorkers]worker
	outbox    [maxOutbox]outboxRow // by id, without gaps

	lostBatch    lostBatch
	lostCall     lostCall
	retriedRaise retriedRaise
	userTx       userTx
	faulty       faulty
	budget       budget

	writes [maxInstances][maxGens][maxTasks]uint8 // a TxHandler's own writes, committed
	fired  [maxInstances][maxGens][maxTasks]uint8 // timers delivered

	violation violation // what a step did that must never happen
}

// budget bounds what users, operators and misfortune may do.
type budget struct {
	raises   [maxInstances]uint8
	txRaises [maxInstances]uint8

	kills, deaths, losses, drains       uint8
	failures, panics                    uint8
	terminates, suspends, resumes       uint8
	rewinds, restarts, purges           uint8
	unsureRaises, joins, secondAttempts uint8
	hurries                             uint8
}

// lostBatch is a batch whose connection broke: the server may still commit it.
type lostBatch struct {
	on     bool
	worker uint8
	inst   uint8
	unit   unit
}

// lostCall is the same for the unit that ends a River job.
type lostCall struct {
	on          bool
	throughLane bool
	worker      uint8
	call        workCall
}

// retriedRaise is a raise whose caller does not know the outcome and tries again.
type retriedRaise struct {
	first, second bool // still to come
	event         uint8
}

// userTx is a transaction of a user's in which an event was raised.
type userTx struct {
	open bool
	inst uint8
}

// faulty is what exists only while a rule is turned off.
type faulty struct {
	oldFlags struct { // lockThenTest: a sender that read owner and turn_job before it locked the row
		on             bool
		inst           uint8
		owner, turnJob uint8
	}
	renewal struct { // renewInOneCommit: a start message still to be inserted
		on           bool
		worker, inst uint8
		gen, carried uint8
	}
	stray struct { // discardLater: a unit of a session that was evicted
		on           bool
		worker, inst uint8
		unit         unit
	}
}

func (s *state) job(id uint8) *job {
	if id == 0 || id == gone {
		return nil
	}
	for k := range s.jobs {
		if s.jobs[k].id == id {
			return &s.jobs[k]
		}
	}
	return nil
}

// deleteJob deletes a row by id and tells whether it was there.
func (s *state) deleteJob(id uint8) bool {
	j := s.job(id)
	if j == nil {
		return false
	}
	for k := range s.jobs {
		if s.jobs[k].id == id {
			copy(s.jobs[k:], s.jobs[k+1:])
			s.jobs[maxJobs-1] = job{}
			break
		}
	}
	return true
}

// addJob inserts a row and returns its new id.
func (s *state) addJob(j job) uint8 {
	if j.kind == jobTask && s.taskRow(int(j.inst), j.gen, int(j.task)) != nil {
		s.violate(twoRows) // River's unique index forbids it
	}
	s.lastJob++
	j.id = s.lastJob
	for k := range s.jobs {
		if s.jobs[k].id == 0 {
			s.jobs[k] = j
			return j.id
		}
	}
	s.violate(overflow)
	return j.id
}

// taskRow finds the row of a task by its key.
func (s *state) taskRow(i int, gen uint8, t int) *job {
	for k := range s.jobs {
		if j := &s.jobs[k]; j.kind == jobTask && int(j.inst) == i && j.gen == gen && int(j.task) == t {
			return j
		}
	}
	return nil
}

// rowIsMine tells whether the row of a task runs in the name of worker w.
func (s *state) rowIsMine(w, i int, gen uint8, t int) bool {
	row := s.taskRow(i, gen, t)
	return row != nil && row.state == jobRunning && int(row.by) == w+1
}

func (s *state) deleteTaskRow(i int, gen uint8, t int) {
	if row := s.taskRow(i, gen, t); row != nil {
		s.deleteJob(row.id)
	}
}

// dropTaskRows deletes the task rows of an instance: waiting ones, and running
// ones too, so that whoever runs one finds no token and drops the result.
func (s *state) dropTaskRows(i int, alsoRunning bool) {
	for k := 0; k < maxJobs; {
		j := s.jobs[k]
		if j.kind == jobTask && int(j.inst) == i && (alsoRunning || j.state != jobRunning) {
			s.deleteJob(j.id)
			continue
		}
		k++
	}
}

// giveBack lets a Work call return without our commit having deleted its row.
func (s *state) giveBack(w int, r returned) {
	for n := range s.workers[w].returned {
		if slot := &s.workers[w].returned[n]; slot.job == 0 {
			*slot = r
			return
		}
	}
	s.violate(overflow)
}

// notify sends a wake-up for an instance to a worker.
func (s *state) notify(owner uint8, i int) {
	if owner != 0 && s.workers[owner-1].up {
		s.workers[owner-1].wake[i] = true
	}
}

// stir lets workers whose code does not fit try a held instance once more: it
// has changed.
func (s *state) stir(i int) {
	if row := s.job(s.instances[i].turnJob); row != nil {
		row.tried = 0
	}
}
