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
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
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
	// 16 times Activities.
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
	caps   Capabilities
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
	suspects  suspects
	harvested time.Time // when all finalized jobs were looked at
	deaths    chan int32

	otherKinds    atomic.Pointer[[]string] // see OtherTurnKinds
	versionsNoted chan struct{}

	operationsNoted chan struct{} // there may be an operation to run
	operating       atomic.Int32  // how many it runs
	rest            func(ctx context.Context, d time.Duration) error
}

// Join registers the process under a fresh number and takes the advisory lock that says it lives. Errors:
// NOT_FOUND for the hub.
func (e *Engine) Join(ctx context.Context, cfg NodeConfig) (*Node, error) {
	if cfg.Activities == 0 {
		cfg.Activities = 1000
	}
	if cfg.Backlog == 0 {
		cfg.Backlog = 16 * cfg.Activities
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
		deaths: make(chan int32, 16), versionsNoted: make(chan struct{}, 1), busy: make(chan struct{}, 1),
		operationsNoted: make(chan struct{}, 1), rest: rest,
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
	if n.exec != nil {
		n.caps = n.exec.Kinds()
		n.caps.Slots = n.cfg.Activities
	}
	n.metrics.init(n.caps)
	capsJSON, err := json.Marshal(n.caps)
	if err != nil {
		return fail(err)
	}
	n.log = e.log.With(logkey.Worker, n.no)
	n.lane = newLane(&lane{
		db: e.db, link: &pgLink{db: e.db, q: e.q, name: "lane"}, log: n.log, no: n.no, client: n.client, jobIDs: e.jobIDs,
		watched: n.watched, plans: e.plans.now, tell: e.herald.tell, woken: n.wake, committed: e.feed.local, fenced: n.fence,
		limited: e.limiter.let, tracing: &e.cfg.Tracing, metrics: e.metrics,
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
	channels := []string{"wake." + strconv.Itoa(int(n.no)), "watch", "operations"}
	if n.looksForVersions() {
		channels = append(channels, "versions")
	}
	for _, channel := range channels {
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
	if n.looksForVersions() {
		if err := n.findVersions(ctx); err != nil {
			return err
		}
	}
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
	g.Go(func() error { return n.tendTasks(ctx) })
	g.Go(func() error { return n.listen(ctx) })
	g.Go(func() error { return n.reap(ctx) })
	g.Go(func() error { return n.ring(ctx) })
	g.Go(func() error { return n.audit(ctx) })
	g.Go(func() error { return n.fireSchedules(ctx) })
	g.Go(func() error { return n.followVersions(ctx) })
	g.Go(func() error { return n.runOperations(ctx) })
	g.Go(func() error { return n.retain(ctx) })
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
	n.log.Warn("fenced", logkey.Err, why)
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
			n.log.WarnContext(ctx, "leave", logkey.Err, err)
		}
		if n.operating.Load() > 0 { // others go on with them
			n.e.announceOperation(ctx)
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
	if job.First {
		n.metrics.queueWait.observe(max(0, n.clock.now().Sub(job.CreatedAt).Seconds()))
	}
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
	if err := n.loader.deleteJob(ctx, s.job); err != nil {
		return fmt.Errorf("drop stale turn job: %w", err)
	}
	s.verdict = &Verdict{Done: true}
	return nil
}

// storedInput is the input of an instance that has not started.
func (n *Node) storedInput(ctx context.Context, row *store.OpenSessionsRow) (history.Payload, error) {
	return n.e.value(ctx, row.Input, &row.InputRef)
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
