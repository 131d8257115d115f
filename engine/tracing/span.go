package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Source is the name that spans are found by: their instrumentation scope. It is the one of DTS, so that boards and queries
// made for that work.
const Source = "Microsoft.DurableTask"

// Kind is the kind of a span; the numbers are those of OpenTelemetry's protocol.
type Kind int

// The kinds.
const (
	Internal Kind = 1
	Server   Kind = 2
	Client   Kind = 3
	Producer Kind = 4
)

// Span is a span that has ended.
type Span struct {
	// Context is the span's own, Parent the id of the span it is part of, zero for none.
	Context trace.SpanContext
	Parent  trace.SpanID
	Name    string
	Kind    Kind
	Start   time.Time
	End     time.Time
	Attrs   []Attr
	// Links are contexts in the form of Format.
	Links []string
	// Failed says that the span ended with an error, and Message with which.
	Failed  bool
	Message string
}

// Attr is an attribute: a text, or, if Number is set, a number.
type Attr struct {
	Key    string
	Text   string
	Int    int64
	Number bool
}

// Text is an attribute that is a text.
func Text(key, value string) Attr { return Attr{Key: key, Text: value} }

// Int is an attribute that is a number.
func Int(key string, value int64) Attr { return Attr{Key: key, Int: value, Number: true} }

// Sink takes spans. It is called on the path of commits, from many goroutines: it must not block, and must not keep
// the slice. What it has no room for it drops.
type Sink interface {
	Export(spans []Span)
}

// Config says what a process does about tracing. The zero value passes contexts on and makes no spans.
type Config struct {
	Sink Sink
	// Ratio is the share of instances and requests without a caller's context that are traced, from 0 to 1.
	Ratio float64
}

// On tells whether spans of a context are made here.
func (c *Config) On(of trace.SpanContext) bool {
	return c.Sink != nil && of.IsValid() && of.IsSampled()
}

// Origin is a span in the making that others are to hang under: a start, an event, a request.
type Origin struct {
	// Context is what is passed on: the span's own, or, if no span is made here, the caller's. It may be invalid: nothing is
	// passed on then.
	Context trace.SpanContext
	parent  trace.SpanID
	began   time.Time
}

// Below begins a span within the context of ctx. Without one there is nothing to hang it under, and no span.
func (c *Config) Below(ctx context.Context) Origin {
	caller := trace.SpanContextFromContext(ctx)
	if !c.On(caller) {
		return Origin{Context: caller}
	}
	return Origin{Context: caller.WithSpanID(randomSpan()).WithRemote(false), parent: caller.SpanID(), began: time.Now()}
}

// Root is Below; without a context in ctx it may begin a trace: Ratio says how often.
func (c *Config) Root(ctx context.Context) Origin {
	if o := c.Below(ctx); o.Context.IsValid() || c.Sink == nil || c.Ratio <= 0 || c.Ratio < 1 && rand.Float64() >= c.Ratio {
		return o
	}
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()|1) // no trace has zero
	return Origin{
		Context: trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: randomSpan(), TraceFlags: trace.FlagsSampled}), began: time.Now(),
	}
}

func randomSpan() trace.SpanID { return spanID(rand.Uint64()) }

// Recording tells whether the span is made here.
func (o *Origin) Recording() bool { return !o.began.IsZero() }

// Span is the span, which ends now.
func (o *Origin) Span(name string, kind Kind, attrs []Attr) Span {
	return Span{Context: o.Context, Parent: o.parent, Name: name, Kind: kind, Start: o.began, End: time.Now(), Attrs: attrs}
}

// End hands the span to the sink, if it is made here. err is why what it stands for failed, nil if it did not.
func (c *Config) End(o *Origin, name string, kind Kind, err error, attrs ...Attr) {
	if !o.Recording() {
		return
	}
	s := o.Span(name, kind, attrs)
	if err != nil {
		s.Failed, s.Message = true, err.Error()
	}
	c.Sink.Export([]Span{s})
}
