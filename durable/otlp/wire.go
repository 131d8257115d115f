package otlp

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-dev/weir/engine/tracing"
)

// The numbers are those of the fields in opentelemetry/proto/trace/v1/trace.proto and its neighbours.

// appendSpan appends a span as a field of ScopeSpans. scratch is memory for it, and is returned.
func appendSpan(b, scratch []byte, s *tracing.Span) (out, memory []byte) {
	m := scratch[:0]
	traceID, spanID := s.Context.TraceID(), s.Context.SpanID()
	m = appendBytes(m, 1, traceID[:])
	m = appendBytes(m, 2, spanID[:])
	if state := s.Context.TraceState(); state.Len() > 0 {
		m = appendText(m, 3, state.String())
	}
	if s.Parent.IsValid() {
		m = appendBytes(m, 4, s.Parent[:])
	}
	m = appendText(m, 5, s.Name)
	m = appendVarint(m, 6, uint64(s.Kind))
	m = appendFixed64(m, 7, nanos(s.Start))
	m = appendFixed64(m, 8, nanos(s.End))
	for i := range s.Attrs {
		m = appendAttr(m, 9, &s.Attrs[i])
	}
	for _, to := range s.Links {
		if c := tracing.Parse(to); c.IsValid() {
			m = appendMessage(m, 13, func(b []byte) []byte { return appendLink(b, c) })
		}
	}
	if s.Failed {
		m = protowire.AppendTag(m, 15, protowire.BytesType)
		size := protowire.SizeTag(3) + 1
		if s.Message != "" {
			size += protowire.SizeTag(2) + protowire.SizeBytes(len(s.Message))
		}
		m = protowire.AppendVarint(m, uint64(size))
		if s.Message != "" {
			m = appendText(m, 2, s.Message)
		}
		m = appendVarint(m, 3, 2)
	}
	m = protowire.AppendTag(m, 16, protowire.Fixed32Type)
	m = protowire.AppendFixed32(m, uint32(s.Context.TraceFlags()))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendBytes(b, m), m
}

func appendLink(b []byte, to trace.SpanContext) []byte {
	traceID, spanID := to.TraceID(), to.SpanID()
	b = appendBytes(b, 1, traceID[:])
	b = appendBytes(b, 2, spanID[:])
	if state := to.TraceState().String(); state != "" {
		b = appendText(b, 3, state)
	}
	return b
}

// appendAttr appends an attribute, a KeyValue with an AnyValue.
func appendAttr(b []byte, field protowire.Number, a *tracing.Attr) []byte {
	inner := protowire.SizeTag(1) + protowire.SizeBytes(len(a.Text))
	if a.Number {
		inner = protowire.SizeTag(3) + protowire.SizeVarint(uint64(a.Int))
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(protowire.SizeTag(1)+protowire.SizeBytes(len(a.Key))+protowire.SizeTag(2)+protowire.SizeBytes(inner)))
	b = appendText(b, 1, a.Key)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(inner))
	if a.Number {
		return appendVarint(b, 3, uint64(a.Int))
	}
	return appendText(b, 1, a.Text)
}

// envelope puts spans or metrics, which are fields of a scope, into a request: the messages of both look alike.
func envelope(resource []tracing.Attr, source string, scoped []byte) []byte {
	out := make([]byte, 0, len(scoped)+1024)
	return appendMessage(out, 1, func(b []byte) []byte {
		b = appendMessage(b, 1, func(b []byte) []byte {
			for i := range resource {
				b = appendAttr(b, 1, &resource[i])
			}
			return b
		})
		scope := appendMessage(nil, 1, func(b []byte) []byte { return appendText(b, 1, source) })
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(scope)+len(scoped)))
		return append(append(b, scope...), scoped...)
	})
}

// appendMessage appends a message that fn writes, with its length before it.
func appendMessage(b []byte, field protowire.Number, fn func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	at := len(b)
	b = fn(b)
	var size [10]byte
	return slices.Insert(b, at, protowire.AppendVarint(size[:0], uint64(len(b)-at))...)
}

// appendText appends a string field; the protocol wants UTF-8, and drops a request with anything else.
func appendText(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendFixed64(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}

func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}
