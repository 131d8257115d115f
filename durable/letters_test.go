package durable_test

import (
	"errors"
	"testing"

	"github.com/weir-dev/weir/durable"
)

// TestRedriveRefused: what is asked of dead letters and cannot be done. What becomes of them is tested where workers die, in
// test/faults.
func TestRedriveRefused(t *testing.T) {
	b := setup(t)
	if err := b.client.SetMaxDeaths(b.ctx, 0); err != nil { // any number
		t.Fatal(err)
	}
	start(b, Text, "x", durable.ID("one"))
	for name, c := range map[string]struct {
		do   func() error
		want error
	}{
		"nothing there":    {func() error { _, err := b.client.Redrive(b.ctx, "one"); return err }, durable.ErrWrongState},
		"unknown instance": {func() error { _, err := b.client.Redrive(b.ctx, "nobody"); return err }, durable.ErrNotFound},
		"impossible id":    {func() error { _, err := b.client.Redrive(b.ctx, "a\x00b"); return err }, durable.ErrNotFound},
		"negative":         {func() error { return b.client.SetMaxDeaths(b.ctx, -1) }, durable.ErrInvalid},
		"too many":         {func() error { return b.client.SetMaxDeaths(b.ctx, 1_000_001) }, durable.ErrInvalid},
	} {
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if n, err := b.client.MaxDeaths(b.ctx); err != nil || n != 0 {
		t.Errorf("the hub lets %d workers die (%v), want any number", n, err)
	}
}
