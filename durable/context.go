package durable

import (
	"context"
	"crypto/sha1" //nolint:gosec // names, not secrets: UUIDs of version 5 are defined by SHA-1
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
)

// Context is an orchestration's way to the world. It is deliberately not a context.Context: an orchestration
// cannot hand it to code that does I/O. Every call on it does the same when the orchestration is replayed.
type Context struct {
	run   *run
	scope *scope
}

// ID is the instance's id.
func (c *Context) ID() string { return c.run.info.InstanceID }

// Name is the orchestration's name.
func (c *Context) Name() string { return c.run.info.Name }

// Version is the version the instance was started with, or that its last ContinueAsNew named; "" if it has none.
func (c *Context) Version() string { return c.run.info.Version }

// CompareVersion tells how the instance's version stands to v: negative if it is older, positive if it is newer, 0 if
// they are equal; see CompareVersions. So one function can serve instances of several versions:
//
//	if ctx.CompareVersion("2.0") >= 0 {
//		...what is new in 2.0
//	}
func (c *Context) CompareVersion(v Version) int {
	return CompareVersions(Version(c.run.info.Version), v)
}

// Hub is the task hub.
func (c *Context) Hub() string { return c.run.info.Hub }

// Generation counts from 0; continue-as-new adds one.
func (c *Context) Generation() int { return c.run.info.Generation }

// ParentID is the id of the orchestration that waits for this one, "" if there is none.
func (c *Context) ParentID() string {
	if c.run.info.Parent == nil {
		return ""
	}
	return c.run.info.Parent.InstanceID
}

// Tags are what the instance was started with, in every generation. The map is the caller's own.
func (c *Context) Tags() map[string]string { return maps.Clone(c.run.tags) }

// Patched tells whether the code takes the new way at a change of it. An instance that had passed this point before
// the change keeps to the old way, at every replay; one that comes here now takes the new way, and its history says so:
//
//	if ctx.Patched("check stock") {
//		...new steps
//	}
//
// The answer is the same for a whole generation. Once no instance of the old way lives, the question may go, and what
// it guarded stays: histories that have the answer fit code that does not ask. change is a name of 1 to 80 characters,
// used for one change only; a bad one holds the turn.
func (c *Context) Patched(change string) bool { return c.run.patched(change) }

// Now is the time of the present turn, by the database's clock. It stands still within a turn.
func (c *Context) Now() time.Time { return c.run.now }

// Timer returns a future that is done after d, however long. It survives any restart.
func (c *Context) Timer(d time.Duration) *Future[None] {
	return newFuture[None](c.timer(c.run.now.Add(d)))
}

// TimerAt is Timer for a point in time.
func (c *Context) TimerAt(t time.Time) *Future[None] { return newFuture[None](c.timer(t)) }

// Sleep waits for d. Errors: ErrCanceled.
func (c *Context) Sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	_, err := c.Timer(d).Await()
	return err
}

// NewID makes a UUID that is the same at each replay and no other call's.
func (c *Context) NewID() string {
	r := c.run
	r.ids++
	sum := sha1.Sum(fmt.Appendf(nil, "weir id %s %d", r.info.ExecutionID, r.ids)) //nolint:gosec // see the import
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Rand is a source of random numbers that draws the same at each replay.
func (c *Context) Rand() *rand.Rand {
	r := c.run
	if r.rand == nil {
		sum := sha1.Sum([]byte("weir rand " + r.info.ExecutionID)) //nolint:gosec // a seed
		r.rand = rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])))
	}
	return r.rand
}

// Logger writes as the instance, and is silent while the orchestration is replayed.
func (c *Context) Logger() *slog.Logger {
	r := c.run
	if r.logger == nil {
		h := r.x.logger.Handler().WithAttrs([]slog.Attr{
			slog.String(logkey.Hub, r.info.Hub), slog.String(logkey.Instance, r.info.InstanceID),
			slog.String(logkey.Execution, r.info.ExecutionID), slog.String(logkey.Orchestration, r.info.Name),
		})
		if r.info.Trace.IsValid() {
			h = h.WithAttrs([]slog.Attr{slog.String(logkey.TraceID, r.info.Trace.TraceID().String())})
		}
		r.logger = slog.New(liveHandler{h, r})
	}
	return r.logger
}

// liveHandler drops what a replay logs again.
type liveHandler struct {
	slog.Handler
	run *run
}

func (h liveHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return !h.run.replaying && h.Handler.Enabled(ctx, level)
}

func (h liveHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return liveHandler{h.Handler.WithAttrs(attrs), h.run}
}

func (h liveHandler) WithGroup(name string) slog.Handler {
	return liveHandler{h.Handler.WithGroup(name), h.run}
}

// SetStatus shows v as the instance's custom status, as JSON. The last one of a turn counts; nil clears it. A status
// that cannot be shown, because JSON cannot hold it or because it is over the payload limit, holds the turn until
// code comes that sets another.
func (c *Context) SetStatus(v any) {
	if v == nil {
		c.run.status = history.Bytes([]byte{})
		return
	}
	p, err := encode(v)
	if err != nil {
		panic(fmt.Errorf("set status: %w", err)) // a bug in the orchestration: the turn is held and shown
	}
	c.run.status = p
}

// Step runs fn once, right here in the orchestration's own process, and records what it returns: at replay the
// record is used. It is an activity without a name of its own and without a worker to choose; name is for
// people. fn may run again if the process dies before its result is recorded. Options: Retry, RetryFunc, Timeout.
func Step[T any](ctx *Context, name string, fn func(context.Context) (T, error), opts ...CallOption) (T, error) {
	values := ctx.run.x.values
	recorded := func(ctx context.Context) (history.Payload, error) {
		v, err := fn(ctx)
		if err != nil {
			return history.Payload{}, err
		}
		return values.encode(ctx, v)
	}
	call := func(ctx *Context, options callOptions) *Future[T] {
		return newFuture[T](ctx.call("step "+name, func() *core { return ctx.run.step(name, recorded, options) }))
	}
	options := callOptionsOf(opts)
	if options.again == nil {
		return call(ctx, options).Await()
	}
	return retried(ctx, options, call).Await()
}
