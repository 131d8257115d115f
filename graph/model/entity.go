package model

import "github.com/weir-dev/weir/engine"

// Entity is a piece of state with operations.
type Entity struct {
	*engine.Entity
	Read Reader
}

// IsNode implements Node.
func (Entity) IsNode() {}

// ID is the global id.
func (e *Entity) ID() string { return EncodeID("Entity", e.Hub, e.Entity.ID.String()) }

// TaskHub is the hub it lives in.
func (e *Entity) TaskHub() *TaskHub { return &TaskHub{e.Hub} }

// EntityID is the id that people know.
func (e *Entity) EntityID() string { return e.Entity.ID.String() }

// Name is in lower case.
func (e *Entity) Name() string { return e.Entity.ID.Name }

// Key is its key.
func (e *Entity) Key() string { return e.Entity.ID.Key }

// State is null if it has none.
func (e *Entity) State() *Payload { return NewPayload(e.Entity.State, e.Read) }

// LockedBy is null if nobody has it locked.
func (e *Entity) LockedBy() *EntityLock {
	if e.Entity.LockedBy == nil {
		return nil
	}
	return &EntityLock{InstanceID: e.Entity.LockedBy.InstanceID, Since: e.Entity.LockedBy.Since}
}

// AllowedActions is what may be done with it now.
func (e *Entity) AllowedActions() []EntityAction {
	out := []EntityAction{EntityActionSignal, EntityActionCall}
	if e.Entity.LockedBy != nil {
		out = append(out, EntityActionReleaseLock)
	}
	return out
}

// Held is null if it is not held.
func (e *Entity) Held() *Hold {
	if e.Entity.Held == nil {
		return nil
	}
	return &Hold{e.Entity.Held}
}

// Backlog is how many requests wait for it.
func (e *Entity) Backlog() int32 { return int32(e.Entity.Backlog) }
