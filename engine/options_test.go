package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine"
)

// TestParseLength: what people write for lengths of time, days included, and what is none.
func TestParseLength(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "0": 0, "0s": 0, "-1s": -time.Second, "30d": 30 * day, "-1d": -day, "0d": 0,
		"200000d": 106_751 * day, // the most that there is, which every bound refuses
	} {
		if got, err := engine.ParseLength("x", text); err != nil || got != want {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "10", "soon", "1.5d", "1d12h", "1 d", "99999999999999999999d", "ü", "1h\x00"} {
		got, err := engine.ParseLength("x", text)
		var coded *engine.Error
		if !errors.As(err, &coded) || coded.Code != engine.CodeInvalid || coded.Field != "x" || got != 0 {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
}
