package graph

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/generated"
)

// Config says how the API is served.
type Config struct {
	Engine *engine.Engine
	Logger *slog.Logger
	Info   Info
	// Introspection lets clients ask for the schema.
	Introspection bool
	// Deadline bounds a query; 0 means 10 seconds.
	Deadline time.Duration
}

// Bounds of a request.
const (
	maxBody       = 32 << 20 // a value of 16 MiB, escaped
	maxTokens     = 5000
	maxDepth      = 12
	maxAliases    = 30
	maxComplexity = 20_000
	// workerRecent is how long workers that ended are listed, workerMemory how long they are known at all.
	workerRecent = time.Hour
	workerMemory = 24 * time.Hour
)

// NewHandler serves the API: POST with JSON, websockets of the protocol graphql-transport-ws, and server-sent
// events.
func NewHandler(ctx context.Context, cfg Config) (http.Handler, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = 10 * time.Second
	}
	key, err := cfg.Engine.Secret(ctx, "cursor_key")
	if err != nil {
		return nil, fmt.Errorf("make graphql handler: %w", err)
	}
	r := &Resolver{engine: cfg.Engine, cursors: cursors{key}, log: cfg.Logger, info: cfg.Info, streams: &streams{limit: maxStreams}}
	srv := handler.New(generated.NewExecutableSchema(generated.Config{Resolvers: r, Complexity: complexity()}))
	srv.AddTransport(transport.SSE{KeepAlivePingInterval: 15 * time.Second})
	srv.AddTransport(transport.Websocket{InitTimeout: 5 * time.Second, PingPongInterval: 15 * time.Second})
	srv.AddTransport(transport.POST{UseGrapQLResponseJsonByDefault: true})
	srv.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	srv.SetParserTokenLimit(maxTokens)
	srv.SetErrorPresenter(r.present)
	srv.SetRecoverFunc(func(ctx context.Context, p any) error {
		cfg.Logger.ErrorContext(ctx, "graphql panic", "request", requestID(ctx), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		return errors.New("an internal error")
	})
	srv.Use(extension.FixedComplexityLimit(maxComplexity))
	srv.Use(shape{})
	if cfg.Introspection {
		srv.Use(extension.Introspection{})
	}
	srv.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		return next(withScope(ctx))
	})
	srv.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
		op := graphql.GetOperationContext(ctx)
		if op != nil && op.Operation != nil && op.Operation.Operation != ast.Subscription {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, cfg.Deadline)
			defer cancel()
		}
		return next(ctx)
	})
	return guard(srv), nil
}

// guard gives every request an id, bounds its body, and answers what GraphQL over HTTP does not do.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := newRequestID()
		w.Header().Set("X-Request-Id", id)
		req = req.WithContext(context.WithValue(req.Context(), requestKey{}, id))
		isSocket := strings.EqualFold(req.Header.Get("Upgrade"), "websocket")
		switch {
		case req.Method == http.MethodGet && !isSocket:
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "use POST with a JSON body, or a websocket of the protocol graphql-transport-ws", http.StatusMethodNotAllowed)
			return
		case req.Method == http.MethodPost:
			// A form or plain text could come from any web page without a preflight.
			if kind, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
				http.Error(w, "the content type must be application/json", http.StatusUnsupportedMediaType)
				return
			}
			if site := req.Header.Get("Sec-Fetch-Site"); site == "cross-site" {
				http.Error(w, "requests from other sites are not accepted", http.StatusForbidden)
				return
			}
			req.Body = http.MaxBytesReader(w, req.Body, maxBody)
		}
		next.ServeHTTP(w, req)
	})
}

type requestKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

func newRequestID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return "req_" + base32.StdEncoding.EncodeToString(b[:])
}

// shape bounds the form of an operation: how deep it is, and how many times one field is asked for beside itself.
type shape struct{}

// ExtensionName implements graphql.HandlerExtension.
func (shape) ExtensionName() string { return "Shape" }

// Validate implements graphql.HandlerExtension.
func (shape) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext implements graphql.OperationContextMutator.
func (shape) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	for _, def := range op.Doc.Operations {
		if err := checkShape(def.SelectionSet, op.Doc.Fragments, 1, map[string]bool{}); err != nil {
			return err
		}
	}
	return nil
}

func checkShape(set ast.SelectionSet, fragments ast.FragmentDefinitionList, depth int, seen map[string]bool) *gqlerror.Error {
	if depth > maxDepth {
		return &gqlerror.Error{Message: fmt.Sprintf("the operation is deeper than %d levels", maxDepth), Extensions: map[string]any{"code": "DEPTH_LIMIT_EXCEEDED"}}
	}
	count := map[string]int{}
	for _, s := range set {
		var err *gqlerror.Error
		switch s := s.(type) {
		case *ast.Field:
			if count[s.Name]++; count[s.Name] > maxAliases {
				return &gqlerror.Error{
					Message:    fmt.Sprintf("the field %s is asked for more than %d times in one place", s.Name, maxAliases),
					Extensions: map[string]any{"code": "ALIAS_LIMIT_EXCEEDED"},
				}
			}
			if !strings.HasPrefix(s.Name, "__") {
				err = checkShape(s.SelectionSet, fragments, depth+1, seen)
			}
		case *ast.InlineFragment:
			err = checkShape(s.SelectionSet, fragments, depth, seen)
		case *ast.FragmentSpread:
			if f := fragments.ForName(s.Name); f != nil && !seen[s.Name] {
				seen[s.Name] = true
				err = checkShape(f.SelectionSet, fragments, depth, seen)
				delete(seen, s.Name)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
