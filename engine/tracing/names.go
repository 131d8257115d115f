package tracing

import "time"

// Attributes of spans: DTS's, and Weir's own where DTS has none.
const (
	Type          = "durabletask.type"
	TaskName      = "durabletask.task.name"
	TaskVersion   = "durabletask.task.version"
	InstanceID    = "durabletask.task.instance_id"
	ExecutionID   = "durabletask.task.execution_id"
	TaskStatus    = "durabletask.task.status"
	TaskID        = "durabletask.task.task_id"
	TaskOperation = "durabletask.task.operation"
	EventTarget   = "durabletask.event.target_instance_id"
	FireAt        = "durabletask.fire_at"
	EntityError   = "durabletask.entity.error_message"
	Hub           = "weir.hub"
	Worker        = "weir.worker"
	AttemptNumber = "weir.attempt"
	FailureType   = "error.type"
)

// Values of Type. DTS has no steps.
const (
	TypeOrchestration = "orchestration"
	TypeActivity      = "activity"
	TypeStep          = "step"
	TypeTimer         = "timer"
	TypeEvent         = "event"
	TypeEntity        = "entity"
)

// Named is the name of a span about a definition: what it is, the definition's name, and its version if it has one.
func Named(what, name, version string) string {
	if version == "" {
		return what + ":" + name
	}
	return what + ":" + name + "@(" + version + ")"
}

// At writes a time for an attribute.
func At(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
