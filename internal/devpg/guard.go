package devpg

import (
	"context"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// guardScript waits at a pipe of which only we hold the other end. A line says
// that the server has ended and all is well. The end of the file says that we
// died: then the server is to stop, fast at first, and a second later at once
// if postmaster.pid shows that it is still the same server. It touches no file:
// within that second another process may be starting a server on the directory.
//
// Arguments: process of the server, postmaster.pid.
const guardScript = `read -r line && exit 0
kill -INT "$1" 2>/dev/null
sleep 1
if read -r pid <"$2" && [ "$pid" = "$1" ]; then
	kill -QUIT "$1"
fi 2>/dev/null
`

// A postmaster is a running server process.
type postmaster struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process and its guard have ended
	err  error         // of cmd.Wait; valid when done is closed
}

// A launch says how to start a postmaster.
type launch struct {
	acct     *account
	postgres string // the program
	args     []string
	log      io.Writer // an *os.File, so that no goroutine must copy
	pidFile  string    // postmaster.pid, for the guard

	noSignal, noShell bool // leave one of the guards out
}

// run starts a server and its guard and returns once both live. They run until
// the server ends, not until a context does: stopping takes a signal of choice.
func (l launch) run() (*postmaster, error) {
	p := &postmaster{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel takes the death of this thread for the death of the parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p.cmd = l.acct.command(context.Background(), l.postgres, l.args...)
		p.cmd.Stdout, p.cmd.Stderr = l.log, l.log
		if !l.noSignal {
			dieWithThread(p.cmd.SysProcAttr, syscall.SIGINT)
		}
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		release, err := l.guard(p.cmd.Process.Pid)
		if err != nil {
			_ = p.cmd.Process.Signal(signalImmediate)
			_ = p.cmd.Wait()
			started <- err
			return
		}
		started <- nil
		p.err = p.cmd.Wait()
		release()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// guard starts the shell that watches over the server. The function it returns
// lets the shell go, and waits until it has gone.
func (l launch) guard(pid int) (release func(), err error) {
	if l.noShell {
		return func() {}, nil
	}
	sh := l.acct.command(context.Background(), "/bin/sh", "-c", guardScript, "weir-postgres-guard",
		strconv.Itoa(pid), l.pidFile)
	pipe, err := sh.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := sh.Start(); err != nil {
		return nil, err
	}
	return func() {
		_, _ = io.WriteString(pipe, "ended\n") // it fails if someone has ended the shell, which is all right
		_ = pipe.Close()
		_ = sh.Wait()
	}, nil
}
