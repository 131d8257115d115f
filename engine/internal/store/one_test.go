package store

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

// TestOneAsMany: a batch of one turn or one start is committed by one statement of its own. It does to the tables,
// and refuses, exactly what the statements of a larger batch do.
func TestOneAsMany(t *testing.T) {
	conn, _ := connect(t)
	ctx, p := t.Context(), NewPipeline(conn)
	rapid.Check(t, func(rt *rapid.T) {
		fill := drawStart(rt)
		if rapid.Bool().Draw(rt, "turn") {
			fill = drawTurn(rt)
		}
		lane := AdvanceLaneParams{WorkerNo: 7, Previous: rapid.SampledFrom([]int64{4, 4, 4, 5}).Draw(rt, "previous batch")}
		run := func(locks ...int64) (before, after string, err error) {
			b := &Batch{WorkerNo: 7, RiverChannel: "river_insert", Lane: lane, Locks: locks}
			fill(b)
			prepareOne(rt, conn)
			before = dump(rt, conn)
			_, err = b.Run(ctx, p)
			return before, dump(rt, conn), err
		}
		before, one, err := run()
		_, many, errMany := run(99) // the lock of a row that is not there makes it a batch like others
		if one != many {
			rt.Errorf("as one:\n%s\nas many:\n%s", one, many)
		}
		if Code(err) != Code(errMany) || IsIDTaken(err) != IsIDTaken(errMany) || (err == nil) != (errMany == nil) {
			rt.Errorf("as one: %v, as many: %v", err, errMany)
		}
		if (err == nil) == (one == before) {
			rt.Errorf("error %v, and the tables before and after:\n%s\n%s", err, before, one)
		}
	})
	for _, sql := range []string{commitTurn, commitStart, applyTurns, insertInstances} {
		if p.prepared[sql] == nil {
			t.Errorf("never executed: %s", sql)
		}
	}
}

// prepareOne sets the tables up: a lane at its fourth batch, an instance that is owned and one that has just started.
func prepareOne(rt *rapid.T, conn *pgx.Conn) {
	for _, sql := range []string{
		"TRUNCATE lanes, instances, history, river_job",
		"INSERT INTO lanes (worker_no, lane, inc, batch, pid, backend_start) VALUES (7, 0, 0, 4, 1, now())",
		`INSERT INTO instances (no, hub, id, name, status, seq, epoch, owner, turn_job, started_at, created_at, updated_at, waiting, custom_status)
			VALUES (1, 1, 'owned', 'order', 0, 3, 2, 7, 11, '2026-01-01', '2026-01-01', '2026-01-01', 'w', 'before')`,
		"INSERT INTO instances (no, hub, id, name, status, turn_job, created_at, updated_at) VALUES (2, 1, 'new', 'order', 6, 12, '2026-01-01', '2026-01-01')",
	} {
		if _, err := conn.Exec(rt.Context(), sql); err != nil {
			rt.Fatal(err)
		}
	}
}

// dump writes the tables down, with times only as whether they are of this test.
func dump(rt *rapid.T, conn *pgx.Conn) string {
	var out strings.Builder
	for _, table := range []string{"lanes", "instances", "history", "river_job"} {
		rows, err := conn.Query(rt.Context(), `SELECT regexp_replace(to_jsonb(t)::text, '"20(2[7-9]|[3-9].)-[^"]*"|"'||to_char(now(), 'YYYY-MM-DD')||'[^"]*"', '"now"', 'g') FROM `+table+" t ORDER BY 1")
		if err != nil {
			rt.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			rt.Fatal(err)
		}
		out.WriteString(table + ": " + strings.Join(lines, "\n  ") + "\n")
	}
	return out.String()
}

func bytesOrNil(rt *rapid.T, label string) []byte {
	return rapid.SampledFrom([][]byte{nil, {}, []byte("x"), {0, 255}}).Draw(rt, label)
}

// drawTurn draws a turn, which mostly fits the instance it is for.
func drawTurn(rt *rapid.T) func(*Batch) {
	no := rapid.SampledFrom([]int64{1, 1, 2, 2, 3}).Draw(rt, "no")
	base, epoch, job := int64(3), int32(2), int64(0)
	if no == 2 {
		base, epoch, job = 0, 0, 12
	}
	switch rapid.IntRange(0, 9).Draw(rt, "wrong") {
	case 0:
		base++
	case 1:
		epoch++
	case 2:
		job = 13
	}
	status := rapid.SampledFrom([]int16{0, 1, 3}).Draw(rt, "status")
	output, failure, custom := bytesOrNil(rt, "output"), bytesOrNil(rt, "failure"), bytesOrNil(rt, "custom status")
	ref, events := rapid.Int64Range(0, 1).Draw(rt, "output ref"), rapid.SliceOf(rapid.Byte()).Draw(rt, "events")
	return func(b *Batch) {
		b.Turns = ApplyTurnsParams{
			Nos: []int64{no}, Bases: []int64{base}, Epochs: []int32{epoch}, Jobs: []int64{job}, Seqs: []int64{base + 2},
			Statuses: []int16{status}, Outputs: [][]byte{output}, OutputRefs: []int64{ref}, Failures: [][]byte{failure}, CustomStatuses: [][]byte{custom}, Suspensions: [][]byte{nil},
		}
		b.History = InsertHistoryParams{Nos: []int64{no}, Seqs: []int64{base + 2}, Counts: []int32{2}, Events: [][]byte{events}}
	}
}

// drawStart draws a start, whose id may be taken.
func drawStart(rt *rapid.T) func(*Batch) {
	id := rapid.SampledFrom([]string{"fresh", "fresh", "owned"}).Draw(rt, "id")
	version := rapid.SampledFrom([]string{"", "1.2"}).Draw(rt, "version")
	input, ref := bytesOrNil(rt, "input"), rapid.Int64Range(0, 1).Draw(rt, "input ref")
	priority := rapid.Int16Range(1, 4).Draw(rt, "priority")
	return func(b *Batch) {
		b.Starts = InsertInstancesParams{
			Nos: []int64{5}, Hubs: []int32{1}, Ids: []string{id}, Names: []string{"order"}, Versions: []string{version}, Inputs: [][]byte{input},
			InputRefs: []int64{ref}, ScheduledAts: make([]time.Time, 1), TurnJobs: []int64{15}, Priorities: []int16{priority}, ParentNos: []int64{0}, ParentGens: []int32{0}, ParentTasks: []int32{0}, Tags: [][]byte{nil},
		}
		b.Jobs = InsertJobsParams{
			Ids: []int64{15}, States: []string{"available"}, Attempts: []int16{0}, Priorities: []int16{priority}, Kinds: []string{"turn:order"}, Queues: []string{"h1_orch"},
			Args: [][]byte{[]byte(`{"no": 5}`)}, Errors: [][]byte{nil}, UniqueKeys: [][]byte{nil}, MaxAttempts: []int16{32767},
		}
		b.RiverQueues = []string{"h1_orch"}
	}
}
