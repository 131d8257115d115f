package engine

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
)

// firing is what a unit does to a schedule's row, beside the instances that it starts: it moves the row on from the
// state that it was computed from.
type firing struct {
	no       int64
	base     int64 // seq
	next     time.Time
	due      time.Time
	last     time.Time // of the last instance started
	lastNo   int64     // 0: none was
	runs     int64
	skipped  int64
	state    ScheduleState
	buffered []byte
}

// firingOf is the key by which a batch holds at most one firing of a schedule.
type firingOf struct{ no int64 }

func (f *firing) add(b *store.Batch) {
	t := &b.Firings
	t.Nos, t.Bases, t.States = append(t.Nos, f.no), append(t.Bases, f.base), append(t.States, int16(f.state))
	t.Nexts, t.Dues, t.Buffereds = append(t.Nexts, f.next), append(t.Dues, f.due), append(t.Buffereds, f.buffered)
	t.Lasts, t.LastNos = append(t.Lasts, f.last), append(t.LastNos, f.lastNo)
	t.Runs, t.Skips = append(t.Runs, f.runs), append(t.Skips, f.skipped)
}

// dropMoved answers the firings whose schedule has changed since it was read, and returns the other units, in their
// order. The batch was rolled back as a whole. A mismatch is for good, because seq never goes back.
func (l *lane) dropMoved(ctx context.Context, units []*unit) []*unit {
	var nos []int64
	for _, u := range units {
		if u.firing != nil {
			nos = append(nos, u.firing.no)
		}
	}
	rows, err := l.link.scheduleSeqs(ctx, nos)
	if err != nil {
		return units // the next round meets the same trouble and deals with it
	}
	have := make(map[int64]int64, len(rows))
	for _, row := range rows {
		have[row.No] = row.Seq
	}
	rest := make([]*unit, 0, len(units))
	for _, u := range units {
		if f := u.firing; f != nil {
			if seq, ok := have[f.no]; !ok || seq != f.base {
				u.answer(outcome{err: errLost})
				continue
			}
		}
		rest = append(rest, u)
	}
	return rest
}
