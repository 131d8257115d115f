package engine

import (
	"encoding/binary"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// unit is what one turn, or one operation of the control plane, wants committed. The committer puts the units
// of many instances into one batch; each part below goes to the statement of protocol step B2 to B10 that it
// is named after. A unit is immutable once submitted.
type unit struct {
	flowParts
	entityParts
	streamParts
	kind unitKind
	// no is the instance whose row the unit changes or whose rows it touches; for a start the new number.
	no int64

	// Compare-and-set (B2): the state the unit was computed from, and the right to commit.
	base  int64 // seq
	epoch int32
	job   int64 // the turn job while nobody has claimed the instance, 0 once this worker owns it
	seq   int64 // after the unit
	// turnJob is the session's turn job, whose row goes when the unit ends the session.
	turnJob int64
	// nextTurnJob is the turn job a hand-over leaves behind, 0 for none; set in a unitContinue, that is one too.
	nextTurnJob int64

	// History (B4).
	events    []byte
	count     int32
	values    []int64 // large values that these events hold
	cutBefore int64   // drop history before this event; 0 keeps it

	customStatus []byte // nil leaves it, empty clears it
	waiting      []byte
	held         []byte
	suspended    []byte // nil leaves it, empty clears it
	control      *control
	children     []byte // what a termination tells the jobs that end the children; nil lets them be

	// The end of the instance or of its generation.
	status  history.Status
	output  history.Payload
	failure []byte
	version string

	consumed   []int64 // inbox rows (B5)
	dropInbox  bool
	starts     []start        // B3
	tags       *tagChange     // B2
	purges     []purge        // instances to delete first
	tokens     []tokenResult  // B6
	timersDue  []timerKey     // B6
	retriesDue []timerKey     // B6
	raises     []raise        // B6
	deliveries []delivery     // B6
	messages   []message      // B6
	sends      []send         // B6
	outgoing   []outgoing     // delivered once it has landed
	timers     []newTimer     // B7
	cancels    []taskKey      // B7
	dropTimers bool           // B7
	jobs       []job          // B7
	deleteJobs []int64        // B7
	dropTasks  bool           // B7
	replaces   []replacedJob  // B7
	parks      []parkedTask   // B7
	large      []largePayload // before the batch
	firing     *firing        // before B1
	// spans are for the sink once the unit has landed, and ending is the instance that it ends from outside; nil if they are
	// not traced.
	spans []tracing.Span
	// actions are what the unit is counted as.
	actions actions
	ending  *ending
	// readInbox asks B10 for the inbox rows after readAfter, which is what the session has read.
	readInbox bool
	readAfter int64

	// conflict is told that the id of starts[i] is taken. It rewrites the unit, to be committed again, or
	// answers it and returns false.
	conflict func(u *unit, i int, taken store.FindInstancesRow) bool
	// One of these is told the outcome, on the committer's goroutine: the session of the flight that the unit
	// travels in, or else done, which must not block. Afterwards the unit may be in use again.
	flight *flight
	done   func(u *unit, o outcome)
}

// answer tells whoever submitted the unit what became of it.
func (u *unit) answer(o outcome) {
	if u.flight != nil {
		u.flight.session.postOutcome(u.flight, o)
		return
	}
	u.done(u, o)
}

type unitKind int

const (
	// unitPlain changes no instance row of its own: starts, raises, results, timers.
	unitPlain unitKind = iota
	unitTurn
	unitFinish
	unitContinue
	// unitClaim makes the worker owner without a history row: before redispatched tasks start, to consume
	// messages that mean nothing any more, to promote, export or park tasks.
	unitClaim
	unitHold
	unitHandOver
	unitRelease
	unitTakeOver
	unitTerminate
	// unitControl suspends or resumes.
	unitControl
	// unitRestart begins a new generation of an instance that has ended.
	unitRestart
	// unitCancel ends an instance that nobody has begun.
	unitCancel
)

// outcome is what became of a unit.
type outcome struct {
	err       error
	late      []store.Inbox // B10
	released  bool
	takenOver bool
	parked    bool
	// purged are the unit's purges that were done.
	purged []store.PurgeInstancesRow
	// tags is what became of a change of tags; nil if there is no such instance.
	tags *store.SetTagsRow
	// terminated is set for terminations of instances that were live; owner is who had the instance then.
	terminated bool
	restarted  bool
	owner      int32
	status     history.Status // of a raise's or a control's target
	found      bool           // that target exists
	delivered  bool           // the message of a plain unit reached its target
	// landed means that the unit is committed but nothing else is known of it: the connection broke.
	landed bool
	// progressed means that the progress of a unitPlain was taken.
	progressed bool
}

// taskKey names a task for good: results are matched by generation as well as by number.
type taskKey struct {
	no   int64
	gen  int32
	task int32
}

// bytes is the unique key of the task's River row: big endian, so that the rows of an instance are a range.
func (k taskKey) bytes() []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, uint64(k.no))
	binary.BigEndian.PutUint32(b[8:], uint32(k.gen))
	binary.BigEndian.PutUint32(b[12:], uint32(k.task))
	return b
}

// parseTaskKey reads the unique key of a River row; false when it is not one of ours.
func parseTaskKey(b []byte) (taskKey, bool) {
	if len(b) != 16 {
		return taskKey{}, false
	}
	return taskKey{
		no:   int64(binary.BigEndian.Uint64(b)),
		gen:  int32(binary.BigEndian.Uint32(b[8:])),
		task: int32(binary.BigEndian.Uint32(b[12:])),
	}, true
}

type start struct {
	no          int64
	hub         int32
	id          string
	name        string
	version     string
	input       history.Payload
	scheduledAt time.Time // zero: at once
	turnJob     int64
	parentNo    int64
	parentGen   int32
	parentTask  int32
	priority    int16
	tags        []byte // as in the column
	trace       string // likewise
	// origin is the span of this start, if it has one.
	origin *tracing.Origin
}

// Kinds of inbox messages; the database's function is_held knows them too.
const (
	msgStart  int16 = 1 // of a delayed start or a further generation; else the pending row itself is the message
	msgEvent  int16 = 2
	msgResult int16 = 3
	msgTimer  int16 = 4
	// These two go before all others, and are taken in by an instance that is suspended.
	msgSuspend int16 = 5
	msgResume  int16 = 6
	msgCancel  int16 = 7
	// For an entity: from whoever holds its lock; and to be carried out later, which no session acts on before its timer.
	msgHolder int16 = 8
	msgLater  int16 = 9
)

// purge deletes an instance and all that belongs to it, if its status is among those of the mask.
type purge struct {
	no   int64
	mask statusMask
	// parent is told answer if the instance was live; 0 = nobody waits for it.
	parent int64
	answer []byte
}

// statusMask is a set of statuses, a bit for each.
type statusMask int32

func maskOf(statuses ...history.Status) statusMask {
	var m statusMask
	for _, s := range statuses {
		m |= 1 << s
	}
	return m
}

func (m statusMask) has(s history.Status) bool { return m&(1<<s) != 0 }

// The statuses of instances that are live, and of those that have ended.
var (
	liveStatuses  = maskOf(history.Running, history.Pending, history.Suspended)
	endedStatuses = maskOf(history.Completed, history.Failed, history.Canceled, history.Terminated)
)

// dropping adds a purge to the unit, unless it is there.
func (u *unit) dropping(p purge) {
	for i := range u.purges {
		if u.purges[i].no == p.no {
			u.purges[i] = p
			return
		}
	}
	u.purges = append(u.purges, p)
}

type message struct {
	no      int64
	gen     int32 // -1: any
	task    int32
	kind    int16
	payload []byte
}

type tokenResult struct {
	token   int64
	key     taskKey
	payload []byte
}

// Kinds of timers rows.
const (
	timerTask  int16 = 0
	timerStart int16 = 1
	timerRetry int16 = 2
	// A call must have begun by timerStartBy, and ended by timerEndBy.
	timerStartBy int16 = 3
	timerEndBy   int16 = 4
)

type timerKey struct {
	taskKey
	kind int16
}

type newTimer struct {
	timerKey
	fireAt time.Time
	holder int32
}

type raise struct {
	key     string
	payload []byte
}

type delivery struct {
	hub    int32
	target string
}

type send struct {
	ref     int64 // of a large value, 0 for none
	hub     int32
	kind    int16 // of the message that it becomes
	target  string
	payload []byte
}

type job struct {
	id       int64
	state    string
	attempt  int16
	priority int16
	kind     string
	queue    string
	args     []byte
	err      []byte
	key      []byte
	max      int16
}

type replacedJob struct{ old, fresh int64 }

type parkedTask struct {
	token  int64
	fresh  int64
	key    taskKey
	fireAt time.Time
	err    []byte
}

type largePayload struct {
	id   int64
	no   int64 // the instance it belongs to and goes with
	data []byte
}

// writes tells whether the unit is a writer of its instance's row: a batch holds at most one.
func (u *unit) writes() bool { return u.kind != unitPlain }

// comparesAndSets tells whether B2 changes the instance's row on condition.
func (u *unit) comparesAndSets() bool {
	switch u.kind {
	case unitTurn, unitFinish, unitContinue, unitClaim, unitHold:
		return true
	}
	return false
}

// handsOver tells whether the unit gives the instance to whoever comes next.
func (u *unit) handsOver() bool {
	return u.kind == unitHandOver || u.kind == unitContinue && u.nextTurnJob != 0
}

// size estimates the bytes of the unit's parameters.
func (u *unit) size() int {
	n := 200 + u.streamSize() + len(u.events) + len(u.suspended) + len(u.customStatus) + len(u.failure) + len(u.output.Data()) + len(u.held) + len(u.waiting)
	for i := range u.starts {
		n += 200 + len(u.starts[i].input.Data()) + len(u.starts[i].tags) + len(u.starts[i].trace)
	}
	for i := range u.purges {
		n += 40 + len(u.purges[i].answer)
	}
	for i := range u.messages {
		n += 40 + len(u.messages[i].payload)
	}
	for i := range u.tokens {
		n += 40 + len(u.tokens[i].payload)
	}
	for i := range u.raises {
		n += 40 + len(u.raises[i].payload)
	}
	for i := range u.sends {
		n += 40 + len(u.sends[i].payload)
	}
	for i := range u.replies {
		n += 80 + len(u.replies[i].payload)
	}
	for i := range u.jobs {
		n += 120 + len(u.jobs[i].args)
	}
	return n + 40*(len(u.timers)+len(u.timersDue)+len(u.consumed)+len(u.settled)+len(u.cancels)+len(u.freed)) + 400*len(u.deadlines) + 200*len(u.limited)
}

// once lists what may be in a batch only once: statements that join what they deleted with the units that
// asked for it would otherwise deliver twice.
func (u *unit) once() []any {
	var keys []any
	for _, t := range u.tokens {
		keys = append(keys, t.token)
	}
	for _, r := range u.raises {
		if r.key != "" {
			keys = append(keys, struct {
				no  int64
				key string
			}{u.no, r.key})
		}
	}
	for _, d := range u.deliveries {
		keys = append(keys, d)
	}
	for i := range u.starts {
		keys = append(keys, instanceName{u.starts[i].hub, u.starts[i].id})
	}
	for _, p := range u.parks {
		keys = append(keys, p.token)
	}
	if u.tags != nil {
		keys = append(keys, struct{ tagged int64 }{u.no})
	}
	for _, p := range u.purges {
		keys = append(keys, struct{ purged int64 }{p.no})
	}
	if u.firing != nil {
		keys = append(keys, firingOf{u.firing.no})
	}
	return keys
}
