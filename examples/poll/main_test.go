package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/examples/poll/polls"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestRun(t *testing.T) {
	h := harness.New(t)
	command := func(ctx context.Context, out *harness.Output, args ...string) error {
		return run(ctx, append([]string{"-database", h.DSN, "-thinks", "1ms"}, args...), out)
	}
	mine := harness.NewOutput()
	if err := command(h.Ctx, mine, "-voter", "you", "-choice", "cake"); err != nil || mine.String() != "votes counted: 1\n" {
		t.Errorf("got %s, %v", mine, err)
	}

	// The first command is interrupted while the street thinks.
	ctx, cancel := context.WithCancel(h.Ctx)
	defer cancel()
	interrupted, ended := harness.NewOutput(), make(chan error, 1)
	go func() { ended <- command(ctx, interrupted, "-thinks", "1h") }()
	interrupted.Until(h.Ctx, t, "asking Cora")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}

	again := harness.NewOutput()
	if err := command(h.Ctx, again); err != nil {
		t.Fatal(err)
	}
	const want = "poll lunch is closed: 12 votes, 1 silent\n   7  soup\n   4  bread\n   1  cake\n"
	if got := again.String(); !strings.HasPrefix(got, "poll lunch was begun before\n") || !strings.HasSuffix(got, want) {
		t.Errorf("got %s", got)
	}
	if err := command(h.Ctx, mine, "-voter", "late", "-choice", "tea"); !errors.Is(err, polls.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(interrupted.String(), "asking Dan") {
		t.Errorf("more than three were asked:\n%s", interrupted)
	}
}
