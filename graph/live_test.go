package graph

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
	"github.com/weir-dev/weir/internal/devpg"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

// resolver makes a resolver on a database, without a server.
func resolver(t *testing.T, pool *pgxpool.Pool) (*Resolver, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	log := slog.New(slog.DiscardHandler)
	e, err := engine.Open(ctx, engine.Config{Pool: pool, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	r := &Resolver{engine: e, log: log, streams: newGate(maxStreams, "%d")}
	t.Cleanup(func() {
		cancel()
		if err := r.streams.close(context.Background()); err != nil {
			t.Error(err)
		}
		e.Close()
	})
	return r, ctx
}

// watch watches the newest 50 instances.
func watch(ctx context.Context, t *testing.T, r *Resolver) <-chan listFrame {
	t.Helper()
	s := newListStream()
	_, leave, err := r.watch(ctx, viewOf{"default", 50}, engine.Filter{}, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(leave)
	return s.out
}

// TestPace: however fast things change, a subscription has at most four frames a second, and none is left out.
func TestPace(t *testing.T) {
	t.Parallel()
	r, ctx := resolver(t, weirtest.Pool(t))
	const frames = 5
	var began []time.Time
	seen := map[int64]bool{}
	first := true
	out, err := live(ctx, r, 0, func(_ *engine.Subscription, changed map[int64]engine.Change, resync bool, send func(int) bool) error {
		if first && !resync {
			return errors.New("the first frame is no snapshot")
		}
		if len(began) < frames {
			began = append(began, time.Now())
		}
		if resync && !first { // committers may not have heard at once that somebody watches: everything is read anew
			send(math.MaxInt)
			return nil
		}
		first = false
		for no := range changed {
			seen[no] = true
		}
		send(len(seen))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	for n := range frames {
		select {
		case <-out:
		case <-ctx.Done():
			t.Fatalf("%d frames", n)
		}
		for range 10 {
			if _, err := r.engine.Start(ctx, engine.StartRequest{Hub: "default", Name: "x"}); err != nil {
				t.Fatal(err)
			}
			started++
		}
	}
	for n := 0; n < started; {
		select {
		case n = <-out:
		case <-ctx.Done():
			t.Fatalf("%d changes of %d", n, started)
		}
	}
	for i := 1; i < frames; i++ {
		if gap := began[i].Sub(began[i-1]); gap < frameEvery {
			t.Errorf("frame %d came %s after the one before", i, gap)
		}
	}
}

// TestSlowClient: what a client does not take is not kept for it; it starts anew.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	r, ctx := resolver(t, weirtest.Pool(t))
	out := watch(ctx, t, r)
	next := func() *model.OrchestrationDelta {
		t.Helper()
		select {
		case f := <-out:
			return f.delta
		case <-ctx.Done():
			t.Fatal("there is no frame")
			return nil
		}
	}
	if d := next(); !d.Reset || len(d.Upserts) != 0 {
		t.Fatalf("got %+v", d)
	}
	const n = 6000
	var newest string
	for range n / 1000 {
		requests := make([]engine.StartRequest, 1000)
		for i := range requests {
			requests[i] = engine.StartRequest{Name: "x"}
		}
		started, errs := r.engine.StartMany(ctx, "default", requests)
		for i, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
			newest = started[i].ID
		}
	}
	resets, rows := 0, 0
	for frames := 1; ; frames++ {
		d := next()
		if rows += len(d.Upserts); len(d.Upserts) > maxDelta {
			t.Errorf("a frame of %d rows", len(d.Upserts))
		}
		if d.Reset {
			resets++
		}
		all, err := r.engine.List(ctx, "default", engine.Filter{}, engine.Page{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Upserts) > 0 && d.Upserts[0].No() == all[0].No() && resets > 0 {
			break
		}
		if frames > 6 {
			t.Fatalf("%d frames, and the newest, %s, is not among them", frames, newest)
		}
	}
	if rows > 2000 {
		t.Errorf("%d rows were sent of %d", rows, n)
	}
}

// TestStreamsOutliveTheDatabase: it stops and comes back; the stream begins anew, by itself.
func TestStreamsOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Server(t, pgtest.ServerOptions{})
	r, ctx := resolver(t, cluster.New(t, weirtest.Schema).Pool(t))
	list := watch(ctx, t, r)
	if f := <-list; !f.delta.Reset {
		t.Fatalf("got %+v", f.delta)
	}
	if err := cluster.Stop(ctx, devpg.Immediate); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for { // the engine's connections are to be found broken first
		_, err := r.engine.Start(ctx, engine.StartRequest{Hub: "default", Name: "x", ID: "after"})
		if err == nil || engine.CodeOf(err) == engine.CodeAlreadyExists {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	reset := false
	for {
		select {
		case f, ok := <-list:
			if !ok {
				t.Fatal("the stream has ended")
			}
			d := f.delta
			reset = reset || d.Reset
			if reset && len(d.Upserts) == 1 && d.Upserts[0].InstanceID() == "after" {
				return
			}
		case <-ctx.Done():
			t.Fatal("the stream does not go on")
		}
	}
}

// TestGate bounds, and waits for the last one.
func TestGate(t *testing.T) {
	t.Parallel()
	g := newGate(2, "no more than %d")
	for range 2 {
		if err := g.enter(); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.enter(); err == nil || !strings.Contains(err.Error(), "no more than 2") {
		t.Errorf("got %v", err)
	}
	g.leave()
	if err := g.enter(); err != nil || g.count() != 2 {
		t.Errorf("%v, %d", err, g.count())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.close(ctx); err == nil {
		t.Error("it closes with two inside")
	}
	done := make(chan error)
	go func() { done <- g.close(t.Context()) }()
	g.leave()
	g.leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := g.enter(); err == nil {
		t.Error("it is closed, and somebody entered")
	}
}

// TestStuckClient: one that takes nothing any more, and answers pings no more than it reads, is given up.
func TestStuckClient(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	s := &socketServer{closing: t.Context(), writeTimeout: 50 * time.Millisecond}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, err := s.Accept(w, req, transport.WebsocketAcceptOptions{})
		for err == nil {
			err = conn.WriteJSON(map[string]string{"type": "next", "payload": strings.Repeat("x", 1<<20)})
		}
		result <- err
	}))
	defer server.Close()
	conn, _, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{Subprotocols: []string{subprotocol}}) //nolint:bodyclose // Dial says: never needs to be closed
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := <-result; err == nil || strings.Contains(err.Error(), "json") {
		t.Errorf("got %v", err)
	}
}
