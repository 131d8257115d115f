// Package jobs is how work reaches a process through River. Each turn job is a lease on one instance, worked by
// a session of the engine; each activity that leaves its session's process is a job whose kind is the
// activity's name; events raised in users' transactions are delivered by a job. River hands out, queues,
// pauses and shows; the engine decides what commits.
package jobs
