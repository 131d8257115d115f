package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
)

// limitWait is what a call waits for that a limit bounds: how the limit stands for calls of its key.
type limitWait struct {
	name, key   string
	found       bool
	concurrency int
	rate        int
	period      time.Duration
	holding     int64
	ahead       int64 // calls that go before it
	since       time.Time
	due         *time.Time // when the next token of the rate is there
}

// addLimits adds how the limits stand that tasks wait for.
func (e *Engine) addLimits(ctx context.Context, f *facts) error {
	rows, err := e.q.ListLimitWaits(ctx, e.pool, store.ListLimitWaitsParams{No: f.instance.no, Gen: int32(f.instance.Generation)})
	if err != nil {
		return fmt.Errorf("read limits: %w", err)
	}
	for _, r := range rows {
		t, ok := f.tasks[r.Task]
		if !ok || t.State != TaskLimited {
			continue
		}
		t.limit = &limitWait{
			name: r.Name, key: r.Key, found: r.Found, concurrency: int(r.Concurrency), rate: int(r.Rate), period: seconds(r.Period),
			holding: r.Holding, ahead: r.Ahead, since: r.QueuedAt, due: r.DueAt,
		}
		f.tasks[r.Task] = t
	}
	return nil
}

// describeLimit says which limit a task waits for, and how that stands.
func describeLimit(p PendingTask, t WaitingTask, verb func(up, down string) ReasonPart) (ReasonKind, []ReasonPart) {
	parts := []ReasonPart{verb("Activity ", "activity "), strong(t.Name), say(" waits ")}
	l := p.limit
	if l == nil { // let through while this was read
		return ReasonActivity, append(parts, say("for a worker."))
	}
	parts = append(parts, say("for limit "), strong(l.name))
	if l.key != "" {
		parts = append(parts, say(" (key "), strong(l.key), say(")"))
	}
	if !l.found {
		return ReasonLimit, append(parts, say(", which nobody has put."))
	}
	parts = append(parts, say(" for "), since(l.since))
	if l.concurrency > 0 {
		parts = append(parts, say(fmt.Sprintf(": %d of %s", l.holding, places(l.concurrency))))
	} else {
		parts = append(parts, say(fmt.Sprintf(": %d under way", l.holding)))
	}
	if l.rate > 0 {
		parts = append(parts, say(fmt.Sprintf(", %d in %s", l.rate, l.period)))
	}
	if l.ahead > 0 {
		parts = append(parts, say(fmt.Sprintf(", %d before it", l.ahead)))
	}
	parts = append(parts, say("."))
	if l.due != nil {
		parts = append(parts, say(" The next call is let through at "), at(*l.due), say("."))
	}
	return ReasonLimit, parts
}

func places(n int) string {
	if n == 1 {
		return "1 place is taken"
	}
	return fmt.Sprintf("%d places are taken", n)
}
