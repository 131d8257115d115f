package model

type status uint8

const (
	statusAbsent status = iota
	statusPending
	statusRunning
	statusSuspended
	statusCompleted
	statusFailed
	statusTerminated
	statusPurged // the row is gone
)

func (st status) exists() bool { return st != statusAbsent && st != statusPurged }

func (st status) ended() bool { return st >= statusCompleted && st <= statusTerminated }

func (st status) live() bool { return st.exists() && !st.ended() }

type messageKind uint8

const (
	noMessage messageKind = iota
	messageStart
	messageEvent
	messageResult
	messageSuspend
	messageResume
	messageRewound
)

func (k messageKind) control() bool { return k == messageSuspend || k == messageResume }

// held tells whether a message of this kind has to wait in the inbox of an
// instance in this status.
func held(st status, kind messageKind) bool { return st == statusSuspended && !kind.control() }

// message is an inbox row.
type message struct {
	id      uint8
	kind    messageKind
	gen     uint8
	task    uint8
	event   uint8 // an event: its number; a start: the number of the first event it carries
	carried uint8 // a start: how many events it carries
}

type taskState uint8

const (
	taskUnknown taskState = iota
	taskScheduled
	taskDone
)

// history is what the history of the current generation says.
type history struct {
	started   bool
	gen       uint8
	tasks     [maxTasks]taskState
	events    uint8 // events recorded in this generation
	lastEvent uint8 // number of the last event recorded, over all generations
}

func (h *history) pending(t int) bool { return h.tasks[t] == taskScheduled }

// instance is a row of instances, with its history, inbox and timers.
type instance struct {
	status     status
	seq, epoch uint8
	owner      uint8 // worker number, 0 = null
	turnJob    uint8 // river_job id, 0 = null
	gen        uint8
	parent     uint8 // generation of the parent that waits for this child + 1, 0 = none
	history    history
	inbox      [maxInbox]message // by id, without gaps
	lastID     uint8             // the inbox's sequence
	timers     [maxTasks]genSet  // timers rows
	retries    [maxTasks]genSet  // timers rows of kind retry

	// What the properties need to remember; no step reads it.

	accepted uint8 // events that ever entered the inbox; numbers them
	raised   uint8 // events that users' transactions put into the outbox; numbers them
	moved    uint8 // number of the last one that was delivered or dropped
	sealed   bool  // terminated, and not restarted since
}

// last returns the id of the newest message.
func (inst *instance) last() uint8 {
	last := uint8(0)
	for _, msg := range inst.inbox {
		last = max(last, msg.id)
	}
	return last
}

func (inst *instance) deleteMessage(at int) {
	copy(inst.inbox[at:], inst.inbox[at+1:])
	inst.inbox[maxInbox-1] = message{}
}

// deliverable tells whether the inbox holds a message that a session could act
// on, with an id above the given one.
func (inst *instance) deliverable(above uint8) bool {
	for _, msg := range inst.inbox {
		if msg.kind != noMessage && msg.id > above && !held(inst.status, msg.kind) {
			return true
		}
	}
	return false
}

func (inst *instance) hasResult(gen uint8, t int) bool {
	for _, msg := range inst.inbox {
		if msg.kind == messageResult && msg.gen == gen && int(msg.task) == t {
			return true
		}
	}
	return false
}

type jobKind uint8

const (
	noJob jobKind = iota
	jobTurn
	jobTask
	jobDeliver
)

type jobState uint8

const (
	_ jobState = iota
	jobAvailable
	jobRunning
	jobParked    // scheduled: waits for its retry timer
	jobCompleted // River took it for done; only a seeded fault gets here
)

// job is a river_job row.
type job struct {
	id    uint8
	kind  jobKind
	inst  uint8
	task  uint8
	gen   uint8
	state jobState
	by    uint8 // worker in whose name it runs
	tried uint8 // a held turn: set of workers whose code did not fit (bit worker-1)
}

// gone stands for the id of any row that is no more.
const gone = 255

type outboxRow struct {
	used   bool
	inst   uint8
	number uint8 // of the event, counted per target
}

// taskSet is a set of tasks of one generation.
type taskSet uint8

func (ts taskSet) has(t int) bool { return ts&(1<<t) != 0 }

func (ts *taskSet) add(t int) { *ts |= 1 << t }

func (ts *taskSet) remove(t int) { *ts &^= 1 << t }

// genSet is a set of generations.
type genSet uint8

func (gs genSet) has(gen uint8) bool { return gs&(1<<gen) != 0 }

func (gs *genSet) add(gen uint8) { *gs |= 1 << gen }

func (gs *genSet) remove(gen uint8) { *gs &^= 1 << gen }
