import type { IconName } from "../kit/Icon";
import { duration, elapsed, relative, time } from "../kit/format";
import type { HistoryEvent, Live } from "./events";

export type SpanKind = "turns" | "queued" | "running" | "completed" | "failed" | "canceled" | "backoff" | "timer" | "wait" | "child";

/** A stretch of time in a lane. An end of null is now. */
export interface Span {
  kind: SpanKind;
  from: number;
  to: number | null;
}

export type State = "queued" | "noWorker" | "running" | "retrying" | "completed" | "failed" | "canceled" | "waiting" | "received" | "sent";

export type Kind = "orchestration" | "activity" | "step" | "timer" | "awaited" | "received" | "sent" | "child" | "operation" | "lock";

export interface Attempt {
  n: number;
  from: number | null;
  to: number | null;
  state: "failed" | "completed" | "running" | "retrying";
  type?: string | null;
  message?: string | null;
}

/** What belongs together: a task from its scheduling to its result, a timer, an event, a child. One lane each. */
export interface Group {
  key: string;
  kind: Kind;
  name: string;
  state: State;
  from: number;
  /** null while it goes on. */
  to: number | null;
  spans: Span[];
  /** The event that opened it and the one that closed it, by number. */
  opened: string | null;
  closed: string | null;
  attempts: Attempt[];
  /** Which attempt is running or was the last. */
  attempt: number;
  message: string | null;
  worker: string | null;
  /** When a timer fires, or a failed attempt is tried again. */
  due: number | null;
  childId: string | null;
  /** When turns began, in the lane of the instance. */
  ticks: number[];
}

export const icons: Record<Kind, IconName> = {
  orchestration: "orchestration",
  activity: "activity",
  step: "step",
  timer: "timer",
  awaited: "awaited",
  received: "received",
  sent: "send",
  child: "child",
  operation: "step",
  lock: "held",
};

function group(key: string, kind: Kind, name: string, from: number, opened: string | null): Group {
  return {
    key,
    kind,
    name,
    from,
    opened,
    state: "queued",
    to: null,
    spans: [],
    closed: null,
    attempts: [],
    attempt: 1,
    message: null,
    worker: null,
    due: null,
    childId: null,
    ticks: [],
  };
}

/** Puts a history into groups, in the order in which they began; the first is the instance itself. */
export function groups(events: readonly HistoryEvent[], live: Live): Group[] {
  const first = events[0];
  if (!first) return [];
  const run = group("run", "orchestration", "", time(first.at), null);
  run.state = "running";
  const out: Group[] = [run];
  const byTask = new Map<number, Group>();
  const open = (g: Group, taskId?: number) => {
    out.push(g);
    if (taskId !== undefined) byTask.set(taskId, g);
  };
  for (const event of events) {
    const at = time(event.at);
    switch (event.__typename) {
      case "OrchestratorStarted":
        run.ticks.push(at);
        break;
      case "ExecutionStarted":
        run.name = event.name;
        run.opened = event.seq;
        break;
      case "ExecutionCompleted":
        run.closed = event.seq;
        run.state = event.status === "FAILED" ? "failed" : event.status === "COMPLETED" ? "completed" : "canceled";
        run.message = event.cause?.message ?? null;
        run.to = at;
        break;
      case "ExecutionTerminated":
        run.closed = event.seq;
        run.state = "canceled";
        run.message = event.reason;
        run.to = at;
        break;
      case "TaskScheduled":
        open(group(`task-${event.taskId}`, event.step ? "step" : "activity", event.name, at, event.seq), event.taskId);
        break;
      case "TaskCompleted":
      case "TaskFailed":
        close(byTask.get(event.taskId), event, at);
        break;
      case "TimerCreated": {
        const g = group(`task-${event.taskId}`, "timer", "timer", at, event.seq);
        g.state = "waiting";
        g.due = time(event.fireAt);
        open(g, event.taskId);
        break;
      }
      case "TimerFired": {
        const g = byTask.get(event.taskId);
        if (g) Object.assign(g, { state: "completed", to: at, closed: event.seq, spans: [{ kind: "timer", from: g.from, to: at }] } satisfies Partial<Group>);
        break;
      }
      case "TaskCanceled": {
        const g = byTask.get(event.taskId);
        if (g) Object.assign(g, { state: "canceled", to: at, closed: event.seq } satisfies Partial<Group>);
        break;
      }
      case "SubOrchestrationInstanceCreated": {
        const g = group(`task-${event.taskId}`, "child", event.name, at, event.seq);
        g.state = "running";
        g.childId = event.instanceId;
        open(g, event.taskId);
        break;
      }
      case "SubOrchestrationInstanceCompleted":
      case "SubOrchestrationInstanceFailed": {
        const g = byTask.get(event.taskId);
        if (!g) break;
        const failed = event.__typename === "SubOrchestrationInstanceFailed";
        g.state = failed ? "failed" : "completed";
        g.message = failed ? event.failure.message : null;
        g.to = at;
        g.closed = event.seq;
        g.spans = [{ kind: failed ? "failed" : "child", from: g.from, to: at }];
        break;
      }
      case "EntityOperationCalled": {
        const g = group(`task-${event.taskId}`, "operation", `${event.operation} ${event.entityId}`, at, event.seq);
        g.state = "running";
        open(g, event.taskId);
        break;
      }
      case "EntityLockRequested": {
        const g = group(`task-${event.taskId}`, "lock", event.entities.join(", "), at, event.seq);
        g.state = "waiting";
        open(g, event.taskId);
        break;
      }
      case "EntityOperationCompleted":
      case "EntityOperationFailed":
      case "EntityLockGranted": {
        const g = byTask.get(event.taskId);
        if (!g) break;
        const failed = event.__typename === "EntityOperationFailed";
        g.state = failed ? "failed" : "completed";
        g.message = failed ? event.failure.message : null;
        g.to = at;
        g.closed = event.seq;
        g.spans = [{ kind: failed ? "failed" : g.kind === "lock" ? "wait" : "completed", from: g.from, to: at }];
        break;
      }
      case "EntityOperationSignaled": {
        const g = group(`task-${event.taskId}`, "sent", `${event.operation} ${event.entityId}`, at, event.seq);
        g.state = "sent";
        g.to = at;
        open(g);
        break;
      }
      case "EventSent": {
        const g = group(`task-${event.taskId}`, "sent", event.name, at, event.seq);
        g.state = "sent";
        g.to = at;
        g.childId = event.instanceId;
        open(g);
        break;
      }
      case "EventRaised": {
        const g = group(`event-${event.seq}`, "received", event.name, at, event.seq);
        g.state = "received";
        g.to = at;
        open(g);
        break;
      }
    }
  }
  const ended = run.to ?? (live.finishedAt === null ? null : time(live.finishedAt));
  if (ended !== null) {
    run.to = ended;
    if (run.state === "running") run.state = live.status === "FAILED" ? "failed" : live.status === "COMPLETED" ? "completed" : "canceled";
  }
  run.spans = [{ kind: "turns", from: run.from, to: run.to }];
  for (const g of out) if (g.to === null) goOn(g, live, ended);
  const { waiting } = live;
  if (ended === null && waiting.kind === "EVENT" && waiting.subject !== null) {
    const since = waiting.since ? time(waiting.since) : run.from;
    const g = group("awaited", "awaited", waiting.subject, since, null);
    g.state = "waiting";
    g.due = waiting.until ? time(waiting.until) : null;
    g.spans = [{ kind: "wait", from: since, to: null }];
    out.push(g);
  }
  return out;
}

/** The result of an activity or step, with what came before it. */
function close(g: Group | undefined, event: Extract<HistoryEvent, { __typename?: "TaskCompleted" | "TaskFailed" }>, at: number): void {
  if (!g) return;
  const failed = event.__typename === "TaskFailed";
  const kind = failed ? "failed" : "completed";
  g.state = kind;
  g.to = at;
  g.closed = event.seq;
  g.worker = event.worker;
  g.attempt = event.attempts;
  g.message = event.__typename === "TaskFailed" ? event.failure.message : null;
  let since = g.from;
  // Only the newest failures are kept, so that the first one known may be a later attempt.
  let before: SpanKind = (event.earlier[0]?.n ?? 1) > 1 ? "backoff" : "queued";
  for (const a of event.earlier) {
    const [from, to] = [time(a.startedAt), time(a.endedAt)];
    g.spans.push({ kind: before, from: since, to: from }, { kind: "failed", from, to });
    g.attempts.push({ n: a.n, from, to, state: "failed", type: a.type, message: a.message });
    since = to;
    before = "backoff";
  }
  const started = event.startedAt === null ? since : Math.max(since, time(event.startedAt));
  if (started > since) g.spans.push({ kind: before, from: since, to: started });
  g.spans.push({ kind, from: started, to: at });
  g.attempts.push({
    n: event.attempts,
    from: started,
    to: at,
    state: kind,
    type: event.__typename === "TaskFailed" ? event.failure.type : null,
    message: g.message,
  });
}

/** What has no end yet, or never got one because the instance ended first. */
function goOn(g: Group, live: Live, ended: number | null): void {
  if (ended !== null) {
    g.state = "canceled";
    g.to = ended;
    g.spans.push({ kind: g.kind === "timer" ? "timer" : "canceled", from: g.from, to: ended });
    return;
  }
  switch (g.kind) {
    case "timer":
      g.spans.push({ kind: "timer", from: g.from, to: g.due });
      break;
    case "child":
      g.spans.push({ kind: "running", from: g.from, to: null });
      break;
    case "activity":
    case "step":
      pending(g, live);
      break;
  }
}

function pending(g: Group, live: Live): void {
  const task = live.pendingTasks.find((t) => `task-${t.taskId}` === g.key);
  const started = task?.startedAt ? Math.max(g.from, time(task.startedAt)) : null;
  g.worker = task?.worker ?? null;
  g.attempt = Math.max(1, task?.attempt ?? 1);
  g.message = task?.lastError ?? null;
  switch (task?.state) {
    case "RUNNING": {
      const from = started ?? g.from;
      g.state = "running";
      if (from > g.from) g.spans.push({ kind: g.attempt > 1 ? "backoff" : "queued", from: g.from, to: from });
      g.spans.push({ kind: "running", from, to: null });
      g.attempts.push({ n: g.attempt, from, to: null, state: "running", message: g.message });
      break;
    }
    case "RETRYING": {
      const from = started ?? g.from;
      g.state = "retrying";
      g.due = task.nextAttemptAt ? time(task.nextAttemptAt) : null;
      if (from > g.from) g.spans.push({ kind: g.attempt > 1 ? "backoff" : "queued", from: g.from, to: from });
      g.spans.push({ kind: "backoff", from, to: g.due });
      g.attempts.push({ n: g.attempt, from, to: null, state: "retrying", message: g.message });
      break;
    }
    default:
      g.state = task?.state === "NO_WORKER" ? "noWorker" : "queued";
      g.spans.push({ kind: "queued", from: g.from, to: null });
  }
}

/** The words beside a bar. */
export function note(g: Group, now: number, clock: (at: number) => string): string {
  switch (g.kind) {
    case "orchestration":
      return "";
    case "timer":
      return g.state === "waiting" && g.due !== null ? `fires ${clock(g.due)}` : g.state === "completed" ? "fired" : "not fired";
    case "awaited":
      return g.due === null ? "waits for event" : `waits for event until ${clock(g.due)}`;
    case "received":
      return `received ${clock(g.from)}`;
    case "sent":
      return `sent to ${g.childId ?? ""}`;
    case "child":
      return g.state === "failed" && g.message ? oneLine(g.message) : (g.childId ?? "");
  }
  switch (g.state) {
    case "completed":
      return g.attempt > 1 ? `completed on attempt ${g.attempt}` : duration(work(g, now));
    case "failed":
      return oneLine(g.message ?? "failed");
    case "running":
      return g.attempt > 1 ? `running, attempt ${g.attempt}` : "";
    case "retrying":
      return oneLine(g.message ?? "failed");
    case "noWorker":
      return "no worker accepts it";
    case "canceled":
      return "no result";
    default:
      return "";
  }
}

/** The state of a lane in its label: how long, or what it is at. */
export function detail(g: Group, now: number): { text: string; bad: boolean } {
  const plain = (text: string) => ({ text, bad: false });
  if (g.kind === "received" || g.kind === "sent") return plain(g.kind);
  if (g.kind === "orchestration") return plain(g.to === null ? elapsed(now - g.from) : duration(g.to - g.from));
  switch (g.state) {
    case "failed":
      return { text: "failed", bad: true };
    case "completed":
      return plain(g.attempt > 1 ? `${g.attempt} attempts` : duration(g.kind === "activity" || g.kind === "step" ? work(g, now) : (g.to ?? now) - g.from));
    case "running":
      return plain(`running ${elapsed(now - (g.spans.at(-1)?.from ?? g.from))}`);
    case "queued":
    case "noWorker":
      return plain(`queued ${elapsed(now - g.from)}`);
    case "retrying":
      return plain(g.due !== null && g.due > now ? `retries ${relative(g.due, now)}` : "retries now");
    case "waiting":
      return plain(g.due !== null && g.due > now ? relative(g.due, now) : "waiting");
    case "canceled":
      return plain("dropped");
    default:
      return plain("");
  }
}

/** How long the last attempt ran. */
export function work(g: Group, now: number): number {
  const last = g.attempts.at(-1);
  return last?.from == null ? 0 : (last.to ?? now) - last.from;
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

/** The group that an event opened or closed. */
export function groupOf(all: readonly Group[], seq: string): Group | undefined {
  return all.find((g) => g.opened === seq || g.closed === seq);
}
