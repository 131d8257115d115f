package model

import (
	"context"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// ProgressRecord is what was said of how far an instance is.
type ProgressRecord struct {
	engine.Progress
	Read func(context.Context, history.Payload, int) ([]byte, error)
}

// ofTask is null for what the orchestration's own code said.
func ofTask[T any](p *ProgressRecord, v T) *T {
	if p.Task < 0 {
		return nil
	}
	return &v
}

// Generation is the one in which it was said.
func (p *ProgressRecord) Generation() int32 { return int32(p.Progress.Generation) }

// TaskID is the number of the decision.
func (p *ProgressRecord) TaskID() *int32 { return ofTask(p, p.Task) }

// Name is that of the activity or step.
func (p *ProgressRecord) Name() *string { return ofTask(p, p.Progress.Name) }

// Attempt counts from 1.
func (p *ProgressRecord) Attempt() *int32 { return ofTask(p, int32(p.Progress.Attempt)) }

// Value is what was said.
func (p *ProgressRecord) Value() *Payload { return NewPayload(p.Progress.Value, p.Read) }
