package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// JSON is the number of the codec that Encode writes: a JSON array, one object an event, "type" first. An event
// without "at" happened at the time of the one before it.
const JSON = 1

// table is the one place that ties a type's name in storage to its struct. Names never change: they are in
// people's databases.
var table = map[string]func() Event{
	"OrchestratorStarted":               func() Event { return new(OrchestratorStarted) },
	"ExecutionStarted":                  func() Event { return new(ExecutionStarted) },
	"ExecutionCompleted":                func() Event { return new(ExecutionCompleted) },
	"ExecutionTerminated":               func() Event { return new(ExecutionTerminated) },
	"ExecutionSuspended":                func() Event { return new(ExecutionSuspended) },
	"ExecutionResumed":                  func() Event { return new(ExecutionResumed) },
	"ExecutionRewound":                  func() Event { return new(ExecutionRewound) },
	"TaskScheduled":                     func() Event { return new(TaskScheduled) },
	"TaskCompleted":                     func() Event { return new(TaskCompleted) },
	"TaskFailed":                        func() Event { return new(TaskFailed) },
	"TimerCreated":                      func() Event { return new(TimerCreated) },
	"TimerFired":                        func() Event { return new(TimerFired) },
	"SubOrchestrationInstanceCreated":   func() Event { return new(SubOrchestrationInstanceCreated) },
	"SubOrchestrationInstanceCompleted": func() Event { return new(SubOrchestrationInstanceCompleted) },
	"SubOrchestrationInstanceFailed":    func() Event { return new(SubOrchestrationInstanceFailed) },
	"EventSent":                         func() Event { return new(EventSent) },
	"EventRaised":                       func() Event { return new(EventRaised) },
	"PatchRecorded":                     func() Event { return new(PatchRecorded) },
	"TaskCanceled":                      func() Event { return new(TaskCanceled) },
	"ExecutionCancelRequested":          func() Event { return new(ExecutionCancelRequested) },
	"EntityOperationSignaled":           func() Event { return new(EntityOperationSignaled) },
	"EntityOperationCalled":             func() Event { return new(EntityOperationCalled) },
	"EntityOperationCompleted":          func() Event { return new(EntityOperationCompleted) },
	"EntityOperationFailed":             func() Event { return new(EntityOperationFailed) },
	"EntityLockRequested":               func() Event { return new(EntityLockRequested) },
	"EntityLockGranted":                 func() Event { return new(EntityLockGranted) },
	"EntityUnlockSent":                  func() Event { return new(EntityUnlockSent) },
	"EntityRequest":                     func() Event { return new(EntityRequest) },
	"EntityState":                       func() Event { return new(EntityState) },
}

var names = func() map[reflect.Type]string {
	m := make(map[reflect.Type]string, len(table))
	for name, fresh := range table {
		m[reflect.TypeOf(fresh())] = name
	}
	return m
}()

// TypeName is the event's name in storage, in the API and in the dashboard.
func TypeName(e Event) string { return names[reflect.TypeOf(e)] }

// TypeNames lists the names of all events.
func TypeNames() []string {
	out := make([]string, 0, len(table))
	for name := range table {
		out = append(out, name)
	}
	return out
}

// Decode reads what Encode wrote. An event of a type this program does not know, or a codec it does not
// know, is an error that names it: such a history was written by a newer version.
func Decode(codec int16, data []byte) ([]Event, error) {
	if codec != JSON {
		return nil, fmt.Errorf("decode history: codec %d is not known to this version", codec)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(data, &raws); err != nil {
		return nil, fmt.Errorf("decode history: %w", err)
	}
	events := make([]Event, len(raws))
	for i, raw := range raws {
		name, err := typeOf(raw)
		if err != nil {
			return nil, fmt.Errorf("decode history: event %d: %w", i+1, err)
		}
		fresh, ok := table[name]
		if !ok {
			return nil, fmt.Errorf("decode history: event %d: type %q is not known to this version", i+1, name)
		}
		events[i] = fresh()
		if err := json.Unmarshal(raw, events[i]); err != nil {
			return nil, fmt.Errorf("decode history: event %d: %s: %w", i+1, name, err)
		}
		if i > 0 && events[i].Time().IsZero() {
			SetTime(events[i], events[i-1].Time())
		}
	}
	return events, nil
}

var typePrefix = []byte(`{"type":"`)

// typeOf reads the type's name without parsing the object: Encode always writes it first.
func typeOf(raw []byte) (string, error) {
	rest, ok := bytes.CutPrefix(raw, typePrefix)
	if ok {
		if name, _, ok := bytes.Cut(rest, []byte{'"'}); ok {
			return string(name), nil
		}
	}
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return "", err
	}
	return head.Type, nil
}
