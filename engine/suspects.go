package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
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
	var free []store.Bucket
	var queues []string
	err = pgx.BeginFunc(ctx, n.e.pool, func(tx pgx.Tx) error {
		given, err := q.GiveOut(ctx, tx, int32(s.group))
		if err != nil {
			return err
		}
		for _, g := range given {
			if g.Queue == "" {
				free = append(free, store.Bucket{Hub: g.Hub, Name: g.Name, Key: g.Key})
			} else {
				queues = append(queues, g.Queue)
			}
		}
		return q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: n.e.db.RiverChannel(), Queues: queues})
	})
	if err != nil {
		return fmt.Errorf("give out: %w", err)
	}
	n.e.limiter.let(free)
	s.died = now.LastAt
	if len(free)+len(queues) > 0 { // else none has rested long enough
		s.group = min(2*s.group, maxGroup)
	}
	return nil
}

// suspect logs what is not given out again at once.
func (n *Node) suspect(ctx context.Context, what, instance string, deaths int32, held bool) {
	if held {
		n.log.WarnContext(ctx, "worker after worker died with this in hand: it is a dead letter", "instance", instance, "what", what, "deaths", deaths)
		return
	}
	n.log.DebugContext(ctx, "workers died with this in hand: it rests", "instance", instance, "what", what, "deaths", deaths)
}
