//go:build unix && !linux

package devpg

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithThread does nothing: only Linux signals the death of a parent. The
// shell that guards the server does it here.
func dieWithThread(*syscall.SysProcAttr, syscall.Signal) {}

// isPostmaster reports whether the process is the PostgreSQL server of dataDir
// and no stranger that got its number later, as far as the command line tells.
func isPostmaster(pid int, dataDir string) bool {
	if !alive(pid) {
		return false
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	command := string(out)
	return err == nil && strings.Contains(command, "post") && strings.Contains(command, dataDir)
}

func scratchParent() string { return os.TempDir() }
