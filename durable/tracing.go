package durable

import "github.com/weir-dev/weir/engine/tracing"

// Tracing says what becomes of the spans of orchestrations, activities and entities: Sink takes them, and Ratio is the share
// of instances that are traced although their caller is not, from 0 to 1. The package durable/otlp has a Sink that sends them to a
// collector of OpenTelemetry. All workers and clients of a hub should have one, or none: without one, contexts are
// passed on, so that what the code of an activity does itself is part of its caller's trace.
//
// A start, an event or a signal is part of the trace that its context.Context carries (see
// go.opentelemetry.io/otel/trace), and so is all that follows from it. The context of an activity, a step or an operation
// of an entity carries the span of the attempt.
type Tracing = tracing.Config

// WithTracing says what becomes of the spans of what a client starts and sends.
func WithTracing(t Tracing) ClientOption {
	return clientFunc(func(client *Client) { client.cfg.Tracing = t })
}
