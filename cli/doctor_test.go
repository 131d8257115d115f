package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/cli"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/migrations"
)

const (
	Sleeper durable.Orchestration[string, int] = "sleeper"
	Mother  durable.Orchestration[string, int] = "mother"
	Child   durable.Orchestration[string, int] = "child"
	Caller  durable.Orchestration[string, int] = "caller"
	Never   durable.Activity[string, int]      = "never"
	Add     durable.Operation[int, int, int]   = "counter/add"
)

// patient is a database with instances in every state that the checks know: done-1 and done-2 have ended, waiter waits for an
// event, sleeper for a timer, mother for its child, which waits for an event, caller for an activity that no worker has,
// later is to start tomorrow, and @counter@a is an entity.
var patient = pgtest.Template{Name: "doctor", Version: migrations.Fingerprint() + "-3", Build: buildPatient}

func buildPatient(ctx context.Context, dsn string) error {
	if err := weirtest.Schema.Build(ctx, dsn); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := durable.NewClient(pool)
	if err != nil {
		return err
	}
	defer client.Close()
	wait := func(ctx *durable.Context, _ string) (int, error) { _, err := Paid.Wait(ctx); return 0, err }
	w, err := durable.NewWorker(pool, &durable.Config{Logger: slog.New(slog.DiscardHandler)},
		Item.Handler(item), Child.Handler(wait), Order.Handler(wait),
		Sleeper.Handler(func(ctx *durable.Context, _ string) (int, error) { return 0, ctx.Sleep(24 * time.Hour) }),
		Mother.Handler(func(ctx *durable.Context, in string) (int, error) { return Child.Call(ctx, in, durable.ID("child")) }),
		Caller.Handler(func(ctx *durable.Context, in string) (int, error) { return Never.Call(ctx, in) }),
		Add.Handler(func(_ *durable.EntityContext, n *int, by int) (int, error) { *n += by; return *n, nil }),
	)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(working) }()
	_, err = pool.Exec(ctx, "INSERT INTO weir.hubs (name) VALUES ('other')")
	if err == nil {
		err = fill(ctx, client)
	}
	stop()
	return errors.Join(err, <-done)
}

func fill(ctx context.Context, client *durable.Client) error {
	for id, o := range map[string]durable.Orchestration[string, int]{
		"done-1": Item, "done-2": Item, "waiter": Order, "sleeper": Sleeper, "mother": Mother, "caller": Caller,
	} {
		if _, err := o.Start(ctx, client, "x", durable.ID(id), durable.Tags{"kind": "test"}); err != nil {
			return err
		}
	}
	if _, err := Item.Start(ctx, client, "x", durable.ID("later"), durable.At(time.Now().Add(24*time.Hour))); err != nil {
		return err
	}
	for _, id := range []string{"done-1", "done-2"} {
		if _, err := Item.Instance(client, id).Wait(ctx); err != nil {
			return err
		}
	}
	for _, id := range []string{"waiter", "sleeper", "mother", "caller", "child"} {
		if _, err := Item.Instance(client, id).WaitStarted(ctx); err != nil {
			return err
		}
	}
	_, err := Add.Ask(ctx, client, "a", 2)
	return err
}

// diagnose looks at a database after a statement has changed it.
func diagnose(t *testing.T, pool *pgxpool.Pool, change string) *engine.Diagnosis {
	t.Helper()
	if change != "" {
		if _, err := pool.Exec(t.Context(), change, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	d, err := engine.Diagnose(t.Context(), engine.Config{Pool: pool}, engine.DoctorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDoctorHealthy: a database that nobody has broken is well, but for what the test leaves out.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	d := diagnose(t, pgtest.New(t, patient).Pool(t), "UPDATE weir.workers SET state = 0, ended_at = NULL, heartbeat_at = now() + interval '1 hour'")
	names := map[string]bool{}
	for _, f := range d.Findings {
		names[f.Check] = true
		// A server of tests does not wait for the disk; that is what the doctor is to say of it.
		if f.Health == engine.HealthBroken && f.Check != "settings" || f.Health == engine.HealthWarning && f.Check != "settings" && f.Check != "roles" {
			t.Errorf("%s is %s: %s %v", f.Check, f.Health, f.Detail, f.First)
		}
		if f.Health == engine.HealthSkipped && f.Check != "roles" {
			t.Errorf("%s is skipped", f.Check)
		}
	}
	for n := range strings.FieldsSeq("schema river roles settings clock load workers stuck letters orphans I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14") {
		if !names[n] {
			t.Errorf("nothing is said of %s", n)
		}
	}
}

// inst is the number of an instance, in SQL.
func inst(id string) string { return "(SELECT no FROM weir.instances WHERE id = '" + id + "')" }

// TestDoctorFinds breaks a database in every way that the doctor knows.
func TestDoctorFinds(t *testing.T) {
	t.Parallel()
	const (
		warning = engine.HealthWarning
		broken  = engine.HealthBroken
	)
	event := func(id, with string) string { // rewrites the last row of a history
		return "UPDATE weir.history SET events = convert_to(" + with + ", 'UTF8') WHERE (instance_no, seq) = (SELECT no, seq FROM weir.instances WHERE id = '" + id + "')"
	}
	for _, c := range []struct {
		what, change, check string
		health              engine.Health
		first, detail       string
	}{
		{"a start without a job", "UPDATE weir.instances SET status = 6, turn_job = NULL WHERE id = 'waiter'", "I1", broken, "waiter", "neither a turn job"},
		{"a start without its timer", "DELETE FROM weir.timers WHERE instance_no = " + inst("later"), "I1", broken, "later", "neither a turn job"},
		{"no reason to wait", "UPDATE weir.instances SET waiting = NULL WHERE id = 'waiter'", "I1", broken, "waiter", "neither a turn job"},
		{"an event of the history is gone", "DELETE FROM weir.history WHERE instance_no = " + inst("waiter"), "I2", broken, "waiter", "rows of their histories"},
		{"a gap", "UPDATE weir.history SET seq = seq + 5 WHERE instance_no = " + inst("done-1"), "I2", broken, "done-1", "rows of their histories"},
		{"a row that cannot be read", event("done-1", "'{'"), "I2", broken, "done-1: row", "do not follow"},
		{"a row with fewer events than it says", "UPDATE weir.history SET n = n + 1, seq = seq + 1 WHERE instance_no = " + inst("waiter") + "; UPDATE weir.instances SET seq = seq + 1 WHERE id = 'waiter'", "I2", broken, "waiter: row", "do not follow"},
		{"two results of a call", "INSERT INTO weir.history SELECT instance_no, seq + 3, 3, 1, convert_to('[{\"type\":\"OrchestratorStarted\",\"at\":\"2026-01-01T00:00:00Z\"},{\"type\":\"TaskCompleted\",\"at\":\"2026-01-01T00:00:00Z\",\"taskId\":0},{\"type\":\"TaskCompleted\",\"at\":\"2026-01-01T00:00:00Z\",\"taskId\":0}]', 'UTF8') FROM weir.history WHERE instance_no = " + inst("caller") + "; UPDATE weir.instances SET seq = seq + 3 WHERE id = 'caller'", "I3", broken, "caller: TaskCompleted", "more than one result"},
		{"another output", "UPDATE weir.instances SET output = '999' WHERE id = 'done-1'", "I4", broken, "done-1", "stored output"},
		{"an end that the history does not have", "UPDATE weir.instances SET status = 1, outcome = 1, completed_at = now() WHERE id = 'waiter'", "I4", broken, "waiter: status", "do not agree on the end"},
		{"a commit of the dead", "INSERT INTO weir.workers (no, state, ended_at, lock_pid, lock_backend_start, name, build, river_client, caps) VALUES (900, 1, now() - interval '1 hour', 1, now(), 'zombie', '', 'weir-900', '{}'); INSERT INTO weir.lanes (worker_no, lane, inc, batch, backend_start, pid) VALUES (900, 0, 1, 1, now(), 1)", "I5", broken, "900 (zombie)", "after they were declared dead"},
		{"an owner that nobody is", "UPDATE weir.instances SET owner = 901, turn_job = 1 WHERE id = 'waiter'", "I5", broken, "waiter", "workers that do not live"},
		{"an early start", "UPDATE weir.instances SET scheduled_at = started_at + interval '1 hour' WHERE id = 'done-1'", "I6", broken, "done-1", "before the time"},
		{"a lost timer", "DELETE FROM weir.timers WHERE instance_no = " + inst("sleeper"), "I6", broken, "sleeper", "no timer to wake them"},
		{"a late timer", "UPDATE weir.timers SET fire_at = now() - interval '1 hour' WHERE instance_no = " + inst("sleeper"), "I6", warning, "sleeper", "overdue"},
		{"a timer that fires twice", "INSERT INTO weir.history SELECT instance_no, seq + 2, 2, 1, convert_to('[{\"type\":\"OrchestratorStarted\",\"at\":\"2046-01-01T00:00:00Z\"},{\"type\":\"TimerFired\",\"at\":\"2046-01-01T00:00:00Z\",\"timerId\":7,\"fireAt\":\"2026-01-01T00:00:00Z\"}]', 'UTF8') FROM weir.history WHERE instance_no = " + inst("sleeper") + "; UPDATE weir.instances SET seq = seq + 2 WHERE id = 'sleeper'", "I6", broken, "sleeper: TimerFired", "fired twice"},
		{"a timer that fires early", "INSERT INTO weir.history SELECT instance_no, seq + 2, 2, 1, convert_to('[{\"type\":\"OrchestratorStarted\",\"at\":\"2025-01-01T00:00:00Z\"},{\"type\":\"TimerFired\",\"at\":\"2025-01-01T00:00:00Z\",\"timerId\":0,\"fireAt\":\"2026-01-01T00:00:00Z\"}]', 'UTF8') FROM weir.history WHERE instance_no = " + inst("sleeper") + "; UPDATE weir.instances SET seq = seq + 2 WHERE id = 'sleeper'", "I6", broken, "sleeper", "before they were due"},
		{"a message that nobody hears", "INSERT INTO weir.inbox (instance_no, gen, task, kind) VALUES (" + inst("waiter") + ", 0, 0, 2)", "I7", broken, "waiter", "nobody will tell them"},
		{"an event that nobody delivers", "INSERT INTO weir.outbox (created_at, hub, target, payload) SELECT now() - interval '1 hour', hub, id, '[]' FROM weir.instances WHERE id = 'waiter'", "I7", broken, "waiter", "no job delivers"},
		{"a child that nobody tells of", "UPDATE weir.instances SET status = 1, outcome = 1, completed_at = now(), output = '1' WHERE id = 'child'", "I8", broken, "mother", "wait for a child that has ended"},
		{"a child that ends twice", "INSERT INTO weir.history SELECT instance_no, seq + 3, 3, 1, convert_to('[{\"type\":\"OrchestratorStarted\",\"at\":\"2026-01-01T00:00:00Z\"},{\"type\":\"SubOrchestrationInstanceCompleted\",\"at\":\"2026-01-01T00:00:00Z\",\"taskId\":0},{\"type\":\"SubOrchestrationInstanceCompleted\",\"at\":\"2026-01-01T00:00:00Z\",\"taskId\":0}]', 'UTF8') FROM weir.history WHERE instance_no = " + inst("mother") + "; UPDATE weir.instances SET seq = seq + 3 WHERE id = 'mother'", "I8", broken, "mother: SubOrch", "recorded twice"},
		{"a second row of an entity", "INSERT INTO weir.history SELECT instance_no, seq - 1, 1, codec, events FROM weir.history WHERE instance_no = " + inst("@counter@a"), "I9", broken, "@counter@a", "one row"},
		{"a lock that its entity does not know", "INSERT INTO weir.entity_locks (entity_no, holder_no, holder_gen) VALUES (" + inst("@counter@a") + ", " + inst("waiter") + ", 0)", "I9", broken, "@counter@a", "does not know of it"},
		{"a lock of what has ended", "UPDATE weir.instances SET completed_at = now() - interval '1 hour' WHERE id = 'done-1'; INSERT INTO weir.entity_locks (entity_no, holder_no, holder_gen, granted_at) VALUES (" + inst("@counter@a") + ", " + inst("done-1") + ", 0, now() - interval '1 hour')", "I9", warning, "@counter@a", "locked by what has ended"},
		{"a turn job that is gone", "UPDATE weir.instances SET turn_job = 999999999, updated_at = now() - interval '1 hour' WHERE id = 'waiter'", "I10", broken, "waiter", "gone or finalized"},
		{"an activity that is gone", "DELETE FROM river.river_job WHERE kind LIKE '%never%'; UPDATE weir.instances SET updated_at = now() - interval '1 hour' WHERE id = 'caller'", "I10", broken, "caller", "neither a job nor a result"},
		{"an owner without a job", "UPDATE weir.instances SET owner = 1 WHERE id = 'waiter'", "I10", broken, "waiter", "no turn job"},
		{"an end with a job", "UPDATE weir.instances SET turn_job = 1 WHERE id = 'done-1'", "I10", broken, "done-1", "have ended and still"},
		{"a message of what has ended", "INSERT INTO weir.inbox (instance_no, gen, task, kind) VALUES (" + inst("done-1") + ", 0, 0, 2)", "I10", broken, "done-1", "have ended and still"},
		{"a job of what has ended", "INSERT INTO river.river_job (state, max_attempts, kind, queue, args, created_at) SELECT 'available', 9, 'turn:item', 'h' || hub || '_orch', jsonb_build_object('no', no), now() - interval '1 hour' FROM weir.instances WHERE id = 'done-1'", "I10", warning, "turn:item", "have ended, are gone"},
		{"a task of another generation", "UPDATE weir.instances SET gen = 5 WHERE id = 'caller'", "I10", warning, "never", "have ended, are gone"},
		{"counters that do not add up", "INSERT INTO weir.batch_operations (hub, kind, id, created_by, filter, options, examined, done) VALUES (1, 0, 'op-1', '', '{}', '{}', 5, 4)", "I11", broken, "op-1", "do not add up"},
		{"refusals that nobody wrote", "INSERT INTO weir.batch_operations (hub, kind, id, created_by, filter, options, examined, refused) VALUES (1, 0, 'op-2', '', '{}', '{}', 5, 5)", "I11", broken, "op-2", "do not add up"},
		{"progress with a gap", "INSERT INTO weir.progress (instance_no, seq, gen, task, attempt) VALUES (" + inst("waiter") + ", 2, 0, -1, 0)", "I11", broken, "waiter", "progress"},
		{"tags that are not indexed", "DELETE FROM weir.instance_tags WHERE instance_no = " + inst("waiter"), "I11", broken, "waiter", "by their tags"},
		{"a place that nobody holds", "INSERT INTO weir.limit_calls (instance_no, gen, task, hub, priority, name, key, granted_at) VALUES (" + inst("waiter") + ", 0, 9, 1, 2, 'api', '', now() - interval '1 hour')", "I11", warning, "api (waiter)", "hold places"},
		{"a call without a result", "INSERT INTO weir.audit_log (at, actor, actor_name, kind, action, target, address, request_id) VALUES (now() - interval '2 minutes', 'token:x', 'x', 'TOKEN', 'terminateOrchestration', 'i-1', '', '')", "I12", warning, "terminateOrchestration of i-1 by token:x", "have no result"},
		{"history of nobody", "INSERT INTO weir.history (instance_no, seq, n, codec, events) VALUES (77777777, 1, 1, 1, '[]')", "I13", broken, "history of number 77777777", "rows are left"},
		{"keys of nobody", "INSERT INTO weir.event_keys VALUES (77777777, 'k')", "I13", broken, "event_keys of number 77777777", "rows are left"},
		{"a parent in another hub", "UPDATE weir.instances SET hub = (SELECT no FROM weir.hubs WHERE name = 'other') WHERE id = 'child'", "I14", broken, "child: its parent", "another hub"},
		{"a tag in another hub", "UPDATE weir.instance_tags SET hub = 99 WHERE instance_no = " + inst("waiter"), "I14", broken, "waiter: a tag", "another hub"},
		{"an old schema", "DELETE FROM weir.migrations WHERE version = (SELECT max(version) FROM weir.migrations)", "schema", broken, "", "this program needs"},
		{"a new schema", "INSERT INTO weir.migrations (version, name) VALUES (9999, 'x')", "schema", broken, "", "this program knows"},
		{"no schema", "DROP SCHEMA weir CASCADE", "schema", broken, "", "at version 0"},
		{"no tables of River", "ALTER SCHEMA river RENAME TO elsewhere", "river", broken, "", "has no tables of River"},
		{"an older River", "DELETE FROM river.river_migration WHERE version > 4", "river", broken, "", "at version 4"},
		{"a newer River", "INSERT INTO river.river_migration (line, version) VALUES ('main', 99)", "river", warning, "", "at version 99"},
		{"an index of River is gone", "DROP INDEX river.river_job_prioritized_fetching_index", "river", broken, "river_job_prioritized_fetching_index", "missing"},
		{"an index that is not valid", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'weir.instances_name'::regclass", "schema", broken, "weir.instances_name", "not made to their end"},
		{"no worker", "SELECT 1", "workers", warning, "", "neither a server nor a worker"},
		{"a silent worker", "UPDATE weir.workers SET state = 0, heartbeat_at = now() - interval '1 hour'", "workers", warning, "", "not been heard of"},
		{"a dead worker", "UPDATE weir.workers SET state = 1, ended_at = now()", "workers", warning, "", "declared dead"},
		{"a hub without workers", "SELECT 1", "workers", warning, "default", "no worker is online"},
		{"a held turn", "UPDATE weir.instances SET held = '{\"kind\":\"panic\"}' WHERE id = 'waiter'", "stuck", warning, "waiter", "is held"},
		{"a turn that nobody takes", "INSERT INTO river.river_job (id, state, max_attempts, kind, queue, args, scheduled_at) SELECT 999, 'available', 9, 'turn:order', 'h' || hub || '_orch', jsonb_build_object('no', no), now() - interval '1 hour' FROM weir.instances WHERE id = 'waiter'; UPDATE weir.instances SET turn_job = 999 WHERE id = 'waiter'", "stuck", warning, "waiter", "nobody has taken them up"},
		{"a dead letter", "INSERT INTO weir.deaths (instance_no, seq, last_at, until, held_at, gen, task, hub, deaths, worker) VALUES (" + inst("waiter") + ", 0, now(), now(), now(), 0, 3, 1, 10, 'w')", "letters", warning, "waiter (activity 3)", "dead letters"},
		{"a job of the dead", "INSERT INTO river.river_job (state, attempt, max_attempts, kind, queue, args, attempted_at, attempted_by) VALUES ('running', 1, 9, 'weir.deliver', 'weir_system', '{}', now() - interval '1 hour', '{weir-900-x}')", "orphans", warning, "weir.deliver", "do not live"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			d := diagnose(t, pgtest.New(t, patient).Pool(t), c.change)
			var said []string
			for _, f := range d.Findings {
				if f.Check != c.check {
					continue
				}
				said = append(said, string(f.Health)+": "+f.Detail+" "+strings.Join(f.First, ","))
				if f.Health == c.health && strings.Contains(f.Detail, c.detail) && (c.first == "" || strings.Contains(strings.Join(f.First, ","), c.first)) {
					if f.Advice == "" || c.first != "" && f.Count == 0 {
						t.Errorf("it does not say what to do, or how many: %+v", f)
					}
					return
				}
			}
			t.Errorf("%s is not found; of %s it says %q", c.what, c.check, said)
		})
	}
}

// TestDoctorRoles: what a role lacks, and what it has too much.
func TestDoctorRoles(t *testing.T) {
	pool := pgtest.New(t, patient).Pool(t)
	if err := migrations.CreateRoles(t.Context(), pool, migrations.Schemas{}, migrations.Roles{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	of := func(d *engine.Diagnosis) (said []string) {
		for _, f := range d.Findings {
			if f.Check == "roles" && f.Health != engine.HealthOK {
				said = append(said, f.Detail+": "+strings.Join(f.First, "; "))
			}
		}
		return said
	}
	if said := of(diagnose(t, pool, "")); len(said) > 0 {
		t.Errorf("of roles as they are made it says %q", said)
	}
	said := strings.Join(of(diagnose(t, pool, "CREATE TABLE weir.later (n integer); GRANT INSERT ON weir.inbox TO weir_reader")), "\n")
	for _, want := range []string{"lack rights to tables: weir_reader: later; weir_server: later; weir_worker: later", "more to tables than they need: weir_reader: inbox"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
	// A reader may look, at all but the rights of others.
	if _, err := pool.Exec(t.Context(), "DROP TABLE weir.later"); err != nil {
		t.Fatal(err)
	}
	cfg := pool.Config()
	cfg.ConnConfig.RuntimeParams["role"] = "weir_reader"
	reader, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, f := range diagnose(t, reader, "").Findings {
		if strings.Contains(f.Detail, "may not read") != (f.Check == "I12") { // the audit log is the server's alone
			t.Errorf("%s: %s", f.Check, f.Detail)
		}
	}
}

// TestDoctorSettings: what a server must have, seen on one that does not.
func TestDoctorSettings(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Server(t, pgtest.ServerOptions{Fsync: true, Settings: map[string]string{"autovacuum": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "20"}})
	pool := cluster.New(t, weirtest.Schema).Pool(t)
	var crowd []*pgx.Conn
	for range 17 {
		c, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		crowd = append(crowd, c)
	}
	if len(crowd) != 17 {
		t.Fatal("no crowd")
	}
	said := map[string]engine.Health{}
	for _, f := range diagnose(t, pool, "").Findings {
		for _, name := range f.First {
			said[name] = f.Health
		}
	}
	for name, want := range map[string]engine.Health{"autovacuum = off": engine.HealthBroken, "synchronous_commit = off": engine.HealthWarning, "full_page_writes = off": engine.HealthBroken, "fsync = off": ""} {
		if said[name] != want {
			t.Errorf("%s is %q, want %q", name, said[name], want)
		}
	}
	full := false
	for name := range said {
		full = full || strings.HasSuffix(name, " of 20 connections")
	}
	if !full {
		t.Errorf("it does not say that connections are taken: %v", said)
	}
}

// TestDoctorBesideLocks: it waits for nobody for long, writes nothing, and says what it could not tell.
func TestDoctorBesideLocks(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, patient).Pool(t)
	locker, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Release()
	if _, err := locker.Exec(t.Context(), "BEGIN; LOCK TABLE weir.progress IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	d, err := engine.Diagnose(t.Context(), engine.Config{Pool: pool}, engine.DoctorOptions{Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, f := range d.Findings {
		if strings.Contains(f.Detail, "could not be told") && f.Health == engine.HealthWarning && f.Advice != "" {
			said++
		}
	}
	if said != 2 || d.Health == engine.HealthBroken && d.Findings[0].Health == engine.HealthBroken {
		t.Errorf("of %d checks it says that they could not be told, want I11 and I13: %+v", said, d.Findings)
	}
}

// TestDoctorCommand: table, JSON and exit codes.
func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	run := func(pool *pgxpool.Pool, args ...string) (string, int, error) {
		var out strings.Builder
		d, err := cli.ParseDoctor(args, &out)
		if err == nil {
			err = d.Run(t.Context(), pool, "weir", "river", &out)
		}
		var exit *cli.Exit
		var usage cli.Usage
		switch {
		case err == nil:
			return out.String(), 0, nil
		case errors.As(err, &exit):
			return out.String(), exit.Code, err
		case errors.As(err, &usage):
			return out.String(), 2, err
		}
		return out.String(), 1, err
	}
	pool := pgtest.New(t, patient).Pool(t)
	if _, err := pool.Exec(t.Context(), "DELETE FROM weir.timers WHERE instance_no = "+inst("sleeper")); err != nil {
		t.Fatal(err)
	}
	out, code, err := run(pool)
	if code != 2 || err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("exit code %d, %v", code, err)
	}
	for _, want := range []string{"CHECK", "I6", "broken", "no timer to wake them", "first: sleeper", "do: "} {
		if !strings.Contains(out, want) {
			t.Errorf("the table does not have %q:\n%s", want, out)
		}
	}
	out, code, _ = run(pool, "--json")
	var d engine.Diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 2 || d.Health != engine.HealthBroken || len(d.Findings) < 24 || d.At.IsZero() {
		t.Errorf("%v, %d, %+v", err, code, d)
	}
	for args, want := range map[string]string{"--rows 0": "rows: is 0", "--rows 1000001": "rows: is 1000001", "--rows x": "invalid value", "--timeout 1ms": "timeout: is 1ms", "extra": `"extra" is no flag`, "--nonsense": "not defined"} {
		if out, code, err := run(pool, strings.Fields(args)...); code != 2 || err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%s: %d, %v, %q", args, code, err, out)
		}
	}
	nowhere, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	if out, code, err := run(nowhere); code != cli.ExitUnreachable || err == nil || out != "" {
		t.Errorf("without a database: %d, %v, %q", code, err, out)
	}
	if out, code, _ := run(pool, "--help"); !strings.Contains(out, "Exit codes") || code == 2 {
		t.Errorf("help: %d %s", code, out)
	}
}
