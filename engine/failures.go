package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
)

// FailureGroup is instances of one orchestration that have failed alike: with the same class, and the same message but for
// numbers and ids in it.
type FailureGroup struct {
	Name string
	// Type is the class of the failure, or the declared one; empty if it has none.
	Type string
	// Message is that of the newest, at most 500 characters.
	Message string
	Count   int64
	// FirstAt and LastAt are when the first and the newest of them ended.
	FirstAt, LastAt time.Time
	// Newest is the id of the newest.
	Newest string
}

const (
	// MaxFailureGroups is how many groups may be asked for.
	MaxFailureGroups = 100
	// maxFailureWindow bounds how far back is looked.
	maxFailureWindow = 90 * 24 * time.Hour
)

// FailureGroups groups the instances of a hub that failed within so long before now, the largest groups first, at most limit,
// 1 to 100. Of each orchestration the newest 10,000 failures are looked at. Errors: INVALID_ARGUMENT, NOT_FOUND (hub).
func (e *Engine) FailureGroups(ctx context.Context, hubName string, window time.Duration, limit int) ([]FailureGroup, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if window < time.Minute || window > maxFailureWindow {
		return nil, invalid("window", "is %s, allowed are a minute to 90 days", window)
	}
	if limit < 1 || limit > MaxFailureGroups {
		return nil, invalid("first", "is %d, allowed are 1 to %d", limit, MaxFailureGroups)
	}
	names, err := e.q.ListNames(ctx, e.lists, store.ListNamesParams{Hub: hub.no, Chunk: math.MaxInt32})
	if err != nil {
		return nil, fmt.Errorf("list names: %w", err)
	}
	now := time.Now()
	rows, err := e.q.FailureGroups(ctx, e.lists, store.FailureGroupsParams{
		Hub: hub.no, Names: names, Since: now.Add(-window), Until: now.Add(time.Minute), MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("group failures: %w", err)
	}
	out := make([]FailureGroup, len(rows))
	for i, r := range rows {
		out[i] = FailureGroup{r.Name, r.Type, r.Message, r.Count, r.FirstAt, r.LastAt, r.Newest}
	}
	return out, nil
}
