package durable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/logkey"
)

// grace is how long a handler may go on after its time is up, to clean up and to return an error of its own. Then the
// attempt counts as failed without it.
const grace = time.Second

// attemptEnd is why the context of an attempt has ended before the attempt did.
type attemptEnd struct {
	message string
	final   bool // no attempt follows
}

// Error implements error.
func (e *attemptEnd) Error() string { return e.message }

// Unwrap lets code that asks for the usual error of a deadline find it.
func (e *attemptEnd) Unwrap() []error { return []error{engine.ErrTimeout, context.DeadlineExceeded} }

// none tells that the attempt may take as long as it likes.
func (b bounds) none() bool { return b.timeout == 0 && b.overall == 0 && b.heartbeat == 0 }

// context derives the context of the attempt.
func (b bounds) context(ctx context.Context, t *engine.Task) (context.Context, context.CancelFunc) {
	switch {
	case b.overall > 0 && (b.timeout == 0 || b.overall < b.timeout):
		return t.WithTimeout(ctx, b.overall, &attemptEnd{"the call took longer than its Overall time", true})
	case b.timeout > 0:
		return t.WithTimeout(ctx, b.timeout, &attemptEnd{fmt.Sprintf("the attempt took longer than %s", b.timeout), false})
	}
	return context.WithCancel(ctx)
}

// within makes an attempt that must not outlive ctx by more than the grace. A handler that does is left behind: its
// attempt has failed, so that the call goes on, and Result.Running tells when its slot is free.
func (x *executor) within(ctx context.Context, t *engine.Task, run func() engine.Result) engine.Result {
	var (
		done    = make(chan engine.Result, 1)
		running = make(chan struct{})
		self    = make(chan []byte, 1)
	)
	go func() {
		defer close(running)
		self <- goroutineName()
		done <- run()
	}()
	select {
	case r := <-done:
		return timedOut(ctx, r)
	case <-running:
		select {
		case r := <-done:
			return timedOut(ctx, r)
		default:
			runtime.Goexit() // as the handler's goroutine did: a test's FailNow was called in it
		}
	case <-ctx.Done():
	}
	var end *attemptEnd
	if !errors.As(context.Cause(ctx), &end) {
		return <-done // let go of, which is no failure: whoever did waits as long as he likes
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return timedOut(ctx, r)
	case <-timer.C:
	}
	x.logger.Warn("a handler ignores that its context has ended: its attempt has failed without it, and it keeps its slot until it returns",
		logkey.Activity, t.Name, logkey.Instance, t.InstanceID, logkey.Task, t.ID, logkey.Attempt, t.Attempt, logkey.Err, end.message,
		logkey.Stack, string(stackOf(<-self)))
	return engine.Result{Failure: end.failure(), Running: running}
}

func (e *attemptEnd) failure() *history.Failure {
	return &history.Failure{Type: string(engine.CodeTimeout), Message: e.message, NonRetriable: e.final}
}

// timedOut says of an error that followed from the end of the attempt's time that it did. What a handler declares goes
// before that.
func timedOut(ctx context.Context, r engine.Result) engine.Result {
	var end *attemptEnd
	if r.Failure == nil || r.Failure.NonRetriable || r.Failure.Type == "panic" || !errors.As(context.Cause(ctx), &end) {
		return r
	}
	why := *r.Failure
	why.Type, why.NonRetriable = string(engine.CodeTimeout), end.final
	r.Failure = &why
	return r
}

// goroutineName is how the present goroutine is headed in a dump of all.
func goroutineName() []byte {
	var buf [64]byte
	name, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte("["))
	return bytes.Clone(name)
}

// stackOf is the stack of the goroutine of that name, as far as a dump of a megabyte shows it.
func stackOf(name []byte) []byte {
	dump := make([]byte, 1<<20)
	dump = dump[:runtime.Stack(dump, true)]
	for part := range bytes.SplitSeq(dump, []byte("\n\n")) {
		if bytes.HasPrefix(part, name) {
			return part
		}
	}
	return nil
}
