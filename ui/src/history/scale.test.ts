import { describe, expect, test } from "vitest";
import { running, story, t } from "../test/factories";
import { groups } from "./groups";
import { panned, scaleOf, ticks, whole, zoomed } from "./scale";

const H = 3_600_000;
const quiet = groups(story(["ExecutionStarted", 0], ["TaskScheduled", 0], ["TaskCompleted", 10_000], ["EventRaised", 3 * H], ["TaskScheduled", 3 * H, { taskId: 1 }]), running);

describe("scaleOf", () => {
  test("folds hours in which nothing happens", () => {
    const scale = scaleOf(quiet, t(3 * H + 10_000), true);
    expect(scale.folds).toHaveLength(1);
    const [fold] = scale.folds;
    expect((fold?.right ?? 0) - (fold?.left ?? 0)).toBeCloseTo(0.05);
    // The busy seconds before and after have nearly all of the width.
    expect(scale.place(t(10_000))).toBeGreaterThan(0.4);
    expect(scale.place(t(3 * H))).toBeLessThan(0.56);
  });

  test("folds nothing when told", () => {
    const scale = scaleOf(quiet, t(3 * H), false);
    expect(scale.folds).toEqual([]);
    expect(scale.place(t(1.5 * H))).toBeCloseTo(0.5 / 1.06, 2);
  });

  test("folds nothing of a run that does everything evenly", () => {
    const even = groups(story(["ExecutionStarted", 0], ...Array.from({ length: 20 }, (_, i) => ["EventRaised", i * 60_000] as ["EventRaised", number])), running);
    expect(scaleOf(even, t(20 * 60_000), true).folds).toEqual([]);
  });

  test("keeps a run in which nothing but waiting happens", () => {
    const only = groups(story(["ExecutionStarted", 0]), running);
    const scale = scaleOf(only, t(H), true);
    expect(scale.place(t(H))).toBeCloseTo(1 / 1.06);
  });

  test("places rise, and times come back from their places", () => {
    const scale = scaleOf(quiet, t(3 * H + 10_000), true);
    let before = -1;
    for (let ms = 0; ms <= 3 * H + 10_000; ms += 97_000) {
      const u = scale.place(t(ms));
      expect(u).toBeGreaterThan(before);
      expect(scale.at(u)).toBeCloseTo(t(ms), -1);
      before = u;
    }
  });

  test("an instant has a width, and no history has a scale", () => {
    const only = groups(story(["ExecutionStarted", 0], ["ExecutionCompleted", 0]), { ...running, finishedAt: "2026-11-22T06:14:02.000000Z" });
    expect(Number.isFinite(scaleOf(only, t(0), true).place(t(0)))).toBe(true);
    expect(Number.isFinite(scaleOf([], t(0), true).place(t(0)))).toBe(true);
  });
});

describe("views", () => {
  test("zoom keeps what is under the pointer", () => {
    const view = zoomed(whole, 0.5, 0.25);
    expect(view).toEqual({ left: 0.125, right: 0.625 });
    expect(zoomed(view, 2, 0.25)).toEqual(whole);
  });

  test("nothing leads outside", () => {
    expect(zoomed(whole, 3, 0.5)).toEqual(whole);
    expect(panned({ left: 0.2, right: 0.4 }, -5)).toEqual({ left: 0, right: 0.2 });
    expect(panned({ left: 0.2, right: 0.4 }, 9).right).toBe(1);
    const deep = zoomed(whole, 1e-12, 0.5);
    expect(deep.right - deep.left).toBeGreaterThan(0);
  });
});

test("ticks stand at round times, apart from each other and not in folds", () => {
  const scale = scaleOf(quiet, t(3 * H + 10_000), true);
  const found = ticks(scale, whole, 0.1);
  expect(found.length).toBeGreaterThanOrEqual(4);
  expect(found.length).toBeLessThan(16);
  for (const tick of found) {
    expect(tick.t % 1000).toBe(0);
    expect(scale.folds.some((f) => tick.u > f.left && tick.u < f.right)).toBe(false);
  }
});
