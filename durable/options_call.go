package durable

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine"
)

// bounds limit how long a call may take; what is zero does not.
type bounds struct {
	timeout      time.Duration // one attempt
	startTimeout time.Duration // until the first attempt
	overall      time.Duration // all attempts together, and the waits between them
	heartbeat    time.Duration // between heartbeats
}

// checkUnnamed tells that what is called cannot be bound by a limit of the hub.
func (o *callOptions) checkUnnamed(what string) error {
	if o.named != "" || o.key != "" {
		return &engine.Error{Code: engine.CodeInvalid, Field: "Limit", Message: "limits bound activities, not " + what}
	}
	return nil
}

// check tells which option is not acceptable.
func (o *callOptions) check() error {
	if err := engine.CheckPriority("Priority", o.priority); err != nil {
		return err
	}
	if o.key != "" && o.named == "" {
		return &engine.Error{Code: engine.CodeInvalid, Field: "Key", Message: "is given without the name of a Limit"}
	}
	if o.named != "" {
		if err := cmp.Or(engine.CheckLimit("Limit", o.named), engine.CheckLimitKey("Key", o.key)); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"Timeout", o.timeout}, {"StartTimeout", o.startTimeout}, {"Overall", o.overall}, {"HeartbeatTimeout", o.heartbeat}} {
		if d.d < 0 {
			return &engine.Error{Code: engine.CodeInvalid, Field: d.name, Message: fmt.Sprintf("%s is negative", d.d)}
		}
	}
	return nil
}

// Timeout bounds one attempt at an activity or step: its context ends then. An attempt whose code goes on for more than
// a second after that has failed without it.
type Timeout time.Duration

func (t Timeout) applyCall(o *callOptions)       { o.timeout = time.Duration(t) }
func (t Timeout) applyHandler(o *handlerOptions) { o.timeout = time.Duration(t) }

// StartTimeout bounds how long an activity may wait for a worker to begin its first attempt. The call fails with
// ErrTimeout then, whatever its retry policy.
type StartTimeout time.Duration

func (t StartTimeout) applyCall(o *callOptions) { o.startTimeout = time.Duration(t) }

// Overall bounds an activity as a whole: its wait for a worker, all attempts, and the waits between them. The call fails
// with ErrTimeout then, or with the last attempt's error if the next would come too late.
type Overall time.Duration

func (t Overall) applyCall(o *callOptions) { o.overall = time.Duration(t) }

// HeartbeatTimeout is how long an attempt may go without Heartbeat before it has failed, and its context ends.
type HeartbeatTimeout time.Duration

func (t HeartbeatTimeout) applyCall(o *callOptions)       { o.heartbeat = time.Duration(t) }
func (t HeartbeatTimeout) applyHandler(o *handlerOptions) { o.heartbeat = time.Duration(t) }

// Priority is where an instance's turns and activities, or one call, stand in the queue when they have to wait for a worker
// or for a Limit: 1 goes first, 4 last; the default is 2. A call has its instance's unless it is given one, and so has a
// child. It counts between what River hands out; what starts at once in its orchestration's own process does not wait.
type Priority int

func (p Priority) applyCall(o *callOptions)   { o.priority = int(p) }
func (p Priority) applyStart(o *startOptions) { o.priority = int(p) }

// Heartbeat says that the activity or step that ctx belongs to makes progress, and how far it is: details, which may be
// nil, are kept as JSON, at most 64 KB, for the attempt that follows should this one end early. They are saved once a
// second. The error tells the activity to stop: it is the cause why ctx has ended. Other errors: ErrTooLarge; ErrInvalid
// when ctx is no activity's.
func Heartbeat(ctx context.Context, details any) error {
	c, ok := ctx.Value(taskKey{}).(*taskContext)
	if !ok {
		return errNoTask
	}
	if c.Err() != nil {
		return context.Cause(c)
	}
	data, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if data, err = c.values.seal(c, data); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if err := c.work.Beat(data); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if c.alive != nil {
		c.alive()
	}
	return nil
}

// LastHeartbeat reads the details of the call's last heartbeat into into, and tells whether there was one: an attempt
// that goes on where the one before it ended. When a process dies, its last second of heartbeats may be lost.
func LastHeartbeat(ctx context.Context, into any) (bool, error) {
	c, ok := ctx.Value(taskKey{}).(*taskContext)
	if !ok {
		return false, errNoTask
	}
	data, found, err := c.work.LastBeat(c)
	if err != nil || !found {
		return false, err
	}
	if data, err = c.values.open(c, data); err != nil {
		return false, fmt.Errorf("last heartbeat: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("last heartbeat: %w", err)
	}
	return true, nil
}

var errNoTask error = &engine.Error{Code: engine.CodeInvalid, Field: "ctx", Message: "is not the context of an activity or step"}
