package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// Recording is what an instance has done in its present generation, as it travels outside of a database: to a program
// that replays it, or in a file, one a line.
type Recording struct {
	Hub         string          `json:"hub"`
	Instance    string          `json:"instance"`
	Name        string          `json:"name"`
	Version     string          `json:"version,omitempty"`
	Generation  int             `json:"generation,omitempty"`
	ExecutionID string          `json:"executionId"`
	Parent      *history.Parent `json:"parent,omitempty"`
	CreatedAt   time.Time       `json:"createdAt"`
	// Status is that of the instance when it was recorded.
	Status string `json:"status"`
	// Events are as history.Encode writes them, with all values in place.
	Events json.RawMessage `json:"events"`
}

// ReplayProtocol is the number that marks a line as one of a replay, among others that a program may print.
const ReplayProtocol = 1

// ReplayHello is what a program that replays says first: what it can run.
type ReplayHello struct {
	Protocol       int          `json:"weirReplay"`
	Hub            string       `json:"hub"`
	Orchestrations []Definition `json:"orchestrations,omitempty"`
}

// ReplayAnswer is how the replay of one recording went: well, if nothing else is set.
type ReplayAnswer struct {
	Protocol int    `json:"weirReplay"`
	Instance string `json:"instance"`
	// NoHandler means that the program does not have the orchestration in this version.
	NoHandler bool `json:"noHandler,omitempty"`
	// Held is why a worker would hold the instance.
	Held *Held `json:"held,omitempty"`
	// Error means that the recording cannot be read.
	Error string `json:"error,omitempty"`
}

// Record reads the recording of an instance, up to the event that i shows. It is nil if there is none: the instance has
// not begun, or has gone on to another generation meanwhile, or is gone.
func (e *Engine) Record(ctx context.Context, i *Instance) (*Recording, error) {
	if i.Seq < i.FirstSeq {
		return nil, nil
	}
	rows, err := e.q.ReadGeneration(ctx, e.pool, store.ReadGenerationParams{No: i.no, BaseSeq: i.FirstSeq, Seq: i.Seq})
	if err != nil {
		return nil, fmt.Errorf("read history of %q: %w", i.ID, err)
	}
	var events []history.Event
	for _, row := range rows {
		part, err := history.Decode(row.Codec, row.Events)
		if err != nil {
			return nil, fmt.Errorf("read history of %q: %w", i.ID, err)
		}
		events = append(events, part...)
	}
	if int64(len(events)) != i.Seq-i.FirstSeq+1 {
		return nil, nil
	}
	if err := e.fetchValues(ctx, i.no, events); err != nil {
		return nil, fmt.Errorf("read history of %q: %w", i.ID, err)
	}
	r := &Recording{
		Hub: i.Hub, Instance: i.ID, Name: i.Name, Version: i.Version, Generation: i.Generation, ExecutionID: i.ExecutionID,
		CreatedAt: i.CreatedAt, Status: i.Status.String(),
	}
	for _, ev := range events {
		history.EachValue(ev, func(v *history.Payload) { *v = v.WithRef(0) })
		if started, ok := ev.(*history.ExecutionStarted); ok {
			r.Parent = started.Parent
		}
	}
	r.Events, err = history.Encode(events)
	return r, err
}

// ReadRecordings reads recordings, one a line. Errors name the line.
func ReadRecordings(from io.Reader) ([]*Recording, error) {
	var (
		out   []*Recording
		lines = bufio.NewReader(from)
	)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			r := &Recording{}
			if err := json.Unmarshal(line, r); err != nil {
				return nil, fmt.Errorf("line %d is no recording: %w", n, err)
			}
			if r.Name == "" || len(r.Events) == 0 {
				return nil, fmt.Errorf("line %d is no recording: it has no name or no events", n)
			}
			out = append(out, r)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// Info is what the orchestration's code may know of the instance.
func (r *Recording) Info() Info {
	return Info{
		Hub: r.Hub, InstanceID: r.Instance, Name: r.Name, Version: r.Version, Generation: r.Generation, ExecutionID: r.ExecutionID,
		Parent: r.Parent, CreatedAt: r.CreatedAt,
	}
}

// Past is the history to be replayed: without an end that is not the code's own, because nothing the code does brings
// it about. Such ends come from outside (a termination), or from the engine, which refused a value over the limit, or has
// no worker for the version.
func (r *Recording) Past() ([]history.Event, error) {
	events, err := history.Decode(history.JSON, r.Events)
	if err != nil {
		return nil, err
	}
	for n, e := range events {
		switch e := e.(type) {
		case *history.ExecutionTerminated:
			return events[:n], nil
		case *history.ExecutionCompleted:
			if e.ID < 0 { // no decision
				return events[:n], nil
			}
			if e.Failure != nil && (e.Failure.Type == string(CodeTooLarge) || e.Failure.Type == string(CodeVersionMismatch)) {
				return events[:lastTurn(events[:n])], nil
			}
		}
	}
	return events, nil
}

// lastTurn is where the last turn of a history begins.
func lastTurn(events []history.Event) int {
	for n := len(events) - 1; n > 0; n-- {
		if _, ok := events[n].(*history.OrchestratorStarted); ok {
			return n
		}
	}
	return 0
}

// Replay opens an executor's code on the recording, as a worker would, and tells how that went.
func (r *Recording) Replay(ctx context.Context, x Executor) ReplayAnswer {
	answer := ReplayAnswer{Protocol: ReplayProtocol, Instance: r.Instance}
	past, err := r.Past()
	if err != nil {
		answer.Error = err.Error()
		return answer
	}
	code, err := x.Open(ctx, r.Info(), past)
	switch {
	case err == nil:
		code.Close()
	case errors.Is(err, ErrNoHandler):
		answer.NoHandler = true
	case !errors.As(err, &answer.Held):
		answer.Error = err.Error()
	}
	return answer
}

// Tell says what a replay found, for people: which instance, at which step, what its history has there and what the
// code does. It is empty if all is well.
func (r *Recording) Tell(a ReplayAnswer) string {
	what := fmt.Sprintf("instance %q, orchestration %q", r.Instance, r.Name)
	if r.Version != "" {
		what += fmt.Sprintf(", version %q", r.Version)
	}
	what += ", " + r.Status
	switch h := a.Held; {
	case a.NoHandler:
		return what + ": no handler for it"
	case a.Error != "":
		return what + ": " + a.Error
	case h == nil:
		return ""
	case h.Expected == "" && h.Actual == "":
		text := fmt.Sprintf("%s, step %d: %s", what, h.Step, h.Message)
		if h.Stack != "" {
			text += "\n" + h.Stack
		}
		return text
	default:
		return fmt.Sprintf("%s, step %d\n  - the history has: %s\n  + the code does:   %s", what, h.Step, h.Expected, h.Actual)
	}
}
