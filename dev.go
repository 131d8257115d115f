package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/examples/database"
	"github.com/weir-dev/weir/internal/devpg"
)

// dev runs the server as it is, on a Postgres of its own whose data survives restarts, with a demo worker. With
// WEIR_DATABASE_URL set it uses that database instead.
func dev(ctx context.Context, cfg *Config, out io.Writer) error {
	began := time.Now()
	cfg.dev = true
	// The server listens once there is a database, but that its address is taken is better told at once.
	l, err := listen(ctx, cfg.Listen)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if cfg.DatabaseURL == "" {
		pg, err := startPostgres(ctx, cfg, out)
		if err != nil {
			return err
		}
		defer func() {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			if err := pg.Stop(stop, devpg.Fast); err != nil {
				_, _ = fmt.Fprintln(out, "stopping Postgres:", err)
			}
			_, _ = fmt.Fprintln(out, "Stopped. The data is kept.")
		}()
		cfg.DatabaseURL = pg.DSN("weir")
		forget, err := tellExamples(cfg)
		if err != nil {
			return err
		}
		defer forget()
		// If Postgres ends by itself there is nothing left to do.
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			select {
			case <-pg.Done():
				cancel(fmt.Errorf("postgres has ended: %w", errors.Join(pg.Err(), errors.New("see "+pg.LogFile()))))
			case <-ctx.Done():
			}
		}()
	}
	err = serveWithDemo(ctx, cfg, out, began, calm)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && err == nil {
		err = cause
	}
	return err
}

// serveWithDemo runs the server and, once that answers, the demo.
func serveWithDemo(ctx context.Context, cfg *Config, out io.Writer, began time.Time, pace demoPace) error {
	s := NewServer(cfg, cfg.logger())
	address := make(chan string, 1)
	s.Started = func(a string) { address <- a }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		var reachable string
		select {
		case <-ctx.Done():
			return nil
		case a := <-address:
			reachable = a
			who := "Nobody is identified here, so it listens on this machine only."
			if !cfg.open() {
				who = "It lets in whom WEIR_ADMIN_TOKEN and WEIR_OIDC say."
			}
			_, _ = fmt.Fprintf(out, "\n  Weir is ready after %.1f s\n\n  Dashboard  http://%s%s\n  GraphQL    http://%s%sgraphql\n  Database   %s\n\n"+
				"  %s Ctrl-C stops everything.\n\n",
				time.Since(began).Seconds(), a, cfg.Path, a, cfg.Path, withoutPassword(cfg.DatabaseURL), who)
		}
		if !cfg.DevWorker {
			return nil
		}
		pool, err := pgxpool.New(ctx, cfg.DatabaseURL)
		if err != nil {
			return fmt.Errorf("demo worker: %w", err)
		}
		defer pool.Close()
		return runDemo(ctx, cfg, pool, "http://"+reachable+cfg.Path+"healthz", pace)
	})
	return g.Wait()
}

// tellExamples writes down where the database is, so that the commands in examples/ find it without being told.
func tellExamples(cfg *Config) (forget func(), err error) {
	dir, err := cfg.devDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, database.URLFile)
	if err := os.WriteFile(path, []byte(cfg.DatabaseURL+"\n"), 0o600); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}

// withoutPassword is a connection string that may be shown.
func withoutPassword(connection string) string {
	u, err := url.Parse(connection)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" { // "host=... password=..."
		c, err := pgx.ParseConfig(connection)
		if err != nil {
			return "(unreadable)"
		}
		return fmt.Sprintf("host=%s port=%d user=%s dbname=%s", c.Host, c.Port, c.User, c.Database)
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// startPostgres finds or fetches the binaries and starts the server of the dev directory.
func startPostgres(ctx context.Context, cfg *Config, out io.Writer) (*devpg.Server, error) {
	bin, err := devpg.FindOrFetch(ctx, devpg.Lookup{}, func(line string) { _, _ = fmt.Fprintln(out, line) })
	if err != nil {
		return nil, err
	}
	dir, err := cfg.devDir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		_, _ = fmt.Fprintf(out, "Making a database in %s\n", dir)
	}
	_, _ = fmt.Fprintf(out, "Starting Postgres %s (%s)\n", bin.Version, bin.Source)
	pg, err := devpg.Start(ctx, devpg.Options{Dir: dir, Binaries: bin})
	if err != nil {
		return nil, err
	}
	if err := pg.CreateDatabase(ctx, "weir"); err != nil {
		_ = pg.Stop(ctx, devpg.Fast)
		return nil, err
	}
	return pg, nil
}
