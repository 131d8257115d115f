import { describe, expect, test } from "vitest";
import { boundsOf, fullness, inputOf, type Limit, rateWords, short } from "./bounds";

const limit: Limit = { name: "mail", defined: true, concurrency: 3, rate: null, period: null, burst: null, holding: 1, waiting: 0, updatedAt: null };
const rated: Limit = { ...limit, concurrency: null, rate: 1200, period: "1m0s", burst: 1200 };
const form = { name: "mail", concurrency: "", rate: "", period: "", burst: "" };

describe("the form of a limit", () => {
  test("holds what the limit has", () => {
    expect(boundsOf(undefined)).toEqual({ ...form, name: "" });
    expect(boundsOf(limit)).toEqual({ ...form, concurrency: "3" });
    // As large a burst as the rate is what there is without one.
    expect(boundsOf(rated)).toEqual({ ...form, rate: "1200", period: "1m" });
    expect(boundsOf({ ...rated, burst: 5 }).burst).toBe("5");
  });

  test("leaves out what is empty", () => {
    expect(inputOf("h", { ...form, name: " mail ", concurrency: "1,000" })).toEqual({ input: { hub: "h", name: "mail", concurrency: 1000 } });
    expect(inputOf("h", { ...form, rate: "10", period: "1m", burst: "2" })).toEqual({ input: { hub: "h", name: "mail", rate: 10, period: "1m", burst: 2 } });
  });

  test.each([
    ["name", { name: " ", concurrency: "1" }],
    ["concurrency", {}],
    ["concurrency", { concurrency: "0" }],
    ["concurrency", { concurrency: "1000001" }],
    ["concurrency", { concurrency: "1.5" }],
    ["concurrency", { concurrency: "many" }],
    ["rate", { rate: "-1" }],
    ["rate", { concurrency: "1", period: "1s" }],
    ["rate", { concurrency: "1", burst: "2" }],
    ["burst", { rate: "1", burst: "0" }],
  ])("says what is wrong with %s", (field, bounds) => {
    const got = inputOf("h", { ...form, ...bounds });
    expect("wrong" in got && Object.keys(got.wrong)).toEqual([field]);
  });
});

test("a period is written without empty parts", () => {
  expect(["1s", "1m0s", "1m30s", "24h0m0s", "1h30m0s", "500ms", "10s"].map(short)).toEqual(["1s", "1m", "1m30s", "24h", "1h30m", "500ms", "10s"]);
});

test("a rate is put in words", () => {
  expect(rateWords(limit)).toBeNull();
  expect(rateWords(rated)).toBe("1,200 in 1m");
  expect(rateWords({ ...rated, burst: 5 })).toBe("1,200 in 1m, at most 5 at once");
});

test("a limit is full at most once", () => {
  expect(fullness(rated)).toBeNull();
  expect(fullness(limit)).toBeCloseTo(1 / 3);
  expect(fullness({ ...limit, holding: 9 })).toBe(1);
});
