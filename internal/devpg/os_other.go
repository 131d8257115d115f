//go:build !unix

package devpg

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// supported reports that servers cannot be run here: PostgreSQL is stopped by
// signals and dropped privileges, which this system has not.
func supported() error {
	return fmt.Errorf("no embedded PostgreSQL on %s, give the address of a server instead: %w", runtime.GOOS, errors.ErrUnsupported)
}

var signalFast, signalImmediate = os.Interrupt, os.Kill

const noFollow = 0

func processAttributes(*account) *syscall.SysProcAttr { return nil }

func dieWithThread(*syscall.SysProcAttr, syscall.Signal) {}

func owner(os.FileInfo) (uid, gid uint32) { return 0, 0 }

func alive(int) bool { return false }

func isPostmaster(int, string) bool { return false }

func scratchParent() string { return os.TempDir() }
