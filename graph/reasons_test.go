package graph_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/durable"
)

const (
	Sleeper durable.Orchestration[int, int] = "sleeper"
	Caller  durable.Orchestration[int, int] = "caller"
	Racer   durable.Orchestration[int, int] = "racer"
	Parent  durable.Orchestration[int, int] = "parent"
	Stuck   durable.Orchestration[int, int] = "stuck"
	Panics  durable.Orchestration[int, int] = "panics"
	Fails   durable.Orchestration[int, int] = "fails"
	Lonely  durable.Orchestration[int, int] = "lonely"
	Deaf    durable.Orchestration[int, int] = "deaf"
	Work    durable.Activity[int, int]      = "work"
	Flaky   durable.Activity[int, int]      = "flaky"
	Nobody  durable.Activity[int, int]      = "nobody"
)

// TestReasons: for each reason there is an instance that has it.
func TestReasons(t *testing.T) {
	a := serve(t)
	release := make(chan struct{})
	hold := func(ctx context.Context) {
		select {
		case <-release:
		case <-ctx.Done():
		}
	}
	a.worker(&durable.Config{Name: "the worker", Build: "b7", IdleRelease: time.Millisecond},
		Echo.Handler(echo), Waiter.Handler(waiter),
		Sleeper.Handler(func(ctx *durable.Context, n int) (int, error) { return n, ctx.Sleep(time.Hour) }),
		Caller.Handler(func(ctx *durable.Context, n int) (int, error) {
			if n == 1 {
				return Flaky.Call(ctx, n, durable.Retry{Attempts: 5, Initial: time.Hour})
			}
			if n == 2 {
				return Work.Call(ctx, n, durable.Limit("nobody has put"))
			}
			_, err := Work.Map(ctx, make([]int, n))
			return n, err
		}),
		Racer.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, _, err := Go.WaitFor(ctx, time.Hour)
			return n, err
		}),
		Parent.Handler(func(ctx *durable.Context, n int) (int, error) { return Sleeper.Call(ctx, n, durable.ID("the-child")) }),
		Stuck.Handler(func(_ *durable.Context, n int) (int, error) { <-release; return n, nil }),
		Deaf.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, err := Go.Wait(durable.WithoutCancel(ctx))
			return n, err
		}),
		Panics.Handler(func(_ *durable.Context, _ int) (int, error) { panic("out of cheese") }),
		Fails.Handler(func(_ *durable.Context, _ int) (int, error) { return 0, errors.New("not today") }),
		Lonely.Handler(func(ctx *durable.Context, n int) (int, error) { return Nobody.Call(ctx, n) }),
		Work.Handler(func(ctx context.Context, n int) (int, error) { hold(ctx); return n, ctx.Err() }),
		Flaky.Handler(func(context.Context, int) (int, error) { return 0, errors.New("line is busy\nsecond line") }),
	)
	t.Cleanup(func() { close(release) }) // before the worker stops: cleanups run last in, first out
	for _, test := range []struct {
		name  string
		start vars
		kind  string
		text  []string
		check func(w waiting) string
	}{
		{"Event", vars{"name": "waiter", "input": 2}, "EVENT", []string{"Waits for event go for"}, func(w waiting) string {
			return fail(w.Subject != nil && *w.Subject == "go" && w.Since != nil && w.Until == nil, "subject, since")
		}},
		{"EventOrTimer", vars{"name": "racer", "input": 2}, "EVENT", []string{"Waits for event go", "Times out at"}, func(w waiting) string {
			return fail(w.Until != nil && w.Until.After(time.Now().Add(50*time.Minute)), "until")
		}},
		{"Timer", vars{"name": "sleeper", "input": 2}, "TIMER", []string{"Sleeps until", "UTC"}, func(w waiting) string {
			return fail(w.Until != nil && w.Until.After(time.Now().Add(50*time.Minute)), "until")
		}},
		{"Activity", vars{"name": "caller", "input": 3}, "ACTIVITY", []string{"Runs activity work for", "2 more are pending"}, func(w waiting) string {
			return fail(w.Subject != nil && *w.Subject == "work" && w.Since != nil, "subject, since")
		}},
		{"Retry", vars{"name": "caller", "input": 1}, "RETRY", []string{"Activity flaky failed: line is busy.", "The next attempt is at"}, func(w waiting) string {
			return fail(w.Until != nil && w.Until.After(time.Now().Add(30*time.Minute)) && !strings.Contains(w.Text, "second line"), "until")
		}},
		{"Child", vars{"name": "parent", "input": 1}, "ORCHESTRATION", []string{"Waits for orchestration sleeper (the-child) for"}, func(w waiting) string {
			return fail(w.Subject != nil && *w.Subject == "sleeper", "subject")
		}},
		{"NoWorker", vars{"name": "unserved", "version": "2"}, "NO_WORKER", []string{"Not started: no worker accepts unserved 2."}, nil},
		{"NoWorkerForThisVersion", vars{"name": "echo", "version": "9", "input": 1}, "NO_WORKER", []string{"no worker for version 9 of echo; there are workers for "}, nil},
		{"NoWorkerForTheActivity", vars{"name": "lonely", "input": 1}, "NO_WORKER", []string{"No worker accepts activity nobody."}, func(w waiting) string {
			return fail(w.Subject != nil && *w.Subject == "nobody", "subject")
		}},
		{"Limit", vars{"name": "caller", "input": 2}, "LIMIT", []string{"waits for limit nobody has put, which nobody has put."}, func(w waiting) string {
			return fail(w.Subject != nil && *w.Subject == "work", "subject")
		}},
		{"Held", vars{"name": "panics", "input": 1}, "HELD", []string{"Held:", "out of cheese", "Nothing is lost"}, nil},
		{"Scheduled", vars{"name": "echo", "startAt": "2099-01-01T00:00:00Z"}, "SCHEDULED", []string{"Starts at 2099-01-01 00:00:00 UTC."}, func(w waiting) string {
			return fail(w.Until != nil && w.Until.Year() == 2099, "until")
		}},
		{"Running", vars{"name": "stuck", "input": 1}, "RUNNING", []string{"Runs"}, nil},
		{"Completed", vars{"name": "echo", "input": 1}, "ENDED", []string{"Completed after"}, func(w waiting) string { return fail(w.Since != nil, "since") }},
		{"Failed", vars{"name": "fails", "input": 1}, "ENDED", []string{"Failed after", "not today"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := a.must(a.start(test.start)).InstanceID
			var w waiting
			defer func() {
				if t.Failed() {
					t.Logf("the reason is %+v", w)
				}
			}()
			a.until("the reason is as wanted", func() bool {
				w = a.get(id).Waiting
				return w.Kind == test.kind && !slices.ContainsFunc(test.text, func(words string) bool { return !strings.Contains(w.Text, words) })
			})
			if test.check != nil {
				if missing := test.check(w); missing != "" {
					t.Errorf("%s of %+v", missing, w)
				}
			}
			// The parts are the text, with times apart.
			var text strings.Builder
			for _, p := range w.Parts {
				if (p.Text == nil) == (p.At == nil) || (p.At == nil) != (p.Style == "PLAIN") {
					t.Errorf("part %+v", p)
				}
				if p.Text != nil {
					text.WriteString(*p.Text)
					if !strings.Contains(w.Text, *p.Text) {
						t.Errorf("%q is not in %q", *p.Text, w.Text)
					}
				}
			}
			if text.Len() == 0 {
				t.Error("there are no parts")
			}
		})
	}

	t.Run("Canceling", func(t *testing.T) {
		id := a.must(a.start(vars{"name": "deaf", "input": 1})).InstanceID
		a.until("it waits", func() bool { return a.get(id).Waiting.Kind == "EVENT" })
		ask[struct{ CancelOrchestration struct{ RequestID string } }](a, `mutation($id: String!) {
			cancelOrchestration(input: {hub: "default", instanceId: $id, reason: "we close"}) { requestId } }`, vars{"id": id})
		a.until("the reason says so", func() bool {
			text := a.get(id).Waiting.Text
			return strings.Contains(text, "Waits for event go") && strings.Contains(text, " It was asked to end ") && strings.HasSuffix(text, ": we close.")
		})
	})

	t.Run("PendingTasks", func(t *testing.T) {
		type task struct {
			TaskID                   int
			Name, State              string
			Attempt                  int
			StartedAt, NextAttemptAt *time.Time
			LastError, Worker        *string
		}
		pending := func(id string) []task {
			return ask[struct {
				Orchestration struct{ PendingTasks []task }
			}](a, `query($id: String!) { orchestration(hub: "default", instanceId: $id) { pendingTasks { taskId name state attempt startedAt nextAttemptAt lastError worker } } }`,
				vars{"id": id}).Orchestration.PendingTasks
		}
		three := a.must(a.start(vars{"name": "caller", "input": 3})).InstanceID
		a.until("three tasks run", func() bool { return len(pending(three)) == 3 })
		for n, p := range pending(three) {
			if p.TaskID != n || p.Name != "work" || p.State != "RUNNING" || p.Attempt != 1 || p.StartedAt == nil {
				t.Errorf("task %d: %+v", n, p)
			}
		}
		limited := a.must(a.start(vars{"name": "caller", "input": 2})).InstanceID
		a.until("the task waits for its limit", func() bool { p := pending(limited); return len(p) == 1 && p[0].State == "LIMITED" })
		flaky := a.must(a.start(vars{"name": "caller", "input": 1})).InstanceID
		a.until("the task is retried", func() bool { p := pending(flaky); return len(p) == 1 && p[0].State == "RETRYING" })
		if p := pending(flaky)[0]; p.NextAttemptAt == nil || p.LastError == nil || !strings.HasPrefix(*p.LastError, "line is busy") {
			t.Errorf("got %+v", p)
		}
	})
}

// TestQueued: the workers are there and do not get round to it, here because somebody has paused their queues in a
// River tool.
func TestQueued(t *testing.T) {
	a := serve(t)
	a.worker(nil, Echo.Handler(echo))
	a.ended(a.must(a.start(vars{"name": "echo", "input": 1})).InstanceID) // the queues exist
	river, err := river.NewClient(riverpgxv5.New(a.pool), &river.Config{Schema: "river", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := river.QueuePause(a.ctx, "*", nil); err != nil {
		t.Fatal(err)
	}
	// Those that come before the workers have heard of it go through.
	var w waiting
	a.until("an instance is queued", func() bool {
		got := a.get(a.must(a.start(vars{"name": "echo", "input": 1})).InstanceID)
		w = got.Waiting
		return w.Kind == "QUEUED" && strings.Contains(w.Text, "the workers that accept echo are busy")
	})
	if w.Since == nil || w.Subject == nil || *w.Subject != "echo" {
		t.Errorf("got %+v", w)
	}
}

func fail(ok bool, what string) string {
	if ok {
		return ""
	}
	return what
}
