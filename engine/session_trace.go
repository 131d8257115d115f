package engine

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/tracing"
)

// maxLinks is how many events an orchestration's span refers to.
const maxLinks = 32

// tracer makes the spans of one turn of an instance.
type tracer struct {
	s   *session
	u   *unit
	of  trace.SpanContext // of the generation
	end time.Time
}

// recording tells whether spans of this instance are made here.
func (s *session) recording() bool { return s.n.e.cfg.Tracing.On(s.info.Trace) }

// sent is the context that a decision passes on: that of the span it will have had, or the instance's own if no spans are
// made here. Empty if there is none.
func (s *session) sent(task int32) string {
	c := s.info.Trace
	if !c.IsValid() {
		return ""
	}
	if s.recording() {
		c = c.WithSpanID(tracing.ID(c.TraceID(), tracing.Decision, s.no, s.state.gen, task, 0))
	}
	return tracing.Format(c)
}

// context is that of an attempt.
func (t *Task) context() trace.SpanContext {
	c := tracing.Parse(t.trace)
	if t.e.cfg.Tracing.On(c) {
		c = c.WithSpanID(tracing.ID(c.TraceID(), tracing.Attempt, t.key.no, t.key.gen, t.key.task, t.Attempt))
	}
	return c
}

// asked are the decisions that letters answer, as they are before the turn; afterwards they are pending no more. It is nil
// if nobody traces the instance.
func (s *session) asked(letters []letter) map[int32]*pending {
	if !s.recording() {
		return nil
	}
	out := map[int32]*pending{}
	for i := range letters {
		if p := s.state.pending[letters[i].task]; p != nil && (letters[i].kind == msgResult || letters[i].kind == msgTimer) {
			out[letters[i].task] = p
		}
	}
	return out
}

// trace puts the spans that end with a turn into its unit.
func (s *session) trace(u *unit, p *plan, asked map[int32]*pending) {
	if asked == nil {
		return
	}
	in := s.info.Trace
	t := &tracer{s: s, u: u, end: s.state.lastTurn, of: in.WithSpanID(tracing.ID(in.TraceID(), tracing.Execution, s.no, s.state.gen, 0, 0))}
	for _, e := range p.events {
		t.event(e, asked)
	}
	for _, c := range p.cancels {
		t.over(c.id, c.was, "Canceled")
	}
	if p.end == nil {
		return
	}
	for _, id := range p.end.LeftOpen {
		t.over(id, s.state.pending[id], "Abandoned")
	}
	end := &ending{no: s.no, in: in, instance: s.info.InstanceID, name: s.info.Name, version: s.info.Version, hub: s.info.Hub, end: p.end, links: s.state.links}
	u.spans = append(u.spans, end.span(s.state.gen, s.state.began))
}

// event makes the span of what an event ends.
func (t *tracer) event(e history.Event, asked map[int32]*pending) {
	switch e := e.(type) {
	case *history.TaskCompleted:
		t.task(e.TaskID, asked[e.TaskID], e.At, &e.Run, nil)
	case *history.TaskFailed:
		t.task(e.TaskID, asked[e.TaskID], e.At, &e.Run, e.Failure)
	case *history.TimerFired:
		if p := asked[e.TimerID]; p != nil {
			t.decision(e.TimerID, p, e.At, "", nil)
		}
	case *history.SubOrchestrationInstanceCompleted:
		t.answered(e.TaskID, asked, e.At, nil)
	case *history.SubOrchestrationInstanceFailed:
		t.answered(e.TaskID, asked, e.At, e.Failure)
	case *history.EntityOperationCompleted:
		t.answered(e.TaskID, asked, e.At, nil)
	case *history.EntityOperationFailed:
		t.answered(e.TaskID, asked, e.At, e.Failure)
	case *history.EventSent:
		t.add(t.span(e.ID, eventSpan(e.Name), tracing.Producer, e.At, e.At), nil, append(eventAttrs(e.Name, e.InstanceID),
			tracing.Text(tracing.InstanceID, t.s.info.InstanceID), tracing.Text(tracing.ExecutionID, t.s.info.ExecutionID)))
	case *history.EntityOperationSignaled:
		t.add(t.span(e.ID, entitySpanOf(e.EntityID, e.Operation), tracing.Producer, e.At, e.At), nil, append(operationAttrs(e.EntityID, e.Operation),
			tracing.Text(tracing.InstanceID, t.s.info.InstanceID)))
	}
}

// answered makes the span of a decision that was answered.
func (t *tracer) answered(id int32, asked map[int32]*pending, at time.Time, why *history.Failure) {
	if p := asked[id]; p != nil {
		t.decision(id, p, at, "", why)
	}
}

// over makes the span of a decision that gets no answer any more.
func (t *tracer) over(id int32, p *pending, status string) {
	if p != nil {
		t.decision(id, p, t.end, status, nil)
	}
}

// task makes the spans of an activity or a step: of the wait for it, and of each attempt.
func (t *tracer) task(id int32, p *pending, at time.Time, run *history.Run, why *history.Failure) {
	if p == nil || p.task == nil {
		return
	}
	t.decision(id, p, at, "", why)
	for _, a := range run.Earlier {
		t.attempt(p.task, a.N, a.StartedAt, a.EndedAt, "", &history.Failure{Type: a.Type, Message: a.Message})
	}
	if !run.StartedAt.IsZero() {
		t.attempt(p.task, run.Attempts, run.StartedAt, at, run.Worker, why)
	}
}

func (t *tracer) attempt(task *history.TaskScheduled, n int, from, to time.Time, worker string, why *history.Failure) {
	kind := tracing.Server
	if task.Step {
		kind = tracing.Internal
	}
	s := t.span(task.ID, nameOf(task), kind, from, to)
	s.Parent = s.Context.SpanID()
	s.Context = s.Context.WithSpanID(tracing.ID(t.of.TraceID(), tracing.Attempt, t.s.no, t.s.state.gen, task.ID, n))
	attrs := append(t.taskAttrs(task), tracing.Int(tracing.AttemptNumber, int64(n)))
	if worker != "" {
		attrs = append(attrs, tracing.Text(tracing.Worker, worker))
	}
	t.add(s, why, attrs)
}

func nameOf(task *history.TaskScheduled) string {
	if task.Step {
		return "step:" + task.Name
	}
	return tracing.Named("activity", task.Name, task.Version)
}

func (t *tracer) taskAttrs(task *history.TaskScheduled) []tracing.Attr {
	what := tracing.TypeActivity
	if task.Step {
		what = tracing.TypeStep
	}
	attrs := []tracing.Attr{
		tracing.Text(tracing.Type, what), tracing.Text(tracing.TaskName, task.Name), tracing.Text(tracing.InstanceID, t.s.info.InstanceID),
		tracing.Int(tracing.TaskID, int64(task.ID)),
	}
	if task.Version != "" {
		attrs = append(attrs, tracing.Text(tracing.TaskVersion, task.Version))
	}
	return attrs
}

// decision makes the span of what an orchestration has waited for.
func (t *tracer) decision(id int32, p *pending, at time.Time, status string, why *history.Failure) {
	var (
		s     tracing.Span
		attrs []tracing.Attr
	)
	me := t.s.info.InstanceID
	switch {
	case p.task != nil:
		kind := tracing.Client
		if p.task.Step {
			kind = tracing.Internal
		}
		s, attrs = t.span(id, nameOf(p.task), kind, p.task.At, at), t.taskAttrs(p.task)
	case p.timer != nil:
		s = t.span(id, "orchestration:"+t.s.info.Name+":timer", tracing.Internal, p.timer.At, at)
		attrs = []tracing.Attr{
			tracing.Text(tracing.Type, tracing.TypeTimer), tracing.Text(tracing.FireAt, tracing.At(p.timer.FireAt)), tracing.Text(tracing.InstanceID, me),
			tracing.Int(tracing.TaskID, int64(id)),
		}
	case p.child != nil:
		s = t.span(id, tracing.Named("orchestration", p.child.Name, p.child.Version), tracing.Client, p.child.At, at)
		attrs = []tracing.Attr{
			tracing.Text(tracing.Type, tracing.TypeOrchestration), tracing.Text(tracing.TaskName, p.child.Name),
			tracing.Text(tracing.InstanceID, p.child.InstanceID), tracing.Int(tracing.TaskID, int64(id)),
		}
		if p.child.Version != "" {
			attrs = append(attrs, tracing.Text(tracing.TaskVersion, p.child.Version))
		}
	case p.call != nil:
		s = t.span(id, entitySpanOf(p.call.EntityID, p.call.Operation), tracing.Client, p.call.At, at)
		attrs = append(operationAttrs(p.call.EntityID, p.call.Operation), tracing.Text(tracing.InstanceID, me), tracing.Int(tracing.TaskID, int64(id)))
	default: // a lock: the entity's matter
		return
	}
	if status != "" {
		attrs = append(attrs, tracing.Text(tracing.TaskStatus, status))
	}
	t.add(s, why, attrs)
}

// span is a span of a decision, below the generation's.
func (t *tracer) span(id int32, name string, kind tracing.Kind, from, to time.Time) tracing.Span {
	return tracing.Span{
		Context: t.of.WithSpanID(tracing.ID(t.of.TraceID(), tracing.Decision, t.s.no, t.s.state.gen, id, 0)),
		Parent:  t.of.SpanID(), Name: name, Kind: kind, Start: from, End: to,
	}
}

func (t *tracer) add(s tracing.Span, why *history.Failure, attrs []tracing.Attr) {
	if s.Attrs = attrs; why != nil {
		s.Failed, s.Message = true, why.Message
		s.Attrs = append(s.Attrs, tracing.Text(tracing.FailureType, why.Type))
	}
	t.u.spans = append(t.u.spans, s)
}
