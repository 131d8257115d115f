package graph

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/weir-dev/weir/engine/tracing"
)

// maxSpanName bounds the name of an operation, which its client chooses, in the name of its span.
const maxSpanName = 64

// traced runs an operation within the trace of its caller, and makes a span of it: its kind and name, never its values. A
// trace begins here with a mutation at most, for queries repeat. Subscriptions have no span: they may last for days.
func (h *Handler) traced(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	op := graphql.GetOperationContext(ctx)
	if op == nil || op.Operation == nil || op.Operation.Operation == ast.Subscription {
		return next(ctx)
	}
	cfg := h.r.engine.Tracing()
	ctx = tracing.With(ctx, callerOf(ctx, op))
	begin := cfg.Below
	if op.Operation.Operation == ast.Mutation {
		begin = cfg.Root
	}
	origin := begin(ctx)
	ctx = tracing.With(ctx, origin.Context)
	respond := next(ctx)
	if !origin.Recording() {
		return respond
	}
	return func(ctx context.Context) *graphql.Response {
		answer := respond(ctx)
		if answer == nil || !origin.Recording() {
			return answer // the transport asks whether there is more
		}
		var failed error
		if len(answer.Errors) > 0 {
			failed = errors.New("the request was not answered: " + codeOf(answer.Errors[0].Extensions))
		}
		kind, name := string(op.Operation.Operation), op.Operation.Name
		if len(name) > maxSpanName {
			name = name[:maxSpanName]
		}
		span := kind
		if name != "" {
			span += " " + name
		}
		cfg.End(&origin, span, tracing.Server, failed, tracing.Text("graphql.operation.type", kind), tracing.Text("graphql.operation.name", name),
			tracing.Text("weir.request_id", requestID(ctx)))
		origin = tracing.Origin{}
		return answer
	}
}

func codeOf(extensions map[string]any) string {
	code, _ := extensions["code"].(string)
	return code
}

// callerOf is the context that an operation came with: in its extensions, in the headers of the request, or in what a websocket
// was opened with, the nearest first.
func callerOf(ctx context.Context, op *graphql.OperationContext) (found tracing.Context) {
	text := func(from map[string]any, key string) string {
		v, _ := from[key].(string)
		return v
	}
	if found = tracing.ParseHeaders(text(op.Extensions, "traceparent"), text(op.Extensions, "tracestate")); found.IsValid() {
		return found
	}
	if _, socket := ctx.Value(socketKey{}).(*socketState); socket {
		init := transport.GetInitPayload(ctx)
		if found = tracing.ParseHeaders(text(init, "traceparent"), text(init, "tracestate")); found.IsValid() {
			return found
		}
	}
	return tracing.ParseHeaders(op.Headers.Get("Traceparent"), op.Headers.Get("Tracestate"))
}
