package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// output is what a command prints; it can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) until(ctx context.Context, t *testing.T, want string) {
	t.Helper()
	for !strings.Contains(o.String(), want) {
		select {
		case <-o.changed:
		case <-ctx.Done():
			t.Fatalf("the output lacks %q:\n%s", want, o.String())
		}
	}
}

func TestRun(t *testing.T) {
	h := harness.New(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	command := func(ctx context.Context, out *output, args ...string) error {
		return run(ctx, append(append([]string{"-database", h.DSN}, args...), server.URL), out)
	}

	// The first command is interrupted; the monitor lives on.
	ctx, cancel := context.WithCancel(h.Ctx)
	first := newOutput()
	ended := make(chan error, 1)
	go func() { ended <- command(ctx, first, "-every", "1h") }()
	first.until(h.Ctx, t, "up 1 of 1, 1 checks")
	cancel()
	<-ended

	server.Close()
	second := newOutput()
	go func() { ended <- command(h.Ctx, second, "-do", "check-now") }()
	second.until(h.Ctx, t, "ALARM  "+server.URL+" is DOWN")
	second.until(h.Ctx, t, "down")
	third := newOutput()
	if err := command(h.Ctx, third, "-do", "stop"); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(third.String(), "the monitor has ended: COMPLETED\n") {
		t.Errorf("got %s", third.String())
	}
	if err := <-ended; err != nil { // the second saw the end too
		t.Error(err)
	}
	if n := h.Number("SELECT count(*) FROM weir.instances"); n != 1 {
		t.Errorf("%d monitors", n)
	}
}
