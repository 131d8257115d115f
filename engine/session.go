package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// session is the lease under which this process holds one instance in memory and runs turn after turn. It
// lives only as long as the River job that entitles to it is being worked. All its fields but the mailbox
// belong to the goroutine of run.
type session struct {
	n   *Node
	no  int64
	job int64
	// handed is the job as River handed it over.
	handed TurnJob

	hub    *Hub
	info   Info
	parent parentRef
	// priority is the instance's.
	priority int16
	row      *store.OpenSessionsRow // as the instance was when it was loaded
	state    *state
	code     Orchestration
	entity   *entity // set instead of code if the instance is an entity
	seq      int64
	baseSeq  int64
	epoch    int32
	claimed  bool

	lastRead   int64        // inbox rows up to this id have been read
	read       atomic.Int64 // the same, for the safety net
	turnBegan  atomic.Int64 // when the turn that is being computed began, in Unix nanoseconds; 0 = none, or told of
	caption    atomic.Pointer[caption]
	letters    []letter
	redispatch []int32         // pending tasks that nobody runs
	tokens     map[int32]int64 // River rows of those among them that have one, and of results that a lost turn had taken in
	local      map[int32]*attempt
	children   map[int32]int64 // numbers of those that this session started in this generation

	// flights are the units submitted and not yet answered, at most two: while one commits, the next turn may
	// be computed.
	flights []*flight
	// aheadSeq and aheadClaimed are what the instance will be once all flights have landed.
	aheadSeq     int64
	aheadClaimed bool
	ending       bool
	lost         bool
	drain        bool
	drainOver    bool
	verdict      *Verdict
	idleSince    time.Time
	alarm        atomic.Int64 // when wait wants to be woken, in Unix nanoseconds; 0 = never. Node.ring looks.
	tendAt       time.Time    // when the tasks of this process are to be looked after
	// failing is the flight whose turn could not be computed; a hold takes over what it had taken in.
	failing *flight

	empty  mail // memory for the next mail
	mu     sync.Mutex
	mail   mail
	signal chan struct{}
	gone   chan struct{}
}

// mail is what others leave for a session.
type mail struct {
	wake      bool // read the inbox
	evict     bool // the instance is somebody else's: look again
	drain     bool // go once idle
	drainOver bool // go now
	answers   []*attempt
	parks     []*attempt
	settled   []*attempt // delivered by their token
	outcomes  []flightOutcome
}

// emptied returns m's memory without what is in it.
func (m *mail) emptied() mail {
	clear(m.answers)
	clear(m.parks)
	clear(m.settled)
	clear(m.outcomes)
	return mail{answers: m.answers[:0], parks: m.parks[:0], settled: m.settled[:0], outcomes: m.outcomes[:0]}
}

type flightOutcome struct {
	flight  *flight
	outcome outcome
}

// flight is a submitted unit with what has to happen once it has landed, or has not. Flights are used again: see
// newFlight.
type flight struct {
	session *session
	unit    unit
	letters []letter // to be taken up again if the unit is lost
	start   []*attempt
	timers  []newTimer
	stop    []taskKey  // tasks that the code has given up
	detach  []*attempt // go on without the session, by their tokens
	ends    *Verdict
	next    *state // of the generation that follows
}

// flights are kept between turns: a flight with what it refers to was a quarter of what a turn allocated.
var flights = sync.Pool{New: func() any { return new(flight) }}

// newFlight returns an empty flight for a unit of a kind.
func (s *session) newFlight(kind unitKind) *flight {
	f := flights.Get().(*flight)
	f.session, f.unit.flight, f.unit.kind = s, f, kind
	return f
}

// free gives the flight back once its outcome is dealt with. It keeps the memory of what most turns use; what was
// in it is forgotten.
func (f *flight) free() {
	const keep = 16 << 10 // bytes of events
	clear(f.letters)
	clear(f.start)
	u := &f.unit
	var events []byte
	if cap(u.events) <= keep {
		events = u.events[:0]
	}
	clear(u.messages)
	clear(u.jobs)
	clear(u.spans)
	*f = flight{
		letters: f.letters[:0], start: f.start[:0], timers: f.timers[:0],
		unit: unit{
			events: events, consumed: u.consumed[:0], messages: u.messages[:0], timers: u.timers[:0],
			jobs: u.jobs[:0], deleteJobs: u.deleteJobs[:0], spans: u.spans[:0],
		},
	}
	flights.Put(f)
}

type parentRef struct {
	no   int64
	gen  int32
	task int32
}

// Verdict says how a session ended, for the River job that carried it.
type Verdict struct {
	// Done means that a commit of ours deleted the job's row, or that it was not the instance's turn job.
	// Otherwise the job has to become available again, after Snooze.
	Done   bool
	Snooze time.Duration
	// Held means that the instance's code does not fit; the wait should grow from time to time.
	Held bool
}

// caption is what log lines from outside the session's goroutine call its instance.
type caption struct{ instance, orchestration string }

// maxFlights is how many units of one session may be on their way.
const maxFlights = 2

// maxLetters is how many messages one turn takes in.
const maxLetters = 1000

func (s *session) post(fn func(*mail)) {
	s.mu.Lock()
	fn(&s.mail)
	s.mu.Unlock()
	s.poke()
}

// postOutcome and postAnswer are post for the two kinds of mail that come with every turn.
func (s *session) postOutcome(f *flight, o outcome) {
	s.mu.Lock()
	s.mail.outcomes = append(s.mail.outcomes, flightOutcome{f, o})
	s.mu.Unlock()
	s.poke()
}

func (s *session) postAnswer(a *attempt) {
	s.mu.Lock()
	s.mail.answers = append(s.mail.answers, a)
	s.mu.Unlock()
	s.poke()
}

func (s *session) poke() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// run holds the instance until there is nothing to do for it, or no right to do it.
func (s *session) run(ctx context.Context) Verdict {
	defer s.letGo()
	if err := s.open(ctx); err != nil {
		return s.failed(ctx, err)
	}
	for s.verdict == nil {
		if err := s.step(ctx); err != nil {
			return s.failed(ctx, err)
		}
	}
	return *s.verdict
}

// failed turns an error that ends the session into a verdict: the job comes back, here or elsewhere.
func (s *session) failed(ctx context.Context, err error) Verdict {
	var held *Held
	switch {
	case errors.As(err, &held):
		return s.hold(ctx, held)
	case errors.Is(err, ErrNoHandler):
		s.n.log.WarnContext(ctx, "no handler for the orchestration of a turn job", logkey.Orchestration, s.info.Name, logkey.Version, s.info.Version)
		return Verdict{Snooze: 5 * time.Second}
	case errors.Is(err, ErrFenced), errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, errTaken):
	default:
		s.n.log.ErrorContext(ctx, "session ended", logkey.Instance, s.info.InstanceID, logkey.InstanceNo, s.no, logkey.Err, err)
		return Verdict{Snooze: time.Second}
	}
	return Verdict{Snooze: 100 * time.Millisecond}
}

// step does one thing: take in mail, run a turn, commit something, or wait.
func (s *session) step(ctx context.Context) error {
	if err := s.takeMail(ctx); err != nil || s.verdict != nil {
		return err
	}
	switch {
	case s.lost:
		if len(s.flights) > 0 {
			return s.wait(ctx, 0)
		}
		return s.reload(ctx)
	case s.ending, len(s.flights) == maxFlights:
		return s.wait(ctx, 0)
	case s.state.suspended != nil && slices.ContainsFunc(s.letters, func(l letter) bool { return l.inMemory() }):
		return s.spill(ctx)
	case s.canTakeIn():
		return s.turn(ctx)
	case len(s.redispatch) > 0:
		s.claim()
		return nil
	}
	switch {
	case s.drainOver && len(s.local) > 0 && len(s.flights) == 0:
		return s.handOver(ctx)
	case s.drain && len(s.local) == 0 && len(s.flights) == 0:
		s.release()
		return nil
	}
	if len(s.flights) > 0 {
		return s.wait(ctx, 0)
	}
	if len(s.local) > 0 {
		wait := time.Until(s.tendAt)
		if wait <= 0 {
			var err error
			if wait, err = s.tend(ctx); err != nil || wait == 0 {
				return err
			}
			s.tendAt = time.Now().Add(wait)
		}
		return s.wait(ctx, wait)
	}
	return s.idle(ctx)
}

// idle lets some time pass, in case more is to come, and then releases the instance.
func (s *session) idle(ctx context.Context) error {
	now := time.Now()
	if s.idleSince.IsZero() {
		s.idleSince = now
	}
	left := s.n.cfg.IdleRelease - now.Sub(s.idleSince)
	if !s.claimed {
		left = 0 // nothing was there to do
	}
	if left <= 0 {
		s.release()
		return nil
	}
	return s.wait(ctx, left)
}

// wait returns when there is mail, some milliseconds after d (0 = no limit), or with an error when the session must
// end.
func (s *session) wait(ctx context.Context, d time.Duration) error {
	if d > 0 {
		s.alarm.Store(time.Now().Add(d).UnixNano())
	} else {
		s.alarm.Store(0)
	}
	select {
	case <-s.signal:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeMail takes in what has arrived: outcomes first, because they may change everything else.
func (s *session) takeMail(ctx context.Context) error {
	s.mu.Lock()
	m := s.mail
	s.mail = s.empty
	s.mu.Unlock()
	defer func() { s.empty = m.emptied() }()
	for _, o := range m.outcomes {
		if err := s.landed(o.flight, o.outcome); err != nil {
			return err
		}
	}
	if s.verdict != nil {
		return nil
	}
	s.lost = s.lost || m.evict
	s.drain = s.drain || m.drain
	s.drainOver = s.drainOver || m.drainOver
	for _, a := range m.answers {
		s.answered(a)
	}
	for _, a := range m.settled {
		if s.local[a.task.ID] == a {
			delete(s.local, a.task.ID)
		}
	}
	for _, a := range m.parks {
		if err := s.park(ctx, a); err != nil {
			return err
		}
	}
	if m.wake && !s.lost {
		rows, err := s.n.loader.readInbox(ctx, s.no, s.lastRead)
		if err != nil {
			return err
		}
		return s.receive(ctx, rows)
	}
	return nil
}

// answered takes the outcome of a task of this process as a letter.
func (s *session) answered(a *attempt) {
	if s.local[a.task.ID] != a {
		s.n.forget(a) // of an older generation, or let go of
		return
	}
	s.letters = append(s.letters, letter{kind: msgResult, gen: a.task.key.gen, task: a.task.ID, events: []history.Event{a.answer}})
	s.idleSince = time.Time{}
}

// receive takes in inbox rows, in the order of their ids.
func (s *session) receive(ctx context.Context, rows []store.Inbox) error {
	for _, row := range rows {
		if row.ID <= s.lastRead {
			continue
		}
		l, err := s.n.letter(ctx, row)
		if err != nil {
			return err
		}
		if l.kind == msgStart && len(l.events) == 0 {
			started, err := s.started(ctx)
			if err != nil {
				return err
			}
			l.events = []history.Event{started}
		}
		s.lastRead = row.ID
		s.read.Store(row.ID)
		if s.entity != nil && s.entity.puts(&l) {
			continue
		}
		s.letters = append(s.letters, l)
		s.idleSince = time.Time{}
	}
	return nil
}

// started is the first event of the first generation.
func (s *session) started(ctx context.Context) (*history.ExecutionStarted, error) {
	input, err := s.n.storedInput(ctx, s.row)
	if err != nil {
		return nil, err
	}
	tags, err := decodeTags(s.row.Tags)
	if err != nil {
		return nil, err
	}
	return &history.ExecutionStarted{
		InstanceID: s.info.InstanceID, ExecutionID: s.info.ExecutionID, Name: s.info.Name, Version: s.info.Version,
		Input: input, Parent: s.info.Parent, Generation: s.info.Generation, Tags: tags,
	}, nil
}

// landed is told what became of a unit.
func (s *session) landed(f *flight, o outcome) error {
	defer f.free()
	s.flights = slices.DeleteFunc(s.flights, func(x *flight) bool { return x == f })
	if o.err == nil {
		s.n.deliverSoon(f.unit.outgoing)
	}
	if o.err != nil || o.landed || s.lost {
		for _, a := range f.start {
			// Not started, so nobody runs it; if the unit has landed after all, the reload finds it so.
			s.n.abandon(a)
			if s.local[a.task.ID] == a {
				delete(s.local, a.task.ID)
			}
		}
		for _, a := range f.detach {
			if o.err == nil { // their rows are there
				a.detach()
			} else {
				s.local[a.task.ID] = a
			}
		}
		if f.unit.kind == unitTakeOver {
			return nil // open looks at the outcome itself
		}
		// Letters from the inbox are read again; those from memory exist only here.
		for _, l := range f.letters {
			if l.inMemory() {
				s.letters = append(s.letters, l)
			}
		}
		s.lost = true
		switch {
		case o.err == nil, errors.Is(o.err, errLost):
			return nil
		case errors.Is(o.err, ErrFenced), errors.Is(o.err, ErrUnavailable):
			return o.err
		}
		return &Held{Kind: "commit", Step: -1, Message: o.err.Error()}
	}
	u := &f.unit
	s.seq = u.seq
	s.claimed = true
	if len(f.start) > 0 {
		if at := time.Now().Add(exportAfter); s.tendAt.IsZero() || at.Before(s.tendAt) {
			s.tendAt = at
		}
	}
	for _, a := range f.start {
		a.launch()
	}
	for _, a := range f.detach {
		a.detach()
	}
	s.stop(f.stop)
	s.n.timers.hold(f.timers)
	switch u.kind {
	case unitRelease:
		s.ending = false
		s.claimed = u.job == 0
		if o.released {
			s.keep()
			s.verdict = &Verdict{Done: true}
			return nil
		}
		if len(o.late) == 0 {
			s.lost = true // refused, and not because of its inbox: the instance has moved on
			return nil
		}
	case unitFinish, unitHandOver:
		if u.kind == unitFinish {
			s.n.metrics.over(s.info.Name, u.status)
		}
		s.verdict = &Verdict{Done: true}
		return nil
	case unitHold:
		s.verdict = f.ends
		return nil
	case unitContinue:
		s.n.metrics.over(s.info.Name, history.ContinuedAsNew)
		if u.handsOver() {
			s.verdict = &Verdict{Done: true}
			return nil
		}
		s.ending = false
		s.nextGeneration(f.next)
	}
	return s.receive(context.WithoutCancel(s.n.ctx), o.late)
}

// submit sends a unit to the committer.
func (s *session) submit(f *flight) {
	u := &f.unit
	u.no, u.base, u.epoch, u.turnJob = s.no, s.aheadSeq, s.epoch, s.job
	if u.seq == 0 {
		u.seq = u.base
	}
	u.job, u.readAfter = 0, s.lastRead
	if !s.aheadClaimed {
		// The first commit of a session: it claims the instance, and reads what arrived before senders could
		// know whom to wake.
		u.job, u.readInbox = s.job, true
	}
	u.readInbox = u.readInbox || u.kind == unitRelease
	for _, m := range u.messages {
		u.readInbox = u.readInbox || m.no == s.no
	}
	if u.kind != unitRelease {
		s.aheadClaimed = true
	}
	s.aheadSeq = u.seq
	s.flights = append(s.flights, f)
	s.n.laneOf(s.no).submit(u)
}

// claim makes this worker the owner by a commit of its own, because tasks have to be started and no turn
// precedes: nothing may run before a commit has said whose it is.
func (s *session) claim() {
	f := s.newFlight(unitClaim)
	s.dispatchAgain(f)
	s.submit(f)
}

// release lets go of an instance that has nothing to do.
func (s *session) release() {
	s.ending = true
	f := s.newFlight(unitRelease)
	f.unit.waiting = s.state.waiting().encode()
	s.submit(f)
}

// letGo ends the session in memory.
func (s *session) letGo() {
	for _, a := range s.local {
		s.n.abandon(a)
	}
	if s.code != nil {
		s.code.Close()
	}
	s.n.remove(s)
	close(s.gone)
}

// keep parks the instance's state in the cache, so that the next session here need not replay it.
func (s *session) keep() {
	if _, none := s.code.(*unmatched); s.code == nil || none {
		return
	}
	s.n.cache.put(s.no, &kept{
		gen: s.state.gen, seq: s.seq, epoch: s.epoch, state: s.state, code: s.code,
	})
	s.code = nil
}
