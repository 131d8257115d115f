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

const (
	Caller durable.Orchestration[string, string] = "caller"
	Callee durable.Orchestration[string, string] = "callee"
	Tax    durable.Activity[string, string]      = "tax"
)

// versionOf answers with the version that it is told it has.
func versionOf(ctx *durable.Context, _ string) (string, error) { return "<" + ctx.Version() + ">", nil }

func tax(version durable.Version) durable.Handler {
	return Tax.Handler(func(ctx context.Context, in string) (string, error) {
		task, _ := durable.Task(ctx)
		return fmt.Sprintf("%s by %q as %q", in, version, task.Version), nil
	}, version)
}

func TestDefaultVersion(t *testing.T) {
	t.Parallel()
	t.Run("OfTheClient", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(versionOf), Callee.Handler(versionOf, durable.Version("1")), Callee.Handler(versionOf, durable.Version("2")))
		client, err := durable.NewClient(b.pool, durable.DefaultVersion("2"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		for want, opts := range map[string][]durable.StartOption{
			"<2>": nil, "<1>": {durable.Version("1")}, "<>": {durable.Version("")},
		} {
			inst, err := Callee.Start(b.ctx, client, "", opts...)
			if err != nil {
				t.Fatal(err)
			}
			if got := wait(b, inst); got != want {
				t.Errorf("%v: got %s, want %s", opts, got, want)
			}
		}
		if got := wait(b, start(b, Callee, "")); got != "<>" {
			t.Errorf("a client without a default started %s", got)
		}
		s := Callee.Schedule(client, "hourly")
		if err := s.Put(b.ctx, "", durable.Every(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if state, err := s.State(b.ctx); err != nil || state.Version != "2" {
			t.Errorf("the schedule has version %q, %v", state.Version, err)
		}
	})
	t.Run("OfTheWorkersChildren", func(t *testing.T) {
		b := setup(t)
		b.worker(&durable.Config{Versions: durable.Versions{Default: "2"}},
			Callee.Handler(versionOf), Callee.Handler(versionOf, durable.Version("1")), Callee.Handler(versionOf, durable.Version("2")),
			Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
				var out []string
				for _, opts := range [][]durable.CallOption{nil, {durable.Version("1")}, {durable.Version("")}} {
					got, err := Callee.Call(ctx, "", opts...)
					if err != nil {
						return "", err
					}
					out = append(out, got)
				}
				return strings.Join(out, " "), nil
			}))
		if got, want := wait(b, start(b, Caller, "")), "<2> <1> <>"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("CurrentIsThatOfHandlersWithoutOne", func(t *testing.T) {
		b := setup(t)
		b.worker(&durable.Config{Versions: durable.Versions{Current: "3"}}, Callee.Handler(versionOf), Callee.Handler(versionOf, durable.Version("2")))
		for _, v := range []durable.Version{"2", "3"} {
			if got, want := wait(b, start(b, Callee, "", v)), "<"+string(v)+">"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
	t.Run("Bad", func(t *testing.T) {
		b := setup(t)
		for field, versions := range map[string]durable.Versions{
			"Versions.Current": {Current: "1\n"}, "Versions.Default": {Default: durable.Version(strings.Repeat("1", 41))},
			"Versions.Match": {Match: "ROUGHLY"}, "Versions.Unmatched": {Unmatched: "PERHAPS"},
		} {
			_, err := durable.NewWorker(b.pool, &durable.Config{Versions: versions}, Callee.Handler(versionOf))
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: got %v", field, err)
			}
		}
		_, err := durable.NewWorker(b.pool, &durable.Config{Versions: durable.Versions{Current: "2"}},
			Callee.Handler(versionOf), Callee.Handler(versionOf, durable.Version("2")))
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("two handlers of one version: got %v", err)
		}
	})
}

func TestCompareVersionInCode(t *testing.T) {
	b := setup(t)
	b.worker(&durable.Config{Versions: durable.Versions{Current: "1.10"}}, Callee.Handler(func(ctx *durable.Context, _ string) (string, error) {
		return fmt.Sprint(ctx.CompareVersion("1.9"), ctx.CompareVersion("1.10.0"), ctx.CompareVersion("2"), ctx.CompareVersion("")), nil
	}))
	if got, want := wait(b, start(b, Callee, "", durable.Version("1.10"))), "1 0 -1 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestActivitiesInSeveralVersions(t *testing.T) {
	t.Parallel()
	calls := func(opts ...durable.CallOption) func(ctx *durable.Context, _ string) (string, error) {
		return func(ctx *durable.Context, _ string) (string, error) { return Tax.Call(ctx, "x", opts...) }
	}
	t.Run("ByTheInstancesVersion", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, tax(""), tax("1"), tax("2"), Callee.Handler(calls(), durable.Version("1")), Callee.Handler(calls(), durable.Version("2")),
			Callee.Handler(calls(), durable.Version("3")), Callee.Handler(calls()))
		for v, want := range map[durable.Version]string{"1": `x by "1" as "1"`, "2": `x by "2" as "2"`, "3": `x by "" as ""`, "": `x by "" as ""`} {
			if got := wait(b, start(b, Callee, "", v)); got != want {
				t.Errorf("version %q: got %s, want %s", v, got, want)
			}
		}
		b.atRest()
	})
	t.Run("ByTheCallOnOtherWorkers", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(calls(durable.Version("2")), durable.Version("1")))
		b.worker(nil, tax("1"))
		b.worker(nil, tax("2"))
		for range 10 {
			if got, want := wait(b, start(b, Callee, "", durable.Version("1"))), `x by "2" as "2"`; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		b.atRest()
	})
	t.Run("WaitsForAWorkerThatHasIt", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, tax("1"), Callee.Handler(calls(durable.Version("2"))))
		inst := start(b, Callee, "")
		b.waitsFor(inst.ID(), "No worker accepts activity tax 2.")
		b.worker(nil, tax("2"))
		if got, want := wait(b, inst), `x by "2" as "2"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("RetriesStayWithTheVersion", func(t *testing.T) {
		b := setup(t)
		flaky := Tax.Handler(func(ctx context.Context, in string) (string, error) {
			task, _ := durable.Task(ctx)
			if task.Attempt < 3 {
				return "", errors.New("not yet")
			}
			return fmt.Sprintf("%s in attempt %d as %q", in, task.Attempt, task.Version), nil
		}, durable.Version("2"), durable.Retry{Attempts: 3, Initial: 1200 * time.Millisecond, Jitter: -1})
		b.worker(nil, tax("1"), flaky, Callee.Handler(calls(), durable.Version("2")))
		if got, want := wait(b, start(b, Callee, "", durable.Version("2"))), `x in attempt 3 as "2"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		b.atRest()
	})
	t.Run("Bad", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, tax(""), Callee.Handler(calls(durable.Version("2\n"))))
		if _, err := start(b, Callee, "").Wait(b.ctx); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "version") {
			t.Errorf("got %v", err)
		}
		if _, err := durable.NewWorker(b.pool, nil, tax("1"), tax("1")); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("two handlers of one version: got %v", err)
		}
	})
}

func TestOptionsOfChildren(t *testing.T) {
	t.Parallel()
	t.Run("Tags", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(func(ctx *durable.Context, _ string) (string, error) { return fmt.Sprint(ctx.Tags()), nil }),
			Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
				return Callee.Call(ctx, "", durable.ID("kid"), durable.Tags{"customer": "42"})
			}))
		if got, want := wait(b, start(b, Caller, "")), "map[customer:42]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		state, err := Callee.Instance(b.client, "kid").State(b.ctx)
		if err != nil || state.Tags["customer"] != "42" {
			t.Errorf("tags %v, %v", state.Tags, err)
		}
	})
	t.Run("BadTags", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(versionOf), Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
			return Callee.Call(ctx, "", durable.Tags{"": "42"})
		}))
		if _, err := start(b, Caller, "").Wait(b.ctx); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "tags") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Timeout", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(func(ctx *durable.Context, _ string) (string, error) { return Item.Wait(ctx) }),
			Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
				_, err := Callee.Call(ctx, "", durable.ID("kid"), durable.Timeout(50*time.Millisecond))
				return fmt.Sprint(errors.Is(err, durable.ErrTimeout), errors.Is(err, durable.ErrCanceled)), nil
			}))
		if got, want := wait(b, start(b, Caller, "")), "true false"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if _, err := Callee.Instance(b.client, "kid").Wait(b.ctx); !errors.Is(err, durable.ErrCanceled) {
			t.Errorf("the child ended with %v", err)
		}
	})
	t.Run("TimeoutOfEachAttempt", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(func(ctx *durable.Context, _ string) (string, error) { return Item.Wait(ctx) }),
			Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
				_, err := Callee.Call(ctx, "", durable.Timeout(20*time.Millisecond), durable.Retry{Attempts: 3, Initial: time.Millisecond})
				return fmt.Sprint(errors.Is(err, durable.ErrTimeout)), nil
			}))
		if got, want := wait(b, start(b, Caller, "", durable.ID("p"))), "true"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if n := b.count(`SELECT count(*) FROM weir.instances WHERE name = 'callee'`); n != 3 {
			t.Errorf("%d children", n)
		}
	})
	t.Run("Overall", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(func(*durable.Context, string) (string, error) { return "", errors.New("no luck") }),
			Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
				_, err := Callee.Call(ctx, "", durable.Overall(50*time.Millisecond), durable.Retry{Initial: time.Hour})
				return fmt.Sprint(errors.Is(err, durable.ErrTimeout)), nil
			}))
		if got, want := wait(b, start(b, Caller, "")), "true"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("NegativeTimeout", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Callee.Handler(versionOf), Caller.Handler(func(ctx *durable.Context, _ string) (string, error) {
			return Callee.Call(ctx, "", durable.Timeout(-1))
		}))
		if _, err := start(b, Caller, "").Wait(b.ctx); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "Timeout") {
			t.Errorf("got %v", err)
		}
	})
}

// waitsFor waits until an instance has the reason.
func (b *bundle) waitsFor(id, text string) {
	b.t.Helper()
	var why durable.Reason
	for inst := Callee.Instance(b.client, id); !strings.Contains(why.Text, text) || why.Kind != "NO_WORKER"; {
		if b.ctx.Err() != nil {
			b.t.Fatalf("it never waited for %q, but: %s: %s", text, why.Kind, why.Text)
		}
		var err error
		if why, err = inst.Reason(b.ctx); err != nil && b.ctx.Err() == nil {
			b.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
