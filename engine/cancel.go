package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// CancelRequest asks an instance to end by itself.
type CancelRequest struct {
	Hub      string
	Instance string
	// Reason is told to the code and recorded; up to 2000 characters, may be empty.
	Reason string
	// By is who asks, for the history; up to 200 characters, may be empty.
	By string
}

func (r *CancelRequest) check() error {
	return first(CheckID("instance", r.Instance), checkText("reason", r.Reason, maxReason, true), checkText("by", r.By, maxKey, true))
}

func (r *CancelRequest) event(at time.Time) *history.ExecutionCancelRequested {
	return &history.ExecutionCancelRequested{
		Header: history.Header{At: at.UTC().Truncate(time.Microsecond)}, Reason: r.Reason, By: r.By,
	}
}

// Cancel asks an instance to end by itself: its code is told, may undo what it has done, and ends as CANCELED, unless
// it decides otherwise. When it returns, the request is in the instance's inbox; one that is suspended takes it in once
// it is resumed. An instance that nobody has begun, because it waits for its time or for a worker, is CANCELED at once.
// Errors: INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION when the instance has finished, UNAVAILABLE.
func (e *Engine) Cancel(ctx context.Context, r CancelRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{hub.no}, Ids: []string{r.Instance}})
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	if len(rows) == 0 {
		return instanceNotFound(r.Instance)
	}
	return e.requestCancel(ctx, rows[0], r.event(time.Now()))
}

// requestCancel asks an instance that was found to end by itself.
func (e *Engine) requestCancel(ctx context.Context, row store.FindInstancesRow, request *history.ExecutionCancelRequested) error {
	if !statusOf(row.Status).Live() {
		return finished(row.ID, statusOf(row.Status))
	}
	if statusOf(row.Status) == history.Pending {
		u, err := e.cancellation(row, request)
		if err != nil {
			return err
		}
		if _, err := e.commit(ctx, u); !errors.Is(err, errLost) {
			return err
		}
		// Somebody has begun it meanwhile: its code is to be told.
	}
	payload, err := history.Encode([]history.Event{request})
	if err != nil {
		return err
	}
	o, err := e.commit(ctx, &unit{no: row.No, messages: []message{{no: row.No, gen: -1, kind: msgCancel, payload: payload}}})
	if err != nil || o.delivered {
		return err
	}
	end, err := e.q.GetOutcome(ctx, e.pool, row.No)
	switch {
	case err == nil && statusOf(end.Status) == history.Canceled, o.landed && err == nil && statusOf(end.Status).Live():
		return nil // as it was asked to, or about to
	case err == nil && !statusOf(end.Status).Live():
		return finished(row.ID, statusOf(end.Status))
	}
	return instanceNotFound(row.ID)
}

// cancellation ends an instance that nobody has begun.
func (e *Engine) cancellation(row store.FindInstancesRow, request *history.ExecutionCancelRequested) (*unit, error) {
	end, why := canceledEarly(request)
	events, err := history.Encode(end)
	if err != nil {
		return nil, err
	}
	reason, err := json.Marshal(why)
	if err != nil {
		return nil, err
	}
	u := &unit{
		kind: unitCancel, status: history.Canceled, no: row.No, events: events, count: 2, failure: reason,
		dropInbox: true, dropTimers: true, dropTasks: true,
	}
	u.ending = e.ending(row, end[1].(*history.ExecutionCompleted))
	return u, u.tellParent(row, request.Header, why)
}

// canceledEarly is the history of an instance that nobody had begun, and why it ended, for whoever waits.
func canceledEarly(request *history.ExecutionCancelRequested) ([]history.Event, *history.Failure) {
	why := &history.Failure{Type: string(CodeCanceled), Message: "canceled", NonRetriable: true}
	if request.Reason != "" {
		why.Message = "canceled: " + request.Reason
	}
	return []history.Event{
		request, &history.ExecutionCompleted{Header: request.Header, ID: -1, Status: history.Canceled, Failure: why},
	}, why
}

// tellParent sends the failure to who waits for the instance.
func (u *unit) tellParent(row store.FindInstancesRow, at history.Header, why *history.Failure) error {
	if row.ParentNo == 0 {
		return nil
	}
	answer, err := history.Encode([]history.Event{&history.SubOrchestrationInstanceFailed{Header: at, TaskID: row.ParentTask, Failure: why}})
	if err != nil {
		return err
	}
	u.messages = []message{{no: row.ParentNo, gen: row.ParentGen, task: row.ParentTask, kind: msgResult, payload: answer}}
	return nil
}
