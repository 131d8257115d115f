package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// never is a round that no test lives to see: what is repaired then, the sweep has repaired.
const never = 24 * time.Hour

// worked is an activity that ends at once.
func worked(context.Context, *engine.Task) engine.Result {
	return engine.Result{Output: history.Text(`"worked"`)}
}

func TestSweepReplacesCancelledTurnJobs(t *testing.T) {
	s := newSite(t)
	s.start("ends", "pending", "")
	s.cancel(s.turnJob("pending"))
	// One that no instance names is only removed.
	stray := s.number(`INSERT INTO river.river_job (state, finalized_at, max_attempts, kind, queue, args)
		SELECT 'cancelled', now(), 25, 'turn:ends', 'h' || no || '_orch', '{"no": 1}' FROM weir.hubs RETURNING id`)
	n := s.join(engine.NodeConfig{Executor: &program{}, AuditEvery: never})
	s.work(n)
	s.completes("pending")
	s.until("the stray job is gone", func() bool {
		return s.number("SELECT count(*) FROM river.river_job WHERE id = $1", stray) == 0
	})

	// One that has run before, and was cancelled before it ran again.
	s.start("waits", "waiting", "")
	s.atRest("waiting")
	tx, err := s.pool.Begin(s.ctx)
	s.no(err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(s.ctx)) }()
	s.wakeCancelled(tx, "waiting")
	s.no(tx.Commit(s.ctx))
	s.raise("waiting") // makes no turn job: one is there
	s.completes("waiting")
	s.repairs(3, n)
}

// wakeCancelled does what a message does to an instance at rest, and cancels the turn job before anybody can take it.
func (s *site) wakeCancelled(tx pgx.Tx, id string) {
	s.t.Helper()
	var job int64
	s.no(tx.QueryRow(s.ctx, "UPDATE weir.instances SET turn_job = nextval('river.river_job_id_seq') WHERE id = $1 RETURNING turn_job", id).Scan(&job))
	_, err := tx.Exec(s.ctx, `INSERT INTO river.river_job (id, state, max_attempts, kind, queue, args)
		SELECT i.turn_job, 'available', 32767, 'turn:' || i.name, 'h' || i.hub || '_orch', jsonb_build_object('no', i.no)
		FROM weir.instances i WHERE i.id = $1`, id)
	s.no(err)
	_, err = s.operator.JobCancelTx(s.ctx, tx, job)
	s.no(err)
}

func TestAuditReplacesLostTurnJobs(t *testing.T) {
	s := newSite(t)
	s.start("ends", "deleted", "")
	s.remove(s.turnJob("deleted"))
	s.start("ends", "cancelled", "")
	s.cancel(s.turnJob("cancelled"))
	s.exec("UPDATE river.river_job SET finalized_at = now() - interval '1 day' WHERE state = 'cancelled'")
	n := s.join(engine.NodeConfig{Executor: &program{}})
	s.work(n)
	s.completes("deleted")
	s.completes("cancelled")
	s.repairs(2, n)
	if left := s.number("SELECT count(*) FROM river.river_job WHERE state = 'cancelled'"); left != 0 {
		t.Errorf("%d cancelled jobs are left", left)
	}
}

func TestCancelledTurnJobOfARunningSession(t *testing.T) {
	s := newSite(t)
	began := make(chan struct{}, 2)
	var again atomic.Bool
	p := &program{kinds: map[string]engine.ActivityKind{"work": engine.PlainActivity}}
	p.activities = func(ctx context.Context, task *engine.Task) engine.Result {
		began <- struct{}{}
		if again.Load() {
			return worked(ctx, task)
		}
		<-ctx.Done()
		return engine.Result{Failure: &history.Failure{Type: "canceled"}}
	}
	n := s.join(engine.NodeConfig{Executor: p, AuditEvery: never})
	s.work(n)
	s.start("calls", "i", "1")
	<-began
	again.Store(true)
	s.cancel(s.turnJob("i"))
	s.completes("i")
	s.repairs(1, n)
}

func TestSessionWhoseTurnJobWasDeletedLetsGo(t *testing.T) {
	s := newSite(t)
	leader := s.join(engine.NodeConfig{})
	s.until("it leads", func() bool {
		return s.number(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND objid = 0
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND classid::bigint = (hashtext('weir.leader')::bigint & 4294967295)`) == 1
	})
	began, over := make(chan struct{}, 2), make(chan struct{})
	var again atomic.Bool
	p := &program{kinds: map[string]engine.ActivityKind{"work": engine.PlainActivity}}
	p.activities = func(ctx context.Context, task *engine.Task) engine.Result {
		began <- struct{}{}
		if again.Swap(true) {
			return worked(ctx, task)
		}
		<-ctx.Done()
		close(over)
		return engine.Result{Failure: &history.Failure{Type: "canceled"}}
	}
	n := s.join(engine.NodeConfig{Executor: p, AuditEvery: never})
	s.work(n)
	s.start("calls", "i", "1")
	<-began
	// River's tools do not delete what runs; SQL does.
	s.exec("DELETE FROM river.river_job WHERE id = $1", s.turnJob("i"))
	<-over
	s.completes("i")
	s.repairs(1, leader, n)
}

func TestCancelledActivityIsAFailure(t *testing.T) {
	s := newSite(t)
	n := s.join(engine.NodeConfig{Executor: &program{}})
	s.work(n) // nobody has the activity
	s.start("calls", "i", "1")
	s.atRest("i")
	s.cancel(s.taskJob("i", 0))
	if out := s.outcome("i"); out.Status != history.Failed || out.Failure == nil || out.Failure.Type != "river_job_cancelled" {
		t.Errorf("got %s, %+v", out.Status, out.Failure)
	}
	s.repairs(0, n)
}

func TestAuditDispatchesDeletedActivitiesAgain(t *testing.T) {
	s := newSite(t)
	p := &program{kinds: map[string]engine.ActivityKind{}, activities: worked}
	n := s.join(engine.NodeConfig{Executor: p})
	s.work(n)
	s.start("calls", "many", "6")
	s.start("calls", "one", "1")
	s.atRest("many")
	s.atRest("one")

	// Of many tasks, only the first are known by number.
	for i, task := range []int{1, 5} {
		old := s.taskJob("many", task)
		s.remove(old)
		s.until("there is another job", func() bool { return s.taskJob("many", task) != 0 })
		s.atRest("many")
		s.until("it is counted", func() bool { return n.Stats().AuditRepairs == int64(i+1) })
		if s.taskJob("many", task) == old {
			t.Error("the job was not deleted")
		}
	}

	p.setKind("work", engine.PlainActivity)
	s.remove(s.taskJob("one", 0))
	s.completes("one")
	s.repairs(3, n)
}

// TestAuditGivesAwayWhatRunsNowhere: the answer to River's fetch is lost, so that rows run in the name of a worker that
// has never seen them.
func TestAuditGivesAwayWhatRunsNowhere(t *testing.T) {
	s := newSite(t)
	p := &program{kinds: map[string]engine.ActivityKind{}, activities: worked}
	a := s.join(engine.NodeConfig{Executor: p, AuditEvery: never})
	s.work(a)
	s.start("calls", "calls", "1")
	s.start("waits", "waits", "")
	s.atRest("calls")
	s.atRest("waits")
	p.setKind("work", engine.PlainActivity)

	// On a busy machine moments pass between River's fetch of a job and its start: two rounds must be longer than that.
	b := s.join(engine.NodeConfig{Executor: p, AuditEvery: 500 * time.Millisecond})
	tx, err := s.pool.Begin(s.ctx)
	s.no(err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(s.ctx)) }()
	_, err = s.e.StartTx(s.ctx, tx, engine.StartRequest{Hub: "default", Name: "ends", ID: "ends"})
	s.no(err)
	s.no(s.e.RaiseTx(s.ctx, tx, engine.RaiseRequest{Hub: "default", Instance: "waits", Name: "go"}))
	tag, err := tx.Exec(s.ctx, `UPDATE river.river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY[$1]
		WHERE state = 'available'`, b.RiverClient())
	s.no(err)
	if tag.RowsAffected() != 3 {
		t.Fatalf("%d jobs were fetched, want a turn, an activity and a delivery", tag.RowsAffected())
	}
	s.no(tx.Commit(s.ctx))
	s.work(b, engine.Definition{Name: "work"})
	s.completes("ends")
	s.completes("waits")
	s.completes("calls")
	s.repairs(3, a, b)
}

// TestAuditLetsTheHealthyAlone has every kind of work under way. That the audit has looked at all of it is known from
// two instances that are broken afterwards, and come last in its walk.
func TestAuditLetsTheHealthyAlone(t *testing.T) {
	s := newSite(t)
	const many = 20
	held := make(chan struct{}, 3*many)
	p := &program{kinds: map[string]engine.ActivityKind{"work": engine.PlainActivity}}
	p.activities = func(ctx context.Context, task *engine.Task) engine.Result {
		if task.InstanceID[:5] == "retry" { // parked for an hour
			return engine.Result{Failure: &history.Failure{Type: "not yet"}}
		}
		held <- struct{}{}
		<-ctx.Done()
		return engine.Result{Failure: &history.Failure{Type: "canceled"}}
	}
	// Few slots and no room to wait: most activities go through River, and wait there in the process.
	// The rounds are longer than River takes to note that a job has ended.
	n := s.join(engine.NodeConfig{Executor: p, Activities: 2 * many, Backlog: 1, AuditEvery: 2 * time.Second})
	s.work(n, engine.Definition{Name: "work"})
	for i := range many {
		s.start("waits", fmt.Sprint("waits", i), "")
		s.start("panics", fmt.Sprint("panics", i), "")
		s.start("calls", fmt.Sprint("retry", i), "1")
	}
	s.until("retries are parked", func() bool {
		return s.number("SELECT count(*) FROM river.river_job WHERE state = 'scheduled' AND unique_key IS NOT NULL") == many
	})
	s.until("turns are held", func() bool {
		return s.number("SELECT count(*) FROM river.river_job WHERE state = 'scheduled' AND kind = 'turn:panics'") == many
	})
	for i := range 4 * many {
		s.start("calls", fmt.Sprint("calls", i), "1")
	}
	_, err := s.e.Start(s.ctx, engine.StartRequest{Hub: "default", Name: "ends", ID: "later", At: time.Now().Add(time.Hour)})
	s.no(err)
	for range 2 * many {
		<-held
	}
	s.until("activities run, or wait for a slot", func() bool {
		return s.number("SELECT count(*) FROM river.river_job WHERE state = 'running' AND unique_key IS NOT NULL") == 4*many
	})
	// The last of the walk, so that by then all have been looked at.
	id := "broken"
	tx, err := s.pool.Begin(s.ctx)
	s.no(err)
	_, err = s.e.StartTx(s.ctx, tx, engine.StartRequest{Hub: "default", Name: "ends", ID: id})
	s.no(err)
	_, err = tx.Exec(s.ctx, "DELETE FROM river.river_job WHERE id = (SELECT turn_job FROM weir.instances WHERE id = $1)", id)
	s.no(err)
	s.no(tx.Commit(s.ctx))
	s.completes(id)
	// One that runs nowhere takes two rounds over all that does run.
	id = "lost"
	tx, err = s.pool.Begin(s.ctx)
	s.no(err)
	_, err = s.e.StartTx(s.ctx, tx, engine.StartRequest{Hub: "default", Name: "ends", ID: id})
	s.no(err)
	_, err = tx.Exec(s.ctx, `UPDATE river.river_job SET state = 'running', attempted_at = now(), attempted_by = ARRAY[$2]
		WHERE id = (SELECT turn_job FROM weir.instances WHERE id = $1)`, id, n.RiverClient())
	s.no(err)
	s.no(tx.Commit(s.ctx))
	s.completes(id)
	s.repairs(2, n)
}
