//go:build unix

package devpg

import (
	"errors"
	"os"
	"syscall"
)

// supported reports whether servers can be run on this system.
func supported() error { return nil }

var (
	signalFast      os.Signal = syscall.SIGINT
	signalImmediate os.Signal = syscall.SIGQUIT
)

// noFollow keeps root from writing through a link that the owner of a folder
// has put in the place of one of our files.
const noFollow = syscall.O_NOFOLLOW

// processAttributes puts a child under the account and in a session of its own:
// a Ctrl-C at the terminal is for us, who then stop the server in good order.
func processAttributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// owner returns the user and group a file belongs to.
func owner(info os.FileInfo) (uid, gid uint32) {
	st := info.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid
}

// alive reports whether a process exists, be it ours or another user's.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
