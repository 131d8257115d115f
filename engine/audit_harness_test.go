package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/jobs"
)

// program is user code for these tests. Its orchestrations:
//
//	ends      ends at once
//	waits     ends with the first event
//	calls     calls as many activities as its input says, and ends with the first result
//	panics    is held
type program struct {
	mu         sync.Mutex
	kinds      map[string]engine.ActivityKind
	activities func(ctx context.Context, task *engine.Task) engine.Result
}

func (p *program) setKind(activity string, kind engine.ActivityKind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kinds[activity] = kind
}

func (p *program) Open(_ context.Context, info engine.Info, past []history.Event) (engine.Orchestration, error) {
	c := &code{name: info.Name}
	for _, e := range past {
		c.take(e)
	}
	return c, nil
}

func (p *program) Activity(name, _ string) (engine.ActivityKind, *history.Retry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kinds[name], &history.Retry{Attempts: 2, Initial: history.Duration(time.Hour)}
}

func (p *program) Run(ctx context.Context, task *engine.Task) engine.Result {
	return p.activities(ctx, task)
}

func (p *program) Operate(context.Context, *engine.EntityBatch) (*engine.EntityResult, error) {
	return nil, engine.ErrNoHandler
}

func (p *program) Kinds() engine.Capabilities {
	return engine.Capabilities{Activities: []engine.Definition{{Name: "work"}}}
}

type code struct {
	name    string
	calls   int32 // activities to be called
	called  int32
	outcome *history.ExecutionCompleted
}

func (c *code) take(e history.Event) {
	switch e := e.(type) {
	case *history.ExecutionStarted:
		if n, err := strconv.Atoi(string(e.Input.Data())); err == nil {
			c.calls = int32(n)
		}
		if c.name == "ends" {
			c.outcome = &history.ExecutionCompleted{Status: history.Completed}
		}
	case *history.TaskScheduled:
		c.called++
	case *history.EventRaised:
		c.outcome = &history.ExecutionCompleted{Status: history.Completed, Result: e.Input}
	case *history.TaskCompleted:
		c.outcome = &history.ExecutionCompleted{Status: history.Completed, Result: e.Result}
	case *history.TaskFailed:
		c.outcome = &history.ExecutionCompleted{Status: history.Failed, Failure: e.Failure}
	}
}

func (c *code) Turn(_ context.Context, events []history.Event) (engine.Turn, error) {
	if c.name == "panics" {
		return engine.Turn{}, &engine.Held{Kind: "panic", Step: -1, Message: "on purpose"}
	}
	for _, e := range events {
		c.take(e)
	}
	var t engine.Turn
	for ; c.called < c.calls; c.called++ {
		t.Decisions = append(t.Decisions, &history.TaskScheduled{ID: c.called, Name: "work"})
	}
	if c.outcome != nil {
		c.outcome.ID = c.called
		t.Decisions = append(t.Decisions, c.outcome)
	}
	return t, nil
}

func (c *code) Step(int32) func(context.Context) engine.Result { return nil }
func (c *code) Awaits() []string                               { return nil }
func (c *code) Close()                                         {}

// site is a database with an engine and what an operator has.
type site struct {
	t        *testing.T
	ctx      context.Context
	pool     *pgxpool.Pool
	e        *engine.Engine
	operator *river.Client[pgx.Tx]
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, pool: weirtest.Pool(t)}
	var err error
	s.e, err = engine.Open(ctx, engine.Config{Pool: s.pool, Logger: slog.New(slog.DiscardHandler)})
	s.no(err)
	t.Cleanup(s.e.Close)
	s.operator, err = river.NewClient(riverpgxv5.New(s.pool), &river.Config{Schema: "river"})
	s.no(err)
	return s
}

func (s *site) no(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// join makes a node that audits as often as it can, unless cfg says otherwise, and begins its work.
func (s *site) join(cfg engine.NodeConfig) *engine.Node {
	s.t.Helper()
	cfg.Hub = "default"
	if cfg.AuditEvery == 0 {
		cfg.AuditEvery = 50 * time.Millisecond
	}
	if cfg.AuditAge == 0 {
		cfg.AuditAge = time.Millisecond
	}
	n, err := s.e.Join(s.ctx, cfg)
	s.no(err)
	done := make(chan error, 1)
	go func() { done <- n.Run() }()
	s.t.Cleanup(func() {
		n.Close(context.WithoutCancel(s.ctx))
		if err := <-done; err != nil {
			s.t.Errorf("node: %v", err)
		}
	})
	return n
}

// work gives the node a River client, which fetches turn jobs, and activities if they are named.
func (s *site) work(n *engine.Node, activities ...engine.Definition) {
	s.t.Helper()
	pool, err := s.e.RiverPool(s.ctx)
	s.no(err)
	s.t.Cleanup(pool.Close)
	client, err := jobs.NewClient(jobs.Config{
		Node: n, Pool: pool, Schema: "river", Logger: slog.New(slog.DiscardHandler), Sessions: 1000, MaxActivities: 1000, Activities: activities,
		Orchestrations: []engine.Definition{{Name: "ends"}, {Name: "waits"}, {Name: "calls"}, {Name: "panics"}},
	})
	s.no(err)
	s.no(client.Start(context.WithoutCancel(s.ctx)))
	s.t.Cleanup(func() {
		// What is at work is cut off: these tests end in the middle of it.
		if err := client.Kill(context.WithoutCancel(s.ctx)); err != nil {
			s.t.Errorf("stop river: %v", err)
		}
	})
}

func (s *site) start(name, id, input string) {
	s.t.Helper()
	_, err := s.e.Start(s.ctx, engine.StartRequest{Hub: "default", Name: name, ID: id, Input: history.Text(input)})
	s.no(err)
}

func (s *site) raise(id string) {
	s.t.Helper()
	s.no(s.e.Raise(s.ctx, engine.RaiseRequest{Hub: "default", Instance: id, Name: "go", Input: history.Text(`"raised"`)}))
}

// outcome waits until an instance has ended.
func (s *site) outcome(id string) engine.Outcome {
	s.t.Helper()
	out, err := s.e.Wait(s.ctx, "default", id)
	if err != nil {
		s.t.Fatalf("instance %s: %v", id, err)
	}
	return out
}

func (s *site) completes(id string) {
	s.t.Helper()
	if out := s.outcome(id); out.Status != history.Completed {
		s.t.Errorf("instance %s is %s: %+v", id, out.Status, out.Failure)
	}
}

// number runs a query that yields one number; 0 if it yields none.
func (s *site) number(sql string, args ...any) int64 {
	s.t.Helper()
	var n *int64
	if err := s.pool.QueryRow(s.ctx, sql, args...).Scan(&n); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		s.t.Fatal(err)
	}
	if n == nil {
		return 0
	}
	return *n
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.pool.Exec(s.ctx, sql, args...)
	s.no(err)
}

// until polls what only the database, or a counter, shows.
func (s *site) until(what string, cond func() bool) {
	s.t.Helper()
	for !cond() {
		select {
		case <-s.ctx.Done():
			s.t.Fatalf("timed out waiting until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *site) turnJob(id string) int64 {
	s.t.Helper()
	return s.number("SELECT turn_job FROM weir.instances WHERE id = $1", id)
}

// taskJob is the River row of an instance's task.
func (s *site) taskJob(id string, task int) int64 {
	s.t.Helper()
	return s.number(`SELECT j.id FROM river.river_job j JOIN weir.instances i
		ON j.unique_key = int8send(i.no) || int4send(i.gen) || int4send($2) WHERE i.id = $1`, id, task)
}

// atRest waits until nobody owns the instance and nothing is due.
func (s *site) atRest(id string) {
	s.t.Helper()
	s.until(id+" rests", func() bool {
		return s.number("SELECT 1 FROM weir.instances WHERE id = $1 AND seq > 0 AND owner IS NULL AND turn_job IS NULL", id) == 1
	})
}

func (s *site) cancel(job int64) {
	s.t.Helper()
	_, err := s.operator.JobCancel(s.ctx, job)
	s.no(err)
}

func (s *site) remove(job int64) {
	s.t.Helper()
	_, err := s.operator.JobDelete(s.ctx, job)
	s.no(err)
}

// repairs fails the test unless the nodes have repaired as much as that. They count after the commit, which others see
// before.
func (s *site) repairs(want int64, nodes ...*engine.Node) {
	s.t.Helper()
	count := func() (got int64) {
		for _, n := range nodes {
			got += n.Stats().AuditRepairs
		}
		return got
	}
	s.until("the repairs are counted", func() bool { return count() >= want })
	if got := count(); got != want {
		s.t.Errorf("%d repairs, want %d", got, want)
	}
}
