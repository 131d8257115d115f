package cli_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/cli"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/durabletest"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

const (
	Order   durable.Orchestration[string, int] = "order"
	Item    durable.Orchestration[string, int] = "item"
	Load    durable.Activity[string, string]   = "load"
	Renamed durable.Activity[string, string]   = "load-all"
	Paid    durable.Event[string]              = "paid"
)

// TestMain is two programs: the tests, and, where `weir replay` starts it, the worker that is to be deployed.
func TestMain(m *testing.M) {
	if os.Getenv("WEIR_REPLAY") == "1" {
		if err := candidate(os.Getenv("CANDIDATE")); err != nil {
			fmt.Fprintln(os.Stderr, "candidate:", err)
			os.Exit(1)
		}
		return
	}
	pgtest.Main(m)
}

// order is the code that is deployed: it loads, has children, waits for a payment.
func order(load durable.Activity[string, string]) func(*durable.Context, string) (int, error) {
	return func(ctx *durable.Context, in string) (int, error) {
		text, err := load.Call(ctx, in)
		if err != nil {
			return 0, err
		}
		n, err := Item.Call(ctx, in)
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(in, "wait") {
			if _, err := Paid.Wait(ctx); err != nil {
				return 0, err
			}
		}
		return n + len(text), nil
	}
}

func item(ctx *durable.Context, in string) (int, error) {
	return len(in), ctx.Sleep(time.Millisecond)
}

// size is that of a value which is stored on its own.
const size = 100_000

func handlers(load durable.Activity[string, string]) []durable.Handler {
	return []durable.Handler{
		Order.Handler(order(load)), Order.Handler(order(load), durable.Version("2")), Item.Handler(item),
		load.Handler(func(context.Context, string) (string, error) { return strings.Repeat("x", size), nil }),
	}
}

// candidate is the program of a worker. The database that it names does not answer: nothing may need it.
func candidate(kind string) error {
	ctx := context.Background()
	fmt.Print("candidate begins") // no end of the line: the protocol must cope
	hub, hs := "", handlers(Load)
	switch kind {
	case "renamed":
		hs = handlers(Renamed)
	case "panics":
		hs[0] = Order.Handler(func(ctx *durable.Context, _ string) (int, error) { panic("not yet written") })
	case "without version 2":
		hs = append(hs[:1], hs[2:]...)
	case "hangs":
		hs[0] = Order.Handler(func(*durable.Context, string) (int, error) { select {} })
	case "dies":
		return errors.New("no configuration")
	case "other hub":
		hub = "elsewhere"
	}
	pool, err := pgxpool.New(ctx, "postgres://nobody@127.0.0.1:1/none")
	if err != nil {
		return err
	}
	defer pool.Close()
	logger := slog.New(slog.NewTextHandler(os.Stdout, nil))
	w, err := durable.NewWorker(pool, &durable.Config{Hub: hub, Logger: logger}, hs...)
	if err != nil {
		return err
	}
	if kind != "with clients" {
		return w.Run(ctx)
	}
	// A program that has another worker, and starts an instance as soon as it can.
	other, err := durable.NewWorker(pool, &durable.Config{Hub: "elsewhere"})
	if err != nil {
		return err
	}
	client, err := durable.NewClient(pool)
	if err != nil {
		return err
	}
	ended := make(chan error, 3)
	go func() { ended <- other.Run(ctx) }()
	go func() { _, err := Order.Start(ctx, client, "x"); ended <- err }()
	go func() { ended <- w.Run(ctx) }()
	return errors.Join(<-ended, <-ended, <-ended)
}

// deployed makes a database with histories: 5 finished orders, 2 that wait, 1 that was terminated, 1 of version 2, and
// their items.
func deployed(t *testing.T) *engine.Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	pool := weirtest.Pool(t)
	client, err := durable.NewClient(pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w, err := durable.NewWorker(pool, &durable.Config{Logger: slog.New(slog.DiscardHandler)}, handlers(Load)...)
	if err != nil {
		t.Fatal(err)
	}
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(working) }()
	for n := range 5 {
		start(ctx, t, client, fmt.Sprint("done-", n))
	}
	start(ctx, t, client, "two", durable.Version("2"))
	for _, id := range []string{"wait-1", "wait-2", "wait-3"} {
		start(ctx, t, client, id)
	}
	for _, id := range []string{"done-0", "done-1", "done-2", "done-3", "done-4", "two"} {
		if _, err := Order.Instance(client, id).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	e, err := engine.Open(ctx, engine.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for _, id := range []string{"wait-1", "wait-2", "wait-3"} { // until the items have ended, and the orders wait for the payment
		if _, err := e.Wait(ctx, "default", id+":0.1"); err != nil {
			watch, err := Order.Instance(client, id).Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for {
				if _, err := watch.Next(ctx); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Wait(ctx, "default", id+":0.1"); err == nil {
					break
				}
			}
			watch.Close()
		}
	}
	if err := Order.Instance(client, "wait-3").Terminate(ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return e
}

func start(ctx context.Context, t *testing.T, c *durable.Client, id string, opts ...durable.StartOption) {
	t.Helper()
	if _, err := Order.Start(ctx, c, id, append(opts, durable.ID(id))...); err != nil {
		t.Fatal(err)
	}
}

func TestReplay(t *testing.T) {
	e := deployed(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		candidate string
		replay    cli.Replay
		fails     bool
		want, not []string
	}{
		{"same", cli.Replay{}, false, []string{
			"order: 8 histories, 2 of live instances: all match", "order, version 2: 1 histories, 0 of live instances: all match",
			"item: ", "histories match.",
		}, []string{"DO NOT"}},
		{"renamed", cli.Replay{Names: []string{"order"}}, true, []string{
			`instance "wait-1", orchestration "order", RUNNING, step 0`, `- the history has: activity "load"`, `+ the code does:   activity "load-all"`,
			"order: 8 histories, 2 of live instances: 8 DO NOT MATCH", `version "2", COMPLETED, step 0`, "9 of 9 histories do not match",
		}, []string{"item"}},
		{"renamed", cli.Replay{Names: []string{"order"}, Last: 2}, true, []string{
			"wait-1", "wait-2", "order: 2 histories, 2 of live instances: 2 DO NOT MATCH", "3 of 3",
		}, nil},
		{"panics", cli.Replay{Names: []string{"order"}}, true, []string{"not yet written", "replay_test.go", "8 of 9"}, nil},
		{"without version 2", cli.Replay{Names: []string{"order"}}, false, []string{"order, version 2: 1 histories", "does not have this version"}, nil},
		{"with clients", cli.Replay{}, false, []string{"histories match."}, nil},
		{"same", cli.Replay{Names: []string{"order", "oder"}}, true, []string{`has no orchestration "oder"; it has ["item" "order"]`}, nil},
		{"same", cli.Replay{Hub: "nowhere"}, true, []string{"nowhere"}, nil},
		{"hangs", cli.Replay{Answer: 300 * time.Millisecond, Names: []string{"order"}}, true, []string{"did not replay instance", "300ms"}, nil},
		{"dies", cli.Replay{}, true, []string{"ended before it could say what it can run", "no configuration"}, nil},
		{"other hub", cli.Replay{Answer: 2 * time.Second}, true, []string{`workers for the hubs ["elsewhere"], not for "default"`}, nil},
		{"no such program", cli.Replay{Binary: "./no-such-program"}, true, []string{"no-such-program"}, nil},
	} {
		t.Run(c.candidate, func(t *testing.T) {
			t.Setenv("CANDIDATE", c.candidate)
			r := c.replay
			if r.Hub == "" {
				r.Hub = "default"
			}
			if r.Binary == "" {
				r.Binary = self
			}
			if r.Last == 0 {
				r.Last = 200
			}
			if r.Answer == 0 {
				r.Answer = time.Minute
			}
			var out strings.Builder
			err := r.Run(t.Context(), e, &out)
			text := out.String()
			if err != nil {
				text += err.Error()
			}
			if (err != nil) != c.fails {
				t.Errorf("the error is %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("it does not say %q:\n%s", w, text)
				}
			}
			for _, w := range c.not {
				if strings.Contains(text, w) {
					t.Errorf("it says %q:\n%s", w, text)
				}
			}
		})
	}
}

// broken collects the errors of a test.
type broken struct {
	testing.TB
	errors []string
}

func (b *broken) Errorf(format string, args ...any) {
	b.errors = append(b.errors, fmt.Sprintf(format, args...))
}
func (b *broken) Helper() {}

// TestSave: saved histories can be replayed in a test, with their large values.
func TestSave(t *testing.T) {
	t.Parallel()
	e := deployed(t)
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	var out strings.Builder
	r := cli.Replay{Hub: "default", Names: []string{"order"}, Last: 200, Save: file}
	if err := r.Run(t.Context(), e, &out); err != nil {
		t.Fatal(err)
	}
	if want := "9 histories are saved in " + file; !strings.Contains(out.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, out.String())
	}
	if info, err := os.Stat(file); err != nil || info.Size() < 6*size {
		t.Errorf("the file is %v, %v", info, err)
	}
	durabletest.Replay(t, file, handlers(Load)...)
	b := &broken{TB: t}
	durabletest.Replay(b, file, handlers(Renamed)...)
	if len(b.errors) != 9 || !strings.Contains(b.errors[0], `the code does:   activity "load-all"`) {
		t.Errorf("changed code gives %d errors: %q", len(b.errors), b.errors)
	}
	b = &broken{TB: t}
	durabletest.Replay(b, file, Item.Handler(item))
	if len(b.errors) != 9 || !strings.Contains(b.errors[0], "no handler") {
		t.Errorf("without the handler: %q", b.errors)
	}
}
