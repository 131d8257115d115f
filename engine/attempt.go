package engine

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// slots bound how many activities run at once in this process, those that sessions start here and those that
// River hands over alike. Beyond the slots, a backlog waits in memory; what waits there for long is exported
// to River, so that other workers can take it. Beyond the backlog, activities go to River at once.
type slots struct {
	limit   int
	backlog int

	mu      sync.Mutex
	taken   int // reserved, waiting or running
	running int
	waiting []*slotEntry
}

type slotEntry struct {
	run func()
}

// reserve claims a place for a task that is to start after a commit. A task that can run nowhere else gets one
// in any case; it may have to wait for a slot.
func (s *slots) reserve(must bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.limit+s.backlog && !must {
		return false
	}
	s.taken++
	return true
}

// cancel gives back a place that was reserved and not used.
func (s *slots) cancel() {
	s.mu.Lock()
	s.taken--
	s.mu.Unlock()
}

// start runs fn, in a goroutine of its own, once a slot is free. The place must have been reserved.
func (s *slots) start(fn func()) *slotEntry {
	e := &slotEntry{run: fn}
	s.mu.Lock()
	if s.running < s.limit {
		s.running++
		s.mu.Unlock()
		go fn()
		return e
	}
	s.waiting = append(s.waiting, e)
	s.mu.Unlock()
	return e
}

// steal takes an entry back that has not begun to run, with its place.
func (s *slots) steal(e *slotEntry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waiting {
		if w == e {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.taken--
			return true
		}
	}
	return false
}

// finish ends a run; keep says that the place stays reserved, for another run soon.
func (s *slots) finish(keep bool) {
	s.mu.Lock()
	if !keep {
		s.taken--
	}
	if len(s.waiting) > 0 {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.mu.Unlock()
		go next.run()
		return
	}
	s.running--
	s.mu.Unlock()
}

// finishAfter ends a run whose code outlives its attempt: the slot is taken until that returns, so that this process
// never runs more than it was told to. again says that another attempt follows soon, for which it reserves a place.
func (s *slots) finishAfter(running <-chan struct{}, again bool) {
	if again {
		s.reserve(true)
	}
	go func() {
		<-running
		s.finish(false)
	}()
}

// acquire waits for a slot on the caller's own goroutine.
func (s *slots) acquire(ctx context.Context) error {
	s.mu.Lock()
	s.taken++
	s.mu.Unlock()
	ready := make(chan struct{})
	e := s.start(func() { close(ready) })
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		if !s.steal(e) {
			<-ready
			s.finish(false)
		}
		return ctx.Err()
	}
}

// attempt is one task that this process runs, or is about to, over all its attempts here.
type attempt struct {
	n     *Node
	task  Task
	retry *history.Retry
	tx    bool
	// token is the River row whose deletion entitles to deliver; 0 for a rowless task.
	token int64
	// limited tells that the call holds a place in a limit.
	limited bool

	// startBy and endBy bound the call; the zero time does not.
	startBy time.Time
	endBy   time.Time

	ctx    context.Context
	cancel context.CancelCauseFunc

	mu        sync.Mutex
	session   *session // who takes the result; nil once it has let go
	entry     *slotEntry
	queuedAt  time.Time
	startedAt time.Time
	firstAt   time.Time
	earlier   []history.Attempt
	// unsaved are the failures among earlier that no River row holds.
	unsaved []riverError
	// answer is the outcome on its way to the session.
	answer history.Event
	// parkUntil asks the session to park the task until then.
	parkUntil time.Time
	parkErr   []byte // the failures that are unsaved
	// The last heartbeat.
	beat        []byte
	beatAt      time.Time
	unsavedBeat bool
	// committing says that a TxHandler's commit is on its way, which takes the token.
	committing bool
}

// maxEarlier is how many failed attempts a result remembers.
const maxEarlier = 20

// shortRetry is the longest wait between attempts that is spent in memory; longer ones are parked in the
// database, where nothing is held meanwhile. Steps are never parked: River finds nobody who could run them.
const shortRetry = time.Second

// promote says which River row, in this worker's name, stands for the task from the commit that follows on.
func (a *attempt) promote(token int64) {
	a.mu.Lock()
	a.token = token
	a.mu.Unlock()
}

// number is the number of the attempt that runs, or is the next.
func (a *attempt) number() int16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int16(min(a.task.Attempt, unlimited))
}

// row is the River row that stands for the task, 0 if none does.
func (a *attempt) row() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

// tendAt tells when the task is to be given a River row, because it takes long, and whether that is because it
// waits for a slot. The zero time means never.
func (a *attempt) tendAt() (at time.Time, export bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.token != 0 || a.task.Step != nil || a.queuedAt.IsZero():
		return time.Time{}, false
	case a.startedAt.IsZero():
		return a.queuedAt.Add(exportAfter), true
	}
	return a.firstAt.Add(promoteAfter), false
}

// detach lets the task go on without its session: it delivers by its token.
func (a *attempt) detach() {
	a.mu.Lock()
	a.session = nil
	answer, parked := a.answer, !a.parkUntil.IsZero()
	a.mu.Unlock()
	switch { // it ended just before
	case answer != nil:
		a.n.finishTask(a, answer)
	case parked:
		a.n.parkTask(a)
	}
}

// launch starts the attempt in a slot that was reserved for it.
func (a *attempt) launch() {
	a.mu.Lock()
	a.queuedAt = a.n.clock.now()
	a.mu.Unlock()
	entry := a.n.slots.start(a.run)
	a.mu.Lock()
	a.entry = entry
	a.mu.Unlock()
}

// launchAfter starts the attempt once a long wait is over, in a slot that it takes only then.
func (a *attempt) launchAfter(wait time.Duration) {
	timer := time.AfterFunc(wait, func() {
		a.n.slots.reserve(true)
		a.launch()
	})
	context.AfterFunc(a.ctx, func() { timer.Stop() })
}

func (a *attempt) run() {
	if a.ctx.Err() != nil { // let go of while it waited
		a.n.slots.finish(false)
		a.n.forget(a)
		return
	}
	if why := a.late(a.n.clock.now()); why != nil {
		a.ended(Result{Failure: why})
		return
	}
	task := a.begin()
	began := time.Now()
	r := a.n.exec.Run(task.traced(a.ctx), &task)
	a.n.metrics.ran(task.Name, time.Since(began), r.Failure != nil)
	a.ended(r)
}

// begin notes that an attempt starts now.
func (a *attempt) begin() Task {
	a.n.metrics.tasks.Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.startedAt = a.n.clock.now()
	if !a.queuedAt.IsZero() {
		a.n.metrics.slotWait.observe(max(0, a.startedAt.Sub(a.queuedAt).Seconds()))
	}
	if a.firstAt.IsZero() {
		a.firstAt = a.startedAt
	}
	task := a.task
	if !a.endBy.IsZero() {
		task.Left = max(a.n.clock.until(a.endBy), 1)
	}
	return task
}

// failedOnce notes that an attempt has failed and another follows.
func (a *attempt) failedOnce(why *history.Failure, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.earlier = append(a.earlier, history.Attempt{
		N: a.task.Attempt, StartedAt: a.startedAt, EndedAt: now, Type: why.Type, Message: why.Message,
	})
	a.earlier = a.earlier[max(0, len(a.earlier)-maxEarlier):]
	a.unsaved = append(a.unsaved, riverError{
		At: a.startedAt, Attempt: a.task.Attempt, Error: printable(why.Message), Trace: printable(why.Stack), Type: printable(why.Type),
		EndedAt: now,
	})
	a.unsaved = a.unsaved[max(0, len(a.unsaved)-maxEarlier):]
	a.task.Attempt++
}

// ended decides what an ended attempt means: deliver, try again soon, or park.
func (a *attempt) ended(r Result) {
	now := a.n.clock.now()
	wait, again := time.Duration(0), false
	if r.Failure != nil && a.ctx.Err() == nil {
		wait, again = a.next(r.Failure, now)
	}
	if again {
		a.failedOnce(r.Failure, now)
	}
	if soon := again && wait < shortRetry; r.Running != nil {
		a.n.slots.finishAfter(r.Running, soon)
	} else {
		a.n.slots.finish(soon)
	}
	switch {
	case r.Failure != nil && a.ctx.Err() != nil:
		a.n.forget(a) // it failed because it was let go of, or because this node has ended: that says nothing
	case again && wait < shortRetry:
		time.AfterFunc(wait, a.launch)
	case again && a.task.Step != nil:
		a.launchAfter(wait)
	case again:
		a.park(now.Add(wait))
	case r.Delivered, r.Gone: // if it is gone, an earlier commit may have landed whose answer was lost
		a.n.delivered(a)
	default:
		a.deliver(a.outcome(r, now))
	}
}

// outcome is the history event of a final result.
func (a *attempt) outcome(r Result, now time.Time) history.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	run := history.Run{StartedAt: a.startedAt, Worker: a.n.name, Attempts: a.task.Attempt, Earlier: a.earlier}
	return taskOutcome(&a.task, r, run, now, a.n.e.cfg.PayloadLimit)
}

// taskOutcome is the history event of a task's final result. An output over the limit is a failure.
func taskOutcome(t *Task, r Result, run history.Run, now time.Time, limit int) history.Event {
	if size := r.Output.Size(); r.Failure == nil && size > limit {
		r.Failure = failure(CodeTooLarge, "the output of activity %s has %d bytes, the limit is %d", t.Name, size, limit)
	}
	if r.Failure != nil {
		return &history.TaskFailed{Header: history.Header{At: now}, TaskID: t.ID, Failure: r.Failure, Run: run}
	}
	return &history.TaskCompleted{Header: history.Header{At: now}, TaskID: t.ID, Result: r.Output, Run: run}
}

// deliver hands the outcome to the session, in memory, or through the token when there is no session any more
// or when only the token may decide (a TxHandler has had its own chance to commit).
func (a *attempt) deliver(answer history.Event) {
	a.mu.Lock()
	s := a.session
	a.answer = answer
	a.mu.Unlock()
	if s != nil && !a.tx {
		s.postAnswer(a)
		return
	}
	if a.row() != 0 {
		a.n.finishTask(a, answer)
		return
	}
	a.n.forget(a)
}

// park puts the task aside until a time further off: its River row waits for a retry timer.
func (a *attempt) park(until time.Time) {
	a.mu.Lock()
	s := a.session
	a.parkUntil = until
	a.parkErr = encodeErrors(a.unsaved)
	a.mu.Unlock()
	a.saveBeat()
	if a.row() != 0 {
		a.n.parkTask(a)
		return
	}
	if s != nil {
		s.post(func(m *mail) { m.parks = append(m.parks, a) })
		return
	}
	a.n.forget(a)
}

// riverError is an attempt's error in the form River keeps and shows. At is when the attempt started.
type riverError struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
	Trace   string    `json:"trace"`
	// Type and EndedAt are ours; River's own tools ignore them, and its library drops them.
	Type    string    `json:"weir_type,omitempty"`
	EndedAt time.Time `json:"weir_ended_at,omitzero"`
}

// encodeErrors writes an array of errors.
func encodeErrors(errs []riverError) []byte {
	out, err := json.Marshal(errs)
	if err != nil { // text, numbers and times only
		panic(err)
	}
	return out
}

// NextAttempt tells whether a failed attempt is followed by another, and after which wait. n is the number of
// the attempt that failed, since the time from the first attempt's start.
func NextAttempt(r *history.Retry, f *history.Failure, n int, since time.Duration) (time.Duration, bool) {
	if r == nil || f.NonRetriable || r.Ends(f) || (r.Attempts > 0 && n >= r.Attempts) {
		return 0, false
	}
	if r.Attempts == 0 && r.Until == 0 && r.Initial == 0 {
		return 0, false
	}
	limit := time.Duration(r.Max)
	if limit == 0 {
		limit = time.Hour
	}
	wait := time.Duration(r.Initial)
	if wait <= 0 {
		wait = time.Second
	}
	if r.Factor > 1 {
		grown := float64(wait) * math.Pow(r.Factor, float64(n-1))
		wait = time.Duration(min(grown, float64(limit)))
	}
	wait = min(wait, limit)
	if r.Jitter > 0 {
		wait -= time.Duration(rand.Float64() * min(r.Jitter, 1) * float64(wait))
	}
	if r.Until > 0 && since+wait > time.Duration(r.Until) {
		return 0, false
	}
	return wait, true
}
