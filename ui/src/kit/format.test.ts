import { describe, expect, test } from "vitest";
import { bytes, clock, dayAndClock, duration, elapsed, exact, plural, relative, time } from "./format";

const S = 1000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;

describe("duration", () => {
  test.each([
    [-5, "0 ms"],
    [0, "0 ms"],
    [0.053, "<1 ms"],
    [5.5, "5.5 ms"],
    [310, "310 ms"],
    [999.6, "1.00 s"],
    [4180, "4.18 s"],
    [9994, "9.99 s"],
    [9996, "10.0 s"],
    [52_600, "52.6 s"],
    [59_960, "1 min"],
    [26 * MIN + 8 * S, "26 min 8 s"],
    [H, "1 h"],
    [3 * H + 12 * MIN, "3 h 12 min"],
    [D, "1 d"],
    [28 * H, "1 d 4 h"],
    [1500 * D, "1,500 d"],
  ])("%d is %s", (ms, words) => expect(duration(ms)).toBe(words));
});

test("elapsed counts whole seconds", () => {
  expect(elapsed(9_900)).toBe("9 s");
  expect(elapsed(61_900)).toBe("1 min 1 s");
});

describe("relative", () => {
  const now = 1_000_000_000_000;
  test.each([
    [now, "just now"],
    [now - 2 * S, "2 s ago"],
    [now - 59 * MIN, "59 min ago"],
    [now - 47 * H, "47 h ago"],
    [now - 3 * D, "3 d ago"],
    [now + 23 * H, "in 23 h"],
  ])("%d is %s", (at, words) => expect(relative(at, now)).toBe(words));
});

test("days near now are named", () => {
  const now = Date.parse("2026-11-22T09:26:00Z");
  expect(dayAndClock(Date.parse("2026-11-22T06:14:02Z"), now, "utc")).toBe("today 06:14:02");
  expect(dayAndClock(Date.parse("2026-11-21T23:59:59Z"), now, "utc")).toBe("yesterday 23:59:59");
  expect(dayAndClock(Date.parse("2026-11-23T09:00:00Z"), now, "utc")).toBe("tomorrow 09:00:00");
  expect(dayAndClock(Date.parse("2026-11-03T09:00:00Z"), now, "utc")).toBe("Nov 3 09:00:00");
  expect(dayAndClock(Date.parse("2025-11-03T09:00:00Z"), now, "utc")).toBe("Nov 3, 2025 09:00:00");
});

test("exact times carry their zone", () => {
  expect(exact(Date.parse("2026-11-22T06:14:02.118Z"), "utc")).toBe("2026-11-22 06:14:02.118 UTC");
  expect(exact(0, "local")).toMatch(/ UTC[+-]\d\d:\d\d$/);
  expect(clock(Date.parse("2026-11-22T06:14:02.118Z"), "utc", true)).toBe("06:14:02.118");
});

test("microseconds are kept", () => {
  expect(time("2026-11-22T06:14:02.118045Z") - time("2026-11-22T06:14:02.118000Z")).toBeCloseTo(0.045, 3);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1100, "1.1 kB"],
  [262_144, "262 kB"],
  [4_200_000, "4.2 MB"],
])("%d bytes are %s", (n, words) => expect(bytes(n)).toBe(words));

test("plural", () => {
  expect(plural(1, "event")).toBe("1 event");
  expect(plural(12_431, "event")).toBe("12,431 events");
});
