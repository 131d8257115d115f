// Weir: durable execution on the Postgres a team already runs. This file is the composition root, the only one
// that knows every room of the house: configuration, wiring, run, and a shutdown in stages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/alerts"
	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/cli"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/jobs"
	"github.com/weir-dev/weir/migrations"
	"github.com/weir-dev/weir/rest"
	"github.com/weir-dev/weir/ui"
)

func main() {
	// The first signal stops in order, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "weir:", err)
	}
	os.Exit(exitCode(err))
}

// usageError says that the command line is not one of Weir's.
type usageError string

// Error implements error.
func (e usageError) Error() string { return string(e) }

// exitCode is 0 after success, 2 after a command line that is not understood, what the command says, or 1 after any other
// failure.
func exitCode(err error) int {
	var (
		usage usageError
		wrong cli.Usage
		exit  *cli.Exit
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &usage), errors.As(err, &wrong):
		return 2
	}
	return 1
}

// run executes a command.
func run(ctx context.Context, args []string, env func(string) (string, bool), out io.Writer) error {
	command := "help"
	if len(args) > 0 {
		command = args[0]
	}
	if cli.Has(command) {
		return cli.Run(ctx, args, env, os.Stdin, out, os.Stderr)
	}
	switch command {
	case "completion":
		return cli.Completion(args[1:], out)
	case "__complete":
		cli.Complete(args[1:], out)
		return nil
	case "help":
		if len(args) > 1 {
			return cli.Help(out, args[1:])
		}
	case "replay":
		return replay(ctx, args[1:], env, out)
	case "doctor":
		return doctor(ctx, args[1:], env, out)
	case "export", "import", "archive":
		return transfer(ctx, command, args[1:], env, out)
	}
	withRoles := command == "migrate" && len(args) == 2 && args[1] == "--roles"
	if len(args) > 1 && !withRoles {
		return usageError(fmt.Sprintf("%s takes no arguments, got %q: settings are environment variables, see `weir help`", command, args[1]))
	}
	switch command {
	case "server", "dev", "migrate":
	case "help", "-h", "--help":
		cli.Overview(out)
		describeSettings(out)
		return nil
	case "version", "--version":
		_, _ = fmt.Fprintln(out, version())
		return nil
	default:
		return usageError(fmt.Sprintf("there is no command %q: see `weir help`", command))
	}
	cfg, err := loadConfig(env)
	if err != nil {
		return err
	}
	slog.SetDefault(cfg.logger())
	if command == "dev" {
		return dev(ctx, cfg, out)
	}
	if err := cfg.needDatabase(); err != nil {
		return err
	}
	if command == "server" {
		return NewServer(cfg, cfg.logger()).Run(ctx)
	}
	pool, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	schemas := migrations.Schemas{Weir: cfg.Schema, River: cfg.RiverSchema}
	if err := migrations.Apply(ctx, pool, schemas, cfg.logger()); err != nil || !withRoles {
		return err
	}
	return migrations.CreateRoles(ctx, pool, schemas, migrations.Roles{}, cfg.logger())
}

// replay checks stored histories against the code of a worker.
func replay(ctx context.Context, args []string, env func(string) (string, bool), out io.Writer) error {
	r, err := cli.ParseReplay(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return withEngine(ctx, env, func(e *engine.Engine) error { return r.Run(ctx, e, out) })
}

// doctor looks for what must not be in a database. It takes one of any version.
func doctor(ctx context.Context, args []string, env func(string) (string, bool), out io.Writer) error {
	d, err := cli.ParseDoctor(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	err = withPool(ctx, env, func(cfg *Config, pool *pgxpool.Pool) error { return d.Run(ctx, pool, cfg.Schema, cfg.RiverSchema, out) })
	if errors.Is(err, errNoDatabase) {
		return &cli.Exit{Code: cli.ExitUnreachable, Err: err}
	}
	return err
}

// transfer moves instances that have ended to files and back. Progress goes to the standard error, so that what is exported to
// the standard output can be piped.
func transfer(ctx context.Context, command string, args []string, env func(string) (string, bool), out io.Writer) error {
	f, err := cli.ParseFiles(command, args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return withEngine(ctx, env, func(e *engine.Engine) error { return f.Run(ctx, e, out, os.Stderr) })
}

// withPool runs fn with the database of the settings.
func withPool(ctx context.Context, env func(string) (string, bool), fn func(*Config, *pgxpool.Pool) error) error {
	cfg, err := loadConfig(env)
	if err != nil {
		return err
	}
	if err := cfg.needDatabase(); err != nil {
		return err
	}
	pool, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(cfg, pool)
}

// withEngine runs fn with an engine on the database of the settings.
func withEngine(ctx context.Context, env func(string) (string, bool), fn func(*engine.Engine) error) error {
	return withPool(ctx, env, func(cfg *Config, pool *pgxpool.Pool) error {
		e, err := engine.Open(ctx, engine.Config{Pool: pool, Schema: cfg.Schema, RiverSchema: cfg.RiverSchema, Logger: cfg.logger()})
		if err != nil {
			return err
		}
		defer e.Close()
		return fn(e)
	})
}

// errNoDatabase says that the database does not answer.
var errNoDatabase = errors.New("cannot reach the database of WEIR_DATABASE_URL")

// connect opens a pool, and finds out at once whether there is a database.
func connect(ctx context.Context, cfg *Config) (*pgxpool.Pool, error) {
	pool, err := pgxpool.New(ctx, cfg.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("WEIR_DATABASE_URL: %w", err)
	}
	limit, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := pool.Ping(limit); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%w: %w", errNoDatabase, err)
	}
	return pool, nil
}

// listen takes the server's address.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program listens on %s already: stop it, or choose another address with WEIR_LISTEN", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// version is the program's, as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return strings.Trim(info.Main.Version, "()")
}

// Server is Weir's server: stateless, any number of them on one database.
type Server struct {
	cfg   *Config
	log   *slog.Logger
	ready atomic.Bool
	// Started is called once the server answers, with its address.
	Started func(address string)
}

// NewServer makes a server; nothing happens before Run.
func NewServer(cfg *Config, log *slog.Logger) *Server {
	return &Server{cfg: cfg, log: log, Started: func(string) {}}
}

// Run serves until ctx ends, and then stops in stages: not ready; no new requests, subscriptions ended, requests
// under way answered; work drained; connections closed.
func (s *Server) Run(ctx context.Context) error {
	listener, err := listen(ctx, s.cfg.Listen) // first, for a second server on one machine is the likeliest fault
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // closed by the server once it serves
	pool, err := connect(ctx, s.cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	telemetry := s.cfg.telemetry(s.log)
	defer telemetry.close(s.log)
	if s.cfg.Migrate {
		if err := migrations.Apply(ctx, pool, migrations.Schemas{Weir: s.cfg.Schema, River: s.cfg.RiverSchema}, s.log); err != nil {
			return err
		}
	}
	e, err := engine.Open(ctx, engine.Config{
		Pool: pool, Schema: s.cfg.Schema, RiverSchema: s.cfg.RiverSchema, PayloadLimit: s.cfg.PayloadLimit, Logger: s.log,
		Tracing: telemetry.tracing, SecretKey: s.cfg.SecretKey,
	})
	if err != nil {
		return err
	}
	defer e.Close()
	for _, hub := range s.cfg.Hubs {
		if err := e.EnsureHub(ctx, hub); err != nil {
			return err
		}
		if s.cfg.ActivityJobs != nil {
			if err := e.SetActivityRows(ctx, hub, s.cfg.ActivityJobs[hub]); err != nil {
				return err
			}
		}
	}
	operations, err := ui.Operations()
	if err != nil {
		return err
	}
	api, err := graph.NewHandler(ctx, graph.Config{
		Engine: e, Logger: s.log, Info: graph.Info{Version: version(), Deployment: s.cfg.Deployment, Identity: !s.cfg.open()}, Introspection: s.cfg.dev,
		Operations: operations, OpenSessions: s.cfg.OpenSessions,
		Budget: &graph.Budget{Burst: max(10*s.cfg.QueryRate, graph.DefaultBudget.Burst), PerSecond: s.cfg.QueryRate},
	})
	if err != nil {
		return err
	}
	gate, logins, known, err := newGate(ctx, s.cfg, e, s.log)
	if err != nil {
		return err
	}
	stats := newCollector(e, api, telemetry.exporter, s.log)
	mirror := rest.New(rest.Config{Engine: e, Logger: s.log, Path: s.cfg.Path + "api/v1/"})
	handler, err := s.handler(e, gate, logins, api, mirror, stats)
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error { return s.takePart(ctx, e, stats) })
	if telemetry.exporter != nil {
		g.Go(func() error { telemetry.exporter.PushMetrics(ctx, stats.registry); return nil })
	}
	watch := alerts.New(alerts.Config{
		Engine: e, Pool: pool, Schemas: durable.Schemas{Weir: s.cfg.Schema, River: s.cfg.RiverSchema}, Logger: s.log,
		Networks: s.cfg.WebhookNetworks, Build: version(),
	})
	g.Go(func() error { return watch.Run(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		s.ready.Store(false)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
		defer cancel()
		mirror.Shutdown()
		streams := make(chan error, 1)
		go func() { streams <- api.Shutdown(limit) }() // beside: server-sent events are requests that web waits for
		err := web.Shutdown(limit)
		if err != nil {
			_ = web.Close()
		}
		if err := errors.Join(err, <-streams); err != nil {
			s.log.WarnContext(ctx, "requests were cut off", logkey.Err, err)
		}
		return nil
	})
	s.log.InfoContext(ctx, "weir server", logkey.Version, version(), logkey.Address, "http://"+listener.Addr().String()+s.cfg.Path,
		logkey.Identity, known)
	s.Started(listener.Addr().String())
	return g.Wait()
}

// takePart runs the server's share of the engine: timers, deliveries, recovery of dead workers, River's
// housekeeping. Fenced, it joins again.
func (s *Server) takePart(ctx context.Context, e *engine.Engine, stats *collector) error {
	for ctx.Err() == nil {
		err := s.joinOnce(ctx, e, stats)
		s.ready.Store(false)
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "server joins again", logkey.Err, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

func (s *Server) joinOnce(ctx context.Context, e *engine.Engine, stats *collector) error {
	node, err := e.Join(ctx, engine.NodeConfig{Build: version()})
	if err != nil {
		return err
	}
	pool, err := e.RiverPool(ctx)
	if err != nil {
		node.Close(ctx)
		return err
	}
	defer pool.Close()
	client, err := jobs.NewClient(jobs.Config{Node: node, Pool: pool, Schema: e.RiverSchema(), Logger: s.log, Maintain: e.RiverOwned(ctx)})
	if err != nil {
		node.Close(ctx)
		return err
	}
	stats.watch(node)
	g := new(errgroup.Group)
	g.Go(node.Run)
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		node.Close(ctx)
		return errors.Join(err, g.Wait())
	}
	s.ready.Store(true)
	select {
	case <-ctx.Done():
	case <-node.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	err = client.StopFetching(limit)
	node.Close(limit)
	return errors.Join(err, g.Wait())
}

// handler lays out the addresses.
func (s *Server) handler(e *engine.Engine, gate *auth.Gate, logins *auth.Logins, api, mirror http.Handler, stats *collector) (http.Handler, error) {
	dashboard, err := ui.Handler(s.cfg.Path)
	if err != nil {
		return nil, err
	}
	schema := graph.Schema()
	mux := http.NewServeMux()
	mux.Handle(s.cfg.Path+"auth/", logins)
	mux.Handle(s.cfg.Path+"graphql", gate.Protect(api, graph.Refuse))
	mux.Handle(s.cfg.Path+"api/v1/", gate.Protect(mirror, rest.Refuse))
	mux.Handle("GET "+s.cfg.Path+"graphql/schema.graphql", gate.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, schema)
	}), graph.Refuse))
	mux.Handle(s.cfg.Path+"metrics", promhttp.HandlerFor(stats.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc(s.cfg.Path+"healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc(s.cfg.Path+"readyz", func(w http.ResponseWriter, r *http.Request) {
		limit, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		switch _, err := e.Now(limit); {
		case err != nil:
			http.Error(w, "not ready: the database does not answer", http.StatusServiceUnavailable)
		case !s.ready.Load():
			http.Error(w, "not ready: the server starts or stops", http.StatusServiceUnavailable)
		default:
			_, _ = fmt.Fprintln(w, "ok")
		}
	})
	mux.Handle(s.cfg.Path, dashboard)
	if host, _, _ := net.SplitHostPort(s.cfg.Listen); gate.Anybody != nil && isLoopback(host) {
		return onlyLoopback(mux), nil
	}
	return mux, nil
}

// onlyLoopback refuses requests that name another host: without identity, a web page that has its own name
// resolved to this machine must not reach the API through the visitor's browser.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			http.Error(w, "this server identifies nobody, so it answers only to localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
