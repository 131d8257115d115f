package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
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

// tellUs is what to do about what nobody can have done but a fault of the program's, or somebody's SQL.
const tellUs = "nothing of Weir's does that: find out who writes to its tables; else report it, with the instance's history"

// invariants are what must be true of every database, whatever has happened to those who work on it.
func (d *doctor) invariants() []check {
	q := d.q
	var followed [5]verdict
	var early, outputs []string
	return []check{
		{"I1", "every instance has ended, or has something to move it", all(
			one{HealthBroken, d.bounded(q.DoctorStranded), "live instances have neither a turn job nor a timer, a message or anything else to wait for", "give them a turn: suspend and resume them; " + tellUs},
		)},
		{"I2", "histories have no gap, no duplicate, and only grow", func() ([]verdict, error) {
			gaps, err := q.DoctorGaps(d.ctx, d.conn, d.rows)
			if err == nil {
				followed, outputs, early, err = d.follow()
			}
			return []verdict{broken(gaps, "the rows of their histories do not follow each other, or do not end where the instances stand", tellUs), followed[history.FaultOrder]}, err
		}},
		{"I3", "each activity has at most one result", func() ([]verdict, error) { return []verdict{followed[history.FaultAnswer]}, nil }},
		{"I4", "stored results are those of the histories", func() ([]verdict, error) {
			return []verdict{
				followed[history.FaultEnd],
				broken(outputs, "the stored output is another than that of the history", tellUs+"; `weir replay` shows what the code makes of it"),
			}, nil
		}},
		{"I5", "who is declared dead commits nothing", all(
			one{HealthBroken, d.plain(q.DoctorFenced), "workers have committed after they were declared dead, or had left", tellUs},
			one{HealthBroken, d.bounded(q.DoctorLostOwners), "instances belong to workers that do not live, and nobody has taken them over for a minute", "run a server or a worker: each takes over from the dead; look at its log for what keeps it from that"},
		)},
		{"I6", "timers fire once, and not early", func() ([]verdict, error) {
			vs, err := all(
				one{HealthBroken, d.bounded(q.DoctorEarly), "instances began before the time they were to start at", tellUs},
				one{HealthBroken, d.bounded(q.DoctorLostTimers), "instances sleep and have no timer to wake them", tellUs},
				one{HealthWarning, d.plain(q.DoctorLateTimers), "timers are overdue by more than a minute", "run a server or a worker: each fires timers; look at the database's load if one runs"},
			)()
			return append(vs, followed[history.FaultTimer], broken(early, "timers fired before they were due", tellUs)), err
		}},
		{"I7", "messages are delivered once, and not lost", all(
			one{HealthBroken, d.bounded(q.DoctorUnheard), "instances have messages that they could act on, and nobody will tell them", "raise another event, or suspend and resume them: that wakes them; " + tellUs},
			one{HealthBroken, d.bounded(q.DoctorUndelivered), "events wait in the outbox for these, and no job delivers them", "raise another event to them: that delivers what waits, too; find out who has deleted jobs of the kind weir.deliver"},
		)},
		{"I8", "the end of a child is told once", func() ([]verdict, error) {
			untold, err := q.DoctorUntold(d.ctx, d.conn, d.rows)
			return []verdict{broken(untold, "instances wait for a child that has ended, and no message tells them", tellUs), followed[history.FaultChild]}, err
		}},
		{"I9", "operations of an entity come one after the other", all(
			one{HealthBroken, d.bounded(q.DoctorEntities), "entities have another history than the one row that each commit replaces", tellUs},
			one{HealthBroken, d.bounded(q.DoctorLocks), "locks are of what is no entity, or of one that does not know of it", tellUs},
			one{HealthWarning, d.bounded(q.DoctorOrphanLocks), "entities are locked by what has ended", "run a server or a worker, whose leader releases such locks, or call cleanEntities"},
		)},
		{"I10", "job rows and instances agree", func() ([]verdict, error) {
			lost, unheld, err := d.audit()
			vs := []verdict{
				broken(lost, "instances have a turn job that is gone or finalized, and nobody will work it", "run a server or a worker, whose audit replaces it within minutes; find out who deletes or cancels River's jobs"),
				broken(unheld, "instances wait for an activity that has neither a job nor a result", "run a server or a worker, whose audit dispatches it again; find out who deletes River's jobs"),
			}
			if err != nil {
				return vs, err
			}
			more, err := all(
				one{HealthBroken, d.bounded(q.DoctorOwnersWithoutJob), "instances have an owner and no turn job", tellUs},
				one{HealthBroken, d.bounded(q.DoctorUnended), "instances have ended and still have an owner, a turn job, messages or timers", tellUs},
				one{HealthWarning, d.bounded(q.DoctorStrayJobs), "jobs are of instances that have ended, are gone, or have another job", "run a worker: it drops those of turns; delete those of activities if they stay"},
			)()
			return append(vs, more...), err
		}},
		{"I11", "counters are what a count gives", all(
			one{HealthBroken, d.bounded(q.DoctorOperationCounters), "the counters of batch operations do not add up", tellUs},
			one{HealthBroken, d.bounded(q.DoctorProgressGaps), "the progress of instances has gaps", tellUs},
			one{HealthBroken, d.bounded(q.DoctorTags), "instances are not found by their tags as they are", "set a tag of theirs anew, which rewrites the index; look whether triggers of the table instances are disabled"},
			one{HealthWarning, d.bounded(q.DoctorPlaces), "calls that are gone hold places in limits", "run a server or a worker, whose leader frees them"},
		)},
		{"I12", "each change has one row in the audit", func() ([]verdict, error) {
			return []verdict{{health: HealthSkipped, detail: "this version keeps no audit of changes"}}, nil
		}},
		{"I13", "a purge leaves nothing behind", all(
			one{HealthBroken, d.bounded(q.DoctorRemains), "rows are left of instances that are gone", tellUs},
		)},
		{"I14", "what is a hub's stays in the hub", all(
			one{HealthBroken, d.bounded(q.DoctorCrossings), "instances have to do with something of another hub", tellUs},
		)},
	}
}

// audit looks for lost turn jobs and activities, as the leader does (audit.go).
func (d *doctor) audit() (turns, tasks []string, err error) {
	hub := int32(0)
	for {
		if hub, err = d.q.NextHub(d.ctx, d.conn, hub); err != nil || hub == 0 {
			return turns, tasks, err
		}
		rows, err := d.q.AuditInstances(d.ctx, d.conn, store.AuditInstancesParams{Age: 1, Hub: hub, Chunk: d.rows})
		if err != nil {
			return turns, tasks, err
		}
		var nos []int64
		kind := map[int64]int32{}
		for _, r := range rows {
			if r.Found != 0 && len(nos) < doctorMost {
				nos, kind[r.No] = append(nos, r.No), r.Found
			}
		}
		named, err := d.q.FindInstancesByNo(d.ctx, d.conn, nos)
		if err != nil {
			return turns, tasks, err
		}
		for _, i := range named {
			if kind[i.No] == 1 {
				turns = append(turns, i.ID)
			} else {
				tasks = append(tasks, i.ID)
			}
		}
	}
}

// historiesAtOnce is how many histories are read in one statement.
const historiesAtOnce = 20

// follow reads a sample of histories, and returns what is wrong with them by the kind of fault, the instances whose output is
// another than their history's, and those with a timer that fired early.
func (d *doctor) follow() (faults [5]verdict, outputs, early []string, err error) {
	nos, err := d.q.DoctorSample(d.ctx, d.conn, max(10, d.rows/100))
	if err != nil {
		return faults, nil, nil, err
	}
	details := [...]string{
		history.FaultOrder: "events in histories do not follow each other", history.FaultAnswer: "histories have more than one result of a call, or one of no call",
		history.FaultTimer: "timers fired twice", history.FaultChild: "the end of a child was recorded twice", history.FaultEnd: "instances and their histories do not agree on the end",
	}
	for part := range slices.Chunk(nos, historiesAtOnce) {
		rows, err := d.q.DoctorHistories(d.ctx, d.conn, part)
		if err != nil {
			return faults, outputs, early, err
		}
		for len(rows) > 0 {
			n := slices.IndexFunc(rows, func(r store.DoctorHistoriesRow) bool { return r.No != rows[0].No })
			if n < 0 {
				n = len(rows)
			}
			of, other, tooEarly := followOne(rows[:n])
			for _, fault := range of {
				v := &faults[fault.Kind]
				*v = broken(append(v.found, rows[0].ID+": "+fault.Text), details[fault.Kind], tellUs)
			}
			if other {
				outputs = append(outputs, rows[0].ID)
			}
			if tooEarly {
				early = append(early, rows[0].ID)
			}
			rows = rows[n:]
		}
	}
	return faults, outputs, early, nil
}

// followOne follows the history of one instance.
func followOne(rows []store.DoctorHistoriesRow) (faults []history.Fault, otherOutput, early bool) {
	var f history.Follower
	for _, r := range rows {
		events, err := history.Decode(r.Codec, r.Events)
		if err != nil {
			return append(f.Faults, history.Fault{Kind: history.FaultOrder, Text: fmt.Sprintf("row %d cannot be read: %v", r.Seq, err)}), false, false
		}
		f.Row(r.Seq, r.N, events)
		turn := time.Time{}
		for _, e := range events {
			switch e := e.(type) {
			case *history.OrchestratorStarted:
				turn = e.At
			case *history.TimerFired:
				// Its turn begins by the worker's idea of the database's clock, which is a little off.
				early = early || !turn.IsZero() && turn.Before(e.FireAt.Add(-time.Second))
			}
		}
	}
	i := rows[0]
	status := statusOf(i.Status)
	f.Close(i.At, i.BaseSeq, status)
	if end := f.Result(); end != nil && status == history.Completed && i.At >= i.BaseSeq {
		if ref, elsewhere := end.Result.Stored(); elsewhere {
			otherOutput = ref != i.OutputRef
		} else {
			otherOutput = !bytes.Equal(end.Result.Inline(), i.Output)
		}
	}
	return f.Faults, otherOutput, early
}

// surroundings are what Weir needs around it, and what waits for somebody.
func (d *doctor) surroundings() []check {
	q := d.q
	return []check{
		{"roles", "roles in Postgres have what they need, and no more", d.roles},
		{"settings", "Postgres is set up to keep what it is given", d.settings},
		{"clock", "this machine's clock is the database's", d.clock},
		{"load", "Postgres has room, and can clear up", d.load},
		{"workers", "workers are online where there is work", d.workers},
		{"stuck", "instances move", all(
			one{HealthWarning, d.bounded(q.DoctorHeld), "the turn of instances is held: their code does not match their history, or panics", "`weir get` says why; bring back the code that fits, beside the new"},
			one{HealthWarning, d.plain(q.DoctorStuck), "turns have been due for more than a minute, and nobody has taken them up", "run workers that have these orchestrations, in these versions, or more of them: `weir get` says what is missing"},
		)},
		{"letters", "nothing kills worker after worker", all(
			one{HealthWarning, d.plain(q.DoctorLetters), "turns or activities are dead letters: worker after worker died of them", "look into the log of the worker that died last (`weir letters list`), mend its code, and redrive them: `weir letters redrive`"},
		)},
		{"orphans", "no job runs in the name of the dead", all(
			one{HealthWarning, d.plain(q.DoctorOrphans), "jobs have run for more than a minute in the name of workers that do not live", "run a server or a worker: each sweeps up after the dead"},
		)},
	}
}

func (d *doctor) roles() ([]verdict, error) {
	roles, err := d.db.DoctorRoles(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	if len(roles) == 0 {
		return []verdict{{health: HealthSkipped, detail: "there are none: processes work under the account that owns the tables, or another", advice: "`weir migrate --roles` makes them"}}, nil
	}
	var lacks, tooMuch []string
	for _, r := range roles {
		if len(r.Lacks) > 0 {
			lacks = append(lacks, r.Role+": "+strings.Join(r.Lacks, ", "))
		}
		if len(r.TooMuch) > 0 {
			tooMuch = append(tooMuch, r.Role+": "+strings.Join(r.TooMuch, ", "))
		}
	}
	return []verdict{
		warning(lacks, "roles lack rights to tables", "repeat `weir migrate --roles` after each migration"),
		warning(tooMuch, "roles may do more to tables than they need", "repeat `weir migrate --roles`, which takes away what was granted besides"),
	}, nil
}

func (d *doctor) settings() ([]verdict, error) {
	s, err := d.db.DoctorSettings(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	var vs []verdict
	for _, r := range []struct {
		name, bad      string
		health         Health
		detail, advice string
	}{
		{"fsync", "off", HealthBroken, "a crash of the machine can destroy the database", "set it to on"},
		{"full_page_writes", "off", HealthBroken, "a crash of the machine can leave torn pages", "set it to on, unless the file system writes whole pages"},
		{"autovacuum", "off", HealthBroken, "dead rows are never cleared, and everything gets slower", "set it to on"},
		{"track_counts", "off", HealthBroken, "autovacuum does not know what to do without it", "set it to on"},
		{"synchronous_commit", "off", HealthWarning, "Weir's own commits wait for the disk nevertheless; those of your transactions may be lost in a crash, with what they started", "set it to on for the accounts that use StartTx and RaiseTx"},
		{"wal_level", "minimal", HealthWarning, "it allows neither archiving nor standbys: a backup is as old as it is", "set it to replica"},
	} {
		if s[r.name] == r.bad {
			vs = append(vs, verdict{health: r.health, found: []string{r.name + " = " + r.bad}, detail: r.detail, advice: r.advice})
		}
	}
	if version, _ := strconv.Atoi(s["server_version_num"]); version < 150_000 {
		vs = append(vs, verdict{health: HealthBroken, found: []string{"server_version_num = " + s["server_version_num"]}, detail: "this version of Postgres is too old", advice: "use 15 or newer"})
	}
	return vs, nil
}

// skewTold is how far clocks may be apart. Nothing depends on them; times that people compare do.
const skewTold = 2 * time.Second

func (d *doctor) clock() ([]verdict, error) {
	before := time.Now()
	now, err := d.q.Now(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	skew := now.Sub(before.Add(time.Since(before) / 2))
	return []verdict{skewed(skew)}, nil
}

func skewed(skew time.Duration) verdict {
	if skew.Abs() < skewTold {
		return verdict{}
	}
	return warning([]string{skew.Round(time.Millisecond).String()}, "the clocks of this machine and of the database are apart", "synchronise them; Weir goes by the database's, but times in logs and filters do not fit")
}

// Bounds of what Postgres should have.
const (
	xactTold   = 10 * 60 // seconds
	frozenTold = 1_000_000_000
)

func (d *doctor) load() ([]verdict, error) {
	l, err := d.db.DoctorLoad(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	s, err := d.db.DoctorSettings(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	bloat, err := d.db.DoctorBloat(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	most, _ := strconv.Atoi(s["max_connections"])
	vs := []verdict{warning(bloat, "most rows of tables are dead", "look for old transactions and prepared ones, then at the settings of autovacuum")}
	if most > 0 && int(l.Connections)*10 >= most*9 {
		vs = append(vs, verdict{health: HealthWarning, found: []string{fmt.Sprintf("%d of %d connections", l.Connections, most)}, detail: "nearly all connections are taken", advice: "raise max_connections, or have fewer processes or smaller pools"})
	}
	if l.OldestXact > xactTold {
		vs = append(vs, verdict{
			health: HealthWarning, found: []string{(time.Duration(l.OldestXact) * time.Second).String()},
			detail: "a transaction has been open for long: nothing that was deleted since can be cleared", advice: "find it in pg_stat_activity by xact_start, and end it",
		})
	}
	if l.FrozenAge > frozenTold {
		vs = append(vs, verdict{
			health: HealthWarning, found: []string{strconv.FormatInt(l.FrozenAge, 10) + " transactions"},
			detail: "rows of this database are near the age at which Postgres stops to take writes", advice: "look for what keeps autovacuum from freezing: old transactions, prepared ones, replication slots",
		})
	}
	return vs, nil
}

func (d *doctor) workers() ([]verdict, error) {
	rows, err := d.q.DoctorWorkers(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	unserved, err := d.q.DoctorUnserved(d.ctx, d.conn)
	if err != nil {
		return nil, err
	}
	var silent, lost []string
	online := 0
	for _, w := range rows {
		name := fmt.Sprintf("%d (%s)", w.No, w.Name)
		switch {
		case w.State == int16(WorkerLost):
			lost = append(lost, name)
		case w.State == int16(WorkerOnline):
			online++
			if w.Silent > silentAfter.Seconds() {
				silent = append(silent, name)
			}
		}
	}
	vs := []verdict{
		warning(unserved, "hubs have live instances, and no worker is online", "run a worker for them"),
		warning(silent, fmt.Sprintf("workers have not been heard of for more than %s", silentAfter), "they hang, or are cut off; others take over as soon as one runs"),
		warning(lost, "workers were declared dead within the last hour", "look into their logs, and those of the machine, for why they died"),
	}
	if online == 0 {
		vs = append(vs, verdict{health: HealthWarning, detail: "neither a server nor a worker is online: no timer fires, and nobody takes over from the dead", advice: "run `weir server`, or a worker"})
	}
	return vs, nil
}
