package engine

import (
	"context"
	"errors"

	"github.com/weir-dev/weir/engine/history"
)

// unmatched stands for the code of an instance that no worker takes in its version: its first turn ends it (DTS: failure
// strategy Fail, O-43).
type unmatched struct {
	s    *session
	have string
}

// errTaken gives a turn job back that another worker takes.
var errTaken = errors.New("another worker takes this version")

// openUnmatched opens an instance that this worker has no handler for: to fail it, if it is to do that and no worker
// that lives takes it. Errors: ErrNoHandler, errTaken.
func (s *session) openUnmatched(ctx context.Context) (Orchestration, error) {
	n := s.n
	if !n.caps.FailUnmatched || n.caps.describe(s.info.Name) == "" {
		return nil, ErrNoHandler
	}
	workers, err := n.e.Workers(ctx, s.info.Hub, 0)
	if err != nil {
		return nil, err
	}
	if accepted(workers, s.info.Name, s.info.Version) { // it has joined meanwhile: the job is for it
		if err := n.findVersions(ctx); err != nil {
			return nil, err
		}
		return nil, errTaken
	}
	return &unmatched{s, n.caps.describe(s.info.Name)}, nil
}

// Turn implements Orchestration.
func (u *unmatched) Turn(context.Context, []history.Event) (Turn, error) {
	s := u.s
	if s.state.suspended != nil {
		return Turn{}, nil
	}
	return Turn{Decisions: []history.Event{&history.ExecutionCompleted{
		ID: s.state.nextID, Status: history.Failed,
		Failure: failure(CodeVersionMismatch, "no worker for %s of %s; there are workers for %s", versionText(s.info.Version), s.info.Name, u.have),
	}}}, nil
}

// Awaits implements Orchestration.
func (*unmatched) Awaits() []string { return nil }

// Step implements Orchestration.
func (*unmatched) Step(int32) func(context.Context) Result { return nil }

// Close implements Orchestration.
func (*unmatched) Close() {}
