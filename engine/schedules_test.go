package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/schedule"
)

// hourly is a schedule of every hour that is not due while a test runs, unless the test makes it so.
func hourly(id string) engine.ScheduleDefinition {
	return engine.ScheduleDefinition{
		ID: id, Orchestration: "waits", Input: history.Text(`{"n":1}`), CatchUp: 24 * time.Hour,
		Spec: schedule.Spec{Every: time.Hour, From: time.Now().Add(-6*time.Hour - 30*time.Minute).Truncate(time.Second)},
	}
}

func (s *site) put(d engine.ScheduleDefinition) *engine.Schedule {
	s.t.Helper()
	got, err := s.e.PutSchedule(s.ctx, "default", d, engine.PutOptions{})
	s.no(err)
	return got
}

func (s *site) schedule(id string) *engine.Schedule {
	s.t.Helper()
	got, err := s.e.Schedule(s.ctx, "default", id)
	s.no(err)
	return got
}

// overdue makes the last n firings before now due.
func (s *site) overdue(d engine.ScheduleDefinition, n int) (firings []time.Time) {
	s.t.Helper()
	times, err := schedule.New(d.Spec, d.ID)
	s.no(err)
	all := times.Between(d.Spec.From, time.Now(), 1000)
	firings = all[len(all)-n:]
	s.exec("UPDATE weir.schedules SET seq = seq + 1, next_at = $2, due_at = $2 WHERE id = $1", d.ID, firings[0])
	return firings
}

// instances are the schedule's instances by id, with their statuses.
func (s *site) instances(schedule string) (ids []string) {
	s.t.Helper()
	rows, err := s.pool.Query(s.ctx, "SELECT id FROM weir.instances WHERE starts_with(id, $1) ORDER BY id", schedule+"-")
	s.no(err)
	defer rows.Close()
	for rows.Next() {
		var id string
		s.no(rows.Scan(&id))
		ids = append(ids, id)
	}
	s.no(rows.Err())
	return ids
}

func idsOf(schedule string, firings ...time.Time) (ids []string) {
	for _, f := range firings {
		ids = append(ids, schedule+"-"+f.UTC().Format(time.RFC3339))
	}
	return ids
}

// actedOn waits until as many firings of the schedule were started, buffered or skipped.
func (s *site) actedOn(id string, n int) *engine.Schedule {
	s.t.Helper()
	var got *engine.Schedule
	s.until(fmt.Sprintf("%d firings of %s were acted on", n, id), func() bool {
		got = s.schedule(id)
		return int(got.Runs+got.Skipped)+len(got.Buffered) >= n
	})
	return got
}

func (s *site) end(id string) {
	s.t.Helper()
	s.no(s.e.Terminate(s.ctx, engine.TerminateRequest{Hub: "default", Instance: id}))
}

// TestSchedulePolicies: three firings are overdue, with the last instance running or not, under each policy, with a
// window that reaches back for all of them or none. Then that instance ends.
func TestSchedulePolicies(t *testing.T) {
	s := newSite(t)
	s.join(engine.NodeConfig{})
	for _, overlap := range []engine.Overlap{engine.OverlapSkip, engine.OverlapBufferOne, engine.OverlapBufferAll, engine.OverlapTerminate, engine.OverlapAllow} {
		for _, runs := range []bool{false, true} {
			for _, window := range []time.Duration{10 * time.Second, 24 * time.Hour} {
				d := hourly(strings.ToLower(fmt.Sprintf("%s.%v.%s", overlap, runs, window)))
				d.Overlap, d.CatchUp = overlap, window
				s.put(d)
				done, first := 0, ""
				if runs {
					started, err := s.e.RunSchedule(s.ctx, "default", d.ID)
					s.no(err)
					done, first = 1, started.ID
				}
				f := s.overdue(d, 3)
				got := s.actedOn(d.ID, done+3)
				var started, buffered []time.Time
				switch {
				case window < time.Hour: // all too late
				case overlap == engine.OverlapAllow:
					started = f
				case overlap == engine.OverlapTerminate:
					started = f[2:]
				case !runs:
					started = f[:1]
				}
				if window > time.Hour {
					rest := f[len(started):]
					switch overlap {
					case engine.OverlapBufferAll:
						buffered = rest
					case engine.OverlapBufferOne:
						buffered = rest[:1]
					}
				}
				ids := slices.DeleteFunc(s.instances(d.ID), func(id string) bool { return id == first })
				if want := idsOf(d.ID, started...); !slices.Equal(ids, want) {
					t.Errorf("%s: started %v, want %v", d.ID, ids, want)
				}
				if !slices.EqualFunc(got.Buffered, buffered, time.Time.Equal) {
					t.Errorf("%s: buffered %v, want %v", d.ID, got.Buffered, buffered)
				}
				if skipped := 3 - len(started) - len(buffered); int(got.Skipped) != skipped || int(got.Runs) != done+len(started) {
					t.Errorf("%s: %d runs, %d skipped, want %d and %d", d.ID, got.Runs, got.Skipped, done+len(started), skipped)
				}
				if first != "" {
					ended := s.number("SELECT outcome FROM weir.instances WHERE id = $1", first) != 0
					if want := overlap == engine.OverlapTerminate && window > time.Hour; ended != want {
						t.Errorf("%s: the instance that ran was ended: %v, want %v", d.ID, ended, want)
					}
				}
				for i, next := range buffered { // one after the other
					if text := got.Explain(); i == 0 && !strings.Contains(text, "to end") {
						t.Errorf("%s: %q does not say what is waited for", d.ID, text)
					}
					s.end(s.schedule(d.ID).LastInstance)
					want := idsOf(d.ID, next)[0]
					s.until(want+" is started", func() bool { return slices.Contains(s.instances(d.ID), want) })
					if left := s.schedule(d.ID).Buffered; len(left) != len(buffered)-i-1 {
						t.Errorf("%s: still waiting %v", d.ID, left)
					}
				}
			}
		}
	}
}

// TestScheduleFixedID: with a fixed id a firing replaces the instance that has ended, and none that runs.
func TestScheduleFixedID(t *testing.T) {
	s := newSite(t)
	s.join(engine.NodeConfig{})
	d := hourly("fixed")
	d.InstanceID, d.Overlap = "the-one", engine.OverlapSkip
	s.put(d)
	s.overdue(d, 2)
	s.actedOn("fixed", 2)
	first := s.number("SELECT no FROM weir.instances WHERE id = 'the-one'")
	if got := s.schedule("fixed"); first == 0 || got.Runs != 1 || got.Skipped != 1 || got.LastInstance != "the-one" {
		t.Errorf("instance %d, %+v", first, got)
	}
	if _, err := s.e.RunSchedule(s.ctx, "default", "fixed"); !errors.Is(err, engine.ErrWrongState) || !strings.Contains(err.Error(), "the-one") {
		t.Errorf("run while it runs: %v", err)
	}
	if _, err := s.e.Backfill(s.ctx, "default", "fixed", time.Now().Add(-3*time.Hour), time.Now().Add(-time.Minute)); !errors.Is(err, engine.ErrWrongState) {
		t.Errorf("backfill: %v", err)
	}
	s.end("the-one")
	if started, err := s.e.RunSchedule(s.ctx, "default", "fixed"); err != nil || started.ID != "the-one" {
		t.Errorf("run: %+v, %v", started, err)
	}
	second := s.number("SELECT no FROM weir.instances WHERE id = 'the-one'")
	d.Overlap = engine.OverlapTerminate
	s.put(d)
	s.overdue(d, 1)
	s.until("it is replaced", func() bool {
		no := s.number("SELECT no FROM weir.instances WHERE id = 'the-one'")
		return no != 0 && no != second
	})
	if n := s.number("SELECT count(*) FROM weir.instances"); second == first || n != 1 {
		t.Errorf("%d instances, the first two %d and %d", n, first, second)
	}
	// Somebody else's instance of that id is not touched while it runs.
	s.start("waits", "taken", "1")
	d = hourly("other")
	d.InstanceID = "taken"
	s.put(d)
	s.overdue(d, 1)
	if got := s.actedOn("other", 1); got.Skipped != 1 {
		t.Errorf("over somebody else's: %+v", got)
	}
}

// TestScheduleExactlyOnce kills whoever leads, again and again, while schedules fire: no firing is missed, and none is
// acted on twice. Id and counter of the instances tell: an id is taken once only, and a firing that finds its id taken
// would count as skipped.
func TestScheduleExactlyOnce(t *testing.T) {
	s := newSite(t)
	const schedules, firings, nodes = 10, 7, 3
	ctx, cancel := context.WithCancel(s.ctx)
	var work sync.WaitGroup
	for range nodes {
		e, err := engine.Open(s.ctx, engine.Config{Pool: s.pool, Logger: slog.New(slog.DiscardHandler)})
		s.no(err)
		t.Cleanup(e.Close)
		work.Go(func() {
			for ctx.Err() == nil {
				n, err := e.Join(ctx, engine.NodeConfig{})
				if err != nil {
					continue // what it needed was killed, too
				}
				stop := context.AfterFunc(ctx, func() { n.Close(context.WithoutCancel(ctx)) })
				if err := n.Run(); err != nil && ctx.Err() == nil && !errors.Is(err, engine.ErrFenced) {
					t.Logf("node %d: %v", n.No(), err)
				}
				stop()
			}
		})
	}
	t.Cleanup(work.Wait)
	t.Cleanup(cancel)
	from := time.Now().Add(time.Second).Truncate(time.Millisecond)
	for i := range schedules {
		s.put(engine.ScheduleDefinition{
			ID: fmt.Sprint("s", i), Orchestration: "waits", Overlap: engine.OverlapAllow,
			Spec: schedule.Spec{Every: time.Second, From: from, Until: from.Add((firings - 1) * time.Second)},
		})
	}
	runs := func() int64 { return s.number("SELECT sum(runs)::bigint FROM weir.schedules") }
	kills := 0
	for at := int64(0); kills < 4; {
		s.until("more has fired", func() bool { return runs() > at || runs() == schedules*firings })
		if at = runs(); at == schedules*firings {
			break
		}
		// Its lane and what it leads by, in the middle of whatever it does.
		killed := s.number(`WITH leader AS (
				SELECT w.no, w.lock_pid FROM weir.workers w JOIN pg_locks l ON l.pid = w.lock_pid
				WHERE w.state = 0 AND l.locktype = 'advisory' AND l.classid = (hashtext('weir.leader')::bigint & 4294967295)::oid AND l.objid = 0 AND l.objsubid = 2 LIMIT 1
			), pids AS (
				SELECT lock_pid AS pid FROM leader UNION SELECT l.pid FROM weir.lanes l JOIN leader ON leader.no = l.worker_no
			) SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pids`)
		if killed > 0 {
			kills++
		}
	}
	if kills < 3 {
		t.Errorf("killed %d leaders only", kills)
	}
	s.until("all is over", func() bool { return s.number("SELECT count(*) FROM weir.schedules WHERE state = 2") == schedules })
	for i := range schedules {
		id := fmt.Sprint("s", i)
		got := s.schedule(id)
		if n := len(s.instances(id)); n != firings || got.Runs != firings || got.Skipped != 0 {
			t.Errorf("%s has %d instances of %d firings: %d runs, %d skipped", id, n, firings, got.Runs, got.Skipped)
		}
	}
}

// TestScheduleChanges: what people change, together with firings and with each other.
func TestScheduleChanges(t *testing.T) {
	s := newSite(t)
	s.join(engine.NodeConfig{})
	ptr := func(n int64) *int64 { return &n }

	t.Run("PauseIsFinal", func(t *testing.T) {
		d := hourly("hot")
		d.Overlap = engine.OverlapAllow
		s.put(d)
		for round := range 5 {
			s.overdue(d, 3)
			got, err := s.e.PauseSchedule(s.ctx, "default", "hot", "for the test")
			s.no(err)
			before := len(s.instances("hot"))
			if got.State != engine.SchedulePaused || !got.Next.IsZero() || got.Explain() != "It is paused: for the test." {
				t.Errorf("paused: %+v, %q", got, got.Explain())
			}
			// It would be due, and the leader looks: another schedule fires.
			s.exec("UPDATE weir.schedules SET due_at = now() WHERE id = 'hot'")
			other := hourly(fmt.Sprint("other", round))
			s.put(other)
			s.overdue(other, 1)
			s.actedOn(other.ID, 1)
			if now := len(s.instances("hot")); now != before {
				t.Errorf("round %d: %d instances became %d while it was paused", round, before, now)
			}
			got, err = s.e.ResumeSchedule(s.ctx, "default", "hot")
			s.no(err)
			if got.State != engine.ScheduleActive || !got.Next.After(time.Now()) || got.Note != "" {
				t.Errorf("resumed: %+v", got)
			}
		}
	})
	t.Run("OneOfManyWins", func(t *testing.T) {
		made := s.put(hourly("contested"))
		if made.Revision != 1 {
			t.Errorf("a new schedule is at revision %d", made.Revision)
		}
		var wins, losses, created, exist atomic.Int32
		var work sync.WaitGroup
		for i := range 16 {
			work.Go(func() {
				d := hourly("contested")
				d.Orchestration = fmt.Sprint("o", i)
				switch _, err := s.e.PutSchedule(s.ctx, "default", d, engine.PutOptions{IfRevision: ptr(1)}); {
				case err == nil:
					wins.Add(1)
				case errors.Is(err, engine.ErrWrongState):
					losses.Add(1)
				default:
					t.Error(err)
				}
				switch _, err := s.e.PutSchedule(s.ctx, "default", hourly("new"), engine.PutOptions{IfRevision: ptr(0)}); {
				case err == nil:
					created.Add(1)
				case errors.Is(err, engine.ErrExists):
					exist.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		work.Wait()
		if wins.Load() != 1 || losses.Load() != 15 || created.Load() != 1 || exist.Load() != 15 {
			t.Errorf("%d won, %d lost, %d created, %d found it there", wins.Load(), losses.Load(), created.Load(), exist.Load())
		}
		if _, err := s.e.PutSchedule(s.ctx, "default", hourly("none"), engine.PutOptions{IfRevision: ptr(3)}); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("a revision of what is not there: %v", err)
		}
	})
	t.Run("ReplacedWhileItFires", func(t *testing.T) {
		d := hourly("busy")
		d.Overlap = engine.OverlapAllow
		s.put(d)
		for range 10 {
			s.overdue(d, 2)
			s.put(d) // the times are the same: what is due is not lost
		}
		s.overdue(d, 6)
		s.until("all six have an instance", func() bool { return len(s.instances("busy")) == 6 })
		changed := d
		changed.Spec.Every = 2 * time.Hour
		s.overdue(d, 2)
		if got := s.put(changed); !got.Next.After(time.Now()) || got.CreatedAt.IsZero() || got.Runs != 6 {
			t.Errorf("other times: %+v", got)
		}
	})
	t.Run("Paused", func(t *testing.T) {
		yes, no := true, false
		got, err := s.e.PutSchedule(s.ctx, "default", hourly("asleep"), engine.PutOptions{Paused: &yes})
		s.no(err)
		if got.State != engine.SchedulePaused {
			t.Errorf("created paused: %+v", got)
		}
		if got = s.put(hourly("asleep")); got.State != engine.SchedulePaused {
			t.Errorf("replaced, it stays paused: %+v", got)
		}
		if got, err = s.e.PutSchedule(s.ctx, "default", hourly("asleep"), engine.PutOptions{Paused: &no}); err != nil || got.State != engine.ScheduleActive {
			t.Errorf("replaced and active: %+v, %v", got, err)
		}
		if next, err := got.NextFirings(time.Time{}, 3); err != nil || len(next) != 3 || next[2].Sub(next[0]) != 2*time.Hour {
			t.Errorf("the next firings: %v, %v", next, err)
		}
	})
	t.Run("Delete", func(t *testing.T) {
		d := hourly("doomed")
		s.put(d)
		s.overdue(d, 1)
		s.actedOn("doomed", 1)
		s.no(s.e.DeleteSchedule(s.ctx, "default", "doomed"))
		if err := s.e.DeleteSchedule(s.ctx, "default", "doomed"); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		if _, err := s.e.PauseSchedule(s.ctx, "default", "doomed", ""); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("paused: %v", err)
		}
		if ids := s.instances("doomed"); len(ids) != 1 {
			t.Errorf("its instances: %v", ids)
		}
		// Created anew, it finds the instance of a firing there: that firing is not started again.
		s.put(d)
		s.overdue(d, 1)
		if got := s.actedOn("doomed", 1); got.Skipped != 1 || got.Runs != 0 {
			t.Errorf("anew: %+v", got)
		}
	})
	t.Run("List", func(t *testing.T) {
		for i := range 5 {
			s.put(hourly(fmt.Sprint("list.", i)))
		}
		_, err := s.e.PauseSchedule(s.ctx, "default", "list.3", "")
		s.no(err)
		list := func(f engine.ScheduleFilter, after string, n int) (ids string) {
			t.Helper()
			all, err := s.e.Schedules(s.ctx, "default", f, after, n)
			s.no(err)
			for _, one := range all {
				ids += " " + one.ID
			}
			return strings.TrimSpace(ids)
		}
		active, paused := engine.ScheduleActive, engine.SchedulePaused
		for _, c := range []struct {
			f     engine.ScheduleFilter
			after string
			n     int
			want  string
		}{
			{engine.ScheduleFilter{IDPrefix: "list."}, "", 3, "list.0 list.1 list.2"},
			{engine.ScheduleFilter{IDPrefix: "list."}, "list.2", 3, "list.3 list.4"},
			{engine.ScheduleFilter{IDPrefix: "list.", State: &paused}, "", 3, "list.3"},
			{engine.ScheduleFilter{IDPrefix: "list.", State: &active}, "list.1", 3, "list.2 list.4"},
			{engine.ScheduleFilter{IDPrefix: "list.", CreatedTo: time.Now().Add(-time.Hour)}, "", 3, ""},
			{engine.ScheduleFilter{IDPrefix: "list.", CreatedFrom: time.Now().Add(-time.Hour)}, "", 1, "list.0"},
		} {
			if got := list(c.f, c.after, c.n); got != c.want {
				t.Errorf("%+v after %q: %q, want %q", c.f, c.after, got, c.want)
			}
		}
	})
}

// TestScheduleBackfill starts what was not fired, once, and nothing that must not be.
func TestScheduleBackfill(t *testing.T) {
	s := newSite(t)
	d := hourly("past")
	d.Spec.From = time.Now().AddDate(-1, 0, 0).Truncate(time.Second)
	s.put(d)
	_, err := s.e.PauseSchedule(s.ctx, "default", "past", "")
	s.no(err)
	from, to := d.Spec.From.Add(24*time.Hour), d.Spec.From.Add(24*24*time.Hour)
	want := 23*24 + 1
	var done engine.Backfilled
	var work sync.WaitGroup
	var mu sync.Mutex
	for range 3 { // at once: they share the work, and none is done twice
		work.Go(func() {
			got, err := s.e.Backfill(s.ctx, "default", "past", from, to)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			done.Started, done.Existing = done.Started+got.Started, done.Existing+got.Existing
		})
	}
	work.Wait()
	if done.Started != want || done.Existing != 2*want {
		t.Errorf("backfilled %+v, want %d", done, want)
	}
	got := s.schedule("past")
	if n := len(s.instances("past")); n != want || int(got.Runs) != want || got.Skipped != 0 || !got.Last.IsZero() || got.State != engine.SchedulePaused {
		t.Errorf("%d instances, %+v", n, got)
	}
	for _, c := range []struct {
		id       string
		from, to time.Time
		is       error
		says     string
	}{
		{"past", d.Spec.From, time.Now(), engine.ErrTooLarge, "1000 firings"},
		{"past", to, from, engine.ErrInvalid, "to: is before"},
		{"past", from, time.Now().Add(time.Hour), engine.ErrInvalid, "to: is in the future"},
		{"past", time.Time{}, to, engine.ErrInvalid, "from: is in the year 1"},
		{"none", from, to, engine.ErrNotFound, "none"},
	} {
		if _, err := s.e.Backfill(s.ctx, "default", c.id, c.from, c.to); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s from %v to %v: %v", c.id, c.from, c.to, err)
		}
	}
	if got, err := s.e.Backfill(s.ctx, "default", "past", d.Spec.From.Add(time.Second), d.Spec.From.Add(time.Minute)); err != nil || got != (engine.Backfilled{}) {
		t.Errorf("nothing to backfill: %+v, %v", got, err)
	}
}

// TestScheduleEnds: one that is late starts at once, one without firings is over, and large inputs arrive.
func TestScheduleEnds(t *testing.T) {
	s := newSite(t)
	n := s.join(engine.NodeConfig{})
	d := hourly("late")
	d.StartIfLate, d.Spec.Until = true, time.Now().Add(10*time.Minute)
	large := `"` + strings.Repeat("x", 100_000) + `"`
	d.Input = history.Text(large)
	s.put(d)
	if got := s.actedOn("late", 1); got.Runs != 1 {
		t.Errorf("late: %+v", got)
	}
	s.until("it is over", func() bool { return s.schedule("late").State == engine.ScheduleCompleted })
	got := s.schedule("late")
	if !strings.Contains(got.Explain(), "It is over") || string(got.Input.Data()) != large {
		t.Errorf("over: %q, with an input of %d bytes", got.Explain(), got.Input.Size())
	}
	inst, err := s.e.Get(s.ctx, "default", got.LastInstance)
	s.no(err)
	if in, err := s.e.Inputs(s.ctx, []*engine.Instance{inst}); err != nil || in[0].Size() != len(large) {
		t.Errorf("the instance's input has %d bytes: %v", in[0].Size(), err)
	}
	if _, err := s.e.PauseSchedule(s.ctx, "default", "late", ""); !errors.Is(err, engine.ErrWrongState) {
		t.Errorf("pause what is over: %v", err)
	}
	if got := s.put(d); got.State != engine.ScheduleCompleted || got.Runs != 1 { // the same start: not late again
		t.Errorf("replaced by itself: %+v", got)
	}
	// A large input for each of many instances: not all in one commit.
	d = hourly("large")
	d.Input = history.Text(`"` + strings.Repeat("y", 12<<20) + `"`)
	s.put(d)
	if done, err := s.e.Backfill(s.ctx, "default", "large", d.Spec.From, time.Now()); err != nil || done.Started != 7 {
		t.Errorf("backfill with a large input: %+v, %v", done, err)
	}
	// Broken by hand, it stops and says so; the others go on.
	s.put(hourly("broken"))
	s.exec(`UPDATE weir.schedules SET spec = '{"cron": ["nonsense"]}', due_at = now() WHERE id = 'broken'`)
	s.until("it is paused", func() bool { return s.schedule("broken").State == engine.SchedulePaused })
	if got := s.schedule("broken"); !strings.Contains(got.Note, "1 fields, want 5") {
		t.Errorf("broken: %q", got.Note)
	}
	if _, err := s.e.ResumeSchedule(s.ctx, "default", "broken"); !errors.Is(err, engine.ErrWrongState) {
		t.Errorf("resume it: %v", err)
	}
	for what, call := range map[string]func() error{
		"run": func() error { _, err := s.e.RunSchedule(s.ctx, "default", "broken"); return err },
		"backfill": func() error {
			_, err := s.e.Backfill(s.ctx, "default", "broken", time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))
			return err
		},
		"foretell": func() error { _, err := s.schedule("broken").NextFirings(time.Time{}, 1); return err },
	} {
		if err := call(); !errors.Is(err, engine.ErrWrongState) || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%s what cannot be read: %v", what, err)
		}
	}
	if got := s.put(hourly("broken")); got.State != engine.SchedulePaused || got.Note != "" && !strings.Contains(got.Note, "cannot be read") {
		t.Errorf("mended: %+v", got)
	}
	s.exec("UPDATE weir.schedules SET updated_at = now() - interval '25 hours' WHERE id = 'late'")
	s.no(n.ForgetSchedules(s.ctx))
	if _, err := s.e.Schedule(s.ctx, "default", "late"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a day later: %v", err)
	}
}

func TestScheduleBadInput(t *testing.T) {
	s := newSite(t)
	good := hourly("good")
	for _, c := range []struct {
		field string
		says  string
		is    error
		bad   func(*engine.ScheduleDefinition)
	}{
		{"id", "must not be empty", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.ID = "" }},
		{"id", "at most 160", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.ID = strings.Repeat("x", 161) }},
		{"id", "position 2", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.ID = "aé" }},
		{"id", "@", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.ID = "@a" }},
		{"orchestration", "empty", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Orchestration = "" }},
		{"orchestration", "UTF-8", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Orchestration = "\xff" }},
		{"version", "at most 40", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Version = strings.Repeat("1", 41) }},
		{"instanceId", "at most 200", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.InstanceID = strings.Repeat("x", 201) }},
		{"overlap", "no two instances", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.InstanceID, d.Overlap = "x", engine.OverlapAllow }},
		{"overlap", "no policy", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Overlap = 17 }},
		{"catchUp", "10s", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.CatchUp = time.Second }},
		{"every", "1s", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Spec.Every = time.Millisecond }},
		{"cron[0]", "minute, at position 1", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Spec.Every, d.Spec.Cron = 0, []string{"61 * * * *"} }},
		{"zone", "IANA", engine.ErrInvalid, func(d *engine.ScheduleDefinition) {
			d.Spec.Every, d.Spec.Cron, d.Spec.Zone = 0, []string{"* * * * *"}, "Nowhere"
		}},
		{"until", "before from", engine.ErrInvalid, func(d *engine.ScheduleDefinition) { d.Spec.Until = d.Spec.From.Add(-1e9) }},
		{"input", "the limit is", engine.ErrTooLarge, func(d *engine.ScheduleDefinition) {
			d.Input = history.Bytes(make([]byte, engine.DefaultPayloadLimit+1))
		}},
	} {
		d := good
		c.bad(&d)
		_, err := s.e.PutSchedule(s.ctx, "default", d, engine.PutOptions{})
		var coded *engine.Error
		if !errors.Is(err, c.is) || !errors.As(err, &coded) || coded.Field != c.field || !strings.Contains(coded.Message, c.says) {
			t.Errorf("%s: got %v, want %q", c.field, err, c.says)
		}
	}
	for what, err := range map[string]error{
		"hub": func() error {
			_, err := s.e.PutSchedule(s.ctx, "nowhere", good, engine.PutOptions{})
			return err
		}(),
		"get":    func() error { _, err := s.e.Schedule(s.ctx, "default", "none"); return err }(),
		"get id": func() error { _, err := s.e.Schedule(s.ctx, "default", "a\x00b"); return err }(),
		"delete": s.e.DeleteSchedule(s.ctx, "default", "\xff"),
		"run":    func() error { _, err := s.e.RunSchedule(s.ctx, "default", "none"); return err }(),
		"resume": func() error { _, err := s.e.ResumeSchedule(s.ctx, "default", "none"); return err }(),
	} {
		if !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
	if _, err := s.e.PauseSchedule(s.ctx, "default", "none", strings.Repeat("x", 2001)); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a long note: %v", err)
	}
	for _, f := range []engine.ScheduleFilter{{IDPrefix: "\x00"}, {IDPrefix: "é"}} {
		if _, err := s.e.Schedules(s.ctx, "default", f, "", 10); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("list %+v: %v", f, err)
		}
	}
	if _, err := s.e.Schedules(s.ctx, "default", engine.ScheduleFilter{}, "", 0); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("list none: %v", err)
	}
}
