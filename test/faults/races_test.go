package faults_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/test/faults/workload"
)

// TestTwoHoldersOfOneTurnJob hands out turn jobs a second time while their sessions are at work, as a rescue by
// hand would: two processes race for one instance. One of them loses each time, and says nothing.
func TestTwoHoldersOfOneTurnJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(6, true)
	b.worker(b.dsn)
	b.worker(b.dsn)
	at, handed := 0, 0
	for range 12 {
		at = b.progress(at + 5)
		handed += b.count(`WITH again AS (
			UPDATE river.river_job SET state = 'available', scheduled_at = now() WHERE kind LIKE 'turn:%' AND state = 'running' RETURNING 1
		) SELECT count(*) FROM again, pg_notify('river.river_insert', '{"queue":"h1_orch"}')`)
	}
	l.finish()
	if handed == 0 {
		t.Error("no job was handed out again: nothing was tested")
	}
	t.Logf("%d jobs were handed out again", handed)
}

// TestJobsThatEntitleNobody adds turn jobs that no instance names, for live, ended and unknown instances. Whoever
// works them drops them.
func TestJobsThatEntitleNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	done, err := workload.Hello.Start(b.ctx, b.client, "x")
	b.no(err)
	b.worker(b.dsn)
	if _, err := done.Wait(b.ctx); err != nil {
		t.Fatal(err)
	}
	l := b.start(3, false)
	if _, err := b.pool.Exec(b.ctx, `
		INSERT INTO river.river_job (state, max_attempts, priority, kind, queue, args, tags)
		SELECT 'available'::river.river_job_state, 100, 1, 'turn:' || name, 'h1_orch', jsonb_build_object('no', no), '{}'::varchar[] FROM weir.instances, generate_series(1, 3)
		UNION ALL SELECT 'available', 100, 1, 'turn:hello', 'h1_orch', '{"no": 999999}', '{}';
		SELECT pg_notify('river.river_insert', '{"queue":"h1_orch"}')`); err != nil {
		t.Fatal(err)
	}
	l.finish()
}

// TestDuplicateResults puts a second and a third result of the same activity, one of a task that is not there, and
// one of another generation into the inbox of a waiting instance. The first result counts, once.
func TestDuplicateResults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const (
		Count durable.Orchestration[int, []int] = "count"
		One   durable.Activity[int, int]        = "one"
	)
	inActivity, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	b.run(nil, Count.Handler(func(ctx *durable.Context, n int) (out []int, err error) {
		for i := range n {
			v, err := One.Call(ctx, i)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			if _, err := workload.Go.Wait(ctx); err != nil {
				return nil, err
			}
		}
		return out, nil
	}), One.Handler(func(_ context.Context, n int) (int, error) {
		if calls.Add(1) == 1 {
			close(inActivity)
			<-release
		}
		return n, nil
	}))
	inst, err := Count.Start(b.ctx, b.client, 2, durable.ID("counted"))
	b.no(err)
	<-inActivity
	deliver := func(gen, task int, result string) {
		b.t.Helper()
		_, err := b.pool.Exec(b.ctx, `
			WITH i AS (SELECT no, owner FROM weir.instances WHERE id = 'counted'), m AS (
				INSERT INTO weir.inbox (instance_no, gen, task, kind, payload)
				SELECT no, $1::int, $2::int, 3, convert_to(format('[{"type":"TaskCompleted","taskId":%s,"result":%s}]', $2::int, $3::text), 'UTF8') FROM i
			) SELECT pg_notify('weir.wake.' || owner, no::text) FROM i`, gen, task, result)
		b.no(err)
	}
	deliver(7, 0, "70") // of a generation that is not
	deliver(0, 5, "71") // of a task that is not
	deliver(0, 0, "10") // from elsewhere, and first
	deliver(0, 0, "11")
	b.until("they are consumed", func() bool { return b.count("SELECT count(*) FROM weir.inbox") == 0 })
	close(release) // its own result comes last
	b.no(workload.Go.Raise(b.ctx, b.client, "counted", "1"))
	b.no(workload.Go.Raise(b.ctx, b.client, "counted", "2"))
	got, err := inst.Wait(b.ctx)
	if err != nil || len(got) != 2 || got[0] != 10 || got[1] != 1 {
		t.Errorf("got %v, %v, want [10 1]", got, err)
	}
	b.check()
}

// TestLateResults ends instances, by force and by continuing as new, while their activities run, in this process
// and through River. What the activities then return is dropped, and nothing is left of them.
func TestLateResults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const (
		Late durable.Orchestration[int, string]  = "late"
		Slow durable.Activity[int, string]       = "slow"
		Next durable.Orchestration[bool, string] = "next"
	)
	var running atomic.Int32
	release := make(chan struct{})
	b.run(&durable.Config{Activities: 2}, Late.Handler(func(ctx *durable.Context, n int) (string, error) {
		_, err := Slow.Map(ctx, make([]int, n))
		return "", err
	}), Next.Handler(func(ctx *durable.Context, again bool) (string, error) {
		f := Slow.Go(ctx, 1)
		if again {
			if _, err := workload.Go.Wait(ctx); err != nil {
				return "", err
			}
			return Next.ContinueAsNew(ctx, false)
		}
		return f.Await()
	}), Slow.Handler(func(_ context.Context, n int) (string, error) {
		k := running.Add(1)
		<-release
		return map[bool]string{true: "old", false: "new"}[n == 1 && k <= 2], nil
	}))
	next, err := Next.Start(b.ctx, b.client, true)
	b.no(err)
	b.until("its activity runs", func() bool { return running.Load() == 1 })
	late, err := Late.Start(b.ctx, b.client, 20) // 1 runs, 9 wait, the others are jobs
	b.no(err)
	b.until("one of its activities runs", func() bool { return running.Load() == 2 })
	b.until("others are jobs", func() bool { return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'slow'") > 5 })
	b.no(late.Terminate(b.ctx, "enough"))
	b.no(workload.Go.Raise(b.ctx, b.client, next.ID(), "go"))
	b.until("it has continued as new", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE id = $1 AND gen = 1", next.ID()) == 1
	})
	close(release)
	if got, err := next.Wait(b.ctx); err != nil || got != "new" {
		t.Errorf("got %q, %v: the result of the generation before was taken", got, err)
	}
	if _, err := late.Wait(b.ctx); err == nil {
		t.Error("a terminated instance has a result")
	}
	b.check()
}

// TestSameEventTwice raises one event many times at once under one key, from several clients.
func TestSameEventTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker(b.dsn)
	sink, err := workload.Sink.Start(b.ctx, b.client, 1)
	b.no(err)
	errs := make(chan error, 40)
	for range cap(errs) / 2 {
		go func() { errs <- workload.Paid.Raise(b.ctx, b.client, sink.ID(), "one", durable.Key("1")) }()
		go func() { errs <- workload.Paid.Raise(b.ctx, b.client, sink.ID(), "two", durable.Key("2")) }()
	}
	for range cap(errs) {
		b.no(<-errs)
	}
	b.no(workload.Done.Raise(b.ctx, b.client, sink.ID(), "end"))
	out, err := sink.Wait(b.ctx)
	if err != nil || len(out.Paid) != 2 || out.Paid[0] == out.Paid[1] {
		t.Errorf("got %v, %v", out, err)
	}
	b.check()
}
