package durable

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Filter selects instances of the client's hub. Fields that are zero select everything.
type Filter struct {
	// Statuses are any of these, as State has them.
	Statuses []string
	// Name is the orchestration's. Names, Versions and IDs select instances that have any of these, at most 100, 100 and
	// 500; the version "" is none.
	Name                 string
	Names, Versions, IDs []string
	// IDPrefix is the beginning of the id.
	IDPrefix string
	// Created, updated (last changed), started (begun) and completed (ended) at a time or later, and before a time.
	CreatedFrom, CreatedTo     time.Time
	UpdatedFrom, UpdatedTo     time.Time
	StartedFrom, StartedTo     time.Time
	CompletedFrom, CompletedTo time.Time
	// LongerThan and ShorterThan bound how long it has run, until now if it has not ended.
	LongerThan, ShorterThan time.Duration
	// FailureType is the class of error, or the declared failure, that it failed with; FailureText is in the failure's
	// message, in any case.
	FailureType, FailureText string
	// Input and Output are predicates in the language of SQL/JSON paths, such as "$.total > 100". Values over 64 KiB, and
	// those that are encrypted or no JSON, match none.
	Input, Output string
	// RootsOnly leaves out children; Parent selects those of an instance.
	RootsOnly bool
	Parent    string
	// Tags selects instances that have all of these.
	Tags Tags
}

func (f *Filter) engine() (engine.Filter, error) {
	out := engine.Filter{
		Name: f.Name, Names: f.Names, Versions: f.Versions, IDs: f.IDs, IDPrefix: f.IDPrefix, CreatedFrom: f.CreatedFrom, CreatedTo: f.CreatedTo,
		UpdatedFrom: f.UpdatedFrom, UpdatedTo: f.UpdatedTo, StartedFrom: f.StartedFrom, StartedTo: f.StartedTo, CompletedFrom: f.CompletedFrom,
		CompletedTo: f.CompletedTo, LongerThan: f.LongerThan, ShorterThan: f.ShorterThan, FailureType: f.FailureType, FailureText: f.FailureText,
		Input: f.Input, Output: f.Output, RootsOnly: f.RootsOnly, Parent: f.Parent, Tags: f.Tags,
	}
	for _, name := range f.Statuses {
		s, err := statusNamed("statuses", name)
		if err != nil {
			return out, err
		}
		out.Statuses = append(out.Statuses, s)
	}
	return out, nil
}

func statusNamed(field, name string) (history.Status, error) {
	var s history.Status
	if err := s.UnmarshalText([]byte(name)); err != nil {
		return s, &engine.Error{Code: engine.CodeInvalid, Field: field, Message: fmt.Sprintf("there is no status %.40q", name)}
	}
	return s, nil
}

// OperationKind is what is done with many instances.
type OperationKind = engine.OperationKind

// The kinds of operations on many instances.
const (
	PurgeMany     = engine.OperationPurge
	TerminateMany = engine.OperationTerminate
	CancelMany    = engine.OperationCancel
	SuspendMany   = engine.OperationSuspend
	ResumeMany    = engine.OperationResume
	RewindMany    = engine.OperationRewind
)

// ManyOperation says what is to be done with which instances, in the background.
type ManyOperation struct {
	Kind OperationKind
	// Filter selects the instances. Without statuses those are acted on that the kind is made for: PurgeMany all that have
	// ended, RewindMany those that have failed, ResumeMany those that are suspended, SuspendMany the other live ones,
	// TerminateMany and CancelMany all live ones. Instances that are started later are let alone.
	Filter Filter
	// Reason is for the record, and for the instances: at most 2000 characters. RewindMany needs one.
	Reason string
	// Recursive purges, or terminates, the children too, and theirs.
	Recursive bool
	// PerSecond bounds how many instances are acted on in a second, 1 to 10,000; 0 means as many as the database takes while
	// half of the time, or more, is left to others.
	PerSecond int
	// ID names the operation in its hub: a start that is repeated is refused with ErrExists. Empty: one is made up.
	ID string
	// By is who asks, for the record: at most 200 characters.
	By string
}

func (c *Client) manyRequest(o *ManyOperation) (engine.OperationRequest, error) {
	f, err := o.Filter.engine()
	return engine.OperationRequest{
		Hub: c.hub, ID: o.ID, Kind: o.Kind, Filter: f, Reason: o.Reason, Recursive: o.Recursive, PerSecond: o.PerSecond, By: o.By,
	}, err
}

// ManyState is how an operation on many instances stands.
type ManyState struct {
	ID   string
	Kind OperationKind
	// Status is RUNNING, PAUSED, DONE, CANCELED or FAILED; the last three are final.
	Status string
	Over   bool
	// Matched is how many instances the filter selected as it began; nil while that is not known, and for more than a million.
	Matched *int64
	// Examined counts the instances it has come to: Done those that are as they were to become (asked to, for CancelMany),
	// Refused the others, of which the first 100 are in Refusals, where one operation is read, with ErrNotFound, ErrWrongState and so on.
	Examined, Done, Refused int64
	Refusals                map[string]error
	Reason, By              string
	// Error is why it failed.
	Error string
	// CreatedAt is when it was started, UpdatedAt when it last got on, FinishedAt, if it is over, when that was.
	CreatedAt, UpdatedAt, FinishedAt time.Time
}

func manyState(o *engine.Operation) ManyState {
	return ManyState{
		ID: o.ID, Kind: o.Kind, Status: o.State.String(), Over: o.State.Over(), Matched: o.Matched, Examined: o.Examined, Done: o.Done,
		Refused: o.Refused, Reason: o.Reason, By: o.By, Error: o.Error, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, FinishedAt: o.FinishedAt,
	}
}

// StartOperation starts an operation on many instances. Workers and servers carry it out in the background, one of them at
// a time; when that dies, another goes on where it was. An operation is forgotten a week after it is over. Errors:
// ErrInvalid, ErrExists, ErrWrongState when the hub has 100 that are not over.
func (c *Client) StartOperation(ctx context.Context, o ManyOperation) (ManyState, error) {
	return c.many(ctx, func(e *engine.Engine) (*engine.Operation, error) {
		r, err := c.manyRequest(&o)
		if err != nil {
			return nil, err
		}
		return e.StartOperation(ctx, r)
	})
}

// ManyPreview is what an operation on many instances would act on.
type ManyPreview struct {
	// Matched counts the instances; if not Exact, there are more than 10,000.
	Matched int64
	Exact   bool
	// Sample are the ids of those that it would come to first, at most 10.
	Sample []string
}

// PreviewOperation counts the instances that an operation would act on if it were started now, and names the first of them.
// Errors: ErrInvalid.
func (c *Client) PreviewOperation(ctx context.Context, o ManyOperation) (ManyPreview, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return ManyPreview{}, err
	}
	r, err := c.manyRequest(&o)
	if err != nil {
		return ManyPreview{}, err
	}
	p, err := e.PreviewOperation(ctx, r)
	out := ManyPreview{Matched: p.Matched, Exact: p.Exact}
	for _, i := range p.Sample {
		out.Sample = append(out.Sample, i.ID)
	}
	return out, err
}

// OperationState tells how an operation on many instances stands. Errors: ErrNotFound.
func (c *Client) OperationState(ctx context.Context, id string) (ManyState, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return ManyState{}, err
	}
	o, err := e.Operation(ctx, c.hub, id)
	if err != nil {
		return ManyState{}, err
	}
	refused, err := e.OperationRefusals(ctx, o)
	if err != nil {
		return ManyState{}, err
	}
	s := manyState(o)
	s.Refusals = make(map[string]error, len(refused))
	for _, r := range refused {
		s.Refusals[r.ID] = r.Err
	}
	return s, nil
}

// operationPoll is how often WaitOperation looks.
const operationPoll = 250 * time.Millisecond

// WaitOperation waits until an operation on many instances is over, and tells how. Errors: ErrNotFound, that of ctx.
func (c *Client) WaitOperation(ctx context.Context, id string) (ManyState, error) {
	tick := time.NewTicker(operationPoll)
	defer tick.Stop()
	for {
		s, err := c.OperationState(ctx, id)
		if err != nil || s.Over {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

// Operations lists the hub's operations on many instances, newest first, without their refusals.
func (c *Client) Operations(ctx context.Context) iter.Seq2[ManyState, error] {
	return paged(ctx, c, func(e *engine.Engine, before int64, limit int) ([]*engine.Operation, error) {
		return e.Operations(ctx, c.hub, nil, before, limit)
	}, (*engine.Operation).No, manyState)
}

// PauseOperation stops an operation until ResumeOperation, after the page of at most 100 instances that is at work. Errors:
// ErrNotFound, ErrWrongState when it is over.
func (c *Client) PauseOperation(ctx context.Context, id string) (ManyState, error) {
	return c.many(ctx, func(e *engine.Engine) (*engine.Operation, error) { return e.PauseOperation(ctx, c.hub, id) })
}

// ResumeOperation lets a paused operation go on. Errors: as PauseOperation.
func (c *Client) ResumeOperation(ctx context.Context, id string) (ManyState, error) {
	return c.many(ctx, func(e *engine.Engine) (*engine.Operation, error) { return e.ResumeOperation(ctx, c.hub, id) })
}

// CancelOperation ends an operation after the page that is at work. What is done stays done. Errors: as PauseOperation.
func (c *Client) CancelOperation(ctx context.Context, id string) (ManyState, error) {
	return c.many(ctx, func(e *engine.Engine) (*engine.Operation, error) { return e.CancelOperation(ctx, c.hub, id) })
}

func (c *Client) many(ctx context.Context, do func(*engine.Engine) (*engine.Operation, error)) (ManyState, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return ManyState{}, err
	}
	o, err := do(e)
	if err != nil {
		return ManyState{}, err
	}
	return manyState(o), nil
}
