package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestRun(t *testing.T) {
	h := harness.New(t)
	ctx, cancel := context.WithCancel(h.Ctx)
	defer cancel()
	served, ended := harness.NewOutput(), make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-database", h.DSN, "-listen", "127.0.0.1:0", "-month", "1ms"}, served)
	}()
	served.Until(h.Ctx, t, "/statements\n")
	base := regexp.MustCompile(`http://[0-9.:]+`).FindString(served.String())

	asked := harness.NewOutput()
	if err := run(h.Ctx, []string{"-ask", base, "kim", "2025"}, asked); err != nil {
		t.Error(err)
	}
	if got := asked.String(); !strings.HasPrefix(got, "202 accepted\n") || !strings.HasSuffix(got, "200 kim spent 2338.50 EUR in 2025\n") {
		t.Errorf("got %s", got)
	}
	for _, args := range [][]string{{"-ask", base, "kim"}, {"-ask", base, "kim", "MMXXV"}, {"-ask", base, "", "2025"}} {
		if err := run(h.Ctx, args, asked); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := h.Number("SELECT count(*) FROM weir.workers WHERE state = 0"); n != 0 {
		t.Errorf("%d workers are left", n)
	}
}
