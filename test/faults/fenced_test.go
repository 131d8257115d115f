package faults_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/weir-dev/weir/test/faults/workload"
)

// stall holds a link up once: at the n-th point that matches, until it is let go.
type stall struct {
	match  func(at point) bool
	nth    int
	mu     sync.Mutex
	count  int
	struck chan struct{}
	resume chan struct{}
}

func newStall(nth int, match func(at point) bool) *stall {
	return &stall{match: match, nth: nth, struck: make(chan struct{}), resume: make(chan struct{})}
}

func (s *stall) rule(at point) action {
	if !s.match(at) {
		return pass
	}
	s.mu.Lock()
	s.count++
	mine := s.count == s.nth
	s.mu.Unlock()
	if mine {
		close(s.struck)
		<-s.resume
	}
	return pass
}

// inBatch matches a statement of a batch, before it is passed on.
func inBatch(statement string) func(at point) bool {
	return func(at point) bool { return at.inBatch() && at.statement == statement && !at.sent }
}

// beginsBatch matches the first statement of a batch, before it is passed on.
func beginsBatch(at point) bool { return at.inBatch() && at.statement == at.first && !at.sent }

// TestFencedAtEachStep declares a worker dead, without its knowledge, at each step of a session: while it opens,
// with its first commit on the way, between two commits, while it releases, while it finishes. Others take its
// instances over. When it goes on, as a zombie, it commits nothing; when it hears of its end, it joins anew.
func TestFencedAtEachStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		nth   int
		match func(at point) bool
	}{
		{"Opening", 1, func(at point) bool { return at.app == "weir loader" && at.statement == "OpenSessions" && !at.sent }},
		{"FirstCommitNotBegun", 1, beginsBatch},
		{"FirstCommit", 1, func(at point) bool { return at.inBatch() && at.statement == "CommitTurn" && at.sent }},
		{"Claimed", 4, beginsBatch},
		{"TaskRowsWritten", 1, func(at point) bool { return at.app == "weir lane" && at.statement == "InsertJobs" && at.sent }},
		{"Continuing", 1, inBatch("ContinueInstances")},
		{"Releasing", 1, inBatch("ReleaseInstances")},
		{"Finishing", 1, inBatch("DropInbox")},
		{"Committing", 5, func(at point) bool { return at.inBatch() && at.sync }},
		{"TransactionOfAHandler", 1, func(at point) bool {
			return at.app == "app" && strings.Contains(at.statement, "finish_task") && !at.sent
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			l := b.start(2, false)
			s := newStall(c.nth, c.match)
			release := sync.OnceFunc(func() { close(s.resume) })
			t.Cleanup(release)
			b.proxy.set(s.rule)
			b.worker(b.proxy.dsn())
			b.await("the worker is at that step", s.struck)
			b.fence()
			b.worker(b.dsn)
			b.until("the worker is fenced", func() bool { return b.count("SELECT count(*) FROM weir.workers WHERE state = 1") == 1 })
			l.finish()

			before := b.everything()
			release()
			b.proxy.set(nil)
			b.proxy.heal()
			b.until("the zombie has joined again", func() bool { return b.count("SELECT count(*) FROM weir.workers WHERE state = 0") == 2 })
			b.check()
			if after := b.everything(); after != before {
				t.Errorf("the zombie has changed something:\nbefore %s\nafter  %s", before, after)
			}
		})
	}
}

// TestZombieGoesOnWhileOthersTakeOver is the same, but the zombie goes on at once: its commits and those of the
// worker that takes over race. Its activities, too, end meanwhile, and deliver late.
func TestZombieGoesOnWhileOthersTakeOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(6, true)
	inst, err := workload.Napper.Start(b.ctx, b.client, workload.NapInput{Times: 3, Ms: 700})
	b.no(err)
	b.worker(b.proxy.dsn())
	b.until("it is at work", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NOT NULL") > 3 })
	b.fence()
	b.worker(b.dsn)
	if n, err := inst.Wait(b.ctx); err != nil || n != 3 {
		b.explain()
		t.Fatal(n, err)
	}
	l.finish()
	b.proxy.heal()
	b.until("the zombie has joined again", func() bool { return b.count("SELECT count(*) FROM weir.workers WHERE state = 0") == 2 })
	t.Logf("%d runs of 3 naps", b.count("SELECT count(*) FROM runs WHERE name = 'nap'"))
}

// fence makes the database lose the connection on which a worker behind the proxy proves that it lives.
func (b *bench) fence() { b.proxy.partition("weir worker") }

// everything is a digest of what Weir knows and of what the workload has written.
func (b *bench) everything() string {
	b.t.Helper()
	var s string
	b.no(b.pool.QueryRow(b.ctx, `SELECT
		(SELECT coalesce(string_agg(id || ' ' || status || ' ' || seq || ' ' || epoch || ' ' || gen, ', ' ORDER BY no), '') FROM weir.instances)
		|| ' history ' || (SELECT count(*) FROM weir.history) || ' charges ' || (SELECT count(*) FROM charges)`).Scan(&s))
	return s
}
