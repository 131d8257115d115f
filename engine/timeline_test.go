package engine

import (
	"testing"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// TestTimelineFold: each decision is a span until its answer, and what has none when the instance ends is abandoned.
func TestTimelineFold(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	at := func(s int) history.Header { return history.Header{At: began.Add(time.Duration(s) * time.Second)} }
	fold := newTimelineFold()
	for n, e := range []history.Event{
		&history.OrchestratorStarted{Header: at(0)},
		&history.ExecutionStarted{Header: at(0), Name: "order"},
		&history.TaskScheduled{Header: at(0), ID: 0, Name: "charge"},
		&history.TimerCreated{Header: at(0), ID: 1, FireAt: began.Add(time.Hour)},
		&history.SubOrchestrationInstanceCreated{Header: at(0), ID: 2, InstanceID: "child", Name: "ship"},
		&history.EntityLockRequested{Header: at(0), ID: 3},
		&history.OrchestratorStarted{Header: at(5)},
		&history.TaskCompleted{Header: at(5), TaskID: 0, Run: history.Run{StartedAt: began.Add(2 * time.Second), Worker: "w", Attempts: 3}},
		&history.TaskCanceled{Header: at(5), ID: 4, TaskID: 1},
		&history.EntityLockGranted{Header: at(6), TaskID: 3},
		&history.EventRaised{Header: at(7), Name: "paid"},
		&history.SubOrchestrationInstanceFailed{Header: at(8), TaskID: 2, Failure: &history.Failure{Type: "x"}},
		&history.EntityUnlockSent{Header: at(9), ID: 5},
		&history.ExecutionSuspended{Header: at(10), Reason: "look"},
		&history.ExecutionResumed{Header: at(20)},
		&history.TaskFailed{Header: at(21), TaskID: 99}, // rewound away
		&history.TaskScheduled{Header: at(21), ID: 6, Name: "notify", Step: true},
		&history.TimerCreated{Header: at(21), ID: 7},
		&history.TimerFired{Header: at(22), TimerID: 7},
		&history.ExecutionCompleted{Header: at(30), Status: history.Completed},
	} {
		fold.add(NumberedEvent{int64(n + 1), e})
	}
	got := fold.end(100, false)
	want := []struct {
		id       int32
		kind     SpanKind
		state    SpanState
		name     string
		from, to int
	}{
		{0, SpanActivity, SpanCompleted, "charge", 0, 5},
		{1, SpanTimer, SpanCanceled, "", 0, 5},
		{2, SpanChild, SpanFailed, "ship", 0, 8},
		{3, SpanLock, SpanCompleted, "", 0, 9},
		{-1, SpanEvent, SpanCompleted, "paid", 7, 7},
		{-1, SpanSuspended, SpanCompleted, "look", 10, 20},
		{6, SpanStep, SpanAbandoned, "notify", 21, 30},
		{7, SpanTimer, SpanCompleted, "", 21, 22},
	}
	if got.Turns != 2 || got.Events != 20 || got.Total != len(want) || got.Truncated {
		t.Errorf("got %d turns, %d events, %d spans", got.Turns, got.Events, got.Total)
	}
	for i, w := range want {
		if i >= len(got.Spans) {
			t.Fatalf("there are %d spans", len(got.Spans))
		}
		s := got.Spans[i]
		if s.TaskID != w.id || s.Kind != w.kind || s.State != w.state || s.Name != w.name || !s.From.Equal(at(w.from).At) || s.To == nil || !s.To.Equal(at(w.to).At) {
			t.Errorf("span %d is %+v, want %+v", i, s, w)
		}
	}
	if s := got.Spans[0]; s.Attempts != 3 || s.Worker != "w" || s.BegunAt == nil || !s.BegunAt.Equal(at(2).At) {
		t.Errorf("the activity is %+v", s)
	}
	if s := got.Spans[3]; s.BegunAt == nil || !s.BegunAt.Equal(at(6).At) {
		t.Errorf("the lock is %+v", s)
	}
	if some := fold.end(2, true); len(some.Spans) != 2 || some.Total != len(want) || !some.Truncated {
		t.Errorf("of two spans there are %d", len(some.Spans))
	}
}
