package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// feed tells this process which instances change, whoever changes them. Committers notify it only while somebody
// watches: in the commit, of instances that end; by their herald, right after the commit, of everything else. A
// notification names instances and how far they are, not what happened to them: who wants to know reads the tail,
// once for all its own subscribers. Only a short output comes with the end, because who waits for it waits for nothing
// else.
//
// The feed listens only while it has subscribers. Notifications can be missed (a connection breaks, a committer has
// not heard yet that somebody watches, or dies before its herald has told): subscribers are then told to look for
// themselves.
type feed struct {
	e  *Engine
	id string

	mu sync.Mutex
	// everything says that more is watched than the ends of instances, and is marked so.
	everything bool
	// hazy is until when committers may not have heard yet of what is watched here; resync says that those who watch
	// are still to be told to look for what was missed until then.
	hazy    time.Time
	resync  bool
	subs    map[*Subscription]bool
	narrow  map[int64]map[*Subscription]bool // those of subs that are about one instance
	waiters map[int64]map[chan told]bool
	up      chan struct{} // closed once the feed listens
	stop    context.CancelFunc
	poke    chan struct{} // the poller has something to do soon
	soon    []time.Time   // when
	count   int
}

// Subscription collects the changes of instances until they are taken. It holds at most maxPending of them;
// beyond that it forgets which, and says only that many have changed.
type Subscription struct {
	// C receives whenever there is something to take.
	C <-chan struct{}

	f       *feed
	only    int64 // the instance it is about, or 0; f's lock guards it
	signal  chan struct{}
	mu      sync.Mutex
	changed map[int64]Change
	resync  bool
}

// Change says how far an instance has come.
type Change struct {
	No     int64
	Seq    int64
	Status history.Status
	// Progress says that progress may have been appended. With OnlyProgress nothing else has changed: Seq and Status say
	// nothing.
	Progress     bool
	OnlyProgress bool
}

const (
	maxPending = 5000
	// maxFeedPayload is what fits into a notification, with room to spare.
	maxFeedPayload = 7500
	// lingerFor is how long the feed goes on listening after its last subscriber has left.
	lingerFor = 30 * time.Second
	// watchEvery is how often a process says that it still watches; the mark lasts twice as long.
	watchEvery = 30 * time.Second
	// pollEvery is the safety net for those who wait for an instance to end.
	pollEvery = 2 * time.Second
)

func newFeed(e *Engine) *feed {
	return &feed{
		e: e, id: newUUID(), subs: map[*Subscription]bool{}, narrow: map[int64]map[*Subscription]bool{},
		waiters: map[int64]map[chan told]bool{}, poke: make(chan struct{}, 1),
	}
}

// Subscribe returns a subscription to all changes. It first says resync, so that the caller reads the present
// state before the changes. Close it when done.
func (e *Engine) Subscribe(ctx context.Context) (*Subscription, error) { return e.SubscribeTo(ctx, 0) }

// SubscribeTo is Subscribe for the changes of one instance, by its number: those of others cost it nothing.
func (e *Engine) SubscribeTo(ctx context.Context, no int64) (*Subscription, error) {
	if err := e.feed.start(ctx); err != nil {
		return nil, err
	}
	s := &Subscription{f: e.feed, signal: make(chan struct{}, 1), changed: map[int64]Change{}}
	s.C = s.signal
	e.feed.mu.Lock()
	e.feed.subs[s] = true
	e.feed.turn(s, no)
	e.feed.count++
	mark := !e.feed.everything
	e.feed.mu.Unlock()
	if mark {
		if err := e.feed.mark(ctx, e.pool, true); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.add(nil, true)
	return s, nil
}

// heardWithin is how long it may take until every committer has heard of what is watched: nodes are notified,
// callers' lanes ask once a second.
const heardWithin = 1500 * time.Millisecond

// mark says what this process watches. Until all committers have heard of it, changes may be missed.
func (f *feed) mark(ctx context.Context, db store.DBTX, everything bool) error {
	err := f.e.q.Watch(ctx, db, store.WatchParams{ID: f.id, Everything: everything, Channel: f.e.db.Channel("watch")})
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if everything && !f.everything || f.hazy.IsZero() {
		f.hazy, f.resync = time.Now().Add(heardWithin), true
	}
	f.everything = everything
	return nil
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.subs[s] {
		s.f.turn(s, 0)
		delete(s.f.subs, s)
		s.f.count--
	}
}

// Follow makes a subscription to one instance be about another, which has taken its id.
func (s *Subscription) Follow(no int64) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.subs[s] {
		s.f.turn(s, no)
	}
}

// turn makes a subscription be about an instance, or, with 0, about all. The caller holds the lock.
func (f *feed) turn(s *Subscription, no int64) {
	if s.only != 0 {
		delete(f.narrow[s.only], s)
		if len(f.narrow[s.only]) == 0 {
			delete(f.narrow, s.only)
		}
	}
	if s.only = no; no == 0 {
		return
	}
	if f.narrow[no] == nil {
		f.narrow[no] = map[*Subscription]bool{}
	}
	f.narrow[no][s] = true
}

// Take returns what has changed since the last call, or that anything may have.
func (s *Subscription) Take() (changed map[int64]Change, resync bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, resync = s.changed, s.resync
	s.changed, s.resync = map[int64]Change{}, false
	return changed, resync
}

func (s *Subscription) add(changes []change, resync bool) {
	s.mu.Lock()
	for _, c := range changes {
		old, ok := s.changed[c.no]
		progress := old.Progress || c.progress
		switch {
		case c.seq == sameSeq && !ok:
			s.changed[c.no] = Change{No: c.no, OnlyProgress: true, Progress: true}
			continue
		case c.seq != sameSeq && (!ok || old.OnlyProgress || c.seq >= old.Seq || !c.status.Live()):
			old = Change{No: c.no, Seq: c.seq, Status: c.status}
		}
		old.Progress = progress
		s.changed[c.no] = old
	}
	if len(s.changed) > maxPending {
		s.changed, resync = map[int64]Change{}, true
	}
	s.resync = s.resync || resync
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// start makes the feed listen, and returns once it does.
func (f *feed) start(ctx context.Context) error {
	f.mu.Lock()
	if f.up == nil {
		f.up = make(chan struct{})
		up := f.up
		run, stop := context.WithCancel(f.e.ctx)
		f.stop = stop
		f.e.work.Go(func() { f.run(run, up) })
	}
	up := f.up
	f.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.e.ctx.Done():
		return &Error{Code: CodeUnavailable, Message: "the engine is closed"}
	}
}

// run listens, and polls for those who wait, until nobody has watched for a while.
func (f *feed) run(ctx context.Context, up chan struct{}) {
	defer f.ended(up)
	polls := make(chan struct{})
	go func() {
		defer close(polls)
		f.poll(ctx)
	}()
	defer func() { <-polls }()
	defer f.stop()
	var (
		idleSince time.Time
		lost      time.Time // since when it has no connection; zero if it has one
	)
	for ctx.Err() == nil {
		err := f.listen(ctx, up, &idleSince, func() {
			if !lost.IsZero() {
				f.e.log.InfoContext(ctx, "the feed listens again", logkey.Duration, time.Since(lost).Round(time.Millisecond))
				lost = time.Time{}
			}
		})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			return
		}
		if lost.IsZero() { // told once; those who watch look for themselves now, and again once it listens
			lost = time.Now()
			f.e.log.WarnContext(ctx, "the feed lost its connection", logkey.Err, err)
			f.publish(nil, true)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (f *feed) ended(up chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-up:
	default:
		close(up) // the engine is closing; nobody shall wait for it
	}
	if f.up == up {
		f.forget()
	}
}

// forget is for a feed that listens no more. The caller holds the lock.
func (f *feed) forget() { f.up, f.everything, f.hazy, f.resync = nil, false, time.Time{}, false }

// listen calls listens once it hears everything, and returns nil when nobody watches any more.
func (f *feed) listen(ctx context.Context, up chan struct{}, idleSince *time.Time, listens func()) error {
	e := f.e
	conn, err := e.db.Connect(ctx, "feed", nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{e.db.Channel("feed")}.Sanitize()); err != nil {
		return err
	}
	var marked time.Time
	for {
		if time.Since(marked) >= watchEvery {
			f.mu.Lock()
			everything := len(f.subs) > 0
			f.mu.Unlock()
			if err := f.mark(ctx, conn, everything); err != nil {
				return err
			}
			marked = time.Now()
			listens()
			select {
			case <-up:
				f.publish(nil, true) // what was missed meanwhile
			default:
				close(up)
			}
		}
		wait, cancel := context.WithTimeout(ctx, time.Second)
		note, err := conn.WaitForNotification(wait)
		timedOut := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			changes, many := decodeChanges(note.Payload)
			f.publish(changes, many)
		case ctx.Err() != nil:
			return ctx.Err()
		case !timedOut:
			return err
		}
		f.mu.Lock()
		resync := f.resync && time.Now().After(f.hazy)
		f.resync = f.resync && !resync
		busy := f.count > 0
		if busy {
			*idleSince = time.Time{}
		} else if idleSince.IsZero() {
			*idleSince = time.Now()
		}
		quit := !busy && time.Since(*idleSince) > lingerFor
		if quit {
			f.forget() // from here on a subscriber starts another
		}
		f.mu.Unlock()
		if quit {
			return e.q.Unwatch(ctx, conn, f.id)
		}
		if resync {
			f.publish(nil, true)
		}
	}
}

// watchedBy returns a function that tells the call lane whether anybody watches. It has no ear of its own, so
// it asks the database, at most once a second.
func (f *feed) watchedBy() func(context.Context, *pgx.Conn) watch {
	var (
		asked time.Time
		last  watch
	)
	return func(ctx context.Context, conn *pgx.Conn) watch {
		if time.Since(asked) > time.Second {
			if row, err := f.e.q.Watched(ctx, conn); err == nil {
				asked, last = time.Now(), watch(row)
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case f.everything:
			return watchEverything
		case f.up != nil:
			return max(last, watchEnds)
		}
		return last
	}
}

// local takes in what this process itself has committed, without waiting for the notification.
func (f *feed) local(changes []change) {
	f.mu.Lock()
	busy := f.count > 0
	f.mu.Unlock()
	if busy && len(changes) > 0 {
		f.publish(changes, false)
	}
}

func (f *feed) publish(changes []change, many bool) {
	f.mu.Lock()
	var subs []*Subscription
	for s := range f.subs {
		if many || s.only == 0 {
			subs = append(subs, s)
		}
	}
	type news struct {
		to *Subscription
		of []change
	}
	var narrow []news
	for i, c := range changes {
		if !c.status.Live() {
			f.end(c.no, told{c.status, c.output, c.seq})
		}
		for s := range f.narrow[c.no] {
			narrow = append(narrow, news{s, changes[i : i+1]})
		}
	}
	waiting := len(f.waiters) > 0
	f.mu.Unlock()
	for _, s := range subs {
		s.add(changes, many)
	}
	for _, n := range narrow {
		n.to.add(n.of, false)
	}
	if many && waiting {
		f.pollAt(time.Now())
	}
}

// told is what one who waits hears of an end. Without an output there is more to read.
type told struct {
	status history.Status
	output history.Payload
	seq    int64
}

// end tells those who wait for the instance. The caller holds the lock.
func (f *feed) end(no int64, t told) {
	for ch := range f.waiters[no] {
		select {
		case ch <- t:
		default:
		}
	}
}

// wait returns a channel that receives when the instance may have ended, and a function to stop.
func (f *feed) wait(no int64) (<-chan told, func()) {
	ch := make(chan told, 1)
	now := time.Now()
	f.mu.Lock()
	if f.waiters[no] == nil {
		f.waiters[no] = map[chan told]bool{}
	}
	f.waiters[no][ch] = true
	f.count++
	hazy := f.hazy
	f.mu.Unlock()
	if now.Before(hazy) {
		// Committers may not have heard yet that somebody watches, so the first moments are polled.
		for _, d := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond} {
			f.pollAt(now.Add(d))
		}
	}
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiters[no], ch)
		if len(f.waiters[no]) == 0 {
			delete(f.waiters, no)
		}
		f.count--
	}
}

// pollAt asks for a poll at a time, coalesced with others nearby.
func (f *feed) pollAt(at time.Time) {
	const grain = 10 * time.Millisecond
	at = at.Truncate(grain).Add(grain)
	f.mu.Lock()
	for _, t := range f.soon {
		if t.Equal(at) {
			f.mu.Unlock()
			return
		}
	}
	f.soon = append(f.soon, at)
	f.mu.Unlock()
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// poll looks, for all who wait, which instances have ended: soon after a wait began, when a notification said
// only that many have changed, and every now and then.
func (f *feed) poll(ctx context.Context) {
	last := time.Now()
	for {
		f.mu.Lock()
		next := last.Add(pollEvery)
		for _, t := range f.soon {
			if t.Before(next) {
				next = t
			}
		}
		f.mu.Unlock()
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.poke:
			timer.Stop()
			continue
		case <-timer.C:
		}
		last = time.Now()
		f.mu.Lock()
		soon := f.soon[:0]
		for _, t := range f.soon {
			if t.After(last) {
				soon = append(soon, t)
			}
		}
		f.soon = soon
		nos := make([]int64, 0, len(f.waiters))
		for no := range f.waiters {
			nos = append(nos, no)
		}
		f.mu.Unlock()
		if len(nos) == 0 {
			continue
		}
		ended, err := f.e.q.FindEnded(ctx, f.e.pool, nos)
		if err != nil {
			continue // the next poll tries again
		}
		f.mu.Lock()
		for _, no := range ended {
			f.end(no, told{})
		}
		f.mu.Unlock()
	}
}

// encodeChanges writes changes compactly; "*" stands for too many. Nothing gives "".
func encodeChanges(changes []change) string {
	var b strings.Builder
	for i, c := range changes {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(c.no, 36))
		b.WriteByte('.')
		b.WriteString(strconv.FormatInt(c.seq, 36))
		b.WriteByte('.')
		b.WriteString(strconv.FormatInt(int64(c.status), 36))
		if c.progress {
			b.WriteByte('p')
		}
		if c.output.Present() {
			b.WriteByte('.')
			b.WriteString(base64.RawURLEncoding.EncodeToString(c.output.Data()))
		}
		if b.Len() > maxFeedPayload {
			return "*"
		}
	}
	return b.String()
}

func decodeChanges(payload string) (changes []change, many bool) {
	if payload == "*" {
		return nil, true
	}
	for item := range strings.SplitSeq(payload, ",") {
		parts := strings.Split(item, ".")
		if len(parts) < 3 {
			return nil, true
		}
		no, err1 := strconv.ParseInt(parts[0], 36, 64)
		seq, err2 := strconv.ParseInt(parts[1], 36, 64)
		number, progress := strings.CutSuffix(parts[2], "p")
		status, err3 := strconv.ParseInt(number, 36, 16)
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, true
		}
		c := change{no: no, seq: seq, status: history.Status(status), progress: progress}
		if len(parts) > 3 {
			output, err := base64.RawURLEncoding.DecodeString(parts[3])
			if err != nil {
				return nil, true
			}
			c.output = history.Bytes(output)
		}
		changes = append(changes, c)
	}
	return changes, false
}

// newUUID is a UUID of version 7: the time in milliseconds, then 74 random bits. Ids that are made up one after the other lie
// side by side in an index; those of version 4 would each touch a page of their own, whose first change after a checkpoint
// goes into the log as a whole.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	now := time.Now().UnixMilli()
	for i := range 6 {
		b[i] = byte(now >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
