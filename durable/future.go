package durable

import (
	"fmt"
	"iter"
	"slices"

	"github.com/weir-dev/weir/engine/history"
)

// Future is the outcome of something an orchestration has begun: an activity, a timer, a child, a branch, the
// next event.
type Future[T any] struct {
	core *core
	// value and err are set once decoded.
	value   T
	err     error
	decoded bool
	// take yields the value of a branch, which never was serialized.
	take func() (T, error)
}

// core is what the scheduler knows of a future.
type core struct {
	run  *run
	what string // for errors
	done bool
	// position is the place of the completion in the history: First and Completed go by it.
	position int
	payload  history.Payload
	failure  *history.Failure
	attempts int
	waiters  []*branch
	// made counts the futures of the run; decided tells that this one waits for the answer to decision id.
	made    int
	id      int32
	decided bool
	plain   bool // the result was written by River, not by a worker's codec
	// scope is whose open call it is, until it is done, and place where that has it.
	scope *scope
	place int
	// observers are told at once when it is done.
	observers []func()
}

// Awaitable is any Future, whatever its type.
type Awaitable interface{ awaitable() *core }

func (f *Future[T]) awaitable() *core { return f.core }

func newFuture[T any](c *core) *Future[T] { return &Future[T]{core: c} }

// Await waits for the outcome.
func (f *Future[T]) Await() (T, error) {
	f.core.run.park(func() bool { return f.core.done }, f.core)
	if f.decoded {
		return f.value, f.err
	}
	f.decoded = true
	switch {
	case f.take != nil:
		f.value, f.err = f.take()
	case f.core.failure != nil:
		f.err = fromFailure(f.core.what, f.core.failure, f.core.attempts)
	case f.core.plain:
		if err := decode(f.core.payload, &f.value); err != nil {
			f.err = fmt.Errorf("result of %s: %w", f.core.what, err)
		}
	default:
		if err := f.core.run.decode(f.core.payload, &f.value); err != nil {
			f.err = fmt.Errorf("result of %s: %w", f.core.what, err)
		}
	}
	return f.value, f.err
}

// Done tells whether Await would return at once.
func (f *Future[T]) Done() bool { return f.core.done }

// All waits for all futures and returns their values in the order of the arguments. The error is that of the
// first argument that failed.
func All[T any](fs ...*Future[T]) ([]T, error) {
	out := make([]T, len(fs))
	var first error
	for i, f := range fs {
		v, err := f.Await()
		if err != nil && first == nil {
			first = err
		}
		out[i] = v
	}
	return out, first
}

// First waits until at least one of the futures is done and returns the one that was done first, in the order
// of the history. It is never random and does not depend on the order of the arguments. Compare the result:
//
//	switch durable.First(approved, deadline) {
//	case approved:
//	case deadline:
//	}
func First(f Awaitable, rest ...Awaitable) Awaitable {
	all := append([]Awaitable{f}, rest...)
	cores := make([]*core, len(all))
	for i, a := range all {
		cores[i] = a.awaitable()
	}
	var first Awaitable
	cores[0].run.park(func() bool {
		first = nil
		for _, a := range all {
			c := a.awaitable()
			if c.done && (first == nil || c.position < first.awaitable().position) {
				first = a
			}
		}
		return first != nil
	}, cores...)
	return first
}

// Completed yields the futures as they are done, each with its index among the arguments.
func Completed[T any](fs ...*Future[T]) iter.Seq2[int, *Future[T]] {
	return func(yield func(int, *Future[T]) bool) {
		q := &completions{}
		for i, f := range fs {
			q.watch(i, f.core)
		}
		for range fs {
			i := q.next()
			if !yield(i, fs[i]) {
				return
			}
		}
	}
}

// completions hands out watched futures in the order in which they are done.
type completions struct {
	run  *run
	done []int
	// positions are those of done, in step.
	positions []int
	seen      int
	// wait stands for "another one is done"; it never is itself.
	wait *core
}

// watch adds a future. Those that are done already come first, in the order of their completion.
func (q *completions) watch(i int, c *core) {
	q.run = c.run
	if c.done {
		at := len(q.done)
		for at > q.seen && q.positions[at-1] > c.position {
			at--
		}
		q.done = slices.Insert(q.done, at, i)
		q.positions = slices.Insert(q.positions, at, c.position)
		return
	}
	c.observers = append(c.observers, func() {
		q.done, q.positions = append(q.done, i), append(q.positions, c.position)
		if q.wait != nil {
			for _, b := range q.wait.waiters {
				q.run.wake(b)
			}
			q.wait.waiters = nil
		}
	})
}

// next waits for the next completion and returns its index.
func (q *completions) next() int {
	if q.wait == nil {
		q.wait = q.run.newCore("completion")
	}
	q.run.park(func() bool { return q.seen < len(q.done) }, q.wait)
	q.seen++
	return q.done[q.seen-1]
}

// Go runs fn as a branch of the orchestration, beside the code that follows, and returns the future of its
// result. Only one branch runs at a time, and branches change only where one waits, so branches may share
// variables without locks. Do not use the go statement in an orchestration.
func Go[T any](ctx *Context, fn func(*Context) (T, error)) *Future[T] {
	var (
		value T
		err   error
	)
	c := ctx.run.newCore("branch")
	ctx.run.fork(func() {
		value, err = fn(ctx)
		ctx.run.complete(c, history.Payload{}, nil, 0)
	})
	f := newFuture[T](c)
	f.take = func() (T, error) { return value, err }
	return f
}

// mapAll starts n calls, at most the option's Limit at once, and gathers their results in order.
func mapAll[O any](n int, opts []CallOption, call func(i int) *Future[O]) ([]O, error) {
	limit := callOptionsOf(opts).limit
	if limit <= 0 || limit > n {
		limit = n
	}
	all := make([]*Future[O], n)
	q := &completions{}
	for i := range n {
		if i >= limit {
			q.next() // one has ended, one may begin
		}
		all[i] = call(i)
		q.watch(i, all[i].core)
	}
	return All(all...)
}
