package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "forgets Main" {
		os.Exit(m.Run())
	}
	code := Wrap(m).Run()
	if left := leftBehind(); left != "" {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind tells which goroutines of ours still run.
func leftBehind() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n")[1:] {
		if strings.Contains(g, "/internal/devpg") || strings.Contains(g, "jackc/") {
			return "left behind: " + g
		}
	}
	return ""
}

var (
	builds   atomic.Int64 // of the template people
	versions atomic.Int64 // makes templates new in each round of -count
)

// newVersion returns a version that no template has yet.
func newVersion() string { return fmt.Sprintf("%d-%d", os.Getpid(), versions.Add(1)) }

// people is a template with a table of two rows.
var people = Template{Name: "people", Version: "1", Build: func(ctx context.Context, dsn string) error {
	builds.Add(1)
	return execAt(ctx, dsn, "CREATE TABLE people (id bigint PRIMARY KEY, name text)", "INSERT INTO people VALUES (1, 'Ada'), (2, 'Bob')")
}}

func execAt(ctx context.Context, dsn string, sql ...string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range sql {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// testContext ends a minute from now.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// mustCount returns the number of rows of a query.
func mustCount(t *testing.T, dsn, from string) int {
	t.Helper()
	ctx := testContext(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var n int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error lacks %q:\n%v", p, err)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()

	t.Run("EachTestHasItsOwnCopy", func(t *testing.T) {
		t.Parallel()
		for i := range 5 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				pool := New(t, people).Pool(t)
				tag, err := pool.Exec(testContext(t), "DELETE FROM people WHERE name = 'Ada'")
				if err != nil {
					t.Fatal(err)
				}
				if tag.RowsAffected() != 1 {
					t.Errorf("deleted %d rows, want the one of the template", tag.RowsAffected())
				}
			})
		}
	})

	t.Run("IsDroppedWithConnectionsOpen", func(t *testing.T) {
		t.Parallel()
		outer := New(t, Template{})
		var name string
		var conn *pgx.Conn
		t.Run("Inner", func(t *testing.T) {
			db := New(t, people)
			name = db.Name()
			var err error
			if conn, err = pgx.Connect(testContext(t), db.DSN()); err != nil {
				t.Fatal(err)
			}
		})
		if n := mustCount(t, outer.DSN(), "pg_database WHERE datname = '"+name+"'"); n != 0 {
			t.Errorf("database %s is still there", name)
		}
		if err := conn.Ping(testContext(t)); err == nil {
			t.Error("the connection is still good")
		}
		_ = conn.Close(testContext(t))
	})

	t.Run("ZeroTemplateIsEmpty", func(t *testing.T) {
		t.Parallel()
		db := New(t, Template{})
		if n := mustCount(t, db.DSN(), "pg_class WHERE relnamespace = 'public'::regnamespace"); n != 0 {
			t.Errorf("it has %d tables and indexes", n)
		}
		if !strings.HasSuffix(db.Name(), "_testnew_zerotemplateisempty") {
			t.Errorf("the name %s does not tell the test", db.Name())
		}
	})

	t.Run("CommitsAreSynchronous", func(t *testing.T) {
		t.Parallel()
		if n := mustCount(t, New(t, Template{}).DSN(), "pg_settings WHERE (name, setting) IN "+
			"(('synchronous_commit', 'on'), ('fsync', 'off'), ('full_page_writes', 'off'), ('max_connections', '500'))"); n != 4 && os.Getenv(DSNEnv) == "" {
			t.Errorf("%d of 4 settings are as they should be", n)
		}
	})

	t.Run("PoolIsConfigurable", func(t *testing.T) {
		t.Parallel()
		pool := New(t, people).Pool(t, func(c *pgxpool.Config) { c.MaxConns = 3 })
		if n := pool.Config().MaxConns; n != 3 {
			t.Errorf("at most %d connections, want 3", n)
		}
	})

	t.Run("ErrNameOfTemplate", func(t *testing.T) {
		t.Parallel()
		_, err := mustServer(t).create(testContext(t), "x", Template{Name: "Not a word", Build: people.Build})
		wantError(t, err, `"Not a word"`, "at most 31 lower-case letters")
	})

	t.Run("ErrBuild", func(t *testing.T) {
		t.Parallel()
		broken, calls := errors.New("no such table"), 0
		tmpl := Template{Name: "broken", Version: newVersion(), Build: func(context.Context, string) error { calls++; return broken }}
		for range 2 {
			_, err := mustServer(t).create(testContext(t), "x", tmpl)
			if !errors.Is(err, broken) {
				t.Fatalf("got %v", err)
			}
			wantError(t, err, `build template "broken"`)
		}
		if calls != 1 {
			t.Errorf("built %d times, want once: it will not get better", calls)
		}
	})

	t.Run("ErrBuildLeavesAConnectionOpen", func(t *testing.T) {
		t.Parallel()
		ctx := testContext(t)
		db := New(t, Template{})
		left, err := pgx.Connect(ctx, db.DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer left.Close(ctx)
		if _, err := left.Exec(ctx, "SET application_name = 'culprit'"); err != nil {
			t.Fatal(err)
		}
		admin, err := mustServer(t).admin.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Release()
		err = waitUnused(ctx, admin.Conn(), db.Name(), 10*time.Millisecond)
		wantError(t, err, "1 connections are left open", "culprit", "close every pool")
		if err := left.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := waitUnused(ctx, admin.Conn(), db.Name(), time.Minute); err != nil {
			t.Errorf("after the connection is closed: %v", err)
		}
	})
}

// mustServer returns the shared server of this binary.
func mustServer(t *testing.T) *shared {
	t.Helper()
	sh, err := suiteOf(t).server(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

// TestTemplateIsBuiltOnce asks for databases from many tests at once.
func TestTemplateIsBuiltOnce(t *testing.T) {
	t.Parallel()
	var built atomic.Int64
	tmpl := Template{Name: "once", Version: newVersion(), Build: func(ctx context.Context, dsn string) error {
		built.Add(1)
		return people.Build(ctx, dsn)
	}}
	t.Run("Group", func(t *testing.T) {
		for i := range 6 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				if n := mustCount(t, New(t, tmpl).DSN(), "people"); n != 2 {
					t.Errorf("%d rows, want 2", n)
				}
			})
		}
	})
	if n := built.Load(); n != 1 {
		t.Errorf("built %d times, want once", n)
	}
	other := tmpl
	other.Version = newVersion()
	a, errA := tmpl.database()
	b, errB := other.database()
	if a == b || errA != nil || errB != nil {
		t.Errorf("two versions are kept as %s (%v) and %s (%v)", a, errA, b, errB)
	}
}

// A recorder takes the errors that a test would report.
type recorder struct {
	testing.TB
	errs []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errs = append(r.errs, fmt.Sprintf(format, args...))
}

func TestPoolWithAConnectionNotReleased(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	pool, err := pgxpool.New(ctx, New(t, Template{}).DSN())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{TB: t}
	closePool(rec, pool, time.Millisecond)
	if len(rec.errs) != 1 || !strings.Contains(rec.errs[0], "1 connections of the pool are not released") {
		t.Errorf("reported %q", rec.errs)
	}
	conn.Release()
	closePool(t, pool, poolPatience)
}

func TestDatabaseName(t *testing.T) {
	t.Parallel()
	for test, want := range map[string]string{
		"TestX":                              "p_testx",
		"TestX/Says \"hi\", it's/50%":        "p_testx_says_hi_it_s_50",
		"TestÜ":                              "p_test",
		"":                                   "p",
		"Test" + strings.Repeat("Long/", 20): "p_test" + strings.Repeat("long_", 11) + "lo",
	} {
		if got := databaseName("p_", test); got != want {
			t.Errorf("%q: got %s, want %s", test, got, want)
		}
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ dsn, database, want string }{
		{"postgres://u:p@h:1/a?sslmode=disable", "b", "postgres://u:p@h:1/b?sslmode=disable"},
		{"postgresql://u@/a?host=%2Ftmp&dbname=c", "b", "postgresql://u@/b?host=%2Ftmp"},
		{"host=/tmp dbname=a", "b", "host=/tmp dbname=a dbname=b"},
		{"postgres://h/a", "", "postgres://h/a"},
	} {
		got, err := withDatabase(tc.dsn, tc.database)
		if err != nil {
			t.Fatal(err)
		}
		if got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		cfg, err := pgx.ParseConfig(got)
		if err != nil {
			t.Fatal(err)
		}
		if want := tc.database; want != "" && cfg.Database != want {
			t.Errorf("%s: leads to %s, want %s", got, cfg.Database, want)
		}
	}
}

// BenchmarkNew measures what a test pays for its database: the copy, a
// connection, and the drop.
func BenchmarkNew(b *testing.B) {
	New(b, people) // the server and the template are not what is measured
	b.Run("Alone", func(b *testing.B) {
		for b.Loop() {
			benchmarkOne(b)
		}
	})
	b.Run("Parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				benchmarkOne(b)
			}
		})
	})
}

func benchmarkOne(b *testing.B) {
	ctx := context.Background()
	sh, err := current.Load().server(ctx)
	if err != nil {
		b.Error(err)
		return
	}
	name, err := sh.create(ctx, "bench", people)
	if err != nil {
		b.Error(err)
		return
	}
	dsn, err := sh.dsn(name)
	if err != nil {
		b.Error(err)
		return
	}
	if err := errors.Join(execAt(ctx, dsn, "SELECT 1"), sh.drop(ctx, name)); err != nil {
		b.Error(err)
	}
}

// BenchmarkServer measures what a test binary pays for its server, from nothing
// to a connection, and back to nothing.
func BenchmarkServer(b *testing.B) {
	ctx := context.Background()
	for b.Loop() {
		s := &suite{}
		if _, err := s.server(ctx); err != nil {
			b.Fatal(err)
		}
		if err := s.close(ctx); err != nil {
			b.Fatal(err)
		}
		if matches, _ := filepath.Glob(s.dir); len(matches) > 0 {
			b.Fatalf("%s is left behind", s.dir)
		}
	}
}
