package engine_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/weir-dev/weir/engine"
)

// TestFetchedIsNotAdopted: between River's fetch of a job and its call of the node, a session of the same worker opens.
// What it finds running in its own name it must leave to River, or the activity runs twice.
func TestFetchedIsNotAdopted(t *testing.T) {
	s := newSite(t)
	var runs atomic.Int32
	p := &program{kinds: map[string]engine.ActivityKind{}}
	p.activities = func(ctx context.Context, task *engine.Task) engine.Result {
		runs.Add(1)
		return worked(ctx, task)
	}
	n := s.join(engine.NodeConfig{Executor: p, AuditEvery: never})
	s.work(n)
	s.start("calls", "it", "1")
	s.atRest("it")

	p.setKind("work", engine.PlainActivity)
	job := s.taskJob("it", 0)
	s.exec(`UPDATE river.river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY[$1] WHERE id = $2`,
		n.RiverClient(), job)
	var key []byte
	s.no(s.pool.QueryRow(s.ctx, "SELECT unique_key FROM river.river_job WHERE id = $1", job).Scan(&key))

	seq := func() int64 { return s.number("SELECT seq FROM weir.instances WHERE id = 'it'") }
	before := seq()
	s.no(s.e.Cancel(s.ctx, engine.CancelRequest{Hub: "default", Instance: "it"})) // its code does not care
	s.until("a session has opened and committed", func() bool { return seq() > before })
	s.atRest("it")
	if ran := runs.Load(); ran != 0 {
		t.Fatalf("the session ran it %d times", ran)
	}

	done, err := n.RunTask(s.ctx, engine.TaskJob{ID: job, Key: key, Name: "work", Attempt: 1, Args: engine.TaskArgs{Instance: "it"}})
	s.no(err)
	if !done {
		t.Error("the job is to come again")
	}
	s.completes("it")
	if ran := runs.Load(); ran != 1 {
		t.Errorf("it ran %d times", ran)
	}
}
