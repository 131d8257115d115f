// Package database finds a database for the examples, so that each can be tried with one command.
package database

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/devpg"
	"github.com/weir-dev/weir/migrations"
)

// URLFile is the file in the folder of `weir dev` that names its database while it runs.
const URLFile = "database.url"

// Database is a database with Weir's schema in it.
type Database struct {
	Pool *pgxpool.Pool
	own  *devpg.Server
}

// Open opens, in this order: the database of url; of WEIR_DATABASE_URL; of a `weir dev` that runs, whose dashboard
// then shows what the example does; and else the data of `weir dev`, on a Postgres that ends with the example. It
// tells on out what it does.
func Open(ctx context.Context, url string, out io.Writer) (*Database, error) {
	db := &Database{}
	url = cmp.Or(url, os.Getenv("WEIR_DATABASE_URL"))
	if url == "" {
		dir, err := devDir()
		if err != nil {
			return nil, err
		}
		if url = running(ctx, dir); url != "" {
			_, _ = fmt.Fprintln(out, "Using the database of `weir dev`: watch this in its dashboard.")
		} else if url, err = db.start(ctx, dir, out); err != nil {
			return nil, fmt.Errorf("%w\nName a database with -database or WEIR_DATABASE_URL, or run `make dev` in another terminal", err)
		}
	}
	if err := db.prepare(ctx, url); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close closes the pool, and ends the server if it is the example's own.
func (db *Database) Close() {
	if db.Pool != nil {
		db.Pool.Close()
	}
	if db.own != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := db.own.Stop(ctx, devpg.Fast); err != nil {
			fmt.Fprintln(os.Stderr, "stop Postgres:", err)
		}
	}
}

func devDir() (string, error) {
	dir := os.Getenv("WEIR_DEV_DIR")
	if dir == "" {
		return devpg.DefaultDir()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("WEIR_DEV_DIR: %w", err)
	}
	return dir, nil
}

// running is the address of the database of a `weir dev` that runs, else "".
func running(ctx context.Context, dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, URLFile)) //nolint:gosec // the user's own folder
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	url := strings.TrimSpace(string(data))
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "" // left behind by one that was killed
	}
	_ = conn.Close(ctx)
	return url
}

// start starts a Postgres for this process.
func (db *Database) start(ctx context.Context, dir string, out io.Writer) (string, error) {
	bin, err := devpg.FindOrFetch(ctx, devpg.Lookup{}, func(line string) { _, _ = fmt.Fprintln(out, line) })
	if err != nil {
		return "", err
	}
	_, _ = fmt.Fprintf(out, "No database is named: starting Postgres %s on %s\n", bin.Version, dir)
	if db.own, err = devpg.Start(ctx, devpg.Options{Dir: dir, Binaries: bin}); err != nil {
		return "", err
	}
	if err := db.own.CreateDatabase(ctx, "weir"); err != nil {
		db.Close()
		return "", err
	}
	return db.own.DSN("weir"), nil
}

// prepare connects and brings the database to this version.
func (db *Database) prepare(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	db.Pool = pool
	quiet := slog.New(slog.DiscardHandler)
	if err := migrations.Apply(ctx, pool, migrations.Schemas{}, quiet); err != nil {
		return err
	}
	e, err := engine.Open(ctx, engine.Config{Pool: pool, Logger: quiet})
	if err != nil {
		return err
	}
	defer e.Close()
	return e.EnsureHub(ctx, durable.DefaultHub)
}
