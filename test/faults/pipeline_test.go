package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/test/faults/workload"
)

// recorder notes which statements a worker's committer executes.
type recorder struct {
	mu   sync.Mutex
	seen map[string]int
}

func (r *recorder) rule(at point) action {
	if at.inBatch() && at.sent {
		r.mu.Lock()
		r.seen[at.statement]++
		r.mu.Unlock()
	}
	return pass
}

// rowsOnly is executed for activities that have a River row while they wait for another attempt: in this workload by
// chance, unless every activity has one from the start.
const rowsOnly = "ParkJobs"

// batchStatements runs the workload once without a fault and returns the statements of its batches: the points
// at which the tests below strike. A committer that gains a statement gains a test case.
func batchStatements(t *testing.T) (names []string, seen map[string]int) {
	t.Helper()
	b := setup(t)
	r := &recorder{seen: map[string]int{}}
	b.proxy.set(r.rule)
	l := b.start(2, true)
	stop := b.worker(b.proxy.dsn())
	l.finish()
	stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[rowsOnly]++
	names = slices.Sorted(maps.Keys(r.seen))
	for _, must := range []string{
		"CommitTurn", "AdvanceLane", "LockInstances", "ApplyTurns", "ContinueInstances", "InsertInstances", "InsertHistory",
		"DeleteConsumed", "DropInbox", "FinishTasks", "FireTimers", "InsertMessages", "InsertOutbox", "DeliverOutbox", "InsertTimers",
		"InsertJobs", "DeleteJobs", "ReleaseInstances", "ReadInboxes",
	} {
		if !slices.Contains(names, must) {
			t.Errorf("the workload never executes %s, so nothing is tested there; it does %v", must, names)
		}
	}
	return names, r.seen
}

// striker strikes once: at the n-th time a statement of a batch has been executed, or its Sync is due.
type striker struct {
	statement string
	nth       int
	what      func(at point) action

	mu     sync.Mutex
	count  int
	struck chan struct{}
}

func newStriker(statement string, nth int, what func(at point) action) *striker {
	return &striker{statement: statement, nth: nth, what: what, struck: make(chan struct{})}
}

func (s *striker) rule(at point) action {
	if !at.inBatch() || at.statement != s.statement || at.sent == at.sync {
		return pass
	}
	s.mu.Lock()
	s.count++
	mine := s.count == s.nth
	s.mu.Unlock()
	if !mine {
		return pass
	}
	defer close(s.struck)
	return s.what(at)
}

// TestKilledInTheMiddleOfACommit kills a worker process after each statement of a batch, and right before and
// right after the commit. Another worker finishes the work; nothing is lost, nothing happens twice.
func TestKilledInTheMiddleOfACommit(t *testing.T) {
	t.Parallel()
	statements, seen := batchStatements(t)
	t.Logf("statements: %v", seen)
	for i, statement := range append(statements, "Sync") {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if statement == rowsOnly {
				_, err := b.pool.Exec(b.ctx, "UPDATE weir.hubs SET activity_rows = true")
				b.no(err)
			}
			l := b.start(3, true)
			var victim *process
			ready := make(chan struct{})
			nth := 1 // of those that come often, a later one here and there
			if seen[statement] > 8 || statement == "Sync" {
				nth += i % 3
			}
			s := newStriker(statement, nth, func(point) action {
				<-ready
				victim.kill()
				return cut
			})
			b.proxy.set(s.rule)
			victim = b.process(b.proxy.dsn())
			close(ready)
			b.await("the worker is killed", s.struck)
			b.worker(b.dsn)
			l.finish()
		})
	}
	t.Run("Committed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		l := b.start(3, false)
		s := newStriker("Sync", 4, func(point) action { return cutAnswer })
		b.proxy.set(s.rule)
		victim := b.process(b.proxy.dsn())
		b.await("the commit is sent", s.struck)
		victim.kill()
		b.worker(b.dsn)
		l.finish()
	})
}

func (b *bench) await(what string, signal <-chan struct{}) {
	b.t.Helper()
	select {
	case <-signal:
	case <-b.ctx.Done():
		b.explain()
		b.t.Fatalf("timed out waiting until %s", what)
	}
}

// TestConnectionLost cuts the committer's connection of a worker that lives on: in the middle of a batch, before
// its commit, and after a commit whose answer it never gets. It finds out by itself what has landed.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	cases := []struct {
		statement string
		what      action
		times     int
	}{
		{"CommitTurn", cut, 2},
		{"ApplyTurns", cut, 1},
		{"InsertHistory", cut, 1},
		{"DropInbox", cut, 1}, // a turn that ends its instance
		{"InsertMessages", cut, 1},
		{"ReleaseInstances", cut, 1},
		{"Sync", cut, 3},
		{"Sync", cutAnswer, 6},
	}
	for _, c := range cases {
		for nth := range c.times {
			t.Run(fmt.Sprintf("%s%d/%d", c.statement, c.what, nth), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				l := b.start(3, false)
				s := newStriker(c.statement, 1+nth, func(point) action { return c.what })
				b.proxy.set(s.rule)
				b.worker(b.proxy.dsn())
				b.await("the connection is cut", s.struck)
				l.finish()
			})
		}
	}
}

// TestAnswersLostAgainAndAgain loses the answer to every fifth commit, landed and not landed in turn.
func TestAnswersLostAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(6, false)
	var (
		mu sync.Mutex
		n  int
	)
	b.proxy.set(func(at point) action {
		if !at.inBatch() || !at.sync {
			return pass
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		switch n % 10 {
		case 4:
			return cut
		case 9:
			return cutAnswer
		}
		return pass
	})
	b.worker(b.proxy.dsn())
	l.finish()
	mu.Lock()
	defer mu.Unlock()
	if n < 20 {
		t.Errorf("only %d commits: nothing much was tested", n)
	}
}

// TestCallerLosesItsAnswer: the connection breaks under a start, with the commit landed and not landed. The
// caller gets an id that exists, exactly once.
func TestCallerLosesItsAnswer(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]action{"Landed": cutAnswer, "NotLanded": cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var once sync.Once
			b.proxy.set(func(at point) action {
				a := pass
				if at.app == "weir calls" && at.first == "CommitStart" && at.sync {
					once.Do(func() { a = what })
				}
				return a
			})
			pool, err := workload.OpenPool(b.ctx, b.proxy.dsn())
			b.no(err)
			defer pool.Close()
			client, err := durable.NewClient(pool)
			b.no(err)
			defer client.Close()
			inst, err := workload.Hello.Start(b.ctx, client, "x", durable.ID("one"))
			b.no(err)
			b.worker(b.dsn)
			if out, err := inst.Wait(b.ctx); err != nil || out != "x" {
				t.Fatal(out, err)
			}
			if n := b.count("SELECT count(*) FROM weir.instances"); n != 1 {
				t.Errorf("%d instances", n)
			}
			b.check()
		})
	}
}

// TestStoppedInMidPipeline stops a worker process (SIGSTOP) between two statements of a batch: its backend holds
// row locks and waits for the rest. The others go on at once; the locks fall when the stopped worker is found to
// be silent; when it wakes up again, it is a zombie whose commit does not count, and joins anew.
func TestStoppedInMidPipeline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(3, false)
	var victim *process
	ready, resume := make(chan struct{}), make(chan struct{})
	s := newStriker("CommitTurn", 2, func(point) action {
		<-ready
		victim.signal(syscall.SIGSTOP)
		go func() {
			<-resume
			victim.signal(syscall.SIGCONT)
		}()
		return pass
	})
	// What the process had already written may be in our buffers; nothing of it goes on until it is resumed.
	stopped := make(chan struct{})
	b.proxy.set(func(at point) action {
		a := s.rule(at)
		select {
		case <-s.struck:
			if at.inBatch() {
				select {
				case <-stopped:
				default:
					close(stopped)
				}
				<-resume
			}
		default:
		}
		return a
	})
	victim = b.process(b.proxy.dsn())
	close(ready)
	b.await("the worker is stopped", stopped)

	b.worker(b.dsn)
	other, err := workload.Hello.Start(b.ctx, b.client, "meanwhile")
	b.no(err)
	began := time.Now()
	if _, err := other.Wait(b.ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("another instance finished %v after the stop", time.Since(began))
	l.finish()
	t.Logf("those that the stopped worker had finished after %v", time.Since(began))
	close(resume)
	b.until("the stopped worker has joined again", func() bool {
		return b.count("SELECT count(*) FROM weir.workers WHERE state = 0") == 2
	})
	b.check()
}
