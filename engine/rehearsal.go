package engine

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// Rehearsal runs instances in memory, without a database and in virtual time, for tests of orchestrations. What an
// instance is, what a turn takes in and what it means are the engine's own: state, admit and decide, and the
// executor that a worker has. Only what carries messages differs, a slice instead of an inbox, and the clock, which
// jumps to whatever is due next when nothing runs.
//
// It is meant to be predictable. Activities run in goroutines of their own, but what they return is taken in only
// once all of them have ended or sleep (RehearsedSleep), in the order in which they were scheduled; waits between
// attempts have no random share; ids that are made up count from 1. It is also stricter than a worker: after a turn
// the code is opened anew on the history, as another worker would, so that code that does not repeat itself is held
// at once.
//
// Next belongs to one goroutine; the other methods may be called from any, and from activities.
type Rehearsal struct {
	cfg    RehearsalConfig
	limits limits
	checks *Engine // tests requests, and has nothing but limits

	mu        sync.Mutex
	now       time.Time
	made      int64
	instances map[string]*rehearsed
	ready     []*rehearsed // have something to do, in the order in which it came
	entities  map[string]*rehearsedEntity
	busy      []*rehearsedEntity // have something to do, after the instances
	replies   map[string]func(OperationResult)
	signaled  map[string]bool // keys of signals
	agenda    agenda
	entries   int64
	running   map[*rehearsedTask]bool // attempts that are at work; the clock waits for them
	over      []*rehearsedTask        // attempts that have ended since Next last looked
	err       error                   // ends the rehearsal
	signal    chan struct{}
	tasks     sync.WaitGroup
}

// RehearsalConfig says how a Rehearsal works; Executor must be set.
type RehearsalConfig struct {
	Executor Executor
	// Hub is what instances are told; empty means "default".
	Hub string
	// Now is the time at which it begins; zero means the first second of the year 2000, UTC.
	Now time.Time
	// PayloadLimit bounds one value, in bytes; 0 means DefaultPayloadLimit.
	PayloadLimit int
}

// rehearsed is one instance.
type rehearsed struct {
	no       int64
	instance Instance
	info     Info
	parent   parentOf
	output   history.Payload
	progress []Progress
	keys     map[string]bool // of raised events
	due      bool            // its start is not put off any more
	queued   bool
	turning  bool // its code runs

	state   *state
	code    Orchestration
	past    []history.Event // of this generation
	before  []history.Event // of the one before
	checkAt int             // events after which the code is opened anew
	letters []letter
	tasks   map[int32]*rehearsedTask
	timers  map[int32]*entry
}

// parentOf is who waits for an instance, in which generation and at which decision.
type parentOf struct {
	instance *rehearsed
	gen      int32
	task     int32
}

// alwaysChecked is up to how many events of a generation the code is opened anew after every turn; beyond, it is when
// their number has doubled, so that long histories do not take quadratic time.
const alwaysChecked = 500

// NewRehearsal makes an empty rehearsal.
func NewRehearsal(cfg RehearsalConfig) *Rehearsal {
	cfg.Hub = cmp.Or(cfg.Hub, "default")
	cfg.PayloadLimit = cmp.Or(cfg.PayloadLimit, DefaultPayloadLimit)
	if cfg.Now.IsZero() {
		cfg.Now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &Rehearsal{
		cfg: cfg, limits: limits{payload: cfg.PayloadLimit, decisions: 100_000},
		checks: &Engine{cfg: Config{PayloadLimit: cfg.PayloadLimit}}, now: cfg.Now.UTC().Truncate(time.Microsecond),
		instances: map[string]*rehearsed{}, entities: map[string]*rehearsedEntity{}, replies: map[string]func(OperationResult){},
		signaled: map[string]bool{}, running: map[*rehearsedTask]bool{}, signal: make(chan struct{}, 1),
	}
}

// --- for callers ---------------------------------------------------------------------------------

// Now is the virtual time.
func (r *Rehearsal) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// At calls fn, from Next, when the virtual time has come. A time that is past means now.
func (r *Rehearsal) At(at time.Time, fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schedule(at, fn)
}

// Start starts an instance, as Engine.Start does. Errors: INVALID_ARGUMENT, TOO_LARGE, ALREADY_EXISTS.
func (r *Rehearsal) Start(req StartRequest) (Started, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	madeUp := req.ID == ""
	if err := r.checks.check(&req, -1); err != nil {
		return Started{}, err
	}
	if madeUp {
		req.ID = fmt.Sprintf("instance-%d", r.made+1)
	}
	if taken := r.instances[req.ID]; taken != nil {
		switch {
		case maskOf(req.Reuse.Replace...).has(taken.instance.Status):
			if why := replacedFailure(); taken.instance.Status.Live() {
				r.ended(taken, history.Terminated, history.Payload{}, why)
				r.tell(taken.parent, func(task int32) history.Event {
					return &history.SubOrchestrationInstanceFailed{Header: history.Header{At: r.now}, TaskID: task, Failure: why}
				})
			}
		case req.Reuse.Existing:
			return Started{ID: req.ID, Existing: true, no: taken.no}, nil
		default:
			return Started{}, idTaken("id", req.ID)
		}
	}
	i := r.start(&req, parentOf{})
	return Started{ID: req.ID, no: i.no}, nil
}

// Raise delivers an event. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND, FAILED_PRECONDITION when the instance has
// finished.
func (r *Rehearsal) Raise(req RaiseRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checks.checkRaise(&req); err != nil {
		return err
	}
	i := r.instances[req.Instance]
	switch {
	case i == nil:
		return instanceNotFound(req.Instance)
	case !i.instance.Status.Live():
		return finished(req.Instance, i.instance.Status)
	case req.Key != "" && i.keys[req.Key]:
		return nil
	case req.Key != "":
		i.keys[req.Key] = true
	}
	r.deliver(i, letter{events: []history.Event{&history.EventRaised{Header: history.Header{At: r.now}, Name: req.Name, Input: req.Input}}})
	return nil
}

// Terminate ends an instance at once; its children run on. Errors: INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND,
// FAILED_PRECONDITION when the instance has finished.
func (r *Rehearsal) Terminate(req TerminateRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := first(CheckID("instance", req.Instance), checkText("reason", req.Reason, maxReason, true),
		r.checks.checkPayload("output", req.Output)); err != nil {
		return err
	}
	i := r.instances[req.Instance]
	switch {
	case i == nil:
		return instanceNotFound(req.Instance)
	case !i.instance.Status.Live():
		return finished(req.Instance, i.instance.Status)
	}
	r.terminate(i, req.Reason, req.Output)
	return nil
}

// terminate ends an instance that is live, and tells its parent. The caller holds the lock.
func (r *Rehearsal) terminate(i *rehearsed, reason string, output history.Payload) {
	events, why := terminated(reason, output, r.now)
	i.record(events)
	r.ended(i, history.Terminated, output, why)
	r.tell(i.parent, func(task int32) history.Event {
		return &history.SubOrchestrationInstanceFailed{Header: history.Header{At: r.now}, TaskID: task, Failure: why}
	})
}

// Cancel asks an instance to end by itself; one that waits for its time to start is CANCELED at once. Errors:
// INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION when the instance has finished.
func (r *Rehearsal) Cancel(req CancelRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := req.check(); err != nil {
		return err
	}
	i := r.instances[req.Instance]
	switch {
	case i == nil:
		return instanceNotFound(req.Instance)
	case !i.instance.Status.Live():
		return finished(req.Instance, i.instance.Status)
	}
	request := req.event(r.now)
	if i.instance.Status == history.Pending && !i.turning {
		events, why := canceledEarly(request)
		i.record(events)
		r.ended(i, history.Canceled, history.Payload{}, why)
		r.tell(i.parent, func(task int32) history.Event {
			return &history.SubOrchestrationInstanceFailed{Header: request.Header, TaskID: task, Failure: why}
		})
		return nil
	}
	r.deliver(i, letter{kind: msgCancel, events: []history.Event{request}})
	return nil
}

// Get tells how an instance stands. Waiting is set while it waits. Errors: NOT_FOUND.
func (r *Rehearsal) Get(id string) (*Instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instances[id]
	if i == nil {
		return nil, instanceNotFound(id)
	}
	return i.read(), nil
}

// Output is what an instance has returned. Errors: NOT_FOUND.
func (r *Rehearsal) Output(id string) (history.Payload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instances[id]
	if i == nil {
		return history.Payload{}, instanceNotFound(id)
	}
	return i.output, nil
}

// Instances are all there are, in the order in which they were started.
func (r *Rehearsal) Instances() []*Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Instance, 0, len(r.instances))
	for _, i := range r.instances {
		all = append(all, i.read())
	}
	slices.SortFunc(all, func(a, b *Instance) int { return cmp.Compare(a.no, b.no) })
	return all
}

// History is what an instance has done in its present generation, and in the one before if all is set: as much as a
// database keeps. Errors: NOT_FOUND.
func (r *Rehearsal) History(id string, all bool) ([]history.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instances[id]
	switch {
	case i == nil:
		return nil, instanceNotFound(id)
	case all:
		return slices.Concat(i.before, i.past), nil
	}
	return slices.Clone(i.past), nil
}

// Running names the activities and steps that the clock waits for.
func (r *Rehearsal) Running() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for t := range r.running {
		out = append(out, fmt.Sprintf("%s of instance %q", t.what(), t.task.InstanceID))
	}
	slices.Sort(out)
	return out
}

// Next does the next thing there is to do until a point in time (zero: whenever): it waits for running activities,
// runs a turn, or else moves the clock on to what is due next. It returns false when there is nothing left to do until
// then; the clock then shows that time. Errors end the rehearsal: something has no handler, or cannot be run without
// a database. Another error is the context's, and Next may be called again.
func (r *Rehearsal) Next(ctx context.Context, until time.Time) (more bool, err error) {
	if err := r.quiet(ctx); err != nil {
		return false, err
	}
	r.mu.Lock()
	if r.err != nil {
		defer r.mu.Unlock()
		return false, r.err
	}
	if len(r.over) > 0 {
		r.takeResults()
		r.mu.Unlock()
		return true, nil
	}
	if len(r.ready) > 0 {
		i := r.ready[0]
		r.ready = slices.Delete(r.ready, 0, 1)
		i.queued = false
		r.mu.Unlock()
		return true, r.stop(r.turn(ctx, i))
	}
	if len(r.busy) > 0 {
		x := r.busy[0]
		r.busy = slices.Delete(r.busy, 0, 1)
		r.mu.Unlock()
		return true, r.stop(r.operate(ctx, x))
	}
	for len(r.agenda) > 0 && r.agenda[0].fn == nil {
		heap.Pop(&r.agenda)
	}
	if len(r.agenda) == 0 || (!until.IsZero() && r.agenda[0].at.After(until)) {
		if until.After(r.now) {
			r.now = until.UTC()
		}
		r.mu.Unlock()
		return false, nil
	}
	if at := r.agenda[0].at; at.After(r.now) {
		r.now = at
	}
	// All that is due at this moment at once: it arrives in one turn.
	var due []func()
	for at := r.agenda[0].at; len(r.agenda) > 0 && !r.agenda[0].at.After(at); {
		due = append(due, heap.Pop(&r.agenda).(*entry).take())
	}
	r.mu.Unlock()
	for _, fn := range due {
		if fn != nil {
			fn()
		}
	}
	return true, nil
}

// Close unwinds the code of all instances, and returns when what runs has ended, or ctx.
func (r *Rehearsal) Close(ctx context.Context) {
	r.mu.Lock()
	r.err = errors.New("the rehearsal is closed")
	var codes []Orchestration
	for _, i := range r.instances {
		i.drop()
		if i.code != nil && !i.turning {
			codes = append(codes, i.code)
			i.code = nil
		}
	}
	r.mu.Unlock()
	for _, c := range codes {
		c.Close()
	}
	done := make(chan struct{})
	go func() { r.tasks.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// --- the clock -----------------------------------------------------------------------------------

// quiet waits until no attempt is at work.
func (r *Rehearsal) quiet(ctx context.Context) error {
	for {
		r.mu.Lock()
		n := len(r.running)
		r.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-r.signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Rehearsal) poke() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// stop ends the rehearsal if there is an error.
func (r *Rehearsal) stop(err error) error {
	if err != nil {
		r.mu.Lock()
		r.err = cmp.Or(r.err, err)
		r.mu.Unlock()
	}
	return err
}

// --- instances: everything below but turn is called under the lock -------------------------------

func (r *Rehearsal) start(req *StartRequest, parent parentOf) *rehearsed {
	r.made++
	i := &rehearsed{
		no: r.made, parent: parent, keys: map[string]bool{}, state: newState(0), tasks: map[int32]*rehearsedTask{},
		timers: map[int32]*entry{},
		info: Info{
			Hub: r.cfg.Hub, InstanceID: req.ID, Name: req.Name, Version: req.Version, ExecutionID: executionID(r.made, 0), CreatedAt: r.now,
		},
		instance: Instance{
			Hub: r.cfg.Hub, ID: req.ID, Name: req.Name, Version: req.Version, Status: history.Pending, CreatedAt: r.now, UpdatedAt: r.now,
			FirstSeq: 1, no: r.made, Tags: maps.Clone(req.Tags),
		},
	}
	if p := parent.instance; p != nil {
		i.info.Parent = &history.Parent{InstanceID: p.info.InstanceID, Name: p.info.Name, TaskID: parent.task}
		i.instance.Parent = &Ref{p.info.InstanceID, p.info.Name}
	}
	i.instance.ExecutionID = i.info.ExecutionID
	r.instances[req.ID] = i
	begin := func() {
		i.due = true
		r.deliver(i, letter{kind: msgStart, events: []history.Event{&history.ExecutionStarted{
			InstanceID: i.info.InstanceID, ExecutionID: i.info.ExecutionID, Name: i.info.Name, Version: i.info.Version,
			Input: req.Input, Parent: i.info.Parent, Tags: req.Tags,
		}}})
	}
	if !req.At.After(r.now) {
		begin()
		return i
	}
	at := req.At.UTC()
	i.instance.ScheduledAt = &at
	r.schedule(at, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if i.instance.Status.Live() {
			begin()
		}
	})
	return i
}

// deliver puts a letter into the instance's inbox and sees to it that it is read.
func (r *Rehearsal) deliver(i *rehearsed, l letter) {
	if !i.instance.Status.Live() {
		return
	}
	i.letters = append(i.letters, l)
	r.wake(i)
}

func (r *Rehearsal) wake(i *rehearsed) {
	if i.due && !i.queued && !i.turning && i.instance.Held == nil && i.instance.Status.Live() && len(i.letters) > 0 {
		i.queued = true
		r.ready = append(r.ready, i)
	}
}

// tell delivers the outcome of a child.
func (r *Rehearsal) tell(p parentOf, answer func(task int32) history.Event) {
	if p.instance != nil {
		r.deliver(p.instance, letter{kind: msgResult, gen: p.gen, task: p.task, events: []history.Event{answer(p.task)}})
	}
}

// record adds events to the history.
func (i *rehearsed) record(events []history.Event) {
	i.past = append(i.past, events...)
	i.instance.Seq += int64(len(events))
}

func (i *rehearsed) read() *Instance {
	out := i.instance
	out.Queued = i.queued
	if out.Status == history.Running && !i.turning {
		out.Waiting = i.state.waiting()
	}
	return &out
}

// Report tells how all instances stand that have not ended, one a line, for people.
func (r *Rehearsal) Report() string {
	var b strings.Builder
	for _, i := range r.Instances() {
		if i.Status.Live() {
			fmt.Fprintf(&b, "instance %q, orchestration %q: %s\n", i.ID, i.Name, i.standing())
		}
	}
	return b.String()
}

func (i *Instance) standing() string {
	var waits []string
	switch w := i.Waiting; {
	case i.Held != nil:
		return "is held: " + i.Held.Message
	case w == nil:
		return "is " + i.Status.String()
	default:
		for _, e := range w.Events {
			waits = append(waits, fmt.Sprintf("event %q", e))
		}
		for _, t := range w.Tasks {
			waits = append(waits, fmt.Sprintf("%s %q", t.Kind, t.Name))
		}
		if w.Timer != nil {
			waits = append(waits, "the timer of "+w.Timer.Format(time.RFC3339))
		}
	}
	if waits == nil {
		return "waits for something that is no event, call or timer"
	}
	return "waits for " + strings.Join(waits, ", ")
}
