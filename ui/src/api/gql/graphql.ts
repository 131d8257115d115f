/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** Which limit to delete. */
export type DeleteLimitInput = {
  /** The name of the task hub. */
  hub: string;
  /** Its name. */
  name: string;
};

/** The classes of errors. More may come: clients need a default. */
export type ErrorCode =
  /** The instance id is taken. */
  | 'ALREADY_EXISTS'
  /** The instance is not in a state that allows it. */
  | 'FAILED_PRECONDITION'
  /** The caller lacks a permission, which the message names. */
  | 'FORBIDDEN'
  /** A fault of the server's. */
  | 'INTERNAL'
  /** An input field is not as it must be. */
  | 'INVALID_ARGUMENT'
  /** There is no such hub or instance. */
  | 'NOT_FOUND'
  /** A value is larger than the server takes. */
  | 'TOO_LARGE'
  /** The database did not answer, or what happened is not known. The same call may succeed later. */
  | 'UNAVAILABLE';

/** The types of history events, each described where it is defined. */
export type HistoryEventType =
  | 'EntityLockGranted'
  | 'EntityLockRequested'
  | 'EntityOperationCalled'
  | 'EntityOperationCompleted'
  | 'EntityOperationFailed'
  | 'EntityOperationSignaled'
  | 'EntityUnlockSent'
  | 'EventRaised'
  | 'EventSent'
  | 'ExecutionCancelRequested'
  | 'ExecutionCompleted'
  | 'ExecutionResumed'
  | 'ExecutionRewound'
  | 'ExecutionStarted'
  | 'ExecutionSuspended'
  | 'ExecutionTerminated'
  | 'OrchestratorStarted'
  | 'PatchRecorded'
  | 'SubOrchestrationInstanceCompleted'
  | 'SubOrchestrationInstanceCreated'
  | 'SubOrchestrationInstanceFailed'
  | 'TaskCanceled'
  | 'TaskCompleted'
  | 'TaskFailed'
  | 'TaskScheduled'
  | 'TimerCreated'
  | 'TimerFired';

/**
 * What a start does when its instance id is taken. It holds under races: of several starts of one id that come together,
 * each is answered as if they had come one after another.
 */
export type IdReuseInput = {
  /**
   * The statuses in which the present instance gives way: it is deleted, and the new one takes its place in the same
   * commit. A live one (PENDING, RUNNING, SUSPENDED) is terminated by that; who allows it has to list TERMINATED too.
   */
  replace?: Array<OrchestrationStatus>;
  /** Whether to answer with the present instance where it does not give way. */
  returnExisting?: boolean;
};

/** How a caller has shown who it is. */
export type IdentityKind =
  /** A signed token of an OpenID provider. */
  | 'JWT'
  /** Not at all: this server lets everybody in. */
  | 'NOTHING'
  /** A browser's session. */
  | 'SESSION'
  /** An API token of this server. */
  | 'TOKEN';

/** What may be done with an instance. */
export type OrchestrationAction =
  /** The mutation cancelOrchestration. */
  | 'CANCEL'
  /** The mutation raiseEvent. */
  | 'RAISE_EVENT'
  /** The mutation restartOrchestration. */
  | 'RESTART'
  /** The mutation resumeOrchestration. */
  | 'RESUME'
  /** The mutation rewindOrchestration. */
  | 'REWIND'
  /** The mutation suspendOrchestration. */
  | 'SUSPEND'
  /** The mutation terminateOrchestration. */
  | 'TERMINATE';

/** Which instances. Conditions that are not given select everything. */
export type OrchestrationFilter = {
  /** Ended at this time or later. */
  completedFrom?: string | null | undefined;
  /** Ended before this time. */
  completedTo?: string | null | undefined;
  /** Created at this time or later. */
  createdFrom?: string | null | undefined;
  /** Created before this time. */
  createdTo?: string | null | undefined;
  /** Having this text in the message of its failure, in any case. */
  failureText?: string | null | undefined;
  /** Failed with this class of error, or declared failure. */
  failureType?: string | null | undefined;
  /**
   * A predicate on the input in the language of SQL/JSON paths, such as $.total > 100. Inputs over 64 KiB, and those that are
   * encrypted or no JSON, match none. No index serves it: combine it with a name, or a range of time.
   */
  input?: string | null | undefined;
  /** The beginning of the instance id, in its case. */
  instanceIdPrefix?: string | null | undefined;
  /** With one of these ids, at most 500. */
  instanceIds?: Array<string> | null | undefined;
  /** Having run at least so long, until now if it has not ended: such as 90s, 10m or 1h30m. */
  longerThan?: string | null | undefined;
  /** The exact name. */
  name?: string | null | undefined;
  /** With one of these names, at most 100; an empty list is any, here and below. */
  names?: Array<string> | null | undefined;
  /** A predicate on the output, likewise. */
  output?: string | null | undefined;
  /** Only children of this instance. */
  parentInstanceId?: string | null | undefined;
  /** Only instances that no other waits for. */
  rootsOnly?: boolean;
  /** Having run less than so long. */
  shorterThan?: string | null | undefined;
  /** Begun at this time or later. */
  startedFrom?: string | null | undefined;
  /** Begun before this time. */
  startedTo?: string | null | undefined;
  /** Any of these; an empty list is any status. */
  statuses?: Array<OrchestrationStatus> | null | undefined;
  /** Having all of these tags. */
  tags?: Array<TagInput> | null | undefined;
  /** Changed last at this time or later. */
  updatedFrom?: string | null | undefined;
  /** Changed last before this time. */
  updatedTo?: string | null | undefined;
  /** With one of these versions, at most 100; the empty one is none. */
  versions?: Array<string> | null | undefined;
};

/** How an instance stands. */
export type OrchestrationStatus =
  /** Ended by itself after it was asked to. */
  | 'CANCELED'
  /** Ended with a result. */
  | 'COMPLETED'
  /** Of a generation only: the instance itself goes on. */
  | 'CONTINUED_AS_NEW'
  /** Ended with a failure. */
  | 'FAILED'
  /** Not taken up by a worker yet, or to start later. */
  | 'PENDING'
  /** Begun, and not ended: it computes or waits. */
  | 'RUNNING'
  /** Stopped from outside, until it is resumed. */
  | 'SUSPENDED'
  /** Ended at once from outside. */
  | 'TERMINATED';

/** What the text of a value is. */
export type PayloadEncoding =
  /** Bytes that are not text, in base64. */
  | 'BASE64'
  /** JSON, as user code wrote it. */
  | 'JSON'
  /** Text that is not JSON. */
  | 'TEXT';

/** Where a pending task stands. */
export type PendingTaskState =
  /** A dead letter: it waits to be redriven. */
  | 'DEAD_LETTER'
  /** It waits to be let through its limit. */
  | 'LIMITED'
  /** No worker accepts it. */
  | 'NO_WORKER'
  /** In River's queue, for any worker that accepts it. */
  | 'QUEUED'
  /** Failed, and to be tried again. */
  | 'RETRYING'
  /** A worker runs it. */
  | 'RUNNING';

/** What a limit is to bound: concurrency, rate or both. */
export type PutLimitInput = {
  /** How many calls may be let through at once after a pause: 1 to 1000000; without it as many as rate. */
  burst?: number | null | undefined;
  /** How many calls may be under way at once, for each key: 1 to 1000000; without it no bound. */
  concurrency?: number | null | undefined;
  /** The name of the task hub. */
  hub: string;
  /** Its name, 1 to 80 characters. */
  name: string;
  /** The period of the rate, such as 500ms, 1s or 1m: 1 ms to 366 days; a second without it. */
  period?: string | null | undefined;
  /** How many calls may be let through in each period, for each key: 1 to 1000000; without it no bound. */
  rate?: number | null | undefined;
};

/** What to raise, and to which instance. */
export type RaiseEventInput = {
  /** The name of the task hub. */
  hub: string;
  /** At most 200 characters. Of several raises to one instance with the same key only the first counts. */
  idempotencyKey?: string | null | undefined;
  /** The instance to raise it to. */
  instanceId: string;
  /** The event's name, 1 to 200 characters; upper and lower case are the same. */
  name: string;
  /** Any JSON value. */
  payload?: unknown;
};

/** How to show a part of a reason. */
export type ReasonStyle =
  /** As the duration from then until now. */
  | 'DURATION_SINCE'
  /** As the text it is. */
  | 'PLAIN'
  /** As a time. */
  | 'TIME';

/** A named set of permissions. */
export type Role =
  /** Everything. */
  | 'ADMIN'
  /** READ, READ_VALUES, CONTROL, START and PURGE. */
  | 'CONTRIBUTOR'
  /** READ and CONTROL, and READ_VALUES if the server is told so: who is on call. */
  | 'OPERATOR'
  /** READ and READ_VALUES. */
  | 'READER'
  /** WORK. */
  | 'WORKER';

/** What to start. */
export type StartOrchestrationInput = {
  /** Not to be started before so long from now, such as 90s, 10m or 1h30m. It excludes startAt. */
  delay?: string | null | undefined;
  /** The name of the task hub. */
  hub: string;
  /** Any JSON value. */
  input?: unknown;
  /** 1 to 200 printable ASCII characters; without it one is made up. */
  instanceId?: string | null | undefined;
  /** The orchestration's name, 1 to 80 characters. */
  name: string;
  /**
   * Where its turns and activities stand in the queue when they have to wait: 1 goes first, 4 last; without it 2. Its children
   * have it too, unless they are given one.
   */
  priority?: number | null | undefined;
  /** What to do when the instance id is taken; without it the start is refused with ALREADY_EXISTS. Needs an instance id. */
  reuse?: IdReuseInput | null | undefined;
  /** Not to be started before; null or past means at once. */
  startAt?: string | null | undefined;
  /** Names with values to find it by, at most 32. */
  tags?: Array<TagInput> | null | undefined;
  /** The version of the code to run, at most 40 characters. */
  version?: string | null | undefined;
};

/** A name with a value, to find instances by. */
export type TagInput = {
  /** Its name, 1 to 64 bytes. */
  key: string;
  /** Its value, at most 256 bytes. */
  value: string;
};

/** Which instance to end, and why. */
export type TerminateOrchestrationInput = {
  /** The name of the task hub. */
  hub: string;
  /** The instance to end. */
  instanceId: string;
  /** Why, for the record: 1 to 2000 characters, not only blanks. */
  reason: string;
  /** Whether its children end too, and theirs, each a little after its parent. */
  recursive?: boolean;
};

/** The kinds of reasons. */
export type WaitKind =
  /** An activity or a step runs. */
  | 'ACTIVITY'
  /** Worker after worker has died of its turn, or of an activity: it waits to be redriven. */
  | 'DEAD_LETTER'
  /** It has ended. */
  | 'ENDED'
  /** It waits for an operation of an entity. */
  | 'ENTITY'
  /** It waits for an event. */
  | 'EVENT'
  /** Its turn is held. */
  | 'HELD'
  /** It waits for a limit of the hub to let its activity through. */
  | 'LIMIT'
  /** It waits for a lock of entities, or for an entity that another has locked. */
  | 'LOCK'
  /** No worker accepts its orchestration, or the activity it waits for. */
  | 'NO_WORKER'
  /** It waits for another orchestration, its child. */
  | 'ORCHESTRATION'
  /** It is due, and no worker has taken it up yet. */
  | 'QUEUED'
  /** An activity has failed and is to be tried again. */
  | 'RETRY'
  /** A worker is at it. */
  | 'RUNNING'
  /** It is to start later. */
  | 'SCHEDULED'
  /** Somebody has suspended it. */
  | 'SUSPENDED'
  /** It sleeps. */
  | 'TIMER';

/** What is known of a worker's life. */
export type WorkerState =
  /** Ended by itself, and handed over what was left. */
  | 'LEFT'
  /** Declared dead by the others; its work was given away. */
  | 'LOST'
  /** At work, as far as its heartbeat tells. */
  | 'ONLINE';

export type ServerQueryVariables = Exact<{ [key: string]: never; }>;


export type ServerQuery = { server: { version: string, deployment: string | null, identity: boolean, now: string }, viewer: { subject: string, name: string, kind: IdentityKind, roles: Array<{ hub: string, roles: Array<Role> }> }, hubs: { nodes: Array<{ id: string, name: string }> } };

export type WhoQueryVariables = Exact<{ [key: string]: never; }>;


export type WhoQuery = { viewer: { subject: string } };

export type RowFragment = { id: string, instanceId: string, name: string, version: string | null, status: OrchestrationStatus, generation: number, createdAt: string, startedAt: string | null, finishedAt: string | null, lastEventAt: string, lastSeq: string, doingNow: string | null, held: { kind: string } | null };

export type ListQueryVariables = Exact<{
  hub: string;
  filter?: OrchestrationFilter | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type ListQuery = { orchestrations: { nodes: Array<{ id: string, instanceId: string, name: string, version: string | null, status: OrchestrationStatus, generation: number, createdAt: string, startedAt: string | null, finishedAt: string | null, lastEventAt: string, lastSeq: string, doingNow: string | null, held: { kind: string } | null }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type CountsQueryVariables = Exact<{
  hub: string;
  filter?: OrchestrationFilter | null | undefined;
}>;


export type CountsQuery = { orchestrations: { statusCounts: { all: number, pending: number, running: number, suspended: number, completed: number, failed: number, canceled: number, terminated: number, exact: boolean } } };

export type ChangesSubscriptionVariables = Exact<{
  hub: string;
  filter?: OrchestrationFilter | null | undefined;
  first: number;
}>;


export type ChangesSubscription = { orchestrationChanges: { seq: number, reset: boolean, leaves: Array<string>, upserts: Array<{ id: string, instanceId: string, name: string, version: string | null, status: OrchestrationStatus, generation: number, createdAt: string, startedAt: string | null, finishedAt: string | null, lastEventAt: string, lastSeq: string, doingNow: string | null, held: { kind: string } | null }> } };

export type FailurePartsFragment = { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null };

export type InstanceFragment = { id: string, instanceId: string, executionId: string, name: string, version: string | null, status: OrchestrationStatus, generation: number, createdAt: string, startedAt: string | null, finishedAt: string | null, scheduledAt: string | null, lastEventAt: string, firstSeq: string, lastSeq: string, allowedActions: Array<OrchestrationAction>, priority: number, doingNow: string | null, waiting: { kind: WaitKind, text: string, since: string | null, until: string | null, subject: string | null, parts: Array<{ text: string | null, strong: boolean, at: string | null, style: ReasonStyle }> }, held: { kind: string, message: string, step: number | null, expected: string | null, actual: string | null, stack: string | null, build: string | null } | null, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } | null, parent: { instanceId: string, name: string } | null, pendingTasks: Array<{ taskId: number, name: string, state: PendingTaskState, attempt: number, startedAt: string | null, nextAttemptAt: string | null, lastError: string | null, worker: string | null }> };

export type InstanceNowQueryVariables = Exact<{
  hub: string;
  id: string;
}>;


export type InstanceNowQuery = { orchestration: { id: string, instanceId: string, executionId: string, name: string, version: string | null, status: OrchestrationStatus, generation: number, createdAt: string, startedAt: string | null, finishedAt: string | null, scheduledAt: string | null, lastEventAt: string, firstSeq: string, lastSeq: string, allowedActions: Array<OrchestrationAction>, priority: number, doingNow: string | null, waiting: { kind: WaitKind, text: string, since: string | null, until: string | null, subject: string | null, parts: Array<{ text: string | null, strong: boolean, at: string | null, style: ReasonStyle }> }, held: { kind: string, message: string, step: number | null, expected: string | null, actual: string | null, stack: string | null, build: string | null } | null, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } | null, parent: { instanceId: string, name: string } | null, pendingTasks: Array<{ taskId: number, name: string, state: PendingTaskState, attempt: number, startedAt: string | null, nextAttemptAt: string | null, lastError: string | null, worker: string | null }> } | null };

export type InstanceChangesSubscriptionVariables = Exact<{
  hub: string;
  id: string;
}>;


export type InstanceChangesSubscription = { orchestration: { id: string, instanceId: string, executionId: string, name: string, version: string | null, status: OrchestrationStatus, generation: number, createdAt: string, startedAt: string | null, finishedAt: string | null, scheduledAt: string | null, lastEventAt: string, firstSeq: string, lastSeq: string, allowedActions: Array<OrchestrationAction>, priority: number, doingNow: string | null, waiting: { kind: WaitKind, text: string, since: string | null, until: string | null, subject: string | null, parts: Array<{ text: string | null, strong: boolean, at: string | null, style: ReasonStyle }> }, held: { kind: string, message: string, step: number | null, expected: string | null, actual: string | null, stack: string | null, build: string | null } | null, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } | null, parent: { instanceId: string, name: string } | null, pendingTasks: Array<{ taskId: number, name: string, state: PendingTaskState, attempt: number, startedAt: string | null, nextAttemptAt: string | null, lastError: string | null, worker: string | null }> } };

type Event_EntityLockGranted_Fragment = { __typename: 'EntityLockGranted', taskId: number, seq: string, at: string, type: HistoryEventType };

type Event_EntityLockRequested_Fragment = { __typename: 'EntityLockRequested', taskId: number, entities: Array<string>, seq: string, at: string, type: HistoryEventType };

type Event_EntityOperationCalled_Fragment = { __typename: 'EntityOperationCalled', taskId: number, entityId: string, operation: string, seq: string, at: string, type: HistoryEventType, input: { size: number } | null };

type Event_EntityOperationCompleted_Fragment = { __typename: 'EntityOperationCompleted', taskId: number, seq: string, at: string, type: HistoryEventType, result: { size: number } | null };

type Event_EntityOperationFailed_Fragment = { __typename: 'EntityOperationFailed', taskId: number, seq: string, at: string, type: HistoryEventType, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } };

type Event_EntityOperationSignaled_Fragment = { __typename: 'EntityOperationSignaled', taskId: number, entityId: string, operation: string, scheduledAt: string | null, seq: string, at: string, type: HistoryEventType, input: { size: number } | null };

type Event_EntityUnlockSent_Fragment = { __typename: 'EntityUnlockSent', taskId: number, entities: Array<string>, seq: string, at: string, type: HistoryEventType };

type Event_EventRaised_Fragment = { __typename: 'EventRaised', name: string, seq: string, at: string, type: HistoryEventType, payload: { size: number } | null };

type Event_EventSent_Fragment = { __typename: 'EventSent', taskId: number, instanceId: string, name: string, seq: string, at: string, type: HistoryEventType, payload: { size: number } | null };

type Event_ExecutionCancelRequested_Fragment = { __typename: 'ExecutionCancelRequested', reason: string | null, by: string | null, seq: string, at: string, type: HistoryEventType };

type Event_ExecutionCompleted_Fragment = { __typename: 'ExecutionCompleted', status: OrchestrationStatus, leftOpen: Array<number>, seq: string, at: string, type: HistoryEventType, result: { size: number } | null, cause: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } | null };

type Event_ExecutionResumed_Fragment = { __typename: 'ExecutionResumed', reason: string | null, by: string | null, seq: string, at: string, type: HistoryEventType };

type Event_ExecutionRewound_Fragment = { __typename: 'ExecutionRewound', reason: string | null, seq: string, at: string, type: HistoryEventType };

type Event_ExecutionStarted_Fragment = { __typename: 'ExecutionStarted', name: string, version: string | null, executionId: string, generation: number, seq: string, at: string, type: HistoryEventType, input: { size: number } | null };

type Event_ExecutionSuspended_Fragment = { __typename: 'ExecutionSuspended', reason: string | null, by: string | null, seq: string, at: string, type: HistoryEventType };

type Event_ExecutionTerminated_Fragment = { __typename: 'ExecutionTerminated', reason: string | null, seq: string, at: string, type: HistoryEventType };

type Event_OrchestratorStarted_Fragment = { __typename: 'OrchestratorStarted', seq: string, at: string, type: HistoryEventType };

type Event_PatchRecorded_Fragment = { __typename: 'PatchRecorded', taskId: number, change: string, seq: string, at: string, type: HistoryEventType };

type Event_SubOrchestrationInstanceCompleted_Fragment = { __typename: 'SubOrchestrationInstanceCompleted', taskId: number, seq: string, at: string, type: HistoryEventType, result: { size: number } | null };

type Event_SubOrchestrationInstanceCreated_Fragment = { __typename: 'SubOrchestrationInstanceCreated', taskId: number, instanceId: string, name: string, version: string | null, priority: number | null, seq: string, at: string, type: HistoryEventType, tags: Array<{ key: string, value: string }>, input: { size: number } | null };

type Event_SubOrchestrationInstanceFailed_Fragment = { __typename: 'SubOrchestrationInstanceFailed', taskId: number, seq: string, at: string, type: HistoryEventType, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } };

type Event_TaskCanceled_Fragment = { __typename: 'TaskCanceled', taskId: number, seq: string, at: string, type: HistoryEventType };

type Event_TaskCompleted_Fragment = { __typename: 'TaskCompleted', taskId: number, startedAt: string | null, worker: string | null, attempts: number, seq: string, at: string, type: HistoryEventType, earlier: Array<{ n: number, startedAt: string, endedAt: string, type: string | null, message: string }>, result: { size: number } | null };

type Event_TaskFailed_Fragment = { __typename: 'TaskFailed', taskId: number, startedAt: string | null, worker: string | null, attempts: number, seq: string, at: string, type: HistoryEventType, earlier: Array<{ n: number, startedAt: string, endedAt: string, type: string | null, message: string }>, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } };

type Event_TaskScheduled_Fragment = { __typename: 'TaskScheduled', taskId: number, name: string, version: string | null, step: boolean, native: boolean, queue: string | null, priority: number | null, limit: string | null, limitKey: string | null, seq: string, at: string, type: HistoryEventType, input: { size: number } | null };

type Event_TimerCreated_Fragment = { __typename: 'TimerCreated', taskId: number, fireAt: string, seq: string, at: string, type: HistoryEventType };

type Event_TimerFired_Fragment = { __typename: 'TimerFired', taskId: number, fireAt: string, seq: string, at: string, type: HistoryEventType };

export type EventFragment =
  | Event_EntityLockGranted_Fragment
  | Event_EntityLockRequested_Fragment
  | Event_EntityOperationCalled_Fragment
  | Event_EntityOperationCompleted_Fragment
  | Event_EntityOperationFailed_Fragment
  | Event_EntityOperationSignaled_Fragment
  | Event_EntityUnlockSent_Fragment
  | Event_EventRaised_Fragment
  | Event_EventSent_Fragment
  | Event_ExecutionCancelRequested_Fragment
  | Event_ExecutionCompleted_Fragment
  | Event_ExecutionResumed_Fragment
  | Event_ExecutionRewound_Fragment
  | Event_ExecutionStarted_Fragment
  | Event_ExecutionSuspended_Fragment
  | Event_ExecutionTerminated_Fragment
  | Event_OrchestratorStarted_Fragment
  | Event_PatchRecorded_Fragment
  | Event_SubOrchestrationInstanceCompleted_Fragment
  | Event_SubOrchestrationInstanceCreated_Fragment
  | Event_SubOrchestrationInstanceFailed_Fragment
  | Event_TaskCanceled_Fragment
  | Event_TaskCompleted_Fragment
  | Event_TaskFailed_Fragment
  | Event_TaskScheduled_Fragment
  | Event_TimerCreated_Fragment
  | Event_TimerFired_Fragment
;

export type HistorySubscriptionVariables = Exact<{
  hub: string;
  id: string;
  after: string;
}>;


export type HistorySubscription = { history: { lastSeq: string, hasMore: boolean, reset: boolean, events: Array<
      | { __typename: 'EntityLockGranted', taskId: number, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'EntityLockRequested', taskId: number, entities: Array<string>, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'EntityOperationCalled', taskId: number, entityId: string, operation: string, seq: string, at: string, type: HistoryEventType, input: { size: number } | null }
      | { __typename: 'EntityOperationCompleted', taskId: number, seq: string, at: string, type: HistoryEventType, result: { size: number } | null }
      | { __typename: 'EntityOperationFailed', taskId: number, seq: string, at: string, type: HistoryEventType, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } }
      | { __typename: 'EntityOperationSignaled', taskId: number, entityId: string, operation: string, scheduledAt: string | null, seq: string, at: string, type: HistoryEventType, input: { size: number } | null }
      | { __typename: 'EntityUnlockSent', taskId: number, entities: Array<string>, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'EventRaised', name: string, seq: string, at: string, type: HistoryEventType, payload: { size: number } | null }
      | { __typename: 'EventSent', taskId: number, instanceId: string, name: string, seq: string, at: string, type: HistoryEventType, payload: { size: number } | null }
      | { __typename: 'ExecutionCancelRequested', reason: string | null, by: string | null, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'ExecutionCompleted', status: OrchestrationStatus, leftOpen: Array<number>, seq: string, at: string, type: HistoryEventType, result: { size: number } | null, cause: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } | null }
      | { __typename: 'ExecutionResumed', reason: string | null, by: string | null, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'ExecutionRewound', reason: string | null, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'ExecutionStarted', name: string, version: string | null, executionId: string, generation: number, seq: string, at: string, type: HistoryEventType, input: { size: number } | null }
      | { __typename: 'ExecutionSuspended', reason: string | null, by: string | null, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'ExecutionTerminated', reason: string | null, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'OrchestratorStarted', seq: string, at: string, type: HistoryEventType }
      | { __typename: 'PatchRecorded', taskId: number, change: string, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'SubOrchestrationInstanceCompleted', taskId: number, seq: string, at: string, type: HistoryEventType, result: { size: number } | null }
      | { __typename: 'SubOrchestrationInstanceCreated', taskId: number, instanceId: string, name: string, version: string | null, priority: number | null, seq: string, at: string, type: HistoryEventType, tags: Array<{ key: string, value: string }>, input: { size: number } | null }
      | { __typename: 'SubOrchestrationInstanceFailed', taskId: number, seq: string, at: string, type: HistoryEventType, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } }
      | { __typename: 'TaskCanceled', taskId: number, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'TaskCompleted', taskId: number, startedAt: string | null, worker: string | null, attempts: number, seq: string, at: string, type: HistoryEventType, earlier: Array<{ n: number, startedAt: string, endedAt: string, type: string | null, message: string }>, result: { size: number } | null }
      | { __typename: 'TaskFailed', taskId: number, startedAt: string | null, worker: string | null, attempts: number, seq: string, at: string, type: HistoryEventType, earlier: Array<{ n: number, startedAt: string, endedAt: string, type: string | null, message: string }>, failure: { type: string, message: string, stack: string | null, nonRetriable: boolean, inner: { type: string, message: string, stack: string | null, inner: { type: string, message: string, stack: string | null } | null } | null } }
      | { __typename: 'TaskScheduled', taskId: number, name: string, version: string | null, step: boolean, native: boolean, queue: string | null, priority: number | null, limit: string | null, limitKey: string | null, seq: string, at: string, type: HistoryEventType, input: { size: number } | null }
      | { __typename: 'TimerCreated', taskId: number, fireAt: string, seq: string, at: string, type: HistoryEventType }
      | { __typename: 'TimerFired', taskId: number, fireAt: string, seq: string, at: string, type: HistoryEventType }
    > } };

export type PayloadTextFragment = { size: number, encoding: PayloadEncoding, text: string, truncated: boolean };

export type EventPayloadQueryVariables = Exact<{
  hub: string;
  id: string;
  after: string;
}>;


export type EventPayloadQuery = { orchestration: { history: { events: Array<
        | { __typename: 'EntityLockGranted', seq: string }
        | { __typename: 'EntityLockRequested', seq: string }
        | { __typename: 'EntityOperationCalled', seq: string }
        | { __typename: 'EntityOperationCompleted', seq: string }
        | { __typename: 'EntityOperationFailed', seq: string }
        | { __typename: 'EntityOperationSignaled', seq: string }
        | { __typename: 'EntityUnlockSent', seq: string }
        | { __typename: 'EventRaised', seq: string, payload: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'EventSent', seq: string, payload: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'ExecutionCancelRequested', seq: string }
        | { __typename: 'ExecutionCompleted', seq: string, result: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'ExecutionResumed', seq: string }
        | { __typename: 'ExecutionRewound', seq: string }
        | { __typename: 'ExecutionStarted', seq: string, input: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'ExecutionSuspended', seq: string }
        | { __typename: 'ExecutionTerminated', seq: string }
        | { __typename: 'OrchestratorStarted', seq: string }
        | { __typename: 'PatchRecorded', seq: string }
        | { __typename: 'SubOrchestrationInstanceCompleted', seq: string, result: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'SubOrchestrationInstanceCreated', seq: string, input: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'SubOrchestrationInstanceFailed', seq: string }
        | { __typename: 'TaskCanceled', seq: string }
        | { __typename: 'TaskCompleted', seq: string, result: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'TaskFailed', seq: string }
        | { __typename: 'TaskScheduled', seq: string, input: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }
        | { __typename: 'TimerCreated', seq: string }
        | { __typename: 'TimerFired', seq: string }
      > } } | null };

export type InputOutputQueryVariables = Exact<{
  hub: string;
  id: string;
}>;


export type InputOutputQuery = { orchestration: { id: string, input: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null, output: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null, customStatus: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null } | null };

export type RecordFragment = { seq: string, at: string, generation: number, taskId: number | null, name: string | null, attempt: number | null, value: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null };

export type ProgressSubscriptionVariables = Exact<{
  hub: string;
  id: string;
  after: string;
}>;


export type ProgressSubscription = { progressAppended: { lastSeq: string, hasMore: boolean, reset: boolean, records: Array<{ seq: string, at: string, generation: number, taskId: number | null, name: string | null, attempt: number | null, value: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null }> } };

export type ProgressValueQueryVariables = Exact<{
  hub: string;
  id: string;
  seq: string;
}>;


export type ProgressValueQuery = { orchestration: { id: string, progressRecord: { seq: string, value: { size: number, encoding: PayloadEncoding, text: string, truncated: boolean } | null } | null } | null };

export type LimitPartsFragment = { name: string, defined: boolean, concurrency: number | null, rate: number | null, period: string | null, burst: number | null, holding: number, waiting: number, updatedAt: string | null };

export type LimitsQueryVariables = Exact<{
  hub: string;
  after?: string | null | undefined;
}>;


export type LimitsQuery = { limits: { nodes: Array<{ name: string, defined: boolean, concurrency: number | null, rate: number | null, period: string | null, burst: number | null, holding: number, waiting: number, updatedAt: string | null }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type LimitHoldersQueryVariables = Exact<{
  hub: string;
  name: string;
}>;


export type LimitHoldersQuery = { limit: { name: string, defined: boolean, concurrency: number | null, rate: number | null, period: string | null, burst: number | null, holding: number, waiting: number, updatedAt: string | null, holders: Array<{ instanceId: string, generation: number, taskId: number, key: string | null, since: string }> } | null };

export type PutLimitMutationVariables = Exact<{
  input: PutLimitInput;
}>;


export type PutLimitMutation = { putLimit: { requestId: string, limit: { name: string, defined: boolean, concurrency: number | null, rate: number | null, period: string | null, burst: number | null, holding: number, waiting: number, updatedAt: string | null } | null, errors: Array<{ code: ErrorCode, message: string, path: Array<string>, retryable: boolean }> } };

export type DeleteLimitMutationVariables = Exact<{
  input: DeleteLimitInput;
}>;


export type DeleteLimitMutation = { deleteLimit: { requestId: string, limit: { name: string } | null, errors: Array<{ code: ErrorCode, message: string, path: Array<string>, retryable: boolean }> } };

export type WorkersQueryVariables = Exact<{
  hub: string;
}>;


export type WorkersQuery = { hub: { id: string, workers: Array<{ id: string, name: string, state: WorkerState, startedAt: string, orchestrations: Array<{ name: string, version: string | null }> }> } | null };

export type StartMutationVariables = Exact<{
  input: StartOrchestrationInput;
}>;


export type StartMutation = { startOrchestration: { requestId: string, orchestration: { id: string, instanceId: string } | null, errors: Array<{ code: ErrorCode, message: string, path: Array<string>, retryable: boolean }> } };

export type RaiseMutationVariables = Exact<{
  input: RaiseEventInput;
}>;


export type RaiseMutation = { raiseEvent: { requestId: string, orchestration: { id: string } | null, errors: Array<{ code: ErrorCode, message: string, path: Array<string>, retryable: boolean }> } };

export type TerminateMutationVariables = Exact<{
  input: TerminateOrchestrationInput;
}>;


export type TerminateMutation = { terminateOrchestration: { requestId: string, orchestration: { id: string } | null, errors: Array<{ code: ErrorCode, message: string, path: Array<string>, retryable: boolean }> } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const RowFragmentDoc = new TypedDocumentString(`
    fragment Row on Orchestration {
  id
  instanceId
  name
  version
  status
  generation
  createdAt
  startedAt
  finishedAt
  lastEventAt
  lastSeq
  doingNow
  held {
    kind
  }
}
    `, {"fragmentName":"Row"}) as unknown as TypedDocumentString<RowFragment, unknown>;
export const FailurePartsFragmentDoc = new TypedDocumentString(`
    fragment FailureParts on Failure {
  type
  message
  stack
  nonRetriable
  inner {
    type
    message
    stack
    inner {
      type
      message
      stack
    }
  }
}
    `, {"fragmentName":"FailureParts"}) as unknown as TypedDocumentString<FailurePartsFragment, unknown>;
export const InstanceFragmentDoc = new TypedDocumentString(`
    fragment Instance on Orchestration {
  id
  instanceId
  executionId
  name
  version
  status
  generation
  createdAt
  startedAt
  finishedAt
  scheduledAt
  lastEventAt
  firstSeq
  lastSeq
  allowedActions
  priority
  doingNow
  waiting {
    kind
    text
    parts {
      text
      strong
      at
      style
    }
    since
    until
    subject
  }
  held {
    kind
    message
    step
    expected
    actual
    stack
    build
  }
  failure {
    ...FailureParts
  }
  parent {
    instanceId
    name
  }
  pendingTasks {
    taskId
    name
    state
    attempt
    startedAt
    nextAttemptAt
    lastError
    worker
  }
}
    fragment FailureParts on Failure {
  type
  message
  stack
  nonRetriable
  inner {
    type
    message
    stack
    inner {
      type
      message
      stack
    }
  }
}`, {"fragmentName":"Instance"}) as unknown as TypedDocumentString<InstanceFragment, unknown>;
export const EventFragmentDoc = new TypedDocumentString(`
    fragment Event on HistoryEvent {
  __typename
  seq
  at
  type
  ... on ExecutionStarted {
    name
    version
    executionId
    generation
    input {
      size
    }
  }
  ... on ExecutionCompleted {
    status
    leftOpen
    result {
      size
    }
    cause: failure {
      ...FailureParts
    }
  }
  ... on ExecutionTerminated {
    reason
  }
  ... on ExecutionSuspended {
    reason
    by
  }
  ... on ExecutionResumed {
    reason
    by
  }
  ... on TaskScheduled {
    taskId
    name
    version
    step
    native
    queue
    priority
    limit
    limitKey
    input {
      size
    }
  }
  ... on TaskCompleted {
    taskId
    startedAt
    worker
    attempts
    earlier {
      n
      startedAt
      endedAt
      type
      message
    }
    result {
      size
    }
  }
  ... on TaskFailed {
    taskId
    startedAt
    worker
    attempts
    earlier {
      n
      startedAt
      endedAt
      type
      message
    }
    failure {
      ...FailureParts
    }
  }
  ... on TimerCreated {
    taskId
    fireAt
  }
  ... on TimerFired {
    taskId
    fireAt
  }
  ... on SubOrchestrationInstanceCreated {
    taskId
    instanceId
    name
    version
    priority
    tags {
      key
      value
    }
    input {
      size
    }
  }
  ... on SubOrchestrationInstanceCompleted {
    taskId
    result {
      size
    }
  }
  ... on SubOrchestrationInstanceFailed {
    taskId
    failure {
      ...FailureParts
    }
  }
  ... on EventSent {
    taskId
    instanceId
    name
    payload {
      size
    }
  }
  ... on EventRaised {
    name
    payload {
      size
    }
  }
  ... on PatchRecorded {
    taskId
    change
  }
  ... on TaskCanceled {
    taskId
  }
  ... on ExecutionCancelRequested {
    reason
    by
  }
  ... on ExecutionRewound {
    reason
  }
  ... on EntityOperationSignaled {
    taskId
    entityId
    operation
    scheduledAt
    input {
      size
    }
  }
  ... on EntityOperationCalled {
    taskId
    entityId
    operation
    input {
      size
    }
  }
  ... on EntityOperationCompleted {
    taskId
    result {
      size
    }
  }
  ... on EntityOperationFailed {
    taskId
    failure {
      ...FailureParts
    }
  }
  ... on EntityLockRequested {
    taskId
    entities
  }
  ... on EntityLockGranted {
    taskId
  }
  ... on EntityUnlockSent {
    taskId
    entities
  }
}
    fragment FailureParts on Failure {
  type
  message
  stack
  nonRetriable
  inner {
    type
    message
    stack
    inner {
      type
      message
      stack
    }
  }
}`, {"fragmentName":"Event"}) as unknown as TypedDocumentString<EventFragment, unknown>;
export const PayloadTextFragmentDoc = new TypedDocumentString(`
    fragment PayloadText on Payload {
  size
  encoding
  text
  truncated
}
    `, {"fragmentName":"PayloadText"}) as unknown as TypedDocumentString<PayloadTextFragment, unknown>;
export const RecordFragmentDoc = new TypedDocumentString(`
    fragment Record on ProgressRecord {
  seq
  at
  generation
  taskId
  name
  attempt
  value {
    size
    encoding
    text(maxBytes: 240)
    truncated(maxBytes: 240)
  }
}
    `, {"fragmentName":"Record"}) as unknown as TypedDocumentString<RecordFragment, unknown>;
export const LimitPartsFragmentDoc = new TypedDocumentString(`
    fragment LimitParts on Limit {
  name
  defined
  concurrency
  rate
  period
  burst
  holding
  waiting
  updatedAt
}
    `, {"fragmentName":"LimitParts"}) as unknown as TypedDocumentString<LimitPartsFragment, unknown>;
export const ServerDocument = new TypedDocumentString(`
    query Server {
  server {
    version
    deployment
    identity
    now
  }
  viewer {
    subject
    name
    kind
    roles {
      hub
      roles
    }
  }
  hubs(first: 200) {
    nodes {
      id
      name
    }
  }
}
    `, {"hash":"sha256:7155dd6da777f9396c43212697d5a957ad558a6551942a48a3a449dfaf5f6ab5"}) as unknown as TypedDocumentString<ServerQuery, ServerQueryVariables>;
export const WhoDocument = new TypedDocumentString(`
    query Who {
  viewer {
    subject
  }
}
    `, {"hash":"sha256:9678c42d282cae060662b58741c6c3b4d2db3bfd99896b954a9fc290185bf361"}) as unknown as TypedDocumentString<WhoQuery, WhoQueryVariables>;
export const ListDocument = new TypedDocumentString(`
    query List($hub: String!, $filter: OrchestrationFilter, $first: Int!, $after: String) {
  orchestrations(hub: $hub, filter: $filter, first: $first, after: $after) {
    nodes {
      ...Row
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment Row on Orchestration {
  id
  instanceId
  name
  version
  status
  generation
  createdAt
  startedAt
  finishedAt
  lastEventAt
  lastSeq
  doingNow
  held {
    kind
  }
}`, {"hash":"sha256:cb8b5b8f5cf934956f09633755b6295e5207abbc6befd3745c65fc893f9e2a9b"}) as unknown as TypedDocumentString<ListQuery, ListQueryVariables>;
export const CountsDocument = new TypedDocumentString(`
    query Counts($hub: String!, $filter: OrchestrationFilter) {
  orchestrations(hub: $hub, filter: $filter, first: 0) {
    statusCounts {
      all
      pending
      running
      suspended
      completed
      failed
      canceled
      terminated
      exact
    }
  }
}
    `, {"hash":"sha256:5e4c40625ff0a2ad0d59b191a6001ee2231c99db66ae910e63d3378e91240dad"}) as unknown as TypedDocumentString<CountsQuery, CountsQueryVariables>;
export const ChangesDocument = new TypedDocumentString(`
    subscription Changes($hub: String!, $filter: OrchestrationFilter, $first: Int!) {
  orchestrationChanges(hub: $hub, filter: $filter, first: $first) {
    seq
    reset
    upserts {
      ...Row
    }
    leaves
  }
}
    fragment Row on Orchestration {
  id
  instanceId
  name
  version
  status
  generation
  createdAt
  startedAt
  finishedAt
  lastEventAt
  lastSeq
  doingNow
  held {
    kind
  }
}`, {"hash":"sha256:c692f4396405022ac490a7c1eb077d48173b4bb9ca0c65257e101ba01ac70faa"}) as unknown as TypedDocumentString<ChangesSubscription, ChangesSubscriptionVariables>;
export const InstanceNowDocument = new TypedDocumentString(`
    query InstanceNow($hub: String!, $id: String!) {
  orchestration(hub: $hub, instanceId: $id) {
    ...Instance
  }
}
    fragment FailureParts on Failure {
  type
  message
  stack
  nonRetriable
  inner {
    type
    message
    stack
    inner {
      type
      message
      stack
    }
  }
}
fragment Instance on Orchestration {
  id
  instanceId
  executionId
  name
  version
  status
  generation
  createdAt
  startedAt
  finishedAt
  scheduledAt
  lastEventAt
  firstSeq
  lastSeq
  allowedActions
  priority
  doingNow
  waiting {
    kind
    text
    parts {
      text
      strong
      at
      style
    }
    since
    until
    subject
  }
  held {
    kind
    message
    step
    expected
    actual
    stack
    build
  }
  failure {
    ...FailureParts
  }
  parent {
    instanceId
    name
  }
  pendingTasks {
    taskId
    name
    state
    attempt
    startedAt
    nextAttemptAt
    lastError
    worker
  }
}`, {"hash":"sha256:78fa9d3ff59a075f955820abb3fe74a1e36de666c8d9c88667d3a38423b26783"}) as unknown as TypedDocumentString<InstanceNowQuery, InstanceNowQueryVariables>;
export const InstanceChangesDocument = new TypedDocumentString(`
    subscription InstanceChanges($hub: String!, $id: String!) {
  orchestration(hub: $hub, instanceId: $id) {
    ...Instance
  }
}
    fragment FailureParts on Failure {
  type
  message
  stack
  nonRetriable
  inner {
    type
    message
    stack
    inner {
      type
      message
      stack
    }
  }
}
fragment Instance on Orchestration {
  id
  instanceId
  executionId
  name
  version
  status
  generation
  createdAt
  startedAt
  finishedAt
  scheduledAt
  lastEventAt
  firstSeq
  lastSeq
  allowedActions
  priority
  doingNow
  waiting {
    kind
    text
    parts {
      text
      strong
      at
      style
    }
    since
    until
    subject
  }
  held {
    kind
    message
    step
    expected
    actual
    stack
    build
  }
  failure {
    ...FailureParts
  }
  parent {
    instanceId
    name
  }
  pendingTasks {
    taskId
    name
    state
    attempt
    startedAt
    nextAttemptAt
    lastError
    worker
  }
}`, {"hash":"sha256:a241da2cc9a270d24b99c39aa2639e99445bb4eaa2b175182e6cda2812632210"}) as unknown as TypedDocumentString<InstanceChangesSubscription, InstanceChangesSubscriptionVariables>;
export const HistoryDocument = new TypedDocumentString(`
    subscription History($hub: String!, $id: String!, $after: Long!) {
  history(hub: $hub, instanceId: $id, after: $after) {
    events {
      ...Event
    }
    lastSeq
    hasMore
    reset
  }
}
    fragment FailureParts on Failure {
  type
  message
  stack
  nonRetriable
  inner {
    type
    message
    stack
    inner {
      type
      message
      stack
    }
  }
}
fragment Event on HistoryEvent {
  __typename
  seq
  at
  type
  ... on ExecutionStarted {
    name
    version
    executionId
    generation
    input {
      size
    }
  }
  ... on ExecutionCompleted {
    status
    leftOpen
    result {
      size
    }
    cause: failure {
      ...FailureParts
    }
  }
  ... on ExecutionTerminated {
    reason
  }
  ... on ExecutionSuspended {
    reason
    by
  }
  ... on ExecutionResumed {
    reason
    by
  }
  ... on TaskScheduled {
    taskId
    name
    version
    step
    native
    queue
    priority
    limit
    limitKey
    input {
      size
    }
  }
  ... on TaskCompleted {
    taskId
    startedAt
    worker
    attempts
    earlier {
      n
      startedAt
      endedAt
      type
      message
    }
    result {
      size
    }
  }
  ... on TaskFailed {
    taskId
    startedAt
    worker
    attempts
    earlier {
      n
      startedAt
      endedAt
      type
      message
    }
    failure {
      ...FailureParts
    }
  }
  ... on TimerCreated {
    taskId
    fireAt
  }
  ... on TimerFired {
    taskId
    fireAt
  }
  ... on SubOrchestrationInstanceCreated {
    taskId
    instanceId
    name
    version
    priority
    tags {
      key
      value
    }
    input {
      size
    }
  }
  ... on SubOrchestrationInstanceCompleted {
    taskId
    result {
      size
    }
  }
  ... on SubOrchestrationInstanceFailed {
    taskId
    failure {
      ...FailureParts
    }
  }
  ... on EventSent {
    taskId
    instanceId
    name
    payload {
      size
    }
  }
  ... on EventRaised {
    name
    payload {
      size
    }
  }
  ... on PatchRecorded {
    taskId
    change
  }
  ... on TaskCanceled {
    taskId
  }
  ... on ExecutionCancelRequested {
    reason
    by
  }
  ... on ExecutionRewound {
    reason
  }
  ... on EntityOperationSignaled {
    taskId
    entityId
    operation
    scheduledAt
    input {
      size
    }
  }
  ... on EntityOperationCalled {
    taskId
    entityId
    operation
    input {
      size
    }
  }
  ... on EntityOperationCompleted {
    taskId
    result {
      size
    }
  }
  ... on EntityOperationFailed {
    taskId
    failure {
      ...FailureParts
    }
  }
  ... on EntityLockRequested {
    taskId
    entities
  }
  ... on EntityLockGranted {
    taskId
  }
  ... on EntityUnlockSent {
    taskId
    entities
  }
}`, {"hash":"sha256:b2014c12a68467e09f250bba55bf996cf3541faa910e68cde29bb122551c6135"}) as unknown as TypedDocumentString<HistorySubscription, HistorySubscriptionVariables>;
export const EventPayloadDocument = new TypedDocumentString(`
    query EventPayload($hub: String!, $id: String!, $after: Long!) {
  orchestration(hub: $hub, instanceId: $id) {
    history(after: $after, first: 1) {
      events {
        __typename
        seq
        ... on ExecutionStarted {
          input {
            ...PayloadText
          }
        }
        ... on ExecutionCompleted {
          result {
            ...PayloadText
          }
        }
        ... on TaskScheduled {
          input {
            ...PayloadText
          }
        }
        ... on TaskCompleted {
          result {
            ...PayloadText
          }
        }
        ... on SubOrchestrationInstanceCreated {
          input {
            ...PayloadText
          }
        }
        ... on SubOrchestrationInstanceCompleted {
          result {
            ...PayloadText
          }
        }
        ... on EventSent {
          payload {
            ...PayloadText
          }
        }
        ... on EventRaised {
          payload {
            ...PayloadText
          }
        }
      }
    }
  }
}
    fragment PayloadText on Payload {
  size
  encoding
  text
  truncated
}`, {"hash":"sha256:9aa53a83fbc9e1b21d49e4206e39bab6640ebb0f228fa7c9cedd459c23014f8d"}) as unknown as TypedDocumentString<EventPayloadQuery, EventPayloadQueryVariables>;
export const InputOutputDocument = new TypedDocumentString(`
    query InputOutput($hub: String!, $id: String!) {
  orchestration(hub: $hub, instanceId: $id) {
    id
    input {
      ...PayloadText
    }
    output {
      ...PayloadText
    }
    customStatus {
      ...PayloadText
    }
  }
}
    fragment PayloadText on Payload {
  size
  encoding
  text
  truncated
}`, {"hash":"sha256:3fb7795dbbc3e148d7350b6eafaa69a2fdaa8f647e3da5bbc77b1fecbcf99a33"}) as unknown as TypedDocumentString<InputOutputQuery, InputOutputQueryVariables>;
export const ProgressDocument = new TypedDocumentString(`
    subscription Progress($hub: String!, $id: String!, $after: Long!) {
  progressAppended(hub: $hub, instanceId: $id, after: $after) {
    records {
      ...Record
    }
    lastSeq
    hasMore
    reset
  }
}
    fragment Record on ProgressRecord {
  seq
  at
  generation
  taskId
  name
  attempt
  value {
    size
    encoding
    text(maxBytes: 240)
    truncated(maxBytes: 240)
  }
}`, {"hash":"sha256:18ccef37637a1c19b3940733d14ec08da3b76d31960e79d742ae9898906ead97"}) as unknown as TypedDocumentString<ProgressSubscription, ProgressSubscriptionVariables>;
export const ProgressValueDocument = new TypedDocumentString(`
    query ProgressValue($hub: String!, $id: String!, $seq: Long!) {
  orchestration(hub: $hub, instanceId: $id) {
    id
    progressRecord(seq: $seq) {
      seq
      value {
        ...PayloadText
      }
    }
  }
}
    fragment PayloadText on Payload {
  size
  encoding
  text
  truncated
}`, {"hash":"sha256:de8a3eba8f3e1fec4fae4530ee25d4f3f8ddc8220d5ff9947fa176ba8e0ad258"}) as unknown as TypedDocumentString<ProgressValueQuery, ProgressValueQueryVariables>;
export const LimitsDocument = new TypedDocumentString(`
    query Limits($hub: String!, $after: String) {
  limits(hub: $hub, first: 200, after: $after) {
    nodes {
      ...LimitParts
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
    fragment LimitParts on Limit {
  name
  defined
  concurrency
  rate
  period
  burst
  holding
  waiting
  updatedAt
}`, {"hash":"sha256:4f26b2ec85099b5f3a8bc2f682d5782f8d4548f05b8b5a8724df2bfbcd523f1a"}) as unknown as TypedDocumentString<LimitsQuery, LimitsQueryVariables>;
export const LimitHoldersDocument = new TypedDocumentString(`
    query LimitHolders($hub: String!, $name: String!) {
  limit(hub: $hub, name: $name) {
    ...LimitParts
    holders(first: 100) {
      instanceId
      generation
      taskId
      key
      since
    }
  }
}
    fragment LimitParts on Limit {
  name
  defined
  concurrency
  rate
  period
  burst
  holding
  waiting
  updatedAt
}`, {"hash":"sha256:9bf271a49e86275926dabc3770201cbcb4dd5bb79a06ef5ee651d1e1c6e32320"}) as unknown as TypedDocumentString<LimitHoldersQuery, LimitHoldersQueryVariables>;
export const PutLimitDocument = new TypedDocumentString(`
    mutation PutLimit($input: PutLimitInput!) {
  putLimit(input: $input) {
    limit {
      ...LimitParts
    }
    errors {
      code
      message
      path
      retryable
    }
    requestId
  }
}
    fragment LimitParts on Limit {
  name
  defined
  concurrency
  rate
  period
  burst
  holding
  waiting
  updatedAt
}`, {"hash":"sha256:a3bb121756460ce0a697d44e97385d6fac3a9bab65e66d1fdeeec91cc93650f3"}) as unknown as TypedDocumentString<PutLimitMutation, PutLimitMutationVariables>;
export const DeleteLimitDocument = new TypedDocumentString(`
    mutation DeleteLimit($input: DeleteLimitInput!) {
  deleteLimit(input: $input) {
    limit {
      name
    }
    errors {
      code
      message
      path
      retryable
    }
    requestId
  }
}
    `, {"hash":"sha256:19435237d5ab7d41960e11e012f0f05d8023b4695f76ed396f738b7ef9bf1789"}) as unknown as TypedDocumentString<DeleteLimitMutation, DeleteLimitMutationVariables>;
export const WorkersDocument = new TypedDocumentString(`
    query Workers($hub: String!) {
  hub(name: $hub) {
    id
    workers {
      id
      name
      state
      startedAt
      orchestrations {
        name
        version
      }
    }
  }
}
    `, {"hash":"sha256:94da2a813ee12e9de22cc71b3a08f5b25fac5ef13b91035f05b91d646fb40dfa"}) as unknown as TypedDocumentString<WorkersQuery, WorkersQueryVariables>;
export const StartDocument = new TypedDocumentString(`
    mutation Start($input: StartOrchestrationInput!) {
  startOrchestration(input: $input) {
    orchestration {
      id
      instanceId
    }
    errors {
      code
      message
      path
      retryable
    }
    requestId
  }
}
    `, {"hash":"sha256:db5bd0e47022e068616b6204993b3dabf498ebf9d7ad84319f5897a72e2e08d9"}) as unknown as TypedDocumentString<StartMutation, StartMutationVariables>;
export const RaiseDocument = new TypedDocumentString(`
    mutation Raise($input: RaiseEventInput!) {
  raiseEvent(input: $input) {
    orchestration {
      id
    }
    errors {
      code
      message
      path
      retryable
    }
    requestId
  }
}
    `, {"hash":"sha256:d636f0ca3c419a95a1aeb8d898fb3cecbfb7bd742b6b3b50ec976bcf5d20010a"}) as unknown as TypedDocumentString<RaiseMutation, RaiseMutationVariables>;
export const TerminateDocument = new TypedDocumentString(`
    mutation Terminate($input: TerminateOrchestrationInput!) {
  terminateOrchestration(input: $input) {
    orchestration {
      id
    }
    errors {
      code
      message
      path
      retryable
    }
    requestId
  }
}
    `, {"hash":"sha256:09efc2ec625c51a91c3798b5f30627b22bec95b86b88a135c3649b38818c68e2"}) as unknown as TypedDocumentString<TerminateMutation, TerminateMutationVariables>;