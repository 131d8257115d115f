package durable_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

// TestOperationsOnMany: instances at work are suspended, resumed, asked to end and purged, by workers, also when the one
// that does it leaves.
func TestOperationsOnMany(t *testing.T) {
	b := setup(t)
	handlers := []durable.Handler{
		Numbered.Handler(func(ctx *durable.Context, n int) (int, error) {
			_, err := Finish.Wait(ctx)
			return n, err
		}),
	}
	stop := b.worker(nil, handlers...)
	b.worker(nil, handlers...)
	const n = 120
	var all []*durable.Instance[int]
	for i := range n {
		all = append(all, start(b, Numbered, i, durable.ID(fmt.Sprintf("n-%03d", i)), durable.Tags{"team": "red"}))
	}
	other := start(b, Numbered, n, durable.ID("other"))
	inStatus := func(status int) func() bool {
		return func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE tags->>'team' = 'red' AND status = $1", status) == n
		}
	}
	red := durable.Filter{Tags: durable.Tags{"team": "red"}}
	do := func(o durable.ManyOperation, done int64) {
		t.Helper()
		o.Filter, o.Reason, o.By = red, "a test", "ann"
		if p, err := b.client.PreviewOperation(b.ctx, o); err != nil || p.Matched != done || !p.Exact || len(p.Sample) != min(10, int(done)) {
			t.Errorf("%s: a preview of %+v, %v", o.Kind, p, err)
		}
		s, err := b.client.StartOperation(b.ctx, o)
		if err != nil || s.Status != "RUNNING" || s.Over || s.Kind != o.Kind {
			t.Fatalf("%s: %+v, %v", o.Kind, s, err)
		}
		if s, err = b.client.WaitOperation(b.ctx, s.ID); err != nil || s.Status != "DONE" || s.Done != done || s.Refused != 0 || s.Examined != done ||
			s.Reason != "a test" || s.By != "ann" || s.FinishedAt.IsZero() || len(s.Refusals) != 0 {
			t.Fatalf("%s: %+v, %v", o.Kind, s, err)
		}
	}
	b.until("all are at work", inStatus(0))
	do(durable.ManyOperation{Kind: durable.SuspendMany, ID: "halt"}, n)
	b.until("all are suspended", inStatus(7))
	do(durable.ManyOperation{Kind: durable.ResumeMany}, n)
	b.until("all have been resumed", inStatus(0))
	s, err := b.client.StartOperation(b.ctx, durable.ManyOperation{Kind: durable.CancelMany, Filter: red, PerSecond: 60})
	if err != nil {
		t.Fatal(err)
	}
	b.until("it is at it", func() bool {
		s, err := b.client.OperationState(b.ctx, s.ID)
		return err == nil && s.Examined > 0
	})
	stop()
	if s, err = b.client.WaitOperation(b.ctx, s.ID); err != nil || s.Done != n || s.Refused != 0 {
		t.Errorf("cancel: %+v, %v", s, err)
	}
	for _, i := range all {
		if _, err := i.Wait(b.ctx); !errors.Is(err, durable.ErrCanceled) {
			t.Errorf("%s: %v", i.ID(), err)
		}
	}
	// The rules of retention do not bite yet, so that an operation purges.
	rules := []durable.Retention{{Keep: time.Hour}, {Status: "FAILED"}, {Name: "numbered", Status: "CANCELED", Keep: 30 * 24 * time.Hour}}
	for _, r := range rules {
		if err := b.client.SetRetention(b.ctx, r); err != nil {
			t.Error(err)
		}
	}
	if got, err := b.client.Retentions(b.ctx); err != nil || !slices.Equal(got, rules) {
		t.Errorf("rules: %+v, %v", got, err)
	}
	if err := b.client.DeleteRetention(b.ctx, "", "FAILED"); err != nil {
		t.Error(err)
	}
	if err := b.client.DeleteRetention(b.ctx, "", "FAILED"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a rule that is gone: %v", err)
	}
	do(durable.ManyOperation{Kind: durable.PurgeMany, Recursive: true}, n)
	if left := b.count("SELECT count(*) FROM weir.instances"); left != 1 || status(b, other).Status != "RUNNING" {
		t.Errorf("%d are left", left)
	}

	var ids []string
	for s, err := range b.client.Operations(b.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.Kind.String())
	}
	if want := []string{"PURGE", "CANCEL", "RESUME", "SUSPEND"}; !slices.Equal(ids, want) {
		t.Errorf("operations are %v, want %v", ids, want)
	}
	for what, call := range map[string]func(string) error{
		"pause":  func(id string) error { _, err := b.client.PauseOperation(b.ctx, id); return err },
		"resume": func(id string) error { _, err := b.client.ResumeOperation(b.ctx, id); return err },
		"cancel": func(id string) error { _, err := b.client.CancelOperation(b.ctx, id); return err },
	} {
		if err := call("halt"); !errors.Is(err, durable.ErrWrongState) {
			t.Errorf("%s what is over: %v", what, err)
		}
		if err := call("none"); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("%s nothing: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"a status":            second(b.client.StartOperation(b.ctx, durable.ManyOperation{Filter: durable.Filter{Statuses: []string{"LOST"}}})),
		"a rate":              second(b.client.StartOperation(b.ctx, durable.ManyOperation{PerSecond: -1})),
		"a status to keep":    b.client.SetRetention(b.ctx, durable.Retention{Status: "RUNNING", Keep: time.Hour}),
		"no status at all":    b.client.SetRetention(b.ctx, durable.Retention{Status: "LOST", Keep: time.Hour}),
		"too short a time":    b.client.SetRetention(b.ctx, durable.Retention{Keep: time.Second}),
		"no status to delete": b.client.DeleteRetention(b.ctx, "", "LOST"),
	} {
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := b.client.StartOperation(b.ctx, durable.ManyOperation{ID: "halt"}); !errors.Is(err, durable.ErrExists) {
		t.Errorf("an id twice: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
