package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// ringEvery is how exactly sessions are woken that wait for a while. A timer for each would cost more than their
// turns' decisions.
const ringEvery = 20 * time.Millisecond

// ring wakes sessions whose alarm is due, as long as there are sessions.
func (n *Node) ring(ctx context.Context) error {
	tick := time.NewTicker(ringEvery)
	defer tick.Stop()
	for {
		tick.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.busy:
		}
		tick.Reset(ringEvery)
		for n.ringDue() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
}

// ringDue wakes those that are due now, and tells whether there are any sessions.
func (n *Node) ringDue() bool {
	now := time.Now().UnixNano()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if at := s.alarm.Load(); at != 0 && at <= now && s.alarm.CompareAndSwap(at, 0) {
			s.poke()
		}
	}
	return len(n.sessions) > 0
}

// slowTurn is how long a turn may take before it is told of.
const slowTurn = time.Second

// findSlowTurns tells of user code that blocks, once for each turn.
func (n *Node) findSlowTurns(ctx context.Context) {
	before := time.Now().Add(-slowTurn).UnixNano()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if began := s.turnBegan.Load(); began != 0 && began < before && s.turnBegan.CompareAndSwap(began, 0) {
			n.log.WarnContext(ctx, "a turn runs for more than a second: orchestration code must not block, do I/O in activities or steps",
				logkey.Instance, s.caption.Load().instance, logkey.Orchestration, s.caption.Load().orchestration)
		}
	}
}

// beat says that the node lives, and learns the time.
func (n *Node) beat(ctx context.Context) error {
	before := time.Now()
	row, err := n.e.q.Heartbeat(ctx, n.conn, n.no)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	if err != nil {
		return err
	}
	n.clock.set(row.Now, before, time.Now())
	n.mu.Lock()
	n.watch = watch(row.Watched)
	n.mu.Unlock()
	return nil
}

// listen owns the lock connection: it takes in wake-ups, beats, and probes the other nodes. Losing the
// connection is losing the number, so that no wake-up can be missed by a node that still counts as alive.
func (n *Node) listen(ctx context.Context) error {
	defer func() { _ = n.conn.Close(context.WithoutCancel(ctx)) }()
	lastBeat, lastLook := time.Now(), time.Time{}
	next := time.Now().Add(probeEvery)
	for {
		wait, cancel := context.WithDeadline(ctx, next)
		note, err := n.conn.WaitForNotification(wait)
		timedOut := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			n.notified(note.Channel, note.Payload)
		case ctx.Err() != nil:
			return ctx.Err()
		case !timedOut:
			n.fence(fmt.Errorf("the lock connection is gone: %w", err))
			return ErrFenced
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(probeEvery)
		if time.Since(lastBeat) >= beatEvery {
			lastBeat = time.Now()
			if err := n.beat(ctx); err != nil {
				n.fence(err)
				return ErrFenced
			}
			n.checkInboxes(ctx)
		}
		n.findSlowTurns(ctx)
		err = n.probe(ctx)
		if err == nil && time.Since(lastLook) >= lookEvery {
			lastLook = time.Now()
			err = n.lookAround(ctx)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n.fence(fmt.Errorf("probe: %w", err))
			return ErrFenced
		}
	}
}

func (n *Node) notified(channel, payload string) {
	switch {
	case strings.HasSuffix(channel, ".watch"):
		n.mu.Lock()
		n.watch = max(n.watch, watchEnds)
		if payload == "everything" {
			n.watch = watchEverything
		}
		n.mu.Unlock()
	case strings.HasSuffix(channel, ".versions"):
		if payload != strconv.Itoa(int(n.hub.no)) {
			return
		}
		select {
		case n.versionsNoted <- struct{}{}:
		default:
		}
	case strings.HasSuffix(channel, ".operations"):
		poke(n.operationsNoted)
	case payload == "*":
		n.mu.Lock()
		nos := make([]int64, 0, len(n.sessions))
		for no := range n.sessions {
			nos = append(nos, no)
		}
		n.mu.Unlock()
		n.wake(nos)
	case strings.HasPrefix(payload, "!"):
		no, err := strconv.ParseInt(payload[1:], 10, 64)
		n.mu.Lock()
		s := n.sessions[no]
		n.mu.Unlock()
		if err == nil && s != nil {
			s.post(func(m *mail) { m.evict = true })
		}
	default:
		for part := range strings.SplitSeq(payload, ",") {
			if no, err := strconv.ParseInt(part, 10, 64); err == nil {
				n.wake([]int64{no})
			}
		}
	}
}

// checkInboxes is the safety net: every session's inbox is looked at in one statement. What it finds that no
// wake-up had told of is counted; it should be nothing.
func (n *Node) checkInboxes(ctx context.Context) {
	n.mu.Lock()
	var p store.CountUnreadParams
	for no, s := range n.sessions {
		p.Nos = append(p.Nos, no)
		p.Afters = append(p.Afters, s.read.Load())
	}
	n.mu.Unlock()
	if len(p.Nos) == 0 {
		return
	}
	stray, err := n.e.q.CountUnread(ctx, n.e.pool, p)
	if err != nil {
		return // the next beat tries again
	}
	n.metrics.strayWakes.Add(len(stray))
	n.wake(stray)
}

const (
	// probeEvery is how often others are asked whether they live: half of it is the mean time until a death is
	// noticed.
	probeEvery = 250 * time.Millisecond
	lookEvery  = time.Second
	beatEvery  = 5 * time.Second
)
