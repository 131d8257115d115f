package engine

import (
	"context"
	"sync"
)

// blocks hands out numbers that must be known before the rows that carry them are written. They are taken
// from a database sequence many at a time; those that a process does not use are lost, which is harmless.
type blocks struct {
	fetch func(ctx context.Context, n int) ([]int64, error)
	size  int

	mu   sync.Mutex
	free []int64
}

// take returns n numbers, in ascending order as far as the sequence gives them so.
func (b *blocks) take(ctx context.Context, n int) ([]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < n {
		more, err := b.fetch(ctx, max(b.size, n-len(b.free)))
		if err != nil {
			return nil, err
		}
		b.free = append(b.free, more...)
	}
	out := b.free[:n:n]
	b.free = b.free[n:]
	return out, nil
}

// one returns a single number.
func (b *blocks) one(ctx context.Context) (int64, error) {
	out, err := b.take(ctx, 1)
	if err != nil {
		return 0, err
	}
	return out[0], nil
}
