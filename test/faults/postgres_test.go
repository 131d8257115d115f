package faults_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/internal/devpg"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/test/faults/workload"
)

// TestPostgresCrashes stops Postgres as a crash would (stop -m immediate), again and again under load, and starts
// it again. Workers and callers come back by themselves; what was committed is there, what was not is done again.
func TestPostgresCrashes(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtest.ServerOptions{})
	db := server.New(t, weirtest.Schema)
	b := newBench(t, db.DSN(), db.Pool(t))
	l := b.start(10, true)
	b.worker(b.dsn)
	b.worker(b.dsn)
	at := b.progress(0)
	for i := range 3 {
		at = b.progress(at + 20)
		b.no(server.Stop(b.ctx, devpg.Immediate))
		b.no(server.Start(b.ctx))
		began := time.Now()
		b.pool.Reset()
		b.progress(at + 1)
		t.Logf("crash %d: work goes on %v after Postgres is back", i+1, time.Since(began).Round(time.Millisecond))
	}
	more, err := workload.Start(b.ctx, b.client, "more ", 2, false) // the client, too, has outlived all that
	b.no(err)
	if faults, err := more.Wait(b.ctx); err != nil || faults != nil {
		t.Fatal(faults, err)
	}
	l.n += 2
	l.finish()
}

// TestBackendsTerminated ends all connections of workers and callers at once (pg_terminate_backend), again and
// again under load.
func TestBackendsTerminated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker(b.dsn)
	b.worker(b.dsn)
	b.worker(b.dsn)
	var l *load
	started := make(chan struct{})
	go func() { // the callers suffer too
		defer close(started)
		loaded, err := workload.Start(b.ctx, b.client, "", 10, true)
		if err != nil {
			t.Error(err)
			return
		}
		l = &load{loaded, b, 10}
	}()
	ended, at := 0, 0
	for range 6 {
		at = b.progressSince(at, 15)
		ended += b.terminate()
	}
	t.Logf("%d connections ended", ended)
	<-started
	if l == nil {
		t.FailNow()
	}
	l.finish()
}

// progressSince waits for some events more, or for the end of everything.
func (b *bench) progressSince(at, more int) int {
	b.t.Helper()
	b.until("something has been started", func() bool { return b.count("SELECT count(*) FROM weir.instances") > 0 })
	return b.progress(at + more)
}

// terminate ends every connection but those of the test itself.
func (b *bench) terminate() int {
	b.t.Helper()
	return b.count(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND (application_name LIKE 'weir %' OR application_name = 'app')`)
}

// TestTransactionOfAHandlerLost breaks the connection of a TxHandler in its commit, landed and not landed. Its
// writes are there once, with its result.
func TestTransactionOfAHandlerLost(t *testing.T) {
	t.Parallel()
	finishing := func(at point) bool { return at.app == "app" && strings.Contains(at.first, "finish_task") }
	for name, rule := range map[string]rule{
		"Landed": func(at point) action {
			if finishing(at) && at.sync {
				return cutAnswer
			}
			return pass
		},
		"NotLanded": func(at point) action {
			if finishing(at) && strings.Contains(at.statement, "finish_task") && !at.sent {
				return cut
			}
			return pass
		},
		"InTheHandler": func(at point) action {
			if at.app == "app" && strings.HasPrefix(at.statement, "INSERT INTO charges") && at.sent {
				return cut
			}
			return pass
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			l := b.start(2, false)
			var (
				mu     sync.Mutex
				faults int
			)
			b.proxy.set(func(at point) action {
				a := rule(at)
				mu.Lock()
				defer mu.Unlock()
				if a == pass || faults == 3 {
					return pass
				}
				faults++
				return a
			})
			b.worker(b.proxy.dsn())
			l.finish()
			mu.Lock()
			defer mu.Unlock()
			if faults != 3 {
				t.Errorf("%d connections were cut, want 3", faults)
			}
			if n := b.count("SELECT count(*) FROM weir.history WHERE convert_from(events, 'UTF8') LIKE '%TaskFailed%' AND codec = 1"); n != 0 {
				t.Errorf("%d activities failed", n)
			}
		})
	}
}
