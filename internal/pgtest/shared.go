package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/internal/devpg"
)

// adminConns is how many databases are created or dropped at a time: it is work
// for the disk and the checkpointer, which more of them would not speed up.
const adminConns = 4

// runLock is the first key of the advisory locks by which a test binary shows
// that it lives, on a server that it shares with others; the second is its run.
const runLock = 0x57656972 // "Weir"

// A shared is the server on which the databases of all tests lie.
type shared struct {
	host
	own     *devpg.Server // nil if it is of WEIR_TEST_DSN
	admin   *pgxpool.Pool
	run     uint32    // number of this run, in the names of its databases
	alive   *pgx.Conn // holds the lock of the run; nil on a server of our own
	counter atomic.Int64
}

// A host is a server on which databases can be made from templates.
type host struct {
	dsn         func(database string) (string, error)
	maintenance string // database to connect to for work on others, "" for that of the address
	clause      string // of CREATE DATABASE, to copy files rather than log pages

	templates *templates
}

// templates remembers which templates of a server are built, by name.
type templates struct {
	mu    sync.Mutex
	built map[string]*build
}

type build struct {
	once sync.Once
	err  error
}

func newTemplates() *templates { return &templates{built: map[string]*build{}} }

// openShared connects to a server. An empty maintenance database means that
// other test binaries may use the server too.
func openShared(ctx context.Context, dsn func(string) (string, error), maintenance string) (*shared, error) {
	var run [4]byte
	_, _ = rand.Read(run[:]) // it never fails
	s := &shared{
		host: host{dsn: dsn, maintenance: maintenance, templates: newTemplates()},
		run:  binary.BigEndian.Uint32(run[:]),
	}
	addr, err := dsn(maintenance)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(addr)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = adminConns
	if s.admin, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, err
	}
	var version int
	if err := s.admin.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		s.admin.Close()
		return nil, err
	}
	if version/10000 < devpg.MinMajor {
		s.admin.Close()
		return nil, fmt.Errorf("it is PostgreSQL %d, and %d is the oldest that will do", version/10000, devpg.MinMajor)
	}
	if maintenance != "" {
		if version >= 150000 { // before, there was no other way
			s.clause = " STRATEGY file_copy"
		}
		return s, nil
	}
	if err := s.claim(ctx, addr); err != nil {
		s.admin.Close()
		return nil, err
	}
	return s, nil
}

// claim shows that this run lives, and drops the databases of those that do not.
func (s *shared) claim(ctx context.Context, addr string) (err error) {
	if s.alive, err = pgx.Connect(ctx, addr); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.alive.Close(ctx)
		}
	}()
	lock := func(fn string, run uint32) (ok bool, err error) {
		// The sign is lost and found again: PostgreSQL has no unsigned numbers.
		err = s.alive.QueryRow(ctx, "SELECT "+fn+"($1::int, $2::int)", int32(runLock), int32(run)).Scan(&ok)
		return ok, err
	}
	if ok, err := lock("pg_try_advisory_lock", s.run); err != nil || !ok {
		return errors.Join(fmt.Errorf("claim run %08x: granted %v", s.run, ok), err)
	}
	rows, err := s.alive.Query(ctx, `SELECT datname FROM pg_database WHERE datname ~ '^weir_test_[0-9a-f]{8}_'`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		run, err := strconv.ParseUint(name[len("weir_test_"):][:8], 16, 32)
		if err != nil || uint32(run) == s.run {
			continue
		}
		dead, err := lock("pg_try_advisory_lock", uint32(run))
		if err != nil {
			return err
		}
		if !dead {
			continue
		}
		_, dropErr := s.alive.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		_, err = lock("pg_advisory_unlock", uint32(run))
		if err := errors.Join(dropErr, err); err != nil {
			return fmt.Errorf("drop what a dead run left: %w", err)
		}
	}
	return nil
}

// create makes a database for a test and returns its name.
func (s *shared) create(ctx context.Context, test string, tmpl Template) (string, error) {
	name := databaseName(fmt.Sprintf("weir_test_%08x_%d_", s.run, s.counter.Add(1)), test)
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	return name, s.host.create(ctx, conn.Conn(), name, tmpl)
}

// dropPatience is how long drop lets connections that the test has just closed
// come to an end by themselves, which takes a millisecond or two. If PostgreSQL
// has to wait for one, it does so for 100 ms.
const dropPatience = 30 * time.Millisecond

// drop removes the database of a test, whoever is still connected to it.
func (s *shared) drop(ctx context.Context, name string) error {
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_ = waitUnused(ctx, conn.Conn(), name, dropPatience) // FORCE sees to the rest
	_, err = conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return err
}

// explain adds to an error of the server why the server has ended, if it has.
func (s *shared) explain(err error) error {
	if s.own == nil || s.own.Err() == nil {
		return err
	}
	return fmt.Errorf("%w; %w", err, s.own.Err())
}

// close ends the connections, and the server if it is our own: at once, for
// nobody will want the data.
func (s *shared) close(ctx context.Context) error {
	s.admin.Close()
	var errs []error
	if s.alive != nil {
		errs = append(errs, s.alive.Close(ctx))
	}
	if s.own != nil {
		errs = append(errs, s.own.Err(), s.own.Stop(ctx, devpg.Immediate))
	}
	return errors.Join(errs...)
}

// create makes a database from a template, which it builds if need be.
func (h *host) create(ctx context.Context, conn *pgx.Conn, name string, tmpl Template) error {
	source := "template0"
	if tmpl.Build != nil {
		var err error
		if source, err = h.template(ctx, tmpl); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+
		" TEMPLATE "+pgx.Identifier{source}.Sanitize()+h.clause)
	return err
}

// template returns the name of the database that is the template, built.
func (h *host) template(ctx context.Context, tmpl Template) (string, error) {
	name, err := tmpl.database()
	if err != nil {
		return "", err
	}
	h.templates.mu.Lock()
	b := h.templates.built[name]
	if b == nil {
		b = &build{}
		h.templates.built[name] = b
	}
	h.templates.mu.Unlock()
	b.once.Do(func() { b.err = h.buildTemplate(ctx, name, tmpl) })
	return name, b.err
}

// buildTemplate makes the template unless it is there. An advisory lock keeps
// other test binaries from doing the same on a server we share; a database that
// is not marked as a template while we hold the lock is the work of one that
// died, and is made anew.
func (h *host) buildTemplate(ctx context.Context, name string, tmpl Template) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("build template %q: %w", tmpl.Name, err)
		}
	}()
	addr, err := h.dsn(h.maintenance)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // and with it goes the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", name); err != nil {
		return err
	}
	var ready bool
	err = conn.QueryRow(ctx, "SELECT datistemplate FROM pg_database WHERE datname = $1", name).Scan(&ready)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if ready {
		return nil
	}
	quoted := pgx.Identifier{name}.Sanitize()
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + quoted + " WITH (FORCE)",
		"CREATE DATABASE " + quoted + " TEMPLATE template0" + h.clause,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil { // a failed attempt is of no use to anyone
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
			defer cancel()
			_, dropErr := conn.Exec(ctx, "DROP DATABASE "+quoted+" WITH (FORCE)")
			err = errors.Join(err, dropErr)
		}
	}()
	dsn, err := h.dsn(name)
	if err != nil {
		return err
	}
	if err := tmpl.Build(ctx, dsn); err != nil {
		return err
	}
	if err := waitUnused(ctx, conn, name, hangUpPatience); err != nil {
		return fmt.Errorf("after Build: %w", err)
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+quoted+" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return err
}

// hangUpPatience is how long server processes of Build's connections may take to
// end, after which the connections count as left open.
const hangUpPatience = 5 * time.Second

// waitUnused waits until nobody is connected to a database, for it could not be
// copied. After a client has hung up its server process lives on for a moment;
// PostgreSQL itself would wait as well, but in steps of 100 ms.
func waitUnused(ctx context.Context, conn *pgx.Conn, name string, patience time.Duration) error {
	start := time.Now()
	for {
		var users int
		var example *string
		err := conn.QueryRow(ctx, "SELECT count(*), min(format('%s, last query: %s', application_name, query)) "+
			"FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", name).Scan(&users, &example)
		if err != nil || users == 0 {
			return err
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%d connections are left open (%s): close every pool", users, *example)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// withDatabase returns the address with the database replaced, or as it is if
// that is empty.
func withDatabase(dsn, database string) (string, error) {
	if database == "" {
		return dsn, nil
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return "", err
		}
		u.Path, u.RawPath = "/"+database, ""
		q := u.Query()
		q.Del("dbname") // it would win
		q.Del("database")
		u.RawQuery = q.Encode()
		return u.String(), nil
	}
	return dsn + " dbname=" + database, nil // the last one counts
}
