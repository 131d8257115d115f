package history

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encode writes events with the JSON codec. An event that happened at the same time as the one before it is
// written without its time. (By hand, because this is on the path of every turn: reflection would take a tenth
// of a worker's processor time. A test compares the result with encoding/json's.)
func Encode(events []Event) ([]byte, error) { return AppendEncode(nil, events) }

// AppendEncode is Encode into the memory of b, after what it holds.
func AppendEncode(b []byte, events []Event) ([]byte, error) {
	var (
		last time.Time
		err  error
	)
	b = append(slices.Grow(b, 64+160*len(events)), '[')
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		at := e.Time()
		if b, err = appendEvent(b, e, i > 0 && at.Equal(last)); err != nil {
			return nil, err
		}
		last = at
	}
	return append(b, ']'), nil
}

// object appends the members of a JSON object. Its methods leave out what is zero, but for those named always.
type object struct {
	b   []byte
	err error
}

func appendEvent(b []byte, e Event, sameTime bool) ([]byte, error) {
	name := TypeName(e)
	if name == "" {
		return nil, fmt.Errorf("encode history: %T is not an event", e)
	}
	o := object{b: append(b, `{"type":"`...)}
	o.b = append(o.b, name...)
	o.b = append(o.b, '"')
	if !sameTime {
		o.time("at", e.Time())
	}
	switch e := e.(type) {
	case *OrchestratorStarted:
	case *ExecutionStarted:
		o.always("instanceId", e.InstanceID)
		o.always("executionId", e.ExecutionID)
		o.always("name", e.Name)
		o.text("version", e.Version)
		o.payload("input", e.Input)
		if e.Parent != nil {
			o.value("parent", e.Parent)
		}
		if e.Generation != 0 {
			o.number("generation", int64(e.Generation))
		}
		if len(e.Tags) > 0 {
			o.value("tags", e.Tags)
		}
	case *ExecutionCompleted:
		o.number("id", int64(e.ID))
		o.always("status", e.Status.String())
		o.payload("result", e.Result)
		o.failure(e.Failure)
		o.text("newVersion", e.NewVersion)
		o.carryOver(e.CarryOver)
		if len(e.LeftOpen) > 0 {
			o.value("leftOpen", e.LeftOpen)
		}
	case *ExecutionTerminated:
		o.text("reason", e.Reason)
		o.payload("output", e.Output)
	case *ExecutionSuspended:
		o.text("reason", e.Reason)
		o.text("by", e.By)
	case *ExecutionRewound:
		o.text("reason", e.Reason)
	case *ExecutionResumed:
		o.text("reason", e.Reason)
		o.text("by", e.By)
	case *TaskScheduled:
		o.number("id", int64(e.ID))
		o.always("name", e.Name)
		o.text("version", e.Version)
		o.payload("input", e.Input)
		o.flag("step", e.Step)
		o.flag("native", e.Native)
		o.text("queue", e.Queue)
		if e.Retry != nil {
			o.value("retry", e.Retry)
		}
		o.duration("timeout", e.Timeout)
		o.duration("startTimeout", e.StartTimeout)
		o.duration("overall", e.Overall)
		o.duration("heartbeat", e.Heartbeat)
		if e.Priority != 0 {
			o.number("priority", int64(e.Priority))
		}
		o.text("limit", e.Limit)
		o.text("key", e.Key)
	case *TaskCompleted:
		o.number("taskId", int64(e.TaskID))
		o.payload("result", e.Result)
		o.run(&e.Run)
	case *TaskFailed:
		o.number("taskId", int64(e.TaskID))
		o.failure(e.Failure)
		o.run(&e.Run)
	case *TimerCreated:
		o.number("id", int64(e.ID))
		o.time("fireAt", e.FireAt)
	case *TimerFired:
		o.number("timerId", int64(e.TimerID))
		o.time("fireAt", e.FireAt)
	case *SubOrchestrationInstanceCreated:
		o.number("id", int64(e.ID))
		o.always("instanceId", e.InstanceID)
		o.always("name", e.Name)
		o.text("version", e.Version)
		o.payload("input", e.Input)
		if e.Priority != 0 {
			o.number("priority", int64(e.Priority))
		}
		if len(e.Tags) > 0 {
			o.value("tags", e.Tags)
		}
	case *SubOrchestrationInstanceCompleted:
		o.number("taskId", int64(e.TaskID))
		o.payload("result", e.Result)
	case *SubOrchestrationInstanceFailed:
		o.number("taskId", int64(e.TaskID))
		o.failure(e.Failure)
	case *EventSent:
		o.number("id", int64(e.ID))
		o.always("instanceId", e.InstanceID)
		o.always("name", e.Name)
		o.payload("input", e.Input)
	case *EventRaised:
		o.always("name", e.Name)
		o.payload("input", e.Input)
		o.text("trace", e.Trace)
	case *PatchRecorded:
		o.number("id", int64(e.ID))
		o.always("change", e.Change)
	case *TaskCanceled:
		o.number("id", int64(e.ID))
		o.number("taskId", int64(e.TaskID))
	case *ExecutionCancelRequested:
		o.text("reason", e.Reason)
		o.text("by", e.By)
	default:
		o.entityEvent(e)
	}
	if o.err != nil {
		return nil, fmt.Errorf("encode history: %s: %w", name, o.err)
	}
	return append(o.b, '}'), nil
}

func (o *object) entityEvent(e Event) {
	switch e := e.(type) {
	case *EntityOperationSignaled:
		o.number("id", int64(e.ID))
		o.always("entityId", e.EntityID)
		o.always("operation", e.Operation)
		o.payload("input", e.Input)
		o.maybeTime("scheduledAt", e.ScheduledAt)
	case *EntityOperationCalled:
		o.number("id", int64(e.ID))
		o.always("entityId", e.EntityID)
		o.always("operation", e.Operation)
		o.payload("input", e.Input)
	case *EntityOperationCompleted:
		o.number("taskId", int64(e.TaskID))
		o.payload("result", e.Result)
	case *EntityOperationFailed:
		o.number("taskId", int64(e.TaskID))
		o.failure(e.Failure)
	case *EntityLockRequested:
		o.number("id", int64(e.ID))
		if len(e.Entities) > 0 {
			o.value("entities", e.Entities)
		}
	case *EntityLockGranted:
		o.number("taskId", int64(e.TaskID))
		if len(e.Entities) > 0 {
			o.value("entities", e.Entities)
		}
	case *EntityUnlockSent:
		o.number("id", int64(e.ID))
		if len(e.Entities) > 0 {
			o.value("entities", e.Entities)
		}
	case *EntityRequest:
		o.text("operation", e.Operation)
		o.payload("input", e.Input)
		o.maybeTime("scheduledAt", e.ScheduledAt)
		if e.From != nil {
			o.value("from", e.From)
		}
		if len(e.Lock) > 0 {
			o.value("lock", e.Lock)
		}
		if e.Position != 0 {
			o.number("position", int64(e.Position))
		}
		o.flag("unlock", e.Unlock)
		o.text("trace", e.Trace)
	case *EntityState:
		o.payload("state", e.State)
		if e.LockedBy != nil {
			o.value("lockedBy", e.LockedBy)
		}
		if e.Deferred != 0 {
			o.number("deferred", int64(e.Deferred))
		}
	}
}

func (o *object) maybeTime(k string, v time.Time) {
	if !v.IsZero() {
		o.time(k, v)
	}
}

func (o *object) key(k string) {
	o.b = append(o.b, ',', '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(k, v string) {
	if v != "" {
		o.always(k, v)
	}
}

func (o *object) always(k, v string) {
	o.key(k)
	o.b = appendText(o.b, v)
}

func (o *object) number(k string, v int64) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) duration(k string, v Duration) {
	if v != 0 {
		o.always(k, time.Duration(v).String())
	}
}

func (o *object) flag(k string, v bool) {
	if v {
		o.key(k)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) time(k string, v time.Time) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = v.AppendFormat(o.b, time.RFC3339Nano)
	o.b = append(o.b, '"')
}

func (o *object) payload(k string, v Payload) {
	if v.present {
		o.key(k)
		o.b = v.appendJSON(o.b)
	}
}

func (o *object) failure(f *Failure) {
	if f != nil {
		o.value("failure", f)
	}
}

func (o *object) run(r *Run) {
	if !r.StartedAt.IsZero() {
		o.time("startedAt", r.StartedAt)
	}
	o.text("worker", r.Worker)
	if r.Attempts != 0 {
		o.number("attempts", int64(r.Attempts))
	}
	if len(r.Earlier) > 0 {
		o.value("earlier", r.Earlier)
	}
}

func (o *object) carryOver(events []*EventRaised) {
	if len(events) == 0 {
		return
	}
	o.key("carryOver")
	for i, e := range events {
		o.b = append(o.b, "[,"[min(i, 1)])
		if o.b, o.err = appendEvent(o.b, e, false); o.err != nil {
			return
		}
	}
	o.b = append(o.b, ']')
}

// value appends what is rare enough for reflection.
func (o *object) value(k string, v any) {
	o.key(k)
	out, err := marshal(v)
	if err != nil {
		o.err = err
	}
	o.b = append(o.b, out...)
}

// appendText appends a JSON string. What is not valid UTF-8 becomes U+FFFD, as in encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			out, err := marshal(s)
			if err != nil { // a string cannot fail
				panic(err)
			}
			return append(b, out...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendJSON appends the payload's JSON form. See wrapped.
func (p Payload) appendJSON(b []byte) []byte {
	switch {
	case p.ref != 0:
		b = append(b, `{"$ref":`...)
		b = strconv.AppendInt(b, p.ref, 10)
		if p.size != 0 {
			b = append(b, `,"size":`...)
			b = strconv.AppendInt(b, int64(p.size), 10)
		}
	case isCompactJSON(p.data):
		return append(b, p.data...)
	case utf8.Valid(p.data):
		b = append(b, `{"$text":`...)
		b = appendText(b, string(p.data))
	default:
		b = append(b, `{"$base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, p.data)
		b = append(b, '"')
	}
	return append(b, '}')
}

// isCompactJSON tells whether data, embedded in a document and taken out again, would be the same bytes.
func isCompactJSON(data []byte) bool {
	if bytes.HasPrefix(data, wrapPrefix) || !json.Valid(data) || !utf8.Valid(data) {
		return false
	}
	quoted := false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++ // only in strings
		case ' ', '\t', '\r', '\n':
			if !quoted {
				return false
			}
		}
	}
	return true
}

// marshal is json.Marshal without the escapes for HTML, which would change payloads.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
