package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "how many seeds TestSimulation tries")
	simTrace = flag.Int("sim.trace", 60, "how many steps a failure shows")
	simSeed  = flag.Uint64("sim.seed", 0, "the one seed to try; 0 tries many")
)

// The simulation runs the engine's own sessions, committer, slots and timers, of several nodes, against a store in memory,
// and decides by a seed what happens next. Only one goroutine of the engine runs at a time: where a session or a lane is
// about to wait, or an activity is to run, it pauses until the simulation lets it go on. Time is synctest's, and moves
// only when nothing else can be done. So the same seed takes the same steps.
//
// What takes the place of something else is small: the store (simStore), River, which hands out jobs, the reaper, which
// sweeps after the dead, and the ear that hears notifications.
type simulation struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	db     *simStore
	e      *Engine
	calls  *lane // of callers
	nodes  []*simNode
	faults int            // how many may still happen
	events map[string]int // raised so far
	want   map[string]int
	stop   int // suspensions that may still happen
	steps  int
	trace  []string
	over   chan struct{}

	mu     sync.Mutex
	pauses []*pause
}

// simNode is a process.
type simNode struct {
	*Node
	sim    *simulation
	killed bool // it does nothing any more, and nobody knows
	fenced bool
	asked  []loadRequest
}

// pause is a goroutine that waits for the simulation.
type pause struct {
	what   string
	node   *simNode
	no     int64
	gen    int32
	task   int32
	job    int64
	ready  func() bool // nil: always
	resume chan struct{}
}

func (p *pause) String() string {
	return fmt.Sprintf("%s of %d at node %d (%d/%d)", p.what, p.no, p.node.no, p.gen, p.task)
}

// pause waits until the simulation picks it.
func (s *simulation) pause(p *pause) {
	p.resume = make(chan struct{})
	s.mu.Lock()
	s.pauses = append(s.pauses, p)
	s.mu.Unlock()
	select {
	case <-p.resume:
	case <-s.over:
	}
}

// watched is the context of a session or a lane: it pauses where that is about to wait for something to happen. (A select
// asks for Done before it waits.)
type watched struct {
	context.Context
	sim    *simulation
	signal chan struct{} // what it waits for
	p      pause
}

// ready tells that it need not wait.
func (w *watched) ready() bool { return len(w.signal) > 0 || w.Err() != nil }

// Done implements context.Context.
func (w *watched) Done() <-chan struct{} {
	var at [1]uintptr
	runtime.Callers(2, at[:])
	frame, _ := runtime.CallersFrames(at[:]).Next()
	switch _, by, _ := strings.Cut(frame.Function, "engine."); by {
	case "(*session).wait", "(*lane).run":
		p := w.p
		w.sim.pause(&p)
		if w.Err() != nil { // of two things that are ready a select takes any, and a seed would not be repeated
			select {
			case <-w.signal:
			default:
			}
		}
	case "(*loader).ask":
		return w.sim.over // answered sooner or later
	}
	return w.Context.Done()
}

// simLink is a lane's link to the store. Here connections break, before and after a commit.
type simLink struct {
	sim  *simulation
	node *simNode // nil for callers
}

var errSimBroken = io.ErrUnexpectedEOF

func (k *simLink) dead() bool { return k.node != nil && k.node.killed }

func (k *simLink) connect(context.Context) error {
	if k.dead() {
		return errSimBroken
	}
	return nil
}

func (k *simLink) enter(_ context.Context, l *lane) error {
	k.sim.db.lanes[l.no] = simLane{}
	return nil
}

func (k *simLink) takeOver(_ context.Context, l *lane) (int64, error) {
	row := k.sim.db.lanes[l.no]
	if row.inc != l.inc {
		return 0, pgx.ErrNoRows
	}
	row.inc++
	k.sim.db.lanes[l.no] = row
	return row.batch, nil
}

func (k *simLink) close(context.Context) {}

func (k *simLink) watched(context.Context, func(context.Context, *pgx.Conn) watch) watch {
	return watchNothing
}

func (k *simLink) putLarge(context.Context, store.InsertPayloadsParams) error { return nil }

func (k *simLink) commit(_ context.Context, b *store.Batch, _ int64) (*store.Result, error) {
	if k.dead() {
		return nil, errSimBroken
	}
	switch {
	case k.sim.fault(40):
		k.sim.logf("the connection breaks before a commit")
		return nil, errSimBroken
	case k.sim.fault(40):
		k.sim.logf("the connection breaks after a commit")
		if _, err := k.sim.db.commit(b); err != nil {
			k.sim.logf("which had failed: %v", err)
		}
		return nil, errSimBroken
	case k.sim.fault(60):
		k.sim.logf("a deadlock")
		return nil, pgError("40P01")
	case k.node != nil && k.sim.fault(100):
		k.sim.logf("node %d is killed after a commit", k.node.no)
		_, _ = k.sim.db.commit(b)
		k.node.killed = true
		return nil, errSimBroken
	}
	return k.sim.db.commit(b)
}

func (k *simLink) fences(_ context.Context, nos []int64) (out []store.ReadFencesRow, err error) {
	for _, no := range nos {
		if i, ok := k.sim.db.instances[no]; ok {
			out = append(out, store.ReadFencesRow{No: no, Seq: i.seq, Epoch: i.epoch, Owner: i.owner, TurnJob: i.turnJob, Status: int16(i.status)})
		}
	}
	return out, nil
}

func (k *simLink) taken(_ context.Context, p store.FindInstancesParams) (out []store.FindInstancesRow, err error) {
	for _, i := range k.sim.db.instances {
		if slices.Contains(p.Ids, i.id) {
			out = append(out, store.FindInstancesRow{No: i.no, Hub: 1, ID: i.id, Status: int16(i.status), ParentNo: i.parentNo, ParentGen: i.parentGen, ParentTask: i.parentTask})
		}
	}
	return out, nil
}

func (k *simLink) scheduleSeqs(context.Context, []int64) ([]store.ReadScheduleSeqsRow, error) {
	return nil, nil
}

func (k *simLink) unlocked(_ context.Context, nos []int64) ([]int64, error) { return nos, nil }

// fault tells, one time of n, that something goes wrong now.
func (s *simulation) fault(n int) bool {
	if s.faults == 0 || s.rng.IntN(n) > 0 {
		return false
	}
	s.faults--
	return true
}

func (s *simulation) logf(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

// fatal ends the simulation with the line that repeats it, and its last steps.
func (s *simulation) fatalf(format string, args ...any) {
	s.t.Helper()
	last := s.trace[max(0, len(s.trace)-*simTrace):]
	s.end()
	s.t.Fatalf("%s\nTo reproduce: go test ./engine -run TestSimulation -sim.seed=%d\nThe last of %d steps:\n  %s",
		fmt.Sprintf(format, args...), s.seed, len(s.trace), strings.Join(last, "\n  "))
}

// end lets all goroutines go.
func (s *simulation) end() {
	for _, n := range s.nodes {
		n.cancel(context.Canceled)
	}
	s.e.cancel()
	close(s.over)
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, seed)), db: newSimStore(), over: make(chan struct{}),
		events: map[string]int{}, want: map[string]int{},
	}
	s.faults, s.stop = s.rng.IntN(8), s.rng.IntN(3)
	ids := func(_ context.Context, n int) ([]int64, error) {
		out := make([]int64, n)
		for i := range out {
			out[i] = s.db.newID()
		}
		return out, nil
	}
	log := slog.New(slog.DiscardHandler)
	s.e = &Engine{
		cfg: Config{PayloadLimit: DefaultPayloadLimit}, db: store.NewDB(&pgxpool.Config{ConnConfig: &pgx.ConnConfig{}}, "weir", "river"), log: log,
		hubs: map[int32]*Hub{}, names: map[string]*Hub{}, ids: newIDCache(10),
		instanceNos: &blocks{size: 1, fetch: ids}, jobIDs: &blocks{size: 1, fetch: ids}, payloadIDs: &blocks{size: 1, fetch: ids},
	}
	s.e.ctx, s.e.cancel = context.WithCancel(t.Context())
	s.e.hubs[1] = &Hub{no: 1, Name: "default", ActivityRows: s.rng.IntN(4) == 0, readAt: time.Now().Add(time.Hour)}
	s.calls = s.lane(nil, 1000, "")
	s.calls.woken = func([]int64) {}
	return s
}

func (s *simulation) lane(n *simNode, no int32, client string) *lane {
	l := newLane(&lane{
		db: s.e.db, link: &simLink{s, n}, log: s.e.log, no: no, client: client, jobIDs: s.e.jobIDs,
		plans: func() int64 { return 0 }, tell: func([]change) {}, committed: func([]change) {}, fenced: func(error) {},
		limited: func([]store.Bucket) {}, tracing: &s.e.cfg.Tracing, metrics: newLaneMetrics(),
	})
	if err := l.open(s.e.ctx); err != nil {
		s.t.Fatal(err)
	}
	return l
}

// join adds a node.
func (s *simulation) join() {
	no := int32(len(s.nodes) + 1)
	n := &simNode{sim: s, Node: &Node{
		e: s.e, no: no, name: fmt.Sprint("node-", no), client: fmt.Sprint("client-", no), log: s.e.log, hub: s.e.hubs[1], clock: newClock(),
		cfg:    NodeConfig{Activities: 1 + s.rng.IntN(3), IdleRelease: time.Duration(1+s.rng.IntN(100)) * time.Millisecond},
		limits: limits{payload: DefaultPayloadLimit, decisions: 1000},
		cache:  newCache(1 + s.rng.IntN(3)), sessions: map[int64]*session{}, attempts: map[taskKey]*attempt{}, handed: map[int64]bool{},
		busy: make(chan struct{}, 1),
	}}
	n.metrics.init(Capabilities{})
	n.slots = &slots{limit: n.cfg.Activities, backlog: s.rng.IntN(3)}
	n.exec = &simExec{s, n}
	n.ctx, n.cancel = context.WithCancelCause(s.e.ctx)
	n.timers = newTimers(n.Node)
	n.loader = &loader{
		n: n.Node, reqs: make(chan loadRequest, maxLoads),
		generation: func(_ context.Context, p store.ReadGenerationParams) ([]store.ReadGenerationRow, error) {
			return s.db.generation(p), nil
		},
		deleteJob: func(_ context.Context, id int64) error { delete(s.db.jobs, id); return nil },
	}
	n.lane = s.lane(n, no, n.client)
	n.lane.woken, n.lane.fenced = n.wake, n.fence
	s.db.workers[no] = 0
	s.nodes = append(s.nodes, n)
	ctx := &watched{n.ctx, s, n.lane.signal, pause{what: "lane", node: n}}
	ctx.p.ready = ctx.ready
	go n.lane.run(ctx)
}

// session is what River does with a turn job: Node.RunSession with a context that pauses.
func (s *simulation) session(n *simNode, j simJob) bool {
	if old := n.sessions[noOf(j.args)]; j.args != nil && old != nil {
		old.post(func(m *mail) { m.evict = true })
		return false
	}
	if old := n.sessions[j.no]; old != nil {
		old.post(func(m *mail) { m.evict = true })
		return false
	}
	handed := TurnJob{TurnArgs: TurnArgs{No: j.no}, ID: j.id, CreatedAt: time.Now(), First: !j.tried}
	if j.args != nil {
		if err := json.Unmarshal(j.args, &handed.TurnArgs); err != nil {
			s.t.Fatal(err)
		}
	}
	j.state, j.client, j.tried = "running", n.client, true
	s.db.jobs[j.id] = j
	one := &session{n: n.Node, no: j.no, job: j.id, handed: handed, local: map[int32]*attempt{}, signal: make(chan struct{}, 1), gone: make(chan struct{})}
	n.mu.Lock()
	n.sessions[j.no] = one
	n.mu.Unlock()
	ctx := &watched{n.ctx, s, one.signal, pause{what: "session", node: n, no: j.no, job: j.id}}
	ctx.p.ready = ctx.ready
	go func() {
		v := one.run(ctx)
		s.pause(&pause{what: "verdict", node: n, no: j.no, job: j.id}) // River writes down what became of the job when it likes
		select {
		case <-s.over:
			return
		default:
		}
		if row, ok := s.db.jobs[j.id]; ok && row.state == "running" && row.client == n.client {
			row.state, row.client = "available", ""
			s.db.jobs[j.id] = row
			if v.Done {
				delete(s.db.jobs, j.id)
			}
		}
	}()
	return true
}

// action is something that can happen next.
type action struct {
	what string
	do   func()
}

// actions lists what can happen, in an order that is the same in every run. progress tells how many of them are work.
func (s *simulation) actions() (all []action, progress int) {
	add := func(do func(), format string, args ...any) {
		all = append(all, action{fmt.Sprintf(format, args...), do})
	}
	s.mu.Lock()
	slices.SortFunc(s.pauses, func(a, b *pause) int {
		return cmp.Or(cmp.Compare(a.node.no, b.node.no), cmp.Compare(a.what, b.what), cmp.Compare(a.no, b.no), cmp.Compare(a.job, b.job),
			cmp.Compare(a.gen, b.gen), cmp.Compare(a.task, b.task))
	})
	for at, p := range s.pauses {
		if !p.node.killed && (p.ready == nil || p.ready()) {
			add(func() { s.pauses = slices.Delete(s.pauses, at, at+1); close(p.resume) }, "%s goes on", p)
		}
	}
	s.mu.Unlock()
	now := time.Now()
	for _, n := range s.nodes {
		if n.killed {
			continue
		}
		for more := true; more; {
			select {
			case r := <-n.loader.reqs:
				n.asked = append(n.asked, r)
			default:
				more = false
			}
		}
		slices.SortFunc(n.asked, func(a, b loadRequest) int { return cmp.Or(cmp.Compare(a.no, b.no), cmp.Compare(a.after, b.after)) })
		for at, r := range n.asked {
			add(func() { n.asked = slices.Delete(n.asked, at, at+1); s.load(n, r) }, "node %d reads %d after %d", n.no, r.no, r.after)
		}
		if h := n.timers.heap; n.ctx.Err() == nil && len(h) > 0 && h[0].at.Before(now) {
			add(func() { n.timers.fire() }, "node %d fires timers", n.no)
		}
	}
	for at, w := range s.db.wakes {
		add(func() {
			s.db.wakes = slices.Delete(s.db.wakes, at, at+1)
			if n := s.nodes[w.owner-1]; !n.killed {
				n.wake([]int64{w.no})
			}
		}, "node %d hears of %d", w.owner, w.no)
	}
	s.riverActions(add)
	progress = len(all)
	s.mishaps(add)
	return all, progress
}

func (s *simulation) riverActions(add func(do func(), format string, args ...any)) {
	for _, j := range s.db.sorted() {
		if j.state == "running" {
			at := slices.IndexFunc(s.nodes, func(n *simNode) bool { return n.client == j.client })
			if s.db.workers[s.nodes[at].no] != 0 {
				add(func() { s.db.sweep(j) }, "job %d is swept", j.id)
			}
			continue
		}
		for _, n := range s.nodes {
			if n.killed || n.fenced || s.db.workers[n.no] != 0 || n.ctx.Err() != nil {
				continue
			}
			if !j.task {
				if n.sessions[j.no] == nil {
					add(func() { s.session(n, j) }, "node %d fetches turn job %d of %d", n.no, j.id, j.no)
				}
				continue
			}
			add(func() { s.work(n, j) }, "node %d fetches task %d of %d", n.no, j.key.task, j.key.no)
		}
	}
}

// work is what River does with a task's row.
func (s *simulation) work(n *simNode, j simJob) {
	j.state, j.client = "running", n.client
	s.db.jobs[j.id] = j
	go func() {
		s.pause(&pause{what: "task", node: n, no: j.key.no, gen: j.key.gen, task: j.key.task, job: j.id})
		select {
		case <-s.over:
			return
		default:
		}
		answer := &history.TaskCompleted{Header: history.Header{At: n.clock.now()}, TaskID: j.key.task, Result: history.Text(`"done"`)}
		n.submitToken(j.id, j.key, false, answer, func(outcome) {})
	}()
}

// load answers what a session has asked.
func (s *simulation) load(n *simNode, r loadRequest) {
	if r.after < 0 {
		r.reply <- loadReply{row: s.db.open(n.no, n.client, r.no)}
		return
	}
	var rows []store.Inbox
	for _, x := range s.db.inbox[r.no] {
		if x.ID > r.after {
			rows = append(rows, x)
		}
	}
	r.reply <- loadReply{inbox: rows}
}

// call commits what a caller asks for, and returns the outcome.
func (s *simulation) call(u *unit) (o outcome) {
	u.done = func(_ *unit, got outcome) { o = got }
	s.calls.submit(u)
	for {
		units, _ := s.calls.take()
		if len(units) == 0 {
			return o
		}
		if err := s.calls.commit(s.e.ctx, units); err != nil {
			s.t.Fatal(err)
		}
	}
}

// mishaps are faults, and what callers and operators do.
func (s *simulation) mishaps(add func(do func(), format string, args ...any)) {
	for _, i := range s.roots() {
		if n := s.events[i.id]; n < s.want[i.id] {
			add(func() {
				s.events[i.id]++
				s.raise(i, n)
				if s.rng.IntN(4) == 0 {
					s.raise(i, n) // the caller did not hear that it had been
				}
			}, "event %d is raised to %s", n, i.id)
		}
		switch {
		case i.status == history.Suspended:
			add(func() { s.control(i, msgResume) }, "%s is resumed", i.id)
		case s.stop > 0 && i.status.Live():
			add(func() { s.stop--; s.control(i, msgSuspend) }, "%s is suspended", i.id)
		}
	}
	living := 0
	for _, n := range s.nodes {
		lives := s.db.workers[n.no] == 0 && !n.killed
		if lives {
			living++
		}
		if s.db.workers[n.no] == 0 && (n.killed || s.faults > 0) {
			add(func() { // declared dead: it is, or only seems to be
				if !n.killed {
					s.faults--
				}
				s.db.workers[n.no] = 1
				l := s.db.lanes[n.no]
				l.inc++
				s.db.lanes[n.no] = l
			}, "node %d is fenced", n.no)
		}
		if lives && s.faults > 0 {
			add(func() { s.faults--; n.killed = true }, "node %d is killed", n.no)
			add(func() { s.faults--; n.tellSessions(0, func(m *mail) { m.wake = true }) }, "node %d is woken for nothing", n.no)
			for _, j := range s.db.sorted() {
				if j.state == "running" && j.client == n.client && !j.task {
					add(func() { s.faults--; j.state, j.client = "available", ""; s.db.jobs[j.id] = j }, "job %d is handed out twice", j.id)
				}
			}
		}
		if s.db.workers[n.no] != 0 && !n.killed && n.ctx.Err() == nil {
			add(func() { n.fence(ErrFenced) }, "node %d learns that it is fenced", n.no)
		}
	}
	if living < 2 {
		add(s.join, "a node joins")
	}
}

func (s *simulation) roots() (out []simInstance) {
	for _, i := range s.db.instances {
		if i.parentNo == 0 {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b simInstance) int { return cmp.Compare(a.no, b.no) })
	return out
}

func (s *simulation) raise(i simInstance, n int) {
	r := &RaiseRequest{Instance: i.id, Name: "go", Key: fmt.Sprint(n)}
	u, err := s.e.raised(i.no, nil, r, history.Text(fmt.Sprint(n)), &tracing.Origin{})
	if err != nil {
		s.t.Fatal(err)
	}
	if o := s.call(u); o.err != nil {
		s.fatalf("raise: %v", o.err)
	}
}

func (s *simulation) control(i simInstance, kind int16) {
	at := history.Header{At: time.Now().UTC()}
	var event history.Event = &history.ExecutionSuspended{Header: at}
	if kind == msgResume {
		event = &history.ExecutionResumed{Header: at}
	}
	payload, err := history.Encode([]history.Event{event})
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := history.Encode([]history.Event{&history.OrchestratorStarted{Header: at}, event})
	if err != nil {
		s.t.Fatal(err)
	}
	s.call(&unit{kind: unitControl, no: i.no, control: &control{kind, payload}, events: events, count: 2, suspended: []byte{}})
}

// start starts an instance of a shape that the seed chooses.
func (s *simulation) start(n int) {
	in := simInput{Rounds: 1 + s.rng.IntN(3), Tasks: s.rng.IntN(4), Events: s.rng.IntN(3), Timer: s.rng.IntN(2) == 0, Child: s.rng.IntN(3) == 0}
	data, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	id := fmt.Sprint("instance-", n)
	s.want[id] = in.Rounds * in.Events
	hub := s.e.hubs[1]
	one, _, err := s.e.newStart(s.e.ctx, hub, &StartRequest{Name: "simulated", ID: id, Input: history.Bytes(data)})
	if err != nil {
		s.t.Fatal(err)
	}
	u := &unit{no: one.no, starts: []start{one}, conflict: func(u *unit, _ int, _ store.FindInstancesRow) bool {
		u.done(u, outcome{}) // it is ours, and its answer was lost
		return false
	}}
	if o := s.call(u); o.err != nil {
		s.fatalf("start: %v", o.err)
	}
}

// done tells that all instances have ended.
func (s *simulation) done() bool {
	for _, i := range s.db.instances {
		if i.status.Live() {
			return false
		}
	}
	return true
}

// run takes steps until everything has ended.
func (s *simulation) run() {
	faults := s.faults
	s.faults = 0 // callers begin in peace
	for n := range 1 + s.rng.IntN(3) {
		s.start(n)
	}
	s.faults = faults
	s.join()
	s.join()
	idle := 0
	for synctest.Wait(); !s.done(); synctest.Wait() {
		s.steps++
		if why := s.db.wrong(); why != "" {
			s.fatalf("%s", why)
		}
		if s.steps > 20_000 {
			s.fatalf("it does not come to an end")
		}
		all, progress := s.actions()
		if progress == 0 {
			// Nothing can be done now: time goes by, and what waits for it is looked at.
			if idle++; idle > 3000 && len(all) == 0 {
				s.fatalf("it is stuck: %s", s.left())
			}
			if len(all) == 0 || s.rng.IntN(2) == 0 {
				s.pass()
				continue
			}
		}
		a := all[s.rng.IntN(len(all))]
		if progress > 0 && s.rng.IntN(4) > 0 {
			a = all[s.rng.IntN(progress)]
		}
		s.logf("%s", a.what)
		a.do()
	}
	s.check()
}

// pass lets some time go by.
func (s *simulation) pass() {
	time.Sleep(20 * time.Millisecond)
	s.audit()
	var due []newTimer
	for key, at := range s.db.timers {
		due = append(due, newTimer{timerKey: key, fireAt: at})
	}
	slices.SortFunc(due, func(a, b newTimer) int {
		return cmp.Or(a.fireAt.Compare(b.fireAt), cmp.Compare(a.no, b.no), cmp.Compare(a.task, b.task))
	})
	for _, n := range s.nodes {
		if !n.killed && n.ctx.Err() == nil {
			n.ringDue()
			n.timers.hold(due)
		}
	}
}

// audit gives away the tasks that run in a node's name and that it does not know, as each node does for itself. A double
// hand-out of a turn job leaves such rows.
func (s *simulation) audit() {
	for _, j := range s.db.sorted() {
		at := slices.IndexFunc(s.nodes, func(n *simNode) bool { return n.client == j.client && !n.killed })
		if j.state != "running" || !j.task || at < 0 {
			continue
		}
		working := slices.ContainsFunc(s.pauses, func(p *pause) bool { return p.what == "task" && p.job == j.id })
		if n := s.nodes[at]; !working && !n.running(j.key) {
			s.logf("node %d gives away task %d of %d", n.no, j.key.task, j.key.no)
			s.db.sweep(j)
		}
	}
}

// left says what has not ended.
func (s *simulation) left() string {
	var out []string
	for _, i := range s.db.instances {
		if i.status.Live() {
			out = append(out, fmt.Sprintf("%s is %s, seq %d, gen %d, owner %d, job %d, %d messages, held %s", i.id, i.status, i.seq, i.gen, i.owner, i.turnJob, len(s.db.inbox[i.no]), i.held))
			for _, row := range s.db.generation(store.ReadGenerationParams{No: i.no, BaseSeq: i.base, Seq: i.seq}) {
				out = append(out, fmt.Sprintf("%s event %d: %s", i.id, row.Seq, row.Events))
			}
		}
	}
	for _, j := range s.db.sorted() {
		out = append(out, fmt.Sprintf("%+v", j))
	}
	slices.Sort(out)
	return strings.Join(out, "\n  ")
}

// check looks at what is left when all has ended.
func (s *simulation) check() {
	if why := s.db.wrong(); why != "" {
		s.fatalf("%s", why)
	}
	for _, i := range s.db.instances {
		if i.status != history.Completed {
			s.fatalf("%s is %s: %s", i.id, i.status, i.failure)
		}
		var seen []string
		if err := json.Unmarshal(i.output, &seen); err != nil {
			s.fatalf("%s: output %s: %v", i.id, i.output, err)
		}
		for n, e := range seen {
			if e != fmt.Sprint(n) {
				s.fatalf("%s has taken in the events %v: number %d is wrong", i.id, seen, n)
			}
		}
		if len(seen) != s.want[i.id] {
			s.fatalf("%s has taken in %d events of %d", i.id, len(seen), s.want[i.id])
		}
		s.history(i)
	}
}

// history looks at the last generation of an instance: without a gap, each decision answered once.
func (s *simulation) history(i simInstance) {
	at := i.base - 1
	decided, answers := map[int32]bool{}, map[int32]bool{}
	for _, row := range s.db.generation(store.ReadGenerationParams{No: i.no, BaseSeq: i.base, Seq: i.seq}) {
		if row.Seq-int64(row.N) != at {
			s.fatalf("%s: there is a gap before event %d", i.id, row.Seq)
		}
		at = row.Seq
		events, err := history.Decode(row.Codec, row.Events)
		if err != nil {
			s.fatalf("%s: %v", i.id, err)
		}
		for _, e := range events {
			if id, ok := DecisionID(e); ok {
				decided[id] = true
			}
			if id, ok := answered(e); ok {
				if !decided[id] || answers[id] {
					s.fatalf("%s: decision %d is answered twice, or before it was made", i.id, id)
				}
				answers[id] = true
			}
		}
	}
	if at != i.seq {
		s.fatalf("%s: the history ends at %d, the instance is at %d", i.id, at, i.seq)
	}
}

// keptSeeds are those that have found something.
var keptSeeds = []uint64{125, 494, 1470}

// TestSimulation tries many seeds, or the one that -sim.seed names.
func TestSimulation(t *testing.T) {
	seeds := slices.Clone(keptSeeds)
	for seed := range uint64(*simSeeds) {
		seeds = append(seeds, seed+1)
	}
	if *simSeed != 0 {
		seeds = []uint64{*simSeed}
	}
	steps := 0
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) { steps += simulate(t, seed).steps })
	}
	t.Logf("%d seeds, %d steps", len(seeds), steps)
}

// TestSimulationRepeats: a seed takes the same steps again, or it would be no use to know it.
func TestSimulationRepeats(t *testing.T) {
	for _, seed := range keptSeeds {
		var first, second []string
		synctest.Test(t, func(t *testing.T) { first = simulate(t, seed).trace })
		synctest.Test(t, func(t *testing.T) { second = simulate(t, seed).trace })
		if !slices.Equal(first, second) {
			t.Errorf("seed %d takes other steps the second time", seed)
		}
	}
}

func simulate(t *testing.T, seed uint64) *simulation {
	s := newSimulation(t, seed)
	s.run()
	s.end()
	synctest.Wait()
	return s
}

// noOf is the instance that a turn job names.
func noOf(args []byte) int64 {
	var a TurnArgs
	if err := json.Unmarshal(args, &a); err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	return a.No
}
