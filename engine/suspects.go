package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// suspects is what the leader remembers of the turns and activities with which in hand workers have died again and again.
// They are given out apart from each other, so that the next death shows which it was: first one, and twice as many each time
// when none of those before is to blame. Whatever gets on, or is still well after a while, goes free.
type suspects struct {
	waiting bool      // some are not given out
	group   int       // so many at a time
	died    time.Time // when a worker last died of one
}

// maxGroup bounds how many suspects are given out at a time.
const maxGroup = 1000

// giveOut gives out the next suspects when none is tested.
func (n *Node) giveOut(ctx context.Context) error {
	q, s := n.e.q, &n.suspects
	now, err := q.CountSuspects(ctx, n.e.pool)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	s.waiting = now.Waiting > 0
	if !s.waiting || now.Tested > 0 {
		return nil
	}
	if s.group == 0 || now.LastAt.After(s.died) {
		s.group = 1
	}
	var (
		taken []store.TakeSuspectsRow
		free  []store.Bucket
	)
	err = pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
		if taken, err = q.TakeSuspects(ctx, tx, int32(s.group)); err != nil {
			return err
		}
		var p store.GiveOutParams
		for _, t := range taken {
			p.Nos, p.Gens, p.Tasks = append(p.Nos, t.No), append(p.Gens, t.Gen), append(p.Tasks, t.Task)
		}
		_, free, err = n.e.release(ctx, tx, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("give out: %w", err)
	}
	n.e.limiter.let(free)
	s.died = now.LastAt
	if len(taken) > 0 { // else none has rested long enough
		s.group = min(2*s.group, maxGroup)
	}
	return nil
}

// release gives out rows that rest, and returns how many those were, and the buckets in which calls wait again for a place,
// which are to be told after the commit.
func (e *Engine) release(ctx context.Context, tx pgx.Tx, p store.GiveOutParams) (n int, free []store.Bucket, err error) {
	given, err := e.q.GiveOut(ctx, tx, p)
	if err != nil {
		return 0, nil, err
	}
	queues := make([]string, len(given))
	for i, g := range given {
		queues[i] = g.Queue
		if g.Name != "" {
			free = append(free, store.Bucket{Hub: g.Hub, Name: g.Name, Key: g.Key})
		}
	}
	return len(given), free, e.q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: e.db.RiverChannel(), Queues: queues})
}

// suspect logs what is not given out again at once.
func (n *Node) suspect(ctx context.Context, what, instance string, deaths int32, held bool) {
	if held {
		n.log.WarnContext(ctx, "worker after worker died with this in hand: it is a dead letter", logkey.Instance, instance, logkey.Kind, what, logkey.Count, deaths)
		return
	}
	n.log.DebugContext(ctx, "workers died with this in hand: it rests", logkey.Instance, instance, logkey.Kind, what, logkey.Count, deaths)
}
