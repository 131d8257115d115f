package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

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
