package durabletest

import (
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// Invoke signals an entity, as Operation.Invoke does, or fails the test. It is carried out when time passes: Settle lets
// it. Options: At, Delay, Key.
func Invoke[S, I, O any](e *Env, p durable.Operation[S, I, O], key string, in I, opts ...durable.SignalOption) {
	e.t.Helper()
	r, err := e.host.Signal(e.r.Now(), p.ID(key), p.Name(), in, opts...)
	if err == nil {
		err = e.r.Signal(r, nil)
	}
	if err != nil {
		e.t.Fatalf("durabletest: signal %s: %v", p, err)
	}
}

// Ask calls an operation, as Operation.Ask does, and lets time pass until it has been carried out. It fails the test if
// that cannot happen any more.
func Ask[S, I, O any](e *Env, p durable.Operation[S, I, O], key string, in I) (O, error) {
	e.t.Helper()
	var (
		out    O
		result *engine.OperationResult
	)
	r, err := e.host.Signal(e.r.Now(), p.ID(key), p.Name(), in)
	if err == nil {
		err = e.r.Signal(r, func(got engine.OperationResult) { result = &got })
	}
	if err != nil {
		return out, err
	}
	if !e.until(time.Time{}, func() bool { return result != nil }) {
		e.t.Fatalf("durabletest: %s has not answered, and nothing is left that could happen:\n%s", p, e.r.Report())
	}
	if result.Failure != nil {
		return out, e.host.Error("operation "+string(p), result.Failure)
	}
	return out, e.host.Decode(result.Output, &out)
}

// EntityState is an entity's state; found tells whether it has one.
func EntityState[S, I, O any](e *Env, p durable.Operation[S, I, O], key string) (state S, found bool) {
	e.t.Helper()
	payload, _ := e.r.Entity(p.ID(key))
	if !payload.Present() {
		return state, false
	}
	if err := e.host.Decode(payload, &state); err != nil {
		e.t.Fatalf("durabletest: state of %s: %v", p.ID(key), err)
	}
	return state, true
}

// Locked tells who has an entity locked, "" if nobody has.
func Locked(e *Env, id durable.EntityID) string {
	if _, lock := e.r.Entity(id); lock != nil {
		return lock.InstanceID
	}
	return ""
}
