package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
)

// defaultPoll is Config.Poll's.
const defaultPoll = 3 * time.Second

// Service is a server's share of the alerts. Any number of servers take part.
type Service struct {
	cfg    Config
	client *http.Client
	woken  chan struct{}
}

// New makes a service; nothing happens before Run.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Pace == (Pace{}) {
		cfg.Pace = DefaultPace
	}
	return &Service{cfg: cfg, client: newClient(&cfg), woken: make(chan struct{}, 1)}
}

// wake has the service look at once.
func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Run watches rules and sends deliveries until ctx ends. As long as a database has neither, that costs it one statement each
// Config.Poll: the worker begins with the first.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	var (
		client *durable.Client
		g      errgroup.Group
	)
	defer func() {
		if err := g.Wait(); err != nil {
			s.cfg.Logger.WarnContext(ctx, "the worker of alerts ends", logkey.Err, err)
		}
		if client != nil {
			client.Close()
		}
	}()
	for {
		work, err := s.cfg.Engine.AlertWork(ctx)
		if err == nil && work.Any && client == nil {
			client, err = s.begin(ctx, &g)
		}
		if err == nil && work.Any {
			err = s.start(ctx, client, work)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.WarnContext(ctx, "look after alerts", logkey.Err, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		case <-tick.C:
		}
	}
}

// begin starts the worker.
func (s *Service) begin(ctx context.Context, g *errgroup.Group) (*durable.Client, error) {
	client, err := durable.NewClient(s.cfg.Pool, durable.Hub(engine.SystemHub), s.cfg.Schemas)
	if err != nil {
		return nil, err
	}
	w, err := durable.NewWorker(s.cfg.Pool, &durable.Config{
		Hub: engine.SystemHub, Schemas: s.cfg.Schemas, Name: "alerts", Build: s.cfg.Build, Logger: s.cfg.Logger, Activities: 50, DrainTimeout: 5 * time.Second,
	}, s.handlers()...)
	if err != nil {
		client.Close()
		return nil, err
	}
	g.Go(func() error { return w.Run(ctx) })
	return client, nil
}

func (s *Service) handlers() []durable.Handler {
	return []durable.Handler{
		watchRule.Handler(watch), deliver.Handler(sendAll),
		evaluate.Handler(s.evaluate, durable.Timeout(lookPatience)), send.Handler(s.send, durable.Timeout(2*sendTime)),
	}
}

// again is how orchestrations are started: one that lives goes on, one that has ended gives way.
var again = durable.Reuse{Replace: []string{"COMPLETED", "FAILED", "CANCELED", "TERMINATED"}, Existing: true}

// start starts the orchestrations of what has none, and tells those of rules that have changed. Repeated, or done by several servers
// at once, it does the same.
func (s *Service) start(ctx context.Context, c *durable.Client, work *engine.AlertWork) error {
	for _, rule := range work.Unwatched {
		if _, err := watchRule.Start(ctx, c, rule, durable.ID(rule.InstanceID()), again); err != nil {
			return fmt.Errorf("watch rule: %w", err)
		}
	}
	for _, rule := range work.Changed {
		err := changed.Raise(ctx, c, rule.InstanceID(), durable.None{})
		if err != nil && !errors.Is(err, durable.ErrNotFound) && !errors.Is(err, durable.ErrFinished) {
			return fmt.Errorf("tell of a changed rule: %w", err)
		}
	}
	for _, id := range work.Deliveries {
		if _, err := deliver.Start(ctx, c, delivery{id, s.cfg.Pace}, durable.ID(id), durable.Reuse{Existing: true}); err != nil {
			return fmt.Errorf("start delivery: %w", err)
		}
	}
	if len(work.Deliveries) == 0 {
		return nil
	}
	return s.cfg.Engine.DeliveriesStarted(ctx, work.Deliveries)
}
