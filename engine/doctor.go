package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

// Health is how a check came out.
type Health string

// The outcomes of checks, from good to bad.
const (
	HealthOK Health = "ok"
	// HealthSkipped: this database cannot show it.
	HealthSkipped Health = "skipped"
	// HealthWarning: it works, and somebody should look at it; or it could not be told in time.
	HealthWarning Health = "warning"
	// HealthBroken: something is as it must never be.
	HealthBroken Health = "broken"
)

// Finding is the outcome of one check.
type Finding struct {
	// Check names it for good: "I2", or a word such as "workers".
	Check string `json:"check"`
	// Title says what was looked at, in a few words.
	Title  string `json:"title"`
	Health Health `json:"health"`
	// Count is how many things are wrong; More says that there are more than were counted.
	Count int  `json:"count"`
	More  bool `json:"more,omitempty"`
	// First names a few of them.
	First []string `json:"first,omitempty"`
	// Detail says what was found, and Advice what to do about it; both are empty if all is well.
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// Diagnosis is what a look at a database has shown.
type Diagnosis struct {
	At       time.Time `json:"at"`
	Health   Health    `json:"health"`
	Rows     int       `json:"rows"`
	Findings []Finding `json:"findings"`
}

// DoctorOptions bound a diagnosis.
type DoctorOptions struct {
	// Rows is how many rows each check looks at, at most: the newest instances, or of each hub the oldest live ones; 0 means
	// 10,000. Of histories, one in a hundred of these is followed event by event.
	Rows int
	// Timeout bounds each statement; 0 means 5 s. What takes longer is a warning.
	Timeout time.Duration
}

const (
	maxDoctorRows = 1_000_000
	// doctorNamed is how many things a finding names, doctorMost how many a statement returns.
	doctorNamed = 5
	doctorMost  = 1000
	// riverVersion is the level of River's migrations that the statements on its tables are written for.
	riverVersion = 8
)

// Diagnose looks for what must not be in a database, and for what somebody should see. It only reads: each statement in a
// snapshot of its own, along an index, and within a time, so that it may run beside full load. It takes a database of any
// version; of a wrong one that is all it says. Errors: INVALID_ARGUMENT, UNAVAILABLE when the database does not answer.
func Diagnose(ctx context.Context, cfg Config, o DoctorOptions) (*Diagnosis, error) {
	if cfg.Pool == nil {
		return nil, invalid("pool", "must not be nil")
	}
	if o.Rows == 0 {
		o.Rows = 10_000
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Rows < 1 || o.Rows > maxDoctorRows {
		return nil, invalid("rows", "is %d, allowed are 1 to %d", o.Rows, maxDoctorRows)
	}
	if o.Timeout < 10*time.Millisecond || o.Timeout > time.Hour {
		return nil, invalid("timeout", "is %s, allowed are 10ms to 1h", o.Timeout)
	}
	if cfg.Schema == "" {
		cfg.Schema = "weir"
	}
	if cfg.RiverSchema == "" {
		cfg.RiverSchema = "river"
	}
	db := store.NewDB(cfg.Pool.Config(), cfg.Schema, cfg.RiverSchema)
	millis := strconv.FormatInt(o.Timeout.Milliseconds(), 10)
	conn, err := db.Connect(ctx, "doctor", map[string]string{
		"default_transaction_read_only": "on", "statement_timeout": millis, "lock_timeout": "1s", "jit": "off",
		"max_parallel_workers_per_gather": "0", "enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off",
	})
	if err != nil {
		return nil, &Error{Code: CodeUnavailable, Message: err.Error()}
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	d := &doctor{ctx: ctx, db: db, q: store.New(), conn: conn, rows: int32(o.Rows), timeout: o.Timeout}
	d.out = Diagnosis{Health: HealthOK, Rows: o.Rows, Findings: []Finding{}}
	if err := d.examine(); err != nil {
		return nil, err
	}
	return &d.out, nil
}

// doctor examines a database.
type doctor struct {
	ctx     context.Context
	db      *store.DB
	q       *store.Queries
	conn    *pgx.Conn
	rows    int32
	timeout time.Duration
	out     Diagnosis
}

// verdict is what a check has found wrong; none is well.
type verdict struct {
	health Health
	found  []string
	detail string
	advice string
}

// check is one question, or a few, under one name.
type check struct {
	name, title string
	ask         func() ([]verdict, error)
}

func (d *doctor) examine() error {
	fits, err := d.schema()
	if err != nil || !fits {
		return err
	}
	for _, c := range slices.Concat(d.surroundings(), d.invariants()) {
		verdicts, err := c.ask()
		if err != nil {
			if v := d.inTime(err); v != nil {
				verdicts, err = append(verdicts, *v), nil
			}
		}
		if err != nil {
			return fmt.Errorf("check %s: %w", c.name, err)
		}
		d.report(c, verdicts)
	}
	return nil
}

// inTime turns a statement that took too long, or waited for a lock, into a warning.
func (d *doctor) inTime(err error) *verdict {
	switch code := store.Code(err); code {
	case "57014", "55P03":
		return &verdict{
			health: HealthWarning, detail: fmt.Sprintf("it could not be told within %s", d.timeout),
			advice: "give it more time with --timeout, or fewer rows with --rows",
		}
	case "42501":
		return &verdict{
			health: HealthWarning, detail: "this account may not read what it takes: " + err.Error(),
			advice: "use an account in the role weir_reader, and repeat `weir migrate --roles` after a migration",
		}
	}
	return nil
}

// report adds a finding for each thing that is wrong, or one that all is well.
func (d *doctor) report(c check, verdicts []verdict) {
	f := Finding{Check: c.name, Title: c.title, Health: HealthOK}
	one := true
	for _, v := range verdicts {
		if v.health == "" || v.health == HealthOK {
			continue
		}
		bad := Finding{
			Check: c.name, Title: c.title, Health: v.health, Count: len(v.found), More: len(v.found) >= doctorMost,
			First: v.found[:min(len(v.found), doctorNamed)], Detail: v.detail, Advice: v.advice,
		}
		d.out.Findings = append(d.out.Findings, bad)
		d.out.Health = worse(d.out.Health, v.health)
		one = false
	}
	if one {
		d.out.Findings = append(d.out.Findings, f)
	}
}

func worse(a, b Health) Health {
	order := []Health{HealthOK, HealthSkipped, HealthWarning, HealthBroken}
	if b == HealthSkipped {
		return a
	}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// schema tells whether the database has the tables that the other checks read.
func (d *doctor) schema() (fits bool, err error) {
	now, err := d.q.Now(d.ctx, d.conn)
	if err != nil {
		return false, &Error{Code: CodeUnavailable, Message: err.Error()}
	}
	d.out.At = now
	c := check{name: "schema", title: "Weir's tables are at this program's version"}
	have, err := d.q.MigrationVersion(d.ctx, d.conn)
	switch code := store.Code(err); {
	case code == "42P01" || code == "3F000":
		have = 0
	case d.inTime(err) != nil:
		d.report(c, []verdict{*d.inTime(err)})
		return false, nil
	case err != nil:
		return false, fmt.Errorf("check schema: %w", err)
	}
	var v verdict
	switch {
	case have < SchemaVersion:
		v = verdict{
			health: HealthBroken, detail: fmt.Sprintf("schema %q is at version %d, this program needs %d", d.db.Schema, have, SchemaVersion),
			advice: "run `weir migrate`",
		}
	case have > SchemaVersion:
		v = verdict{
			health: HealthBroken, detail: fmt.Sprintf("schema %q is at version %d, this program knows %d", d.db.Schema, have, SchemaVersion),
			advice: "use a newer version of this program",
		}
	}
	if v.health != "" {
		d.report(c, []verdict{v})
		return false, nil
	}
	indexes, err := d.db.DoctorIndexes(d.ctx, d.conn)
	if err != nil {
		return false, fmt.Errorf("check indexes: %w", err)
	}
	d.report(c, []verdict{broken(indexes, "indexes were not made to their end, and are not used", "drop them and make them anew: REINDEX INDEX")})
	return d.river()
}

// river tells whether River's tables are as the statements need them.
func (d *doctor) river() (fits bool, err error) {
	c := check{name: "river", title: "River's tables are those that the engine knows"}
	advice := "name the schema that has them with WEIR_RIVER_SCHEMA, or run `weir migrate`"
	r, err := d.q.DoctorRiver(d.ctx, d.conn, d.db.RiverSchema)
	switch code := store.Code(err); {
	case code == "42P01":
		d.report(c, []verdict{{health: HealthBroken, detail: fmt.Sprintf("schema %q has no tables of River", d.db.RiverSchema), advice: advice}})
		return false, nil
	case err != nil:
		return false, fmt.Errorf("check river: %w", err)
	}
	var vs []verdict
	switch {
	case r.Version < riverVersion:
		vs = append(vs, verdict{health: HealthBroken, detail: fmt.Sprintf("River's tables are at version %d, the engine needs %d", r.Version, riverVersion), advice: advice})
	case r.Version > riverVersion:
		vs = append(vs, verdict{health: HealthWarning, detail: fmt.Sprintf("River's tables are at version %d, the engine was written for %d", r.Version, riverVersion), advice: "look whether a newer version of Weir is written for it"})
	}
	vs = append(vs, broken(r.Missing, "indexes of River are missing: fetching jobs reads whole tables", "make them as River's migrations do"))
	d.report(c, vs)
	return r.Version >= riverVersion, nil
}

func broken(found []string, detail, advice string) verdict {
	return verdictOf(HealthBroken, found, detail, advice)
}

func warning(found []string, detail, advice string) verdict {
	return verdictOf(HealthWarning, found, detail, advice)
}

func verdictOf(h Health, found []string, detail, advice string) verdict {
	if len(found) == 0 {
		return verdict{}
	}
	return verdict{health: h, found: found, detail: detail, advice: advice}
}

// one is a check of one statement that lists what is wrong.
type one struct {
	health         Health
	list           func() ([]string, error)
	detail, advice string
}

// all asks statement after statement. What a statement has shown counts although a later one fails.
func all(list ...one) func() ([]verdict, error) {
	return func() ([]verdict, error) {
		var out []verdict
		for _, o := range list {
			found, err := o.list()
			if err != nil {
				return out, err
			}
			out = append(out, verdictOf(o.health, found, o.detail, o.advice))
		}
		return out, nil
	}
}

// bounded is a statement that looks at the first so many rows.
func (d *doctor) bounded(ask func(context.Context, store.DBTX, int32) ([]string, error)) func() ([]string, error) {
	return func() ([]string, error) { return ask(d.ctx, d.conn, d.rows) }
}

func (d *doctor) plain(ask func(context.Context, store.DBTX) ([]string, error)) func() ([]string, error) {
	return func() ([]string, error) { return ask(d.ctx, d.conn) }
}
