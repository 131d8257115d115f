package tracing

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Context is where in a trace something happens.
type Context = trace.SpanContext

// maxState is the longest tracestate that is passed on, in bytes, as W3C recommends to support.
const maxState = 512

// Format writes a context as W3C's traceparent, with the tracestate after a space if there is one; empty if it is not
// valid. It is how instances and messages keep a context.
func Format(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	traceID, spanID := c.TraceID(), c.SpanID()
	b := make([]byte, 0, 64)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, traceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, spanID[:])
	b = append(b, "-00"...)
	if c.IsSampled() {
		b[len(b)-1] = '1'
	}
	if state := c.TraceState().String(); state != "" && len(state) <= maxState {
		b = append(append(b, ' '), state...)
	}
	return string(b)
}

// Parse reads what Format has written; what it cannot read is no context.
func Parse(s string) trace.SpanContext {
	parent, state, _ := strings.Cut(s, " ")
	return ParseHeaders(parent, state)
}

// ParseHeaders reads the values of the headers traceparent and tracestate. As W3C demands, what is not valid is as if it was
// not there, and so is a tracestate alone; versions to come are read as far as they are like this one.
func ParseHeaders(parent, state string) trace.SpanContext {
	const size = 55
	if len(parent) < size || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' || parent[:2] == "ff" ||
		len(parent) > size && (parent[:2] == "00" || parent[size] != '-') {
		return trace.SpanContext{}
	}
	var (
		version, flags [1]byte
		c              trace.SpanContextConfig
	)
	for _, part := range []struct {
		into []byte
		text string
	}{{version[:], parent[:2]}, {c.TraceID[:], parent[3:35]}, {c.SpanID[:], parent[36:52]}, {flags[:], parent[53:size]}} {
		if part.text != strings.ToLower(part.text) {
			return trace.SpanContext{}
		}
		if _, err := hex.Decode(part.into, []byte(part.text)); err != nil {
			return trace.SpanContext{}
		}
	}
	c.TraceFlags, c.Remote = trace.TraceFlags(flags[0])&trace.FlagsSampled, true
	if state != "" && len(state) <= maxState {
		c.TraceState, _ = trace.ParseTraceState(state) // else none
	}
	out := trace.NewSpanContext(c)
	if !out.IsValid() {
		return trace.SpanContext{}
	}
	return out
}

// With returns ctx with a context that came from elsewhere: spans that are begun with it are its children.
func With(ctx context.Context, c trace.SpanContext) context.Context {
	if !c.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, c)
}

// Role tells apart the spans of one decision.
type Role uint64

// The roles. The ids of spans depend on the numbers: they never change.
const (
	// Execution is a generation of an instance.
	Execution Role = 1
	// Decision is what an orchestration waits for, or sends.
	Decision Role = 2
	// Attempt is a try at an activity or a step.
	Attempt Role = 3
	// Operation is what an entity carries out for a request.
	Operation Role = 4
)

// ID is the id of the span of one thing: of an instance by its number, a generation, a decision's number and an attempt. It is
// the same wherever it is computed, and another in every trace.
func ID(in trace.TraceID, role Role, no int64, gen, task int32, attempt int) trace.SpanID {
	x := mix(be(in[:8])^uint64(role)) ^ be(in[8:])
	x = mix(x ^ uint64(no))
	x = mix(x ^ uint64(uint32(gen))<<32 ^ uint64(uint32(task)))
	x = mix(x ^ uint64(attempt))
	return spanID(x)
}

// IDUnder is the id of the one span that a request brings about, by the id of the span that sent it.
func IDUnder(in trace.TraceID, role Role, parent trace.SpanID) trace.SpanID {
	return spanID(mix(mix(be(in[:8])^be(in[8:])^uint64(role)) ^ be(parent[:])))
}

func spanID(x uint64) trace.SpanID {
	if x == 0 { // no id
		x = 1
	}
	var id trace.SpanID
	for i := range id {
		id[i] = byte(x >> (56 - 8*i))
	}
	return id
}

func be(b []byte) uint64 {
	var x uint64
	for _, c := range b {
		x = x<<8 | uint64(c)
	}
	return x
}

// mix spreads the bits of a number, as the generator splitmix64 does.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
