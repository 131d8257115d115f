package weirtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine/history"
)

// CheckHistories fails the test unless every history in the database is what the protocol promises: its rows
// follow each other without a gap and end where the instance says; decisions are numbered from 0 in each
// generation; every decision has at most one answer, after it; and exactly those instances that have ended
// carry an end, as their last event. It returns the number of events read.
func CheckHistories(ctx context.Context, t testing.TB, pool *pgxpool.Pool) int {
	t.Helper()
	type instance struct {
		no, seq int64
		id      string
		status  int16
	}
	rows, err := pool.Query(ctx, "SELECT no, seq, id, status FROM weir.instances ORDER BY no")
	if err != nil {
		t.Fatal(err)
	}
	instances, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i instance, err error) {
		return i, row.Scan(&i.no, &i.seq, &i.id, &i.status)
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, i := range instances {
		rows, err := pool.Query(ctx, "SELECT seq, n, codec, events FROM weir.history WHERE instance_no = $1 ORDER BY seq", i.no)
		if err != nil {
			t.Fatal(err)
		}
		var r reader
		var (
			seq    int64
			n      int32
			codec  int16
			events []byte
		)
		_, err = pgx.ForEachRow(rows, []any{&seq, &n, &codec, &events}, func() error {
			decoded, err := history.Decode(codec, events)
			if err == nil {
				r.row(seq, n, decoded)
			}
			return err
		})
		if err != nil {
			t.Fatalf("instance %s: %v", i.id, err)
		}
		if r.at != i.seq {
			r.wrong("the history ends at event %d, the instance is at %d", r.at, i.seq)
		}
		if live := history.Status(i.status).Live(); live == r.ended {
			r.wrong("status %s, but the history says ended = %v", history.Status(i.status), r.ended)
		}
		for _, fault := range r.faults {
			t.Errorf("instance %s: %s", i.id, fault)
		}
		total += r.events
	}
	return total
}

// reader follows a history.
type reader struct {
	at     int64
	events int
	faults []string

	open    map[int32]bool // decisions without an answer
	nextID  int32
	started bool
	ended   bool
}

func (r *reader) wrong(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

func (r *reader) row(seq int64, n int32, events []history.Event) {
	first := seq - int64(n) + 1
	if r.at != 0 && first != r.at+1 {
		r.wrong("event %d follows event %d", first, r.at)
	}
	if int(n) != len(events) {
		r.wrong("row %d says %d events and has %d", seq, n, len(events))
	}
	if len(events) > 0 {
		switch events[0].(type) {
		case *history.OrchestratorStarted, *history.ExecutionTerminated:
		default:
			r.wrong("row %d begins with %s", seq, history.TypeName(events[0]))
		}
	}
	for _, e := range events {
		r.event(e)
	}
	r.at = seq
	r.events += len(events)
}

func (r *reader) event(e history.Event) {
	if r.ended {
		if _, next := e.(*history.OrchestratorStarted); !next {
			r.wrong("%s after the end", history.TypeName(e))
		}
		r.open, r.nextID, r.started, r.ended = nil, 0, false, false
	}
	decide := func(id int32) {
		if id != r.nextID {
			r.wrong("%s has id %d, want %d", history.TypeName(e), id, r.nextID)
		}
		r.nextID++
		if r.open == nil {
			r.open = map[int32]bool{}
		}
		r.open[id] = true
	}
	answer := func(id int32) {
		if !r.open[id] {
			r.wrong("%s answers decision %d, which is not open", history.TypeName(e), id)
		}
		delete(r.open, id)
	}
	switch e := e.(type) {
	case *history.ExecutionStarted:
		if r.started {
			r.wrong("started twice")
		}
		r.started = true
	case *history.TaskScheduled:
		decide(e.ID)
	case *history.TimerCreated:
		decide(e.ID)
	case *history.SubOrchestrationInstanceCreated:
		decide(e.ID)
	case *history.EventSent:
		decide(e.ID)
		delete(r.open, e.ID)
	case *history.TaskCompleted:
		answer(e.TaskID)
	case *history.TaskFailed:
		answer(e.TaskID)
	case *history.TimerFired:
		answer(e.TimerID)
	case *history.SubOrchestrationInstanceCompleted:
		answer(e.TaskID)
	case *history.SubOrchestrationInstanceFailed:
		answer(e.TaskID)
	case *history.ExecutionCompleted:
		decide(e.ID)
		r.ended = e.Status != history.ContinuedAsNew
		if !r.ended { // the next generation numbers anew
			r.open, r.nextID, r.started = nil, 0, false
		}
	case *history.ExecutionTerminated:
		r.ended = true
	}
}
