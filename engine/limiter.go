package engine

import (
	"context"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// limiter lets calls through that wait for a limit. Whoever commits that a place is free, or that a call waits, tells its
// own limiter of the bucket afterwards; the database's function let_through decides, one at a time for each bucket. What
// a process that died has not told is found by the leader's sweep.
type limiter struct {
	e *Engine

	mu     sync.Mutex
	asked  map[store.Bucket]bool
	alarms map[store.Bucket]*time.Timer // for the next tokens of rates
	busy   bool
}

const (
	// letAtOnce is how many buckets are gone through in one transaction, which keeps them locked.
	letAtOnce = 50
	// letAgain is how long to wait after an error.
	letAgain = 100 * time.Millisecond
)

func newLimiter(e *Engine) *limiter {
	return &limiter{e: e, asked: map[store.Bucket]bool{}, alarms: map[store.Bucket]*time.Timer{}}
}

// let asks for the calls of these buckets to be let through, as far as there are places.
func (l *limiter) let(buckets []store.Bucket) {
	if len(buckets) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range buckets {
		l.asked[b] = true
	}
	if !l.busy && l.e.ctx.Err() == nil {
		l.busy = true
		l.e.work.Go(l.run)
	}
}

// run goes on until nothing is asked for.
func (l *limiter) run() {
	for {
		p := store.LetThroughParams{RiverChannel: l.e.db.RiverChannel()}
		l.mu.Lock()
		for b := range l.asked {
			if len(p.Hubs) == letAtOnce {
				break
			}
			delete(l.asked, b)
			p.Hubs, p.Names, p.Keys = append(p.Hubs, b.Hub), append(p.Names, b.Name), append(p.Keys, b.Key)
		}
		if len(p.Hubs) == 0 || l.e.ctx.Err() != nil {
			l.busy = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		rows, err := l.e.q.LetThrough(l.e.ctx, l.e.pool, p)
		if err != nil {
			l.failed(&p, err)
			continue
		}
		l.mu.Lock()
		for _, row := range rows {
			l.setAlarm(store.Bucket{Hub: row.Hub, Name: row.Name, Key: row.Key}, time.Duration(row.Wait*float64(time.Second)))
		}
		l.mu.Unlock()
	}
}

// failed waits a little and asks again.
func (l *limiter) failed(p *store.LetThroughParams, err error) {
	if l.e.ctx.Err() != nil {
		return
	}
	l.e.log.WarnContext(l.e.ctx, "let calls through their limits", logkey.Err, err)
	select {
	case <-l.e.ctx.Done():
	case <-time.After(letAgain):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range p.Hubs {
		l.asked[store.Bucket{Hub: p.Hubs[i], Name: p.Names[i], Key: p.Keys[i]}] = true
	}
}

// setAlarm asks for a bucket when its next token is there; a millisecond more makes up for what is rounded.
func (l *limiter) setAlarm(b store.Bucket, wait time.Duration) {
	if old := l.alarms[b]; old != nil {
		old.Stop()
	}
	var alarm *time.Timer
	alarm = time.AfterFunc(wait+time.Millisecond, func() {
		l.mu.Lock()
		if l.alarms[b] == alarm {
			delete(l.alarms, b)
		}
		l.mu.Unlock()
		l.let([]store.Bucket{b})
	})
	l.alarms[b] = alarm
}

// sweep finds what nobody has told of: places of calls that are gone, and calls that have waited for a while.
func (l *limiter) sweep(ctx context.Context) error {
	freed, err := l.e.q.SweepLimitCalls(ctx, l.e.pool)
	if err != nil {
		return err
	}
	waiting, err := l.e.q.FindWaitingBuckets(ctx, l.e.pool)
	if err != nil {
		return err
	}
	var buckets []store.Bucket
	for _, row := range freed {
		buckets = append(buckets, store.Bucket(row))
	}
	for _, row := range waiting {
		buckets = append(buckets, store.Bucket(row))
	}
	l.let(buckets)
	return nil
}
