package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/weir-dev/weir/engine"
)

// Source is where River's workers find the node of the moment: a process that was fenced joins again under
// another number, while the workers stay registered.
type Source struct {
	mu   sync.Mutex
	node *engine.Node
	set  chan struct{}
}

// NewSource returns a Source without a node; jobs that arrive wait for one.
func NewSource() *Source { return &Source{set: make(chan struct{})} }

// Set says which node works from now on; nil says none.
func (s *Source) Set(n *engine.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil && n != nil {
		close(s.set)
	}
	if n == nil && s.node != nil {
		s.set = make(chan struct{})
	}
	s.node = n
}

// get returns the node, waiting a little for one.
func (s *Source) get(ctx context.Context) *engine.Node {
	s.mu.Lock()
	n, set := s.node, s.set
	s.mu.Unlock()
	if n != nil {
		return n
	}
	select {
	case <-set:
		return s.get(ctx)
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	return nil
}

// forNode finds the node and makes sure that it is known by the client that handed out the job.
func (s *Source) forNode(ctx context.Context, job *rivertype.JobRow) *engine.Node {
	n := s.get(ctx)
	if n == nil {
		return nil
	}
	if by := job.AttemptedBy; len(by) > 0 && by[len(by)-1] != n.RiverClient() {
		// River in an existing application has an id of its own; the node takes it on. Until then the row looks
		// like a dead worker's, and may be replaced.
		if err := n.SetRiverClient(ctx, by[len(by)-1]); err != nil {
			return nil
		}
	}
	return n
}

// unlimited is embedded by workers whose jobs have no time limit: River must neither cancel nor rescue them.
type unlimited[T river.JobArgs] struct{ river.WorkerDefaults[T] }

// Timeout implements river.Worker.
func (unlimited[T]) Timeout(*river.Job[T]) time.Duration { return -1 }

type turnArgs struct {
	engine.TurnArgs
	kind string
}

// Kind implements river.JobArgs.
func (a turnArgs) Kind() string { return a.kind }

// turnWorker works turn jobs.
type turnWorker struct {
	unlimited[turnArgs]
	source *Source
}

// Work holds a session on the instance. It returns nil only when the job's row is gone by a commit of the
// engine's; otherwise the job is snoozed, which makes it available again and spends no attempt.
func (w *turnWorker) Work(ctx context.Context, job *river.Job[turnArgs]) error {
	n := w.source.forNode(ctx, job.JobRow)
	if n == nil {
		return river.JobSnooze(100 * time.Millisecond)
	}
	v := n.RunSession(ctx, engine.TurnJob{
		TurnArgs: job.Args.TurnArgs, ID: job.ID, CreatedAt: job.CreatedAt, First: job.Attempt == 1 && snoozes(job.Metadata) == 0,
	})
	switch {
	case v.Done:
		return nil
	case v.Held:
		return river.JobSnooze(heldFor(job.Metadata))
	}
	n.AnnounceLater(job.Queue)
	return river.JobSnooze(v.Snooze)
}

// heldFor is how long a held turn rests: 10 s at first, up to 5 minutes. A worker with other code does not wait
// for it.
func heldFor(metadata []byte) time.Duration {
	return min(10*time.Second<<min(snoozes(metadata), 5), 5*time.Minute)
}

// snoozes is how often the job was given back.
func snoozes(metadata []byte) int {
	if len(metadata) <= len("{}") {
		return 0
	}
	var m struct {
		Snoozes int `json:"snoozes"`
	}
	_ = json.Unmarshal(metadata, &m) // without it, none
	return m.Snoozes
}

type taskArgs struct {
	engine.TaskArgs
	kind string
}

// Kind implements river.JobArgs.
func (a taskArgs) Kind() string { return a.kind }

// taskWorker works activities that came through River.
type taskWorker struct {
	unlimited[taskArgs]
	source   *Source
	activity engine.Definition
}

// Work runs the activity and delivers its outcome by the job's row, which is the token.
func (w *taskWorker) Work(ctx context.Context, job *river.Job[taskArgs]) error {
	n := w.source.forNode(ctx, job.JobRow)
	if n == nil {
		return river.JobSnooze(100 * time.Millisecond)
	}
	done, err := n.RunTask(ctx, engine.TaskJob{
		ID: job.ID, Key: job.UniqueKey, Name: w.activity.Name, Version: w.activity.Version, Attempt: job.Attempt, Args: job.Args.TaskArgs, Errors: earlier(job.Errors),
	})
	if err != nil {
		return fmt.Errorf("run activity: %w", err)
	}
	if !done {
		n.AnnounceLater(job.Queue)
		return river.JobSnooze(100 * time.Millisecond)
	}
	return nil
}

func earlier(errs []rivertype.AttemptError) []engine.TaskError {
	out := make([]engine.TaskError, len(errs))
	for i, e := range errs {
		out[i] = engine.TaskError{At: e.At, Attempt: e.Attempt, Message: e.Error}
	}
	return out
}

type deliverArgs struct {
	Hub    int32  `json:"hub"`
	Target string `json:"target"`
}

// Kind implements river.JobArgs.
func (deliverArgs) Kind() string { return engine.DeliverKind }

// deliverWorker delivers events raised in users' transactions.
type deliverWorker struct {
	unlimited[deliverArgs]
	source *Source
}

// Work moves the target's events from the outbox to its inbox. Running it twice does no harm.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[deliverArgs]) error {
	n := w.source.forNode(ctx, job.JobRow)
	if n == nil {
		return river.JobSnooze(100 * time.Millisecond)
	}
	if err := n.Deliver(ctx, job.Args.Hub, job.Args.Target, job.ID); err != nil {
		n.AnnounceLater(job.Queue)
		return river.JobSnooze(100 * time.Millisecond)
	}
	return nil
}

type controlArgs struct{ engine.ControlArgs }

// Kind implements river.JobArgs.
func (controlArgs) Kind() string { return engine.ControlKind }

// controlWorker ends the children of instances that were ended with all that belongs to them.
type controlWorker struct {
	unlimited[controlArgs]
	source *Source
}

// Work ends one child. Running it twice does no harm.
func (w *controlWorker) Work(ctx context.Context, job *river.Job[controlArgs]) error {
	n := w.source.forNode(ctx, job.JobRow)
	if n == nil {
		return river.JobSnooze(100 * time.Millisecond)
	}
	if err := n.Control(ctx, job.Args.ControlArgs, job.ID); err != nil {
		n.AnnounceLater(job.Queue)
		return river.JobSnooze(100 * time.Millisecond)
	}
	return nil
}
