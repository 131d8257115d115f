package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/graph/model"
)

//go:generate go tool gqlgen generate

// Resolver answers the API from the engine.
type Resolver struct {
	engine  *engine.Engine
	cursors cursors
	log     *slog.Logger
	info    Info
	streams *streams
}

// Info is what a server says of itself.
type Info struct {
	Version    string
	Deployment string
	Identity   bool
}

// Limits of lists.
const (
	maxPage     = 200
	defaultPage = 50
	maxEvents   = 5000
	maxNodes    = 100
	maxCount    = 100_000
	maxText     = 1 << 20
)

// refuse is a request error: the query itself cannot be answered as asked.
func refuse(code, format string, args ...any) error {
	return &gqlerror.Error{Message: fmt.Sprintf(format, args...), Extensions: map[string]any{"code": code}}
}

// Codes of request errors, besides those of the engine.
const (
	codeBadCursor  = "BAD_CURSOR"
	codeBadRequest = "BAD_USER_INPUT"
)

// absent turns "not found" into null, which is what a look-up answers.
func absent[T any](v *T, err error) (*T, error) {
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// filterOf reads the API's filter. Errors: a bad instance id, name or status.
func filterOf(in *model.OrchestrationFilter) (engine.Filter, error) {
	var f engine.Filter
	if in == nil {
		return f, nil
	}
	for _, s := range in.Statuses.Value() {
		var status history.Status
		if err := status.UnmarshalText([]byte(s)); err != nil || status == history.ContinuedAsNew {
			return f, refuse(codeBadRequest, "filter.statuses: an instance is never %s", s)
		}
		f.Statuses = append(f.Statuses, status)
	}
	if name := in.Name.Value(); name != nil {
		if err := engine.CheckName("filter.name", *name); err != nil {
			return f, refuse(codeBadRequest, "%v", err)
		}
		f.Name = *name
	}
	if prefix := in.InstanceIDPrefix.Value(); prefix != nil && *prefix != "" {
		if err := engine.CheckID("filter.instanceIdPrefix", *prefix); err != nil {
			return f, refuse(codeBadRequest, "%v", err)
		}
		f.IDPrefix = *prefix
	}
	if t := in.CreatedFrom.Value(); t != nil {
		f.CreatedFrom = *t
	}
	if t := in.CreatedTo.Value(); t != nil {
		f.CreatedTo = *t
	}
	if parent := in.ParentInstanceID.Value(); parent != nil {
		if err := engine.CheckID("filter.parentInstanceId", *parent); err != nil {
			return f, refuse(codeBadRequest, "%v", err)
		}
		f.Parent = *parent
	}
	f.RootsOnly = in.RootsOnly
	return f, nil
}

func orchestrations(in []*engine.Instance) []*model.Orchestration {
	out := make([]*model.Orchestration, len(in))
	for i, inst := range in {
		out[i] = &model.Orchestration{Instance: inst}
	}
	return out
}

// payload binds a value of an instance.
func (r *Resolver) payload(i *engine.Instance, v history.Payload) *model.Payload {
	return model.NewPayload(v, func(ctx context.Context, v history.Payload) (history.Payload, error) {
		e := &history.EventRaised{Input: v}
		err := r.engine.FetchValues(ctx, i, []history.Event{e})
		return e.Input, err
	})
}

// userErrors is what a mutation answers an expected error with; an unexpected one goes on as a request error.
func (r *Resolver) userErrors(ctx context.Context, err error) ([]*model.UserError, error) {
	if err == nil {
		return []*model.UserError{}, nil
	}
	var coded *engine.Error
	if !errors.As(err, &coded) {
		return nil, err
	}
	out := &model.UserError{
		Code: model.ErrorCode(coded.Code), Message: coded.Message, Path: []string{}, Retryable: coded.Code == engine.CodeUnavailable,
	}
	if coded.Field != "" {
		out.Path = append(out.Path, "input", inputField(ctx, coded.Field))
	}
	return []*model.UserError{out}, nil
}

// inputField is the API's name of an engine argument.
func inputField(ctx context.Context, field string) string {
	switch field {
	case "id", "instance":
		return "instanceId"
	case "event":
		return "name"
	case "key":
		return "idempotencyKey"
	}
	_ = ctx
	return field
}

// changed is the payload of a mutation: the instance as it is afterwards.
func (r *Resolver) changed(ctx context.Context, hub, id string, err error) (*model.OrchestrationPayload, error) {
	errs, err := r.userErrors(ctx, err)
	if err != nil {
		return nil, err
	}
	out := &model.OrchestrationPayload{Errors: errs, RequestID: requestID(ctx)}
	i, err := absent(r.engine.Get(ctx, hub, id))
	if err != nil {
		return nil, err
	}
	if i != nil {
		out.Orchestration = &model.Orchestration{Instance: i}
	}
	return out, nil
}

// scope is what one operation has read already, so that a list of instances asks for its hub's workers once.
type scope struct {
	mu      sync.Mutex
	workers map[string][]engine.WorkerInfo
}

type scopeKey struct{}

func withScope(ctx context.Context) context.Context {
	return context.WithValue(ctx, scopeKey{}, &scope{workers: map[string][]engine.WorkerInfo{}})
}

// served tells, for a hub, which definitions a worker that lives accepts.
func (r *Resolver) served(ctx context.Context, hub string) (func(engine.Definition) bool, error) {
	s, ok := ctx.Value(scopeKey{}).(*scope)
	if !ok {
		s = &scope{workers: map[string][]engine.WorkerInfo{}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	workers, ok := s.workers[hub]
	if !ok {
		var err error
		if workers, err = r.engine.Workers(ctx, hub, 0); err != nil {
			return nil, err
		}
		s.workers[hub] = workers
	}
	return func(d engine.Definition) bool {
		return slices.ContainsFunc(workers, func(w engine.WorkerInfo) bool { return slices.Contains(w.Orchestrations, d) })
	}, nil
}

// reason writes the engine's reason for the API.
func reason(r *engine.Reason) *model.WaitReason {
	now := time.Now()
	out := &model.WaitReason{Kind: model.WaitKind(r.Kind), Text: r.Text(now), Since: r.Since, Until: r.Until, Parts: []*model.ReasonPart{}}
	if r.Subject != "" {
		out.Subject = &r.Subject
	}
	for _, p := range r.Parts {
		part := &model.ReasonPart{Strong: p.Strong, At: p.At, Style: model.ReasonStylePlain}
		switch {
		case p.At == nil:
			part.Text = &p.Text
		case p.Since:
			part.Style = model.ReasonStyleDurationSince
		default:
			part.Style = model.ReasonStyleTime
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

// check bounds an argument.
func check(name string, n, least, most int) error {
	if n < least || n > most {
		return refuse(codeBadRequest, "%s is %d, allowed are %d to %d", name, n, least, most)
	}
	return nil
}

// present presents an error to the client: what the client can act on as it is, everything else as an internal
// error whose cause is in the log only.
func (r *Resolver) present(ctx context.Context, err error) *gqlerror.Error {
	out := graphql.DefaultErrorPresenter(ctx, err)
	if out.Extensions == nil {
		out.Extensions = map[string]any{}
	}
	out.Extensions["requestId"] = requestID(ctx)
	var coded *engine.Error
	switch {
	case out.Extensions["code"] != nil:
	case errors.As(err, &coded):
		out.Message, out.Extensions["code"] = coded.Error(), string(coded.Code)
	case errors.Is(err, context.DeadlineExceeded):
		out.Message, out.Extensions["code"] = "the answer took longer than allowed", "TIMEOUT"
	case errors.Is(err, context.Canceled):
		out.Message, out.Extensions["code"] = "the request was cancelled", "CANCELLED"
	case isRequestError(err):
		out.Extensions["code"] = codeBadRequest
	default:
		r.log.ErrorContext(ctx, "graphql", "request", requestID(ctx), "path", out.Path.String(), "error", err)
		out.Message, out.Extensions["code"] = "an internal error; the server's log has it under the request's id", string(engine.CodeInternal)
	}
	return out
}

// isRequestError tells errors that gqlgen itself makes of a bad request: they have a place in the document and no
// cause.
func isRequestError(err error) bool {
	var g *gqlerror.Error
	return errors.As(err, &g) && g.Err == nil
}
