package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/weir-dev/weir/examples/checkout/orders"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, answer string
		args         []string
		want         []string
		err          error
	}{
		{"Approved", "y\n", nil, []string{
			"order-1001: 2 items, 248.90 EUR.", "248.90 EUR paid, approved by you, tracking numbers WB",
		}, nil},
		{"Refused", "n\n", nil, []string{"waiting for approval"}, orders.ErrRejected},
		{"Undeliverable", "yes\n", []string{"-piano"}, []string{"3 items, 2648.90 EUR", "refunded"}, orders.ErrUndeliverable},
		{"Unanswered", "", []string{"-within", "50ms"}, nil, orders.ErrExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := harness.New(t)
			var out bytes.Buffer
			err := run(h.Ctx, append([]string{"-database", h.DSN}, test.args...), strings.NewReader(test.answer), &out)
			if !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	h := harness.New(t)
	ctx, cancel := context.WithCancel(h.Ctx)
	defer cancel()
	// The command is interrupted once it has asked.
	err := run(ctx, []string{"-database", h.DSN}, strings.NewReader(""), writerFunc(func(p []byte) {
		if bytes.Contains(p, []byte("waiting for approval")) {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := h.Number("SELECT count(*) FROM weir.workers WHERE state = 0"); n != 0 {
		t.Errorf("%d workers are left", n)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
