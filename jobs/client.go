package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/weir-dev/weir/engine"
)

// Config says what a process takes from River.
type Config struct {
	Node *engine.Node
	// Pool is River's own; it is closed by the caller, after Run.
	Pool *pgxpool.Pool
	// Schema is River's schema.
	Schema string
	Logger *slog.Logger
	// Orchestrations and Activities are what this process can run. Native are plain River workers that serve as
	// activities; each adds itself to the bundle.
	Orchestrations []engine.Definition
	Entities       []string
	Activities     []engine.Definition
	Native         []func(*river.Workers)
	// NativeKinds are the kinds of those.
	NativeKinds []string
	// Sessions is how many instances may be at work here at once; MaxActivities how many activities River may
	// hand out to this process.
	Sessions      int
	MaxActivities int
	// Queues names the groups of activities to serve besides those of no group.
	Queues []string
	// Maintain makes this client eligible for River's own housekeeping. Servers do that; a worker that does not
	// know every kind must not.
	Maintain bool
}

// Client is a River client with the settings that the engine needs.
type Client struct {
	cfg   Config
	river *river.Client[pgx.Tx]
}

const (
	// fetchCooldown is how soon a producer fetches again: the least that River allows.
	fetchCooldown = time.Millisecond
	// fetchPoll is only a safety net: every commit announces the jobs it made.
	fetchPoll = 5 * time.Second
	// never is longer than anything lives: River must not rescue jobs, the engine's reaper does, and knows when.
	never = time.Duration(math.MaxInt64 / 4)
)

// kindPattern is what River demands of the kinds of registered workers.
var kindPattern = regexp.MustCompile(`\A[\w][\w\-\[\]<>\/.·:+]+\z`)

// CheckKind tests whether a name can be served by a worker: what River accepts as a kind, and not one of ours.
func CheckKind(name string) error {
	switch {
	case !kindPattern.MatchString(name):
		return fmt.Errorf("name %q: River accepts letters, digits and _ - [ ] < > / . · : +, at least two, the first a letter, digit or _", name)
	case strings.HasPrefix(name, "turn:"), strings.HasPrefix(name, "weir."):
		return fmt.Errorf("name %q: the prefixes turn: and weir. are Weir's own", name)
	}
	return nil
}

// AddWorkers registers everything the node can run with River. Errors name what cannot be registered.
func AddWorkers(workers *river.Workers, source *Source, cfg *Config) (err error) {
	defer func() {
		if p := recover(); p != nil { // River panics on a kind that is registered already
			err = fmt.Errorf("register with river: %v", p)
		}
	}()
	for _, d := range cfg.Orchestrations {
		kind := engine.TurnKind(d.Name, d.Version)
		if !kindPattern.MatchString(kind) {
			return fmt.Errorf("orchestration %q, version %q: River accepts letters, digits and _ - [ ] < > / . · : +", d.Name, d.Version)
		}
		river.AddWorkerArgs(workers, turnArgs{kind: kind}, &turnWorker{source: source})
	}
	if len(cfg.Orchestrations) > 0 {
		river.AddWorkerArgs(workers, turnArgs{kind: anyTurn}, &turnWorker{source: source})
	}
	for _, name := range cfg.Entities {
		kind := engine.TurnKind(engine.EntityKind(name), "")
		if !kindPattern.MatchString(kind) {
			return fmt.Errorf("entity %q: River accepts letters, digits and _ - [ ] < > / . · : +", name)
		}
		river.AddWorkerArgs(workers, turnArgs{kind: kind}, &turnWorker{source: source})
	}
	for _, d := range cfg.Activities {
		if err := CheckKind(d.Name); err != nil {
			return fmt.Errorf("activity: %w", err)
		}
		kind := engine.TaskKind(d.Name, d.Version)
		if !kindPattern.MatchString(kind) {
			return fmt.Errorf("activity %q, version %q: River accepts letters, digits and _ - [ ] < > / . · : +", d.Name, d.Version)
		}
		river.AddWorkerArgs(workers, taskArgs{kind: kind}, &taskWorker{source: source, activity: d})
	}
	for _, add := range cfg.Native {
		add(workers)
	}
	river.AddWorkerArgs(workers, deliverArgs{}, &deliverWorker{source: source})
	river.AddWorkerArgs(workers, controlArgs{}, &controlWorker{source: source})
	return nil
}

// Queues lists the River queues that a worker of the hub has to work, with how many jobs of each at once.
func Queues(hub *engine.Hub, cfg *Config) map[string]river.QueueConfig {
	queues := map[string]river.QueueConfig{engine.SystemQueue: {MaxWorkers: 10}}
	if hub == nil {
		return queues
	}
	if len(cfg.Orchestrations)+len(cfg.Entities) > 0 {
		queues[engine.TurnQueue(hub.No())] = river.QueueConfig{MaxWorkers: cfg.Sessions}
	}
	if len(cfg.Activities)+len(cfg.Native) > 0 {
		queues[engine.ActivityQueue(hub.No(), "")] = river.QueueConfig{MaxWorkers: cfg.MaxActivities}
		for _, group := range cfg.Queues {
			queues[engine.ActivityQueue(hub.No(), group)] = river.QueueConfig{MaxWorkers: cfg.MaxActivities}
		}
	}
	return queues
}

// NewClient makes a client for the node. Nothing runs yet.
func NewClient(cfg Config) (*Client, error) {
	source := NewSource()
	source.Set(cfg.Node)
	workers := river.NewWorkers()
	if err := AddWorkers(workers, source, &cfg); err != nil {
		return nil, err
	}
	rc := &river.Config{
		ID: cfg.Node.RiverClient(), Schema: cfg.Schema, Logger: quiet(cfg.Logger), Workers: workers, Queues: Queues(cfg.Node.Hub(), &cfg),
		FetchCooldown: fetchCooldown, FetchPollInterval: fetchPoll, FetchOnlyKnownKinds: true, JobTimeout: -1, RescueStuckJobsAfter: never,
		LeaderElectionDisabled: !cfg.Maintain, SkipUnknownJobCheck: true,
		// The two GIN indexes are not there (package migrations); the others are worth rebuilding.
		ReindexerIndexNames: []string{"river_job_kind", "river_job_prioritized_fetching_index", "river_job_state_and_finalized_at_index", "river_job_unique_idx"},
	}
	client, err := river.NewClient(&driver{riverpgxv5.New(cfg.Pool), cfg.Node}, rc)
	if err != nil {
		return nil, fmt.Errorf("make river client: %w", err)
	}
	return &Client{cfg: cfg, river: client}, nil
}

// Start begins to take jobs. Jobs run under ctx.
func (c *Client) Start(ctx context.Context) error {
	if len(c.cfg.NativeKinds) > 0 {
		c.harvestNative(ctx)
	}
	if err := c.river.Start(ctx); err != nil {
		return fmt.Errorf("start river: %w", err)
	}
	return nil
}

// StopFetching takes no further jobs and returns when those at work have ended or ctx has; then the rest is
// cancelled.
func (c *Client) StopFetching(ctx context.Context) error {
	err := c.river.Stop(ctx)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return c.Kill(context.WithoutCancel(ctx))
}

// Kill cancels what is at work and returns when it has ended, or after ten seconds.
func (c *Client) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.river.StopAndCancel(ctx); err != nil {
		return fmt.Errorf("stop river: %w", err)
	}
	return nil
}

// quiet raises River's chatter about jobs by one level: what it calls an error of a job is the engine's
// business, and told by the engine.
func quiet(l *slog.Logger) *slog.Logger {
	return slog.New(levelHandler{l.Handler(), slog.LevelWarn})
}

type levelHandler struct {
	slog.Handler
	min slog.Level
}

func (h levelHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.min && h.Handler.Enabled(ctx, level)
}

func (h levelHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelHandler{h.Handler.WithAttrs(attrs), h.min}
}

func (h levelHandler) WithGroup(name string) slog.Handler {
	return levelHandler{h.Handler.WithGroup(name), h.min}
}
