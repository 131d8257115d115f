package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// TestOperationLists: by pages, newest first, of some states; and they are forgotten.
func TestOperationLists(t *testing.T) {
	s := newSite(t)
	var ids []string
	for n := range 5 {
		id := fmt.Sprint("op", n)
		s.operate(engine.OperationRequest{ID: id, Kind: engine.OperationPurge, Filter: engine.Filter{
			Name: "x", Tags: map[string]string{"a": "b"}, CompletedTo: time.Unix(1, 0).UTC(), LongerThan: time.Hour, Versions: []string{"", "2"},
		}})
		ids = append([]string{id}, ids...)
	}
	_, err := s.e.CancelOperation(s.ctx, "default", "op3")
	s.no(err)
	list := func(states []engine.OperationState, before int64, limit int) (got []string, last int64) {
		t.Helper()
		found, err := s.e.Operations(s.ctx, "default", states, before, limit)
		s.no(err)
		for _, o := range found {
			got, last = append(got, o.ID), o.No()
			if f := o.Filter; f.Name != "x" || f.Tags["a"] != "b" || !f.CompletedTo.Equal(time.Unix(1, 0)) || f.LongerThan != time.Hour ||
				len(f.Versions) != 2 || len(f.Statuses) != 4 || !f.CreatedTo.IsZero() {
				t.Errorf("the filter is %+v", f)
			}
		}
		return got, last
	}
	first, last := list(nil, 0, 3)
	rest, _ := list(nil, last, 3)
	if got := append(first, rest...); len(first) != 3 || !slices.Equal(got, ids) {
		t.Errorf("listed %v", got)
	}
	if got, _ := list([]engine.OperationState{engine.OperationCanceled, engine.OperationDone}, 0, 10); !slices.Equal(got, []string{"op3"}) {
		t.Errorf("over are %v", got)
	}
	n := s.join(engine.NodeConfig{})
	for _, id := range ids {
		s.until(id+" is over", func() bool { return s.operation(id).State.Over() })
	}
	s.exec("INSERT INTO weir.batch_refusals SELECT no, 0, 'x', 'NOT_FOUND', '' FROM weir.batch_operations")
	s.exec("UPDATE weir.batch_operations SET finished_at = now() - interval '6 days 23 hours' WHERE id = 'op1'")
	s.exec("UPDATE weir.batch_operations SET finished_at = now() - interval '7 days 1 second' WHERE id = 'op2'")
	s.no(n.Tidy(s.ctx))
	if got, _ := list(nil, 0, 10); !slices.Equal(got, []string{"op4", "op3", "op1", "op0"}) || s.number("SELECT count(*) FROM weir.batch_refusals") != 4 {
		t.Errorf("left are %v", got)
	}
}

// TestOperationPreview: what is too much to count is bounded.
func TestOperationPreview(t *testing.T) {
	s := newSite(t)
	s.exec(`INSERT INTO weir.instances (no, hub, id, name, status, outcome, created_at, updated_at)
		SELECT -n, 1, 'i' || n, 'x', CASE WHEN n % 2 = 0 THEN 1 ELSE 3 END, CASE WHEN n % 2 = 0 THEN 1 ELSE 3 END, now(), now() FROM generate_series(1, 20002) n`)
	for status, exact := range map[history.Status]bool{history.Completed: false, history.Canceled: true} {
		got, err := s.e.PreviewOperation(s.ctx, engine.OperationRequest{Hub: "default", Kind: engine.OperationPurge, Filter: engine.Filter{Statuses: []history.Status{status}}})
		s.no(err)
		if got.Exact != exact || !exact && got.Matched != 10_000 || exact && got.Matched != 0 ||
			len(got.Sample) != min(10, int(got.Matched)) {
			t.Errorf("%s: %+v", status, got)
		}
	}
}

// TestOperationBadInput: what is refused, and what the error says.
func TestOperationBadInput(t *testing.T) {
	s := newSite(t)
	s.operate(engine.OperationRequest{ID: "taken", Kind: engine.OperationPurge})
	good := engine.OperationRequest{Hub: "default", Kind: engine.OperationTerminate}
	for _, c := range []struct {
		change func(r *engine.OperationRequest)
		code   engine.Code
		field  string
		says   string
	}{
		{func(r *engine.OperationRequest) { r.Hub = "nowhere" }, engine.CodeNotFound, "hub", "nowhere"},
		{func(r *engine.OperationRequest) { r.Kind = 6 }, engine.CodeInvalid, "kind", "6"},
		{func(r *engine.OperationRequest) { r.Kind = -1 }, engine.CodeInvalid, "kind", "-1"},
		{func(r *engine.OperationRequest) { r.ID = "taken" }, engine.CodeAlreadyExists, "id", "taken"},
		{func(r *engine.OperationRequest) { r.ID = "é" }, engine.CodeInvalid, "id", "ASCII"},
		{func(r *engine.OperationRequest) { r.ID = strings.Repeat("x", 201) }, engine.CodeInvalid, "id", "200"},
		{func(r *engine.OperationRequest) { r.Reason = strings.Repeat("x", 2001) }, engine.CodeInvalid, "reason", "2000"},
		{func(r *engine.OperationRequest) { r.Reason = "\xff" }, engine.CodeInvalid, "reason", "UTF-8"},
		{func(r *engine.OperationRequest) { r.Kind = engine.OperationRewind }, engine.CodeInvalid, "reason", "empty"},
		{func(r *engine.OperationRequest) { r.By = strings.Repeat("x", 201) }, engine.CodeInvalid, "by", "200"},
		{func(r *engine.OperationRequest) { r.Kind, r.Recursive = engine.OperationCancel, true }, engine.CodeInvalid, "recursive", "CANCEL"},
		{func(r *engine.OperationRequest) { r.PerSecond = -1 }, engine.CodeInvalid, "perSecond", "10000"},
		{func(r *engine.OperationRequest) { r.PerSecond = 10_001 }, engine.CodeInvalid, "perSecond", "10000"},
		{func(r *engine.OperationRequest) { r.Filter.Statuses = []history.Status{history.Completed} }, engine.CodeInvalid, "statuses", "terminate"},
		{func(r *engine.OperationRequest) {
			r.Kind, r.Filter.Statuses = engine.OperationPurge, []history.Status{history.Running}
		}, engine.CodeInvalid, "statuses", "purge"},
		{func(r *engine.OperationRequest) {
			r.Kind, r.Reason, r.Filter.Statuses = engine.OperationRewind, "r", []history.Status{history.Completed}
		}, engine.CodeInvalid, "statuses", "rewind"},
		{func(r *engine.OperationRequest) { r.Filter.Statuses = []history.Status{history.ContinuedAsNew} }, engine.CodeInvalid, "statuses", "CONTINUED"},
		{func(r *engine.OperationRequest) { r.Filter.Name = strings.Repeat("x", 81) }, engine.CodeInvalid, "name", "80"},
		{func(r *engine.OperationRequest) { r.Filter.IDPrefix = "\xff" }, engine.CodeInvalid, "idPrefix", "ASCII"},
		{func(r *engine.OperationRequest) { r.Filter.Parent = "@" }, engine.CodeInvalid, "parent", "@"},
		{func(r *engine.OperationRequest) { r.Filter.IDs = make([]string, 501) }, engine.CodeInvalid, "instanceIds", "500"},
		{func(r *engine.OperationRequest) { r.Filter.Tags = map[string]string{"": ""} }, engine.CodeInvalid, "tags", "key"},
		{func(r *engine.OperationRequest) { r.Filter.Input = "$.(" }, engine.CodeInvalid, "input", "path"},
		{func(r *engine.OperationRequest) { r.Filter.LongerThan = -1 }, engine.CodeInvalid, "longerThan", "negative"},
	} {
		r := good
		c.change(&r)
		_, err := s.e.StartOperation(s.ctx, r)
		var coded *engine.Error
		if !errors.As(err, &coded) || coded.Code != c.code || coded.Field != c.field || !strings.Contains(coded.Message, c.says) {
			t.Errorf("%+v: %v, want %s of %s: %s", r, err, c.code, c.field, c.says)
		}
	}
	if _, err := s.e.Operations(s.ctx, "default", nil, 0, 1001); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("too long a list: %v", err)
	}
	if _, err := s.e.Operation(s.ctx, "default", "none"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	// There is an end to what may be started.
	var g sync.WaitGroup
	for range 99 {
		g.Go(func() { s.operate(engine.OperationRequest{Kind: engine.OperationPurge}) })
	}
	g.Wait()
	if _, err := s.e.StartOperation(s.ctx, good); !errors.Is(err, engine.ErrWrongState) || !strings.Contains(err.Error(), "100") {
		t.Errorf("the 101st: %v", err)
	}
	// What cannot be read any more fails, and says so.
	s.exec("DELETE FROM weir.batch_operations WHERE id <> 'taken'")
	s.exec(`UPDATE weir.batch_operations SET filter = '{"input": "$.("}'`)
	s.join(engine.NodeConfig{})
	if o := s.over("taken", engine.OperationFailed, 0, 0); !strings.Contains(o.Error, "SQL/JSON path") {
		t.Errorf("it failed of %q", o.Error)
	}
}
