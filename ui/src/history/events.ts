import type { EventFragment, InstanceFragment } from "../api/gql/graphql";

/** An event of a history, without the bodies of its payloads. More types may come than this page knows. */
export type HistoryEvent = EventFragment;

/** What the instance is now, beyond what its history tells. */
export type Live = Pick<InstanceFragment, "status" | "finishedAt" | "waiting" | "pendingTasks">;

/**
 * The events that one has, with those of a frame added. A frame with reset begins anew, and so does a new generation:
 * the events of the one before are not of this history any more.
 */
export function appended(have: readonly HistoryEvent[], frame: readonly HistoryEvent[], reset: boolean): readonly HistoryEvent[] {
  const last = reset ? undefined : have.at(-1);
  const after = last ? BigInt(last.seq) : -1n;
  const fresh = frame.filter((e) => BigInt(e.seq) > after);
  const generation = fresh.findLastIndex((e) => e.__typename === "ExecutionStarted");
  if (reset || generation >= 0) return fresh.slice(Math.max(0, generation - leading(fresh, generation)));
  return fresh.length > 0 ? [...have, ...fresh] : have;
}

/** How many turns begin right before the start of a generation. */
function leading(events: readonly HistoryEvent[], at: number): number {
  let n = 0;
  while (at - n - 1 >= 0 && events[at - n - 1]?.__typename === "OrchestratorStarted") n++;
  return n;
}

export function isFailure(event: HistoryEvent): boolean {
  switch (event.__typename) {
    case "TaskFailed":
    case "SubOrchestrationInstanceFailed":
    case "ExecutionTerminated":
      return true;
    case "ExecutionCompleted":
      return event.status === "FAILED";
    default:
      return false;
  }
}
