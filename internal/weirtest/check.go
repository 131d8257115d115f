package weirtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/internal/weirtest/check"
)

// CheckHistories fails the test unless every history in the database is what the protocol promises (see
// check.Histories). It returns the number of events read.
func CheckHistories(ctx context.Context, t testing.TB, pool *pgxpool.Pool) int {
	t.Helper()
	events, faults, err := check.Histories(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	return events
}
