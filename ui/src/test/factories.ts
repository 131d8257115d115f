import type { InstanceFragment, RowFragment } from "../api/gql/graphql";
import type { HistoryEvent, Live } from "../history/events";

const start = Date.parse("2026-11-22T06:14:02.000Z");

/** A time so many milliseconds after the start of the story. */
export function at(ms: number): string {
  return new Date(start + ms).toISOString().replace("Z", "000Z");
}

export function t(ms: number): number {
  return start + ms;
}

export function row(id: string, more: Partial<RowFragment> = {}): RowFragment {
  return {
    id,
    instanceId: `instance-${id}`,
    name: "OrderFulfilment",
    version: null,
    status: "RUNNING",
    generation: 0,
    createdAt: at(0),
    startedAt: at(0),
    finishedAt: null,
    lastEventAt: at(0),
    lastSeq: "1",
    doingNow: null,
    held: null,
    ...more,
  };
}

type Of<T extends HistoryEvent["__typename"]> = Extract<HistoryEvent, { __typename?: T }>;

/** An event with the parts that a test names; numbers are given in order. */
export function story(...events: { [T in NonNullable<HistoryEvent["__typename"]>]: [T, number, Partial<Of<T>>?] }[NonNullable<HistoryEvent["__typename"]>][]): HistoryEvent[] {
  return events.map(([type, ms, parts], i) => ({ ...defaults[type], ...parts, __typename: type, type, seq: String(i + 1), at: at(ms) }) as HistoryEvent);
}

const task = { taskId: 0, startedAt: null, worker: null, attempts: 1, earlier: [] };
const failure = { type: "errors", message: "no answer", stack: null, nonRetriable: false, inner: null };

const defaults: Record<NonNullable<HistoryEvent["__typename"]>, object> = {
  OrchestratorStarted: {},
  ExecutionStarted: { name: "OrderFulfilment", version: "2.4.1", executionId: "00", generation: 0, input: { size: 96 } },
  ExecutionCompleted: { status: "COMPLETED", leftOpen: [], result: null, cause: null },
  ExecutionTerminated: { reason: null },
  ExecutionSuspended: { reason: null, by: null },
  ExecutionResumed: { reason: null, by: null },
  ExecutionRewound: { reason: "mended" },
  TaskScheduled: { taskId: 0, name: "chargeCard", version: null, step: false, native: false, queue: null, priority: null, limit: null, limitKey: null, input: null },
  TaskCompleted: { ...task, result: null },
  TaskFailed: { ...task, failure },
  TimerCreated: { taskId: 0, fireAt: at(0) },
  TimerFired: { taskId: 0, fireAt: at(0) },
  SubOrchestrationInstanceCreated: { taskId: 0, instanceId: "child-1", name: "FraudReview", version: null, priority: null, tags: [], input: null },
  SubOrchestrationInstanceCompleted: { taskId: 0, result: null },
  SubOrchestrationInstanceFailed: { taskId: 0, failure },
  EventSent: { taskId: 0, instanceId: "other", name: "go", payload: null },
  EventRaised: { name: "approval", payload: { size: 4 } },
  TaskCanceled: { taskId: 0 },
  ExecutionCancelRequested: { reason: "no longer needed", by: null },
  PatchRecorded: { taskId: 0, change: "check stock" },
  EntityOperationSignaled: { taskId: 0, entityId: "@account@a", operation: "deposit", input: null, scheduledAt: null },
  EntityOperationCalled: { taskId: 0, entityId: "@account@a", operation: "deposit", input: null },
  EntityOperationCompleted: { taskId: 0, result: null },
  EntityOperationFailed: { taskId: 0, failure },
  EntityLockRequested: { taskId: 0, entities: ["@account@a", "@account@b"] },
  EntityLockGranted: { taskId: 0 },
  EntityUnlockSent: { taskId: 0, entities: ["@account@a", "@account@b"] },
};

export const running: Live = {
  status: "RUNNING",
  finishedAt: null,
  waiting: { kind: "RUNNING", text: "Runs.", parts: [], since: null, until: null, subject: null },
  pendingTasks: [],
};

export function pendingTask(more: Partial<InstanceFragment["pendingTasks"][number]>): InstanceFragment["pendingTasks"][number] {
  return { taskId: 0, name: "chargeCard", state: "QUEUED", attempt: 0, startedAt: null, nextAttemptAt: null, lastError: null, worker: null, ...more };
}
