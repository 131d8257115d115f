package durabletest

import (
	"os"
	"testing"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// Replay runs the handlers' code on stored histories and fails the test for each that the code does not match, with the
// instance, the step, what the history has there and what the code does. The file holds recordings, one a line, as
// `weir replay --save FILE` writes them; only the handlers of orchestrations count.
//
//	func TestOldOrdersGoOn(t *testing.T) {
//		durabletest.Replay(t, "testdata/orders.jsonl", Checkout.Handler(checkout))
//	}
func Replay(t testing.TB, file string, handlers ...durable.Handler) {
	t.Helper()
	host, err := durable.NewHost(nil, handlers...)
	if err != nil {
		t.Fatalf("durabletest: %v", err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("durabletest: %v", err)
	}
	defer func() { _ = f.Close() }()
	all, err := engine.ReadRecordings(f)
	if err != nil {
		t.Fatalf("durabletest: %s: %v", file, err)
	}
	if len(all) == 0 {
		t.Fatalf("durabletest: %s holds no recordings", file)
	}
	for _, r := range all {
		if text := r.Tell(r.Replay(t.Context(), host.Executor())); text != "" {
			t.Errorf("%s: %s", file, text)
		}
	}
}
