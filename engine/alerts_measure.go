package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// measured is what a rule's look has found: a value in the unit of its kind, and words about it.
type measured struct {
	value  float64
	detail string
}

// measureAlert looks at what a rule is about. Each look is bounded, however many instances there are.
func (e *Engine) measureAlert(ctx context.Context, hub *Hub, s *AlertSpec) (measured, error) {
	switch s.Kind {
	case AlertFailureRate:
		return e.measureFailures(ctx, hub, s, maxEnded)
	case AlertStuck:
		return e.measureStuck(ctx, hub, s)
	case AlertNoWorker, AlertBacklogAge:
		return e.measureWaiting(ctx, hub, s)
	}
	n, err := e.q.CountLetters(ctx, e.lists, hub.no)
	if err != nil {
		return measured{}, fmt.Errorf("count dead letters: %w", err)
	}
	return measured{float64(n), fmt.Sprintf("%d dead letters", n)}, nil
}

// alertNames are the orchestrations that a rule is about.
func (e *Engine) alertNames(ctx context.Context, hub *Hub, s *AlertSpec) ([]string, error) {
	if len(s.Names) > 0 {
		return s.Names, nil
	}
	names, err := e.q.ListNames(ctx, e.lists, store.ListNamesParams{Hub: hub.no, Chunk: math.MaxInt32})
	if err != nil {
		return nil, fmt.Errorf("list names: %w", err)
	}
	return names, nil
}

// maxEnded is how many instances of a name and outcome are counted.
const maxEnded = 100_000

func (e *Engine) measureFailures(ctx context.Context, hub *Hub, s *AlertSpec, most int32) (measured, error) {
	names, err := e.alertNames(ctx, hub, s)
	if err != nil {
		return measured{}, err
	}
	rows, err := e.q.CountEnded(ctx, e.lists, store.CountEndedParams{
		Hub: hub.no, Names: names, Outcomes: []int16{int16(history.Completed), int16(history.Failed)}, Since: time.Now().Add(-s.Window), Most: most,
	})
	if err != nil {
		return measured{}, fmt.Errorf("count what has ended: %w", err)
	}
	var failed, total int64
	for _, r := range rows {
		total += r.Count
		if statusOf(r.Outcome) == history.Failed {
			failed = r.Count
		}
	}
	m := measured{detail: fmt.Sprintf("%d of %d instances that ended within %s failed", failed, total, Span(s.Window))}
	if total > 0 && total >= s.Minimum {
		m.value = 100 * float64(failed) / float64(total)
	}
	return m, nil
}

func (e *Engine) measureStuck(ctx context.Context, hub *Hub, s *AlertSpec) (measured, error) {
	names, err := e.alertNames(ctx, hub, s)
	if err != nil {
		return measured{}, err
	}
	var (
		total  int64
		oldest *store.CountStuckRow
	)
	for _, name := range names {
		rows, err := e.q.CountStuck(ctx, e.lists, store.CountStuckParams{Hub: hub.no, Name: name, Since: time.Now().Add(-s.Window)})
		if err != nil {
			return measured{}, fmt.Errorf("count stuck instances: %w", err)
		}
		if len(rows) == 0 {
			continue
		}
		total += rows[0].Total
		if oldest == nil || rows[0].UpdatedAt.Before(oldest.UpdatedAt) {
			oldest = &rows[0]
		}
	}
	m := measured{float64(total), fmt.Sprintf("%d instances have not moved for %s", total, Span(s.Window))}
	if oldest == nil {
		return m, nil
	}
	i, err := e.Get(ctx, hub.Name, oldest.ID)
	switch {
	case errors.Is(err, ErrNotFound): // it is gone meanwhile; the count is what was asked for
		return m, nil
	case err != nil:
		return measured{}, err
	}
	reason, err := e.Explain(ctx, i)
	if err != nil {
		return measured{}, err
	}
	m.detail += fmt.Sprintf("; longest %s: %s", i.ID, reason.Text(time.Now()))
	return m, nil
}

// measureWaiting looks at River's rows that are due. Those of activity queues with names are not looked at.
func (e *Engine) measureWaiting(ctx context.Context, hub *Hub, s *AlertSpec) (measured, error) {
	rows, err := e.q.CountWaiting(ctx, e.lists, []string{TurnQueue(hub.no), ActivityQueue(hub.no, "")})
	if err != nil {
		return measured{}, fmt.Errorf("look at what is due: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r store.CountWaitingRow) bool {
		name, _, _ := splitKind(r.Kind)
		return len(s.Names) > 0 && !slices.Contains(s.Names, name)
	})
	if s.Kind == AlertBacklogAge {
		m := measured{detail: "nothing waits"}
		now, err := e.Now(ctx)
		if err != nil {
			return measured{}, err
		}
		for _, r := range rows {
			if age := now.Sub(r.Oldest).Seconds(); age > m.value {
				name, _, _ := splitKind(r.Kind)
				m = measured{age, fmt.Sprintf("%s has been due for %s", name, Span(now.Sub(r.Oldest)))}
			}
		}
		return m, nil
	}
	workers, err := e.Workers(ctx, hub.Name, 0)
	if err != nil {
		return measured{}, err
	}
	m := measured{detail: "all that is due has a worker"}
	var missing []string
	for _, r := range rows {
		if takenBy(workers, r.Kind) {
			continue
		}
		m.value += float64(r.Count)
		name, version, _ := splitKind(r.Kind)
		missing = append(missing, label(name, version))
	}
	if missing != nil {
		slices.Sort(missing)
		m.detail = fmt.Sprintf("no worker takes %s: %.0f are due", strings.Join(missing[:min(len(missing), maxAlertNames)], ", "), m.value)
	}
	return m, nil
}

// splitKind reads a River kind as TurnKind and TaskKind write it.
func splitKind(kind string) (name, version string, turn bool) {
	name, turn = strings.CutPrefix(kind, TurnKind("", ""))
	if before, after, ok := strings.Cut(name, "<"); ok && strings.HasSuffix(after, ">") {
		return before, strings.TrimSuffix(after, ">"), turn
	}
	return name, "", turn
}

// takenBy tells whether one of the workers takes jobs of a kind.
func takenBy(workers []WorkerInfo, kind string) bool {
	name, version, turn := splitKind(kind)
	if entity, ok := strings.CutPrefix(name, entityKind); ok {
		return slices.ContainsFunc(workers, func(w WorkerInfo) bool { return slices.Contains(w.Entities, entity) })
	}
	if turn {
		return accepted(workers, name, version)
	}
	return slices.ContainsFunc(workers, func(w WorkerInfo) bool {
		return slices.ContainsFunc(w.Activities, func(d Definition) bool { return TaskKind(d.Name, d.Version) == kind })
	})
}
