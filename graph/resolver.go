package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph/model"
)

//go:generate go tool gqlgen generate

// Resolver answers the API from the engine.
type Resolver struct {
	engine  *engine.Engine
	cursors cursors
	log     *slog.Logger
	info    Info
	streams *gate
	watched watched
	views   views
	recent  recent
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
)

// refuse is a request error: the query itself cannot be answered as asked.
func refuse(code, format string, args ...any) error { return refusal(code, format, args...) }

func refusal(code, format string, args ...any) *gqlerror.Error {
	return &gqlerror.Error{Message: fmt.Sprintf(format, args...), Extensions: map[string]any{"code": code}}
}

// Codes of request errors.
const (
	codeInvalid     = string(engine.CodeInvalid)
	codeTooLarge    = string(engine.CodeTooLarge)
	codeUnavailable = string(engine.CodeUnavailable)
	codeInternal    = string(engine.CodeInternal)
	codeBadCursor   = "BAD_CURSOR"
	codeBadRequest  = "BAD_REQUEST"
	codeForbidden   = "FORBIDDEN"
	codeLimit       = "SUBSCRIPTION_LIMIT"
	codeTooMuch     = "RESPONSE_TOO_LARGE"
	codeTimeout     = "TIMEOUT"
	codeCancelled   = "CANCELLED"
)

// absent turns "not found" into null, which is what a look-up answers.
func absent[T any](v *T, err error) (*T, error) {
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// filterOf reads the API's filter, and writes it in one way, whatever order and offsets the client uses: cursors
// are bound to it. Errors: a bad instance id, name or status.
func filterOf(in *model.OrchestrationFilter) (engine.Filter, error) {
	var f engine.Filter
	if in == nil {
		return f, nil
	}
	var err error
	if f.Statuses, err = statuses("filter.statuses", in.Statuses.Value()); err != nil {
		return f, err
	}
	slices.Sort(f.Statuses)
	f.Statuses = slices.Compact(f.Statuses)
	for _, text := range []struct {
		field string
		value *string
		check func(field, value string) error
		into  *string
	}{
		{"filter.name", in.Name.Value(), engine.CheckName, &f.Name},
		{"filter.instanceIdPrefix", in.InstanceIDPrefix.Value(), checkPrefix, &f.IDPrefix},
		{"filter.parentInstanceId", in.ParentInstanceID.Value(), engine.CheckID, &f.Parent},
	} {
		if text.value == nil {
			continue
		}
		if err := text.check(text.field, *text.value); err != nil {
			return f, refuse(codeInvalid, "%v", err)
		}
		*text.into = *text.value
	}
	if t := in.CreatedFrom.Value(); t != nil {
		f.CreatedFrom = t.UTC().Truncate(time.Microsecond)
	}
	if t := in.CreatedTo.Value(); t != nil {
		f.CreatedTo = t.UTC().Truncate(time.Microsecond)
	}
	if t := in.CompletedFrom.Value(); t != nil {
		f.CompletedFrom = t.UTC().Truncate(time.Microsecond)
	}
	if t := in.CompletedTo.Value(); t != nil {
		f.CompletedTo = t.UTC().Truncate(time.Microsecond)
	}
	if err := details(in, &f); err != nil {
		return f, err
	}
	if f.Tags, err = tags("filter.tags", in.Tags.Value()); err != nil {
		return f, refuse(codeInvalid, "%v", err)
	}
	for key, value := range f.Tags {
		if err := engine.CheckTag("filter.tags", key, value); err != nil {
			return f, refuse(codeInvalid, "%v", err)
		}
	}
	f.RootsOnly = in.RootsOnly
	return f, nil
}

// statuses reads statuses of instances.
func statuses(field string, in []model.OrchestrationStatus) ([]history.Status, error) {
	var out []history.Status
	for _, s := range in {
		var status history.Status
		if err := status.UnmarshalText([]byte(s)); err != nil || status == history.ContinuedAsNew {
			return nil, refuse(codeInvalid, "%s: an instance is never %s, only its generations are", field, s)
		}
		out = append(out, status)
	}
	return out, nil
}

// tags reads tags. A key that is given twice is refused: an instance has one value for each.
func tags(field string, in []*model.TagInput) (map[string]string, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(in))
	for _, t := range in {
		if _, twice := out[t.Key]; twice {
			return nil, &engine.Error{Code: engine.CodeInvalid, Field: field, Message: fmt.Sprintf("the key %q is there twice", t.Key)}
		}
		out[t.Key] = t.Value
	}
	return out, nil
}

// checkPrefix tests the beginning of an instance id; all have the empty one.
func checkPrefix(field, prefix string) error {
	if prefix == "" {
		return nil
	}
	return engine.CheckID(field, prefix)
}

// value is a JSON value that a client gave; null is one.
func value(v json.RawMessage) history.Payload {
	if v == nil {
		return history.Text("null")
	}
	return history.Bytes(v)
}

func orchestrations(in []*engine.Instance) []*model.Orchestration {
	out := make([]*model.Orchestration, len(in))
	for i, inst := range in {
		out[i] = &model.Orchestration{Instance: inst}
	}
	return out
}

// userErrors is what a mutation answers an expected error with; an unexpected one goes on as a request error.
func userErrors(err error) ([]*model.UserError, error) {
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
		out.Path = append(out.Path, "input", inputField(coded.Field))
	}
	return []*model.UserError{out}, nil
}

// noReason refuses a change that somebody has to answer for and gives no reason.
func noReason() error {
	return &engine.Error{Code: engine.CodeInvalid, Field: "reason", Message: "must not be empty"}
}

// inputField is the API's name of an engine argument.
func inputField(field string) string {
	switch field {
	case "id", "instance":
		return "instanceId"
	case "ids":
		return "instanceIds"
	case "statuses":
		return "filter"
	case "event":
		return "name"
	case "newId":
		return "newInstanceId"
	case "key":
		return "idempotencyKey"
	}
	return field
}

// changed is the payload of a mutation: the instance as it is afterwards.
func (r *Resolver) changed(ctx context.Context, hub, id string, err error) (*model.OrchestrationPayload, error) {
	errs, err := userErrors(err)
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

// check bounds an argument. Errors: INVALID_ARGUMENT, which names it and what is allowed.
func check(name string, n, least, most int) error {
	if n < least || n > most {
		return refuse(codeInvalid, "%s is %d, allowed are %d to %d", name, n, least, most)
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
	if len(out.Path) > 1 && out.Path[0] == ast.PathName("variable") { // the message alone does not say which
		out.Message, out.Path = fmt.Sprintf("$%s %s", out.Path[1:], out.Message), nil
	}
	var coded *engine.Error
	switch {
	case out.Extensions["code"] != nil:
	case errors.As(err, &coded) && coded.Code != engine.CodeInternal:
		out.Message, out.Extensions["code"] = coded.Error(), string(coded.Code)
	case errors.Is(err, context.DeadlineExceeded):
		out.Message, out.Extensions["code"] = "the answer took longer than allowed", codeTimeout
	case errors.Is(err, context.Canceled):
		out.Message, out.Extensions["code"] = "the request was cancelled", codeCancelled
	case isRequestError(err):
		out.Extensions["code"] = codeInvalid
	default:
		if !errors.Is(err, errPanic) { // that one is in the log already
			r.log.ErrorContext(ctx, "graphql", logkey.RequestID, requestID(ctx), logkey.Path, out.Path.String(), logkey.Err, err)
		}
		out.Message, out.Extensions["code"] = "an internal error; the server's log has it under the request's id", codeInternal
	}
	return out
}

// isRequestError tells errors that gqlgen itself makes of a bad request: they have a place in the document and no
// cause, or are about a number that does not fit.
func isRequestError(err error) bool {
	var (
		g      *gqlerror.Error
		number *graphql.IntegerError
	)
	return errors.As(err, &number) || errors.As(err, &g) && g.Err == nil
}
