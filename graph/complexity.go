package graph

import (
	"time"

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
		return min(max(int(*n), 1), maxEvents) // what is beyond is refused when it is resolved
	}
	few := func(child int) int { return 5 + 5*child }
	c.Query.Orchestrations = func(child int, _ string, _ *model.OrchestrationFilter, first *int32, _ *string, last *int32, _ *string) int {
		if first == nil && last != nil {
			first = last
		}
		return 10 + size(first)*child
	}
	c.Query.Nodes = func(child int, ids []string) int { return 10 + len(ids)*(5+child) }
	c.Query.Hubs = func(child int, first int32, _ *string) int { return 5 + size(&first)*child }
	c.Subscription.OrchestrationChanges = func(child int, _ string, _ *model.OrchestrationFilter, first int32) int {
		return 10 + size(&first)*child
	}
	history := func(child, events int) int { return 10 + events*child/20 } // read together, and few fields of each are set
	c.Subscription.History = func(child int, _, _ string, _ int64) int { return history(child, eventsPerFrame) }
	c.Orchestration.History = func(child int, _ int64, first int32) int { return history(child, size(&first)) }
	c.Orchestration.Progress = func(child int, first int32, _ *string) int { return 10 + size(&first)*child }
	c.Orchestration.ProgressRecord = func(child int, _ int64) int { return 10 + child }
	c.Subscription.ProgressAppended = func(child int, _, _ string, _ int64) int { return 10 + recordsPerFrame*child }
	// These read the history and River's rows of the instance: a page of 50 may ask for one of them.
	c.Orchestration.PendingTasks = func(child int) int { return 100 + 10*child }
	c.Orchestration.Waiting = func(child int) int { return 100 + child }
	c.Orchestration.Children = func(child int, _ []model.OrchestrationStatus, first int32, _ *string) int {
		return 100 + size(&first)*child
	}
	// These read and fold the history, or the inbox; few fields of each span are set.
	c.Orchestration.Timeline = func(child int, _ int32) int { return 500 + child }
	c.Timeline.Spans = func(child int) int { return 100 * child }
	c.Orchestration.PendingMessages = func(child int, first int32) int { return 10 + size(&first)*child }
	c.OrchestrationConnection.TotalCount = func(child int, _ int32) int { return 20 + child }
	c.OrchestrationConnection.StatusCounts = func(child int, _ int32) int { return 20 + child }
	c.Query.Schedules = func(child int, _ string, _ *model.ScheduleFilter, first int32, _ *string) int {
		return 10 + size(&first)*child
	}
	c.Schedule.NextFirings = func(child int, first int32, _ *time.Time) int { return 5 + size(&first)*(1+child)/5 }
	c.Schedule.Input = func(child int) int { return 10 + child }
	c.Schedule.Buffered, c.Schedule.Cron, c.Schedule.AllowedActions = few, few, few
	c.EntityLockRequested.Entities, c.EntityUnlockSent.Entities = few, few
	c.Query.Entities = func(child int, _ string, _ *model.EntityFilter, first int32, _ *string) int {
		return 10 + size(&first)*child
	}
	c.ExecutionCompleted.LeftOpen = few
	c.Query.APITokens = func(child int, first int32, _ *string) int { return 10 + size(&first)*child }
	c.Query.RoleBindings = func(child int, first int32, _ *string) int { return 10 + size(&first)*child }
	c.Query.AuditLog = func(child int, _ *model.AuditFilter, first int32, _ *string) int { return 20 + size(&first)*child }
	c.Viewer.Roles, c.ApiToken.Grants, c.Grant.Roles = few, few, few
	c.Viewer.Permissions = func(child int, _ *string) int { return few(child) }
	c.Query.DeadLetters = func(child int, _ string, first int32, _ *string) int { return 10 + size(&first)*child }
	c.Entity.State = func(child int) int { return 10 + child }
	c.Entity.AllowedActions = few
	c.Query.BatchOperations = func(child int, _ string, _ []model.BatchOperationState, first int32, _ *string) int {
		return 10 + size(&first)*child
	}
	c.Query.PreviewBatchOperation = func(child int, _ model.PreviewBatchOperationInput) int { return 20 + child }
	c.Query.Retention = func(child int, _ string) int { return 10 + 50*child }
	c.RetentionPayload.Rules = func(child int) int { return 10 + 50*child }
	c.BatchOperation.Refusals = func(child int) int { return 10 + 100*child/5 }
	c.BatchOperation.AllowedActions = few
	c.Query.Limits = func(child int, _ string, first int32, _ *string) int { return 10 + size(&first)*child }
	c.Limit.Holders = func(child int, first int32) int { return 10 + size(&first)*(1+child) }
	c.Query.AlertRules = func(child int, _ string, first int32, _ *string) int { return 10 + size(&first)*child }
	c.Query.Webhooks = func(child int, _ string, first int32, _ *string) int { return 10 + size(&first)*child }
	c.AlertRule.Names, c.AlertRule.Webhooks = few, few
	c.Webhook.Deliveries = func(child int, first int32) int { return 10 + size(&first)*child }
	c.BatchOperationPreview.Sample = func(child int) int { return 5 + 10*child }
	c.TaskHub.FailureGroups = func(child int, _ string, first int32) int { return 50 + size(&first)*(5+child) }
	c.TaskHub.Stats = func(child int, _ string, buckets int32) int { return 200 + child + size(&buckets) }
	c.HubStats.Buckets, c.HubStats.Backlog = few, few
	c.Query.Workers = func(child int, _ string, _ []model.WorkerState, first int32, _ *string) int {
		return 10 + size(&first)*child
	}
	c.Subscription.Workers = func(child int, _ string) int { return 10 + 20*child } // upserts and leaves count by themselves
	c.Subscription.HubStats = func(child int, _, _ string, _ int32) int { return 200 + child }
	c.Subscription.BatchOperation = func(child int, _, _ string) int { return 10 + child }
	c.TaskHub.Workers = func(child int) int { return 10 + 10*child }
	c.Worker.Orchestrations, c.Worker.Activities, c.Worker.Entities = few, few, few
	c.TaskCompleted.Earlier, c.TaskFailed.Earlier = few, few
	c.WaitReason.Parts = few
	c.Orchestration.Tags, c.ExecutionStarted.Tags, c.SubOrchestrationInstanceCreated.Tags = few, few, few
	c.PurgePayload.Refused = func(child int) int { return 5 + 100*child/5 }
	return c
}
