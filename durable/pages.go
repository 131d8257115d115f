package durable

import (
	"context"
	"iter"

	"github.com/weir-dev/weir/engine"
)

// pageSize is how much of a list is read at once.
const pageSize = 100

// paged reads a list page by page, from the zero place on: read returns at most so many after a place, at says where one
// stands, and of makes it what the client returns. The sequence ends with the first error.
func paged[T, V, P any](ctx context.Context, c *Client, read func(e *engine.Engine, after P, limit int) ([]T, error), at func(T) P, of func(T) V) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var after P
		e, err := c.engine(ctx)
		for err == nil {
			var found []T
			if found, err = read(e, after, pageSize); err != nil {
				break
			}
			for _, t := range found {
				if !yield(of(t), nil) {
					return
				}
				after = at(t)
			}
			if len(found) < pageSize {
				return
			}
		}
		var none V
		yield(none, err)
	}
}
