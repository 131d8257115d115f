package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// OperationKind is what an operation does with each instance.
type OperationKind int16

// The kinds of operations.
const (
	OperationPurge OperationKind = iota
	OperationTerminate
	OperationCancel
	OperationSuspend
	OperationResume
	OperationRewind
)

var operationKinds = []string{"PURGE", "TERMINATE", "CANCEL", "SUSPEND", "RESUME", "REWIND"}

// String is the kind's name in the API.
func (k OperationKind) String() string {
	if k < 0 || int(k) >= len(operationKinds) {
		return fmt.Sprintf("OperationKind(%d)", int16(k))
	}
	return operationKinds[k]
}

// MarshalText implements encoding.TextMarshaler.
func (k OperationKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *OperationKind) UnmarshalText(text []byte) error {
	i := slices.Index(operationKinds, string(text))
	if i < 0 {
		return invalid("kind", "%.40q is no kind of operation, allowed are %s", text, strings.Join(operationKinds, ", "))
	}
	*k = OperationKind(i)
	return nil
}

// statuses are those that an operation acts on: by itself, and if its filter names them.
func (k OperationKind) statuses() (unasked, allowed []history.Status) {
	live := []history.Status{history.Pending, history.Running, history.Suspended}
	ended := []history.Status{history.Completed, history.Failed, history.Canceled, history.Terminated}
	switch k {
	case OperationPurge:
		return ended, ended
	case OperationSuspend:
		return live[:2], live
	case OperationResume:
		return live[2:], live
	case OperationRewind: // what has completed could only be rewound to a step, and each has steps of its own
		return ended[1:2], ended[1:]
	}
	return live, live
}

// OperationState is how an operation stands.
type OperationState int16

// The states of operations. The last three are final.
const (
	OperationRunning OperationState = iota
	OperationPaused
	OperationDone
	OperationCanceled
	OperationFailed
)

var operationStates = []string{"RUNNING", "PAUSED", "DONE", "CANCELED", "FAILED"}

// String is the state's name in the API.
func (s OperationState) String() string {
	if s < 0 || int(s) >= len(operationStates) {
		return fmt.Sprintf("OperationState(%d)", int16(s))
	}
	return operationStates[s]
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *OperationState) UnmarshalText(text []byte) error {
	i := slices.Index(operationStates, string(text))
	if i < 0 {
		return invalid("state", "%.40q is no state of an operation, allowed are %s", text, strings.Join(operationStates, ", "))
	}
	*s = OperationState(i)
	return nil
}

// Over tells whether the state is final.
func (s OperationState) Over() bool { return s > OperationPaused }

const (
	// MaxPerSecond is the highest rate that may be asked for.
	MaxPerSecond = 10_000
	// maxOperations is how many unfinished operations a hub may have.
	maxOperations = 100
	// maxPreview is how many instances a preview counts.
	maxPreview = 10_000
	// maxSample is how many it names.
	maxSample = 10
	// maxOperationList is how many operations are read at once.
	maxOperationList = 1000
	// finishedFor is how long an operation stays after it is over.
	finishedFor = 7 * 24 * time.Hour
)

// OperationRequest says what to do with which instances.
type OperationRequest struct {
	Hub string
	// ID names the operation in its hub, as CheckID says; a start that is repeated with it is refused. Empty: one is made up.
	ID   string
	Kind OperationKind
	// Filter selects the instances. Without statuses those are acted on that the kind is made for: PURGE all that have
	// ended, REWIND those that have failed, RESUME those that are suspended, SUSPEND the other live ones, TERMINATE and
	// CANCEL all live ones. Statuses in which the kind can do nothing are refused. It is read anew page by page: an
	// instance that no longer matches when its turn comes is let alone. Instances created later are.
	Filter Filter
	// Reason is for the record, and for the instances: at most 2000 characters. REWIND needs one.
	Reason string
	// Recursive purges, or terminates, the children too, and theirs. Other kinds do not know it.
	Recursive bool
	// PerSecond bounds how many instances are acted on in a second, 1 to 10,000; 0 means as many as the database takes
	// while half of the time, or more, is left to others.
	PerSecond int
	// By is who asks, for the record: at most 200 characters.
	By string
}

// Operation is something done with many instances, in the background.
type Operation struct {
	ID        string
	Hub       string
	Kind      OperationKind
	State     OperationState
	Filter    Filter
	Reason    string
	Recursive bool
	PerSecond int
	By        string
	// Matched is how many instances the filter selected as it began; nil if that is not known yet, or they were more than
	// a million, or could not be counted within seconds.
	Matched *int64
	// Examined counts the instances that it has come to: Done those that are now as it was to make them (asked to, for CANCEL;
	// about to be, for SUSPEND and RESUME), Refused the others. What somebody else did to one at the same time counts as done.
	Examined int64
	Done     int64
	Refused  int64
	// Error is why it failed.
	Error      string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt time.Time // zero if it is not over

	no int64
}

// No orders operations by when they were started.
func (o *Operation) No() int64 { return o.no }

// operationOptions is the column options.
type operationOptions struct {
	Reason    string `json:"reason,omitempty"`
	Recursive bool   `json:"recursive,omitempty"`
	PerSecond int    `json:"perSecond,omitempty"`
}

// checkOperation tests a request, and fills in the statuses. Errors: INVALID_ARGUMENT, NOT_FOUND (hub).
func (e *Engine) checkOperation(ctx context.Context, r *OperationRequest) error {
	if r.Kind < 0 || int(r.Kind) >= len(operationKinds) {
		return invalid("kind", "%d is no kind of operation", r.Kind)
	}
	if r.Recursive && r.Kind != OperationPurge && r.Kind != OperationTerminate {
		return invalid("recursive", "is for PURGE and TERMINATE, not for %s", r.Kind)
	}
	if r.PerSecond < 0 || r.PerSecond > MaxPerSecond {
		return invalid("perSecond", "is %d, allowed are 1 to %d, or 0 for no bound", r.PerSecond, MaxPerSecond)
	}
	f := &r.Filter
	unasked, allowed := r.Kind.statuses()
	for _, s := range f.Statuses {
		if !slices.Contains(allowed, s) {
			return invalid("statuses", "of an instance that is %s there is nothing to %s", s, strings.ToLower(r.Kind.String()))
		}
	}
	if len(f.Statuses) == 0 {
		f.Statuses = slices.Clone(unasked)
	}
	f.Nos = nil
	for _, text := range []struct {
		field, value string
		check        func(field, value string) error
	}{{"name", f.Name, CheckName}, {"idPrefix", f.IDPrefix, CheckID}, {"parent", f.Parent, CheckID}} {
		if text.value != "" {
			if err := text.check(text.field, text.value); err != nil {
				return err
			}
		}
	}
	_, err := e.storeFilter(ctx, r.Hub, *f)
	return err
}

// StartOperation starts an operation on many instances, which workers and servers carry out in the background, each
// operation by one of them at a time; when that dies, another goes on. Instances that are created after this are let
// alone. A hub has at most 100 operations that are not over. An operation is forgotten a week after it is over. Errors:
// INVALID_ARGUMENT, NOT_FOUND (hub), ALREADY_EXISTS, FAILED_PRECONDITION when there are too many.
func (e *Engine) StartOperation(ctx context.Context, r OperationRequest) (*Operation, error) {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return nil, err
	}
	if r.ID == "" {
		r.ID = newUUID()
	}
	err = first(CheckID("id", r.ID), checkText("reason", r.Reason, maxReason, r.Kind != OperationRewind), checkText("by", r.By, maxBy, true))
	if err == nil {
		err = e.checkOperation(ctx, &r)
	}
	if err != nil {
		return nil, err
	}
	filter, err := json.Marshal(r.Filter)
	if err != nil {
		return nil, fmt.Errorf("start operation: %w", err)
	}
	options, err := json.Marshal(operationOptions{r.Reason, r.Recursive, r.PerSecond})
	if err != nil {
		return nil, fmt.Errorf("start operation: %w", err)
	}
	row, err := e.q.InsertOperation(ctx, e.pool, store.InsertOperationParams{
		Hub: hub.no, ID: r.ID, Kind: int16(r.Kind), CreatedBy: r.By, Filter: filter, Options: options, Most: maxOperations,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := e.Operation(ctx, r.Hub, r.ID); !errors.Is(err, ErrNotFound) {
			return nil, errors.Join(err, &Error{Code: CodeAlreadyExists, Field: "id", Message: fmt.Sprintf("an operation with the id %q exists", r.ID)})
		}
		return nil, &Error{Code: CodeWrongState, Field: "hub", Message: fmt.Sprintf(
			"the hub has %d operations that are not over: cancel some, or wait", maxOperations)}
	}
	if err != nil {
		return nil, fmt.Errorf("start operation: %w", err)
	}
	e.announceOperation(ctx)
	return readOperation(hub, row)
}

// announceOperation has the nodes look for operations to run. They would do so by themselves some seconds later.
func (e *Engine) announceOperation(ctx context.Context) {
	err := e.q.NotifyChannel(ctx, e.pool, store.NotifyChannelParams{Channel: e.db.Channel("operations")})
	if err != nil && ctx.Err() == nil {
		e.log.WarnContext(ctx, "tell the nodes of an operation", logkey.Err, err)
	}
}

func readOperation(hub *Hub, row store.BatchOperation) (*Operation, error) {
	o := &Operation{
		ID: row.ID, Hub: hub.Name, Kind: OperationKind(row.Kind), State: OperationState(row.State), By: row.CreatedBy, Matched: row.Matched,
		Examined: row.Examined, Done: row.Done, Refused: row.Refused, Error: row.Error, CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
		FinishedAt: orZero(row.FinishedAt), no: row.No,
	}
	var options operationOptions
	if err := errors.Join(json.Unmarshal(row.Filter, &o.Filter), json.Unmarshal(row.Options, &options)); err != nil {
		return nil, fmt.Errorf("read operation %s: %w", row.ID, err)
	}
	o.Reason, o.Recursive, o.PerSecond = options.Reason, options.Recursive, options.PerSecond
	return o, nil
}

func operationNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "id", Message: fmt.Sprintf("there is no operation %q", id)}
}

// Operation reads an operation. Errors: NOT_FOUND (hub, or operation).
func (e *Engine) Operation(ctx context.Context, hubName, id string) (*Operation, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if CheckID("id", id) != nil { // there is none, and Postgres would refuse some
		return nil, operationNotFound(id)
	}
	row, err := e.q.GetOperation(ctx, e.pool, store.GetOperationParams{Hub: hub.no, ID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, operationNotFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read operation: %w", err)
	}
	return readOperation(hub, row)
}

// Operations lists a hub's operations, newest first: at most limit (1 to 1000) that were started before the one of that
// number, 0 for all, and are in one of these states, none for any. Errors: NOT_FOUND (hub), INVALID_ARGUMENT.
func (e *Engine) Operations(ctx context.Context, hubName string, states []OperationState, before int64, limit int) ([]*Operation, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxOperationList {
		return nil, invalid("limit", "is %d, allowed are 1 to %d", limit, maxOperationList)
	}
	if before <= 0 {
		before = math.MaxInt64
	}
	p := store.ListOperationsParams{Hub: hub.no, Before: before, States: []int16{}, Chunk: int32(limit)}
	for _, s := range states {
		p.States = append(p.States, int16(s))
	}
	rows, err := e.q.ListOperations(ctx, e.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	out := make([]*Operation, len(rows))
	for n, row := range rows {
		if out[n], err = readOperation(hub, row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// OperationRefusals lists the first instances, at most 100, that an operation could not do, and why.
func (e *Engine) OperationRefusals(ctx context.Context, o *Operation) ([]Refusal, error) {
	rows, err := e.q.ListRefusals(ctx, e.pool, o.no)
	if err != nil {
		return nil, fmt.Errorf("read refusals: %w", err)
	}
	out := make([]Refusal, len(rows))
	for n, r := range rows {
		out[n] = Refusal{r.Instance, &Error{Code: Code(r.Code), Message: r.Message}}
	}
	return out, nil
}

// PauseOperation stops an operation until it is resumed, after the page of at most 100 instances that is being acted on.
// One that is paused stays so. Errors: NOT_FOUND, FAILED_PRECONDITION when it is over.
func (e *Engine) PauseOperation(ctx context.Context, hub, id string) (*Operation, error) {
	return e.setOperationState(ctx, hub, id, OperationPaused)
}

// ResumeOperation lets a paused operation go on; one that runs stays as it is. Errors: as PauseOperation.
func (e *Engine) ResumeOperation(ctx context.Context, hub, id string) (*Operation, error) {
	o, err := e.setOperationState(ctx, hub, id, OperationRunning)
	if err == nil {
		e.announceOperation(ctx)
	}
	return o, err
}

// CancelOperation ends an operation, after the page of at most 100 instances that is being acted on; these still count.
// What is done stays done. One that is canceled stays so. Errors: as PauseOperation.
func (e *Engine) CancelOperation(ctx context.Context, hub, id string) (*Operation, error) {
	return e.setOperationState(ctx, hub, id, OperationCanceled)
}

func (e *Engine) setOperationState(ctx context.Context, hubName, id string, state OperationState) (*Operation, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if CheckID("id", id) != nil {
		return nil, operationNotFound(id)
	}
	row, err := e.q.SetOperationState(ctx, e.pool, store.SetOperationStateParams{State: int16(state), Hub: hub.no, ID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		o, err := e.Operation(ctx, hubName, id)
		if err == nil && o.State != state {
			return nil, &Error{Code: CodeWrongState, Field: "id", Message: fmt.Sprintf("the operation %q is over: it is %s", id, o.State)}
		}
		return o, err
	}
	if err != nil {
		return nil, fmt.Errorf("change operation: %w", err)
	}
	return readOperation(hub, row)
}

// OperationPreview is what an operation would act on.
type OperationPreview struct {
	// Matched counts instances, Statuses those of each status; if not Exact, there are more than 10,000.
	Matched  int64
	Statuses map[history.Status]int64
	Exact    bool
	// Sample are the instances that it would come to first, at most 10.
	Sample []Ref
}

// PreviewOperation counts the instances that an operation would act on if it were started now, and names the first of them. The request's reason, id
// and author do not matter. Errors: INVALID_ARGUMENT, NOT_FOUND (hub).
func (e *Engine) PreviewOperation(ctx context.Context, r OperationRequest) (OperationPreview, error) {
	if err := e.checkOperation(ctx, &r); err != nil {
		return OperationPreview{}, err
	}
	counts, exact, err := e.Counts(ctx, r.Hub, r.Filter, maxPreview)
	if err != nil {
		return OperationPreview{}, err
	}
	out := OperationPreview{Statuses: counts, Exact: exact}
	for _, n := range counts {
		out.Matched += n
	}
	out.Matched = min(out.Matched, maxPreview)
	first, err := e.List(ctx, r.Hub, r.Filter, Page{Limit: maxSample, Ascending: true})
	if err != nil {
		return OperationPreview{}, err
	}
	for _, i := range first {
		out.Sample = append(out.Sample, Ref{i.ID, i.Name})
	}
	return out, nil
}
