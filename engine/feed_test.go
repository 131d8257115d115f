package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// counter is a log handler that counts warnings and tells of each message.
type counter struct {
	warnings atomic.Int32
	messages chan string
}

func (*counter) Enabled(context.Context, slog.Level) bool { return true }

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		c.warnings.Add(1)
	}
	c.messages <- r.Message
	return nil
}

func (c *counter) WithAttrs([]slog.Attr) slog.Handler { return c }

func (c *counter) WithGroup(string) slog.Handler { return c }

// TestFeedTellsOfAnOutageOnce: however often the feed tries to connect while Postgres cannot be reached, the log has
// one line for the outage and one for its end, after which subscribers are told to look for what they missed.
func TestFeedTellsOfAnOutageOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var (
		down    atomic.Bool
		refused = make(chan struct{}, 1000)
		dialer  net.Dialer
	)
	db := pgtest.New(t, weirtest.Schema)
	pool := db.Pool(t, func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down.Load() {
				refused <- struct{}{}
				return nil, errors.New("the network is down")
			}
			return dialer.DialContext(ctx, network, addr)
		}
	})
	log := &counter{messages: make(chan string, 1000)}
	e, err := engine.Open(ctx, engine.Config{Pool: pool, Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	sub, err := e.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()

	down.Store(true)
	if _, err := db.Pool(t).Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir feed' AND datname = current_database()"); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		select {
		case <-refused:
		case <-ctx.Done():
			t.Fatal("the feed does not try to connect")
		}
	}
	sub.Take() // it was told of the loss
	down.Store(false)
	for told := false; !told; {
		select {
		case message := <-log.messages:
			told = message == "the feed listens again"
		case <-ctx.Done():
			t.Fatal("the log does not say that it is over")
		}
	}
	if n := log.warnings.Load(); n != 1 {
		t.Errorf("%d warnings of one outage", n)
	}
	for resync := false; !resync; {
		select {
		case <-sub.C:
			_, resync = sub.Take()
		case <-ctx.Done():
			t.Fatal("the subscriber is not told to look for itself")
		}
	}
}
