// Package tracing is what the engine knows of distributed tracing: contexts in the W3C form, spans as they are when they
// have ended, and how their ids come about. It needs the API of OpenTelemetry for contexts and nothing of its SDK: spans
// are made after the fact, from what a commit has recorded, and handed to a Sink in one go.
//
// # Which spans there are, and how often
//
// Whether an instance is traced is decided once, when it is started: by the sampled flag of the caller's context, or,
// where there is none, by chance. The context is stored with the instance. One that is not traced costs nothing from
// then on.
//
// A span is handed to the sink after the commit that records its end, by the process that made the commit. A commit is made
// once, so no span is there twice, whatever dies or replays; one is lost if the process dies, or is declared dead, between the two.
//
// The id of a span follows from what it is about: an instance's number, its generation, a decision's number and an attempt.
// So whoever needs an id that a span will have once it has ended, an activity for its own spans for instance, computes it,
// and a worker that takes over computes the same.
package tracing
