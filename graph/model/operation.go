package model

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine"
)

// BatchOperation is an operation on many instances.
type BatchOperation struct {
	*engine.Operation
}

// IsNode implements Node.
func (BatchOperation) IsNode() {}

// ID is the global id.
func (o *BatchOperation) ID() string { return EncodeID("BatchOperation", o.Hub, o.OperationID()) }

// TaskHub is the hub it works on.
func (o *BatchOperation) TaskHub() *TaskHub { return &TaskHub{o.Hub} }

// OperationID is the id that people know.
func (o *BatchOperation) OperationID() string { return o.Operation.ID }

// Kind is what is done.
func (o *BatchOperation) Kind() BatchOperationKind {
	return BatchOperationKind(o.Operation.Kind.String())
}

// State is how it stands.
func (o *BatchOperation) State() BatchOperationState {
	return BatchOperationState(o.Operation.State.String())
}

// By is null when nobody said.
func (o *BatchOperation) By() *string { return optional(o.Operation.By) }

// Error is null while it has not failed.
func (o *BatchOperation) Error() *string { return optional(o.Operation.Error) }

// PerSecond is null when there is no bound.
func (o *BatchOperation) PerSecond() *int32 {
	if o.Operation.PerSecond == 0 {
		return nil
	}
	n := int32(o.Operation.PerSecond)
	return &n
}

// FinishedAt is null until it is over.
func (o *BatchOperation) FinishedAt() *time.Time { return moment(o.Operation.FinishedAt) }

// AllowedActions is what may be done with it now.
func (o *BatchOperation) AllowedActions() []BatchOperationAction {
	switch o.Operation.State {
	case engine.OperationRunning:
		return []BatchOperationAction{BatchOperationActionPause, BatchOperationActionCancel}
	case engine.OperationPaused:
		return []BatchOperationAction{BatchOperationActionResume, BatchOperationActionCancel}
	}
	return []BatchOperationAction{}
}

// Filter is which instances it is about, in the form of the input type.
func (o *BatchOperation) Filter() (json.RawMessage, error) {
	f := &o.Operation.Filter
	type tag struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	out := struct {
		Statuses      []OrchestrationStatus `json:"statuses,omitempty"`
		Name          string                `json:"name,omitempty"`
		IDPrefix      string                `json:"instanceIdPrefix,omitempty"`
		CreatedFrom   *time.Time            `json:"createdFrom,omitempty"`
		CreatedTo     *time.Time            `json:"createdTo,omitempty"`
		CompletedFrom *time.Time            `json:"completedFrom,omitempty"`
		CompletedTo   *time.Time            `json:"completedTo,omitempty"`
		RootsOnly     bool                  `json:"rootsOnly,omitempty"`
		Parent        string                `json:"parentInstanceId,omitempty"`
		Tags          []tag                 `json:"tags,omitempty"`
		Names         []string              `json:"names,omitempty"`
		Versions      []string              `json:"versions,omitempty"`
		IDs           []string              `json:"instanceIds,omitempty"`
		UpdatedFrom   *time.Time            `json:"updatedFrom,omitempty"`
		UpdatedTo     *time.Time            `json:"updatedTo,omitempty"`
		StartedFrom   *time.Time            `json:"startedFrom,omitempty"`
		StartedTo     *time.Time            `json:"startedTo,omitempty"`
		LongerThan    *string               `json:"longerThan,omitempty"`
		ShorterThan   *string               `json:"shorterThan,omitempty"`
		FailureType   string                `json:"failureType,omitempty"`
		FailureText   string                `json:"failureText,omitempty"`
		Input         string                `json:"input,omitempty"`
		Output        string                `json:"output,omitempty"`
	}{
		Name: f.Name, IDPrefix: f.IDPrefix, CreatedFrom: moment(f.CreatedFrom), CreatedTo: moment(f.CreatedTo), CompletedFrom: moment(f.CompletedFrom),
		CompletedTo: moment(f.CompletedTo), RootsOnly: f.RootsOnly, Parent: f.Parent, Names: f.Names, Versions: f.Versions, IDs: f.IDs,
		UpdatedFrom: moment(f.UpdatedFrom), UpdatedTo: moment(f.UpdatedTo), StartedFrom: moment(f.StartedFrom), StartedTo: moment(f.StartedTo),
		LongerThan: duration(f.LongerThan), ShorterThan: duration(f.ShorterThan), FailureType: f.FailureType, FailureText: f.FailureText,
		Input: f.Input, Output: f.Output,
	}
	for _, s := range f.Statuses {
		out.Statuses = append(out.Statuses, OrchestrationStatus(s.String()))
	}
	for _, key := range slices.Sorted(maps.Keys(f.Tags)) {
		out.Tags = append(out.Tags, tag{key, f.Tags[key]})
	}
	return json.Marshal(out)
}

// RetentionRule is a rule for how long instances are kept.
type RetentionRule struct {
	engine.Retention
}

// Name is null for any.
func (r *RetentionRule) Name() *string { return optional(r.Retention.Name) }

// Status is null for any.
func (r *RetentionRule) Status() *OrchestrationStatus {
	if r.Retention.Status == nil {
		return nil
	}
	s := OrchestrationStatus(r.Retention.Status.String())
	return &s
}

// Keep is null for ever.
func (r *RetentionRule) Keep() *string { return duration(r.Retention.Keep) }
