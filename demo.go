package main

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

func demo(ctx context.Context, cfg *Config, pool *pgxpool.Pool) error {
	<-ctx.Done()
	return nil
}
