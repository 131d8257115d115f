package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// Progress is one record of what an instance's code, or an activity or step of it, has said of how far it is. Records are
// never changed. They stay with the instance over all its generations and go when it is purged.
type Progress struct {
	// Seq counts from 1 over all generations of the instance, without gaps, in the order of the commits.
	Seq int64
	At  time.Time
	// Generation is the one in which it was said; a rewind does not take it back.
	Generation int
	// Task is the activity's or step's decision in its generation, and Name what it is called; -1 and empty if the
	// orchestration's own code said it.
	Task int32
	Name string
	// Attempt counts from 1; 0 if Task is -1.
	Attempt int
	// Value may be stored elsewhere: ReadValue reads it.
	Value history.Payload
}

// MaxProgress is how many records a page may have.
const MaxProgress = 500

// Progress reads the instance's progress after a number: at most limit records, up to MaxProgress, in order, and whether
// there is more. Large values are left where they are. Errors: INVALID_ARGUMENT.
func (e *Engine) Progress(ctx context.Context, i *Instance, after int64, limit int) (page []Progress, more bool, err error) {
	switch {
	case limit < 0 || limit > MaxProgress:
		return nil, false, invalid("limit", "is %d, must be between 0 and %d", limit, MaxProgress)
	case after < 0:
		return nil, false, invalid("after", "is %d, must not be negative", after)
	}
	rows, err := e.q.ReadProgress(ctx, e.pool, store.ReadProgressParams{No: i.no, After: after, MaxRows: int32(limit) + 1})
	if err != nil {
		return nil, false, fmt.Errorf("read progress: %w", err)
	}
	more = len(rows) > limit
	for _, row := range rows[:min(limit, len(rows))] {
		p := Progress{Seq: row.Seq, At: row.At, Generation: int(row.Gen), Task: row.Task, Name: row.Name, Attempt: int(row.Attempt)}
		switch {
		case row.Ref != 0:
			p.Value = history.Ref(row.Ref, int(row.Size))
		case row.Data != nil:
			p.Value = history.Bytes(row.Data)
		}
		page = append(page, p)
	}
	return page, more, nil
}

// LastProgress is the number of the instance's last record; 0 if it has none.
func (e *Engine) LastProgress(ctx context.Context, i *Instance) (int64, error) {
	last, err := e.q.LastProgress(ctx, e.pool, i.no)
	if err != nil {
		return 0, fmt.Errorf("read progress: %w", err)
	}
	return last, nil
}

// Progress says how far the attempt is: v, up to the payload limit, is appended to the instance's progress. It returns when
// that is committed; another attempt may say the same again. Errors: TOO_LARGE; FAILED_PRECONDITION when the generation
// that waits for the task has ended; UNAVAILABLE, after which v may have been appended.
func (t *Task) Progress(ctx context.Context, v history.Payload) error {
	if t.rehearsed != nil {
		return t.rehearsed.progress(v)
	}
	if err := t.e.checkPayload("value", v); err != nil {
		return err
	}
	v, large, err := t.e.externalizeCopy(ctx, t.key.no, v)
	if err != nil {
		return err
	}
	answer := make(chan outcome, 1)
	t.node.laneOf(t.key.no).submit(&unit{
		no: t.key.no, large: large,
		streamParts: streamParts{progress: []progress{{t.key.gen, t.key.task, int16(min(t.Attempt, unlimited)), t.Name, v}}},
		done:        func(_ *unit, o outcome) { answer <- o },
	})
	select {
	case o := <-answer:
		switch {
		case o.err != nil:
			return o.err
		case !o.landed && !o.progressed:
			return notWaited(t.ID, t.InstanceID)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func notWaited(task int32, id string) error {
	return &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("the generation of instance %q that scheduled task %d has ended", id, task)}
}

// said puts what the code said in a turn into its unit.
func (s *session) said(ctx context.Context, u *unit, values []history.Payload) error {
	inline := 0
	for _, v := range values {
		if inline += v.Size(); inline > inlineLimit { // of many small records, too, a batch must not become too large
			var large largePayload
			var err error
			if v, large, err = s.n.e.elsewhere(ctx, s.no, v); err != nil {
				return err
			}
			u.large = append(u.large, large)
		}
		u.progress = append(u.progress, progress{gen: s.state.gen, task: ofTheCode, value: v})
	}
	return nil
}

// checkProgress holds the turn if its progress cannot be stored: the code that said it gets no answer, and an instance
// need not end for want of a record.
func (s *state) checkProgress(values []history.Payload, lim limits) error {
	if len(values) > lim.decisions {
		return &Held{Kind: "limit", Step: s.nextID, Message: fmt.Sprintf("one turn made %d records of progress, at most %d are allowed", len(values), lim.decisions)}
	}
	for _, v := range values {
		if v.Size() > lim.payload {
			return &Held{Kind: "limit", Step: s.nextID, Message: tooLargeFailure("a record of progress", v.Size(), lim).Message}
		}
	}
	return nil
}

// Value reads a value that is stored elsewhere; another is returned as it is. Errors: NOT_FOUND when it is gone with its
// instance.
func (e *Engine) Value(ctx context.Context, v history.Payload) (history.Payload, error) {
	if ref, elsewhere := v.Stored(); elsewhere && v.Data() == nil {
		return e.value(ctx, nil, &ref)
	}
	return v, nil
}
