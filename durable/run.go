package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// run is one generation of an instance, in memory: user code, parked as coroutines where it waits, and what it
// waits for. It implements engine.Orchestration.
//
// The engine feeds it history events one by one, and after each every branch that can go on does, one at a
// time, in the order of their creation. So what the code sees depends on the history alone, not on how events
// were grouped into turns, and a replay takes the very same steps.
type run struct {
	x       *executor
	info    engine.Info
	handler *Handler
	ctx     *Context

	now       time.Time
	tags      map[string]string
	replaying bool
	nextID    int32
	// decisions are made by the code and not yet taken by the engine or matched with the history.
	decisions []history.Event
	pending   map[int32]*core
	steps     map[int32]func(context.Context) (history.Payload, error) // nil until the first

	branches  []*branch // that have not ended
	forked    int
	ready     []*branch
	current   *branch
	positions int
	closed    bool
	ended     bool
	failed    *engine.Held

	// Events by lower-case name: those that arrived and were not taken, and those that are waited for.
	arrived  []*history.EventRaised
	expected []*expectedEvent

	// Patches by change: whether the code takes the new way, once it has asked or the history says so. patchAt are
	// the decisions of the history that say so, by number.
	patches map[string]bool
	patchAt map[int32]*history.PatchRecorded

	section   *section                          // nil outside of critical sections
	canceling *history.ExecutionCancelRequested // set once somebody has asked for it
	cores     int                               // futures made

	status   history.Payload   // set since the last turn
	progress []history.Payload // said since the last turn
	ids      int
	rand     *rand.Rand
	logger   *slog.Logger
}

type expectedEvent struct {
	name string
	core *core
}

// branch is a coroutine of user code.
type branch struct {
	n      int
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	queued bool
	ended  bool
}

// unwinding is what a parked branch panics with when its run is closed, so that user code's defers run.
type unwinding struct{}

func newRun(x *executor, h *Handler, info engine.Info) *run {
	r := &run{
		x: x, info: info, handler: h, pending: map[int32]*core{},
	}
	r.ctx = &Context{run: r, scope: newScope(r, nil)}
	return r
}

// --- the engine's side ---------------------------------------------------------------------------

// replay brings the code to where the history ends, checking every step of it against the history.
func (r *run) replay(past []history.Event) error {
	r.replaying = true
	for _, e := range past {
		if p, ok := e.(*history.PatchRecorded); ok {
			if r.patchAt == nil {
				r.patchAt = map[int32]*history.PatchRecorded{}
			}
			r.patchAt[p.ID] = p
		}
	}
	for _, e := range past {
		if _, isDecision := engine.DecisionID(e); isDecision {
			if err := r.match(e); err != nil {
				return err
			}
			continue
		}
		if _, isTurn := e.(*history.OrchestratorStarted); isTurn && len(r.decisions) > 0 {
			return r.mismatch(nil, r.decisions[0])
		}
		if err := r.feed(e); err != nil {
			return err
		}
	}
	if len(r.decisions) > 0 {
		return r.mismatch(nil, r.decisions[0])
	}
	r.status = history.Payload{} // the instance has it
	r.replaying = false
	return nil
}

// match compares a decision of the history with the one that the code has just made.
func (r *run) match(want history.Event) error {
	if len(r.decisions) == 0 {
		r.skipPatches()
	}
	if len(r.decisions) == 0 {
		return r.mismatch(want, nil)
	}
	have := r.decisions[0]
	if describe(want) != describe(have) {
		return r.mismatch(want, have)
	}
	r.decisions = r.decisions[1:]
	return nil
}

// mismatch tells where code and history part, with both names.
func (r *run) mismatch(want, have history.Event) error {
	h := &engine.Held{Kind: "nondeterminism", Step: -1, Expected: describe(want), Actual: describe(have)}
	for _, e := range []history.Event{want, have} {
		if id, ok := engine.DecisionID(e); e != nil && ok {
			h.Step = id
			break
		}
	}
	h.Message = fmt.Sprintf("the code does not match the history at step %d: the history has %s, the code does %s", h.Step, h.Expected, h.Actual)
	return h
}

// describe names a decision by what must not change between the code that made it and the code that replays
// it.
func describe(e history.Event) string {
	switch e := e.(type) {
	case nil:
		return "nothing"
	case *history.TaskScheduled:
		if e.Step {
			return fmt.Sprintf("step %q", e.Name)
		}
		return fmt.Sprintf("activity %q", e.Name)
	case *history.TimerCreated:
		return "a timer"
	case *history.SubOrchestrationInstanceCreated:
		return fmt.Sprintf("orchestration %q", e.Name)
	case *history.EventSent:
		return fmt.Sprintf("event %q sent to %q", e.Name, e.InstanceID)
	case *history.PatchRecorded:
		return fmt.Sprintf("patch %q", e.Change)
	case *history.EntityOperationSignaled:
		return fmt.Sprintf("operation %q signaled to %q", e.Operation, e.EntityID)
	case *history.EntityOperationCalled:
		return fmt.Sprintf("operation %q called of %q", e.Operation, e.EntityID)
	case *history.EntityLockRequested:
		return "lock of " + strings.Join(e.Entities, ", ")
	case *history.EntityUnlockSent:
		return "unlock"
	case *history.TaskCanceled:
		return fmt.Sprintf("cancellation of decision %d", e.TaskID)
	case *history.ExecutionCompleted:
		if e.Status == history.ContinuedAsNew {
			return "continue as new"
		}
		return "the end"
	}
	return history.TypeName(e)
}

// Turn implements engine.Orchestration.
func (r *run) Turn(_ context.Context, events []history.Event) (engine.Turn, error) {
	for _, e := range events {
		if err := r.feed(e); err != nil {
			return engine.Turn{}, err
		}
	}
	if n := len(r.decisions); n > 0 {
		if end, ok := r.decisions[n-1].(*history.ExecutionCompleted); ok && end.Status == history.ContinuedAsNew {
			// Known only now: events may have arrived in this turn after the code had ended its generation.
			end.CarryOver = r.arrived
		}
	}
	t := engine.Turn{Decisions: r.decisions, CustomStatus: r.status, Progress: r.progress, Awaits: r.Awaits()}
	r.decisions, r.status, r.progress = nil, history.Payload{}, nil
	return t, nil
}

// Awaits implements engine.Orchestration.
func (r *run) Awaits() []string {
	var names []string
	for _, e := range r.expected {
		if !slices.Contains(names, e.name) {
			names = append(names, e.name)
		}
	}
	return names
}

// feed takes in one event that is not a decision, and lets the code go on.
func (r *run) feed(e history.Event) error {
	switch e := e.(type) {
	case *history.OrchestratorStarted:
		if e.At.After(r.now) { // a suspension may have been recorded by another clock
			r.now = e.At
		}
	case *history.ExecutionStarted:
		r.info.ExecutionID = e.ExecutionID // of a rewound instance the first one: ids that the code has made stay the same
		r.tags = e.Tags
		r.fork(func() { r.end(r.handler.orchestrate(r.ctx, e.Input)) })
	case *history.TaskCompleted:
		r.answer(e.TaskID, e.Result, nil, e.Attempts)
	case *history.TaskFailed:
		r.answer(e.TaskID, history.Payload{}, e.Failure, e.Attempts)
	case *history.SubOrchestrationInstanceCompleted:
		r.answer(e.TaskID, e.Result, nil, 0)
	case *history.SubOrchestrationInstanceFailed:
		r.answer(e.TaskID, history.Payload{}, e.Failure, 0)
	case *history.TimerFired:
		r.answer(e.TimerID, history.Payload{}, nil, 0)
	case *history.EventRaised:
		r.deliver(e)
	case *history.EntityOperationCompleted:
		r.answer(e.TaskID, e.Result, nil, 0)
	case *history.EntityOperationFailed:
		r.answer(e.TaskID, history.Payload{}, e.Failure, 0)
	case *history.EntityLockGranted:
		r.answer(e.TaskID, history.Payload{}, nil, 0)
	case *history.ExecutionCancelRequested:
		r.cancelRequested(e)
	}
	r.resume()
	if r.failed != nil {
		return r.failed
	}
	return nil
}

// Step implements engine.Orchestration.
func (r *run) Step(id int32) func(context.Context) engine.Result {
	fn := r.steps[id]
	if fn == nil {
		return nil
	}
	return func(ctx context.Context) engine.Result {
		return attempt(func() (history.Payload, error) { return fn(ctx) })
	}
}

// Close implements engine.Orchestration: parked code is unwound, so that its defers run; whatever they do on the
// context has no effect.
func (r *run) Close() {
	r.closed = true
	for _, b := range r.branches {
		b.stop()
	}
	r.branches = nil
}

// --- scheduling ----------------------------------------------------------------------------------

// fork starts a branch; it runs when its turn comes.
func (r *run) fork(fn func()) {
	b := &branch{n: r.forked}
	r.forked++
	b.next, b.stop = iter.Pull(func(yield func(struct{}) bool) {
		b.yield = yield
		defer func() {
			b.ended = true
			if p := recover(); p != nil {
				if _, ok := p.(unwinding); ok {
					return
				}
				if held, ok := p.(*engine.Held); ok && !r.closed {
					r.failed = cmp.Or(r.failed, held)
					return
				}
				if r.failed == nil && !r.closed {
					r.failed = &engine.Held{
						Kind: "panic", Step: r.nextID, Message: fmt.Sprintf("the orchestration's code panics: %v", p), Stack: string(debug.Stack()),
					}
				}
			}
		}()
		fn()
	})
	r.branches = append(r.branches, b)
	r.wake(b)
}

func (r *run) wake(b *branch) {
	if !b.queued && !b.ended {
		b.queued = true
		r.ready = append(r.ready, b)
	}
}

// resume runs branches until all of them wait or have ended.
func (r *run) resume() {
	for len(r.ready) > 0 && r.failed == nil {
		i := 0
		for k, b := range r.ready {
			if b.n < r.ready[i].n {
				i = k
			}
		}
		b := r.ready[i]
		r.ready = slices.Delete(r.ready, i, i+1)
		b.queued = false
		if r.ended {
			continue // the orchestration has returned; its branches go no further
		}
		r.current = b
		b.next()
		r.current = nil
		if b.ended {
			r.branches = slices.DeleteFunc(r.branches, func(x *branch) bool { return x == b })
		}
	}
}

// park waits, on the branch that calls it, until cond holds; it is looked at again when one of the futures is
// done.
func (r *run) park(cond func() bool, on ...*core) {
	for !cond() {
		if r.closed {
			panic(unwinding{})
		}
		b := r.current
		if b == nil {
			panic("durable: an orchestration's context was used outside of its orchestration: use durable.Go, not the go statement")
		}
		for _, c := range on {
			if !c.done && !slices.Contains(c.waiters, b) {
				c.waiters = append(c.waiters, b)
			}
		}
		if !b.yield(struct{}{}) {
			panic(unwinding{})
		}
		r.current = b
	}
}

func (r *run) newCore(what string) *core {
	r.cores++
	return &core{run: r, what: what, made: r.cores}
}

// complete makes a future done and wakes who waits for it.
func (r *run) complete(c *core, p history.Payload, f *history.Failure, attempts int) {
	if c.done {
		return
	}
	r.positions++
	if c.scope != nil {
		c.scope.leave(c)
	}
	c.done, c.position, c.payload, c.failure, c.attempts = true, r.positions, p, f, attempts
	for _, fn := range c.observers {
		fn()
	}
	for _, b := range c.waiters {
		r.wake(b)
	}
	c.waiters, c.observers = nil, nil
}

func (r *run) answer(id int32, p history.Payload, f *history.Failure, attempts int) {
	if c := r.pending[id]; c != nil {
		delete(r.pending, id)
		delete(r.steps, id)
		r.complete(c, p, f, attempts)
	}
}

// --- decisions -----------------------------------------------------------------------------------

// decide records a decision and returns the future of its answer.
func (r *run) decide(what string, e history.Event) *core {
	r.touch()
	c := r.newCore(what)
	c.id, c.decided = r.nextID, true
	r.pending[r.nextID] = c
	r.nextID++
	r.decisions = append(r.decisions, e)
	return c
}

// number is the number of the next decision.
func (r *run) number() int32 {
	r.touch()
	r.skipPatches()
	return r.nextID
}

// patched tells whether the code takes the new way at a change. What it has done before the change was made it does
// again in the old way, for this generation.
func (r *run) patched(change string) bool {
	r.touch()
	if err := engine.CheckName("change", change); err != nil {
		panic(fmt.Errorf("patched: %w", err)) // a bug in the orchestration: the turn is held and shown
	}
	if take, asked := r.patches[change]; asked {
		return take
	}
	recorded := false
	for _, p := range r.patchAt {
		recorded = recorded || p.Change == change && p.ID >= r.nextID
	}
	if r.replaying && !recorded {
		r.takes(change, false)
		return false
	}
	r.number() // patches that the history has here and the code asks for no more
	if _, asked := r.patches[change]; !asked {
		r.recordPatch(change)
	}
	return true
}

func (r *run) recordPatch(change string) {
	r.takes(change, true)
	r.decisions = append(r.decisions, &history.PatchRecorded{ID: r.nextID, Change: change})
	r.nextID++
}

// takes notes which way the code takes at a change.
func (r *run) takes(change string, fresh bool) {
	if r.patches == nil {
		r.patches = map[string]bool{}
	}
	r.patches[change] = fresh
}

// skipPatches does what the history says where the code no longer asks: instances outlive the question.
func (r *run) skipPatches() {
	for p := r.patchAt[r.nextID]; p != nil; p = r.patchAt[r.nextID] {
		r.recordPatch(p.Change)
	}
}

// touch guards against use of the context by code that is not the orchestration's.
func (r *run) touch() {
	if r.closed {
		panic(unwinding{})
	}
	if r.current == nil {
		panic("durable: an orchestration's context was used outside of its orchestration: use durable.Go, not the go statement")
	}
}

// refuse returns a future that has failed already, because the call cannot be made.
func (r *run) refuse(what string, err error) *core {
	c := r.newCore(what)
	f := toFailure(err)
	f.NonRetriable = true
	r.complete(c, history.Payload{}, f, 0)
	return c
}

func (r *run) activity(name string, in any, native bool, o callOptions) *core {
	what := "activity " + name
	if err := engine.CheckName("activity", name); err != nil {
		return r.refuse(what, err)
	}
	input, err := r.input(in, native)
	if err != nil {
		return r.refuse(what, err)
	}
	version := o.version.or(Version(r.x.activityVersion(name, r.info.Version)))
	if err := cmp.Or(o.check(), o.checkVersion(native)); err != nil {
		return r.refuse(what, err)
	}
	c := r.decide(what, &history.TaskScheduled{
		ID: r.number(), Name: name, Version: version, Input: input, Native: native, Queue: o.queue, Retry: o.retry.policy(), Timeout: history.Duration(o.timeout),
		StartTimeout: history.Duration(o.startTimeout), Overall: history.Duration(o.overall), Heartbeat: history.Duration(o.heartbeat),
		Priority: o.priority, Limit: o.named, Key: o.key,
	})
	c.plain = native
	return c
}

// input writes the input of an activity. A plain River worker reads its arguments itself.
func (r *run) input(in any, native bool) (history.Payload, error) {
	if native {
		return encode(in)
	}
	return r.encode(in)
}

func (r *run) step(name string, fn func(context.Context) (history.Payload, error), o callOptions) *core {
	what := "step " + name
	if err := engine.CheckName("step", name); err != nil {
		return r.refuse(what, err)
	}
	if err := cmp.Or(o.check(), o.checkUnnamed("steps")); err != nil {
		return r.refuse(what, err)
	}
	id := r.number()
	c := r.decide(what, &history.TaskScheduled{
		ID: id, Name: name, Step: true, Retry: o.retry.policy(), Timeout: history.Duration(o.timeout), Heartbeat: history.Duration(o.heartbeat),
	})
	if r.steps == nil {
		r.steps = map[int32]func(context.Context) (history.Payload, error){}
	}
	r.steps[id] = fn
	return c
}

func (r *run) timer(at time.Time) *core {
	return r.decide("timer", &history.TimerCreated{ID: r.number(), FireAt: at.UTC().Truncate(time.Microsecond)})
}

func (r *run) child(name string, in any, o callOptions) *core {
	what := "orchestration " + name
	if r.section != nil {
		return r.refuse(what, againstTheRules("within a critical section no child orchestration can be called"))
	}
	n := r.number()
	id, version := cmp.Or(o.id, r.childID()), o.version.or(r.x.versions.Default)
	if err := cmp.Or(engine.CheckName("orchestration", name), engine.CheckID("id", id), engine.CheckVersion("version", version), engine.CheckTags("tags", o.tags),
		engine.CheckPriority("Priority", o.priority), o.checkUnnamed("orchestrations"), o.check()); err != nil {
		return r.refuse(what, err)
	}
	input, err := r.encode(in)
	if err != nil {
		return r.refuse(what, err)
	}
	return r.decide(what, &history.SubOrchestrationInstanceCreated{
		ID: n, InstanceID: id, Name: name, Version: version, Input: input, Priority: o.priority, Tags: o.tags,
	})
}

// childID is the id of a child that was given none: its parent's, and the number of the decision.
func (r *run) childID() string {
	id := fmt.Sprintf("%s:%d.%d", r.info.InstanceID, r.info.Generation, r.nextID)
	if engine.CheckID("id", id) != nil {
		return r.ctx.NewID() // the parent's id is too long to be built on
	}
	return id
}

func (r *run) send(name, instance string, input history.Payload) {
	r.decide("event", &history.EventSent{ID: r.number(), InstanceID: instance, Name: name, Input: input})
}

// end records how the orchestration function has ended.
func (r *run) end(output history.Payload, err error) {
	done := &history.ExecutionCompleted{Status: history.Completed, Result: output}
	var again *continueAsNew
	switch {
	case asContinue(err, &again):
		done.Status, done.Result, done.NewVersion = history.ContinuedAsNew, again.input, again.version
	case r.canceling != nil && errors.Is(err, ErrCanceled):
		done.Status, done.Result, done.Failure = history.Canceled, history.Payload{}, canceled(r.canceling.Reason)
		done.Failure.Inner = toFailure(err)
	case err != nil:
		done.Status, done.Result, done.Failure = history.Failed, history.Payload{}, toFailure(err)
	}
	done.ID = r.number()
	r.decide("the end", done)
	r.ended = true
}

// asContinue finds the request to continue as new, which must be returned as it is.
func asContinue(err error, into **continueAsNew) bool {
	c, ok := err.(*continueAsNew) //nolint:errorlint // wrapped, it is a mistake and fails the instance with its text
	*into = c
	return ok
}

// --- events --------------------------------------------------------------------------------------

// nextEvent waits for the next event of a name: the oldest that arrived and was not taken, else the next to
// arrive, after those that were asked for before.
func (r *run) nextEvent(name string) *core {
	r.touch()
	c := r.newCore("event " + name)
	for i, e := range r.arrived {
		if strings.EqualFold(e.Name, name) {
			r.arrived = slices.Delete(r.arrived, i, i+1)
			r.complete(c, e.Input, nil, 0)
			return c
		}
	}
	r.expected = append(r.expected, &expectedEvent{name, c})
	return c
}

func (r *run) deliver(e *history.EventRaised) {
	if r.ended { // what the code had asked for it takes no more: this is for the next generation
		r.arrived = append(r.arrived, e)
		return
	}
	for i, x := range r.expected {
		if strings.EqualFold(x.name, e.Name) {
			r.expected = slices.Delete(r.expected, i, i+1)
			r.complete(x.core, e.Input, nil, 0)
			return
		}
	}
	r.arrived = append(r.arrived, e)
}

// forgetEvent takes back the wish for an event.
func (r *run) forgetEvent(c *core) {
	r.expected = slices.DeleteFunc(r.expected, func(x *expectedEvent) bool { return x.core == c })
}
