package engine

import (
	"time"

	"github.com/weir-dev/weir/engine/schedule"
)

const (
	// maxBuffered is how many firings of a schedule may wait for its instance to end.
	maxBuffered = 100
	// maxStarts bounds the instances that one commit of a schedule starts, and maxWalk the firings it looks at: after
	// a long time in which nobody led, a schedule of every second has millions of them.
	maxStarts = 100
	maxWalk   = 100_000
	// maxLargeInputs bounds the large inputs, together, of the instances that one commit starts.
	maxLargeInputs = 32 << 20
)

// firingState is what decides about the firings of a schedule that are due.
type firingState struct {
	times    *schedule.Schedule
	overlap  Overlap
	catchUp  time.Duration
	next     time.Time   // the first firing that was not acted on; zero: none is left
	buffered []time.Time // firings that wait
	lives    bool        // the instance that firings must not overlap with has not ended
	most     int         // how many instances may be started at once: see startsAtOnce
}

// startsAtOnce is how many instances with an input of so many bytes one commit of a schedule starts: what is small
// goes into the batch, which must be small itself; what is large is written before it.
func startsAtOnce(input int) int {
	room := maxBatchBytes / 4 / (200 + input)
	if input > inlineLimit {
		room = maxLargeInputs / input
	}
	return max(1, min(room, maxStarts))
}

// firingPlan is what is to be done about them.
type firingPlan struct {
	starts   []time.Time
	skipped  int64
	next     time.Time
	buffered []time.Time
	// terminate says that the instance that runs is to be ended first, whereupon a new plan is made.
	terminate bool
	// cancel says that the instance that runs is to be asked to end.
	cancel bool
	// more says that not all that was due is in the plan.
	more bool
}

// planFirings is pure: what to do about the firings of a schedule that are due at a time. Each is started, buffered,
// or skipped.
func planFirings(s firingState, now time.Time) firingPlan {
	p := firingPlan{next: s.next, buffered: s.buffered}
	if s.overlap == OverlapTerminate || s.overlap == OverlapCancel {
		return planNewest(s, p, now)
	}
	for len(p.buffered) > 0 && len(p.starts) < s.most && (s.overlap == OverlapAllow || !s.lives) {
		p.starts, p.buffered, s.lives = append(p.starts, p.buffered[0]), p.buffered[1:], true
	}
	for walked := 0; !p.next.IsZero() && !s.times.Due(p.next).After(now); walked++ {
		if walked == maxWalk || len(p.starts) == s.most {
			p.more = true
			break
		}
		at := p.next
		p.next = s.times.Next(at)
		free := !s.lives && len(p.buffered) == 0
		switch {
		case now.Sub(s.times.Due(at)) > s.catchUp:
			p.skipped++
		case s.overlap == OverlapAllow || free:
			p.starts, s.lives = append(p.starts, at), true
		case s.overlap == OverlapBufferAll && len(p.buffered) < maxBuffered,
			s.overlap == OverlapBufferOne && len(p.buffered) == 0:
			p.buffered = append(p.buffered[:len(p.buffered):len(p.buffered)], at)
		default:
			p.skipped++
		}
	}
	return p
}

// planNewest is planFirings where a firing ends the instance before it, or asks it to end: of several only the newest counts,
// because the others would be ended as soon as they had started.
func planNewest(s firingState, p firingPlan, now time.Time) firingPlan {
	newest := time.Time{}
	take := func(at time.Time) {
		if !newest.IsZero() {
			p.skipped++
		}
		newest = at
	}
	for _, at := range p.buffered { // those that wait until it has ended, or of another policy, before
		take(at)
	}
	p.buffered = nil
	for walked := 0; !p.next.IsZero() && !s.times.Due(p.next).After(now); walked++ {
		if walked == maxWalk {
			p.more = true
			break
		}
		if now.Sub(s.times.Due(p.next)) > s.catchUp {
			p.skipped++
		} else {
			take(p.next)
		}
		p.next = s.times.Next(p.next)
	}
	switch {
	case newest.IsZero():
	case s.lives && s.overlap == OverlapTerminate:
		p.terminate = true
	case s.lives:
		p.buffered, p.cancel = []time.Time{newest}, len(s.buffered) == 0
	default:
		p.starts = []time.Time{newest}
	}
	return p
}
