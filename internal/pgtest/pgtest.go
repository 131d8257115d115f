package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A Template is a database that is built once and then copied for each test.
// The zero Template is an empty database.
type Template struct {
	// Name is a short word, of lower-case letters, digits and underscores.
	Name string

	// Version tells contents apart: a number, or a hash of the migrations. Two
	// templates of one name and version must have the same Build.
	Version string

	// Build fills the empty database at dsn. It must have closed all its
	// connections when it returns.
	Build func(ctx context.Context, dsn string) error
}

var templateName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// database returns the name of the database that holds the template.
func (t Template) database() (string, error) {
	if !templateName.MatchString(t.Name) {
		return "", fmt.Errorf("template name %q: want at most 31 lower-case letters, digits and underscores", t.Name)
	}
	hash := sha256.Sum256([]byte(t.Version))
	return "weir_template_" + t.Name + "_" + hex.EncodeToString(hash[:6]), nil
}

// A DB is a database of one test.
type DB struct {
	name string
	dsn  string
}

// New returns a database for the test alone, a copy of the template, which is
// dropped when the test ends. Connections that are still open then are broken;
// pools made by Pool have been closed before. If there is no database to be
// had, New ends the test.
func New(t testing.TB, tmpl Template) *DB {
	t.Helper()
	s := suiteOf(t)
	ctx, cancel := context.WithTimeout(context.Background(), setupLimit)
	defer cancel()
	sh, err := s.server(ctx)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name, err := sh.create(ctx, t.Name(), tmpl)
	if err != nil {
		t.Fatalf("pgtest: create a database for the test: %v", sh.explain(err))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
		defer cancel()
		if err := sh.drop(ctx, name); err != nil {
			t.Errorf("pgtest: drop the database of the test: %v", sh.explain(err))
		}
	})
	dsn, err := sh.dsn(name)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return &DB{name: name, dsn: dsn}
}

// Name returns the name of the database, which has that of the test in it.
func (db *DB) Name() string { return db.name }

// DSN returns the address of the database.
func (db *DB) DSN() string { return db.dsn }

// poolPatience is how long the end of a test waits for connections that the
// test has acquired from a pool and not released.
const poolPatience = 10 * time.Second

// Pool returns a new pool of connections to the database, closed when the test
// ends; by then the test must have released them all. The functions may change
// its configuration.
func (db *DB) Pool(t testing.TB, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(db.dsn)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	for _, f := range configure {
		f(cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupLimit)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		t.Fatalf("pgtest: open a pool: %v", err)
	}
	t.Cleanup(func() { closePool(t, pool, poolPatience) })
	return pool
}

// closePool closes a pool, but does not hang for ever where pgx would.
func closePool(t testing.TB, pool *pgxpool.Pool, patience time.Duration) {
	t.Helper()
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Errorf("pgtest: %d connections of the pool are not released %v after the end of the test", pool.Stat().AcquiredConns(), patience)
	}
}

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// databaseName appends as much of the test's name as PostgreSQL has room for.
func databaseName(prefix, test string) string {
	const limit = 63 // bytes
	name := prefix + strings.Trim(unfit.ReplaceAllString(strings.ToLower(test), "_"), "_")
	return strings.TrimRight(name[:min(len(name), limit)], "_")
}
