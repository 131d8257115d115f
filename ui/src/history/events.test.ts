import { expect, test } from "vitest";
import { story } from "../test/factories";
import { appended, isFailure } from "./events";

const seqs = (events: readonly { seq: string }[]) => events.map((e) => e.seq).join(" ");

test("frames are appended, and what is known already is left out", () => {
  const all = story(["OrchestratorStarted", 0], ["ExecutionStarted", 0], ["TaskScheduled", 1], ["TaskCompleted", 2]);
  const have = appended([], all.slice(0, 3), false);
  expect(seqs(appended(have, all.slice(2), false))).toBe("1 2 3 4");
  expect(appended(have, [], false)).toBe(have);
});

test("numbers compare as numbers", () => {
  const events = story(...Array.from({ length: 11 }, () => ["EventRaised", 0] as ["EventRaised", number]));
  expect(seqs(appended(events.slice(0, 9), events.slice(9), false))).toBe("1 2 3 4 5 6 7 8 9 10 11");
});

test("a reset drops what one has", () => {
  const [old, next] = [story(["ExecutionStarted", 0]), story(["OrchestratorStarted", 0], ["ExecutionStarted", 0])];
  expect(appended(old, next, true)).toEqual(next);
  expect(appended(old, [], true)).toEqual([]);
});

test("a new generation that came without a reset drops the one before, but not the turn that began it", () => {
  const all = story(["OrchestratorStarted", 0], ["ExecutionStarted", 0], ["ExecutionCompleted", 5], ["OrchestratorStarted", 6], ["ExecutionStarted", 6], ["TaskScheduled", 7]);
  expect(seqs(appended(all.slice(0, 2), all.slice(2), false))).toBe("4 5 6");
});

test("failures", () => {
  const events = story(
    ["TaskFailed", 0],
    ["SubOrchestrationInstanceFailed", 0],
    ["ExecutionTerminated", 0],
    ["ExecutionCompleted", 0, { status: "FAILED" }],
    ["ExecutionCompleted", 0, { status: "COMPLETED" }],
    ["TaskCompleted", 0],
  );
  expect(events.map(isFailure)).toEqual([true, true, true, true, false, false]);
});
