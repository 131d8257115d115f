package graph

import (
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// complexity says what fields cost beyond the one point of a plain field: lists cost what they may hold, and
// what needs statements of its own costs more. A test fails when a list field is missing here.
func complexity() generated.ComplexityRoot {
	var c generated.ComplexityRoot
	size := func(n *int32) int {
		if n == nil {
			return defaultPage
		}
		return max(int(*n), 1)
	}
	c.Query.Orchestrations = func(child int, _ string, _ *model.OrchestrationFilter, first *int32, _ *string, last *int32, _ *string) int {
		if first == nil && last != nil {
			first = last
		}
		return 10 + size(first)*child
	}
	c.Query.Nodes = func(child int, ids []string) int { return 10 + len(ids)*child }
	c.Query.Hubs = func(child int, first int32, _ *string) int { return 5 + size(&first)*child }
	c.Subscription.OrchestrationChanges = func(child int, _ string, _ *model.OrchestrationFilter, first int32) int {
		return 10 + size(&first)*child
	}
	c.Subscription.History = func(child int, _, _ string, _ int64) int { return 10 + eventsPerFrame*child/20 }
	c.Orchestration.History = func(child int, _ int64, first int32) int { return 10 + size(&first)*child/20 }
	c.Orchestration.PendingTasks = func(child int) int { return 20 + 10*child }
	c.Orchestration.Waiting = func(child int) int { return 20 + child }
	c.OrchestrationConnection.TotalCount = func(child int, _ int32) int { return 20 + child }
	c.OrchestrationConnection.StatusCounts = func(child int, _ int32) int { return 20 + child }
	c.TaskHub.Workers = func(child int) int { return 10 + 10*child }
	return c
}
