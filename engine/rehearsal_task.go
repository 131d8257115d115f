package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// rehearsedTask is an activity or step of a Rehearsal, over all its attempts. What is not said to belong to its own
// goroutine is guarded by the rehearsal's lock.
type rehearsedTask struct {
	r        *Rehearsal
	instance *rehearsed
	n        int64 // in the order in which tasks were scheduled
	gen      int32
	event    *history.TaskScheduled
	retry    *history.Retry
	task     Task

	ctx       context.Context
	cancel    context.CancelFunc
	abandoned bool
	started   time.Time
	first     time.Time
	earlier   []history.Attempt
	result    Result
	wake      func() // ends a RehearsedSleep
	// The last heartbeat, if there was one.
	beat    []byte
	hasBeat bool
}

func (t *rehearsedTask) what() string {
	if t.event.Step {
		return fmt.Sprintf("step %q", t.event.Name)
	}
	return fmt.Sprintf("activity %q%s", t.event.Name, ofVersion(t.event.Version))
}

type rehearsalKey struct{}

// dispatch starts a task, right here: the first attempt at once.
func (r *Rehearsal) dispatch(i *rehearsed, e *history.TaskScheduled) error {
	kind, retry := r.cfg.Executor.Activity(e.Name, e.Version)
	if e.Retry != nil {
		retry = e.Retry
	}
	if retry != nil {
		plain := *retry
		plain.Jitter = 0 // predictable
		retry = &plain
	}
	r.entries++
	t := &rehearsedTask{
		r: r, instance: i, n: r.entries, gen: i.state.gen, event: e, retry: retry,
		task: Task{
			Hub: r.cfg.Hub, InstanceID: i.info.InstanceID, ID: e.ID, Name: e.Name, Version: e.Version, Input: e.Input, Attempt: 1, Timeout: time.Duration(e.Timeout),
			Heartbeat: time.Duration(e.Heartbeat),
		},
	}
	t.task.rehearsed = t
	switch {
	case e.Step:
		if t.task.Step = i.code.Step(e.ID); t.task.Step == nil {
			return fmt.Errorf("%s has no function", t.what())
		}
	case kind == NoActivity:
		return fmt.Errorf("%s has no handler", t.what())
	case kind == TxActivity:
		return fmt.Errorf("%s has a TxHandler, which needs a database: give a fake in its place, made with the activity's Handler method", t.what())
	case kind == NativeActivity:
		return fmt.Errorf("%s has a RiverHandler, which needs River: give a fake in its place, made with the activity's Handler method", t.what())
	}
	t.ctx, t.cancel = context.WithCancel(context.WithValue(context.Background(), rehearsalKey{}, t))
	i.tasks[e.ID] = t
	t.launch()
	return nil
}

// launch makes an attempt.
func (t *rehearsedTask) launch() {
	t.started = t.r.now
	if t.first.IsZero() {
		t.first = t.started
	}
	t.r.running[t] = true
	task := t.task
	if at := endBy(t.event); !at.IsZero() {
		task.Left = max(at.Sub(t.r.now), 1)
	}
	t.r.tasks.Go(func() {
		// What is said if the goroutine ends without a result: a test's FailNow was called in it.
		result := Result{Failure: &history.Failure{Type: "goexit", Message: t.what() + " ended its goroutine", NonRetriable: true}}
		defer func() { t.ended(result) }()
		result = t.r.cfg.Executor.Run(t.ctx, &task)
	})
}

// ended notes the result of an attempt. It is taken in once nothing runs.
func (t *rehearsedTask) ended(result Result) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if t.abandoned {
		return
	}
	t.result = result
	delete(t.r.running, t)
	t.r.over = append(t.r.over, t)
	t.r.poke()
}

// abandon stops a task whose result nobody may use any more.
func (t *rehearsedTask) abandon() {
	t.abandoned = true
	t.cancel()
	delete(t.r.running, t)
	t.r.over = slices.DeleteFunc(t.r.over, func(x *rehearsedTask) bool { return x == t })
	t.r.poke()
}

// takeResults makes letters of the results there are, and new attempts where a policy says so, in the order in which
// the tasks were scheduled.
func (r *Rehearsal) takeResults() {
	over := r.over
	r.over = nil
	slices.SortFunc(over, func(a, b *rehearsedTask) int { return int(a.n - b.n) })
	for _, t := range over {
		wait, again := time.Duration(0), false
		why := t.result.Failure
		if why != nil {
			wait, again = NextAttempt(t.retry, why, t.task.Attempt, r.now.Sub(t.first))
			if at := endBy(t.event); !at.IsZero() && !r.now.Add(wait).Before(at) {
				again = false
			}
		}
		if !again {
			run := history.Run{StartedAt: t.started, Worker: "durabletest", Attempts: t.task.Attempt, Earlier: t.earlier}
			answer := taskOutcome(&t.task, t.result, run, r.now, r.cfg.PayloadLimit)
			r.deliver(t.instance, letter{kind: msgResult, gen: t.gen, task: t.event.ID, events: []history.Event{answer}})
			continue
		}
		t.earlier = append(t.earlier, history.Attempt{
			N: t.task.Attempt, StartedAt: t.started, EndedAt: r.now, Type: why.Type, Message: why.Message,
		})
		t.earlier = t.earlier[max(0, len(t.earlier)-maxEarlier):]
		t.task.Attempt++
		r.schedule(r.now.Add(wait), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !t.abandoned {
				t.launch()
			}
		})
	}
}

// withTimeout is context.WithTimeoutCause in virtual time. The context has no deadline that it would tell: code that
// knows real time only would take it for long past.
func (t *rehearsedTask) withTimeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	c := &virtualDeadline{Context: inner, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { c.end(ctx.Err()) })
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	e := t.r.schedule(t.r.now.Add(d), func() {
		t.r.mu.Lock()
		defer t.r.mu.Unlock()
		cancel(cause)
		c.end(context.DeadlineExceeded)
		if t.wake != nil {
			t.wake()
		}
	})
	return c, func() {
		stop()
		t.r.mu.Lock()
		e.fn = nil
		t.r.mu.Unlock()
		cancel(nil)
		c.end(context.Canceled)
	}
}

// watch is Task.Watch in virtual time.
func (t *rehearsedTask) watch(d time.Duration, fn func()) (again, stop func()) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	start := func() *entry {
		return t.r.schedule(t.r.now.Add(d), func() {
			fn()
			t.r.mu.Lock()
			defer t.r.mu.Unlock()
			if t.wake != nil {
				t.wake()
			}
		})
	}
	e := start()
	end := func() {
		t.r.mu.Lock()
		defer t.r.mu.Unlock()
		e.fn = nil
	}
	return func() {
		end()
		t.r.mu.Lock()
		defer t.r.mu.Unlock()
		e = start()
	}, end
}

// setBeat is Task.Beat in a Rehearsal.
func (t *rehearsedTask) setBeat(details []byte) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.beat, t.hasBeat = details, true
}

// lastBeat is Task.LastBeat in a Rehearsal.
func (t *rehearsedTask) lastBeat() ([]byte, bool) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	return t.beat, t.hasBeat
}

// virtualDeadline is a context that ends at a virtual time, with the error that a deadline has. It has a channel of
// its own, so that contexts made from it ask it, and not the one inside, why it has ended.
type virtualDeadline struct {
	context.Context
	done chan struct{}
	mu   sync.Mutex
	err  error
}

func (c *virtualDeadline) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// Done implements context.Context.
func (c *virtualDeadline) Done() <-chan struct{} { return c.done }

// Err implements context.Context.
func (c *virtualDeadline) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// RehearsedSleep lets an activity take time: virtual time in a Rehearsal, whose clock goes on meanwhile, and real time
// elsewhere. It returns the context's error if that ends before.
func RehearsedSleep(ctx context.Context, d time.Duration) error {
	t, ok := ctx.Value(rehearsalKey{}).(*rehearsedTask)
	if !ok {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		r     = t.r
		awake = make(chan struct{})
		woken bool
	)
	wake := sync.OnceFunc(func() { // under the lock
		woken = true
		if !t.abandoned {
			r.running[t] = true
		}
		close(awake)
	})
	r.mu.Lock()
	delete(r.running, t)
	t.wake = wake
	r.schedule(r.now.Add(d), func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		wake()
	})
	r.poke()
	r.mu.Unlock()
	select {
	case <-awake:
	case <-ctx.Done():
		r.mu.Lock()
		if !woken {
			wake()
		}
		r.mu.Unlock()
	}
	return ctx.Err()
}
