package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/jobs"
)

// Config says how a worker works. The zero value is good.
type Config struct {
	// Hub is the task hub to work for; the default is "default".
	Hub string
	// Schemas says where the tables live; the defaults are "weir" and "river".
	Schemas Schemas
	// Activities is how many activities run at once in this process; 0 means 1000.
	Activities int
	// Sessions is how many instances may be at work here at once: computing, committing, or waiting for an
	// activity of this process. Instances that wait for something else do not count. 0 means twice Activities and
	// at least 1000; the most is 10,000.
	Sessions int
	// Cache is how many idle instances are kept in memory, to go on without a replay; 0 means 10,000.
	Cache int
	// IdleRelease is how long an instance that waits stays at work here, in case what it waits for comes soon,
	// before it is let go of; 0 means 100 ms.
	IdleRelease time.Duration
	// Queues names groups of activities (option Queue of a call) to serve besides those of no group.
	Queues []string
	// Retry is the policy of activities whose call and handler have none; the zero value means one attempt.
	Retry Retry
	// DrainTimeout is how long Run, once its context has ended, lets activities finish before it hands them over
	// to others; 0 means 20 s.
	DrainTimeout time.Duration
	// PayloadLimit bounds one value, in bytes; 0 means 16 MiB.
	PayloadLimit int
	// Versions says which versions of orchestrations the worker takes, and which its child orchestrations have.
	Versions Versions
	// Name and Build are shown in the dashboard; the defaults are host name and process id, and nothing.
	Name  string
	Build string
	// Codec encrypts or compresses values, Converter says how they become bytes; the defaults are none, and JSON. See there.
	Codec     Codec
	Converter Converter
	// Logger takes the worker's log; the default is slog.Default().
	Logger *slog.Logger
	// Tracing says what becomes of spans; the default passes contexts on and makes none. See Tracing.
	Tracing Tracing
}

func (c *Config) withDefaults() Config {
	var out Config
	if c != nil {
		out = *c
	}
	if out.Hub == "" {
		out.Hub = DefaultHub
	}
	if out.Activities <= 0 {
		out.Activities = 1000
	}
	if out.Sessions <= 0 {
		out.Sessions = max(1000, 2*out.Activities)
	}
	out.Sessions = min(out.Sessions, maxSessions)
	if out.DrainTimeout == 0 {
		out.DrainTimeout = 20 * time.Second
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out
}

// maxSessions is the most jobs that one River client works on at once.
const maxSessions = 10_000

// Worker executes orchestrations and activities.
type Worker struct {
	pool *pgxpool.Pool
	cfg  Config
	x    *executor
	jobs jobs.Config
	// borrowed is set for a worker inside an existing River application, which has a River client of its own.
	borrowed *jobs.Source
	// node is the worker's present life, nil between lives.
	node atomic.Pointer[engine.Node]
}

// NewWorker makes a worker on the database of a pool. The pool itself serves TxHandlers; for its own work the
// worker opens connections of its own with the pool's configuration. Nothing runs before Run. Errors name the
// handler that cannot be served.
func NewWorker(pool *pgxpool.Pool, cfg *Config, handlers ...Handler) (*Worker, error) {
	w, err := newWorker(pool, cfg, handlers)
	if err != nil {
		return nil, err
	}
	// What River would refuse is told now.
	if err := jobs.AddWorkers(river.NewWorkers(), jobs.NewSource(), &w.jobs); err != nil {
		return nil, err
	}
	return w, nil
}

func newWorker(pool *pgxpool.Pool, cfg *Config, handlers []Handler) (*Worker, error) {
	if pool == nil {
		return nil, &engine.Error{Code: engine.CodeInvalid, Field: "pool", Message: "must not be nil"}
	}
	w := &Worker{pool: pool, cfg: cfg.withDefaults()}
	var retry *Retry
	if !reflect.ValueOf(w.cfg.Retry).IsZero() {
		retry = &w.cfg.Retry
	}
	x, err := newExecutor(handlers, pool, retry, &w.cfg.Versions, w.cfg.Logger)
	if err != nil {
		return nil, err
	}
	x.values = &values{w.cfg.Converter, w.cfg.Codec}
	w.x = x
	w.jobs = jobs.Config{Logger: w.cfg.Logger, Sessions: w.cfg.Sessions, MaxActivities: min(w.cfg.Activities, maxSessions), Queues: w.cfg.Queues}
	kinds := x.Kinds()
	w.jobs.Orchestrations, w.jobs.Entities = kinds.Orchestrations, kinds.Entities
	for def, h := range x.activities {
		if h.kind == nativeHandler {
			w.jobs.Native = append(w.jobs.Native, h.addNative)
			w.jobs.NativeKinds = append(w.jobs.NativeKinds, def.Name)
			continue
		}
		w.jobs.Activities = append(w.jobs.Activities, def)
	}
	return w, nil
}

// AddTo makes a worker inside an existing River application: its handlers are added to the application's bundle,
// and worked by the application's own River client. Beside that client, Run must run: it holds the worker's
// place among the others. The client's configuration needs the queues of RiverQueues, FetchOnlyKnownKinds, and
// for low latency a small FetchCooldown.
func AddTo(workers *river.Workers, pool *pgxpool.Pool, cfg *Config, handlers ...Handler) (*Worker, error) {
	w, err := newWorker(pool, cfg, handlers)
	if err != nil {
		return nil, err
	}
	if v := &w.cfg.Versions; v.Match != "" && v.Match != MatchStrict || v.Unmatched == FailUnmatched {
		return nil, &engine.Error{
			Code: engine.CodeInvalid, Field: "Versions",
			Message: "a worker inside a River application takes the versions of its handlers only: MatchStrict and RejectUnmatched are allowed",
		}
	}
	w.borrowed = jobs.NewSource()
	if err := jobs.AddWorkers(workers, w.borrowed, &w.jobs); err != nil {
		return nil, err
	}
	return w, nil
}

// RiverQueues are the queues that an application's River client must work for AddTo. Errors: ErrNotFound for the
// hub.
func (w *Worker) RiverQueues(ctx context.Context) (map[string]river.QueueConfig, error) {
	e, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	hub, err := e.Hub(ctx, w.cfg.Hub)
	if err != nil {
		return nil, err
	}
	return jobs.Queues(hub, &w.jobs), nil
}

func (w *Worker) open(ctx context.Context) (*engine.Engine, error) {
	return engine.Open(ctx, engine.Config{
		Pool: w.pool, Schema: w.cfg.Schemas.Weir, RiverSchema: w.cfg.Schemas.River, PayloadLimit: w.cfg.PayloadLimit, Logger: w.cfg.Logger, Tracing: w.cfg.Tracing,
	})
}

// Run works until ctx ends. Then it takes nothing new, lets go of idle instances, gives activities
// Config.DrainTimeout to finish, and hands over what is left, so that no other worker has to wait for it. If
// others declare this worker dead meanwhile (it was stopped, or cut off from the database), it drops what it
// holds and joins again under a new number. Run returns nil after a clean end, else what makes it impossible to
// work.
//
// In a process that `weir replay` has started, Run replays histories instead and opens no database.
func (w *Worker) Run(ctx context.Context) error {
	if isReplay() {
		return w.replay(ctx, os.Stdin, os.Stdout)
	}
	e, err := w.open(ctx)
	if ctx.Err() != nil && err != nil {
		return nil // told to end before it had begun
	}
	if err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	defer e.Close()
	for pause := (backoff{}); ; {
		worked, err := w.runOnce(ctx, e)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, engine.ErrFenced) && !transient(err) {
			return fmt.Errorf("run worker: %w", err)
		}
		w.cfg.Logger.WarnContext(ctx, "worker joins again", logkey.Err, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause.after(worked)):
		}
	}
}

const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// backoff is how long a worker waits before it joins again: twice as long after each life, until one has worked for
// as long as the longest wait. So a worker whose lives are short takes no more of the database than one join in some
// seconds, and one that worked comes back at once.
type backoff struct{ last time.Duration }

// after returns the wait after a life that worked for so long; a try to join that failed, however long it took, did
// not work at all.
func (b *backoff) after(worked time.Duration) time.Duration {
	if worked >= maxPause {
		b.last = 0
	}
	b.last = min(max(2*b.last, minPause), maxPause)
	return b.last
}

// transient tells whether an error to join may pass: everything does but what the caller has to mend.
func transient(err error) bool {
	var coded *engine.Error
	return !errors.As(err, &coded) || coded.Code == engine.CodeUnavailable
}

// runOnce is one life of the worker as a node: from joining until it leaves or is fenced. It returns how long the
// worker was there for others.
func (w *Worker) runOnce(ctx context.Context, e *engine.Engine) (worked time.Duration, err error) {
	node, err := e.Join(ctx, engine.NodeConfig{
		Hub: w.cfg.Hub, Name: w.cfg.Name, Build: w.cfg.Build, Executor: w.x, Activities: w.cfg.Activities, Cache: w.cfg.Cache,
		Queues: w.cfg.Queues, IdleRelease: w.cfg.IdleRelease,
	})
	if err != nil {
		return 0, err
	}
	w.node.Store(node)
	defer w.node.Store(nil)
	g := new(errgroup.Group)
	g.Go(node.Run)
	defer func() {
		node.Close(context.WithoutCancel(ctx))
		_ = g.Wait()
	}()
	var client *jobs.Client
	if w.borrowed != nil {
		w.borrowed.Set(node)
		defer w.borrowed.Set(nil)
	} else {
		pool, err := e.RiverPool(ctx)
		if err != nil {
			return 0, err
		}
		defer pool.Close()
		cfg := w.jobs
		cfg.Node, cfg.Pool, cfg.Schema, cfg.Maintain = node, pool, e.RiverSchema(), e.RiverOwned(ctx)
		if client, err = jobs.NewClient(cfg); err != nil {
			return 0, err
		}
		if err := client.Start(context.WithoutCancel(ctx)); err != nil {
			return 0, err
		}
	}
	if err := node.RetryHeld(ctx, append(w.turnKinds(), node.OtherTurnKinds()...)); err != nil {
		w.cfg.Logger.WarnContext(ctx, "look for held turns", logkey.Err, err)
	}
	w.cfg.Logger.InfoContext(ctx, "worker runs", logkey.Worker, node.No(), logkey.Hub, w.cfg.Hub,
		logkey.Orchestrations, len(w.x.orchestrations), logkey.Activities, len(w.x.activities), logkey.Entities, len(w.x.entities))
	began := time.Now()
	select {
	case <-node.Done():
		worked = time.Since(began)
		if client != nil {
			if err := client.Kill(context.WithoutCancel(ctx)); err != nil {
				w.cfg.Logger.WarnContext(ctx, "stop after fencing", logkey.Err, err)
			}
		}
		return worked, engine.ErrFenced
	case <-ctx.Done():
	}
	return time.Since(began), w.drain(context.WithoutCancel(ctx), node, client)
}

// drain lets work end. River's client waits for its jobs, which end as the node's sessions do.
func (w *Worker) drain(ctx context.Context, node *engine.Node, client *jobs.Client) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.DrainTimeout)
	defer cancel()
	g := new(errgroup.Group)
	if client != nil {
		g.Go(func() error {
			// Sessions hand over when the deadline has passed; River may wait a little longer for them.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.DrainTimeout+5*time.Second)
			defer cancel()
			return client.StopFetching(ctx)
		})
	}
	node.Drain(ctx)
	err := g.Wait()
	w.cfg.Logger.InfoContext(ctx, "worker has stopped", logkey.Worker, node.No(), logkey.Stats, node.Stats())
	return err
}

// Figures reads what the worker counts, since it joined last; false while it has not, or has stopped. The package
// durable/weirprom shows them to Prometheus.
func (w *Worker) Figures() (engine.Figures, bool) {
	node := w.node.Load()
	if node == nil {
		return engine.Figures{}, false
	}
	return node.Figures(), true
}

func (w *Worker) turnKinds() []string {
	var kinds []string
	for _, d := range w.jobs.Orchestrations {
		kinds = append(kinds, engine.TurnKind(d.Name, d.Version))
	}
	for _, name := range w.jobs.Entities {
		kinds = append(kinds, engine.TurnKind(engine.EntityKind(name), ""))
	}
	return kinds
}
