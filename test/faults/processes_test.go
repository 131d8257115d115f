package faults_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// TestWorkersKilled kills worker processes (kill -9), one after the other, under load, and starts others in their
// place. Few activities run at once in each, so that many go through River. Between two kills the work moves on.
func TestWorkersKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(12, true)
	workers := []*process{b.process(b.dsn, activitiesEnv+"=2"), b.process(b.dsn, activitiesEnv+"=2")}
	at := b.progress(0)
	for i := range 5 {
		at = b.progress(at + 10)
		victim := workers[i%2]
		no := b.numberOf(victim)
		owned := b.count("SELECT count(*) FROM weir.instances WHERE owner = $1", no)
		victim.kill()
		began := time.Now()
		b.until("nothing is owned by the dead", func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE owner = $1", no) == 0
		})
		t.Logf("kill %d: %d instances moved on within %v", i+1, owned, time.Since(began).Round(time.Millisecond))
		workers[i%2] = b.process(b.dsn, activitiesEnv+"=2")
	}
	l.finish()
	t.Logf("%d runs of activities, %d of them again", b.count("SELECT count(*) FROM runs"),
		b.count("SELECT count(*) - count(DISTINCT (instance, task, gen)) FROM runs"))
}

// TestSuspendedAndKilled suspends and resumes instances at random while worker processes are killed (kill -9). What a
// suspended instance was sent, and what its activities returned, is there when it is resumed, once.
func TestSuspendedAndKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(8, true)
	workers := []*process{b.process(b.dsn, activitiesEnv+"=2"), b.process(b.dsn, activitiesEnv+"=2")}
	e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
	b.no(err)
	defer e.Close()
	control := func(change func(context.Context, engine.ControlRequest) error, id string) {
		err := change(b.ctx, engine.ControlRequest{Hub: durable.DefaultHub, Instance: id})
		if err != nil && !errors.Is(err, engine.ErrWrongState) && !errors.Is(err, engine.ErrNotFound) {
			t.Error(err)
		}
	}
	live := func() []string {
		rows, err := b.pool.Query(b.ctx, "SELECT id FROM weir.instances WHERE outcome IS NULL ORDER BY no")
		b.no(err)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		b.no(err)
		return ids
	}
	at, suspended := b.progress(0), 0
	for i := range 4 {
		at = b.progress(at + 10)
		ids := live()
		for n, id := range ids {
			if n%2 == i%2 {
				control(e.Suspend, id)
			}
		}
		victim := workers[i%2]
		no := b.numberOf(victim)
		victim.kill()
		b.until("nothing is owned by the dead", func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE owner = $1", no) == 0
		})
		workers[i%2] = b.process(b.dsn, activitiesEnv+"=2")
		b.until("all who were told are suspended", func() bool { return b.count("SELECT count(*) FROM weir.inbox WHERE kind = 5") == 0 })
		suspended += b.count("SELECT count(*) FROM weir.instances WHERE status = 7")
		b.checkNow()
		for _, id := range live() {
			control(e.Resume, id)
		}
	}
	l.finish()
	if suspended == 0 {
		t.Error("nothing was ever suspended when a worker was killed")
	}
	t.Logf("%d instances were suspended when a worker was killed", suspended)
}

// numberOf is the number under which the process has joined.
func (b *bench) numberOf(p *process) (no int) {
	b.t.Helper()
	b.until("the process has joined", func() bool {
		no = b.count("SELECT coalesce(max(no), 0) FROM weir.workers WHERE state = 0 AND name LIKE $1", fmt.Sprintf("%%-%d", p.cmd.Process.Pid))
		return no != 0
	})
	return no
}

// progress waits until the histories together have so many events, or all has ended, and returns how many.
func (b *bench) progress(want int) (got int) {
	b.t.Helper()
	b.until("there is progress", func() bool {
		got = b.count("SELECT coalesce(sum(seq), 0) FROM weir.instances")
		return got >= want || b.count("SELECT count(*) FROM weir.instances WHERE outcome IS NULL") == 0
	})
	return got
}

// TestStoppedInATransaction stops a worker process (SIGSTOP) right before a TxHandler's result and writes are
// committed. Nobody tells the others; they notice its silence, end its transaction, and charge in its place. When
// it wakes up, it is a zombie that charges nobody.
func TestStoppedInATransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(2, false)
	ready := make(chan struct{})
	s := newStall(1, func(at point) bool {
		return at.app == "app" && strings.Contains(at.statement, "finish_task") && !at.sent
	})
	var victim *process
	b.proxy.set(func(at point) action {
		<-ready
		return s.rule(at)
	})
	victim = b.process(b.proxy.dsn())
	close(ready)
	b.await("a handler is about to commit", s.struck)
	victim.signal(syscall.SIGSTOP)
	began := time.Now()
	b.worker(b.dsn)
	l.finish()
	t.Logf("all done %v after the stop", time.Since(began).Round(time.Millisecond))

	before := b.everything()
	victim.signal(syscall.SIGCONT)
	close(s.resume)
	b.until("the zombie has joined again", func() bool { return b.count("SELECT count(*) FROM weir.workers WHERE state = 0") == 2 })
	b.check()
	if after := b.everything(); after != before {
		t.Errorf("the zombie has changed something:\nbefore %s\nafter  %s", before, after)
	}
}
