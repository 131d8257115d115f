package durabletest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/durabletest"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	Program durable.Orchestration[string, string] = "program"
	Other   durable.Orchestration[string, string] = "other"
	Work    durable.Activity[string, string]      = "work"
	Note    durable.Event[string]                 = "note"
)

// world is where a program runs: a worker on Postgres, or durabletest.
type world interface {
	start(id, in string, opts ...durable.StartOption)
	// shows waits until the instance's custom status is this text.
	shows(id, status string)
	note(id, text string)
	terminate(id, reason string)
	cancel(id, reason string)
	wait(id string) (string, error)
	history(id string) []history.Event
}

// program is something that runs in both.
type program struct {
	name     string
	handlers func() []durable.Handler
	script   func(w world)
	// instances whose histories must be the same.
	instances []string
}

// startOnly is the script of programs that need nothing from outside.
func startOnly(w world) {
	w.start("a", "x")
	_, _ = w.wait("a")
}

func workOr(fail func(in string, attempt int) error, opts ...durable.HandlerOption) durable.Handler {
	return Work.Handler(func(ctx context.Context, in string) (string, error) {
		task, _ := durable.Task(ctx)
		if err := fail(in, task.Attempt); err != nil {
			return "", err
		}
		return "did " + in, nil
	}, opts...)
}

func fine(string, int) error { return nil }

func programs() []program {
	return []program{
		{name: "Sequence", instances: []string{"a"}, script: startOnly, handlers: func() []durable.Handler {
			return []durable.Handler{workOr(fine), Program.Handler(func(ctx *durable.Context, in string) (string, error) {
				one, err := Work.Call(ctx, in)
				if err != nil {
					return "", err
				}
				two, err := durable.Step(ctx, "think", func(context.Context) (string, error) { return one + "!", nil })
				if err != nil {
					return "", err
				}
				if err := ctx.Sleep(5 * time.Millisecond); err != nil {
					return "", err
				}
				return Work.Call(ctx, two)
			})}
		}},
		{name: "FanOut", instances: []string{"a"}, script: startOnly, handlers: func() []durable.Handler {
			return []durable.Handler{workOr(fine), Program.Handler(func(ctx *durable.Context, in string) (string, error) {
				out, err := Work.Map(ctx, []string{in, "b", "c", "d", "e", "f"})
				return strings.Join(out, ","), err
			})}
		}},
		{name: "RetriesAndFailures", instances: []string{"a"}, script: startOnly, handlers: func() []durable.Handler {
			work := workOr(func(in string, attempt int) error {
				switch {
				case in == "declined":
					return fmt.Errorf("card: %w", ErrDeclined)
				case in == "panic":
					panic("no")
				case attempt < 3 || in == "never":
					return errors.New("busy")
				}
				return nil
			}, durable.Retry{Attempts: 3, Initial: time.Millisecond, Jitter: -1})
			return []durable.Handler{work, Program.Handler(func(ctx *durable.Context, in string) (string, error) {
				_, e1 := Work.Call(ctx, "soon")
				_, e2 := Work.Call(ctx, "never")
				_, e3 := Work.Call(ctx, "declined")
				_, e4 := Work.Call(ctx, "panic", durable.Retry{Attempts: 1})
				_, e5 := durable.Step(ctx, "fails", func(context.Context) (int, error) { return 0, errors.New("in a step") },
					durable.Retry{Attempts: 2, Initial: time.Millisecond})
				return in, errors.Join(e1, e2, e3, e4, e5)
			})}
		}},
		{name: "Events", instances: []string{"a"}, handlers: func() []durable.Handler {
			return []durable.Handler{Program.Handler(func(ctx *durable.Context, _ string) (string, error) {
				ctx.SetStatus("ready")
				one, err := Note.Wait(ctx)
				if err != nil {
					return "", err
				}
				_, ok, err := Note.WaitFor(ctx, 5*time.Millisecond)
				if ok || err != nil {
					return "", errors.Join(err, errors.New("an event from nowhere"))
				}
				ctx.SetStatus("again")
				two, ok, err := Note.WaitFor(ctx, time.Hour)
				return fmt.Sprint(one, two, ok), err
			})}
		}, script: func(w world) {
			w.start("a", "")
			w.shows("a", "ready")
			w.note("a", "one")
			w.shows("a", "again")
			w.note("a", "two")
			_, _ = w.wait("a")
		}},
		{name: "Children", instances: []string{"a", "b", "a:0.0", "a:0.1"}, handlers: func() []durable.Handler {
			return []durable.Handler{
				Other.Handler(func(ctx *durable.Context, in string) (string, error) {
					switch in {
					case "fail":
						return "", fmt.Errorf("child: %w", ErrLate)
					case "wait":
						ctx.SetStatus("waiting")
						return Note.Wait(ctx)
					}
					return ctx.ParentID() + " of " + in, nil
				}),
				Program.Handler(func(ctx *durable.Context, in string) (string, error) {
					one, e1 := Other.Call(ctx, in)
					_, e2 := Other.Call(ctx, "fail")
					two, e3 := Other.Call(ctx, in, durable.ID("b")) // is running
					if !errors.Is(e2, ErrLate) || !errors.Is(e3, durable.ErrExists) {
						return "", fmt.Errorf("got %w and %w", e2, e3)
					}
					if err := Note.Send(ctx, "b", "hello"); err != nil {
						return "", err
					}
					if err := Note.Send(ctx, "nobody", "hello"); err != nil {
						return "", err
					}
					return one + two, e1
				}),
			}
		}, script: func(w world) {
			w.start("b", "wait", durable.Version("other"))
			w.shows("b", "waiting")
			w.start("a", "x")
			_, _ = w.wait("a")
			_, _ = w.wait("b")
		}},
		{name: "ContinueAsNew", instances: []string{"a"}, handlers: func() []durable.Handler {
			return []durable.Handler{Program.Handler(func(ctx *durable.Context, in string) (string, error) {
				if ctx.Generation() == 0 {
					ctx.SetStatus("ready")
					one, err := Note.Wait(ctx)
					if err != nil {
						return "", err
					}
					ctx.SetStatus("one")
					if _, err := durable.Event[string]("go on").Wait(ctx); err != nil {
						return "", err
					}
					return Program.ContinueAsNew(ctx, in+one)
				}
				one, err := Note.Wait(ctx)
				if err != nil {
					return "", err
				}
				if len(in) < 4 {
					return Program.ContinueAsNew(ctx, in+one)
				}
				return in + one, nil
			})}
		}, script: func(w world) {
			w.start("a", "")
			w.shows("a", "ready")
			for _, s := range []string{"1", "2", "3", "4", "5", "6"} {
				w.note("a", s)
			}
			w.shows("a", "one")
			w.note("a", "go on")
			_, _ = w.wait("a")
		}},
		{name: "Terminated", instances: []string{"a"}, handlers: func() []durable.Handler {
			return []durable.Handler{Program.Handler(func(ctx *durable.Context, _ string) (string, error) {
				ctx.SetStatus("ready")
				return "", ctx.Sleep(time.Hour)
			})}
		}, script: func(w world) {
			w.start("a", "")
			w.shows("a", "ready")
			w.terminate("a", "enough")
			_, _ = w.wait("a")
		}},
		{name: "Canceled", instances: []string{"a", "a-child"}, handlers: func() []durable.Handler {
			return []durable.Handler{
				Program.Handler(func(ctx *durable.Context, in string) (string, error) {
					if !ctx.Patched("changed") {
						return "", errors.New("not patched")
					}
					inner, cancel := durable.WithTimeout(ctx, 5*time.Millisecond)
					defer cancel()
					_, err := Note.Wait(inner)
					if !errors.Is(err, durable.ErrTimeout) {
						return "", fmt.Errorf("got %w", err)
					}
					ctx.SetStatus("ready")
					_, err = Other.Call(ctx, in, durable.ID("a-child"))
					_, undo := Note.Wait(durable.WithoutCancel(ctx))
					return "", errors.Join(err, undo)
				}),
				Other.Handler(func(ctx *durable.Context, _ string) (string, error) { return "", ctx.Sleep(time.Hour) }),
			}
		}, script: func(w world) {
			w.start("a", "")
			w.shows("a", "ready")
			w.cancel("a", "enough")
			_, _ = w.wait("a-child")
			w.note("a", "undone")
			_, _ = w.wait("a")
		}},
		{name: "Branches", instances: []string{"a"}, script: startOnly, handlers: func() []durable.Handler {
			return []durable.Handler{Program.Handler(func(ctx *durable.Context, in string) (string, error) {
				slow, quick := ctx.Timer(time.Hour), durable.Go(ctx, func(ctx *durable.Context) (string, error) {
					return in + "!", ctx.Sleep(3 * time.Millisecond)
				})
				if durable.First(slow, quick) != durable.Awaitable(quick) {
					return "", errors.New("the hour was first")
				}
				out, err := quick.Await()
				return fmt.Sprint(out, ctx.Rand().IntN(10) < 10), err
			})}
		}},
		{name: "Panics", instances: []string{"a"}, script: startOnly, handlers: func() []durable.Handler {
			return []durable.Handler{Program.Handler(func(*durable.Context, string) (string, error) {
				return "", errors.Join(errors.New("one"), fmt.Errorf("two: %w", ErrDeclined))
			})}
		}},
	}
}

var update = flag.Bool("update", false, "record the histories of programs that have none in testdata; what is there stands for what is in people's databases")

// TestSameHistoryAsOnPostgres: the same programs, run by a worker on Postgres and in memory, leave the same histories,
// and each history can be taken up by the other's code.
func TestSameHistoryAsOnPostgres(t *testing.T) {
	t.Parallel()
	for _, p := range programs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			memory := &inMemory{t: t, env: durabletest.New(t, p.handlers()...), runs: map[string]*durabletest.Run[string]{}}
			p.script(memory)
			worker := onPostgres(t, p.handlers())
			p.script(worker)
			if _, err := os.Stat(recorded(p.name)); *update && errors.Is(err, fs.ErrNotExist) {
				worker.save(recorded(p.name), p.instances)
			}
			for _, id := range p.instances {
				want, got := outline(worker.history(id)), outline(memory.history(id))
				if !slices.Equal(got, want) {
					t.Errorf("the history of %q differs.\non Postgres:\n  %s\nin memory:\n  %s", id, strings.Join(want, "\n  "), strings.Join(got, "\n  "))
				}
				wantOut, wantErr := worker.wait(id)
				gotOut, gotErr := memory.wait(id)
				if wantOut != gotOut || fmt.Sprint(wantErr) != fmt.Sprint(gotErr) {
					t.Errorf("the outcome of %q is %q, %v in memory, and %q, %v on Postgres", id, gotOut, gotErr, wantOut, wantErr)
				}
			}
		})
	}
}

// TestRecordedHistories: histories that older versions of the engine and of this package have recorded still fit.
func TestRecordedHistories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(recorded("*"))
	if err != nil || len(files) < 9 {
		t.Fatalf("recorded are %q, %v", files, err)
	}
	all := programs()
	for _, file := range files {
		n := slices.IndexFunc(all, func(p program) bool { return recorded(p.name) == file })
		if n < 0 {
			t.Errorf("%s is of no program", file)
			continue
		}
		t.Run(all[n].name, func(t *testing.T) {
			t.Parallel()
			durabletest.Replay(t, file, all[n].handlers()...)
		})
	}
}

func recorded(program string) string { return filepath.Join("testdata", program+".jsonl") }

// outline is what of a history must be the same: the kinds, names, ids and values of events, in their order. Where
// turns begin depends on how fast things come, and so does the order of answers that come together.
func outline(events []history.Event) []string {
	var out []string
	answers := 0 // at the end of out
	for _, e := range events {
		line, answer := history.TypeName(e), true
		switch e := e.(type) {
		case *history.OrchestratorStarted:
			continue
		case *history.TaskCompleted:
			line += fmt.Sprintf(" %d %s, %d attempts, %d earlier", e.TaskID, e.Result.Data(), e.Attempts, len(e.Earlier))
		case *history.TaskFailed:
			line += fmt.Sprintf(" %d %s, %d attempts, %d earlier", e.TaskID, failed(e.Failure), e.Attempts, len(e.Earlier))
		case *history.TimerFired:
			line += fmt.Sprint(" ", e.TimerID)
		case *history.SubOrchestrationInstanceCompleted:
			line += fmt.Sprintf(" %d %s", e.TaskID, e.Result.Data())
		case *history.SubOrchestrationInstanceFailed:
			line += fmt.Sprintf(" %d %s", e.TaskID, failed(e.Failure))
		default:
			answer = false
			switch e := e.(type) {
			case *history.ExecutionStarted:
				line += fmt.Sprintf(" %s %s %q %s %d parent %v", e.InstanceID, e.Name, e.Version, e.Input.Data(), e.Generation, e.Parent)
			case *history.ExecutionCompleted:
				line += fmt.Sprintf(" %d %s %s %s %q", e.ID, e.Status, e.Result.Data(), failed(e.Failure), e.NewVersion)
				for _, c := range e.CarryOver {
					line += fmt.Sprintf(" +%s %s", c.Name, c.Input.Data())
				}
			case *history.ExecutionTerminated:
				line += " " + e.Reason
			case *history.TaskScheduled:
				line += fmt.Sprintf(" %d %s %s step %v %v", e.ID, e.Name, e.Input.Data(), e.Step, e.Retry)
			case *history.TimerCreated:
				line += fmt.Sprint(" ", e.ID)
			case *history.SubOrchestrationInstanceCreated:
				line += fmt.Sprintf(" %d %s %s %s", e.ID, e.InstanceID, e.Name, e.Input.Data())
			case *history.EventSent:
				line += fmt.Sprintf(" %d %s %s %s", e.ID, e.InstanceID, e.Name, e.Input.Data())
			case *history.EventRaised:
				line += fmt.Sprintf(" %s %s", e.Name, e.Input.Data())
			}
		}
		out = append(out, line)
		if answers++; !answer {
			answers = 0
		}
		slices.Sort(out[len(out)-answers:])
	}
	return out
}

func failed(f *history.Failure) string {
	if f == nil {
		return "-"
	}
	return fmt.Sprintf("%s %q %v (%s)", f.Type, f.Message, f.NonRetriable, failed(f.Inner))
}

// --- in memory -----------------------------------------------------------------------------------

type inMemory struct {
	t    *testing.T
	env  *durabletest.Env
	runs map[string]*durabletest.Run[string]
}

func (w *inMemory) run(id string) *durabletest.Run[string] {
	if r := w.runs[id]; r != nil {
		return r
	}
	return durabletest.Instance(w.env, Program, id)
}

func (w *inMemory) start(id, in string, opts ...durable.StartOption) {
	w.runs[id] = durabletest.Start(w.env, which(opts), in, append(opts, durable.ID(id))...)
}

func (w *inMemory) shows(id, status string) {
	w.env.Settle()
	for string(w.run(id).State().CustomStatus) != `"`+status+`"` {
		if w.env.Advance(time.Millisecond); w.env.Now().Year() > 2000 {
			w.t.Fatalf("%s never shows %s", id, status)
		}
	}
}

func (w *inMemory) note(id, text string) {
	if text == "go on" {
		durabletest.Raise(w.run(id), durable.Event[string]("go on"), "")
		return
	}
	durabletest.Raise(w.run(id), Note, text)
}

func (w *inMemory) terminate(id, reason string) {
	if err := w.run(id).Terminate(reason); err != nil {
		w.t.Fatal(err)
	}
}

func (w *inMemory) cancel(id, reason string) {
	if err := w.run(id).Cancel(reason); err != nil {
		w.t.Fatal(err)
	}
}

func (w *inMemory) wait(id string) (string, error)    { return w.run(id).Await() }
func (w *inMemory) history(id string) []history.Event { return w.run(id).History() }

// which lets a script start the other orchestration too: by asking for a version of that name.
func which(opts []durable.StartOption) durable.Orchestration[string, string] {
	for n, o := range opts {
		if o == durable.StartOption(durable.Version("other")) {
			opts[n] = durable.Version("")
			return Other
		}
	}
	return Program
}

// --- on Postgres ---------------------------------------------------------------------------------

type postgres struct {
	t      *testing.T
	ctx    context.Context
	client *durable.Client
	e      *engine.Engine
}

func onPostgres(t *testing.T, handlers []durable.Handler) *postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	pool := weirtest.Pool(t)
	client, err := durable.NewClient(pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	e, err := engine.Open(ctx, engine.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	w, err := durable.NewWorker(pool, &durable.Config{Name: "worker", Logger: slog.New(slog.DiscardHandler)}, handlers...)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	var ended atomic.Pointer[error]
	done := make(chan struct{})
	go func() { err := w.Run(running); ended.Store(&err); close(done) }()
	t.Cleanup(func() {
		stop()
		<-done
		if err := *ended.Load(); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	return &postgres{t, ctx, client, e}
}

func (w *postgres) start(id, in string, opts ...durable.StartOption) {
	if _, err := which(opts).Start(w.ctx, w.client, in, append(opts, durable.ID(id))...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *postgres) shows(id, status string) {
	watch, err := Program.Instance(w.client, id).Watch(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	defer watch.Close()
	for {
		s, err := Program.Instance(w.client, id).State(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		if string(s.CustomStatus) == `"`+status+`"` {
			return
		}
		if _, err := watch.Next(w.ctx); err != nil {
			w.t.Fatalf("%s never shows %s: %v", id, status, err)
		}
	}
}

func (w *postgres) note(id, text string) {
	event := Note
	if text == "go on" {
		event, text = "go on", ""
	}
	if err := event.Raise(w.ctx, w.client, id, text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *postgres) terminate(id, reason string) {
	if err := Program.Instance(w.client, id).Terminate(w.ctx, reason); err != nil {
		w.t.Fatal(err)
	}
}

func (w *postgres) cancel(id, reason string) {
	if err := Program.Instance(w.client, id).Cancel(w.ctx, reason); err != nil {
		w.t.Fatal(err)
	}
}

func (w *postgres) wait(id string) (string, error) {
	return Program.Instance(w.client, id).Wait(w.ctx)
}

func (w *postgres) save(file string, ids []string) {
	var lines []byte
	for _, id := range ids {
		i, err := w.e.Get(w.ctx, "default", id)
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := w.e.Record(w.ctx, i)
		if err != nil {
			w.t.Fatal(err)
		}
		events, err := history.Decode(history.JSON, r.Events)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range events {
			if failed, ok := e.(*history.TaskFailed); ok {
				failed.Failure.Stack = "" // of this machine
			}
		}
		if r.Events, err = history.Encode(events); err != nil {
			w.t.Fatal(err)
		}
		line, err := json.Marshal(r)
		if err != nil {
			w.t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := os.WriteFile(file, lines, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *postgres) history(id string) []history.Event {
	i, err := w.e.Get(w.ctx, "default", id)
	if err != nil {
		w.t.Fatal(err)
	}
	numbered, _, err := w.e.History(w.ctx, i, 0, 10_000, true)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(numbered, func(a, b engine.NumberedEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	var out []history.Event
	for _, n := range numbered {
		out = append(out, n.Event)
	}
	return out
}
