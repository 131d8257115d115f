package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
)

// deaths is what keeps a turn or an activity from being given out: workers have died of it.
type deaths struct {
	count  int
	worker string // the last one
	until  time.Time
	heldAt *time.Time // since when it is a dead letter
}

// deathsOf reads of what of an instance workers have died, by the number of the activity: what rests, or is held.
func (e *Engine) deathsOf(ctx context.Context, i *Instance) (map[int32]*deaths, error) {
	rows, err := e.q.ListDeaths(ctx, e.pool, store.ListDeathsParams{No: i.no, Gen: int32(i.Generation)})
	if err != nil {
		return nil, fmt.Errorf("read deaths: %w", err)
	}
	out := map[int32]*deaths{}
	for _, r := range rows {
		if r.HeldAt != nil || r.Until.After(time.Now()) {
			out[r.Task] = &deaths{int(r.Deaths), r.Worker, r.Until, r.HeldAt}
		}
	}
	return out, nil
}

func (d *deaths) text() string {
	if d.count == 1 {
		return "a worker died while it ran it: " + d.worker
	}
	return fmt.Sprintf("%d workers died while they ran it, the last one %s", d.count, d.worker)
}

// describe tells of an activity.
func (d *deaths) describe(what, name ReasonPart) (ReasonKind, []ReasonPart) {
	parts := []ReasonPart{what, name}
	if d.heldAt == nil {
		return ReasonRetry, append(parts, say(" rests: "+d.text()+". It is given out again at "), at(d.until), say("."))
	}
	return ReasonDeadLetter, append(parts, say(" is a dead letter for "), since(*d.heldAt), say(": "+d.text()+". Redrive it when the cause is mended."))
}

// reason tells of a turn.
func (d *deaths) reason() *Reason {
	what := fmt.Sprintf("%d workers died with its turn in hand, the last one ", d.count)
	if d.heldAt == nil {
		return &Reason{Kind: ReasonRetry, Until: &d.until, Subject: d.worker, Parts: []ReasonPart{
			say("Rests: " + what), strong(d.worker), say(". It is given out again at "), at(d.until), say("."),
		}}
	}
	return &Reason{Kind: ReasonDeadLetter, Since: d.heldAt, Subject: d.worker, Parts: []ReasonPart{
		say("A dead letter for "), since(*d.heldAt), say(": " + what), strong(d.worker), say(". Nothing is lost; redrive it when the cause is mended."),
	}}
}
