package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// facts is what a reason is made of.
type facts struct {
	instance *Instance
	waiting  *Waiting
	tasks    map[int32]PendingTask
	workers  []WorkerInfo
	holders  map[string]string // of entities that are waited for and locked
	// canceling is the first request to end by itself, if there was one.
	canceling *history.ExecutionCancelRequested
	// turnDeaths is what keeps the turn from being given out, if workers have died of it.
	turnDeaths *deaths
}

// foldLimit is the longest history that is folded to explain an instance that is at work.
const foldLimit = 20_000

func (e *Engine) facts(ctx context.Context, i *Instance) (*facts, error) {
	f := &facts{instance: i, waiting: i.Waiting, tasks: map[int32]PendingTask{}}
	if !i.Status.Live() {
		return f, nil
	}
	workers, err := e.Workers(ctx, i.Hub, 0)
	if err != nil {
		return nil, err
	}
	f.workers = workers
	died, err := e.deathsOf(ctx, i)
	if err != nil {
		return nil, err
	}
	f.turnDeaths = died[wholeTurn]
	if i.Seq == 0 {
		return f, nil
	}
	if length := i.Seq - i.FirstSeq; length < foldLimit && length >= 0 {
		events, _, err := e.History(ctx, i, 0, foldLimit, false)
		if err != nil {
			return nil, err
		}
		s := newState(int32(i.Generation))
		for _, ev := range events {
			s.apply(ev.Event)
		}
		w := s.waiting()
		if i.Waiting != nil {
			w.Events = i.Waiting.Events
		}
		f.waiting, f.canceling = w, s.canceling
		for id, p := range s.pending {
			if p.task != nil {
				f.tasks[id] = PendingTask{ID: id, Name: p.task.Name, Version: p.task.Version, State: TaskRunning, Attempt: 1, StartedAt: &p.task.At, Worker: f.nameOf(i.Owner)}
			}
		}
	}
	if err := e.addHolders(ctx, f); err != nil {
		return nil, err
	}
	return f, e.addRows(ctx, f, died)
}

// addHolders adds who has the entities locked that are waited for.
func (e *Engine) addHolders(ctx context.Context, f *facts) error {
	if f.waiting == nil {
		return nil
	}
	var ids []string
	for _, t := range f.waiting.Tasks {
		if t.Kind == "operation" {
			ids = append(ids, t.Instance)
		}
		ids = append(ids, t.Locks...)
	}
	if ids == nil {
		return nil
	}
	hub, err := e.hub(ctx, f.instance.Hub)
	if err != nil {
		return err
	}
	f.holders, err = e.holders(ctx, hub.no, ids)
	return err
}

// addRows adds what the tasks' River rows tell.
func (e *Engine) addRows(ctx context.Context, f *facts, died map[int32]*deaths) error {
	rows, err := e.q.ListTaskJobs(ctx, e.pool, f.instance.no)
	if err != nil {
		return fmt.Errorf("read tasks: %w", err)
	}
	retries, err := e.q.ListRetries(ctx, e.pool, f.instance.no)
	if err != nil {
		return fmt.Errorf("read retries: %w", err)
	}
	pending := false
	for _, row := range rows {
		if int(row.Gen) != f.instance.Generation {
			continue
		}
		t := PendingTask{ID: row.Task, Name: row.Kind, Attempt: int(row.Attempt), StartedAt: row.AttemptedAt, Worker: workerOfClient(row.Client, f.workers)}
		if known, ok := f.tasks[row.Task]; ok {
			t.Name, t.Version = known.Name, known.Version
		}
		switch row.State {
		case "running":
			t.State = TaskRunning
		case "pending":
			t.State, t.StartedAt, t.Worker = TaskLimited, nil, ""
			pending = true
		case "available":
			t.State, t.StartedAt, t.Worker = TaskQueued, nil, ""
			if !f.served(row) {
				t.State = TaskNoWorker
			}
		default:
			t.State = TaskRetrying
			if row.State == "retryable" {
				t.NextAttemptAt = &row.ScheduledAt
			}
		}
		if n := len(row.Errors); n > 0 {
			var last riverError
			if json.Unmarshal(row.Errors[n-1], &last) == nil {
				t.LastError = last.Error
			}
		}
		for _, r := range retries {
			if r.Gen == row.Gen && r.Task == row.Task {
				t.NextAttemptAt = &r.FireAt
			}
		}
		if d := died[row.Task]; d != nil && (row.State == "pending" || row.State == "scheduled") {
			t.deaths, t.LastError = d, d.text()
			if d.heldAt != nil {
				t.State, t.NextAttemptAt = TaskDead, nil
			}
		}
		f.tasks[row.Task] = t
	}
	if pending {
		return e.addLimits(ctx, f)
	}
	return nil
}

// served tells whether a worker that lives accepts the activity.
func (f *facts) served(row store.ListTaskJobsRow) bool {
	return slices.ContainsFunc(f.workers, func(w WorkerInfo) bool {
		return slices.ContainsFunc(w.Activities, func(d Definition) bool { return TaskKind(d.Name, d.Version) == row.Kind })
	})
}

func (f *facts) nameOf(no int32) string {
	for _, w := range f.workers {
		if w.No == no {
			return w.Name
		}
	}
	return ""
}

// workerOfClient finds the worker that a River client belongs to.
func workerOfClient(client string, workers []WorkerInfo) string {
	rest, ok := strings.CutPrefix(client, "weir-")
	if !ok {
		return client
	}
	no, _, _ := strings.Cut(rest, "-")
	for _, w := range workers {
		if strconv.Itoa(int(w.No)) == no {
			return w.Name
		}
	}
	return "worker " + no
}
