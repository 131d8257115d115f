package uptime

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-dev/weir/durable"
)

// Ensure makes sure that exactly one monitor of this name runs, and returns its instance id: the name, with a
// number after it if earlier ones have ended. One that runs already goes on as it is, with the watch's URL.
func Ensure(ctx context.Context, c *durable.Client, name string, w Watch) (id string, err error) {
	for n := 1; ; n++ {
		id = name
		if n > 1 {
			id = fmt.Sprintf("%s %d", name, n)
		}
		_, err = Monitor.Start(ctx, c, w, durable.ID(id))
		if !errors.Is(err, durable.ErrExists) {
			return id, err
		}
		err = Control.Raise(ctx, c, id, Command{Do: Target, URL: w.URL})
		if !errors.Is(err, durable.ErrFinished) {
			return id, err
		}
	}
}
