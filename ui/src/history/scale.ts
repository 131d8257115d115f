import type { Group } from "./groups";

/** Where times stand, from 0 to 1. Long stretches in which nothing begins or ends are folded to narrow bands. */
export interface Scale {
  from: number;
  to: number;
  folds: Fold[];
  /** The place of a time, beyond 0 and 1 if it is outside. */
  place: (t: number) => number;
  /** The time at a place. */
  at: (u: number) => number;
}

export interface Fold {
  from: number;
  to: number;
  /** Where the band begins and ends. */
  left: number;
  right: number;
}

/** A gap of more than this share of what is not folded yet is folded. */
const FOLD_SHARE = 0.2;
/** So many times longer than the next shorter one. */
const STANDS_OUT = 3;
/** Shorter gaps are not worth a band, in milliseconds. */
const SHORTEST_FOLD = 1000;
/** A band takes this share of the width. */
const BAND = 0.05;
const MOST_FOLDS = 10;
/** A run is never shown as shorter than this, so that a single instant has a width. */
const SHORTEST = 10;

/** A scale over all groups, until now or the end. */
export function scaleOf(all: readonly Group[], now: number, fold: boolean): Scale {
  const run = all[0];
  if (!run) return linear(now - SHORTEST, now, []);
  const from = run.from;
  const end = Math.max(run.to ?? now, from + SHORTEST);
  const folded = fold ? gaps(marksOf(all, from, end)) : [];
  const open = end - from - folded.reduce((sum, g) => sum + g.to - g.from, 0);
  // Room at the right for the words beside the last bar.
  return linear(from, end + open * (run.to === null ? 0.06 : 0.12), folded);
}

/** Where something begins or ends, in order. */
function marksOf(all: readonly Group[], from: number, end: number): number[] {
  const marks = new Set<number>([from, end]);
  const mark = (t: number | null) => {
    if (t !== null && t > from && t < end) marks.add(t);
  };
  for (const g of all) {
    mark(g.from);
    mark(g.to);
    for (const t of g.ticks) mark(t);
    for (const s of g.spans) {
      mark(s.from);
      mark(s.to);
    }
  }
  return [...marks].toSorted((a, b) => a - b);
}

/**
 * The gaps to fold: those that are long for what is left without the longer ones, down to where they stand out from
 * the next shorter one. A run that does everything evenly has none.
 */
function gaps(marks: readonly number[]): { from: number; to: number }[] {
  const all = marks
    .slice(1)
    .map((to, i) => ({ from: marks[i] ?? to, to, ms: to - (marks[i] ?? to) }))
    .toSorted((a, b) => b.ms - a.ms);
  let left = (marks.at(-1) ?? 0) - (marks[0] ?? 0);
  let folded = 0;
  let open = left;
  for (const [i, { ms }] of all.slice(0, MOST_FOLDS).entries()) {
    if (ms <= left * FOLD_SHARE || ms < SHORTEST_FOLD) break;
    left -= ms;
    const next = all[i + 1]?.ms;
    if (next !== undefined && ms > STANDS_OUT * next) [folded, open] = [i + 1, left];
  }
  return all
    .slice(0, folded)
    .map(({ from, to, ms }) => {
      // A bit stays at both sides, so that what stands there does not touch the band.
      const rest = Math.min(ms, open) * 0.02;
      return { from: from + rest, to: to - rest };
    })
    .toSorted((a, b) => a.from - b.from);
}

function linear(from: number, to: number, folded: { from: number; to: number }[]): Scale {
  const open = Math.max(1e-9, to - from - folded.reduce((sum, g) => sum + g.to - g.from, 0));
  const perMs = (1 - BAND * folded.length) / open;
  const folds: Fold[] = [];
  let u = 0;
  let t = from;
  for (const g of folded) {
    u += (g.from - t) * perMs;
    folds.push({ from: g.from, to: g.to, left: u, right: u + BAND });
    u += BAND;
    t = g.to;
  }
  const place = (x: number): number => {
    let [base, start] = [0, from];
    for (const f of folds) {
      if (x < f.from) break;
      if (x <= f.to) return f.left + (BAND * (x - f.from)) / (f.to - f.from);
      [base, start] = [f.right, f.to];
    }
    return base + (x - start) * perMs;
  };
  const at = (v: number): number => {
    let [base, start] = [0, from];
    for (const f of folds) {
      if (v < f.left) break;
      if (v <= f.right) return f.from + ((v - f.left) / BAND) * (f.to - f.from);
      [base, start] = [f.right, f.to];
    }
    return start + (v - base) / perMs;
  };
  return { from, to, folds, place, at };
}

/** The part of a scale that is in sight. */
export interface View {
  left: number;
  right: number;
}

export const whole: View = { left: 0, right: 1 };

/** The narrowest view. */
const NARROWEST = 1e-5;

/** Zooms by a factor around a place in sight, 0 at the left edge and 1 at the right. */
export function zoomed(view: View, factor: number, around: number): View {
  const width = view.right - view.left;
  const next = Math.min(1, Math.max(NARROWEST, width * factor));
  return clamped(view.left + (width - next) * around, next);
}

/** Moves by a share of what is in sight. */
export function panned(view: View, share: number): View {
  const width = view.right - view.left;
  return clamped(view.left + width * share, width);
}

function clamped(left: number, width: number): View {
  const l = Math.min(Math.max(0, left), 1 - width);
  return { left: l, right: l + width };
}

export interface Tick {
  u: number;
  t: number;
  /** How far the tick's own stretch begins before it; 0 for the first tick of a stretch. */
  since: number;
  first: boolean;
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000].concat(
  [1, 2, 5, 10, 15, 30].map((m) => m * 60_000),
  [1, 2, 3, 6, 12].map((h) => h * 3_600_000),
  [1, 2, 5, 10, 30, 100, 365].map((d) => d * 86_400_000),
);

/** Ticks of the axis: at round times in each stretch between folds, not closer than the given share of the view. */
export function ticks(scale: Scale, view: View, closest: number): Tick[] {
  const out: Tick[] = [];
  const width = view.right - view.left;
  const edges = [0, ...scale.folds.flatMap((f) => [f.left, f.right]), 1];
  for (let i = 0; i < edges.length; i += 2) {
    const [left, right] = [Math.max(edges[i] ?? 0, view.left), Math.min(edges[i + 1] ?? 1, view.right)];
    if (right - left < width * closest * 0.6) continue;
    const [t0, t1] = [scale.at(left), scale.at(right)];
    const perTick = ((t1 - t0) / (right - left)) * width * closest;
    const step = STEPS.find((s) => s >= perTick) ?? 365 * 86_400_000;
    const start = left;
    let first = true;
    for (let t = Math.ceil(t0 / step) * step; t <= t1; t += step) {
      const u = scale.place(t);
      if (out.length > 0 && u - (out.at(-1)?.u ?? 0) < width * closest * 0.8) continue;
      out.push({ u, t, since: u - start, first });
      first = false;
      if (out.length > 100) return out;
    }
  }
  return out;
}
