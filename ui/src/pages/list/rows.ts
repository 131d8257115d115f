import type { OrchestrationStatus, RowFragment } from "../../api/gql/graphql";

/** What the list holds. Never changed in place: each step makes a new one. */
export interface Rows {
  /** Newest first. */
  shown: readonly RowFragment[];
  /** New since the list was last at its top, not yet among the shown. */
  waiting: ReadonlyMap<string, RowFragment>;
  /** Since when rows wait, in the server's time. */
  waitingSince: number | undefined;
  /** Shown rows that match the filter no more: they stay until the list may move. */
  gone: ReadonlySet<string>;
  /** Rows that came or changed with the last step. */
  fresh: ReadonlySet<string>;
  /** Whether older ones follow, and from where. */
  more: boolean;
  cursor: string | null;
}

export const none: Rows = { shown: [], waiting: new Map(), waitingSince: undefined, gone: new Set(), fresh: new Set(), more: false, cursor: null };

export function newestFirst(a: RowFragment, b: RowFragment): number {
  // Times are written with the same number of digits, so they compare as text.
  return a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0;
}

/** Whether b tells something newer than a. Answers and pushes may overtake each other. */
export function newer(a: RowFragment, b: RowFragment): boolean {
  const [x, y] = [BigInt(a.lastSeq), BigInt(b.lastSeq)];
  return x === y ? a.lastEventAt <= b.lastEventAt : x < y;
}

/** The list anew, from an answer of the server. */
export function replaced(nodes: readonly RowFragment[], more: boolean, cursor: string | null): Rows {
  return { ...none, shown: nodes, more, cursor };
}

/** The list anew while someone reads further down: what is new waits, as if the stream had brought it. */
export function refreshed(rows: Rows, nodes: readonly RowFragment[], more: boolean, cursor: string | null, now: number): Rows {
  const top = rows.shown[0];
  if (!top) return replaced(nodes, more, cursor);
  const known = new Set(rows.shown.map((r) => r.id));
  const isNew = (n: RowFragment) => !known.has(n.id) && newestFirst(n, top) <= 0;
  const waiting = new Map(nodes.filter(isNew).map((n) => [n.id, n]));
  return {
    ...replaced(
      nodes.filter((n) => !isNew(n)),
      more,
      cursor,
    ),
    waiting,
    waitingSince: waiting.size > 0 ? (rows.waitingSince ?? now) : undefined,
  };
}

/** An older page at the end. */
export function extended(rows: Rows, nodes: readonly RowFragment[], more: boolean, cursor: string | null): Rows {
  const known = new Set(rows.shown.map((r) => r.id));
  const waiting = new Map(rows.waiting);
  const added = nodes.filter((n) => !known.has(n.id));
  for (const n of added) waiting.delete(n.id);
  return { ...rows, shown: [...rows.shown, ...added], waiting, more, cursor };
}

/**
 * Changes from the stream. Shown rows are patched where they stand; what is new waits. The stream is not narrowed by
 * status, for then it would not tell what leaves: statuses says which belong here, empty for all.
 */
export function patched(rows: Rows, changes: readonly RowFragment[], statuses: readonly OrchestrationStatus[], now: number): Rows {
  const index = new Map(rows.shown.map((r, i) => [r.id, i]));
  const shown = [...rows.shown];
  const waiting = new Map(rows.waiting);
  const gone = new Set(rows.gone);
  const fresh = new Set<string>();
  const oldest = rows.more ? rows.shown.at(-1) : undefined;
  for (const change of changes) {
    const belongs = statuses.length === 0 || statuses.includes(change.status);
    const at = index.get(change.id);
    const old = at === undefined ? undefined : shown[at];
    if (at !== undefined && old) {
      if (!newer(old, change)) continue;
      shown[at] = change;
      fresh.add(change.id);
      if (belongs) gone.delete(change.id);
      else gone.add(change.id);
    } else if (!belongs) {
      waiting.delete(change.id);
    } else if (!oldest || newestFirst(change, oldest) <= 0) {
      const held = waiting.get(change.id);
      if (!held || newer(held, change)) waiting.set(change.id, change);
    }
  }
  const waitingSince = waiting.size > 0 ? (rows.waitingSince ?? now) : undefined;
  return { ...rows, shown, waiting, waitingSince, gone, fresh };
}

/** Lets the waiting rows in and those that are gone out. */
export function settled(rows: Rows): Rows {
  if (rows.waiting.size === 0 && rows.gone.size === 0) return rows;
  const shown = [...rows.waiting.values(), ...rows.shown.filter((r) => !rows.gone.has(r.id))].toSorted(newestFirst);
  return { ...rows, shown, waiting: new Map(), waitingSince: undefined, gone: new Set(), fresh: new Set([...rows.fresh, ...rows.waiting.keys()]) };
}
