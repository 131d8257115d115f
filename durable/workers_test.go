package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/durable"
)

type ResizeArgs struct {
	Width int `json:"width"`
}

func (ResizeArgs) Kind() string { return "resize" }

type resizeWorker struct {
	river.WorkerDefaults[ResizeArgs]
	failures atomic.Int32
}

func (w *resizeWorker) Work(ctx context.Context, job *river.Job[ResizeArgs]) error {
	if job.Args.Width < 0 {
		return river.JobCancel(errors.New("negative width"))
	}
	if w.failures.Add(-1) >= 0 {
		return errors.New("not yet")
	}
	return river.RecordOutput(ctx, job.Args.Width*2)
}

func (w *resizeWorker) NextRetry(*river.Job[ResizeArgs]) time.Time {
	return time.Now().Add(10 * time.Millisecond)
}

const Resize durable.Activity[ResizeArgs, int] = "resize"

func TestRiverWorkerAsActivity(t *testing.T) {
	t.Parallel()
	number := Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Resize.Call(ctx, ResizeArgs{n}) })
	t.Run("OutputIsTheResult", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, number, durable.RiverHandler(&resizeWorker{}))
		if got := wait(b, start(b, Number, 21)); got != 42 {
			t.Errorf("got %d", got)
		}
		b.atRest()
	})
	t.Run("RiverRetries", func(t *testing.T) {
		b := setup(t)
		w := &resizeWorker{}
		w.failures.Store(1)
		b.worker(nil, number, durable.RiverHandler(w))
		if got := wait(b, start(b, Number, 1)); got != 2 {
			t.Errorf("got %d", got)
		}
	})
	t.Run("CancelledJobIsAFailure", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, number, durable.RiverHandler(&resizeWorker{}))
		if _, err := start(b, Number, -1).Wait(b.ctx); err == nil || !strings.Contains(err.Error(), "negative width") {
			t.Errorf("got %v", err)
		}
		b.atRest()
	})
}

func TestAddToAnExistingRiverApplication(t *testing.T) {
	b := setup(t)
	workers := river.NewWorkers()
	river.AddWorker(workers, &resizeWorker{}) // the application's own
	w, err := durable.AddTo(workers, b.pool, &durable.Config{Logger: b.logger}, Echo.Handler(echo),
		Text.Handler(func(ctx *durable.Context, s string) (string, error) { return Echo.Call(ctx, s) }))
	if err != nil {
		t.Fatal(err)
	}
	queues, err := w.RiverQueues(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	queues["own"] = river.QueueConfig{MaxWorkers: 1}
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: "river", Workers: workers, Queues: queues, FetchCooldown: time.Millisecond, FetchOnlyKnownKinds: true, Logger: b.logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.run(w)
	if err := client.Start(b.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 10*time.Second)
		defer cancel()
		if err := client.StopAndCancel(ctx); err != nil {
			t.Error(err)
		}
	})
	done, cancel := client.Subscribe(river.EventKindJobCompleted)
	defer cancel()
	if _, err := client.Insert(b.ctx, ResizeArgs{1}, &river.InsertOpts{Queue: "own"}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if got := wait(b, start(b, Text, fmt.Sprint(i))); got != fmt.Sprint(i) {
			t.Errorf("got %q", got)
		}
	}
	for e := range done {
		if e.Job.Kind == "resize" { // the application's own job was worked beside ours
			break
		}
	}
}

func TestHeld(t *testing.T) {
	t.Parallel()
	v1 := Text.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := Echo.Call(ctx, "first"); err != nil {
			return "", err
		}
		if _, err := Item.Wait(ctx); err != nil {
			return "", err
		}
		return Echo.Call(ctx, s)
	})
	t.Run("ChangedCodeHoldsTheTurnUntilItIsRolledBack", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, v1, Echo.Handler(echo))
		inst := start(b, Text, "x")
		other := start(b, Text, "y")
		b.until("they wait for the event", func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NULL AND turn_job IS NULL AND seq > 0") == 2
		})
		stop()

		stop = b.worker(nil, Double.Handler(double), Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			if _, err := Double.Call(ctx, 1); err != nil { // was Echo
				return "", err
			}
			return s, nil
		}))
		raise(b, Item, inst.ID(), "go")
		b.until("it is held", func() bool { return status(b, inst).Held != "" })
		s := status(b, inst)
		if want := `the code does not match the history at step 0: the history has activity "echo", the code does activity "double"`; s.Held != want {
			t.Errorf("got  %s\nwant %s", s.Held, want)
		}
		if s.Status != "RUNNING" {
			t.Errorf("status %s", s.Status)
		}
		stop()

		b.worker(nil, v1, Echo.Handler(echo))
		if got := wait(b, inst); got != "x" {
			t.Errorf("got %q", got)
		}
		raise(b, Item, other.ID(), "go")
		wait(b, other)
		b.atRest()
	})
	t.Run("RemovedStep", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, v1, Echo.Handler(echo))
		inst := start(b, Text, "x")
		b.until("it waits", func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NULL AND turn_job IS NULL AND seq > 0") == 1
		})
		stop()
		b.worker(nil, Text.Handler(func(ctx *durable.Context, s string) (string, error) { return Item.Wait(ctx) }))
		raise(b, Item, inst.ID(), "go")
		b.until("it is held", func() bool { return status(b, inst).Held != "" })
		if got, want := status(b, inst).Held, `at step 0: the history has activity "echo", the code does nothing`; !strings.Contains(got, want) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("PanicHoldsAndOthersGoOn", func(t *testing.T) {
		b := setup(t)
		var fixed atomic.Bool
		handler := Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			if s == "bad" && !fixed.Load() {
				var none []int
				_ = none[len(s)]
			}
			return Echo.Call(ctx, s)
		})
		stop := b.worker(nil, handler, Echo.Handler(echo))
		bad := start(b, Text, "bad")
		b.until("it is held", func() bool { return strings.Contains(status(b, bad).Held, "index out of range") })
		wait(b, start(b, Text, "good"))
		stop()
		fixed.Store(true)
		b.worker(nil, handler, Echo.Handler(echo))
		wait(b, bad)
		b.atRest()
	})
	t.Run("TerminateEndsAHeldInstance", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(*durable.Context, string) (string, error) { panic("no") }))
		inst := start(b, Text, "")
		b.until("it is held", func() bool { return status(b, inst).Held != "" })
		if err := inst.Terminate(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		b.until("its job is gone", func() bool { return b.count("SELECT count(*) FROM river.river_job WHERE state <> 'completed'") == 0 })
		b.atRest()
	})
	t.Run("ResultsThatArriveMeanwhileAreKept", func(t *testing.T) {
		b := setup(t)
		release := make(chan struct{})
		var echoed atomic.Int32
		var bad atomic.Bool
		bad.Store(true)
		slow := Echo.Handler(func(_ context.Context, s string) (string, error) {
			echoed.Add(1)
			<-release
			return s, nil
		})
		handler := Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			f := Echo.Go(ctx, s)
			if _, err := Item.Wait(ctx); err != nil {
				return "", err
			}
			if bad.Load() {
				panic("not now")
			}
			return f.Await()
		})
		stop := b.worker(nil, handler, slow)
		inst := start(b, Text, "x")
		b.until("the activity runs", func() bool { return echoed.Load() == 1 })
		raise(b, Item, inst.ID(), "go")
		b.until("it is held", func() bool { return status(b, inst).Held != "" })
		close(release) // the activity ends while nobody holds the instance
		b.until("its result is in the inbox", func() bool { return b.count("SELECT count(*) FROM weir.inbox WHERE kind = 3") == 1 })
		stop()
		bad.Store(false)
		b.worker(nil, handler, slow)
		wait(b, inst)
		if n := echoed.Load(); n != 1 {
			t.Errorf("the activity ran %d times", n)
		}
		b.atRest()
	})
}

func TestHandlerRemoved(t *testing.T) {
	b := setup(t)
	stop := b.worker(nil, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := Item.Wait(ctx); err != nil {
			return "", err
		}
		return Echo.Call(ctx, s)
	}))
	inst := start(b, Text, "x")
	b.until("it waits", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE owner IS NULL AND turn_job IS NULL AND seq > 0") == 1
	})
	stop()
	stop = b.worker(nil, Number.Handler(func(_ *durable.Context, n int) (int, error) { return n, nil }))
	raise(b, Item, inst.ID(), "go")
	wait(b, start(b, Number, 1)) // others go on
	if n := b.count("SELECT count(*) FROM river.river_job WHERE kind = 'turn:text' AND state = 'available' AND attempt = 0"); n != 1 {
		t.Errorf("%d waiting jobs", n) // neither failed nor looped
	}
	stop()
	// A worker with the orchestration, but not the activity.
	stop = b.worker(nil, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
		if _, err := Item.Wait(ctx); err != nil {
			return "", err
		}
		return Echo.Call(ctx, s)
	}))
	b.until("the activity is a job that waits", func() bool {
		return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'echo' AND state = 'available' AND attempt = 0") == 1
	})
	b.worker(nil, Echo.Handler(echo))
	if got := wait(b, inst); got != "x" {
		t.Errorf("got %q", got)
	}
	stop()
	b.atRest()
}

func TestVersionsSideBySide(t *testing.T) {
	b := setup(t)
	version := func(v durable.Version) durable.Handler {
		return Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			_, err := Item.Wait(ctx)
			return string(v) + "/" + ctx.Version(), err
		}, v)
	}
	b.worker(nil, version("1"), version("2.1"))
	one, two := start(b, Text, "", durable.Version("1")), start(b, Text, "", durable.Version("2.1"))
	raise(b, Item, one.ID(), "")
	raise(b, Item, two.ID(), "")
	if got := wait(b, one); got != "1/1" {
		t.Errorf("got %q", got)
	}
	if got := wait(b, two); got != "2.1/2.1" {
		t.Errorf("got %q", got)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	t.Run("LetsActivitiesFinish", func(t *testing.T) {
		b := setup(t)
		running, release := make(chan struct{}), make(chan struct{})
		var ran atomic.Int32
		stop := b.worker(nil, Text.Handler(func(ctx *durable.Context, s string) (string, error) { return Echo.Call(ctx, s) }),
			Echo.Handler(func(_ context.Context, s string) (string, error) {
				if ran.Add(1) == 1 {
					close(running)
				}
				<-release
				return s, nil
			}))
		inst := start(b, Text, "x")
		<-running
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		close(release)
		<-stopped
		if got := wait(b, inst); got != "x" { // it ended before the worker did
			t.Errorf("got %q", got)
		}
		if ran.Load() != 1 {
			t.Errorf("ran %d times", ran.Load())
		}
	})
	t.Run("HandsOverWhatIsLeft", func(t *testing.T) {
		for _, kind := range []string{"plain", "tx", "step"} {
			t.Run(kind, func(t *testing.T) {
				b := setup(t)
				running := make(chan struct{}, 1)
				stuck := func(ctx context.Context) {
					running <- struct{}{}
					<-ctx.Done()
				}
				var ok atomic.Bool
				handlers := []durable.Handler{
					Text.Handler(func(ctx *durable.Context, s string) (string, error) {
						if kind == "step" {
							return durable.Step(ctx, "stuck", func(ctx context.Context) (string, error) {
								if !ok.Load() {
									stuck(ctx)
								}
								return s, ctx.Err()
							})
						}
						return Echo.Call(ctx, s)
					}),
				}
				if kind == "tx" {
					handlers = append(handlers, Echo.TxHandler(func(ctx context.Context, _ pgx.Tx, s string) (string, error) {
						if !ok.Load() {
							stuck(ctx)
						}
						return s, ctx.Err()
					}))
				} else {
					handlers = append(handlers, Echo.Handler(func(ctx context.Context, s string) (string, error) {
						if !ok.Load() {
							stuck(ctx)
						}
						return s, ctx.Err()
					}))
				}
				stop := b.worker(&durable.Config{DrainTimeout: 50 * time.Millisecond}, handlers...)
				inst := start(b, Text, "x")
				<-running
				stop()
				if n := b.count("SELECT count(*) FROM weir.instances WHERE owner IS NOT NULL OR epoch = 0"); n != 0 {
					t.Errorf("the instance is still owned")
				}
				if n := b.count("SELECT count(*) FROM weir.workers WHERE state = 0"); n != 0 {
					t.Errorf("%d workers are still registered", n)
				}
				ok.Store(true)
				b.worker(nil, handlers...)
				if got := wait(b, inst); got != "x" {
					t.Errorf("got %q", got)
				}
				b.atRest()
			})
		}
	})
}

func TestSeveralWorkers(t *testing.T) {
	b := setup(t)
	handlers := func(counter *atomic.Int32) []durable.Handler {
		return []durable.Handler{
			Text.Handler(func(ctx *durable.Context, s string) (string, error) {
				for range 3 {
					if _, err := Echo.Call(ctx, s); err != nil {
						return "", err
					}
				}
				v, err := Item.Wait(ctx)
				return s + v, err
			}),
			Echo.Handler(func(_ context.Context, s string) (string, error) { counter.Add(1); return s, nil }),
		}
	}
	var counts [3]atomic.Int32
	for i := range counts {
		b.worker(&durable.Config{Sessions: 8}, handlers(&counts[i])...)
	}
	var all []*durable.Instance[string]
	for i := range 200 {
		all = append(all, start(b, Text, fmt.Sprint(i)))
	}
	for _, inst := range all {
		raise(b, Item, inst.ID(), "!")
	}
	for i, inst := range all {
		if got, want := wait(b, inst), fmt.Sprint(i)+"!"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	total := int32(0)
	for i := range counts {
		total += counts[i].Load()
	}
	if total != 600 {
		t.Errorf("%d activities ran, want 600", total)
	}
	b.atRest()
}

func TestActivityRows(t *testing.T) {
	b := setup(t)
	if _, err := b.pool.Exec(b.ctx, "UPDATE weir.hubs SET activity_rows = true"); err != nil {
		t.Fatal(err)
	}
	running, release := make(chan struct{}), make(chan struct{})
	b.worker(nil, Text.Handler(func(ctx *durable.Context, s string) (string, error) { return Echo.Call(ctx, s) }),
		Echo.Handler(func(_ context.Context, s string) (string, error) {
			close(running)
			<-release
			return s, nil
		}))
	inst := start(b, Text, "x")
	<-running
	if n := b.count("SELECT count(*) FROM river.river_job WHERE kind = 'echo' AND state = 'running' AND args->>'instance' = $1", inst.ID()); n != 1 {
		t.Errorf("%d rows for the running activity", n)
	}
	close(release)
	wait(b, inst)
	b.atRest()
}

func TestLongActivitiesArePromoted(t *testing.T) {
	b := setup(t)
	release := make(chan struct{})
	b.worker(&durable.Config{Activities: 1, Name: "slow-worker"}, Many.Handler(func(ctx *durable.Context, in []int) ([]int, error) { return Double.Map(ctx, in) }),
		Double.Handler(func(_ context.Context, n int) (int, error) {
			if n == 1 {
				<-release
			}
			return n, nil
		}))
	inst := start(b, Many, []int{1, 2})
	b.until("the one that runs has a row, and so has the one that waits for a slot", func() bool {
		return b.count("SELECT count(*) FROM river.river_job WHERE kind = 'double' AND state = 'running'") >= 1 &&
			b.count("SELECT count(*) FROM river.river_job WHERE kind = 'double'") == 2
	})
	close(release)
	wait(b, inst)
	b.atRest()
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	t.Run("SizesUpToTheLimitSurviveEverything", func(t *testing.T) {
		b := setup(t)
		b.worker(&durable.Config{PayloadLimit: 9 << 20}, Echo.Handler(echo), Child2.Handler(func(_ *durable.Context, s string) (string, error) { return s, nil }),
			Text.Handler(func(ctx *durable.Context, s string) (string, error) {
				v, err := Echo.Call(ctx, s)
				if err != nil {
					return "", err
				}
				if v, err = Child2.Call(ctx, v); err != nil {
					return "", err
				}
				e, err := Item.Wait(ctx)
				if e != v {
					return "", fmt.Errorf("event has %d bytes, result %d: %w", len(e), len(v), err)
				}
				return v, err
			}))
		for _, n := range []int{0, 1, 64<<10 - 2, 64 << 10, 1 << 20, 8 << 20} {
			in := strings.Repeat("x", n)
			inst := start(b, Text, in)
			raise(b, Item, inst.ID(), in)
			if got := wait(b, inst); got != in {
				t.Errorf("%d bytes came back as %d", n, len(got))
			}
		}
		b.atRest()
	})
	t.Run("OverTheLimit", func(t *testing.T) {
		b := setup(t)
		b.worker(&durable.Config{PayloadLimit: 1000}, Echo.Handler(func(_ context.Context, s string) (string, error) { return strings.Repeat(s, 2), nil }),
			Child2.Handler(func(_ *durable.Context, s string) (string, error) { return s, nil }),
			Text.Handler(func(ctx *durable.Context, s string) (string, error) {
				var problems []string
				note := func(what string, err error) {
					if !errors.Is(err, durable.ErrTooLarge) {
						problems = append(problems, fmt.Sprintf("%s: %v", what, err))
					}
				}
				_, err := Echo.Call(ctx, strings.Repeat("x", 1001))
				note("activity input", err)
				_, err = Echo.Call(ctx, strings.Repeat("x", 700))
				note("activity output", err)
				_, err = Child2.Call(ctx, strings.Repeat("x", 1001))
				note("child input", err)
				if len(problems) > 0 {
					return strings.Join(problems, "; "), nil
				}
				return strings.Repeat("x", 1001), nil
			}))
		_, err := start(b, Text, "").Wait(b.ctx)
		if !errors.Is(err, durable.ErrTooLarge) || !strings.Contains(err.Error(), "the output has 1003 bytes, the limit is 1000") {
			t.Errorf("got %v", err)
		}
		c, err := durable.NewClient(b.pool, durable.PayloadLimit(1000))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := Text.Start(b.ctx, c, strings.Repeat("x", 1000)); !errors.Is(err, durable.ErrTooLarge) || !strings.Contains(err.Error(), "input: has 1002 bytes, the limit is 1000") {
			t.Errorf("got %v", err)
		}
		if err := Item.Raise(b.ctx, c, "any", strings.Repeat("x", 1000)); !errors.Is(err, durable.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		b.atRest()
	})
	t.Run("TextWithNULAndInvalidUTF8", func(t *testing.T) {
		b := setup(t)
		b.worker(&durable.Config{Activities: 1}, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			out, err := Echo.Map(ctx, []string{s, s, s, s, s, s, s, s}) // some of them through River
			if err != nil {
				return "", err
			}
			_, err = Echo.Call(ctx, "\xff")
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "not valid UTF-8") {
				return "", fmt.Errorf("got %w", err)
			}
			return out[7], nil
		}))
		for _, s := range []string{"a\x00b", "\u2028<&>\ufffd", "\x00"} {
			if got := wait(b, start(b, Text, s)); got != s {
				t.Errorf("%q came back as %q", s, got)
			}
		}
		b.atRest()
	})
}

const Child2 durable.Orchestration[string, string] = "child2"

// TestRowOfALostTurn: a turn that takes in an activity's result loses its commit, and the next one records the result. The
// activity's River row goes with that, although the activity is in nobody's books any more.
func TestRowOfALostTurn(t *testing.T) {
	const (
		Loser durable.Orchestration[durable.None, string] = "loser"
		Slow  durable.Activity[durable.None, string]      = "slow"
	)
	b := setup(t)
	if _, err := b.pool.Exec(b.ctx, "UPDATE weir.hubs SET activity_rows = true"); err != nil {
		t.Fatal(err)
	}
	b.worker(nil,
		Loser.Handler(func(ctx *durable.Context, _ durable.None) (string, error) { return Slow.Call(ctx, durable.None{}) }),
		Slow.Handler(func(ctx context.Context, _ durable.None) (string, error) {
			// Somebody else has had the instance meanwhile.
			_, err := b.pool.Exec(ctx, "UPDATE weir.instances SET epoch = epoch + 1 WHERE name = 'loser'")
			return "done", err
		}))
	if got := wait(b, start(b, Loser, durable.None{})); got != "done" {
		t.Errorf("got %q", got)
	}
	if n := b.count("SELECT count(*) FROM river.river_job WHERE kind = 'slow'"); n != 0 {
		t.Errorf("%d rows are left of an activity whose result is recorded", n)
	}
	b.atRest()
}
