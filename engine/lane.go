package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/engine/tracing"
)

// lane is the committer: it takes the units that have queued up while the last batch was committing and
// commits them together, on a connection of its own. There is no artificial delay: under light load a batch
// is one unit, under heavy load it is as large as what arrived meanwhile. This is where the engine's speed
// comes from: a commit costs the same for one unit as for hundreds.
type lane struct {
	db     *store.DB
	link   link
	log    *slog.Logger
	no     int32 // of the worker, or of the client process
	index  int16
	client string // River client id in whose name task rows run
	jobIDs *blocks

	// watched tells what of the feed is watched by anybody.
	watched func(ctx context.Context, conn *pgx.Conn) watch
	// plans is the generation of the tables' sizes that plans must be for.
	plans func() int64
	// tell tells the feed of changes that need not be told in the commit.
	tell func(changes []change)
	// woken is told the instances of this process that got a message.
	woken func(nos []int64)
	// committed is told what changed, for watchers in this process.
	committed func(changes []change)
	// limited is told the buckets of limits in which places have become free, or calls wait.
	limited func([]store.Bucket)
	// fenced is told once that this lane may not commit any more.
	fenced func(error)
	// tracing takes the spans of what has landed.
	tracing *tracing.Config

	metrics *laneMetrics
	units   counter
	batches counter

	mu     sync.Mutex
	queue  []*unit
	due    int                 // units of the queue that fire timers
	parked map[int64]time.Time // instances whose row somebody else holds, and until when to leave them
	closed error
	signal chan struct{}

	// Owned by the goroutine of run.
	next  store.Batch    // memory for the next batch
	busy  map[int64]bool // and for what take knows of it
	once  map[any]bool
	told  watch // when the present batch was sent
	spans []tracing.Span
	fired bool // the last batch fired timers, and did nothing else
	inc   int32
	batch int64
}

const (
	// maxUnits and maxBatchBytes bound a batch. The bytes must fit into socket buffers: a pipeline whose
	// sender is stopped in the middle holds its locks, and no timeout of Postgres ends it.
	maxUnits = 500
	// besideTimers bounds a batch while timers are due, which wait for it.
	besideTimers  = 50
	maxBatchBytes = 256 << 10
	// parkFor is how long units stay away from a row that a transaction of somebody else holds.
	parkFor = 100 * time.Millisecond
)

func newLane(l *lane) *lane {
	l.signal = make(chan struct{}, 1)
	l.parked = map[int64]time.Time{}
	l.busy, l.once = map[int64]bool{}, map[any]bool{}
	return l
}

// submit queues a unit. It is answered exactly once.
func (l *lane) submit(u *unit) {
	l.mu.Lock()
	closed := l.closed
	if closed == nil {
		l.queue = append(l.queue, u)
		if u.fires() {
			l.due++
		}
	}
	l.mu.Unlock()
	if closed != nil {
		u.answer(outcome{err: closed})
		return
	}
	l.poke()
}

func (l *lane) poke() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// open connects and enters the lane in the database.
func (l *lane) open(ctx context.Context) error {
	if err := l.link.connect(ctx); err != nil {
		return err
	}
	return l.link.enter(ctx, l)
}

// run commits batches until ctx ends. Units still queued then are answered with an error.
func (l *lane) run(ctx context.Context) {
	why := ErrUnavailable
	for ctx.Err() == nil {
		units, wait := l.take()
		if len(units) == 0 {
			var timer <-chan time.Time
			if wait > 0 {
				timer = time.After(wait)
			}
			select {
			case <-ctx.Done():
			case <-l.signal:
			case <-timer:
			}
			continue
		}
		if err := l.commit(ctx, units); err != nil {
			why = err
			break
		}
	}
	l.mu.Lock()
	l.closed = why
	rest := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, u := range rest {
		u.answer(outcome{err: why})
	}
	if errors.Is(why, ErrFenced) {
		l.fenced(why)
	}
	l.link.close(context.WithoutCancel(ctx))
}

// take removes the units of the next batch from the queue. Of one instance there is at most one writer; later
// units of it wait, in order. If nothing can be taken because rows are parked, it says how long to wait. Timers that
// are due have every other batch for themselves, and do not wait long for the one between: when thousands are due at
// once, what they set off would keep the later ones.
func (l *lane) take() ([]*unit, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fired = l.due > 0 && !l.fired; l.fired {
		if batch, _ := l.pick(maxUnits, (*unit).fires); len(batch) > 0 {
			return batch, 0
		}
	}
	limit := maxUnits
	if l.due > 0 {
		limit = besideTimers
	}
	return l.pick(limit, func(*unit) bool { return true })
}

// pick removes up to limit units that fit from the queue.
func (l *lane) pick(limit int, fits func(*unit) bool) ([]*unit, time.Duration) {
	clear(l.busy)
	clear(l.once)
	var (
		now   = time.Now()
		batch []*unit
		rest  = l.queue[:0]
		size  int
		busy  = l.busy
		once  = l.once
		wait  time.Duration
	)
	for i, u := range l.queue {
		if len(batch) == limit || size > maxBatchBytes {
			rest = append(rest, l.queue[i:]...)
			break
		}
		if !fits(u) {
			rest = append(rest, u)
			continue
		}
		if until, ok := l.parked[u.no]; ok {
			if left := until.Sub(now); left > 0 {
				if wait == 0 || left < wait {
					wait = left
				}
				rest = append(rest, u)
				continue
			}
			delete(l.parked, u.no)
		}
		later := u.writes() && busy[u.no]
		for _, p := range u.purges {
			later = later || busy[p.no]
		}
		for _, k := range u.once() {
			later = later || once[k]
		}
		bytes := u.size()
		if later || (len(batch) > 0 && size+bytes > maxBatchBytes) {
			u.occupy(busy) // what follows of this instance waits too
			rest = append(rest, u)
			continue
		}
		u.occupy(busy)
		for _, k := range u.once() {
			once[k] = true
		}
		size += bytes
		batch = append(batch, u)
		if u.fires() {
			l.due--
		}
	}
	clear(l.queue[len(rest):])
	l.queue = rest
	return batch, wait
}

// fires tells whether the unit fires a timer.
func (u *unit) fires() bool { return len(u.timersDue)+len(u.retriesDue)+len(u.deadlines) > 0 }

// occupy marks the instances of which the batch shall hold no other writer.
func (u *unit) occupy(busy map[int64]bool) {
	if u.writes() {
		busy[u.no] = true
	}
	for _, p := range u.purges {
		busy[p.no] = true
	}
}

// commit brings units into the database, together if possible. It returns an error only when the lane is
// finished: fenced, or closing.
func (l *lane) commit(ctx context.Context, units []*unit) error {
	for tries := 0; len(units) > 0; tries++ {
		if ctx.Err() != nil {
			return l.fail(units, ErrUnavailable)
		}
		began := time.Now()
		r, err := l.send(ctx, units)
		before := len(units)
		switch {
		case err == nil:
			l.batch++
			l.batches.Inc()
			l.units.Add(len(units))
			l.metrics.landed(units, time.Since(began))
			l.settle(units, r)
			return nil
		case !store.ServerAnswered(err):
			landed, lost := l.resolve(ctx, err)
			if lost != nil {
				return l.fail(units, lost)
			}
			if landed {
				l.metrics.landed(units, time.Since(began))
				l.settleUnknown(units)
				return nil
			}
		case store.Code(err) == store.CodeFenced:
			return l.fail(units, ErrFenced)
		case store.Code(err) == store.CodeLost:
			units = l.dropLosers(ctx, units)
		case store.Code(err) == store.CodeMoved:
			units = l.dropMoved(ctx, units)
		case store.IsIDTaken(err):
			var decided bool
			if units, decided = l.dropTaken(ctx, units); decided {
				tries = 0 // somebody else has got on, and the next try is another
			}
		case store.IsLockWait(err):
			units = l.park(ctx, units)
		case store.IsTransient(err):
		default:
			tries = maxTries
		}
		if len(units) < before || tries < maxTries {
			continue
		}
		if len(units) > 1 {
			// Something in here does not go in. One by one, so that only its own unit suffers.
			for i := range units {
				if err := l.commit(ctx, units[i:i+1]); err != nil {
					_ = l.fail(units[i+1:], err)
					return err
				}
			}
			return nil
		}
		l.log.ErrorContext(ctx, "commit refused", logkey.InstanceNo, units[0].no, logkey.Err, err)
		units[0].answer(outcome{err: fmt.Errorf("commit: %w", err)})
		return nil
	}
	return nil
}

// maxTries is how often a batch is tried again unchanged before its units are tried one by one.
const maxTries = 4

// send writes large values, then the batch.
func (l *lane) send(ctx context.Context, units []*unit) (*store.Result, error) {
	var large store.InsertPayloadsParams
	for _, u := range units {
		for _, p := range u.large {
			large.Ids, large.Nos, large.Datas = append(large.Ids, p.id), append(large.Nos, p.no), append(large.Datas, p.data)
		}
	}
	if len(large.Ids) > 0 {
		if err := l.link.putLarge(ctx, large); err != nil {
			return nil, err
		}
		for _, u := range units {
			u.large = nil // written, whatever becomes of the batch
		}
	}
	b, err := l.assemble(units, func(n int) ([]int64, error) { return l.jobIDs.take(ctx, n) })
	if err != nil {
		return nil, err
	}
	// Ends are told in the commit itself, because somebody may wait for them. For the rest a notification in the
	// commit would be too dear: Postgres wakes every listener of the database before it answers.
	if l.told = l.link.watched(ctx, l.watched); l.told != watchNothing {
		if payload := encodeChanges(ends(changes(units))); payload != "" {
			b.Notifications = append(b.Notifications, store.NotifyChannelParams{Channel: l.db.Channel("feed"), Payload: payload})
		}
	}
	return l.link.commit(ctx, b, l.plans())
}

// settle tells everybody that the batch has landed.
func (l *lane) settle(units []*unit, r *store.Result) {
	for _, u := range units {
		switch u.kind {
		case unitControl:
			// Which way it went is known only now; watchers look at the row.
			u.seq, u.status = r.Controlled[u.no].Seq, statusOf(r.Controlled[u.no].NowStatus)
		case unitRestart:
			u.seq = r.Restarted[u.no].Seq
		}
	}
	l.traced(units, r)
	changed, waiting := changes(units), limitedBuckets(units)
	var late map[int64][]store.Inbox
	if len(r.Inboxes) > 0 {
		late = map[int64][]store.Inbox{}
	}
	for _, row := range r.Inboxes {
		late[row.InstanceNo] = append(late[row.InstanceNo], row)
	}
	ord := int64(0)
	for _, u := range units {
		o := outcome{}
		for range u.progress {
			o.progressed = r.Progress[ord]
			ord++
		}
		if u.readInbox {
			o.late = late[u.no]
		}
		switch u.kind {
		case unitRelease:
			o.released = r.Released[u.no]
		case unitTakeOver:
			o.takenOver = r.TakenOver[u.no]
		case unitTerminate:
			var row store.TerminateInstancesRow
			row, o.terminated = r.Terminated[u.no]
			o.owner = row.Owner
		case unitRestart:
			_, o.restarted = r.Restarted[u.no]
		case unitControl:
			row, ok := r.Controlled[u.no]
			o.found, o.status = ok, statusOf(row.Status)
		}
		if row, ok := r.Tags[u.no]; ok && u.tags != nil {
			o.tags = &row
		}
		for _, p := range u.purges {
			if row, ok := r.Purged[p.no]; ok {
				o.purged = append(o.purged, row)
			}
		}
		if u.kind == unitPlain && len(u.messages) > 0 {
			o.delivered = r.Delivered[u.messages[0].no] > 0
		}
		if len(u.raises) > 0 {
			row, ok := r.Statuses[u.no]
			o.found, o.status = ok, statusOf(row.Status)
		}
		if len(u.parks) > 0 {
			o.parked = r.Parked[u.parks[0].token]
		}
		u.answer(o)
	}
	if len(r.Mine) > 0 {
		l.woken(r.Mine)
	}
	l.limited(append(r.Waiting, waiting...))
	l.publish(changed)
}

// settleUnknown: the batch has landed, but its answers are lost with the connection.
func (l *lane) settleUnknown(units []*unit) {
	l.traced(units, &store.Result{})
	changed, waiting := changes(units), limitedBuckets(units)
	for _, u := range units {
		u.answer(outcome{landed: true})
	}
	l.limited(waiting)
	l.publish(changed)
}

// publish tells of changes that have landed.
func (l *lane) publish(changed []change) {
	l.committed(changed)
	if l.told == watchEverything {
		l.tell(slices.DeleteFunc(changed, func(c change) bool { return !c.status.Live() }))
	}
}

// fail answers units that will not be committed by this lane, and passes the reason on.
func (l *lane) fail(units []*unit, why error) error {
	for _, u := range units {
		u.answer(outcome{err: why})
	}
	return why
}

// resolve finds out, after the connection broke, whether the batch it carried has landed: the old backend is
// ended first, then the lane is taken over, which waits for a batch still in flight; the number of the last
// batch then tells. It tries until the database is back. lost means that the lane is not ours any more, or
// that ctx has ended.
func (l *lane) resolve(ctx context.Context, cause error) (landed bool, lost error) {
	l.log.WarnContext(ctx, "lane lost its connection", logkey.Lane, l.index, logkey.Err, cause)
	l.link.close(ctx)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		last, err := l.reconnect(ctx)
		switch {
		case err == nil:
			landed = last == l.batch+1
			l.batch = last
			l.inc++
			l.log.InfoContext(ctx, "lane is back", logkey.Lane, l.index, logkey.Landed, landed)
			return landed, nil
		case errors.Is(err, pgx.ErrNoRows):
			return false, ErrFenced
		}
		select {
		case <-ctx.Done():
			return false, ErrUnavailable
		case <-time.After(wait):
		}
	}
}

func (l *lane) reconnect(ctx context.Context) (last int64, err error) {
	if err := l.link.connect(ctx); err != nil {
		return 0, err
	}
	last, err = l.link.takeOver(ctx, l)
	if err != nil {
		l.link.close(ctx)
	}
	return last, err
}

// dropLosers answers the units whose instance has moved on and returns the others, in their order. The batch
// was rolled back as a whole. A mismatch is for good, because seq and epoch never go back.
func (l *lane) dropLosers(ctx context.Context, units []*unit) []*unit {
	nos := make([]int64, 0, len(units))
	for _, u := range units {
		if u.writes() {
			nos = append(nos, u.no)
		}
	}
	rows, err := l.link.fences(ctx, nos)
	if err != nil {
		return units // the next round meets the same trouble and deals with it
	}
	have := make(map[int64]store.ReadFencesRow, len(rows))
	for _, row := range rows {
		have[row.No] = row
	}
	rest := make([]*unit, 0, len(units))
	for _, u := range units {
		if row, ok := have[u.no]; l.matches(u, row, ok) {
			rest = append(rest, u)
		} else {
			l.metrics.rejected.Inc()
			u.answer(outcome{err: errLost})
		}
	}
	return rest
}

// matches repeats the condition of B2 for one unit.
func (l *lane) matches(u *unit, row store.ReadFencesRow, found bool) bool {
	status := statusOf(row.Status)
	switch u.kind {
	case unitPlain, unitRelease, unitTakeOver, unitTerminate, unitControl, unitRestart:
		return true // not compared: what does not match is answered by a row that does not come back
	case unitCancel:
		return found && status == history.Pending && row.Owner == 0
	}
	if !found || row.Seq != u.base || row.Epoch != u.epoch || !status.Live() {
		return false
	}
	if u.job == 0 {
		return row.Owner == l.no
	}
	return row.Owner == 0 && row.TurnJob == u.job
}

// dropTaken deals with starts whose id is in use, each in its unit's own way, and returns what is to be
// committed, and whether there were any.
func (l *lane) dropTaken(ctx context.Context, units []*unit) (rest []*unit, decided bool) {
	var p store.FindInstancesParams
	for _, u := range units {
		for i := range u.starts {
			p.Hubs, p.Ids = append(p.Hubs, u.starts[i].hub), append(p.Ids, u.starts[i].id)
		}
	}
	rows, err := l.link.taken(ctx, p)
	if err != nil {
		return units, false
	}
	taken := map[instanceName]store.FindInstancesRow{}
	for _, row := range rows {
		taken[instanceName{row.Hub, row.ID}] = row
	}
	rest = make([]*unit, 0, len(units))
	for _, u := range units {
		keep := true
		for i := len(u.starts) - 1; i >= 0 && keep; i-- {
			if row, ok := taken[instanceName{u.starts[i].hub, u.starts[i].id}]; ok {
				keep, decided = u.conflict(u, i, row), true
			}
		}
		if keep {
			rest = append(rest, u)
		}
	}
	return rest, decided
}

// instanceName is how people know an instance.
type instanceName struct {
	hub int32
	id  string
}

// park sets aside the units that touch rows which somebody else keeps locked, so that one slow transaction
// does not stop the lane, and returns the others.
func (l *lane) park(ctx context.Context, units []*unit) []*unit {
	var nos []int64
	for _, u := range units {
		nos = append(nos, u.touches()...)
	}
	free, err := l.link.unlocked(ctx, nos)
	if err != nil {
		return units
	}
	unlocked := make(map[int64]bool, len(free))
	for _, no := range free {
		unlocked[no] = true
	}
	var rest, aside []*unit
	until := time.Now().Add(parkFor)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range units {
		blocked := false
		for _, no := range u.touches() {
			if !unlocked[no] {
				blocked = true
			}
		}
		if blocked {
			l.parked[u.no] = until
			aside = append(aside, u)
			continue
		}
		rest = append(rest, u)
	}
	l.queue = append(aside, l.queue...)
	for _, u := range aside {
		if u.fires() {
			l.due++
		}
	}
	return rest
}

// touches lists the existing instances whose rows the unit locks.
func (u *unit) touches() []int64 {
	b := &store.Batch{}
	u.add(b, nil)
	return b.Locks
}
