package durable

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/weir-dev/weir/engine"
)

// Environment variables by which `weir replay` tells a program what it is run for: to replay histories, of a hub.
const (
	envReplay    = "WEIR_REPLAY"
	envReplayHub = "WEIR_REPLAY_HUB"
)

// isReplay tells whether this process was started to replay histories. Nothing in it then touches a database.
var isReplay = sync.OnceValue(func() bool { return os.Getenv(envReplay) == "1" })

// replayed is closed when the histories have been replayed.
var replayed = make(chan struct{})

// onlyOne lets one worker of the process answer.
var onlyOne sync.Once

// errReplay is what a Client returns in a process that replays histories, once that is over: before, it waits, because
// a program whose client fails may end before its worker has answered.
var errReplay = &engine.Error{
	Code: engine.CodeUnavailable, Message: "this process replays histories, because " + envReplay + " is set: its clients do nothing",
}

func awaitReplay(ctx context.Context) error {
	select {
	case <-replayed:
		return errReplay
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replay answers `weir replay` instead of working. Of several workers of a process the one of the hub does.
func (w *Worker) replay(ctx context.Context, in io.Reader, out io.Writer) error {
	hello := engine.ReplayHello{Protocol: engine.ReplayProtocol, Hub: w.cfg.Hub, Orchestrations: w.jobs.Orchestrations}
	if err := say(out, hello); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	err := error(nil)
	if hub := os.Getenv(envReplayHub); hub == "" || hub == w.cfg.Hub {
		onlyOne.Do(func() {
			defer close(replayed)
			err = replayAll(ctx, w.x, in, out)
		})
	}
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	_ = awaitReplay(ctx) // of another worker, or over
	return nil
}

// replayAll reads recordings, one a line, and answers each with a line.
func replayAll(ctx context.Context, x engine.Executor, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	for ctx.Err() == nil {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var r engine.Recording
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if err := say(out, r.Replay(ctx, x)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// say writes a line of its own, whatever else the program prints.
func say(out io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = out.Write(append(append([]byte{'\n'}, line...), '\n'))
	return err
}
