package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// A StopMode says how a server is to end.
type StopMode string

const (
	// Fast breaks connections, rolls their work back and writes a checkpoint;
	// the next start needs no recovery.
	Fast StopMode = "fast"
	// Immediate ends all processes at once, as in a crash of the server; the
	// next start recovers. What was committed is safe.
	Immediate StopMode = "immediate"
)

// Stop ends the server and waits until it is gone; then the directory is free
// for another Start. If the context ends before, Stop returns its error while
// the server still stops; a second Stop may be harder. To stop a server that
// has ended is no error.
func (s *Server) Stop(ctx context.Context, mode StopMode) error {
	sig := signalFast
	if mode == Immediate {
		sig = signalImmediate
	}
	if err := s.signal(sig); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop postgres (%s), process %d: %w", mode, s.PID(), ctx.Err())
	}
}

// Kill ends the main process of the server by SIGKILL and waits until it is
// gone. Its children find out by themselves, mostly at once; a Start that
// follows waits for them. For tests of what a crash does.
func (s *Server) Kill() error {
	if err := s.signal(os.Kill); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	<-s.done
	return nil
}

// signal sends a signal, after noting that the end it brings is wanted.
func (s *Server) signal(sig os.Signal) error {
	select {
	case <-s.done:
		return nil
	default:
	}
	s.stopping.Store(true)
	if err := s.pm.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Restart stops the server fast, if it has not ended yet, and starts another
// one on the same directory, with the same options, port and addresses.
func (s *Server) Restart(ctx context.Context) (*Server, error) {
	if err := s.Stop(ctx, Fast); err != nil {
		return nil, err
	}
	return Start(ctx, s.opts)
}

// Done returns a channel that is closed when the server has ended, whatever the
// cause, and its directory is free.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server ended, with the end of its log, if neither Stop
// nor Kill was the cause. It returns nil as long as Done is open.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}
