package engine

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// The names and attributes of spans are DTS's.

func eventSpan(name string) string { return "orchestration_event:" + name }

func entitySpan(id EntityID, operation string) string {
	return "entity:" + strings.ToLower(id.Name) + ":" + operation
}

func entitySpanOf(id, operation string) string {
	if e, err := ParseEntityID("", id); err == nil {
		return entitySpan(e, operation)
	}
	return "entity:" + operation
}

func eventAttrs(name, target string) []tracing.Attr {
	return []tracing.Attr{tracing.Text(tracing.Type, tracing.TypeEvent), tracing.Text(tracing.TaskName, name), tracing.Text(tracing.EventTarget, target)}
}

func operationAttrs(target, operation string) []tracing.Attr {
	return []tracing.Attr{tracing.Text(tracing.Type, tracing.TypeEntity), tracing.Text(tracing.TaskOperation, operation), tracing.Text(tracing.EventTarget, target)}
}

func startAttrs(name, version, id string, no int64) []tracing.Attr {
	attrs := []tracing.Attr{
		tracing.Text(tracing.Type, tracing.TypeOrchestration), tracing.Text(tracing.TaskName, name), tracing.Text(tracing.InstanceID, id),
		tracing.Text(tracing.ExecutionID, executionID(no, 0)),
	}
	if version != "" {
		attrs = append(attrs, tracing.Text(tracing.TaskVersion, version))
	}
	return attrs
}

// traced returns ctx with the context of the attempt, for the spans of its code.
func (t *Task) traced(ctx context.Context) context.Context {
	if t.trace == "" {
		return ctx
	}
	return tracing.With(ctx, t.context())
}

// ending is a generation that ends, as its span needs it.
type ending struct {
	no            int64
	in            trace.SpanContext
	hub, instance string
	name, version string
	gen           int32 // where it is known before the commit
	end           *history.ExecutionCompleted
	links         []string
}

// ending is an instance that is ended from outside; nil if nobody traces it.
func (e *Engine) ending(row store.FindInstancesRow, end *history.ExecutionCompleted) *ending {
	in := tracing.Parse(row.Trace)
	if !e.cfg.Tracing.On(in) {
		return nil
	}
	out := &ending{no: row.No, in: in, instance: row.ID, name: row.Name, version: row.Version, gen: row.Gen, end: end}
	if hub, err := e.hubByNo(e.ctx, row.Hub); err == nil {
		out.hub = hub.Name
	}
	return out
}

// statusNames are DTS's names of the statuses in which a generation ends.
var statusNames = map[history.Status]string{
	history.Completed: "Completed", history.Failed: "Failed", history.Canceled: "Canceled", history.Terminated: "Terminated",
	history.ContinuedAsNew: "ContinuedAsNew",
}

// span is the span of the whole generation.
func (x *ending) span(gen int32, began time.Time) tracing.Span {
	end := x.end
	if began.IsZero() { // nobody had begun it
		began = end.At
	}
	s := tracing.Span{
		Context: x.in.WithSpanID(tracing.ID(x.in.TraceID(), tracing.Execution, x.no, gen, 0, 0)), Parent: x.in.SpanID(),
		Name: tracing.Named("orchestration", x.name, x.version), Kind: tracing.Server, Start: began, End: end.At, Links: x.links,
		Attrs: []tracing.Attr{
			tracing.Text(tracing.Type, tracing.TypeOrchestration), tracing.Text(tracing.TaskName, x.name), tracing.Text(tracing.InstanceID, x.instance),
			tracing.Text(tracing.ExecutionID, executionID(x.no, gen)), tracing.Text(tracing.TaskStatus, statusNames[end.Status]), tracing.Text(tracing.Hub, x.hub),
		},
	}
	if x.version != "" {
		s.Attrs = append(s.Attrs, tracing.Text(tracing.TaskVersion, x.version))
	}
	if s.Failed = end.Status == history.Failed || end.Status == history.Terminated; s.Failed && end.Failure != nil {
		s.Message = end.Failure.Message
		s.Attrs = append(s.Attrs, tracing.Text(tracing.FailureType, end.Failure.Type))
	}
	return s
}

// traced hands the spans of units that have landed to the sink.
func (l *lane) traced(units []*unit, r *store.Result) {
	if l.tracing.Sink == nil {
		return
	}
	l.spans = l.spans[:0]
	for _, u := range units {
		l.spans = append(l.spans, u.spans...)
		for i := range u.starts {
			if s := &u.starts[i]; s.origin != nil {
				l.spans = append(l.spans, s.origin.Span(tracing.Named("create_orchestration", s.name, s.version), tracing.Producer, startAttrs(s.name, s.version, s.id, s.no)))
			}
		}
		switch {
		case u.ending == nil:
		case u.kind == unitCancel:
			l.spans = append(l.spans, u.ending.span(u.ending.gen, time.Time{}))
		default:
			if row, ended := r.Terminated[u.no]; ended {
				var began time.Time
				if row.StartedAt != nil {
					began = *row.StartedAt
				}
				l.spans = append(l.spans, u.ending.span(row.Gen, began))
			}
		}
	}
	if len(l.spans) > 0 {
		l.tracing.Sink.Export(l.spans)
		clear(l.spans)
	}
}

// trace puts the spans of the operations of an entity's turn into its unit.
func (t *entityTurn) trace(result *EntityResult) {
	for i, op := range t.batch.Operations {
		if !t.s.n.e.cfg.Tracing.On(op.Trace) || i >= len(result.Results) {
			continue
		}
		r := &result.Results[i]
		s := tracing.Span{
			Context: op.Trace, Parent: tracing.Parse(t.asked[i].Trace).SpanID(), Name: entitySpan(t.s.entity.id, op.Name), Kind: tracing.Server,
			Start: r.Began, End: r.Ended, Attrs: append(operationAttrs(t.s.info.InstanceID, op.Name),
				tracing.Text(tracing.InstanceID, t.s.info.InstanceID), tracing.Text(tracing.Hub, t.s.hub.Name)),
		}
		if r.Failure != nil {
			s.Failed, s.Message = true, r.Failure.Message
			s.Attrs = append(s.Attrs, tracing.Text(tracing.EntityError, r.Failure.Message))
		}
		t.u.spans = append(t.u.spans, s)
	}
}

// operationTrace is the context in which an operation runs: that of its span, or, if no spans are made here, that of who
// asks for it.
func (e *Engine) operationTrace(r *history.EntityRequest) trace.SpanContext {
	if r.Trace == "" {
		return trace.SpanContext{}
	}
	c := tracing.Parse(r.Trace)
	if e.cfg.Tracing.On(c) {
		c = c.WithSpanID(tracing.IDUnder(c.TraceID(), tracing.Operation, c.SpanID()))
	}
	return c
}
