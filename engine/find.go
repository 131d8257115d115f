package engine

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

func instanceNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "instance", Message: fmt.Sprintf("there is no instance %q", id)}
}

func finished(id string, status history.Status) error {
	return &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("instance %q has finished: it is %s", id, status)}
}

// find returns an instance's number. Errors: NOT_FOUND.
func (e *Engine) find(ctx context.Context, name instanceName) (int64, error) {
	rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{name.hub}, Ids: []string{name.id}})
	if err != nil {
		return 0, fmt.Errorf("find instance: %w", err)
	}
	if len(rows) == 0 {
		return 0, instanceNotFound(name.id)
	}
	e.ids.put(name, rows[0].No)
	return rows[0].No, nil
}
