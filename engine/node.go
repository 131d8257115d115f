package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// NodeConfig says what a process that takes part does.
type NodeConfig struct {
	// Hub is the task hub whose instances a worker executes; empty for a server, which only fires timers,
	// delivers events and looks after the dead.
	Hub string
	// Name and Build are shown in the dashboard; the defaults are host name and process id, and "".
	Name  string
	Build string
	// Executor runs user code; nil for a server.
	Executor Executor
	// Activities is how many activities run at once in this process; 0 means 1000.
	Activities int
	// Backlog is how many more may wait in memory for a slot before they are left to other workers; 0 means
	// four times Activities.
	Backlog int
	// Queues names the groups of activities that this worker runs besides those of no group.
	Queues []string
	// Cache is how many idle instances stay in memory; 0 means 10,000.
	Cache int
	// IdleRelease is how long a session without work keeps its instance, in case more is to come; 0 means 100 ms.
	IdleRelease time.Duration
	// MaxDecisions bounds the decisions of one turn; 0 means 100,000.
	MaxDecisions int
	// AuditEvery is how often the node looks for jobs that somebody has cancelled, deleted or lost, and AuditAge how
	// long an instance has been let alone before it does; 0 means 10 s and a minute.
	AuditEvery time.Duration
	AuditAge   time.Duration
}

// Node is a process's part in executing instances: it holds sessions, fires timers and watches over the other
// nodes. It lives from Join until it is fenced or leaves; a process that goes on then joins again.
type Node struct {
	e      *Engine
	cfg    NodeConfig
	exec   Executor
	log    *slog.Logger
	no     int32
	name   string
	build  string
	client string
	hub    *Hub
	limits limits
	clock  *clock

	conn    *pgx.Conn // holds the advisory lock; owned by beat once run has begun
	lane    *lane
	loader  *loader
	slots   *slots
	cache   *cache
	timers  *timers
	metrics nodeMetrics

	ctx    context.Context // ends when the node is fenced, or closed
	cancel context.CancelCauseFunc

	mu        sync.Mutex
	sessions  map[int64]*session
	attempts  map[taskKey]*attempt
	handed    map[int64]bool // River rows of tasks that River has handed to this process
	watch     watch
	leader    bool
	drain     int // 0 no, 1 go when idle, 2 go now
	empty     chan struct{}
	busy      chan struct{} // there is a session, where there was none
	lastFence time.Time     // owned by reap
	harvested time.Time     // when all finalized jobs were looked at
	deaths    chan int32
}

// Join registers the process under a fresh number and takes the advisory lock that says it lives. Errors:
// NOT_FOUND for the hub.
func (e *Engine) Join(ctx context.Context, cfg NodeConfig) (*Node, error) {
	if cfg.Activities == 0 {
		cfg.Activities = 1000
	}
	if cfg.Backlog == 0 {
		cfg.Backlog = 4 * cfg.Activities
	}
	if cfg.Cache == 0 {
		cfg.Cache = 10_000
	}
	if cfg.IdleRelease == 0 {
		cfg.IdleRelease = 100 * time.Millisecond
	}
	if cfg.MaxDecisions == 0 {
		cfg.MaxDecisions = 100_000
	}
	if cfg.AuditEvery == 0 {
		cfg.AuditEvery = auditEvery
	}
	if cfg.AuditAge == 0 {
		cfg.AuditAge = auditAge
	}
	if cfg.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		cfg.Name = host + "-" + strconv.Itoa(os.Getpid())
	}
	n := &Node{
		e: e, cfg: cfg, exec: cfg.Executor, name: cfg.Name, build: cfg.Build, clock: newClock(),
		limits: limits{payload: e.cfg.PayloadLimit, decisions: cfg.MaxDecisions},
		slots:  &slots{limit: cfg.Activities, backlog: cfg.Backlog}, cache: newCache(cfg.Cache),
		sessions: map[int64]*session{}, attempts: map[taskKey]*attempt{}, handed: map[int64]bool{},
		deaths: make(chan int32, 16), busy: make(chan struct{}, 1),
	}
	var hubNo int32
	if cfg.Hub != "" {
		hub, err := e.hub(ctx, cfg.Hub)
		if err != nil {
			return nil, err
		}
		n.hub, hubNo = hub, hub.no
	}
	if err := n.register(ctx, hubNo); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return n, nil
}

// register takes the lock first and enters the node second: in the other order a reaper could find it dead at
// birth.
func (n *Node) register(ctx context.Context, hub int32) error {
	e := n.e
	conn, err := e.db.Connect(ctx, "worker", map[string]string{"lock_timeout": "2s", "idle_session_timeout": "0"})
	if err != nil {
		return err
	}
	fail := func(err error) error {
		_ = conn.Close(ctx)
		return err
	}
	if n.no, err = e.q.TakeWorkerNo(ctx, conn); err != nil {
		return fail(err)
	}
	if err := e.q.LockWorker(ctx, conn, n.no); err != nil {
		return fail(err)
	}
	pid, start, err := store.BackendOf(ctx, conn)
	if err != nil {
		return fail(err)
	}
	n.client = fmt.Sprintf("weir-%d-%d", n.no, time.Now().UnixNano())
	caps := Capabilities{}
	if n.exec != nil {
		caps = n.exec.Kinds()
		caps.Slots = n.cfg.Activities
	}
	capsJSON, err := json.Marshal(caps)
	if err != nil {
		return fail(err)
	}
	n.log = e.log.With("worker", n.no)
	n.lane = newLane(&lane{
		db: e.db, q: e.q, log: n.log, name: "lane", no: n.no, client: n.client, jobIDs: e.jobIDs,
		watched: n.watched, plans: e.plans.now, tell: e.herald.tell, woken: n.wake, committed: e.feed.local, fenced: n.fence,
	})
	if err := n.lane.open(ctx); err != nil {
		return fail(err)
	}
	err = e.q.InsertWorker(ctx, conn, store.InsertWorkerParams{
		No: n.no, Hub: hub, Name: n.name, Build: n.build, RiverClient: n.client, Caps: capsJSON, LockPid: pid, LockBackendStart: start,
	})
	if err != nil {
		return fail(err)
	}
	for _, channel := range []string{"wake." + strconv.Itoa(int(n.no)), "watch"} {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{e.db.Channel(channel)}.Sanitize()); err != nil {
			return fail(err)
		}
	}
	if n.loader, err = newLoader(ctx, n); err != nil {
		return fail(err)
	}
	n.conn = conn
	n.timers = newTimers(n)
	n.ctx, n.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return n.beat(ctx)
}

// No is the node's number.
func (n *Node) No() int32 { return n.no }

// RiverClient is the id that the node's River client must have: by it, rows tell who runs them.
func (n *Node) RiverClient() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.client
}

// SetRiverClient says that River jobs reach this node through a client of another id.
func (n *Node) SetRiverClient(ctx context.Context, id string) error {
	if err := n.e.q.SetRiverClient(ctx, n.e.pool, store.SetRiverClientParams{RiverClient: id, No: n.no}); err != nil {
		return fmt.Errorf("register river client: %w", err)
	}
	n.mu.Lock()
	n.client = id
	n.mu.Unlock()
	return nil
}

// Hub is the hub the node works for; nil for a server.
func (n *Node) Hub() *Hub { return n.hub }

// No is the hub's number in the database.
func (h *Hub) No() int32 { return h.no }

// Run does the node's work until it is fenced, which is the error ErrFenced, or Close is called, which is none.
func (n *Node) Run() error {
	g, ctx := errgroup.WithContext(n.ctx)
	g.Go(func() error { n.lane.run(ctx); return nil })
	g.Go(func() error { return n.loader.run(ctx) })
	g.Go(func() error { return n.timers.run(ctx) })
	g.Go(func() error { return n.listen(ctx) })
	g.Go(func() error { return n.reap(ctx) })
	g.Go(func() error { return n.ring(ctx) })
	g.Go(func() error { return n.audit(ctx) })
	err := g.Wait()
	if cause := context.Cause(n.ctx); errors.Is(cause, ErrFenced) {
		err = ErrFenced
	} else if errors.Is(err, context.Canceled) {
		err = nil
	}
	n.cancel(err)
	n.cache.clear()
	return err
}

// fence ends the node: somebody has declared it dead, or it cannot prove that it lives.
func (n *Node) fence(why error) {
	n.log.Warn("fenced", "reason", why)
	n.cancel(ErrFenced)
}

// Done is closed when the node has ended.
func (n *Node) Done() <-chan struct{} { return n.ctx.Done() }

// Drain asks every session to let go as soon as it is idle, and hands over what is left when ctx ends. It
// returns when no session is left. The caller has stopped River from handing out more.
func (n *Node) Drain(ctx context.Context) {
	n.tellSessions(1, func(m *mail) { m.drain = true })
	select {
	case <-n.drained():
		return
	case <-n.ctx.Done():
	case <-ctx.Done():
		n.tellSessions(2, func(m *mail) { m.drain, m.drainOver = true, true })
	}
	select {
	case <-n.drained():
	case <-n.ctx.Done():
	case <-time.After(10 * time.Second): // user code that does not return cannot hold the process up for ever
	}
}

func (n *Node) tellSessions(level int, fn func(*mail)) {
	n.mu.Lock()
	n.drain = level
	all := make([]*session, 0, len(n.sessions))
	for _, s := range n.sessions {
		all = append(all, s)
	}
	n.mu.Unlock()
	for _, s := range all {
		s.post(fn)
	}
}

// drained returns a channel that is closed when there are no sessions.
func (n *Node) drained() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.empty == nil {
		n.empty = make(chan struct{})
		if len(n.sessions) == 0 {
			close(n.empty)
		}
	}
	return n.empty
}

// Close leaves: the node's row is marked, so that nobody has to find out that it is gone, and its connections
// are closed.
func (n *Node) Close(ctx context.Context) {
	if n.ctx.Err() == nil {
		if err := n.e.q.MarkWorker(ctx, n.e.pool, store.MarkWorkerParams{State: 2, No: n.no}); err != nil {
			n.log.WarnContext(ctx, "leave", "error", err)
		}
	}
	n.cancel(context.Canceled)
}

// RunSession works a turn job until there is nothing to do for the instance, or no right to do it.
func (n *Node) RunSession(ctx context.Context, job TurnJob) Verdict {
	no := job.No
	s := &session{
		n: n, no: no, job: job.ID, handed: job, local: map[int32]*attempt{}, signal: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	for {
		n.mu.Lock()
		old := n.sessions[no]
		if old == nil {
			if len(n.sessions) == 0 {
				select {
				case n.busy <- struct{}{}:
				default:
				}
			}
			n.sessions[no] = s
			s.mail.drain, s.mail.drainOver = n.drain >= 1, n.drain >= 2
			n.mu.Unlock()
			break
		}
		n.mu.Unlock()
		// A session whose job was replaced, and that has not noticed yet.
		old.post(func(m *mail) { m.evict = true })
		select {
		case <-old.gone:
		case <-n.ctx.Done():
			return Verdict{Snooze: 100 * time.Millisecond}
		case <-ctx.Done():
			return Verdict{Snooze: 100 * time.Millisecond}
		}
	}
	n.metrics.sessions.Inc()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	return s.run(ctx)
}

func (n *Node) remove(s *session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sessions[s.no] == s {
		delete(n.sessions, s.no)
	}
	if len(n.sessions) == 0 && n.empty != nil {
		select {
		case <-n.empty:
		default:
			close(n.empty)
		}
	}
}

// wake tells sessions that their inboxes hold something. One that is not here is ignored: its turn job is the
// promise, not the wake-up.
func (n *Node) wake(nos []int64) {
	for _, no := range nos {
		n.mu.Lock()
		s := n.sessions[no]
		n.mu.Unlock()
		if s != nil {
			s.post(func(m *mail) { m.wake = true })
		}
	}
}

func (n *Node) laneOf(int64) *lane { return n.lane }

func (n *Node) serves(group string) bool {
	if group == "" {
		return true
	}
	return slices.Contains(n.cfg.Queues, group)
}

func (n *Node) watched(context.Context, *pgx.Conn) watch {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.watch
}

// dropJob deletes a turn job that entitles nobody.
func (n *Node) dropJob(ctx context.Context, s *session) error {
	if err := n.e.q.DeleteJob(ctx, n.e.pool, s.job); err != nil {
		return fmt.Errorf("drop stale turn job: %w", err)
	}
	s.verdict = &Verdict{Done: true}
	return nil
}

// ringEvery is how exactly sessions are woken that wait for a while. A timer for each would cost more than their
// turns' decisions.
const ringEvery = 20 * time.Millisecond

// ring wakes sessions whose alarm is due, as long as there are sessions.
func (n *Node) ring(ctx context.Context) error {
	tick := time.NewTicker(ringEvery)
	defer tick.Stop()
	for {
		tick.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.busy:
		}
		tick.Reset(ringEvery)
		for n.ringDue() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
}

// ringDue wakes those that are due now, and tells whether there are any sessions.
func (n *Node) ringDue() bool {
	now := time.Now().UnixNano()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if at := s.alarm.Load(); at != 0 && at <= now && s.alarm.CompareAndSwap(at, 0) {
			s.poke()
		}
	}
	return len(n.sessions) > 0
}

// slowTurn is how long a turn may take before it is told of.
const slowTurn = time.Second

// findSlowTurns tells of user code that blocks, once for each turn.
func (n *Node) findSlowTurns(ctx context.Context) {
	before := time.Now().Add(-slowTurn).UnixNano()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if began := s.turnBegan.Load(); began != 0 && began < before && s.turnBegan.CompareAndSwap(began, 0) {
			n.log.WarnContext(ctx, "a turn runs for more than a second: orchestration code must not block, do I/O in activities or steps",
				"instance", s.caption.Load().instance, "orchestration", s.caption.Load().orchestration)
		}
	}
}

// newAttempt makes the entry of a task that this process is to run.
func (n *Node) newAttempt(s *session, key taskKey, t *history.TaskScheduled, retry *history.Retry, tx bool, token int64) *attempt {
	a := &attempt{
		n: n, session: s, retry: retry, tx: tx, token: token,
		task: Task{
			Hub: s.info.Hub, InstanceID: s.info.InstanceID, ID: t.ID, Name: t.Name, Input: t.Input, Attempt: 1,
			Timeout: time.Duration(t.Timeout), key: key, e: n.e, node: n,
		},
	}
	a.task.attempt = a
	if t.Step {
		// Looked up here, on the session's goroutine: only it may touch the code.
		if a.task.Step = s.code.Step(t.ID); a.task.Step == nil {
			a.task.Step = func(context.Context) Result { return Result{Gone: true} }
		}
	}
	a.ctx, a.cancel = context.WithCancel(n.ctx)
	n.mu.Lock()
	n.attempts[key] = a
	n.mu.Unlock()
	return a
}

// forget removes a task of this process from the books.
func (n *Node) forget(a *attempt) {
	a.cancel()
	n.mu.Lock()
	if n.attempts[a.task.key] == a {
		delete(n.attempts, a.task.key)
	}
	n.mu.Unlock()
}

// abandon stops a task whose result nobody here may use any more.
func (n *Node) abandon(a *attempt) {
	a.mu.Lock()
	a.session = nil
	launched := !a.queuedAt.IsZero()
	entry := a.entry
	a.mu.Unlock()
	if !launched {
		n.slots.cancel()
	} else if entry != nil {
		n.slots.steal(entry)
	}
	n.forget(a)
}

// running tells whether this process runs the task.
func (n *Node) running(key taskKey) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attempts[key] != nil
}

// delivered follows a TxHandler's commit: its result is in the inbox.
func (n *Node) delivered(a *attempt) {
	n.forget(a)
	a.mu.Lock()
	s := a.session
	a.session = nil
	a.mu.Unlock()
	if s != nil {
		s.post(func(m *mail) { m.settled = append(m.settled, a); m.wake = true })
	}
}

// finishTask delivers an outcome by the task's token.
func (n *Node) finishTask(a *attempt, answer history.Event) {
	n.forget(a)
	n.submitToken(a.row(), a.task.key, answer, func(o outcome) {
		if o.err != nil && n.ctx.Err() == nil {
			n.log.Warn("deliver result", "instance", a.task.InstanceID, "activity", a.task.Name, "error", o.err)
		}
	})
	a.mu.Lock()
	s := a.session
	a.session = nil
	a.mu.Unlock()
	if s != nil {
		s.post(func(m *mail) { m.settled = append(m.settled, a); m.wake = true })
	}
}

func (n *Node) submitToken(token int64, key taskKey, answer history.Event, done func(outcome)) {
	events := []history.Event{answer}
	large, err := n.e.externalize(n.ctx, key.no, events)
	if err != nil {
		done(outcome{err: err})
		return
	}
	payload, err := history.Encode(events)
	if err != nil {
		done(outcome{err: err})
		return
	}
	n.lane.submit(&unit{
		no: key.no, large: large, tokens: []tokenResult{{token, key, payload}},
		done: func(_ *unit, o outcome) { done(o) },
	})
}

// parkTask puts a task with a token aside until its next attempt.
func (n *Node) parkTask(a *attempt) {
	n.forget(a)
	a.mu.Lock()
	s, until, why := a.session, a.parkUntil, a.parkErr
	a.session = nil
	a.mu.Unlock()
	n.submitPark(a.row(), a.task.key, until, why, func(o outcome) {
		if o.err != nil && n.ctx.Err() == nil {
			n.log.Warn("park task", "instance", a.task.InstanceID, "activity", a.task.Name, "error", o.err)
		}
	})
	if s != nil {
		s.post(func(m *mail) { m.settled = append(m.settled, a) })
	}
}

func (n *Node) submitPark(token int64, key taskKey, until time.Time, why []byte, done func(outcome)) {
	fresh, err := n.e.jobIDs.one(n.ctx)
	if err != nil {
		done(outcome{err: err})
		return
	}
	n.lane.submit(&unit{
		no: key.no, parks: []parkedTask{{token: token, fresh: fresh, key: key, fireAt: until, err: why}},
		done: func(_ *unit, o outcome) {
			if o.err == nil && o.parked {
				n.timers.hold([]newTimer{{timerKey: timerKey{key, timerRetry}, fireAt: until, holder: n.no}})
			}
			done(o)
		},
	})
}

// storedInput is the input of an instance that has not started.
func (n *Node) storedInput(ctx context.Context, row *store.OpenSessionsRow) (history.Payload, error) {
	return n.e.value(ctx, row.Input, &row.InputRef)
}

// beat says that the node lives, and learns the time.
func (n *Node) beat(ctx context.Context) error {
	before := time.Now()
	row, err := n.e.q.Heartbeat(ctx, n.conn, n.no)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	if err != nil {
		return err
	}
	n.clock.set(row.Now, before, time.Now())
	n.mu.Lock()
	n.watch = watch(row.Watched)
	n.mu.Unlock()
	return nil
}

const (
	// probeEvery is how often others are asked whether they live: half of it is the mean time until a death is
	// noticed.
	probeEvery = 250 * time.Millisecond
	lookEvery  = time.Second
	beatEvery  = 5 * time.Second
)

// listen owns the lock connection: it takes in wake-ups, beats, and probes the other nodes. Losing the
// connection is losing the number, so that no wake-up can be missed by a node that still counts as alive.
func (n *Node) listen(ctx context.Context) error {
	defer func() { _ = n.conn.Close(context.WithoutCancel(ctx)) }()
	lastBeat, lastLook := time.Now(), time.Time{}
	next := time.Now().Add(probeEvery)
	for {
		wait, cancel := context.WithDeadline(ctx, next)
		note, err := n.conn.WaitForNotification(wait)
		timedOut := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			n.notified(note.Channel, note.Payload)
		case ctx.Err() != nil:
			return ctx.Err()
		case !timedOut:
			n.fence(fmt.Errorf("the lock connection is gone: %w", err))
			return ErrFenced
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(probeEvery)
		if time.Since(lastBeat) >= beatEvery {
			lastBeat = time.Now()
			if err := n.beat(ctx); err != nil {
				n.fence(err)
				return ErrFenced
			}
			n.checkInboxes(ctx)
		}
		n.findSlowTurns(ctx)
		err = n.probe(ctx)
		if err == nil && time.Since(lastLook) >= lookEvery {
			lastLook = time.Now()
			err = n.lookAround(ctx)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n.fence(fmt.Errorf("probe: %w", err))
			return ErrFenced
		}
	}
}

func (n *Node) notified(channel, payload string) {
	switch {
	case strings.HasSuffix(channel, ".watch"):
		n.mu.Lock()
		n.watch = max(n.watch, watchEnds)
		if payload == "everything" {
			n.watch = watchEverything
		}
		n.mu.Unlock()
	case payload == "*":
		n.mu.Lock()
		nos := make([]int64, 0, len(n.sessions))
		for no := range n.sessions {
			nos = append(nos, no)
		}
		n.mu.Unlock()
		n.wake(nos)
	case strings.HasPrefix(payload, "!"):
		no, err := strconv.ParseInt(payload[1:], 10, 64)
		n.mu.Lock()
		s := n.sessions[no]
		n.mu.Unlock()
		if err == nil && s != nil {
			s.post(func(m *mail) { m.evict = true })
		}
	default:
		for part := range strings.SplitSeq(payload, ",") {
			if no, err := strconv.ParseInt(part, 10, 64); err == nil {
				n.wake([]int64{no})
			}
		}
	}
}

// checkInboxes is the safety net: every session's inbox is looked at in one statement. What it finds that no
// wake-up had told of is counted; it should be nothing.
func (n *Node) checkInboxes(ctx context.Context) {
	n.mu.Lock()
	var p store.CountUnreadParams
	for no, s := range n.sessions {
		p.Nos = append(p.Nos, no)
		p.Afters = append(p.Afters, s.read.Load())
	}
	n.mu.Unlock()
	if len(p.Nos) == 0 {
		return
	}
	stray, err := n.e.q.CountUnread(ctx, n.e.pool, p)
	if err != nil {
		return // the next beat tries again
	}
	n.metrics.strayWakes.Add(len(stray))
	n.wake(stray)
}

// Stats reads the node's counters.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	sessions, tasks := len(n.sessions), len(n.attempts)
	n.mu.Unlock()
	m := &n.metrics
	return Stats{
		Sessions: int64(sessions), SessionsSeen: m.sessions.n.Load(), Turns: m.turns.n.Load(),
		Units: n.lane.units.n.Load(), Batches: n.lane.batches.n.Load(), Replays: m.replays.n.Load(), Reloads: m.reloads.n.Load(),
		Held: m.held.n.Load(), Dropped: m.dropped.n.Load(), StrayWakes: m.strayWakes.n.Load(), Tasks: m.tasks.n.Load(),
		TasksNow: int64(tasks), TimersFired: m.timersFired.n.Load(), Orphans: m.orphans.n.Load(),
		AuditRepairs: m.auditRepairs.n.Load(), Cached: int64(n.cache.len()),
	}
}
