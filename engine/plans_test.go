package engine

import (
	"testing"

	"github.com/weir-dev/weir/internal/weirtest"
)

// TestPlansAge: a table that has doubled makes plans old, once; one that has not, or that has shrunk, does not.
func TestPlansAge(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), weirtest.Pool(t)
	e, err := Open(ctx, Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var a planAge
	for _, step := range []struct {
		what string
		sql  string
		old  bool
	}{
		{"the first look", "SELECT 1", true},
		{"nothing has happened", "SELECT 1", false},
		{"a few rows", "INSERT INTO weir.inbox (instance_no, gen, task, kind) SELECT i, 0, 0, 2 FROM generate_series(1, 100) i", false},
		{"many rows", "INSERT INTO weir.inbox (instance_no, gen, task, kind) SELECT i, 0, 0, 2 FROM generate_series(101, 10000) i", true},
		{"half as many more", "INSERT INTO weir.inbox (instance_no, gen, task, kind) SELECT i, 0, 0, 2 FROM generate_series(10001, 15000) i", false},
		{"twice as many", "INSERT INTO weir.inbox (instance_no, gen, task, kind) SELECT i, 0, 0, 2 FROM generate_series(15001, 30000) i", true},
		{"none", "TRUNCATE weir.inbox", false},
		{"many rows again", "INSERT INTO weir.inbox (instance_no, gen, task, kind) SELECT i, 0, 0, 2 FROM generate_series(1, 10000) i", true},
	} {
		if _, err := pool.Exec(ctx, step.sql); err != nil {
			t.Fatal(err)
		}
		before := a.now()
		if err := a.look(ctx, e); err != nil {
			t.Fatal(err)
		}
		if old := a.now() != before; old != step.old {
			t.Errorf("%s: plans are old: %v", step.what, old)
		}
	}
}
