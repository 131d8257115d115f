package faults_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/test/faults/workload"
)

const (
	Changing durable.Orchestration[string, string] = "changing"
	First    durable.Activity[string, string]      = "first"
	Second   durable.Activity[string, string]      = "second"
)

func same(_ context.Context, s string) (string, error) { return s, nil }

// explode is what a test looks for in a stack.
func explode() { panic("boom") }

// look reads an instance and why it is not further.
func (b *bench) look(id string) (*engine.Instance, string) {
	b.t.Helper()
	e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
	b.no(err)
	defer e.Close()
	inst, err := e.Get(b.ctx, durable.DefaultHub, id)
	b.no(err)
	why, err := e.Explain(b.ctx, inst)
	b.no(err)
	return inst, why.Text(time.Now())
}

// TestPanicInAnActivity: a panic in an activity, a TxHandler or a step is a failure that carries the stack. The
// worker lives on, others are unaffected, and what the TxHandler wrote is gone.
func TestPanicInAnActivity(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.start(2, false)
	b.worker(b.dsn)
	b.run(&durable.Config{Activities: 2}, Changing.Handler(func(ctx *durable.Context, kind string) (string, error) {
		switch kind {
		case "step":
			return durable.Step(ctx, "step", func(context.Context) (string, error) { explode(); return "", nil })
		case "many": // some of them through River
			_, err := First.Map(ctx, make([]string, 30))
			return "", err
		case "tx":
			return Second.Call(ctx, kind)
		}
		return First.Call(ctx, kind)
	}), First.Handler(func(context.Context, string) (string, error) { explode(); return "", nil }),
		Second.TxHandler(func(ctx context.Context, tx pgx.Tx, _ string) (string, error) {
			if _, err := tx.Exec(ctx, "INSERT INTO charges (instance, task, what) VALUES ('panic', 1, '')"); err != nil {
				return "", err
			}
			explode()
			return "", nil
		}))
	for _, kind := range []string{"plain", "tx", "step", "many"} {
		inst, err := Changing.Start(b.ctx, b.client, kind, durable.ID(kind))
		b.no(err)
		_, err = inst.Wait(b.ctx)
		var failed *durable.TaskError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "panic: boom") {
			t.Errorf("%s: got %v", kind, err)
			continue
		}
		why := failed.Details
		for why.Inner != nil {
			why = why.Inner // the instance's failure wraps the activity's
		}
		if !strings.Contains(why.Stack, "faults_test.explode") {
			t.Errorf("%s: the stack does not show where: %s", kind, why.Stack)
		}
	}
	if faults, err := l.Wait(b.ctx); err != nil || faults != nil {
		t.Fatal(faults, err)
	}
	if n := b.count("SELECT count(*) FROM charges WHERE instance = 'panic'"); n != 0 {
		t.Errorf("%d rows of the TxHandler that panicked", n)
	}
	b.check()
}

// TestPanicInAnOrchestration: the turn is held, with the stack; nothing of it is committed, the others go on.
func TestPanicInAnOrchestration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mended atomic.Bool
	handler := Changing.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := First.Call(ctx, s); err != nil {
			return "", err
		}
		if s == "bad" && !mended.Load() {
			explode()
		}
		return First.Call(ctx, s)
	})
	stop := b.run(nil, handler, First.Handler(same))
	bad, err := Changing.Start(b.ctx, b.client, "bad", durable.ID("bad"))
	b.no(err)
	var inst *engine.Instance
	b.until("it is held", func() bool { inst, _ = b.look("bad"); return inst.Held != nil })
	if h := inst.Held; h.Kind != "panic" || !strings.Contains(h.Message, "boom") || !strings.Contains(h.Stack, "faults_test.explode") {
		t.Errorf("held: %+v", h)
	}
	good, err := Changing.Start(b.ctx, b.client, "good")
	b.no(err)
	if out, err := good.Wait(b.ctx); err != nil || out != "good" {
		t.Errorf("got %q, %v", out, err)
	}
	b.checkNow()
	stop()
	mended.Store(true)
	b.run(nil, handler, First.Handler(same))
	if out, err := bad.Wait(b.ctx); err != nil || out != "bad" {
		t.Errorf("got %q, %v", out, err)
	}
	b.check()
}

// TestHandlerRemoved takes handlers away from instances that need them: first the orchestration's, then an
// activity's. They wait, and say for what; they neither fail nor spin; they go on when the handler is back.
func TestHandlerRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	handler := Changing.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := workload.Go.Wait(ctx); err != nil {
			return "", err
		}
		return First.Call(ctx, s)
	})
	waits := func(what string) {
		t.Helper()
		why := ""
		b.until("it says what is missing", func() bool { _, why = b.look("one"); return strings.Contains(why, what) })
		t.Log(why)
		l := b.start(1, false) // the others go on
		if faults, err := l.Wait(b.ctx); err != nil || faults != nil {
			t.Fatal(faults, err)
		}
		if n := b.count("SELECT count(*) FROM river.river_job WHERE finalized_at IS NULL AND (attempt > 0 OR state <> 'available')"); n != 0 {
			t.Errorf("%d jobs have been tried, though nobody can work them", n)
		}
		_, err := b.pool.Exec(b.ctx, "DELETE FROM charges")
		b.no(err)
	}
	b.worker(b.dsn)
	stop := b.run(nil, handler, First.Handler(same))
	inst, err := Changing.Start(b.ctx, b.client, "x", durable.ID("one"))
	b.no(err)
	b.until("it waits", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NULL AND turn_job IS NULL AND seq > 0") == 1
	})
	stop()
	b.no(workload.Go.Raise(b.ctx, b.client, "one", ""))
	waits("changing")
	stop = b.run(nil, handler)
	waits2 := func() bool {
		return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'first' AND state = 'available'") == 1
	}
	b.until("its activity is a job", waits2)
	_, why := b.look("one")
	if !strings.Contains(why, "first") {
		t.Errorf("it does not name the activity: %s", why)
	}
	stop()
	b.run(nil, handler, First.Handler(same))
	if out, err := inst.Wait(b.ctx); err != nil || out != "x" {
		t.Errorf("got %q, %v", out, err)
	}
	b.check()
}

// TestChangedCodeBesideTheOld deploys a changed orchestration beside the old one, with many instances in flight.
// Those that meet the new code are held, with both names and the step; once it is taken back, all of them end.
func TestChangedCodeBesideTheOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := Changing.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := First.Call(ctx, s); err != nil {
			return "", err
		}
		if _, err := workload.Go.Wait(ctx); err != nil {
			return "", err
		}
		return Second.Call(ctx, s)
	})
	changed := Changing.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := workload.Go.Wait(ctx); err != nil {
			return "", err
		}
		return Second.Call(ctx, s)
	})
	stop := b.run(nil, old, First.Handler(same), Second.Handler(same))
	all, err := Changing.StartMany(b.ctx, b.client, make([]string, 10))
	b.no(err)
	b.until("they wait", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NULL AND turn_job IS NULL AND seq > 0") == len(all)
	})
	stop()
	stopChanged := b.run(nil, changed, First.Handler(same), Second.Handler(same))
	for _, inst := range all[:5] {
		b.no(workload.Go.Raise(b.ctx, b.client, inst.ID(), "go"))
	}
	b.until("five are held", func() bool { return b.count("SELECT count(*) FROM weir.instances WHERE held IS NOT NULL") == 5 })
	for _, i := range all[:5] {
		inst, why := b.look(i.ID())
		h := inst.Held
		if h.Kind != "nondeterminism" || h.Step != 0 || h.Expected != `activity "first"` || h.Actual != "nothing" || !strings.Contains(why, "first") {
			t.Errorf("held: %+v; %s", h, why)
		}
	}
	b.checkNow()
	b.run(nil, old, First.Handler(same), Second.Handler(same)) // beside it: it may take any of them
	for _, inst := range all[5:] {
		b.no(workload.Go.Raise(b.ctx, b.client, inst.ID(), "go"))
	}
	stopChanged()
	// A held turn is tried again from time to time, and at once when another worker comes.
	b.run(nil, old, First.Handler(same), Second.Handler(same))
	for _, inst := range all {
		if _, err := inst.Wait(b.ctx); err != nil {
			b.explain()
			t.Fatal(err)
		}
	}
	b.check()
}
