package engine

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-dev/weir/engine/history"
)

// Executor runs user code for one worker process. The Go SDK implements it with coroutines; the endpoint for
// remote SDKs with their work-item streams. The engine never sees user code otherwise.
type Executor interface {
	// Open brings an instance's code to where its history ends. Errors: ErrNoHandler, or *Held when code and
	// history do not match.
	Open(ctx context.Context, info Info, past []history.Event) (Orchestration, error)
	// Activity tells how this process runs the activity of a version, and the retry policy of its handler.
	Activity(name, version string) (ActivityKind, *history.Retry)
	// Run makes one attempt at an activity or step and returns when it has ended, or its time is up: Result.Running
	// then tells of what still runs. It must not panic.
	Run(ctx context.Context, task *Task) Result
	// Operate has an entity carry out operations, one after another. Errors: ErrNoHandler; anything else holds the
	// entity, as a failed operation does not.
	Operate(ctx context.Context, batch *EntityBatch) (*EntityResult, error)
	// Kinds lists what this process can run.
	Kinds() Capabilities
}

// Orchestration is one instance's code, held in memory between turns.
type Orchestration interface {
	// Turn feeds new events, the first of which is OrchestratorStarted, and returns what the code decided.
	// An error of type *Held holds the turn.
	Turn(ctx context.Context, events []history.Event) (Turn, error)
	// Awaits names the events the code waits for, if it says so: after Open, what Turn.Awaits was after the last turn.
	Awaits() []string
	// Step returns the function of a step that the code has decided on; nil if there is none.
	Step(id int32) func(context.Context) Result
	// Close unwinds the code. Nothing may be called afterwards.
	Close()
}

// Turn is what an orchestration's code decided in one turn.
type Turn struct {
	// Decisions are events of the kinds that carry an id, in program order; at most one ExecutionCompleted,
	// the last.
	Decisions []history.Event
	// CustomStatus is the status the code set, if it set one; present and empty clears it.
	CustomStatus history.Payload
	// Progress is what the code said of how far it is, in order.
	Progress []history.Payload
	// Awaits names the events the code waits for, if it says so.
	Awaits []string
}

// Info is what an orchestration's code may know of its instance.
type Info struct {
	Hub        string
	InstanceID string
	Name       string
	Version    string
	// Generation counts from 0; each has an ExecutionID of its own.
	Generation  int
	ExecutionID string
	Parent      *history.Parent
	CreatedAt   time.Time
	// Trace is what the instance was started within; invalid if nobody traces it.
	Trace trace.SpanContext
}

// ActivityKind is how a process runs an activity.
type ActivityKind int

// The kinds. None means that this process cannot run it.
const (
	NoActivity ActivityKind = iota
	PlainActivity
	// TxActivity delivers its result in a transaction of the user's own.
	TxActivity
	// NativeActivity is a plain River worker; River runs it and records its output.
	NativeActivity
)

// Task is one activity or step to run.
type Task struct {
	Hub        string
	InstanceID string
	// ID is the decision's number in its generation.
	ID      int32
	Name    string
	Version string
	Input   history.Payload
	Attempt int
	Timeout time.Duration
	// Left is how long the call as a whole may still take, all attempts together; 0 means as long as it likes.
	Left time.Duration
	// Heartbeat is how long an attempt may be silent; 0 leaves it to the handler.
	Heartbeat time.Duration
	// Step is the function to run instead of a registered activity.
	Step func(context.Context) Result

	// rehearsed is set when a Rehearsal runs the task, not a Node.
	rehearsed *rehearsedTask

	key     taskKey
	attempt *attempt
	trace   string // the instance's context, as in its row
	e       *Engine
	node    *Node
}

// Result is how an attempt ended.
type Result struct {
	Output  history.Payload
	Failure *history.Failure
	// Delivered means that the output is already in the inbox: a TxHandler committed it with its own writes.
	Delivered bool
	// Gone means that nobody waits for this attempt any more, or that an earlier try of it has delivered; it ends
	// silently.
	Gone bool
	// Running is set when the attempt counts as ended although its code still runs; it is closed when that returns. Until
	// then the code keeps its slot.
	Running <-chan struct{}
}

// Capabilities is what a worker says of itself.
type Capabilities struct {
	Orchestrations []Definition `json:"orchestrations"`
	Activities     []Definition `json:"activities"`
	// Match is which versions of the orchestrations it takes, and FailUnmatched whether instances of those that no
	// worker takes fail here, instead of waiting for one.
	Match         Match `json:"match,omitempty"`
	FailUnmatched bool  `json:"failUnmatched,omitempty"`
	// Entities are the names of entities, in lower case.
	Entities []string `json:"entities,omitempty"`
	// Slots is how many activities run at once here.
	Slots int `json:"slots,omitempty"`
}

// Definition names something a worker can run.
type Definition struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// WithTimeout bounds the attempt: the context ends after d by the clock of whoever runs the task, which is virtual in
// a Rehearsal.
func (t *Task) WithTimeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	if t.rehearsed != nil {
		return t.rehearsed.withTimeout(ctx, d, cause)
	}
	return context.WithTimeoutCause(ctx, d, cause)
}

// Watch calls fn once the attempt has run for d without a call of again, by the clock of WithTimeout, unless stop is
// called.
func (t *Task) Watch(d time.Duration, fn func()) (again, stop func()) {
	if t.rehearsed != nil {
		return t.rehearsed.watch(d, fn)
	}
	timer := time.AfterFunc(d, fn)
	return func() { timer.Reset(d) }, func() { timer.Stop() }
}

// BeginTx begins the transaction of a TxHandler. It can be told whose it is, so that it does not outlive this
// worker's death.
func (t *Task) BeginTx(ctx context.Context, conn *pgx.Conn) (pgx.Tx, error) {
	return conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN; " + t.e.db.HandlerLock(t.node.no)})
}

// Waiting tells whether the instance still waits for this task, whose earlier commit may have landed without its
// answer: it waits for that commit, if it is still on its way.
func (t *Task) Waiting(ctx context.Context, conn *pgx.Conn) (bool, error) {
	return t.e.holdsToken(ctx, conn, t.attempt.row())
}

// FinishTx delivers a TxHandler's output and commits tx, in one pipeline on tx's connection: lock the
// instance, test it, delete the token, deliver, wake, commit. Afterwards tx must not be used any more; it must
// have been begun on a connection, not by a pool, whose bookkeeping would not see the commit. On ErrNoToken tx
// is rolled back and the attempt is over: its result was recorded, or the task handed to somebody else. Any
// other error rolls back too, and the attempt may be made again, unless the connection was lost in the commit:
// then only the token knows.
func (t *Task) FinishTx(ctx context.Context, tx pgx.Tx, output history.Payload) error {
	return t.e.finishTx(ctx, tx, t, output)
}
