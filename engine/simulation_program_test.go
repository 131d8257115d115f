package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// simInput is what a generation of a simulated orchestration begins with. It waits for tasks, a timer, a child and events, in
// any order, and continues as new until its rounds are over; its output is the events it has taken in.
type simInput struct {
	Rounds int      `json:"rounds"`
	Tasks  int      `json:"tasks"`
	Events int      `json:"events"`
	Timer  bool     `json:"timer"`
	Child  bool     `json:"child"`
	Seen   []string `json:"seen"`
}

// simCode is the orchestration's code: a fold of the history.
type simCode struct {
	id     string
	gen    int
	in     simInput
	begun  bool
	now    time.Time
	next   int32 // the number of its next decision
	open   map[int32]bool
	events []*history.EventRaised
	ended  bool
	failed *history.Failure
}

func (c *simCode) take(e history.Event) {
	switch e := e.(type) {
	case *history.OrchestratorStarted:
		c.now = e.At
	case *history.ExecutionStarted:
		if err := json.Unmarshal(e.Input.Data(), &c.in); err != nil {
			panic(err)
		}
		c.begun, c.gen = true, e.Generation
	case *history.EventRaised:
		c.events = append(c.events, e)
	case *history.TaskCompleted:
		c.answer(e.TaskID)
	case *history.TimerFired:
		c.answer(e.TimerID)
	case *history.SubOrchestrationInstanceCompleted:
		c.answer(e.TaskID)
	case *history.TaskFailed:
		c.failed = e.Failure
	case *history.SubOrchestrationInstanceFailed:
		c.failed = e.Failure
	default:
		if id, ok := DecisionID(e); ok {
			c.next, c.open[id] = id+1, true
		}
	}
}

func (c *simCode) answer(id int32) {
	if !c.open[id] {
		c.failed = failure(CodeWrongState, "decision %d is answered twice, or was never made", id)
	}
	delete(c.open, id)
}

// Turn implements Orchestration.
func (c *simCode) Turn(_ context.Context, events []history.Event) (Turn, error) {
	fresh := !c.begun
	for _, e := range events {
		c.take(e)
	}
	var t Turn
	decide := func(e history.Event) {
		t.Decisions = append(t.Decisions, e)
		c.take(e)
	}
	if fresh && c.begun {
		for range c.in.Tasks {
			decide(&history.TaskScheduled{ID: c.next, Name: "task"})
		}
		if c.in.Timer {
			decide(&history.TimerCreated{ID: c.next, FireAt: c.now.Add(70 * time.Millisecond)})
		}
		if c.in.Child {
			input, err := json.Marshal(simInput{Rounds: 1, Tasks: 1})
			if err != nil {
				return t, err
			}
			decide(&history.SubOrchestrationInstanceCreated{
				ID: c.next, InstanceID: fmt.Sprintf("%s.%d", c.id, c.gen), Name: "simulated", Input: history.Bytes(input),
			})
		}
	}
	switch {
	case !c.begun || c.ended:
	case c.failed != nil:
		c.ended = true
		t.Decisions = append(t.Decisions, &history.ExecutionCompleted{ID: c.next, Status: history.Failed, Failure: c.failed})
	case len(c.open) == 0 && len(c.events) >= c.in.Events:
		c.ended = true
		t.Decisions = append(t.Decisions, c.end())
	}
	return t, nil
}

// end is the end of the generation.
func (c *simCode) end() history.Event {
	next := c.in
	next.Seen = slices.Clone(c.in.Seen)
	for _, e := range c.events[:c.in.Events] {
		next.Seen = append(next.Seen, string(e.Input.Data()))
	}
	next.Rounds--
	e := &history.ExecutionCompleted{ID: c.next, Status: history.Completed}
	if next.Rounds > 0 {
		e.Status, e.CarryOver = history.ContinuedAsNew, c.events[c.in.Events:]
		out, err := json.Marshal(next)
		if err != nil {
			panic(err) // text and numbers only
		}
		e.Result = history.Bytes(out)
		return e
	}
	out, err := json.Marshal(next.Seen)
	if err != nil {
		panic(err)
	}
	e.Result = history.Bytes(out)
	return e
}

// Awaits implements Orchestration.
func (c *simCode) Awaits() []string { return nil }

// Step implements Orchestration.
func (c *simCode) Step(int32) func(context.Context) Result { return nil }

// Close implements Orchestration.
func (c *simCode) Close() {}

// simExec runs the code of one node. Activities end when the simulation says so.
type simExec struct {
	sim  *simulation
	node *simNode
}

// Open implements Executor.
func (x *simExec) Open(_ context.Context, info Info, past []history.Event) (Orchestration, error) {
	c := &simCode{id: info.InstanceID, open: map[int32]bool{}}
	for _, e := range past {
		c.take(e)
	}
	return c, nil
}

// Activity implements Executor.
func (x *simExec) Activity(string, string) (ActivityKind, *history.Retry) { return PlainActivity, nil }

// Run implements Executor.
func (x *simExec) Run(_ context.Context, task *Task) Result {
	x.sim.pause(&pause{what: "activity", node: x.node, no: task.key.no, task: task.key.task, gen: task.key.gen})
	return Result{Output: history.Text(`"done"`)}
}

// Operate implements Executor.
func (x *simExec) Operate(context.Context, *EntityBatch) (*EntityResult, error) {
	return nil, ErrNoHandler
}

// Kinds implements Executor.
func (x *simExec) Kinds() Capabilities { return Capabilities{} }
