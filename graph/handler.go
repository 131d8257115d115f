package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/internal/requests"
)

// Config says how the API is served.
type Config struct {
	Engine *engine.Engine
	Logger *slog.Logger
	Info   Info
	// Introspection lets clients ask for the schema, which tools for developers do. Schema gives it to everybody.
	Introspection bool
	// Operations are the documents that clients may name by the SHA-256 of their text, in hexadecimal: the dashboard's.
	Operations map[string]string
	// OpenSessions lets browsers that have signed in run any document, not only Operations.
	OpenSessions bool
	// Deadline bounds a query; 0 means 10 seconds.
	Deadline time.Duration
	// Budget bounds what each caller may ask for; nil means DefaultBudget.
	Budget *Budget
	// Recheck is how often it is looked whether those with open connections are still known and have the same rights; 0
	// means 30 seconds.
	Recheck time.Duration
}

// Bounds of the API. Those of one operation's form are in shape.go.
const (
	// maxStreams is how many subscriptions a server serves at once, maxSockets how many connections they may come
	// by, and maxPerSocket how many operations may be under way on one of them.
	maxStreams   = 2000
	maxSockets   = 2000
	maxPerSocket = 32
	// workerRecent is how long workers that ended are listed, workerMemory how long they are known at all.
	workerRecent = time.Hour
	workerMemory = 24 * time.Hour
)

// Handler serves the API: POST with JSON, websockets of the protocol graphql-transport-ws, and server-sent events.
type Handler struct {
	r        *Resolver
	srv      *handler.Server
	inner    http.Handler
	deadline time.Duration
	recheck  time.Duration
	budget   *buckets
	sockets  *gate // websockets and streams of server-sent events
	runs     runs
	closing  context.Context
	close    context.CancelFunc
	panics   atomic.Int64
}

// NewHandler makes a handler; it reads the key of cursors from the database. Shut it down before the engine.
func NewHandler(ctx context.Context, cfg Config) (*Handler, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = 10 * time.Second
	}
	if cfg.Budget == nil {
		cfg.Budget = &DefaultBudget
	}
	if cfg.Recheck == 0 {
		cfg.Recheck = 30 * time.Second
	}
	key, err := cfg.Engine.Secret(ctx, "cursor_key")
	if err != nil {
		return nil, fmt.Errorf("make graphql handler: %w", err)
	}
	h := &Handler{
		r: &Resolver{
			engine: cfg.Engine, cursors: cursors{key}, log: cfg.Logger, info: cfg.Info,
			streams: newGate(maxStreams, "this server serves %d subscriptions at most"),
		},
		deadline: cfg.Deadline, recheck: cfg.Recheck, budget: newBuckets(*cfg.Budget),
		sockets: newGate(maxSockets, "this server serves %d connections at most"),
	}
	h.closing, h.close = context.WithCancel(context.WithoutCancel(ctx))
	srv := handler.New(generated.NewExecutableSchema(generated.Config{
		Resolvers: h.r, Complexity: complexity(), Directives: generated.DirectiveRoot{Requires: h.r.requires},
	}))
	srv.AddTransport(transport.SSE{KeepAlivePingInterval: 15 * time.Second})
	srv.AddTransport(transport.Websocket{
		Implementation: &socketServer{closing: h.closing, writeTimeout: 30 * time.Second},
		InitTimeout:    5 * time.Second, PingPongInterval: 15 * time.Second,
		ErrorFunc: func(ctx context.Context, err error) { cfg.Logger.DebugContext(ctx, "websocket", logkey.Err, err) },
	})
	srv.AddTransport(transport.POST{UseGrapQLResponseJsonByDefault: true})
	srv.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	srv.SetParserTokenLimit(maxTokens)
	srv.SetErrorPresenter(h.r.present)
	srv.SetRecoverFunc(h.recovered)
	srv.Use(persisted{cfg.Operations, cfg.OpenSessions}) // first, for it brings the text
	srv.Use(shape{cfg.Introspection})                    // before the complexity, whose computation it bounds
	srv.Use(extension.FixedComplexityLimit(maxComplexity))
	if cfg.Introspection {
		srv.Use(extension.Introspection{})
	}
	srv.AroundOperations(h.operation)
	srv.AroundResponses(h.response)
	h.srv = srv
	h.inner = guard(srv)
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id := requests.NewID()
	w.Header().Set("X-Request-Id", id)
	ctx := context.WithValue(req.Context(), requestKey{}, id)
	req = req.WithContext(ctx)
	if !isSocket(req) && !strings.Contains(req.Header.Get("Accept"), "text/event-stream") {
		h.inner.ServeHTTP(w, req)
		return
	}
	// What stays open is counted, and ends when the server does.
	if err := h.sockets.enter(); err != nil {
		writeError(w, req, http.StatusServiceUnavailable, err)
		return
	}
	defer h.sockets.leave()
	state := &socketState{}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, socketKey{}, state))
	defer cancel()
	defer context.AfterFunc(h.closing, cancel)()
	go h.keepChecking(ctx, state, cancel)
	h.inner.ServeHTTP(w, req.WithContext(ctx))
}

// Shutdown ends subscriptions and the connections they come by, and returns when all have ended, or with ctx's
// error. Later ones are refused; requests are answered as before.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.close()
	return errors.Join(h.sockets.close(ctx), h.r.streams.close(ctx))
}

// Stats are figures for monitoring.
type Stats struct {
	Connections   int // websockets and streams of server-sent events that are open
	Subscriptions int
	Lists         int   // different lists that are watched: each is read once for all who do
	Panics        int64 // since the start
}

// Stats returns the present figures.
func (h *Handler) Stats() Stats {
	return Stats{Connections: h.sockets.count(), Subscriptions: h.r.streams.count(), Lists: h.r.views.count(), Panics: h.panics.Load()}
}

// Schema writes the schema in GraphQL's own language.
func Schema() string {
	var b strings.Builder
	formatter.NewFormatter(&b, formatter.WithIndent("  ")).FormatSchema(generated.NewExecutableSchema(generated.Config{}).Schema())
	return b.String()
}

func (h *Handler) recovered(ctx context.Context, p any) error {
	h.panics.Add(1)
	h.r.log.ErrorContext(ctx, "graphql panic", logkey.RequestID, requestID(ctx), logkey.Err, fmt.Sprint(p), logkey.Stack, string(debug.Stack()))
	return errPanic
}

// errPanic is presented as an internal error; the panic is in the log already.
var errPanic = errors.New("panic")

// socketKey and socketState are what belongs to a connection that stays open.
type socketKey struct{}

type socketState struct {
	operations atomic.Int32
	// ousted is why the server ends the connection; nil while it does not.
	ousted atomic.Pointer[ousting]
}

// operation bounds what runs at once on one connection, and gives the operation a memory of its own.
func (h *Handler) operation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if s, ok := ctx.Value(socketKey{}).(*socketState); ok {
		if s.operations.Add(1) > maxPerSocket {
			s.operations.Add(-1)
			return h.refused(ctx, refuse(codeLimit, "this connection has %d operations under way, which is the most", maxPerSocket))
		}
		context.AfterFunc(ctx, func() { s.operations.Add(-1) })
		ctx = context.WithValue(ctx, requestKey{}, requests.NewID()) // the connection has many
	}
	ctx, err := h.charge(ctx)
	if err != nil {
		return h.refused(ctx, err)
	}
	if key, ok := sharedKey(ctx); ok {
		return h.share(ctx, key, next)
	}
	return h.traced(withScope(ctx), next)
}

// response sets the deadline, which reaches Postgres: pgx cancels the statement.
func (h *Handler) response(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	op := graphql.GetOperationContext(ctx)
	if op != nil && op.Operation != nil && op.Operation.Operation != ast.Subscription {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.deadline)
		defer cancel()
		graphql.RegisterExtension(ctx, "cost", costOf(ctx))
	}
	return next(ctx)
}
