package store

import (
	"strings"
	"testing"
)

// TestReplan: a plan that was made while the table was tiny reads all of it, and is kept when the table has grown. Asked
// for plans of another generation, the pipeline has it made anew.
func TestReplan(t *testing.T) {
	conn, pool := connect(t)
	ctx := t.Context()
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	const insert = "INSERT INTO weir.instances (no, hub, id, name, created_at, updated_at) SELECT i, 1, 'a' || i, 'order', now(), now() FROM "
	exec(insert + "generate_series(1, 2) i")
	exec("VACUUM ANALYZE weir.instances")
	p := NewPipeline(conn)
	claim := func() {
		t.Helper()
		b := &Batch{WorkerNo: 1, Claims: ClaimInstancesParams{Nos: []int64{1}, Bases: []int64{0}, Epochs: []int32{0}, Jobs: []int64{1}, Waitings: [][]byte{nil}}}
		if _, err := b.Run(ctx, p); Code(err) != CodeLost {
			t.Fatal(err) // nothing to claim: it is the plan that counts
		}
	}
	looksUp := func() bool {
		t.Helper()
		s := p.prepared[claimInstances]
		rows, err := conn.Query(ctx, "EXPLAIN EXECUTE "+s.Name+"("+strings.TrimSuffix(strings.Repeat("NULL,", len(s.ParamOIDs)), ",")+")")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		t.Log(plan.String())
		return strings.Contains(plan.String(), "Index Cond: (no = unit.no)")
	}
	claim()
	if looksUp() {
		t.Fatal("two rows are looked up: this test shows nothing")
	}
	exec(insert + "generate_series(3, 20000) i")
	claim()
	if looksUp() {
		t.Fatal("the plan was not kept: Replan is not needed")
	}
	if err := p.ReplanFor(ctx, 1); err != nil {
		t.Fatal(err)
	}
	claim()
	if !looksUp() {
		t.Error("the grown table is still read as a whole")
	}
}
