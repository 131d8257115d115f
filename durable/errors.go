package durable

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Failure is a declared failure, an error constant whose identity crosses processes:
//
//	const ErrDeclined durable.Failure = "card_declined"
//
// An activity that returns it, or wraps it with %w, has failed for good: no retry follows. The orchestration
// that called finds it with errors.Is, and so does a parent, and a client that waits.
type Failure string

// Error implements error.
func (f Failure) Error() string { return string(f) }

// TaskError is how the failure of an activity, a step, a child or an instance reaches the one who waits for it.
type TaskError struct {
	// Task is the name of what failed.
	Task string
	// Code is the declared failure, or the class of the error.
	Code Failure
	// Message is the error's text.
	Message string
	// Attempts is how many attempts were made.
	Attempts int
	// Details is the record as it is in the history.
	Details *history.Failure
}

// Error implements error.
func (e *TaskError) Error() string {
	if e.Attempts > 1 {
		return fmt.Sprintf("%s failed after %d attempts: %s", e.Task, e.Attempts, e.Message)
	}
	return fmt.Sprintf("%s failed: %s", e.Task, e.Message)
}

// Is makes errors.Is find declared failures, however deep, and the errors of this package.
func (e *TaskError) Is(target error) bool {
	for f := e.Details; f != nil; f = f.Inner {
		switch target := target.(type) {
		case Failure:
			if f.Type == string(target) {
				return true
			}
		case *engine.Error:
			if f.Type == string(target.Code) && target.Message == "" {
				return true
			}
		}
	}
	return false
}

// Errors of the client and of calls, for errors.Is.
var (
	// ErrNotFound: there is no such instance, or hub.
	ErrNotFound = engine.ErrNotFound
	// ErrExists: the instance id is taken.
	ErrExists = engine.ErrExists
	// ErrFinished: the instance has ended.
	ErrFinished = engine.ErrWrongState
	// ErrWrongState: what was asked for is not possible in the state that the instance or schedule is in.
	ErrWrongState = engine.ErrWrongState
	// ErrInvalid: an argument is not acceptable; the text names it and says what is.
	ErrInvalid = engine.ErrInvalid
	// ErrTooLarge: a value is over the limit.
	ErrTooLarge = engine.ErrTooLarge
	// ErrCanceled: the call's context, or the instance, was cancelled.
	ErrCanceled = engine.ErrCanceled
	// ErrUnavailable: the database could not be reached; whether anything happened is told by the text.
	ErrUnavailable = engine.ErrUnavailable
	// ErrTimeout: an activity or step took longer than its Timeout, or the time of a WithTimeout was over.
	ErrTimeout = engine.ErrTimeout
	// ErrVersionMismatch: no worker takes the instance in its version, and one is configured to fail those (FailUnmatched).
	ErrVersionMismatch = engine.ErrVersionMismatch
)

// continueAsNew is how an orchestration function says that it continues as new.
type continueAsNew struct {
	input   history.Payload
	version string
}

// Error implements error.
func (*continueAsNew) Error() string {
	return "continue as new: return what ContinueAsNew returns from the orchestration itself"
}

// finalError marks an error that no attempt will mend.
func finalError(what string, err error) error {
	return fmt.Errorf("%s: %w: %w", what, Failure(engine.CodeInvalid), err)
}

// toFailure makes the record of an error.
func toFailure(err error) *history.Failure {
	if err == nil {
		return nil
	}
	out := &history.Failure{Type: className(err), Message: err.Error()}
	var (
		task     *TaskError
		declared Failure
		coded    *engine.Error
		panicked *panicError
	)
	switch {
	case errors.As(err, &task):
		// The failure of something called: it keeps its identity for whoever waits for the caller.
		out.Type, out.Inner = string(task.Code), task.Details
		out.NonRetriable = task.Details != nil && task.Details.NonRetriable
	case errors.As(err, &declared):
		out.Type, out.NonRetriable = string(declared), true
	case errors.As(err, &coded):
		out.Type = string(coded.Code)
	case errors.As(err, &panicked):
		out.Type, out.Stack = "panic", panicked.stack
	}
	return out
}

// className is a readable class for an error that declares none: the Go type, unless that says nothing.
func className(err error) string {
	t := reflect.TypeOf(err)
	switch name := t.String(); name {
	case "*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors", "*errors.joinError":
		if inner := errors.Unwrap(err); inner != nil {
			return className(inner)
		}
		return "error"
	default:
		return name
	}
}

// fromFailure makes the error of a record.
func fromFailure(task string, f *history.Failure, attempts int) error {
	if f == nil {
		f = &history.Failure{Type: "error", Message: "failed without a reason"}
	}
	return &TaskError{Task: task, Code: Failure(f.Type), Message: f.Message, Attempts: attempts, Details: f}
}

// panicError is a panic of user code.
type panicError struct {
	value any
	stack string
}

// Error implements error.
func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func joinStartErrors(name string, errs []error) error {
	var failed []error
	for _, err := range errs {
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("start %s: %d of %d failed: %w", name, len(failed), len(errs), errors.Join(failed[:min(len(failed), 10)]...))
}
