import type { IconName } from "../kit/Icon";
import { bytes, duration, time } from "../kit/format";
import { type HistoryEvent, isFailure } from "./events";
import { type Group, icons } from "./groups";

/** A line of the history table. */
export interface EventRow {
  kind: "event";
  seq: string;
  at: string;
  /** Since the line before. */
  delta: number | null;
  type: string;
  icon: IconName | null;
  name: string;
  summary: string;
  bad: boolean;
}

/** Time in which nothing happened. */
export interface QuietRow {
  kind: "quiet";
  key: string;
  ms: number;
}

export type HistoryRow = EventRow | QuietRow;

export interface RowOptions {
  compact: boolean;
  /** A part of a line, or /a regular expression/. */
  match: string;
  failuresOnly: boolean;
  /** Leaves the beginnings of turns out. */
  foldTurns: boolean;
  clock: (at: number) => string;
}

/** Shorter gaps are not told. */
const QUIET_MS = 60_000;
const QUIET_SHARE = 0.1;

/** The lines of a history. An expression that is no expression matches as plain text. */
export function rows(events: readonly HistoryEvent[], all: readonly Group[], options: RowOptions): HistoryRow[] {
  const names = new Map<string, Group>();
  for (const g of all) {
    if (g.opened !== null) names.set(g.opened, g);
    if (g.closed !== null) names.set(g.closed, g);
  }
  const shown = options.compact ? compact(all, options) : full(events, names, options);
  const matches = matcher(options.match);
  const kept = shown.filter((r) => (!options.failuresOnly || r.bad) && matches(`${r.type} ${r.name} ${r.summary}`));
  const span = kept.length > 1 ? time(kept.at(-1)?.at ?? "") - time(kept[0]?.at ?? "") : 0;
  const out: HistoryRow[] = [];
  let before: EventRow | undefined;
  for (const row of kept) {
    const delta = before ? Math.max(0, time(row.at) - time(before.at)) : null;
    if (delta !== null && delta >= QUIET_MS && delta >= span * QUIET_SHARE) out.push({ kind: "quiet", key: `quiet-${row.seq}`, ms: delta });
    out.push({ ...row, delta });
    before = row;
  }
  return out;
}

function matcher(match: string): (text: string) => boolean {
  const text = match.trim();
  if (!text) return () => true;
  const expression = /^\/(.+)\/$/.exec(text)?.[1];
  if (expression) {
    try {
      const pattern = new RegExp(expression, "iu");
      return (line) => pattern.test(line);
    } catch {
      // Taken as plain text below, as it is while being typed.
    }
  }
  const wanted = text.toLowerCase();
  return (line) => line.toLowerCase().includes(wanted);
}

function full(events: readonly HistoryEvent[], names: ReadonlyMap<string, Group>, { foldTurns, clock }: RowOptions): EventRow[] {
  const out: EventRow[] = [];
  for (const event of events) {
    if (foldTurns && event.__typename === "OrchestratorStarted") continue;
    const g = names.get(event.seq);
    out.push({
      kind: "event",
      seq: event.seq,
      at: event.at,
      delta: null,
      type: short(event.type),
      icon: g ? icons[g.kind] : null,
      name: g?.name ?? "",
      summary: summary(event, g, clock),
      bad: isFailure(event),
    });
  }
  return out;
}

/** One line for each group, told by its state. */
function compact(all: readonly Group[], { clock }: RowOptions): EventRow[] {
  return all
    .filter((g) => g.opened !== null)
    .map((g) => ({
      kind: "event",
      seq: g.opened ?? "",
      at: new Date(g.from).toISOString(),
      delta: null,
      type: words[g.state],
      icon: icons[g.kind],
      name: g.name,
      summary: [
        g.to !== null && g.to > g.from && duration(g.to - g.from),
        g.attempt > 1 && `${g.attempt} attempts`,
        g.kind === "timer" && g.due !== null && `due ${clock(g.due)}`,
        g.childId,
        g.message,
      ]
        .filter(Boolean)
        .join(", "),
      bad: g.state === "failed",
    }));
}

const words: Record<Group["state"], string> = {
  queued: "Queued",
  noWorker: "Queued",
  running: "Running",
  retrying: "Failed, retries",
  completed: "Completed",
  failed: "Failed",
  canceled: "Dropped",
  waiting: "Waiting",
  received: "Received",
  sent: "Sent",
};

function short(type: string): string {
  return type.replace("SubOrchestrationInstance", "SubOrchestration");
}

/** Names what the code had not waited for: the first of it, and how much more. */
function leftOpen(ids: readonly number[]): string {
  if (ids.length === 0) {
    return "";
  }
  const shown = ids.slice(0, 5).join(", ");
  const more = ids.length >= 100 ? " and many more" : ids.length > 5 ? ` and ${ids.length - 5} more` : "";
  return `${ids.length === 1 ? "task" : "tasks"} ${shown}${more} left open`;
}

function summary(event: HistoryEvent, g: Group | undefined, clock: (at: number) => string): string {
  const list = (...parts: (string | false | null | undefined)[]) => parts.filter(Boolean).join(", ");
  switch (event.__typename) {
    case "ExecutionStarted":
      return list(event.version && `version ${event.version}`, event.generation > 0 && `generation ${event.generation}`, event.input && bytes(event.input.size));
    case "ExecutionCompleted":
      return list(event.status.toLowerCase(), event.cause?.message, event.result && bytes(event.result.size), leftOpen(event.leftOpen));
    case "ExecutionTerminated":
    case "ExecutionRewound":
      return event.reason ?? "";
    case "ExecutionSuspended":
    case "ExecutionResumed":
      return list(event.by && `by ${event.by}`, event.reason);
    case "TaskScheduled":
      return list(`task ${event.taskId}`, event.queue && `queue ${event.queue}`, event.native && "River job", event.input && bytes(event.input.size));
    case "TaskCompleted":
      return list(g && `ran ${duration(ran(g))}`, event.attempts > 1 && `attempt ${event.attempts}`, event.result && bytes(event.result.size));
    case "TaskFailed":
      return list(event.failure.message, event.attempts > 1 && `gave up after ${event.attempts} attempts`);
    case "TimerCreated":
      return list(`task ${event.taskId}`, `fires ${clock(time(event.fireAt))}`);
    case "TimerFired":
      return list(`task ${event.taskId}`);
    case "SubOrchestrationInstanceCreated":
      return list(event.instanceId, event.version && `version ${event.version}`, event.input && bytes(event.input.size));
    case "SubOrchestrationInstanceCompleted":
      return list(event.result && bytes(event.result.size));
    case "SubOrchestrationInstanceFailed":
      return event.failure.message;
    case "EventSent":
      return list(`to ${event.instanceId}`, event.payload && bytes(event.payload.size));
    case "EventRaised":
      return list(event.payload && bytes(event.payload.size));
    case "PatchRecorded":
      return event.change;
    case "EntityOperationSignaled":
      return list(`to ${event.entityId}`, event.scheduledAt !== null && `at ${clock(time(event.scheduledAt))}`, event.input && bytes(event.input.size));
    case "EntityOperationCalled":
      return list(`of ${event.entityId}`, event.input && bytes(event.input.size));
    case "EntityOperationCompleted":
      return list(event.result && bytes(event.result.size));
    case "EntityOperationFailed":
      return event.failure.message;
    case "EntityLockRequested":
    case "EntityUnlockSent":
      return event.entities.join(", ");
    case "TaskCanceled":
      return `task ${event.taskId}`;
    case "ExecutionCancelRequested":
      return list(event.reason, event.by && `by ${event.by}`);
    default:
      return "";
  }
}

function ran(g: Group): number {
  const last = g.attempts.at(-1);
  return last?.from == null || last.to === null ? 0 : last.to - last.from;
}
