package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestRun(t *testing.T) {
	h := harness.New(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	command := func(ctx context.Context, out *harness.Output, args ...string) error {
		return run(ctx, append(append([]string{"-database", h.DSN}, args...), server.URL), out)
	}

	// The first command is interrupted; the monitor lives on.
	ctx, cancel := context.WithCancel(h.Ctx)
	first := harness.NewOutput()
	ended := make(chan error, 1)
	go func() { ended <- command(ctx, first, "-every", "1h") }()
	first.Until(h.Ctx, t, "up 1 of 1, 1 checks")
	cancel()
	<-ended

	server.Close()
	second := harness.NewOutput()
	go func() { ended <- command(h.Ctx, second, "-do", "check-now") }()
	second.Until(h.Ctx, t, "ALARM  "+server.URL+" is DOWN")
	second.Until(h.Ctx, t, "down")
	third := harness.NewOutput()
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
