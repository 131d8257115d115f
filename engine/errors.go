package engine

import (
	"errors"
	"fmt"

	"github.com/weir-dev/weir/engine/history"
)

// Code classifies an error for callers, over every API alike. Codes are part of the contract: they are only
// ever added to.
type Code string

// The codes.
const (
	CodeNotFound      Code = "NOT_FOUND"
	CodeAlreadyExists Code = "ALREADY_EXISTS"
	CodeInvalid       Code = "INVALID_ARGUMENT"
	CodeTooLarge      Code = "TOO_LARGE"
	CodeWrongState    Code = "FAILED_PRECONDITION"
	CodeUnavailable   Code = "UNAVAILABLE"
	CodeCanceled      Code = "CANCELED"
	CodeTimeout       Code = "TIMEOUT"
	CodeInternal      Code = "INTERNAL"
	// CodeVersionMismatch is what an instance has failed of that no worker takes because of its version.
	CodeVersionMismatch Code = "VERSION_MISMATCH"
)

// Error is an error a caller can act on: a code, the field it is about, and a sentence for a person.
type Error struct {
	Code    Code
	Field   string
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// Is makes errors.Is match by code with the sentinels below.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Code == e.Code
}

// Sentinels for errors.Is.
var (
	ErrNotFound    error = &Error{Code: CodeNotFound}
	ErrExists      error = &Error{Code: CodeAlreadyExists}
	ErrInvalid     error = &Error{Code: CodeInvalid}
	ErrTooLarge    error = &Error{Code: CodeTooLarge}
	ErrWrongState  error = &Error{Code: CodeWrongState}
	ErrUnavailable error = &Error{Code: CodeUnavailable}
	ErrCanceled    error = &Error{Code: CodeCanceled}
	ErrTimeout     error = &Error{Code: CodeTimeout}

	ErrVersionMismatch error = &Error{Code: CodeVersionMismatch}
)

// ErrFenced ends a worker that others have declared dead. The process may register again under a new number.
var ErrFenced = errors.New("this worker was declared dead and must register anew")

// ErrNoToken tells a TxHandler's attempt that it may not deliver: the task was recorded, handed over or
// dropped meanwhile. Its transaction is rolled back.
var ErrNoToken = errors.New("the task no longer waits for this attempt")

// errLost tells a session that a unit of its own did not match the instance any more.
var errLost = errors.New("the instance has moved on")

func invalid(field, format string, args ...any) error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of an error, INTERNAL when it has none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Held is why an instance's turn is held: its code does not match its history, or panics. Nothing was
// committed; the turn is tried again from time to time and when a worker with other code arrives.
type Held struct {
	// Kind is "nondeterminism", "panic", "limit" (the turn decided on too much, or set a status that is too large),
	// "protocol" (decisions that no SDK may make), "history" (events this version does not know), "codec" (a
	// value cannot be decrypted here) or "commit" (the database refused what the turn decided).
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Step is the id of the decision at which code and history part, -1 if there is none.
	Step int32 `json:"step"`
	// Expected is what the history has at that step, Actual what the code does there.
	Expected string `json:"expected,omitempty"`
	Actual   string `json:"actual,omitempty"`
	Stack    string `json:"stack,omitempty"`
	Build    string `json:"build,omitempty"`
}

// Error implements error.
func (h *Held) Error() string { return h.Message }

// ErrNoHandler is what an Executor returns for an orchestration it does not have.
var ErrNoHandler = errors.New("no handler for this orchestration")

// failure is the history's record of an error of ours.
func failure(code Code, format string, args ...any) *history.Failure {
	return &history.Failure{Type: string(code), Message: fmt.Sprintf(format, args...), NonRetriable: true}
}
