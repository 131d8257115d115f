package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// many starts instances that wait, with the ids a-000, a-001, and so on.
func (s *site) many(n int) {
	s.t.Helper()
	var g errgroup.Group
	g.SetLimit(20)
	for i := range n {
		g.Go(func() error {
			_, err := s.e.Start(s.ctx, engine.StartRequest{Hub: "default", Name: "waits", ID: fmt.Sprintf("a-%03d", i)})
			return err
		})
	}
	s.no(g.Wait())
}

// operate starts an operation.
func (s *site) operate(r engine.OperationRequest) *engine.Operation {
	s.t.Helper()
	r.Hub = "default"
	o, err := s.e.StartOperation(s.ctx, r)
	s.no(err)
	return o
}

func (s *site) operation(id string) *engine.Operation {
	s.t.Helper()
	o, err := s.e.Operation(s.ctx, "default", id)
	s.no(err)
	return o
}

// over waits until an operation is over, and checks that it did as many instances, and refused as many.
func (s *site) over(id string, state engine.OperationState, done, refused int64) *engine.Operation {
	s.t.Helper()
	var o *engine.Operation
	s.until("the operation is over", func() bool { o = s.operation(id); return o.State.Over() })
	if o.State != state || o.Done != done || o.Refused != refused || o.Examined != done+refused || o.FinishedAt.IsZero() {
		s.t.Errorf("%s: %s, %d done, %d refused, %d examined, error %q; want %s, %d and %d",
			o.Kind, o.State, o.Done, o.Refused, o.Examined, o.Error, state, done, refused)
	}
	return o
}

// inStatus counts the instances that wait, or did, in a status.
func (s *site) inStatus(status history.Status) int64 {
	s.t.Helper()
	return s.number("SELECT count(*) FROM weir.instances WHERE name = 'waits' AND status = $1", status)
}

// paced is a node whose operations rest until the test says so.
type paced struct {
	*engine.Node
	rests chan time.Duration // a page was done
	on    chan struct{}      // the next may be
	ended chan error
}

func (s *site) paced() *paced {
	s.t.Helper()
	n, err := s.e.Join(s.ctx, engine.NodeConfig{Hub: "default"})
	s.no(err)
	p := &paced{Node: n, rests: make(chan time.Duration), on: make(chan struct{}), ended: make(chan error, 1)}
	n.SetRest(func(ctx context.Context, d time.Duration) error {
		select {
		case p.rests <- d:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-p.on:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	go func() { p.ended <- n.Run() }()
	s.t.Cleanup(func() { n.Close(context.WithoutCancel(s.ctx)) })
	return p
}

// rested waits for the end of a page.
func (p *paced) rested(s *site) time.Duration {
	s.t.Helper()
	select {
	case d := <-p.rests:
		return d
	case <-s.ctx.Done():
		s.t.Fatal("no page was done")
		return 0
	}
}

// TestOperationKinds: each kind does what it is for with all that its filter selects, over the bounds of pages, and with
// nothing else.
func TestOperationKinds(t *testing.T) {
	s := newSite(t)
	s.many(250)
	for n := range 3 {
		s.start("ends", fmt.Sprint("other-", n), "")
	}
	s.join(engine.NodeConfig{})
	waits := engine.Filter{Name: "waits"}
	for _, c := range []struct {
		kind   engine.OperationKind
		filter engine.Filter
		done   int64
		status history.Status
	}{
		{engine.OperationSuspend, waits, 250, history.Suspended},
		{engine.OperationSuspend, waits, 0, history.Suspended}, // it acts on what is not suspended
		{engine.OperationResume, waits, 250, history.Pending},
		{engine.OperationCancel, engine.Filter{IDPrefix: "a-0"}, 100, history.Canceled}, // a page, to the last
		{engine.OperationTerminate, engine.Filter{IDs: []string{"a-100", "a-101", "a-000"}}, 2, history.Terminated},
		{engine.OperationTerminate, waits, 148, history.Terminated},
		{engine.OperationTerminate, engine.Filter{Name: "nobody"}, 0, history.Terminated},
		{engine.OperationPurge, engine.Filter{Name: "waits", Statuses: []history.Status{history.Canceled}}, 100, history.Canceled},
		{engine.OperationPurge, engine.Filter{}, 150, history.Terminated},
	} {
		r := engine.OperationRequest{Kind: c.kind, Filter: c.filter, Reason: "tidying up", By: "ann"}
		seen, err := s.e.PreviewOperation(s.ctx, engine.OperationRequest{Hub: "default", Kind: c.kind, Filter: c.filter})
		s.no(err)
		if seen.Matched != c.done || !seen.Exact {
			t.Errorf("%s: a preview of %+v", c.kind, seen)
		}
		o := s.over(s.operate(r).ID, engine.OperationDone, c.done, 0)
		if o.Matched == nil || *o.Matched != c.done || o.Reason != "tidying up" || o.By != "ann" || o.Hub != "default" || o.Kind != c.kind {
			t.Errorf("%s: got %+v", c.kind, o)
		}
		want := c.done
		switch {
		case c.kind == engine.OperationPurge:
			want = 0
		case c.done == 0 && c.kind == engine.OperationSuspend, c.done == 148:
			continue
		case c.filter.Name == "nobody":
			want = 150
		}
		if got := s.inStatus(c.status); got != want {
			t.Errorf("%s: %d are %s, want %d", c.kind, got, c.status, want)
		}
	}
	if n := s.number("SELECT count(*) FROM weir.instances"); n != 3 {
		t.Errorf("%d instances are left, want the 3 others", n)
	}
	reason := s.number("SELECT count(*) FROM weir.history WHERE convert_from(events, 'UTF8') LIKE '%tidying up%'")
	if reason != 0 {
		t.Errorf("%d histories are left", reason)
	}
}

// TestOperationRewinds: instances that were ended by mistake go on, and what nobody had begun refuses.
func TestOperationRewinds(t *testing.T) {
	s := newSite(t)
	n := s.join(engine.NodeConfig{Executor: &program{}})
	s.many(7)
	s.over(s.operate(engine.OperationRequest{Kind: engine.OperationTerminate, Filter: engine.Filter{IDs: []string{"a-000", "a-001"}}}).ID, engine.OperationDone, 2, 0)
	s.work(n)
	s.until("five have begun", func() bool { return s.inStatus(history.Running) == 5 })
	s.over(s.operate(engine.OperationRequest{Kind: engine.OperationTerminate, Reason: "by mistake"}).ID, engine.OperationDone, 5, 0)
	request := engine.OperationRequest{Kind: engine.OperationRewind, Reason: "it was a mistake", Filter: engine.Filter{Statuses: []history.Status{history.Terminated}}}
	o := s.over(s.operate(request).ID, engine.OperationDone, 5, 2)
	refused, err := s.e.OperationRefusals(s.ctx, o)
	s.no(err)
	slices.SortFunc(refused, func(a, b engine.Refusal) int { return strings.Compare(a.ID, b.ID) }) // as they were started, more or less
	for n, r := range refused {
		if r.ID != fmt.Sprintf("a-00%d", n) || !errors.Is(r.Err, engine.ErrWrongState) || !strings.Contains(r.Err.Error(), "restart it") {
			t.Errorf("refused %s: %v", r.ID, r.Err)
		}
	}
	for n := 2; n < 7; n++ {
		s.raise(fmt.Sprintf("a-00%d", n))
		s.completes(fmt.Sprintf("a-00%d", n))
	}
}

// TestOperationRewindsOnce: whoever ran it died after it had rewound some of a page: these go on, and count.
func TestOperationRewindsOnce(t *testing.T) {
	s := newSite(t)
	n := s.join(engine.NodeConfig{Executor: &program{}})
	s.many(20)
	s.work(n)
	s.until("all have begun", func() bool { return s.inStatus(history.Running) == 20 })
	for i := range 20 {
		s.end(fmt.Sprintf("a-%03d", i))
	}
	s.exec(`INSERT INTO weir.batch_operations (hub, id, kind, created_by, filter, options, state, page)
		SELECT 1, 'rewind', 5, '', '{"statuses": ["TERMINATED"]}', '{"reason": "r"}', 1,
			json_agg(json_build_object('no', no, 'id', id, 'gen', gen, 'at', created_at) ORDER BY created_at, no) FROM weir.instances`)
	for i := range 7 {
		s.no(s.e.Rewind(s.ctx, engine.RewindRequest{Hub: "default", Instance: fmt.Sprintf("a-%03d", i), Reason: "r"}))
	}
	_, err := s.e.ResumeOperation(s.ctx, "default", "rewind")
	s.no(err)
	s.over("rewind", engine.OperationDone, 20, 0)
	if n := s.number("SELECT count(*) FROM weir.instances WHERE gen = 1"); n != 20 {
		t.Errorf("%d are in their second generation", n)
	}
}

// TestOperationRefusals: what refuses is counted, and the first hundred are kept with why.
func TestOperationRefusals(t *testing.T) {
	s := newSite(t)
	s.many(120)
	s.join(engine.NodeConfig{})
	s.over(s.operate(engine.OperationRequest{Kind: engine.OperationTerminate}).ID, engine.OperationDone, 120, 0)
	o := s.over(s.operate(engine.OperationRequest{
		Kind: engine.OperationRewind, Reason: "r", Filter: engine.Filter{Statuses: []history.Status{history.Terminated}},
	}).ID, engine.OperationDone, 0, 120)
	refused, err := s.e.OperationRefusals(s.ctx, o)
	s.no(err)
	if len(refused) != 100 || s.number("SELECT count(DISTINCT instance) FROM weir.batch_refusals") != 100 {
		t.Errorf("%d refusals are kept", len(refused))
	}
	for _, r := range refused {
		if engine.CodeOf(r.Err) != engine.CodeWrongState {
			t.Errorf("%s: %v", r.ID, r.Err)
		}
	}
	// A tree with a live leaf stays, and says which.
	s.exec(`UPDATE weir.instances SET parent_no = (SELECT no FROM weir.instances WHERE id = 'a-000') WHERE id = 'a-001'`)
	s.exec(`UPDATE weir.instances SET status = 7, outcome = NULL WHERE id = 'a-001'`)
	o = s.over(s.operate(engine.OperationRequest{Kind: engine.OperationPurge, Recursive: true}).ID, engine.OperationDone, 118, 1)
	refused, err = s.e.OperationRefusals(s.ctx, o)
	s.no(err)
	if len(refused) != 1 || refused[0].ID != "a-000" || !strings.Contains(refused[0].Err.Error(), `"a-001", which is SUSPENDED`) {
		t.Errorf("refused %+v", refused)
	}
}

// TestOperationGoesOn: whoever ran it died with a page half done, and each instance counts once.
func TestOperationGoesOn(t *testing.T) {
	for _, c := range []struct {
		kind engine.OperationKind
		by   func(s *site, id string) error
	}{
		{engine.OperationTerminate, func(s *site, id string) error {
			return s.e.Terminate(s.ctx, engine.TerminateRequest{Hub: "default", Instance: id})
		}},
		{engine.OperationCancel, func(s *site, id string) error {
			return s.e.Cancel(s.ctx, engine.CancelRequest{Hub: "default", Instance: id})
		}},
		{engine.OperationSuspend, func(s *site, id string) error {
			return s.e.Suspend(s.ctx, engine.ControlRequest{Hub: "default", Instance: id})
		}},
		{engine.OperationPurge, func(s *site, id string) error {
			_, err := s.e.Purge(s.ctx, engine.PurgeRequest{Hub: "default", IDs: []string{id}})
			return err
		}},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			s := newSite(t)
			s.many(150)
			if c.kind == engine.OperationPurge {
				s.exec("UPDATE weir.instances SET status = 5, outcome = 5, completed_at = now(), turn_job = NULL")
			}
			id := s.operate(engine.OperationRequest{Kind: c.kind}).ID
			s.exec(`UPDATE weir.batch_operations SET owner = 999999, claim = 7, page = (
				SELECT json_agg(json_build_object('no', no, 'id', id, 'gen', gen, 'at', created_at)) FROM (
					SELECT * FROM weir.instances ORDER BY created_at, no LIMIT 100) AS i)`)
			// They were started by many at once, so their ids are not in the order of the page.
			rows, err := s.pool.Query(s.ctx, "SELECT id FROM weir.instances ORDER BY created_at, no LIMIT 40")
			s.no(err)
			acted, err := pgx.CollectRows(rows, pgx.RowTo[string])
			s.no(err)
			for _, id := range acted {
				s.no(c.by(s, id))
			}
			s.join(engine.NodeConfig{})
			s.over(id, engine.OperationDone, 150, 0)
		})
	}
}

// TestOperationChangesHands: a node dies between two pages, or another has taken its place: nothing is lost, nothing
// counted twice.
func TestOperationChangesHands(t *testing.T) {
	for name, lose := range map[string]func(s *site, n *paced){
		"Leaves": func(s *site, n *paced) {
			n.Close(s.ctx)
			s.no(<-n.ended)
		},
		"Dies": func(s *site, n *paced) {
			s.exec("SELECT pg_terminate_backend(lock_pid) FROM weir.workers WHERE no = $1", n.No())
			if err := <-n.ended; !errors.Is(err, engine.ErrFenced) {
				s.t.Errorf("it ended with %v", err)
			}
		},
		"IsTakenFor": func(s *site, _ *paced) { s.exec("UPDATE weir.batch_operations SET owner = NULL") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.many(250)
			first := s.paced()
			id := s.operate(engine.OperationRequest{Kind: engine.OperationTerminate, Reason: "r"}).ID
			first.rested(s)
			if o := s.operation(id); o.Examined != 100 || o.Done != 100 || o.State != engine.OperationRunning {
				t.Errorf("after a page: %+v", o)
			}
			lose(s, first)
			second := s.paced()
			second.rested(s)
			if name == "IsTakenFor" {
				first.on <- struct{}{} // it finds that it is no longer its own
			}
			second.on <- struct{}{}
			second.rested(s)
			second.on <- struct{}{}
			s.over(id, engine.OperationDone, 250, 0)
			if n := s.inStatus(history.Terminated); n != 250 {
				t.Errorf("%d are terminated", n)
			}
			if n := s.number("SELECT count(*) FROM weir.history WHERE convert_from(events, 'UTF8') LIKE '%ExecutionTerminated%'"); n != 250 {
				t.Errorf("%d terminations are recorded", n)
			}
		})
	}
}

// TestOperationIsPaused: it stops after the page at work, goes on when it is resumed, and is canceled likewise. What was
// started meanwhile is none of its business.
func TestOperationIsPaused(t *testing.T) {
	s := newSite(t)
	s.many(350)
	n := s.paced()
	id := s.operate(engine.OperationRequest{Kind: engine.OperationTerminate, Filter: engine.Filter{Name: "waits"}, PerSecond: 5000}).ID
	stopped := func(state engine.OperationState, examined int64) {
		t.Helper()
		s.until("nobody has it", func() bool { return s.number("SELECT count(*) FROM weir.batch_operations WHERE owner IS NULL") == 1 })
		if o := s.operation(id); o.State != state || o.Examined != examined || o.Done != examined {
			t.Errorf("want %s after %d: %+v", state, examined, o)
		}
	}
	n.rested(s)
	for range 2 { // twice is once
		o, err := s.e.PauseOperation(s.ctx, "default", id)
		s.no(err)
		if o.State != engine.OperationPaused {
			t.Errorf("got %+v", o)
		}
	}
	n.on <- struct{}{}
	stopped(engine.OperationPaused, 100)
	s.start("waits", "late", "")
	for range 2 {
		o, err := s.e.ResumeOperation(s.ctx, "default", id)
		s.no(err)
		if o.State != engine.OperationRunning {
			t.Errorf("got %+v", o)
		}
	}
	n.rested(s)
	n.on <- struct{}{}
	n.rested(s)
	canceled, err := s.e.CancelOperation(s.ctx, "default", id)
	s.no(err)
	n.on <- struct{}{}
	stopped(engine.OperationCanceled, 300)
	again, err := s.e.CancelOperation(s.ctx, "default", id)
	s.no(err)
	if canceled.FinishedAt.IsZero() || !again.FinishedAt.Equal(canceled.FinishedAt) {
		t.Errorf("canceled %+v, again %+v", canceled, again)
	}
	for name, call := range map[string]func(context.Context, string, string) (*engine.Operation, error){
		"pause": s.e.PauseOperation, "resume": s.e.ResumeOperation,
	} {
		if _, err := call(s.ctx, "default", id); !errors.Is(err, engine.ErrWrongState) || !strings.Contains(err.Error(), "CANCELED") {
			t.Errorf("%s: %v", name, err)
		}
		for _, other := range []string{"none", "@", "", "\xff"} {
			if _, err := call(s.ctx, "default", other); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("%s %q: %v", name, other, err)
			}
		}
	}
	if n := s.inStatus(history.Terminated); n != 300 {
		t.Errorf("%d are terminated", n)
	}
	// A second one does the rest.
	late := s.operate(engine.OperationRequest{Kind: engine.OperationTerminate, Filter: engine.Filter{CreatedTo: canceled.CreatedAt}}).ID
	n.rested(s)
	n.on <- struct{}{}
	s.over(late, engine.OperationDone, 50, 0)
	if s.inStatus(history.Pending) != 1 {
		t.Error("the late one is gone")
	}
}

// TestOperationIsThrottled: pages are no larger than what is allowed in a second, and the rests make up for it.
func TestOperationIsThrottled(t *testing.T) {
	s := newSite(t)
	s.many(50)
	n := s.paced()
	id := s.operate(engine.OperationRequest{Kind: engine.OperationSuspend, PerSecond: 20}).ID
	for _, want := range []int64{20, 40, 50} {
		if d := n.rested(s); d <= 0 {
			t.Errorf("after %d it rests for %s", want, d)
		}
		if o := s.operation(id); o.Examined != want || o.PerSecond != 20 {
			t.Errorf("got %+v, want %d", o, want)
		}
		n.on <- struct{}{}
	}
	s.over(id, engine.OperationDone, 50, 0)
	for _, c := range []struct {
		fastest, took    time.Duration
		acted, perSecond int
		want             time.Duration
	}{
		{0, time.Second, 100, 0, time.Second},
		{10 * time.Millisecond, time.Second, 100, 0, time.Second},
		{20 * time.Millisecond, time.Second, 100, 0, time.Second},
		{7 * time.Millisecond, time.Second, 100, 0, time.Second},     // pages are not alike
		{4 * time.Millisecond, time.Second, 100, 0, 2 * time.Second}, // others are at work
		{time.Millisecond, time.Second, 100, 0, 4 * time.Second},
		{0, time.Second, 100, 10, 9 * time.Second},
		{0, time.Second, 5, 10, time.Second},
		{0, 10 * time.Second, 100, 10, 10 * time.Second},
		{0, time.Millisecond, 1, 1, 999 * time.Millisecond},
		{0, 0, 0, 1, 0},
	} {
		if got := engine.RestAfter(c.fastest, c.took, c.acted, c.perSecond); got != c.want {
			t.Errorf("%d took %s at %d in a second, the fastest %s: rests %s, want %s", c.acted, c.took, c.perSecond, c.fastest, got, c.want)
		}
	}
}
