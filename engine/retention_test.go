package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// endedAgo makes instances that have ended so long ago, with the ids name-status-0, -1, and so on.
func (s *site) endedAgo(name string, status history.Status, ago time.Duration, n int) {
	s.t.Helper()
	s.exec(`INSERT INTO weir.instances (no, hub, id, name, status, outcome, created_at, updated_at, completed_at)
		SELECT nextval('weir.instance_no'), 1, $1 || '-' || $2::smallint || '-' || n, $1, $2, $2, t, t, t
		FROM generate_series(0, $4 - 1) n, (SELECT now() - $3::interval AS t) AS at`, name, int16(status), ago, n)
}

// kept counts the instances of a hub by name and status.
func (s *site) kept() (out []string) {
	s.t.Helper()
	rows, err := s.pool.Query(s.ctx, "SELECT name, status, count(*) FROM weir.instances WHERE outcome <> 100 OR outcome IS NULL GROUP BY 1, 2 ORDER BY 1, 2")
	s.no(err)
	defer rows.Close()
	for rows.Next() {
		var name string
		var status int16
		var n int
		s.no(rows.Scan(&name, &status, &n))
		out = append(out, fmt.Sprint(name, " ", history.Status(status), " ", n))
	}
	s.no(rows.Err())
	return out
}

// leader is a node that leads.
func (s *site) leader() *engine.Node {
	s.t.Helper()
	n := s.join(engine.NodeConfig{})
	s.until("it leads", n.Leads)
	return n
}

// TestRetention: of the rules that fit, the one that says most counts; a change counts from the next round on; what is live
// stays, and what has no rule.
func TestRetention(t *testing.T) {
	s := newSite(t)
	n := s.leader()
	const hour = time.Hour
	for _, name := range []string{"a", "b", "c"} {
		for _, status := range []history.Status{history.Completed, history.Failed, history.Terminated} {
			s.endedAgo(name, status, 90*time.Minute, 2)
		}
	}
	s.start("a", "live", "")
	s.exec("UPDATE weir.instances SET created_at = now() - interval '1 year' WHERE id = 'live'")
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Name: "c", Keep: 91 * time.Minute}))
	check := func(what string, want ...string) {
		t.Helper()
		s.no(n.RetainRound(s.ctx))
		if got := s.kept(); !slices.Equal(got, want) {
			t.Errorf("%s: kept are\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	all := []string{
		"a COMPLETED 2", "a FAILED 2", "a TERMINATED 2", "a PENDING 1", "b COMPLETED 2", "b FAILED 2", "b TERMINATED 2",
		"c COMPLETED 2", "c FAILED 2", "c TERMINATED 2",
	}
	check("nothing is due", all...)
	for _, r := range []engine.Retention{
		{Keep: hour},
		{Status: new(history.Failed), Keep: 0},
		{Name: "b", Keep: 0},
		{Name: "b", Status: new(history.Failed), Keep: hour},
		{Name: "c", Keep: 2 * hour},
	} {
		s.no(s.e.SetRetention(s.ctx, "default", r))
	}
	check("by all rules",
		"a FAILED 2", "a PENDING 1", // by the status, before the hub
		"b COMPLETED 2", "b TERMINATED 2", // by the name, and failures by both
		"c COMPLETED 2", "c FAILED 2", "c TERMINATED 2") // by the name, before the status
	// A rule is replaced, and one is taken back.
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Name: "c", Keep: engine.MinKeep}))
	s.no(s.e.DeleteRetention(s.ctx, "default", "b", nil))
	check("with other rules", "a FAILED 2", "a PENDING 1")
	got, err := s.e.Retentions(s.ctx, "default")
	s.no(err)
	var rules []string
	for _, r := range got {
		status := "any"
		if r.Status != nil {
			status = r.Status.String()
		}
		if r.UpdatedAt.IsZero() {
			t.Errorf("%+v has no time", r)
		}
		rules = append(rules, fmt.Sprintf("%s/%s %s", r.Name, status, r.Keep))
	}
	if want := []string{"/any 1h0m0s", "/FAILED 0s", "b/FAILED 1h0m0s", "c/any 1m0s"}; !slices.Equal(rules, want) {
		t.Errorf("rules are %v, want %v", rules, want)
	}
}

// TestRetentionLetsWhatChangesBe: what is restarted and ends again between being found and being purged has not expired.
func TestRetentionLetsWhatChangesBe(t *testing.T) {
	s := newSite(t)
	n := s.leader()
	s.endedAgo("a", history.Completed, 2*time.Hour, 3)
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Keep: time.Hour}))
	tx, err := s.pool.Begin(s.ctx)
	s.no(err)
	defer func() { _ = tx.Rollback(s.ctx) }()
	_, err = tx.Exec(s.ctx, "UPDATE weir.instances SET seq = seq + 1, updated_at = now(), completed_at = now() WHERE id LIKE 'a-%-1'")
	s.no(err)
	round := make(chan error, 1)
	go func() { round <- n.RetainRound(s.ctx) }()
	s.until("the round waits for the lock", func() (waits bool) {
		s.no(s.pool.QueryRow(s.ctx, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%LockUnchanged%')`).Scan(&waits))
		return waits
	})
	s.no(tx.Commit(s.ctx))
	s.no(<-round)
	if got, want := s.kept(), []string{"a COMPLETED 1"}; !slices.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

// TestRetentionPages: thousands go, names and statuses by the hundreds, and what belongs to them; another hub has rules of
// its own.
func TestRetentionPages(t *testing.T) {
	s := newSite(t)
	n := s.leader()
	s.no(s.e.EnsureHub(s.ctx, "other"))
	for i := range 260 { // more names than one statement looks at
		s.endedAgo(fmt.Sprintf("n%03d", i), history.Completed, 2*time.Hour, 1)
	}
	s.endedAgo("many", history.Completed, 2*time.Hour, 1205)
	s.endedAgo("many", history.Canceled, 59*time.Minute, 3)
	s.endedAgo("zz", history.Failed, 2*time.Hour, 4)
	s.exec(`INSERT INTO weir.history (instance_no, seq, n, codec, events) SELECT no, 1, 1, 1, '[]' FROM weir.instances`)
	s.exec("UPDATE weir.instances SET parent_no = (SELECT no FROM weir.instances WHERE id = 'many-4-0') WHERE id = 'many-1-7'")
	s.exec("UPDATE weir.instances SET hub = (SELECT no FROM weir.hubs WHERE name = 'other') WHERE id = 'zz-3-3'")
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Keep: time.Hour}))
	s.no(s.e.SetRetention(s.ctx, "other", engine.Retention{Keep: 3 * time.Hour}))
	s.no(n.RetainRound(s.ctx))
	if got, want := s.kept(), []string{"many CANCELED 3", "zz FAILED 1"}; !slices.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
	if n := s.number("SELECT count(*) FROM weir.history"); n != 4 {
		t.Errorf("%d histories are left", n)
	}
	s.no(s.e.SetRetention(s.ctx, "other", engine.Retention{Keep: time.Hour}))
	s.no(n.RetainRound(s.ctx))
	if got, want := s.kept(), []string{"many CANCELED 3"}; !slices.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

// TestRetentionIsTheLeaders: others do nothing.
func TestRetentionIsTheLeaders(t *testing.T) {
	s := newSite(t)
	s.leader()
	other := s.join(engine.NodeConfig{})
	s.endedAgo("a", history.Completed, time.Hour, 1)
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Keep: time.Minute}))
	s.no(other.RetainRound(s.ctx))
	if got := s.kept(); len(got) != 1 {
		t.Errorf("kept are %v", got)
	}
}

func TestRetentionBadInput(t *testing.T) {
	s := newSite(t)
	hour := engine.Retention{Keep: time.Hour}
	for _, c := range []struct {
		hub    string
		change func(r *engine.Retention)
		code   engine.Code
		field  string
		says   string
	}{
		{"nowhere", func(*engine.Retention) {}, engine.CodeNotFound, "hub", "nowhere"},
		{"default", func(r *engine.Retention) { r.Keep = time.Minute - 1 }, engine.CodeInvalid, "keep", "a minute to"},
		{"default", func(r *engine.Retention) { r.Keep = -time.Hour }, engine.CodeInvalid, "keep", "a minute to"},
		{"default", func(r *engine.Retention) { r.Keep = engine.MaxKeep + 1 }, engine.CodeInvalid, "keep", "876000h"},
		{"default", func(r *engine.Retention) { r.Status = new(history.Running) }, engine.CodeInvalid, "status", "RUNNING"},
		{"default", func(r *engine.Retention) { r.Status = new(history.Status(100)) }, engine.CodeInvalid, "status", "COMPLETED"},
		{"default", func(r *engine.Retention) { r.Name = strings.Repeat("x", 81) }, engine.CodeInvalid, "name", "80"},
		{"default", func(r *engine.Retention) { r.Name = "\xff" }, engine.CodeInvalid, "name", "UTF-8"},
	} {
		r := hour
		c.change(&r)
		err := s.e.SetRetention(s.ctx, c.hub, r)
		var coded *engine.Error
		if !errors.As(err, &coded) || coded.Code != c.code || coded.Field != c.field || !strings.Contains(coded.Message, c.says) {
			t.Errorf("%+v: %v, want %s of %s: %s", r, err, c.code, c.field, c.says)
		}
	}
	for _, r := range []engine.Retention{{}, {Name: "a"}, {Status: new(history.Failed)}} {
		if err := s.e.DeleteRetention(s.ctx, "default", r.Name, r.Status); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("no rule for %+v: %v", r, err)
		}
	}
	s.exec("INSERT INTO weir.retention (hub, name) SELECT 1, n::text FROM generate_series(1, 1000) n")
	if err := s.e.SetRetention(s.ctx, "default", hour); !errors.Is(err, engine.ErrWrongState) || !strings.Contains(err.Error(), "1000") {
		t.Errorf("the rule too much: %v", err)
	}
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Name: "7", Keep: time.Hour})) // which is there
}

// TestRetentionStopsAtOnce: a rule that changes while purging goes on counts from the next page on.
func TestRetentionStopsAtOnce(t *testing.T) {
	s := newSite(t)
	n := s.paced()
	s.until("it leads", n.Leads)
	s.endedAgo("a", history.Completed, time.Hour, 350)
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Keep: time.Minute}))
	done := make(chan error, 1)
	go func() { done <- n.RetainRound(s.ctx) }()
	n.rested(s)
	n.on <- struct{}{}
	n.rested(s)
	s.no(s.e.SetRetention(s.ctx, "default", engine.Retention{Name: "a"})) // for ever
	n.on <- struct{}{}
	n.rested(s)
	n.on <- struct{}{}
	s.no(<-done)
	if got, want := s.kept(), []string{"a COMPLETED 150"}; !slices.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}
