package graph_test

import (
	"runtime"
	"strings"

	"github.com/weir-dev/weir/durable"
)

// loop waits for an event in each of so many generations.
func loop(ctx *durable.Context, n int) (int, error) {
	if _, err := Ping.Wait(ctx); err != nil || n == 0 {
		return n, err
	}
	return Loop.ContinueAsNew(ctx, n-1)
}

// goroutines counts those whose stacks have any of the names.
func goroutines(names ...string) int {
	buf := make([]byte, 16<<20)
	n := 0
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, name := range names {
			if strings.Contains(stack, name) {
				n++
				break
			}
		}
	}
	return n
}
