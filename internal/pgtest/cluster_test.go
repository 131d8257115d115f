package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/internal/devpg"
)

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("SurvivesStopAndKill", func(t *testing.T) {
		t.Parallel()
		ctx := testContext(t)
		c := Server(t, ServerOptions{})
		db := c.New(t, people)
		again := c.New(t, people)
		if db.Name() == again.Name() {
			t.Errorf("both databases are %s", db.Name())
		}
		if err := c.Start(ctx); !errors.Is(err, ErrRunning) {
			t.Errorf("while it runs: %v, want ErrRunning", err)
		}
		rows := 2
		for name, down := range map[string]func() error{
			"Fast":      func() error { return c.Stop(ctx, devpg.Fast) },
			"Immediate": func() error { return c.Stop(ctx, devpg.Immediate) },
			"Kill":      c.Kill,
		} {
			rows++
			if err := execAt(ctx, db.DSN(), "INSERT INTO people SELECT max(id) + 1 FROM people"); err != nil {
				t.Fatal(err)
			}
			if err := down(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := execAt(ctx, db.DSN(), "SELECT 1"); err == nil {
				t.Errorf("%s: the server is still there", name)
			}
			if err := c.Start(ctx); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if n := mustCount(t, db.DSN(), "people"); n != rows {
				t.Errorf("%s: %d rows, want %d", name, n, rows)
			}
		}
	})

	t.Run("PoolFindsItAgain", func(t *testing.T) {
		t.Parallel()
		ctx := testContext(t)
		c := Server(t, ServerOptions{})
		pool := c.New(t, people).Pool(t)
		if err := pool.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Kill(), c.Start(ctx)); err != nil {
			t.Fatal(err)
		}
		var n int
		err := errors.New("not yet")
		for err != nil && ctx.Err() == nil { // the pool must first find its connections broken
			err = pool.QueryRow(ctx, "SELECT count(*) FROM people").Scan(&n)
		}
		if err != nil || n != 2 {
			t.Errorf("%d rows (%v), want 2", n, err)
		}
	})

	t.Run("HasTCPAndSettings", func(t *testing.T) {
		t.Parallel()
		ctx := testContext(t)
		c := Server(t, ServerOptions{TCP: true, Fsync: true, Settings: map[string]string{"work_mem": "9MB"}})
		if !strings.Contains(c.TCPDSN("postgres"), "@127.0.0.1:"+strconv.Itoa(c.Port())+"/postgres") {
			t.Errorf("the address is %s, the port %d", c.TCPDSN("postgres"), c.Port())
		}
		conn, err := pgx.Connect(ctx, c.TCPDSN("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		for name, want := range map[string]string{"work_mem": "9MB", "fsync": "on", "autovacuum": "off"} {
			var got string
			if err := conn.QueryRow(ctx, "SHOW "+name).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if _, err := os.Stat(c.LogFile()); err != nil {
			t.Error(err)
		}
	})

	t.Run("NothingIsLeft", func(t *testing.T) {
		t.Parallel()
		var dir string
		t.Run("Inner", func(t *testing.T) {
			c := Server(t, ServerOptions{})
			dir = filepath.Dir(c.LogFile())
			if err := c.Kill(); err != nil {
				t.Fatal(err)
			}
		})
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	})
}
