// Package requests reads what comes over HTTP, in the same way and within the same bounds for the API and its mirror.
package requests

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"
)

// MaxBody is how many bytes a body may have: a value of 16 MiB, escaped.
const MaxBody = 32 << 20

// bodyTime is how long a body may take.
const bodyTime = 60 * time.Second

// What may be wrong with a body.
var (
	ErrTooLarge = errors.New("the body is too large")
	ErrBroken   = errors.New("the body did not come to its end")
	ErrNotUTF8  = errors.New("the body is not valid UTF-8")
)

// Body reads a request's body. Errors: ErrTooLarge, ErrBroken (or later than in a minute), ErrNotUTF8, in whose place a decoder
// of JSON would put other characters.
func Body(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // without effect on what is no network connection
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, ErrTooLarge
	case err != nil:
		return nil, ErrBroken
	case !utf8.Valid(body):
		return nil, ErrNotUTF8
	}
	return body, nil
}

// NewID makes a name for a request, for its answer and the log.
func NewID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return "req_" + base32.StdEncoding.EncodeToString(b[:])
}
