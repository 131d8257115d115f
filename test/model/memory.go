package model

// worker is a process. A worker that was declared dead, but lives, is up and
// not alive.
type worker struct {
	up        bool // the process runs
	alive     bool // the workers row says so: its lanes are open
	draining  bool
	lateFetch bool // it fetched a job after it was fenced; that happens once
	unfit     bool // its code does not match the history

	sessions [maxInstances]session
	locals   [maxInstances][maxTasks]local
	wake     [maxInstances]bool // a wake-up is on its way
	call     workCall
	returned [maxReturned]returned          // in no order
	heap     [maxInstances][maxTasks]genSet // timers known
	retries  [maxInstances][maxTasks]genSet // retry timers known
	cache    [maxInstances]cached
}

// sessionPhase tells how far a session has come.
type sessionPhase uint8

const (
	sessionNone    sessionPhase = iota
	sessionFetched              // River has handed over the turn job, nothing is read yet
	sessionOpen
	sessionReload  // a unit lost, or its outcome was unknown and the lane has been taken over
	sessionUnknown // the connection was lost in a commit
)

// session is what a worker holds in memory of an instance.
type session struct {
	phase      sessionPhase
	job        uint8 // the turn job whose Work call it lives in
	seq, epoch uint8 // seq as it will be when all units in flight have committed
	status     status
	history    history
	read       uint8           // id of the last message read
	claimed    bool            // a commit made this worker the owner, or a unit in flight will
	redispatch taskSet         // found at load: scheduled, and nobody runs them
	rows       [maxTasks]uint8 // the rows that those have which are to be adopted
	units      [maxUnits]unit  // in flight, oldest first
}

// inFlight counts the units that are submitted and not yet acknowledged.
func (sess *session) inFlight() int {
	for n := range sess.units {
		if sess.units[n].kind == noUnit {
			return n
		}
	}
	return maxUnits
}

// uncommitted returns the index of the oldest unit in flight that has not
// committed, or inFlight.
func (sess *session) uncommitted() int {
	for n := range sess.units {
		if !sess.units[n].done {
			return n
		}
	}
	return maxUnits
}

// knows tells whether the session has read a message, and no unit in flight
// consumes it.
func (sess *session) knows(msg message) bool {
	if msg.kind == noMessage || msg.id > sess.read {
		return false
	}
	for k := range sess.inFlight() {
		if sess.units[k].consumed(msg) {
			return false
		}
	}
	return true
}

// reads returns the last message that the session has read, or will when it
// learns what has become of its units.
func (sess *session) reads() uint8 {
	read := sess.read
	for n := range sess.units {
		read = max(read, sess.units[n].late)
	}
	return read
}

// localPhase is the phase of a local task: an activity that a session runs in
// its own process.
type localPhase uint8

const (
	localNone localPhase = iota
	localQueued
	localRunning
	localFinished // its result waits in the session's mailbox
	localFailed   // its attempt failed, and is to be tried again later
)

type local struct {
	phase localPhase
	gen   uint8
	token uint8 // its river_job row, as far as it is known
	row   bool  // it has a row, or a unit in flight inserts one
	epoch uint8 // only with txToken off, in place of the token: the epoch it was started under
}

// callPhase is the phase of a River job in a worker, other than a turn.
type callPhase uint8

const (
	callNone   callPhase = iota
	callHanded           // fetched by River, Work not yet called
	callRunning
	callReturned // Work has returned, but the TxHandler goes on
	callUnknown  // the connection was lost while it committed
)

// workCall is a River job other than a turn, while a worker works it.
type workCall struct {
	phase callPhase
	job   uint8
	kind  jobKind
	inst  uint8
	task  uint8
	gen   uint8
	epoch uint8 // as in local
}

// cached is the state that a closed session left in a worker's cache.
type cached struct {
	used       bool
	seq, epoch uint8
	history    history
}

// returned is a Work call that has returned without our commit having deleted
// its row; River is about to report it.
type returned struct {
	job  uint8
	held bool // the turn was held: try it later, preferably elsewhere
	done bool // only with parkNewRow off: Work returned nil, as if its row were gone
}

// gaveBack tells whether the Work call of a row has returned.
func (wk *worker) gaveBack(job uint8) bool {
	for _, r := range wk.returned {
		if r.job == job {
			return true
		}
	}
	return false
}

// endSession ends a session without a word to the database. Local attempts that
// run go on; nothing else is kept.
func (wk *worker) endSession(i int) {
	wk.sessions[i] = session{}
	wk.dropWaiting(i)
}

// dropWaiting drops the local tasks of an instance that are not running.
func (wk *worker) dropWaiting(i int) {
	for t := range wk.locals[i] {
		if wk.locals[i][t].phase != localRunning {
			wk.locals[i][t] = local{}
		}
	}
}

// forget ends a process: its memory is gone, its workers row stays.
func (wk *worker) forget() { *wk = worker{alive: wk.alive} }
