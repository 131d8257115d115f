package engine

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

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
		{"I12", "each change through the API has its entry in the audit log", all(
			one{HealthWarning, d.bounded(q.DoctorOpenEntries), "entries of the audit log have no result: a server died before it was written, and whether the change was made is seen at its target only", "look at the targets"},
		)},
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
