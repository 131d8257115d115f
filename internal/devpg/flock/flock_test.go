//go:build unix

package flock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTry(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path); !errors.Is(err, ErrHeld) {
		t.Fatalf("got %v, want ErrHeld", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Try(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Try(link); err == nil {
		t.Error("followed a link")
	}
	if _, err := Try(filepath.Join(path, "below", "a file")); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("where there is no folder: got %v", err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()

	t.Run("TakesTheLockWhenItIsFree", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lock")
		synctest.Test(t, func(t *testing.T) {
			first, err := Try(path)
			if err != nil {
				t.Fatal(err)
			}
			var released atomic.Bool
			time.AfterFunc(time.Second, func() {
				released.Store(true)
				if err := first.Close(); err != nil {
					t.Error(err)
				}
			})
			busy := 0
			second, err := Wait(t.Context(), path, func() { busy++ })
			if err != nil {
				t.Fatal(err)
			}
			if !released.Load() || busy != 1 {
				t.Errorf("released before: %v, told %d times", released.Load(), busy)
			}
			if err := second.Close(); err != nil {
				t.Fatal(err)
			}
		})
	})

	t.Run("ContextEnds", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lock")
		synctest.Test(t, func(t *testing.T) {
			first, err := Try(path)
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := Wait(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	})
}

// TestCloseWhileAChildIsBeingForked forks all the time, so that some child has a copy of the lock's handle
// when it is closed.
func TestCloseWhileAChildIsBeingForked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	ctx, cancel := context.WithCancel(t.Context())
	var forks sync.WaitGroup
	for range 4 {
		forks.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "/bin/true").Run()
			}
		})
	}
	for range 5000 {
		l, err := Try(path)
		if err != nil {
			t.Error(err)
			break
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	forks.Wait()
}
