package engine

import (
	"log/slog"
	"testing"

	"github.com/weir-dev/weir/internal/weirtest"
)

// BenchmarkAudit is a round of the leader's among 100,000 live instances that wait for events, for a child, or for
// activities parked in River, and have nothing wrong with them.
func BenchmarkAudit(b *testing.B) {
	ctx := b.Context()
	pool := weirtest.Pool(b)
	for _, sql := range []string{
		`INSERT INTO weir.instances (no, hub, id, name, status, seq, created_at, updated_at, waiting)
			SELECT n, h.no, 'i' || n, 'o', 0, 3, now() - interval '1 hour', now() - interval '1 hour', convert_to(CASE n % 10
				WHEN 0 THEN '{"tasks":[{"kind":"activity","name":"work","id":0,"since":"2026-01-01T00:00:00Z"}],"count":1,"since":"2026-01-01T00:00:00Z"}'
				WHEN 1 THEN '{"tasks":[{"kind":"orchestration","name":"work","id":0,"instance":"c","since":"2026-01-01T00:00:00Z"}],"count":1,"since":"2026-01-01T00:00:00Z"}'
				ELSE '{"events":["go"],"since":"2026-01-01T00:00:00Z"}' END, 'UTF8')
			FROM generate_series(1, 100000) AS n, weir.hubs h`,
		`INSERT INTO river.river_job (state, scheduled_at, max_attempts, kind, queue, args, unique_key, unique_states)
			SELECT 'scheduled', now() + interval '1 hour', 25, 'work', 'h1_act', '{}', int8send(n) || int4send(0) || int4send(0), B'11111111'
			FROM generate_series(1, 100000) AS n WHERE n % 10 = 0`,
		"ANALYZE",
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	e, err := Open(ctx, Config{Pool: pool, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	n, err := e.Join(ctx, NodeConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close(ctx)
	b.Run("round", func(b *testing.B) {
		a := &auditor{n: n}
		for b.Loop() {
			if err := a.walk(ctx); err != nil {
				b.Fatal(err)
			}
		}
		if found := n.metrics.auditRepairs.n.Load(); found != 0 {
			b.Errorf("%d repairs of what was healthy", found)
		}
	})
	b.Run("cancelled", func(b *testing.B) {
		for b.Loop() {
			if err := n.replaceCancelled(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("own", func(b *testing.B) {
		a := &auditor{n: n}
		for b.Loop() {
			if err := a.ownRows(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
