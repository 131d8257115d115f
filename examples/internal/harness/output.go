package harness

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
)

// Output is what a command prints; it can be waited for.
type Output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

// NewOutput makes an empty output.
func NewOutput() *Output { return &Output{changed: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// String is what was printed until now.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Until waits for a text in the output.
func (o *Output) Until(ctx context.Context, tb testing.TB, want string) {
	tb.Helper()
	for !strings.Contains(o.String(), want) {
		select {
		case <-o.changed:
		case <-ctx.Done():
			tb.Fatalf("the output lacks %q:\n%s", want, o.String())
		}
	}
}
