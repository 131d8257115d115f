package history

import "time"

// What orchestrations and entities say to each other: decisions of an orchestration and the answers to them, in its
// history; EntityRequest, a message to an entity, which no history keeps; and EntityState, which is all that is kept of
// an entity.

// EntityOperationSignaled is the decision to have an entity carry out an operation, without an answer.
type EntityOperationSignaled struct {
	Header
	ID        int32   `json:"id"`
	EntityID  string  `json:"entityId"`
	Operation string  `json:"operation"`
	Input     Payload `json:"input,omitzero"`
	// ScheduledAt is the time before which it is not carried out; zero means at once.
	ScheduledAt time.Time `json:"scheduledAt,omitzero"`
}

// EntityOperationCalled is the decision to have an entity carry out an operation, and to wait for what it returns.
type EntityOperationCalled struct {
	Header
	ID        int32   `json:"id"`
	EntityID  string  `json:"entityId"`
	Operation string  `json:"operation"`
	Input     Payload `json:"input,omitzero"`
}

// EntityOperationCompleted is what an operation returned.
type EntityOperationCompleted struct {
	Header
	TaskID int32   `json:"taskId"`
	Result Payload `json:"result,omitzero"`
}

// EntityOperationFailed is why an operation came to nothing.
type EntityOperationFailed struct {
	Header
	TaskID  int32    `json:"taskId"`
	Failure *Failure `json:"failure"`
}

// EntityLockRequested is the decision to enter a critical section: to lock entities, which are in the order in which they
// are locked.
type EntityLockRequested struct {
	Header
	ID       int32    `json:"id"`
	Entities []string `json:"entities,omitempty"`
}

// EntityLockGranted says that all entities of the request are locked.
type EntityLockGranted struct {
	Header
	TaskID   int32    `json:"taskId"`
	Entities []string `json:"entities,omitempty"`
}

// EntityUnlockSent is the decision to leave a critical section.
type EntityUnlockSent struct {
	Header
	ID       int32    `json:"id"`
	Entities []string `json:"entities,omitempty"`
}

// EntityRequest asks an entity to carry out an operation, to let itself be locked, or to be unlocked.
type EntityRequest struct {
	Header
	Operation string  `json:"operation,omitempty"`
	Input     Payload `json:"input,omitzero"`
	// ScheduledAt is the time before which it is not carried out; zero means at once.
	ScheduledAt time.Time `json:"scheduledAt,omitzero"`
	// From is who gets the answer, and whose lock this is about; nil for a signal from nobody in particular.
	From *Requester `json:"from,omitempty"`
	// Lock are the entities to lock; this is the one at Position, the ones before it are locked.
	Lock     []string `json:"lock,omitempty"`
	Position int      `json:"position,omitempty"`
	Unlock   bool     `json:"unlock,omitempty"`
	// Trace is the context of distributed tracing in which it was sent; empty for none.
	Trace string `json:"trace,omitempty"`
}

// Requester is a decision of an orchestration that an entity is to answer, or a client that waits for an answer.
type Requester struct {
	InstanceID string `json:"instanceId,omitempty"`
	No         int64  `json:"no,omitempty"`
	Gen        int32  `json:"gen,omitempty"`
	TaskID     int32  `json:"taskId,omitempty"`
	// Reply is the key of the answer to a client; empty for an orchestration.
	Reply string `json:"reply,omitempty"`
}

// Same tells whether both are the same execution of the same orchestration.
func (r *Requester) Same(other *Requester) bool {
	return r != nil && other != nil && r.No == other.No && r.Gen == other.Gen
}

// EntityState is an entity as it is after a batch of requests.
type EntityState struct {
	Header
	// State is absent once the entity has none: it is deleted then.
	State    Payload     `json:"state,omitzero"`
	LockedBy *EntityLock `json:"lockedBy,omitempty"`
	// Deferred counts the requests that were put off until their time.
	Deferred int32 `json:"deferred,omitempty"`
}

// EntityLock is who has an entity locked, and since when.
type EntityLock struct {
	Requester
	Since time.Time `json:"since"`
}
