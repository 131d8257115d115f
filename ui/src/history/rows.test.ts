import { describe, expect, test } from "vitest";
import { running, story } from "../test/factories";
import { groups } from "./groups";
import { type HistoryRow, type RowOptions, rows } from "./rows";

const options: RowOptions = { compact: false, match: "", failuresOnly: false, foldTurns: true, clock: (t) => new Date(t).toISOString().slice(11, 19) };
const events = story(
  ["OrchestratorStarted", 0],
  ["ExecutionStarted", 0],
  ["TaskScheduled", 20, { input: { size: 132 } }],
  ["OrchestratorStarted", 2020],
  ["TaskFailed", 2020, { attempts: 5 }],
  ["TimerCreated", 2030, { taskId: 1, fireAt: "2026-11-22T10:00:00.000000Z" }],
  ["EventRaised", 11_000_000],
);

function told(change: Partial<RowOptions> = {}): string[] {
  return rows(events, groups(events, running), { ...options, ...change }).map((r: HistoryRow) => (r.kind === "quiet" ? `-- ${r.ms}` : [r.seq, r.type, r.name, r.summary].join("|")));
}

test("full, with turns folded and quiet time told", () => {
  expect(told()).toEqual([
    "2|ExecutionStarted|OrderFulfilment|version 2.4.1, 96 B",
    "3|TaskScheduled|chargeCard|task 0, 132 B",
    "5|TaskFailed|chargeCard|no answer, gave up after 5 attempts",
    "6|TimerCreated|timer|task 1, fires 10:00:00",
    "-- 10997970",
    "7|EventRaised|approval|4 B",
  ]);
});

test.each<[number[], string]>([
  [[], "completed"],
  [[3], "completed, task 3 left open"],
  [[1, 2, 3, 4, 5, 7, 9], "completed, tasks 1, 2, 3, 4, 5 and 2 more left open"],
  [Array.from({ length: 100 }, (_, n) => n), "completed, tasks 0, 1, 2, 3, 4 and many more left open"],
])("what an orchestration did not wait for: %j", (leftOpen, want) => {
  const end = story(["ExecutionStarted", 0], ["ExecutionCompleted", 5, { leftOpen }]);
  expect(rows(end, groups(end, running), options).map((r) => (r.kind === "quiet" ? "" : r.summary))).toContain(want);
});

test("with turns", () => expect(told({ foldTurns: false })).toHaveLength(8));

test("only failures", () => expect(told({ failuresOnly: true })).toEqual(["5|TaskFailed|chargeCard|no answer, gave up after 5 attempts"]));

describe("the text filter", () => {
  test.each<[string, number]>([
    ["CHARGE", 2],
    ["no answer", 1],
    ["/^task(scheduled|failed)/", 2],
    ["/(/", 0],
    ["  ", 6],
  ])("%j", (match, n) => expect(told({ match })).toHaveLength(n));
});

test("compact has a line for each task", () => {
  expect(told({ compact: true })).toEqual(["2|Running|OrderFulfilment|", "3|Failed|chargeCard|2.00 s, 5 attempts, no answer", "6|Waiting|timer|due 10:00:00", "-- 10997970", "7|Received|approval|"]);
});

test("the delta is to the line before", () => {
  const deltas = rows(events, groups(events, running), options).flatMap((r) => (r.kind === "event" ? [r.delta] : []));
  expect(deltas).toEqual([null, 20, 2000, 10, 10_997_970]);
});

test("events that are written in another order than they happened give no negative delta", () => {
  const odd = story(["ExecutionStarted", 10], ["EventRaised", 5]);
  expect(rows(odd, groups(odd, running), options).map((r) => r.kind === "event" && r.delta)).toEqual([null, 0]);
});
