package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// TerminateRequest asks for an instance to be ended at once.
type TerminateRequest struct {
	Hub      string
	Instance string
	Reason   string
	// Output becomes the instance's output.
	Output history.Payload
	// Recursive ends the children too, and theirs, each some milliseconds after its parent.
	Recursive bool
}

// Terminate ends an instance by a commit of its own: it needs no worker, and whatever the instance's session is
// doing loses. Timers, waiting tasks and unread messages go; a parent is told; children run on, unless they are to
// end too: then that is safely recorded when this returns, and done by any worker or server. Errors:
// INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND, FAILED_PRECONDITION when the instance has finished, UNAVAILABLE.
func (e *Engine) Terminate(ctx context.Context, r TerminateRequest) error {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return err
	}
	if err := first(CheckID("instance", r.Instance), checkText("reason", r.Reason, maxReason, true), e.checkPayload("output", r.Output)); err != nil {
		return err
	}
	rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{hub.no}, Ids: []string{r.Instance}})
	if err != nil {
		return fmt.Errorf("terminate: %w", err)
	}
	if len(rows) == 0 {
		return instanceNotFound(r.Instance)
	}
	return e.terminate(ctx, rows[0], r)
}

// terminate ends an instance that was found. Of the request, what it is for does not count.
func (e *Engine) terminate(ctx context.Context, row store.FindInstancesRow, r TerminateRequest) error {
	if !statusOf(row.Status).Live() {
		return finished(row.ID, statusOf(row.Status))
	}
	u, err := e.termination(ctx, row, r)
	if err != nil {
		return err
	}
	o, err := e.commit(ctx, u)
	if err != nil {
		return err
	}
	if !o.terminated && !o.landed {
		return finished(row.ID, history.Completed)
	}
	e.evict(ctx, row.No, o.owner)
	return nil
}

// ControlArgs are the arguments of a control job: which child to terminate or to rewind, and why.
type ControlArgs struct {
	No     int64  `json:"no"`
	Parent int64  `json:"parent"`
	Reason string `json:"reason,omitempty"`
	// Rewind says that the child is to be rewound instead: its parent was.
	Rewind bool `json:"rewind,omitempty"`
}

// Control ends a child as its parent was ended, and deletes the River job that asked for it. A child that has ended, or
// belongs to that parent no more, is let alone. It may run twice at once.
func (n *Node) Control(ctx context.Context, a ControlArgs, jobID int64) error {
	rows, err := n.e.q.FindInstancesByNo(ctx, n.e.pool, []int64{a.No})
	if err != nil {
		return fmt.Errorf("terminate child: %w", err)
	}
	u := &unit{no: a.No}
	if a.Rewind {
		if len(rows) == 1 && !statusOf(rows[0].Status).Live() && rows[0].ParentNo == a.Parent {
			if err := n.e.rewindChild(ctx, store.FindInstancesRow(rows[0]), a.Reason); err != nil {
				return fmt.Errorf("rewind child: %w", err)
			}
		}
		rows = nil
	}
	if len(rows) == 1 && statusOf(rows[0].Status).Live() && rows[0].ParentNo == a.Parent {
		if u, err = n.e.termination(ctx, store.FindInstancesRow(rows[0]), TerminateRequest{Reason: a.Reason, Recursive: true}); err != nil {
			return err
		}
	}
	u.deleteJobs = append(u.deleteJobs, jobID)
	answer := make(chan outcome, 1)
	u.done = func(_ *unit, o outcome) { answer <- o }
	n.lane.submit(u)
	select {
	case o := <-answer:
		if o.err == nil {
			n.e.evict(ctx, a.No, o.owner)
		}
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// evict tells the worker that owns an instance (0 = nobody) that it was taken away. Its session would find out with
// its next commit; told, it stops the tasks it runs.
func (e *Engine) evict(ctx context.Context, no int64, owner int32) {
	if owner == 0 {
		return
	}
	err := e.q.NotifyChannel(ctx, e.pool, store.NotifyChannelParams{
		Channel: e.db.Channel(fmt.Sprintf("wake.%d", owner)), Payload: fmt.Sprintf("!%d", no),
	})
	if err != nil {
		e.log.WarnContext(ctx, "tell the owner of an instance that ended", logkey.Err, err)
	}
}

func (e *Engine) termination(ctx context.Context, row store.FindInstancesRow, r TerminateRequest) (*unit, error) {
	output, large, err := e.externalizeCopy(ctx, row.No, r.Output)
	if err != nil {
		return nil, err
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	end, why := terminated(r.Reason, output, at)
	events, err := history.Encode(end)
	if err != nil {
		return nil, err
	}
	reason, err := json.Marshal(why)
	if err != nil {
		return nil, err
	}
	u := &unit{
		kind: unitTerminate, status: history.Terminated, no: row.No, events: events, count: 2, output: output, failure: reason, large: large,
		dropInbox: true, dropTimers: true, dropTasks: true,
	}
	u.ending = e.ending(row, end[1].(*history.ExecutionCompleted))
	if r.Recursive {
		if u.children, err = json.Marshal(ControlArgs{Reason: r.Reason}); err != nil {
			return nil, err
		}
	}
	if row.ParentNo != 0 {
		answer, err := history.Encode([]history.Event{&history.SubOrchestrationInstanceFailed{Header: history.Header{At: at}, TaskID: row.ParentTask, Failure: why}})
		if err != nil {
			return nil, err
		}
		u.messages = []message{{no: row.ParentNo, gen: row.ParentGen, task: row.ParentTask, kind: msgResult, payload: answer}}
	}
	return u, nil
}

// terminated is how a history ends that somebody ended from outside, and why, for whoever waits.
func terminated(reason string, output history.Payload, at time.Time) ([]history.Event, *history.Failure) {
	why := &history.Failure{Type: history.Terminated.String(), Message: "terminated", NonRetriable: true}
	if reason != "" {
		why.Message = "terminated: " + reason
	}
	header := history.Header{At: at}
	return []history.Event{
		&history.ExecutionTerminated{Header: header, Reason: reason, Output: output},
		&history.ExecutionCompleted{Header: header, ID: -1, Status: history.Terminated, Result: output, Failure: why},
	}, why
}
