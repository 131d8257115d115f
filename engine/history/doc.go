// Package history is the record of an instance: the closed set of history events, the values they carry,
// and the codec that stores them.
//
// The vocabulary is that of the Durable Task protocol, so that people who know Durable Functions or the
// Durable Task Scheduler recognise what they read, and so that one engine can serve Go workers and remote
// SDKs alike. A history is the concatenation of turns:
//
//	OrchestratorStarted            a turn begins; its time is the orchestration's "now"
//	ExecutionStarted, TaskCompleted, TimerFired, EventRaised, ...   what arrived, in order
//	TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent, ...   what the code decided
//
// The control plane adds turns of its own, in which nothing is decided: ExecutionSuspended, ExecutionResumed.
//
// Decisions carry an id that counts from 0 in program order within a generation; what answers a decision
// names that id. The last decision of a generation is ExecutionCompleted.
//
// To add an event: one struct here, one line in the table of codec.go, one golden file.
package history
