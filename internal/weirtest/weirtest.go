// Package weirtest gives a test a database with Weir's schema in it.
package weirtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/migrations"
)

// Schema is the template of databases with everything migrated and a hub "default".
var Schema = pgtest.Template{Name: "weir", Version: migrations.Fingerprint(), Build: build}

func build(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrations.Apply(ctx, pool, migrations.Schemas{}, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, "INSERT INTO weir.hubs (name) VALUES ('default')")
	return err
}

// Pool returns a pool on a database of the test's own.
func Pool(t testing.TB) *pgxpool.Pool { return pgtest.New(t, Schema).Pool(t) }
