package durable_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/internal/otlptest"
)

// collector is a collector, and an exporter that sends to it.
type collector struct {
	*otlptest.Collector
	b        *bundle
	exporter *otlp.Exporter
}

func (b *bundle) collector(env ...string) *collector {
	c := &collector{Collector: otlptest.New(b.t), b: b}
	cfg, err := otlp.FromEnv(c.Env(env...))
	if err != nil {
		b.t.Fatal(err)
	}
	cfg.Logger = b.logger
	c.exporter = otlp.New(cfg)
	b.t.Cleanup(func() {
		if err := c.exporter.Close(context.Background()); err != nil {
			b.t.Error(err)
		}
	})
	return c
}

func (c *collector) flush() {
	if err := c.exporter.Flush(c.b.ctx); err != nil {
		c.b.t.Fatal(err)
	}
}

// within returns a context as of a caller that is traced, or is not.
func (b *bundle) within(n byte, sampled bool) (context.Context, trace.SpanContext) {
	c := otlptest.Within(n, sampled)
	return trace.ContextWithSpanContext(b.ctx, c), c
}

// traced is a client that makes spans, and the option of workers that do.
func (b *bundle) traced(c *collector, ratio float64) (*durable.Client, durable.Tracing) {
	tracing := durable.Tracing{Sink: c.exporter, Ratio: ratio}
	client, err := durable.NewClient(b.pool, durable.WithTracing(tracing))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	return client, tracing
}

const (
	Journey durable.Orchestration[int, string] = "journey"
	Stage   durable.Orchestration[int, int]    = "stage"
	Flaky   durable.Activity[int, string]      = "flaky"
	Doomed  durable.Activity[int, int]         = "doomed"
	Nod     durable.Event[string]              = "nod"
)

// TestSpans follows a call through everything it can pass.
func TestSpans(t *testing.T) {
	b := setup(t)
	c := b.collector("OTEL_SERVICE_NAME", "shop", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	client, tracing := b.traced(c, 0)
	var (
		mu   sync.Mutex
		seen []trace.SpanContext
	)
	note := func(ctx context.Context) {
		mu.Lock()
		seen = append(seen, trace.SpanContextFromContext(ctx))
		mu.Unlock()
	}
	handlers := append(bank(),
		Journey.Handler(func(ctx *durable.Context, n int) (string, error) {
			id, err := Flaky.Call(ctx, n, durable.Retry{Attempts: 3, Initial: time.Millisecond})
			if err != nil {
				return "", err
			}
			if err := ctx.Sleep(time.Millisecond); err != nil {
				return "", err
			}
			if _, err := durable.Step(ctx, "inline", func(ctx context.Context) (int, error) { note(ctx); return 0, nil }); err != nil {
				return "", err
			}
			if _, err := Stage.Call(ctx, 1, durable.ID("journey-child")); err != nil {
				return "", err
			}
			if _, err := Stage.Call(ctx, -1, durable.ID("journey-bad")); err == nil {
				return "", errors.New("the child has not failed")
			}
			if _, err := Deposit.Call(ctx, "a", 3); err != nil {
				return "", err
			}
			if _, err := Nod.Wait(ctx); err != nil {
				return "", err
			}
			return id, nil
		}, durable.Version("2")),
		Stage.Handler(func(ctx *durable.Context, n int) (int, error) {
			if n < 0 {
				return 0, errors.New("no such stage")
			}
			if n < 2 {
				return Stage.ContinueAsNew(ctx, n+1)
			}
			return n, nil
		}),
		Flaky.Handler(func(ctx context.Context, _ int) (string, error) {
			note(ctx)
			if info, _ := durable.Task(ctx); info.Attempt < 2 {
				return "", errors.New("not yet")
			}
			return "done", nil
		}),
	)
	b.worker(&durable.Config{Tracing: tracing}, handlers...)

	ctx, caller := b.within(1, true)
	inst, err := Journey.Start(ctx, client, 1, durable.Version("2"), durable.ID("journey-1"))
	if err != nil {
		t.Fatal(err)
	}
	other, sender := b.within(2, true)
	b.until("it waits for the event", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE id = 'journey-1' AND convert_from(waiting, 'UTF8') LIKE '%nod%'") == 1
	})
	if err := Nod.Raise(other, client, "journey-1", "go"); err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	c.Expect(caller, c.flush,
		"create_orchestration:journey@(2) PRODUCER",
		"  orchestration:journey@(2) SERVER Completed",
		"    activity:flaky CLIENT",
		"      activity:flaky SERVER ERROR not yet",
		"      activity:flaky SERVER",
		"    orchestration:journey:timer INTERNAL",
		"    step:inline INTERNAL",
		"      step:inline INTERNAL",
		"    orchestration:stage CLIENT",
		"      orchestration:stage SERVER ContinuedAsNew",
		"      orchestration:stage SERVER Completed",
		"    orchestration:stage CLIENT ERROR no such stage",
		"      orchestration:stage SERVER ERROR no such stage Failed",
		"    entity:account:deposit CLIENT",
		"      entity:account:deposit SERVER",
	)
	c.Expect(sender, c.flush, "orchestration_event:nod PRODUCER")

	root := c.Find("orchestration:journey@(2)")
	for key, want := range map[string]string{
		"durabletask.type": "orchestration", "durabletask.task.name": "journey", "durabletask.task.version": "2",
		"durabletask.task.instance_id": "journey-1", "weir.hub": "default", "durabletask.task.status": "Completed",
	} {
		if got := otlptest.Attr(root, key).GetStringValue(); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if len(otlptest.Attr(root, "durabletask.task.execution_id").GetStringValue()) != 32 {
		t.Error("no execution id")
	}
	if root.GetTraceState() != "vendor=x" || root.GetFlags()&1 == 0 {
		t.Errorf("state %q, flags %x", root.GetTraceState(), root.GetFlags())
	}
	event := c.Find("orchestration_event:nod")
	if len(root.GetLinks()) != 1 || string(root.GetLinks()[0].GetSpanId()) != string(event.GetSpanId()) {
		t.Errorf("links %v, want one to the event", root.GetLinks())
	}
	if otlptest.Attr(event, "durabletask.event.target_instance_id").GetStringValue() != "journey-1" {
		t.Errorf("the event's attributes are %v", event.GetAttributes())
	}
	if c.Resource("service.name") != "shop" {
		t.Errorf("the service is %q", c.Resource("service.name"))
	}
	// What user code sees is the span that is then sent.
	if len(seen) != 3 {
		t.Fatalf("user code ran %d times", len(seen))
	}
	for _, s := range seen {
		id := s.SpanID()
		if !slices.ContainsFunc(c.Spans(), func(x *tracepb.Span) bool { return string(x.GetSpanId()) == string(id[:]) }) || !s.IsSampled() || s.TraceID() != caller.TraceID() {
			t.Errorf("user code saw %s, which is no span of these", hex.EncodeToString(id[:]))
		}
	}
}

// TestSpansOfEntities: what an entity sends and starts while it carries out an operation is part of that operation's trace, and a
// signal's caller does not wait for it.
func TestSpansOfEntities(t *testing.T) {
	b := setup(t)
	c := b.collector()
	client, tracing := b.traced(c, 0)
	b.worker(&durable.Config{Tracing: tracing}, bank()...)
	ctx, caller := b.within(1, true)
	if err := Forward.Invoke(ctx, client, "a", forward{To: "b", Amount: 3, Start: "errand-1"}); err != nil {
		t.Fatal(err)
	}
	c.Expect(caller, c.flush,
		"entity:account:forward PRODUCER",
		"  entity:account:forward SERVER",
		"    create_orchestration:errand PRODUCER",
		"      orchestration:errand SERVER Completed",
		"    entity:account:deposit SERVER",
	)
	ctx, caller = b.within(2, true)
	if _, err := Withdraw.Ask(ctx, client, "b", 100); !errors.Is(err, ErrShort) {
		t.Fatal(err)
	}
	c.Expect(caller, c.flush,
		"entity:account:withdraw CLIENT ERROR no 100 on the account: insufficient_funds",
		"  entity:account:withdraw SERVER ERROR no 100 on the account: insufficient_funds",
	)
}

// TestSpansElsewhere: an activity that runs in another process than its orchestration, through River, has the same spans.
func TestSpansElsewhere(t *testing.T) {
	b := setup(t)
	c := b.collector()
	client, tracing := b.traced(c, 0)
	seen := make(chan trace.SpanContext, 4)
	b.worker(&durable.Config{Tracing: tracing, Name: "one"},
		Journey.Handler(func(ctx *durable.Context, n int) (string, error) {
			return Flaky.Call(ctx, n, durable.Retry{Attempts: 2, Initial: 1100 * time.Millisecond}) // parked in the database
		}))
	b.worker(&durable.Config{Tracing: tracing, Name: "other"},
		Flaky.Handler(func(ctx context.Context, _ int) (string, error) {
			seen <- trace.SpanContextFromContext(ctx)
			if task, _ := durable.Task(ctx); task.Attempt == 1 {
				return "", errors.New("not yet")
			}
			return "", nil
		}))
	ctx, caller := b.within(1, true)
	inst, err := Journey.Start(ctx, client, 1)
	if err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	c.Expect(caller, c.flush,
		"create_orchestration:journey PRODUCER",
		"  orchestration:journey SERVER Completed",
		"    activity:flaky CLIENT",
		"      activity:flaky SERVER ERROR not yet",
		"      activity:flaky SERVER",
	)
	ids := map[string]string{} // by what ran it
	for _, s := range c.Spans() {
		ids[string(s.GetSpanId())] = otlptest.Attr(s, "weir.worker").GetStringValue()
	}
	for n := range 2 {
		got := (<-seen).SpanID()
		if worker, ok := ids[string(got[:])]; !ok || n == 1 && worker != "other" {
			t.Errorf("attempt %d saw %s, which worker %q has a span of", n+1, got, worker)
		}
	}
}

// TestSpansOfGenerations: an instance that is rewound, or restarted in its place, has a span for each of its lives, in the trace that it
// was started in; what was kept has none again.
func TestSpansOfGenerations(t *testing.T) {
	b := setup(t)
	c := b.collector()
	client, tracing := b.traced(c, 0)
	var mended atomic.Bool
	b.worker(&durable.Config{Tracing: tracing},
		Journey.Handler(func(ctx *durable.Context, n int) (string, error) {
			if _, err := Flaky.Call(ctx, n); err != nil {
				return "", err
			}
			_, err := Doomed.Call(ctx, n)
			return "", err
		}),
		Flaky.Handler(func(context.Context, int) (string, error) { return "", nil }),
		Doomed.Handler(func(context.Context, int) (int, error) {
			if mended.Load() {
				return 0, nil
			}
			return 0, errors.New("broken")
		}))
	ctx, caller := b.within(1, true)
	inst, err := Journey.Start(ctx, client, 1, durable.ID("again"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inst.Wait(b.ctx); err == nil {
		t.Fatal("it has not failed")
	}
	want := []string{
		"create_orchestration:journey PRODUCER",
		"  orchestration:journey SERVER ERROR activity doomed failed: broken Failed",
		"    activity:flaky CLIENT", "      activity:flaky SERVER",
		"    activity:doomed CLIENT ERROR broken", "      activity:doomed SERVER ERROR broken",
	}
	c.Expect(caller, c.flush, want...)
	mended.Store(true)
	if err := inst.Rewind(b.ctx, "mended"); err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	want = append(want, "  orchestration:journey SERVER Completed", "    activity:doomed CLIENT", "      activity:doomed SERVER")
	c.Expect(caller, c.flush, want...)
	if _, err := inst.Restart(b.ctx); err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	want = append(want, "  orchestration:journey SERVER Completed", "    activity:flaky CLIENT", "      activity:flaky SERVER",
		"    activity:doomed CLIENT", "      activity:doomed SERVER")
	c.Expect(caller, c.flush, want...)
}

// TestSpansOfEnds: an instance that ends in whatever way has one span, which says how.
func TestSpansOfEnds(t *testing.T) {
	b := setup(t)
	c := b.collector()
	client, tracing := b.traced(c, 0)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	b.worker(&durable.Config{Tracing: tracing},
		Journey.Handler(func(ctx *durable.Context, n int) (string, error) {
			if n == 0 {
				_, err := Doomed.Call(ctx, n)
				return "", err
			}
			Doomed.Go(ctx, n)
			_, err := Nod.Wait(ctx)
			return "", err
		}),
		Doomed.Handler(func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				return 0, fmt.Errorf("broken: %w", durable.Failure("E1"))
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return 0, nil
		}))
	for n, end := range []struct {
		how  func(*durable.Instance[string]) error
		want []string
	}{
		{func(*durable.Instance[string]) error { return nil }, []string{
			"create_orchestration:journey PRODUCER", "  orchestration:journey SERVER ERROR activity doomed failed: broken: E1 Failed",
			"    activity:doomed CLIENT ERROR broken: E1", "      activity:doomed SERVER ERROR broken: E1",
		}},
		{func(i *durable.Instance[string]) error { return i.Terminate(b.ctx, "enough") }, []string{
			"create_orchestration:journey PRODUCER", "  orchestration:journey SERVER ERROR terminated: enough Terminated",
		}},
		{func(i *durable.Instance[string]) error { return i.Cancel(b.ctx, "enough") }, []string{
			"create_orchestration:journey PRODUCER", "  orchestration:journey SERVER Canceled", "    activity:doomed CLIENT Canceled",
		}},
		{func(i *durable.Instance[string]) error { return Nod.Raise(b.ctx, b.client, i.ID(), "") }, []string{
			"create_orchestration:journey PRODUCER", "  orchestration:journey SERVER Completed", "    activity:doomed CLIENT Abandoned",
		}},
	} {
		ctx, caller := b.within(byte(n+1), true)
		inst, err := Journey.Start(ctx, client, n, durable.ID(fmt.Sprint("end-", n)))
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			b.until("it is at work", func() bool {
				return b.count("SELECT count(*) FROM weir.instances WHERE id = '"+inst.ID()+"' AND convert_from(waiting, 'UTF8') LIKE '%nod%'") == 1
			})
		}
		traced, err := durable.NewClient(b.pool, durable.WithTracing(tracing))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(traced.Close)
		if err := end.how(Journey.Instance(traced, inst.ID())); err != nil {
			t.Fatal(err)
		}
		_, _ = inst.Wait(b.ctx)
		c.Expect(caller, c.flush, end.want...)
	}
	// Nobody has begun it.
	ctx, caller := b.within(99, true)
	inst, err := Journey.Start(ctx, client, 1, durable.Delay(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := Journey.Instance(client, inst.ID()).Cancel(b.ctx, ""); err != nil {
		t.Fatal(err)
	}
	c.Expect(caller, c.flush, "create_orchestration:journey PRODUCER", "  orchestration:journey SERVER Canceled")
}

// TestSpansOnce: connections and whole workers are lost while instances work. No span is there twice; missing are at most
// those of commits that a worker could not learn the outcome of, because others had declared it dead by then.
func TestSpansOnce(t *testing.T) {
	b := setup(t)
	c := b.collector()
	client, tracing := b.traced(c, 1)
	const instances, steps = 8, 20
	journey := Journey.Handler(func(ctx *durable.Context, n int) (string, error) {
		for range steps {
			if _, err := Flaky.Call(ctx, n, durable.Retry{Attempts: 1000, Initial: time.Millisecond}); err != nil {
				return "", err
			}
		}
		return "", nil
	})
	flaky := Flaky.Handler(func(context.Context, int) (string, error) { return "", nil })
	stops := []func(){
		b.worker(&durable.Config{Tracing: tracing}, journey, flaky), b.worker(&durable.Config{Tracing: tracing}, journey, flaky),
	}
	var running []*durable.Instance[string]
	for range instances {
		inst, err := Journey.Start(b.ctx, client, 0)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, inst)
	}
	for kills := 1; kills <= 3; kills++ {
		b.until("a part is done", func() bool {
			return b.count("SELECT coalesce(sum(seq), 0) FROM weir.instances") > kills*instances*steps/2
		})
		what := "application_name = 'weir lane'"
		if kills == 2 {
			what = "application_name = 'weir worker'"
		}
		b.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND " + what)
	}
	for _, inst := range running {
		wait(b, inst)
	}
	for _, stop := range stops {
		stop() // they have handed over all they had
	}
	c.flush()
	ids, names, traces := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, s := range c.Spans() {
		ids[string(s.GetSpanId())]++
		names[s.GetName()+" "+s.GetKind().String()]++
		traces[string(s.GetTraceId())] = true
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("span %x is there %d times", id, n)
		}
	}
	if n := names["orchestration:journey SPAN_KIND_SERVER"]; n > instances || n < instances/2 {
		t.Errorf("%d spans of %d orchestrations", n, instances)
	}
	if n := names["activity:flaky SPAN_KIND_CLIENT"]; n > instances*steps || n < instances*steps*3/4 {
		t.Errorf("%d spans of %d calls", n, instances*steps)
	}
	if len(traces) != instances {
		t.Errorf("%d traces, want one for each instance", len(traces))
	}
}

// TestUntraced: a caller that is not sampled makes no spans, and its context reaches the code of activities all the same; and
// without a caller nothing is stored.
func TestUntraced(t *testing.T) {
	b := setup(t)
	c := b.collector()
	client, tracing := b.traced(c, 0)
	seen := make(chan trace.SpanContext, 2)
	b.worker(&durable.Config{Tracing: tracing},
		Journey.Handler(func(ctx *durable.Context, n int) (string, error) { return Flaky.Call(ctx, n) }),
		Flaky.Handler(func(ctx context.Context, _ int) (string, error) {
			seen <- trace.SpanContextFromContext(ctx)
			return "", nil
		}))
	ctx, caller := b.within(7, false)
	inst, err := Journey.Start(ctx, client, 1)
	if err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	if got := <-seen; got.TraceID() != caller.TraceID() || got.SpanID() != caller.SpanID() || got.IsSampled() || got.TraceState().String() != "vendor=x" {
		t.Errorf("the activity saw %v, want %v", got, caller)
	}
	if inst, err = Journey.Start(b.ctx, client, 1); err != nil {
		t.Fatal(err)
	}
	wait(b, inst)
	if got := <-seen; got.IsValid() {
		t.Errorf("the activity saw %v, want nothing", got)
	}
	if n := b.count("SELECT count(*) FROM weir.instances WHERE trace IS NOT NULL"); n != 1 {
		t.Errorf("%d instances have a context, want the one", n)
	}
	if c.flush(); len(c.Spans()) > 0 {
		t.Errorf("%d spans", len(c.Spans()))
	}
}
