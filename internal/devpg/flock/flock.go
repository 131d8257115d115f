// Package flock guards files and folders that several processes share. A lock
// is on a file that stays; the kernel releases it when its holder dies.
package flock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrHeld says that another holder, in this process or another one, has the lock.
var ErrHeld = errors.New("lock is held by another")

// A Lock is held until Close.
type Lock struct{ f *os.File }

// Try takes the lock file at path, creating it if need be; a link is refused. It returns ErrHeld
// if another has it.
func Try(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600) //nolint:gosec // the path is the point
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Lock{f}, nil
}

// Wait takes the lock file at path as soon as it is free. If it has to wait, it
// calls busy once; busy may be nil. The error is that of the context if it ends.
func Wait(ctx context.Context, path string, busy func()) (*Lock, error) {
	for {
		l, err := Try(path)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		if busy != nil {
			busy()
			busy = nil
		}
		// A blocking lock call could not be ended by the context, so ask again.
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close releases the lock. The file stays: deleting it would let one process
// hold the old file and another one the new.
func (l *Lock) Close() error { return errors.Join(unlock(l.f), l.f.Close()) }
