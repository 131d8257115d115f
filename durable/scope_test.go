package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// forever is an activity that ends only with its context, and tells of both.
func forever(began, ended chan<- string) durable.Handler {
	return Echo.Handler(func(ctx context.Context, s string) (string, error) {
		began <- s
		<-ctx.Done()
		ended <- s
		return "", ctx.Err()
	})
}

// events counts the history events of a type of one instance.
func (b *bundle) events(id, kind string) int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM weir.instances i JOIN weir.history h ON h.instance_no = i.no,
		jsonb_array_elements(convert_from(h.events, 'UTF8')::jsonb) e WHERE i.id = $1 AND e->>'type' = $2`, id, kind)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	t.Run("CancelEndsTheContextOfALocalActivity", func(t *testing.T) {
		b := setup(t)
		began, ended := make(chan string, 1), make(chan string, 1)
		b.worker(nil, forever(began, ended), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			inner, cancel := durable.WithCancel(ctx)
			f := Echo.Go(inner, s)
			if _, err := Item.Wait(ctx); err != nil {
				return "", err
			}
			cancel()
			_, err := f.Await()
			if _, again := Echo.Call(inner, "never"); !errors.Is(again, durable.ErrCanceled) {
				return "", again
			}
			return fmt.Sprint(errors.Is(err, durable.ErrCanceled), errors.Is(err, durable.ErrTimeout), " ", err), ctx.Err()
		}))
		inst := start(b, Text, "x")
		<-began
		raise(b, Item, inst.ID(), "")
		if got, want := wait(b, inst), "true false activity echo failed: canceled"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		<-ended
		if n := b.events(inst.ID(), "TaskCanceled"); n != 1 {
			t.Errorf("%d events TaskCanceled", n)
		}
		b.atRest()
	})
	t.Run("CancelTakesBackRowsTimersAndWaits", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			inner, cancel := durable.WithCancel(ctx)
			job, timer, first := Double.Go(inner, 1), inner.Timer(time.Hour), Item.Next(inner)
			if err := ctx.Sleep(time.Millisecond); err != nil {
				return "", err
			}
			ctx.SetStatus("scheduled")
			if err := ctx.Sleep(100 * time.Millisecond); err != nil {
				return "", err
			}
			cancel()
			_, err1 := job.Await()
			_, err2 := timer.Await()
			_, err3 := first.Await()
			for _, err := range []error{err1, err2, err3} {
				if !errors.Is(err, durable.ErrCanceled) {
					return "", err
				}
			}
			ctx.SetStatus("cancelled")
			return Item.Wait(ctx) // gets the event that the cancelled wait has left
		}))
		inst := start(b, Text, "")
		b.until("it has cancelled", func() bool { return string(status(b, inst).CustomStatus) == `"cancelled"` })
		if n := b.count("SELECT count(*) FROM river.river_job WHERE kind = 'double'") + b.count("SELECT count(*) FROM weir.timers"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		raise(b, Item, inst.ID(), "taken")
		if got := wait(b, inst); got != "taken" {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})
	t.Run("InTheTurnThatScheduled", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Echo.Handler(echo), Child.Handler(func(*durable.Context, int) (int, error) { return 0, nil }),
			Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
				inner, cancel := durable.WithCancel(ctx)
				Echo.Go(inner, "never")
				inner.Timer(time.Hour)
				Child.Go(inner, 1)
				cancel()
				cancel()
				return Echo.Call(ctx, "after")
			}))
		inst := start(b, Text, "")
		if got := wait(b, inst); got != "after" {
			t.Errorf("got %q", got)
		}
		if n := b.events(inst.ID(), "TaskCanceled"); n != 3 {
			t.Errorf("%d events TaskCanceled", n)
		}
		if n := b.count("SELECT count(*) FROM weir.instances"); n != 1 {
			t.Errorf("%d instances: the child was started", n)
		}
		b.atRest()
	})
	t.Run("Nested", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			outer, cancelOuter := durable.WithCancel(ctx)
			inner, cancelInner := durable.WithCancel(outer)
			beside, cancelBeside := durable.WithCancel(outer)
			defer cancelBeside()
			detached := durable.WithoutCancel(inner)
			a, b, c, d := inner.Timer(time.Hour), outer.Timer(time.Hour), beside.Timer(time.Hour), detached.Timer(time.Millisecond)
			cancelInner()
			one := fmt.Sprint(a.Done(), b.Done(), c.Done(), d.Done())
			cancelOuter()
			two := fmt.Sprint(a.Done(), b.Done(), c.Done(), d.Done())
			late, cancel := durable.WithCancel(outer)
			defer cancel()
			if late.Err() == nil || detached.Err() != nil || ctx.Err() != nil {
				return "", errors.New("wrong contexts are cancelled")
			}
			if _, err := d.Await(); err != nil {
				return "", err
			}
			_, err := late.Done().Await()
			return one + " " + two, errors.Join(ctx.Sleep(time.Millisecond), ifNot(err, durable.ErrCanceled))
		}))
		if got, want := wait(b, start(b, Text, "")), "true false false false true true true false"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("TimeoutComesFirst", func(t *testing.T) {
		b := setup(t)
		began, ended := make(chan string, 1), make(chan string, 1)
		b.worker(nil, forever(began, ended), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			inner, cancel := durable.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err := Echo.Call(inner, s)
			return fmt.Sprint(errors.Is(err, durable.ErrCanceled), errors.Is(err, durable.ErrTimeout), " ", err), nil
		}))
		if got, want := wait(b, start(b, Text, "")), "true true activity echo failed: canceled: it took longer than 50ms"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		<-ended
		b.atRest()
	})
	t.Run("TheResultComesFirst", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			inner, cancel := durable.WithTimeout(ctx, time.Hour)
			out, err := Echo.Call(inner, s)
			cancel()
			if err := ctx.Sleep(time.Millisecond); err != nil {
				return "", err
			}
			ctx.SetStatus("cancelled the timer")
			_, waited := Item.Wait(ctx)
			return out, errors.Join(err, waited)
		}))
		inst := start(b, Text, "x")
		b.until("its timer is cancelled", func() bool { return len(status(b, inst).CustomStatus) > 0 })
		if n := b.count("SELECT count(*) FROM weir.timers"); n != 0 {
			t.Errorf("%d timers are left", n)
		}
		raise(b, Item, inst.ID(), "")
		if got := wait(b, inst); got != "x" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("ResultAndTimeoutInOneTurn", func(t *testing.T) {
		// Both are in the inbox when the instance is taken up again: the one that arrived first counts.
		b := setup(t)
		handler := Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			inner, cancel := durable.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			out, err := Item.Wait(inner)
			if err != nil {
				return "late", ifNot(err, durable.ErrTimeout)
			}
			return out, nil
		})
		stop := b.worker(nil, handler)
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		stop()
		raise(b, Item, inst.ID(), "in time")
		// A worker without the handler fires the timer.
		b.worker(nil, Number.Handler(func(_ *durable.Context, n int) (int, error) { return n, nil }))
		b.until("the timer has fired", func() bool { return b.count("SELECT count(*) FROM weir.inbox WHERE kind = 4") == 1 })
		b.worker(nil, handler)
		if got := wait(b, inst); got != "in time" {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})
	t.Run("FirstOfCancelled", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			inner, cancel := durable.WithCancel(ctx)
			long, other := inner.Timer(time.Hour), inner.Timer(2*time.Hour)
			durable.Go(ctx, func(ctx *durable.Context) (durable.None, error) {
				err := ctx.Sleep(time.Millisecond)
				cancel()
				return durable.None{}, err
			})
			switch durable.First(other, long, inner.Done()) {
			case long: // made first, cancelled first
				_, _, err := Item.WaitFor(inner, time.Hour)
				return "long", ifNot(err, durable.ErrCanceled)
			case other:
				return "other", nil
			}
			return "done", nil
		}))
		if got := wait(b, start(b, Text, "")); got != "long" {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})
	t.Run("ReplayTakesTheSameSteps", func(t *testing.T) {
		b := setup(t)
		handler := Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			var out strings.Builder
			for i := range 3 {
				inner, cancel := durable.WithTimeout(ctx, 10*time.Millisecond)
				_, err := Double.Call(inner, i) // nobody has it
				cancel()
				fmt.Fprint(&out, errors.Is(err, durable.ErrTimeout), " ")
				if _, err := Item.Wait(ctx); err != nil {
					return "", err
				}
			}
			return out.String(), nil
		})
		inst := start(b, Text, "")
		for n := range 3 {
			stop := b.worker(nil, handler)
			b.turnsEnded(inst.ID(), n)
			stop()
			raise(b, Item, inst.ID(), "")
		}
		b.worker(nil, handler)
		if got := wait(b, inst); got != "true true true " {
			t.Errorf("got %q", got)
		}
		b.atRest()
	})
}

// ifNot returns err unless it is the one that is wanted.
func ifNot(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %w", err)
}

func TestCancelInstance(t *testing.T) {
	t.Parallel()
	canceled := func(b *bundle, inst interface {
		State(context.Context) (durable.State, error)
	}, err error, text string,
	) {
		b.t.Helper()
		if !errors.Is(err, durable.ErrCanceled) || !strings.Contains(err.Error(), text) {
			b.t.Errorf("got %v, want %q", err, text)
		}
		if s, err := inst.State(b.ctx); err != nil || s.Status != "CANCELED" {
			b.t.Errorf("got %+v, %v", s, err)
		}
		b.atRest()
	}
	t.Run("WhileItWaits", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) { return Item.Wait(ctx) }))
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		if err := inst.Cancel(b.ctx, "no longer needed"); err != nil {
			t.Fatal(err)
		}
		_, err := inst.Wait(b.ctx)
		canceled(b, inst, err, "canceled: no longer needed")
		if err := inst.Cancel(b.ctx, "again"); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("got %v", err)
		}
		if err := Text.Instance(b.client, "nobody").Cancel(b.ctx, ""); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if err := inst.Cancel(b.ctx, strings.Repeat("x", 2001)); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("WhileAnActivityRuns", func(t *testing.T) {
		b := setup(t)
		began, ended := make(chan string, 1), make(chan string, 1)
		b.worker(nil, forever(began, ended), Text.Handler(func(ctx *durable.Context, s string) (string, error) { return Echo.Call(ctx, s) }))
		inst := start(b, Text, "x")
		<-began
		if err := inst.Cancel(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		_, err := inst.Wait(b.ctx)
		<-ended
		canceled(b, inst, err, "canceled")
	})
	t.Run("Compensation", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			if _, err := Item.Wait(ctx); err != nil {
				done, undo := Echo.Call(durable.WithoutCancel(ctx), "refunded")
				ctx.SetStatus(done)
				return "", errors.Join(err, undo)
			}
			return "", nil
		}))
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		if err := inst.Cancel(b.ctx, "x"); err != nil {
			t.Fatal(err)
		}
		_, err := inst.Wait(b.ctx)
		canceled(b, inst, err, "x")
		if got := string(status(b, inst).CustomStatus); got != `"refunded"` {
			t.Errorf("got %s", got)
		}
	})
	t.Run("CodeThatDecidesOtherwiseCompletes", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			_, err := Item.Wait(ctx)
			return "never mind", ifNot(err, durable.ErrCanceled)
		}))
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		if err := inst.Cancel(b.ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if got := wait(b, inst); got != "never mind" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("ErrorsOfOtherKindsFail", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			_, _ = Item.Wait(ctx)
			return "", ErrOdd
		}))
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		if err := inst.Cancel(b.ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := inst.Wait(b.ctx); !errors.Is(err, ErrOdd) || status(b, inst).Status != "FAILED" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("GoesDownTheTree", func(t *testing.T) {
		b := setup(t)
		began, ended := make(chan string, 1), make(chan string, 1)
		b.worker(nil, forever(began, ended),
			Child.Handler(func(ctx *durable.Context, n int) (int, error) {
				if n > 0 {
					return Child.Call(ctx, n-1, durable.ID(fmt.Sprint("child-", n-1)))
				}
				_, err := Echo.Call(ctx, "leaf")
				return 0, err
			}),
			Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Child.Call(ctx, n, durable.ID("child-2")) }))
		inst := start(b, Number, 2)
		<-began
		if err := inst.Cancel(b.ctx, "all of it"); err != nil {
			t.Fatal(err)
		}
		_, err := inst.Wait(b.ctx)
		<-ended
		for n := range 3 {
			if _, err := Child.Instance(b.client, fmt.Sprint("child-", n)).Wait(b.ctx); !errors.Is(err, durable.ErrCanceled) {
				t.Errorf("child %d: %v", n, err)
			}
		}
		canceled(b, inst, err, "all of it")
	})
	t.Run("BeforeItHasBegun", func(t *testing.T) {
		b := setup(t)
		queued, delayed := start(b, Text, ""), start(b, Text, "", durable.Delay(time.Hour))
		for _, inst := range []*durable.Instance[string]{queued, delayed} {
			if err := inst.Cancel(b.ctx, "too early"); err != nil {
				t.Fatal(err)
			}
		}
		for _, inst := range []*durable.Instance[string]{queued, delayed} {
			_, err := inst.Wait(b.ctx)
			canceled(b, inst, err, "too early")
		}
		if n := b.count("SELECT count(*) FROM river.river_job"); n != 0 {
			t.Errorf("%d jobs are left", n)
		}
	})
	t.Run("ARaceWithTheStart", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) { return Item.Wait(ctx) }))
		for range 50 {
			inst := start(b, Text, "")
			if err := inst.Cancel(b.ctx, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := inst.Wait(b.ctx); !errors.Is(err, durable.ErrCanceled) {
				t.Fatalf("got %v", err)
			}
		}
		b.atRest()
	})
	t.Run("CarriesOverContinueAsNew", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, err := Item.Wait(ctx)
			if n == 0 { // takes no notice
				return Number.ContinueAsNew(ctx, 1)
			}
			return n, err
		}))
		inst := start(b, Number, 0)
		b.turnsEnded(inst.ID(), 0)
		if err := inst.Cancel(b.ctx, "both"); err != nil {
			t.Fatal(err)
		}
		_, err := inst.Wait(b.ctx)
		canceled(b, inst, err, "both")
	})
	t.Run("SurvivesAReplay", func(t *testing.T) {
		b := setup(t)
		handler := Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			_, err := Item.Wait(ctx)
			ctx.SetStatus("compensating")
			if _, err := Item.Wait(durable.WithoutCancel(ctx)); err != nil {
				return "", err
			}
			return "", err
		})
		stop := b.worker(nil, handler)
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		if err := inst.Cancel(b.ctx, "x"); err != nil {
			t.Fatal(err)
		}
		b.until("it compensates", func() bool { return string(status(b, inst).CustomStatus) == `"compensating"` })
		stop()
		b.worker(nil, handler)
		raise(b, Item, inst.ID(), "")
		_, err := inst.Wait(b.ctx)
		canceled(b, inst, err, "x")
	})
}

// TestLeftOpen: code that returns without having waited is told of in the last event; what it does not need any more is
// told to stop.
func TestLeftOpen(t *testing.T) {
	b := setup(t)
	began, ended := make(chan string, 1), make(chan string, 1)
	b.worker(nil, forever(began, ended), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
		Echo.Go(ctx, s)
		ctx.Timer(time.Hour)
		_, err := Item.Wait(ctx)
		return "enough", err
	}), Number.Handler(func(ctx *durable.Context, n int) (int, error) { return n, ctx.Sleep(time.Millisecond) }))
	inst := start(b, Text, "x")
	<-began
	if err := Item.Raise(b.ctx, b.client, inst.ID(), "go"); err != nil {
		t.Fatal(err)
	}
	if got := wait(b, inst); got != "enough" {
		t.Errorf("returned %q", got)
	}
	if got := <-ended; got != "x" {
		t.Errorf("%q has ended", got)
	}
	left := func(id string) string {
		b.t.Helper()
		var ids string
		err := b.pool.QueryRow(b.ctx, `SELECT coalesce(string_agg(e->>'leftOpen', ''), '') FROM weir.instances i JOIN weir.history h ON h.instance_no = i.no,
			jsonb_array_elements(convert_from(h.events, 'UTF8')::jsonb) e WHERE i.id = $1 AND e->>'type' = 'ExecutionCompleted'`, id).Scan(&ids)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if got := left(inst.ID()); got != "[0, 1]" {
		t.Errorf("left open are %q", got)
	}
	nap := start(b, Number, 1)
	wait(b, nap)
	if got := left(nap.ID()); got != "" {
		t.Errorf("an orchestration that waited for all has left open %q", got)
	}
}
