package history

import "time"

// Event is one entry of a history. The set is closed: every event is one of the structs of this file
// and of entity.go.
type Event interface {
	// Time is when the event happened, by the database's clock, in microseconds.
	Time() time.Time
	header() *Header
}

// Header is what all events have.
type Header struct {
	At time.Time `json:"at"`
}

// Time implements Event.
func (h *Header) Time() time.Time { return h.At }

func (h *Header) header() *Header { return h }

// SetTime sets when the event happened.
func SetTime(e Event, at time.Time) { e.header().At = at }

// OrchestratorStarted opens a turn. Its time is the orchestration's current time for the whole turn.
type OrchestratorStarted struct {
	Header
}

// ExecutionStarted is the first event of a generation after its OrchestratorStarted.
type ExecutionStarted struct {
	Header
	InstanceID  string  `json:"instanceId"`
	ExecutionID string  `json:"executionId"`
	Name        string  `json:"name"`
	Version     string  `json:"version,omitempty"`
	Input       Payload `json:"input,omitzero"`
	Parent      *Parent `json:"parent,omitempty"`
	// Generation counts from 0.
	Generation int `json:"generation,omitempty"`
	// Tags are what the instance was started with.
	Tags map[string]string `json:"tags,omitempty"`
}

// Parent names the orchestration that waits for this one's outcome.
type Parent struct {
	InstanceID string `json:"instanceId"`
	Name       string `json:"name"`
	TaskID     int32  `json:"taskId"`
}

// ExecutionCompleted ends a generation.
type ExecutionCompleted struct {
	Header
	ID int32 `json:"id"`
	// Status is COMPLETED, FAILED, CANCELED, TERMINATED or CONTINUED_AS_NEW.
	Status Status `json:"status"`
	// Result is the output; for CONTINUED_AS_NEW the input of the next generation.
	Result  Payload  `json:"result,omitzero"`
	Failure *Failure `json:"failure,omitempty"`
	// NewVersion is the version of the next generation; empty keeps the present one.
	NewVersion string `json:"newVersion,omitempty"`
	// CarryOver are events this generation received and did not use; they open the next one.
	CarryOver []*EventRaised `json:"carryOver,omitempty"`
	// LeftOpen are the decisions that had no answer when the code returned, at most the first 100.
	LeftOpen []int32 `json:"leftOpen,omitempty"`
}

// ExecutionTerminated records that somebody ended the instance from outside.
type ExecutionTerminated struct {
	Header
	Reason string  `json:"reason,omitempty"`
	Output Payload `json:"output,omitzero"`
}

// ExecutionSuspended records that somebody has stopped the instance until it is resumed: from here on it takes in
// nothing but that.
type ExecutionSuspended struct {
	Header
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// ExecutionResumed records that somebody has let the instance go on.
type ExecutionResumed struct {
	Header
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// ExecutionRewound says that the instance was rewound to here: what comes before it was kept of the generation that
// ended, and what waits is tried anew from now on.
type ExecutionRewound struct {
	Header
	Reason string `json:"reason,omitempty"`
}

// TaskScheduled is the decision to run an activity or a step.
type TaskScheduled struct {
	Header
	ID      int32   `json:"id"`
	Name    string  `json:"name"`
	Version string  `json:"version,omitempty"`
	Input   Payload `json:"input,omitzero"`
	// Step marks a function of the orchestration's own code, run by the process that runs the orchestration.
	Step bool `json:"step,omitempty"`
	// Native marks an activity that is a plain River job: its arguments are the input itself, and River's own
	// retries and recorded output apply.
	Native bool `json:"native,omitempty"`
	// Queue names the group of workers that may run it; empty means any worker of the hub.
	Queue string `json:"queue,omitempty"`
	// Retry overrides the policy of the handler; nil leaves it.
	Retry *Retry `json:"retry,omitempty"`
	// Timeout bounds one attempt; zero leaves the handler's.
	Timeout Duration `json:"timeout,omitzero"`
	// StartTimeout bounds the wait for the first attempt, Overall the whole call, both from its being scheduled on; zero
	// does not.
	StartTimeout Duration `json:"startTimeout,omitzero"`
	Overall      Duration `json:"overall,omitzero"`
	// Heartbeat is how long an attempt may be silent; zero leaves the handler's.
	Heartbeat Duration `json:"heartbeat,omitzero"`
	// Priority is River's, 1 the highest; zero means that of the instance.
	Priority int `json:"priority,omitempty"`
	// Limit names the limit that bounds the call, empty for none; Key is what it is shared with others by.
	Limit string `json:"limit,omitempty"`
	Key   string `json:"key,omitempty"`
}

// TaskCompleted is the result of a TaskScheduled.
type TaskCompleted struct {
	Header
	TaskID int32   `json:"taskId"`
	Result Payload `json:"result,omitzero"`
	Run
}

// TaskFailed is the final failure of a TaskScheduled: no attempt follows it.
type TaskFailed struct {
	Header
	TaskID  int32    `json:"taskId"`
	Failure *Failure `json:"failure"`
	Run
}

// Run tells how a task went: when its last attempt started, where, and which attempts failed before it.
type Run struct {
	StartedAt time.Time `json:"startedAt,omitzero"`
	Worker    string    `json:"worker,omitempty"`
	// Attempts is the number of attempts made.
	Attempts int `json:"attempts,omitempty"`
	// Earlier are the failed attempts before the last, the newest 20 of them.
	Earlier []Attempt `json:"earlier,omitempty"`
}

// Attempt is one failed try of a task.
type Attempt struct {
	N         int       `json:"n"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Type      string    `json:"type,omitempty"`
	Message   string    `json:"message"`
}

// TimerCreated is the decision to wait until FireAt.
type TimerCreated struct {
	Header
	ID     int32     `json:"id"`
	FireAt time.Time `json:"fireAt"`
}

// TimerFired answers a TimerCreated, never before its FireAt by the database's clock.
type TimerFired struct {
	Header
	TimerID int32     `json:"timerId"`
	FireAt  time.Time `json:"fireAt"`
}

// SubOrchestrationInstanceCreated is the decision to run another orchestration and to wait for its outcome.
type SubOrchestrationInstanceCreated struct {
	Header
	ID         int32   `json:"id"`
	InstanceID string  `json:"instanceId"`
	Name       string  `json:"name"`
	Version    string  `json:"version,omitempty"`
	Input      Payload `json:"input,omitzero"`
	// Priority is the child's; zero means that of its parent.
	Priority int `json:"priority,omitempty"`
	// Tags are those that the child is started with.
	Tags map[string]string `json:"tags,omitempty"`
}

// SubOrchestrationInstanceCompleted is the output of a child.
type SubOrchestrationInstanceCompleted struct {
	Header
	TaskID int32   `json:"taskId"`
	Result Payload `json:"result,omitzero"`
}

// SubOrchestrationInstanceFailed is the failure of a child, or of the attempt to start it.
type SubOrchestrationInstanceFailed struct {
	Header
	TaskID  int32    `json:"taskId"`
	Failure *Failure `json:"failure"`
}

// EventSent is the decision to raise an event to another instance.
type EventSent struct {
	Header
	ID         int32   `json:"id"`
	InstanceID string  `json:"instanceId"`
	Name       string  `json:"name"`
	Input      Payload `json:"input,omitzero"`
}

// PatchRecorded is the decision to take the new way at a change of the code: see the SDK's Patched. It has no
// answer.
type PatchRecorded struct {
	Header
	ID     int32  `json:"id"`
	Change string `json:"change"`
}

// TaskCanceled is the decision to wait no longer for the answer to another decision, and to stop what it began. It has
// no answer.
type TaskCanceled struct {
	Header
	ID     int32 `json:"id"`
	TaskID int32 `json:"taskId"`
}

// ExecutionCancelRequested records that somebody asked the instance to end by itself.
type ExecutionCancelRequested struct {
	Header
	Reason string `json:"reason,omitempty"`
	// By is who asked: a person or program, or the id of the parent.
	By string `json:"by,omitempty"`
}

// EventRaised is an event that reached this instance.
type EventRaised struct {
	Header
	Name  string  `json:"name"`
	Input Payload `json:"input,omitzero"`
	// Trace is the context of distributed tracing in which it was sent; empty for none.
	Trace string `json:"trace,omitempty"`
}

// Status is the state of an instance. The numbers are those of the Durable Task protocol and of the
// database; they never change.
type Status int16

// The statuses of an instance.
const (
	Running        Status = 0
	Completed      Status = 1
	ContinuedAsNew Status = 2
	Failed         Status = 3
	Canceled       Status = 4
	Terminated     Status = 5
	Pending        Status = 6
	Suspended      Status = 7
)

var statusNames = [...]string{
	"RUNNING", "COMPLETED", "CONTINUED_AS_NEW", "FAILED", "CANCELED", "TERMINATED", "PENDING", "SUSPENDED",
}

// Statuses lists all statuses an instance can be in, in the order of their numbers.
func Statuses() []Status {
	return []Status{Running, Completed, ContinuedAsNew, Failed, Canceled, Terminated, Pending, Suspended}
}

// String returns the name used in the API and in histories.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return "UNKNOWN"
	}
	return statusNames[s]
}

// Live tells whether the instance can still do something.
func (s Status) Live() bool { return s == Running || s == Pending || s == Suspended }

// EachValue calls fn with each payload of an event, to be read or replaced in place.
func EachValue(e Event, fn func(*Payload)) {
	switch e := e.(type) {
	case *ExecutionStarted:
		fn(&e.Input)
	case *ExecutionCompleted:
		fn(&e.Result)
		for _, c := range e.CarryOver {
			fn(&c.Input)
		}
	case *ExecutionTerminated:
		fn(&e.Output)
	case *TaskScheduled:
		fn(&e.Input)
	case *TaskCompleted:
		fn(&e.Result)
	case *SubOrchestrationInstanceCreated:
		fn(&e.Input)
	case *SubOrchestrationInstanceCompleted:
		fn(&e.Result)
	case *EventSent:
		fn(&e.Input)
	case *EventRaised:
		fn(&e.Input)
	case *EntityOperationSignaled:
		fn(&e.Input)
	case *EntityOperationCalled:
		fn(&e.Input)
	case *EntityOperationCompleted:
		fn(&e.Result)
	case *EntityRequest:
		fn(&e.Input)
	case *EntityState:
		fn(&e.State)
	}
}
