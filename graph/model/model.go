// Package model holds the API's read models that are not generated: those bound to what the engine reads.
package model

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Orchestration is an instance.
type Orchestration struct {
	*engine.Instance
}

// IsNode implements Node.
func (Orchestration) IsNode() {}

// ID is the global id.
func (o *Orchestration) ID() string { return EncodeID("Orchestration", o.Hub, o.InstanceID()) }

// TaskHub is the hub it lives in.
func (o *Orchestration) TaskHub() *TaskHub { return &TaskHub{o.Hub} }

// Generation counts from 0.
func (o *Orchestration) Generation() int32 { return int32(o.Instance.Generation) }

// InstanceID is the id that people know.
func (o *Orchestration) InstanceID() string { return o.Instance.ID }

// Version is null when there is none.
func (o *Orchestration) Version() *string { return optional(o.Instance.Version) }

// Status is the instance's status.
func (o *Orchestration) Status() OrchestrationStatus {
	return OrchestrationStatus(o.Instance.Status.String())
}

// Tags are its tags, by name.
func (o *Orchestration) Tags() []*Tag { return NewTags(o.Instance.Tags) }

// NewTags lists tags by name.
func NewTags(tags map[string]string) []*Tag {
	out := make([]*Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, &Tag{Key: key, Value: tags[key]})
	}
	return out
}

// Priority is where its turns and activities stand in the queue.
func (o *Orchestration) Priority() int32 { return int32(o.Instance.Priority) }

// LastEventAt is when it last changed.
func (o *Orchestration) LastEventAt() time.Time { return o.UpdatedAt }

// FinishedAt is when it ended.
func (o *Orchestration) FinishedAt() *time.Time { return o.CompletedAt }

// LastSeq is the number of the last history event.
func (o *Orchestration) LastSeq() int64 { return o.Seq }

// FirstSeq is the number of the first history event of the generation.
func (o *Orchestration) FirstSeq() int64 { return o.Instance.FirstSeq }

// CustomStatus is what the code set.
func (o *Orchestration) CustomStatus() *Payload {
	if o.Instance.CustomStatus == nil {
		return nil
	}
	return NewPayload(history.Bytes(o.Instance.CustomStatus), inHand)
}

// inHand reads values that are there already.
func inHand(_ context.Context, v history.Payload, limit int) ([]byte, error) {
	return v.Data()[:min(limit, v.Size())], nil
}

// Failure is why it failed.
func (o *Orchestration) Failure() *Failure { return NewFailure(o.Instance.Failure) }

// Held is why its turn is held.
func (o *Orchestration) Held() *Hold {
	if o.Instance.Held == nil {
		return nil
	}
	return &Hold{o.Instance.Held}
}

// Parent is the instance that waits for this one.
func (o *Orchestration) Parent() *OrchestrationRef {
	if o.Instance.Parent == nil {
		return nil
	}
	return &OrchestrationRef{InstanceID: o.Instance.Parent.ID, Name: o.Instance.Parent.Name}
}

// AllowedActions is what may be done with it now.
func (o *Orchestration) AllowedActions() []OrchestrationAction {
	switch {
	case o.Instance.Status == history.Suspended:
		return []OrchestrationAction{OrchestrationActionRaiseEvent, OrchestrationActionCancel, OrchestrationActionTerminate, OrchestrationActionResume}
	case o.Instance.Status.Live():
		return []OrchestrationAction{OrchestrationActionRaiseEvent, OrchestrationActionCancel, OrchestrationActionTerminate, OrchestrationActionSuspend}
	}
	if o.Instance.Seq < o.Instance.FirstSeq || o.Instance.StartedAt == nil { // it never began
		return []OrchestrationAction{OrchestrationActionRestart}
	}
	return []OrchestrationAction{OrchestrationActionRestart, OrchestrationActionRewind}
}

// TaskHub is a hub.
type TaskHub struct{ Name string }

// IsNode implements Node.
func (TaskHub) IsNode() {}

// ID is the global id.
func (h *TaskHub) ID() string { return EncodeID("TaskHub", h.Name, h.Name) }

// Worker is a worker.
type Worker struct {
	engine.WorkerInfo
}

// IsNode implements Node.
func (Worker) IsNode() {}

// ID is the global id.
func (w *Worker) ID() string { return EncodeID("Worker", w.Hub, strconv.Itoa(int(w.WorkerInfo.No))) }

// State is what is known of its life.
func (w *Worker) State() WorkerState {
	switch w.WorkerInfo.State {
	case engine.WorkerOnline:
		return WorkerStateOnline
	case engine.WorkerLost:
		return WorkerStateLost
	}
	return WorkerStateLeft
}

// Slots is how many activities run at once.
func (w *Worker) Slots() int32 { return int32(w.WorkerInfo.Slots) }

// Entities lists the names of the entities it has.
func (w *Worker) Entities() []string {
	if w.WorkerInfo.Entities == nil {
		return []string{}
	}
	return w.WorkerInfo.Entities
}

// Orchestrations lists what it executes.
func (w *Worker) Orchestrations() []*Definition { return definitions(w.WorkerInfo.Orchestrations) }

// Activities lists what it executes.
func (w *Worker) Activities() []*Definition { return definitions(w.WorkerInfo.Activities) }

func definitions(in []engine.Definition) []*Definition {
	out := make([]*Definition, len(in))
	for i, d := range in {
		out[i] = &Definition{d}
	}
	return out
}

// Definition is something a worker can run.
type Definition struct{ engine.Definition }

// Version is null when there is none.
func (d *Definition) Version() *string { return optional(d.Definition.Version) }

// Hold is why a turn is held.
type Hold struct{ *engine.Held }

// Message is left out for who may not see values, where it is from the user's code.
func (h *Hold) Message(ctx context.Context) string {
	if Redacted(ctx) && (h.Kind == "panic" || h.Kind == "codec") {
		return ""
	}
	return h.Held.Message
}

// Step is the decision at which code and history part.
func (h *Hold) Step() *int32 {
	if h.Held.Step < 0 {
		return nil
	}
	return &h.Held.Step
}

// Expected is what the history has.
func (h *Hold) Expected() *string { return optional(h.Held.Expected) }

// Actual is what the code does.
func (h *Hold) Actual() *string { return optional(h.Held.Actual) }

// Stack is where it panicked.
func (h *Hold) Stack(ctx context.Context) *string {
	if Redacted(ctx) {
		return nil
	}
	return optional(h.Held.Stack)
}

// Build is the worker's.
func (h *Hold) Build() *string { return optional(h.Held.Build) }

// Failure is why something failed.
type Failure struct{ *history.Failure }

// NewFailure binds a failure; nil stays nil.
func NewFailure(f *history.Failure) *Failure {
	if f == nil {
		return nil
	}
	return &Failure{f}
}

// Message is left out for who may not see values: what an error says is often what it was about.
func (f *Failure) Message(ctx context.Context) string {
	if Redacted(ctx) {
		return ""
	}
	return f.Failure.Message
}

// Stack is where it happened.
func (f *Failure) Stack(ctx context.Context) *string {
	if Redacted(ctx) {
		return nil
	}
	return optional(f.Failure.Stack)
}

// Redacted tells that message and stack are left out.
func (f *Failure) Redacted(ctx context.Context) bool { return Redacted(ctx) }

// Inner is what it was caused by.
func (f *Failure) Inner() *Failure { return NewFailure(f.Failure.Inner) }

// FailedAttempt is an attempt of an activity that failed.
type FailedAttempt struct{ history.Attempt }

// N counts from 1.
func (a *FailedAttempt) N() int32 { return int32(a.Attempt.N) }

// Type is the class of its error.
func (a *FailedAttempt) Type() *string { return optional(a.Attempt.Type) }

// Message is left out for who may not see values.
func (a *FailedAttempt) Message(ctx context.Context) string {
	if Redacted(ctx) {
		return ""
	}
	return a.Attempt.Message
}

// Reader returns the first limit bytes of a value, wherever it is stored.
type Reader func(ctx context.Context, v history.Payload, limit int) ([]byte, error)

// Payload is a value, which may have to be fetched.
type Payload struct {
	value history.Payload
	read  Reader
}

// NewPayload binds a value; an absent one is nil.
func NewPayload(v history.Payload, read Reader) *Payload {
	if !v.Present() {
		return nil
	}
	return &Payload{v, read}
}

// Size is in bytes.
func (p *Payload) Size() int32 { return int32(p.value.Size()) }

// Encoding says what Text returns. A large value that is stored by itself is not fetched to be looked at: it is
// taken for JSON, which is what SDKs write.
func (p *Payload) Encoding() PayloadEncoding {
	data := p.value.Data()
	switch _, elsewhere := p.value.Stored(); {
	case elsewhere && data == nil:
		return PayloadEncodingJSON
	case !utf8.Valid(data):
		return PayloadEncodingBase64
	case len(data) > maxLook || json.Valid(data):
		return PayloadEncodingJSON
	}
	return PayloadEncodingText
}

// maxLook is the largest value that is parsed to tell whether it is JSON.
const maxLook = 1 << 20

// Text returns the value, cut after so many bytes, never in the middle of a character.
func (p *Payload) Text(ctx context.Context, maxBytes int) (string, error) {
	if Redacted(ctx) {
		return "", nil
	}
	data, err := p.read(ctx, p.value, maxBytes)
	if err != nil {
		return "", err
	}
	if p.Encoding() == PayloadEncodingBase64 {
		return base64.StdEncoding.EncodeToString(data), nil
	}
	if len(data) < p.value.Size() {
		data = whole(data)
	}
	return strings.ToValidUTF8(string(data), "\uFFFD"), nil
}

// whole drops what is left of a character that was cut in its middle.
func whole(data []byte) []byte {
	for n := 1; n <= min(utf8.UTFMax-1, len(data)); n++ {
		if c := data[len(data)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(data[len(data)-n:]) {
				return data[:len(data)-n]
			}
			break
		}
	}
	return data
}

// Redacted tells that the text is left out.
func (p *Payload) Redacted(ctx context.Context) bool { return Redacted(ctx) }

// Truncated tells whether Text with the same limit is cut.
func (p *Payload) Truncated(maxBytes int) bool { return p.value.Size() > maxBytes }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// OrchestrationConnection is a page of instances, and what it takes to count them.
type OrchestrationConnection struct {
	Edges    []*OrchestrationEdge
	Nodes    []*Orchestration
	PageInfo *PageInfo
	Hub      string
	Filter   engine.Filter
}
