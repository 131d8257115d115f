package devpg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dieWithThread makes the kernel send sig to the child when the thread that
// starts it ends, which a SIGKILL of this process does to all of them. The
// setting is made after the change of user, which would clear it.
func dieWithThread(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// isPostmaster reports whether the process is the PostgreSQL server of dataDir
// and no stranger that got its number later. A server works in its data
// directory; where we may not see that, the command line must do.
func isPostmaster(pid int, dataDir string) bool {
	if !alive(pid) {
		return false
	}
	proc := fmt.Sprintf("/proc/%d", pid)
	cmdline, err := os.ReadFile(proc + "/cmdline") //nolint:gosec // proc is made of a number
	if err != nil || len(cmdline) == 0 {           // gone, or a zombie
		return false
	}
	if cwd, err := os.Stat(proc + "/cwd"); err == nil {
		data, err := os.Stat(dataDir)
		return err == nil && os.SameFile(cwd, data)
	}
	name, _, _ := bytes.Cut(cmdline, []byte{0})
	base := filepath.Base(string(name))
	return base == "postgres" || base == "postmaster"
}

// roomyTmpfs is the free memory in bytes that a tmpfs must offer to be used for
// servers: one takes 40 MB when new, and containers often have no more than 64.
const roomyTmpfs = 1 << 30

// scratchParent prefers memory to disk if there is room: a server makes and
// deletes a thousand files.
func scratchParent() string {
	const dir, writable, tmpfsMagic = "/dev/shm", 2, 0x01021994
	var st syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs(dir, &st) == nil && st.Type == tmpfsMagic &&
		st.Bavail*uint64(st.Bsize) >= roomyTmpfs && syscall.Access(dir, writable) == nil {
		return dir
	}
	return os.TempDir()
}
