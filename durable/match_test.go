package durable_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/weir-dev/weir/durable"
)

// takes is a handler that answers with its own version and the instance's.
func takes(version durable.Version) durable.Handler {
	return Callee.Handler(func(ctx *durable.Context, _ string) (string, error) {
		return string(version) + " took " + ctx.Version(), nil
	}, version)
}

// asleep waits for an item before it does as takes.
func asleep(version durable.Version) durable.Handler {
	return Callee.Handler(func(ctx *durable.Context, _ string) (string, error) {
		word, err := Item.Wait(ctx)
		return word + ": " + string(version) + " took " + ctx.Version(), err
	}, version)
}

func match(m durable.Match) *durable.Config {
	return &durable.Config{Versions: durable.Versions{Match: m}}
}

func failing() *durable.Config {
	return &durable.Config{Versions: durable.Versions{Unmatched: durable.FailUnmatched}}
}

// untouched tells that nobody has ever fetched the instance's turn job.
func (b *bundle) untouched(id string) bool {
	return b.count(`SELECT count(*) FROM weir.instances i JOIN river.river_job j ON j.id = i.turn_job
		WHERE i.id = $1 AND j.state = 'available' AND j.attempt = 0 AND coalesce(j.metadata->>'snoozes', '0') = '0'`, id) == 1
}

func TestMatchCurrentOrOlder(t *testing.T) {
	t.Parallel()
	t.Run("TakesOlderOnes", func(t *testing.T) {
		b := setup(t)
		want := map[string]string{}
		begin := func(when string) {
			for v, by := range map[durable.Version]string{"": "1", "0.9": "1", "1": "1", "1.5": "2", "2.0": "2", "2": "2"} {
				want[start(b, Callee, "", v, durable.ID(when+string(v))).ID()] = by + " took " + string(v)
			}
		}
		begin("before")
		b.worker(match(durable.MatchCurrentOrOlder), takes("1"), takes("2"))
		newer := start(b, Callee, "", durable.Version("2.0.1"))
		begin("after")
		for id, want := range want {
			if got := wait(b, Callee.Instance(b.client, id)); got != want {
				t.Errorf("%s: got %q, want %q", id, got, want)
			}
		}
		b.waitsFor(newer.ID(), "Not started: no worker for version 2.0.1 of callee; there are workers for 1, 2 or older.")
		if !b.untouched(newer.ID()) {
			t.Error("somebody has fetched what nobody takes")
		}
		b.worker(nil, takes("2.0.1"))
		if got, want := wait(b, newer), "2.0.1 took 2.0.1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("NewWorkersTakeOverFromOldOnes", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, asleep("1"))
		inst := start(b, Callee, "", durable.Version("1"))
		if _, err := inst.WaitStarted(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.worker(match(durable.MatchCurrentOrOlder), asleep("2"))
		stop()
		raise(b, Item, inst.ID(), "go on")
		if got, want := wait(b, inst), "go on: 2 took 1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("VersionsOfAllOrigins", func(t *testing.T) {
		b := setup(t)
		b.worker(match(durable.MatchCurrentOrOlder), takes("9"))
		b.worker(nil, Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
			return Callee.Call(ctx, "", durable.Version("1.1"))
		}), Eternal.Handler(func(ctx *durable.Context, in []string) ([]string, error) {
			return Eternal.ContinueAsNew(ctx, in, durable.Version("1.2"))
		}, durable.Version("10")))
		b.worker(match(durable.MatchCurrentOrOlder), Eternal.Handler(func(ctx *durable.Context, _ []string) ([]string, error) {
			return []string{"9 took " + ctx.Version()}, nil
		}, durable.Version("9")))
		if got, want := wait(b, start(b, Caller, "")), "9 took 1.1"; got != want {
			t.Errorf("child: got %q, want %q", got, want)
		}
		if got, want := wait(b, start(b, Eternal, nil, durable.Version("10")))[0], "9 took 1.2"; got != want {
			t.Errorf("continued as new: got %q, want %q", got, want)
		}
		var tx *durable.Instance[string]
		err := pgx.BeginFunc(b.ctx, b.pool, func(dbtx pgx.Tx) (err error) {
			tx, err = Callee.StartTx(b.ctx, b.client, dbtx, "", durable.Version("1.3"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := wait(b, tx), "9 took 1.3"; got != want {
			t.Errorf("in a transaction: got %q, want %q", got, want)
		}
		many, err := Callee.StartMany(b.ctx, b.client, []string{"", ""}, durable.Version("1.4"))
		if err != nil {
			t.Fatal(err)
		}
		for _, inst := range many {
			if got, want := wait(b, inst), "9 took 1.4"; got != want {
				t.Errorf("of many: got %q, want %q", got, want)
			}
		}
		schedule := Callee.Schedule(b.client, "s")
		if err := schedule.Put(b.ctx, "", durable.Every(time.Hour), durable.Version("1.5"), durable.Paused(true)); err != nil {
			t.Fatal(err)
		}
		fired, err := schedule.Run(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := wait(b, fired), "9 took 1.5"; got != want {
			t.Errorf("of a schedule: got %q, want %q", got, want)
		}
		if _, err := tx.Restart(b.ctx); err != nil {
			t.Fatal(err)
		}
		if got, want := wait(b, tx), "9 took 1.3"; got != want {
			t.Errorf("again: got %q, want %q", got, want)
		}
	})
	t.Run("WhatWasThereBeforeTheTable", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Callee, "", durable.Version("1"))
		if _, err := b.pool.Exec(b.ctx, "UPDATE weir.versions SET seen_at = now() - interval '31 days'"); err != nil {
			t.Fatal(err)
		}
		b.worker(match(durable.MatchCurrentOrOlder), takes("2")) // it tidies up
		if got, want := wait(b, inst), "2 took 1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestMatchNone(t *testing.T) {
	b := setup(t)
	b.worker(match(durable.MatchNone), takes("1"), takes("2"))
	b.worker(match(durable.MatchNone), Caller.Handler(versionOf))
	for v, by := range map[durable.Version]string{"": "1", "1.5": "2", "3": "2", "next": "2"} {
		if got, want := wait(b, start(b, Callee, "", v)), by+" took "+string(v); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := wait(b, start(b, Caller, "", v)), "<"+string(v)+">"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	b.atRest()
}

func TestMatchStrict(t *testing.T) {
	t.Parallel()
	t.Run("WaitsForAWorker", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, takes("2"))
		old, none := start(b, Callee, "", durable.Version("2.0")), start(b, Callee, "")
		b.waitsFor(old.ID(), "no worker for version 2.0 of callee; there are workers for 2.")
		b.waitsFor(none.ID(), "no worker for instances without a version of callee; there are workers for 2.")
		if got, want := wait(b, start(b, Callee, "", durable.Version("2"))), "2 took 2"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if !b.untouched(old.ID()) || !b.untouched(none.ID()) {
			t.Error("somebody has fetched what nobody takes")
		}
		b.worker(nil, takes("2.0"), takes(""))
		if got, want := wait(b, old), "2.0 took 2.0"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := wait(b, none), " took "; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("InsideARiverApplication", func(t *testing.T) {
		b := setup(t)
		for _, versions := range []durable.Versions{{Match: durable.MatchNone}, {Match: durable.MatchCurrentOrOlder}, {Unmatched: durable.FailUnmatched}} {
			_, err := durable.AddTo(river.NewWorkers(), b.pool, &durable.Config{Versions: versions}, takes("1"))
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "Versions") {
				t.Errorf("%+v: got %v", versions, err)
			}
		}
		strict := durable.Versions{Match: durable.MatchStrict, Unmatched: durable.RejectUnmatched, Current: "1"}
		if _, err := durable.AddTo(river.NewWorkers(), b.pool, &durable.Config{Versions: strict}, takes("")); err != nil {
			t.Error(err)
		}
	})
}

func TestFailUnmatched(t *testing.T) {
	t.Parallel()
	fails := func(b *bundle, inst *durable.Instance[string], text string) {
		b.t.Helper()
		_, err := inst.Wait(b.ctx)
		if !errors.Is(err, durable.ErrVersionMismatch) || !strings.Contains(err.Error(), text) {
			b.t.Errorf("%s: got %v", inst.ID(), err)
		}
		if got := status(b, inst).Status; got != "FAILED" {
			b.t.Errorf("%s is %s", inst.ID(), got)
		}
	}
	t.Run("WhatNobodyTakes", func(t *testing.T) {
		b := setup(t)
		before := start(b, Callee, "", durable.Version("1"))
		b.worker(failing(), takes("2"), takes("3"))
		fails(b, before, "no worker for version 1 of callee; there are workers for 2, 3")
		fails(b, start(b, Callee, "", durable.Version("4")), "version 4")
		fails(b, start(b, Callee, ""), "instances without a version")
		if got, want := wait(b, start(b, Callee, "", durable.Version("3"))), "3 took 3"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("Newer", func(t *testing.T) {
		b := setup(t)
		cfg := failing()
		cfg.Versions.Match = durable.MatchCurrentOrOlder
		b.worker(cfg, takes("2"))
		fails(b, start(b, Callee, "", durable.Version("3")), "there are workers for 2 or older")
		if got, want := wait(b, start(b, Callee, "", durable.Version("1"))), "2 took 1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("AChildsParentHearsOfIt", func(t *testing.T) {
		b := setup(t)
		b.worker(failing(), takes("2"), Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
			_, err := Callee.Call(ctx, "", durable.Version("1"), durable.Retry{Attempts: 5})
			return fmt.Sprint(errors.Is(err, durable.ErrVersionMismatch)), nil
		}))
		if got := wait(b, start(b, Caller, "")); got != "true" {
			t.Errorf("got %s", got)
		}
		if n := b.count("SELECT count(*) FROM weir.instances WHERE name = 'callee'"); n != 1 {
			t.Errorf("%d children: a mismatch is not tried again", n)
		}
	})
	t.Run("NotWhatAnotherWorkerTakes", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, asleep("1"))
		stays, goes := start(b, Callee, "", durable.Version("1")), start(b, Callee, "", durable.Version("1"))
		for _, inst := range []*durable.Instance[string]{stays, goes} { // before the other joins, who would be right to fail them
			if _, err := inst.WaitStarted(b.ctx); err != nil {
				t.Fatal(err)
			}
		}
		b.worker(failing(), asleep("2"))
		fails(b, start(b, Callee, "", durable.Version("9")), "version 9") // it has joined
		raise(b, Item, stays.ID(), "go on")
		if got, want := wait(b, stays), "go on: 1 took 1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		stop()
		// What the worker had in memory it hands over, and the other fails that at once: then there is nothing to raise to.
		if err := Item.Raise(b.ctx, b.client, goes.ID(), "go on"); err != nil && !errors.Is(err, durable.ErrWrongState) {
			t.Fatal(err)
		}
		fails(b, goes, "no worker for version 1")
		b.atRest()
	})
	t.Run("NotWhatIsUnknown", func(t *testing.T) {
		b := setup(t)
		b.worker(failing(), takes("2"))
		inst := start(b, Caller, "", durable.Version("1"))
		fails(b, start(b, Callee, "", durable.Version("1")), "version 1")
		b.waitsFor(inst.ID(), "no worker accepts caller 1")
	})
	t.Run("NotWhatIsSuspended", func(t *testing.T) {
		b := setup(t)
		inst := start(b, Callee, "", durable.Version("1"))
		if err := inst.Suspend(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		b.worker(failing(), takes("2"))
		fails(b, start(b, Callee, "", durable.Version("1")), "version 1")
		if got := status(b, inst).Status; got != "SUSPENDED" {
			t.Errorf("it is %s", got)
		}
		if err := inst.Resume(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		fails(b, inst, "version 1")
	})
	t.Run("GoesOnWhenRewound", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, asleep("1"))
		begun, fresh := start(b, Callee, "", durable.Version("1")), start(b, Callee, "", durable.Version("0"))
		if _, err := begun.WaitStarted(b.ctx); err != nil {
			t.Fatal(err)
		}
		stop()
		stop = b.worker(failing(), asleep("2"))
		raise(b, Item, begun.ID(), "go on")
		fails(b, begun, "version 1")
		fails(b, fresh, "version 0")
		stop()
		b.worker(match(durable.MatchNone), asleep("3"))
		if err := begun.Rewind(b.ctx, "a worker is back"); err != nil {
			t.Fatal(err)
		}
		if got, want := wait(b, begun), "go on: 3 took 1"; got != want { // the event has come again
			t.Errorf("got %q, want %q", got, want)
		}
		if err := fresh.Rewind(b.ctx, "a worker is back"); !errors.Is(err, durable.ErrWrongState) || !strings.Contains(err.Error(), "restart it") {
			t.Errorf("it had not begun: got %v", err)
		}
		b.atRest()
	})
}
