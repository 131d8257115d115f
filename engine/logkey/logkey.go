// Package logkey has the keys of log lines. Every line that Weir writes uses these and no others, so that a search for
// an instance, a worker or a trace finds all of its lines, and a dashboard built on them stays right. A test
// of the house checks it.
package logkey

// Whom a line is about.
const (
	// Hub is a hub's name.
	Hub = "hub"
	// Instance is an instance's id, and InstanceNo its number, where only that is known.
	Instance   = "instance"
	InstanceNo = "instance_no"
	// Execution is the id of a generation of an instance.
	Execution = "execution"
	// Orchestration, Version and Activity are names of definitions.
	Orchestration = "orchestration"
	Version       = "version"
	Activity      = "activity"
	// Task is the number of a decision in its generation, and Attempt that of a try at it.
	Task    = "task"
	Attempt = "attempt"
	// Worker is the number of a process that takes part.
	Worker = "worker"
	// OtherWorker is the number of one that the line is about, and that did not write it.
	OtherWorker = "other_worker"
	// Schedule and Operation are the ids of a schedule and a batch operation.
	Schedule  = "schedule"
	Operation = "operation"
)

// What happened.
const (
	// Err is an error, or the reason for what the line tells.
	Err = "err"
	// Kind tells kinds of one happening apart.
	Kind = "kind"
	// Step is the number of a decision that code and history do not agree on.
	Step = "step"
	// Count is how many, and First the first of them.
	Count = "count"
	First = "first"
	// Duration is how long something took.
	Duration = "duration"
	// Stack is a stack of goroutines.
	Stack = "stack"
	// Stats is a reading of counters.
	Stats = "stats"
)

// What a request was, and how it is found elsewhere.
const (
	// RequestID is that of the answer's header.
	RequestID = "request_id"
	// TraceID and SpanID are those of W3C trace context, in hexadecimal.
	TraceID = "trace_id"
	SpanID  = "span_id"
	// Path is where in a request or its answer.
	Path = "path"
)

// What a process is, and what it works with.
const (
	// Address is where something listens, or is asked.
	Address  = "address"
	Identity = "identity"
	Schema   = "schema"
	// Name is that of a role, a migration or another thing that the line names.
	Name  = "name"
	Queue = "queue"
	// Job is the id of a River row.
	Job = "job"
	// Lane is the number of a connection that commits; Landed, whether its last batch did.
	Lane   = "lane"
	Landed = "landed"
	// These are how many definitions a worker has.
	Orchestrations = "orchestrations"
	Activities     = "activities"
	Entities       = "entities"
)
