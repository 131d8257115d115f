import { describe, expect, test } from "vitest";
import { at, pendingTask, running, story, t } from "../test/factories";
import type { HistoryEvent, Live } from "./events";
import { detail, type Group, groupOf, groups, note, type Span } from "./groups";

const clock = (ms: number) => new Date(ms).toISOString().slice(11, 19);
const begin: ["ExecutionStarted", number] = ["ExecutionStarted", 0];

/** The spans in milliseconds after the start, as text. */
function spans(g: Group | undefined): string {
  return (g?.spans ?? []).map((s: Span) => `${s.kind} ${s.from - t(0)}-${s.to === null ? "now" : s.to - t(0)}`).join(", ");
}

function lane(events: HistoryEvent[], live: Live = running): Group | undefined {
  return groups(events, live)[1];
}

test("nothing has no groups", () => expect(groups([], running)).toEqual([]));

describe("an activity", () => {
  test("that succeeded at once", () => {
    const g = lane(story(begin, ["TaskScheduled", 100], ["TaskCompleted", 400, { startedAt: at(150), worker: "w1" }]));
    expect(g).toMatchObject({ kind: "activity", name: "chargeCard", state: "completed", opened: "2", closed: "3", worker: "w1" });
    expect(spans(g)).toBe("queued 100-150, completed 150-400");
    expect(g && note(g, 0, clock)).toBe("250 ms");
    expect(g && detail(g, 0)).toEqual({ text: "250 ms", bad: false });
  });

  test("that was tried again", () => {
    const g = lane(
      story(begin, ["TaskScheduled", 0], [
        "TaskCompleted",
        5000,
        {
          attempts: 3,
          startedAt: at(4500),
          earlier: [
            { n: 1, startedAt: at(100), endedAt: at(1000), type: null, message: "no answer" },
            { n: 2, startedAt: at(2000), endedAt: at(2500), type: "http.Error", message: "502" },
          ],
        },
      ]),
    );
    expect(spans(g)).toBe("queued 0-100, failed 100-1000, backoff 1000-2000, failed 2000-2500, backoff 2500-4500, completed 4500-5000");
    expect(g?.attempts.map((a) => [a.n, a.state, a.message])).toEqual([
      [1, "failed", "no answer"],
      [2, "failed", "502"],
      [3, "completed", null],
    ]);
    expect(g && note(g, 0, clock)).toBe("completed on attempt 3");
    expect(g && detail(g, 0).text).toBe("3 attempts");
  });

  test("whose first attempts are not known any more did not wait in a queue for so long", () => {
    const earlier = [{ n: 22, startedAt: at(3000), endedAt: at(3500), type: null, message: "502" }];
    const g = lane(story(begin, ["TaskScheduled", 0], ["TaskCompleted", 5000, { attempts: 23, startedAt: at(4000), earlier }]));
    expect(spans(g)).toBe("backoff 0-3000, failed 3000-3500, backoff 3500-4000, completed 4000-5000");
  });

  test("that failed for good", () => {
    const g = lane(story(begin, ["TaskScheduled", 0], ["TaskFailed", 900]));
    expect(g).toMatchObject({ state: "failed", message: "no answer" });
    expect(g && detail(g, 0)).toEqual({ text: "failed", bad: true });
    expect(g && note(g, 0, clock)).toBe("no answer");
  });

  test.each<[string, Parameters<typeof pendingTask>[0], string, string, string]>([
    ["waits in the queue", { state: "QUEUED" }, "queued 0-now", "queued", "queued 60 s"],
    ["has no worker", { state: "NO_WORKER" }, "queued 0-now", "noWorker", "queued 60 s"],
    ["runs", { state: "RUNNING", attempt: 1, startedAt: at(50) }, "queued 0-50, running 50-now", "running", "running 59 s"],
    ["runs again", { state: "RUNNING", attempt: 2, startedAt: at(9000) }, "backoff 0-9000, running 9000-now", "running", "running 51 s"],
    ["is to run again", { state: "RETRYING", attempt: 1, nextAttemptAt: at(90_000), lastError: "503" }, "backoff 0-90000", "retrying", "retries in 30 s"],
  ])("that %s", (_, task, want, state, words) => {
    const g = lane(story(begin, ["TaskScheduled", 0]), { ...running, pendingTasks: [pendingTask(task)] });
    expect(spans(g)).toBe(want);
    expect(g?.state).toBe(state);
    expect(g && detail(g, t(60_000)).text).toBe(words === "queued 60 s" ? "queued 1 min" : words);
  });

  test("that got no result before the instance ended", () => {
    const g = lane(story(begin, ["TaskScheduled", 0], ["ExecutionTerminated", 700, { reason: "duplicate" }]), { ...running, status: "TERMINATED", finishedAt: at(700) });
    expect(g?.state).toBe("canceled");
    expect(spans(g)).toBe("canceled 0-700");
  });

  test("that runs inside the orchestration is a step", () => {
    expect(lane(story(begin, ["TaskScheduled", 0, { step: true }]))?.kind).toBe("step");
  });
});

test("timers wait, fire, or are dropped", () => {
  const created = (live: Live, ...more: Parameters<typeof story>) => lane(story(begin, ["TimerCreated", 0, { fireAt: at(5000) }], ...more), live);
  expect(spans(created(running))).toBe("timer 0-5000");
  expect(spans(created(running, ["TimerFired", 5010]))).toBe("timer 0-5010");
  const ended: Live = { ...running, status: "COMPLETED", finishedAt: at(900) };
  const dropped = created(ended, ["ExecutionCompleted", 900]);
  expect(spans(dropped)).toBe("timer 0-900");
  expect(dropped && note(dropped, 0, clock)).toBe("not fired");
});

test("children are linked to", () => {
  const g = lane(story(begin, ["SubOrchestrationInstanceCreated", 0], ["SubOrchestrationInstanceCompleted", 4800]));
  expect(g).toMatchObject({ kind: "child", name: "FraudReview", childId: "child-1", state: "completed" });
  expect(spans(g)).toBe("child 0-4800");
  expect(lane(story(begin, ["SubOrchestrationInstanceCreated", 0], ["SubOrchestrationInstanceFailed", 10]))).toMatchObject({ state: "failed", message: "no answer" });
});

test("events are received, sent, and waited for", () => {
  const waiting: Live = { ...running, waiting: { kind: "EVENT", text: "", parts: [], since: at(100), until: null, subject: "approval" } };
  const [, received, sent, awaited] = groups(story(begin, ["EventRaised", 50], ["EventSent", 60]), waiting);
  expect(received).toMatchObject({ kind: "received", name: "approval", state: "received" });
  expect(sent).toMatchObject({ kind: "sent", childId: "other" });
  expect(awaited).toMatchObject({ kind: "awaited", name: "approval", key: "awaited" });
  expect(spans(awaited)).toBe("wait 100-now");
});

test("the first lane is the instance, with its turns", () => {
  const [run] = groups(story(["OrchestratorStarted", 0], begin, ["OrchestratorStarted", 900], ["ExecutionCompleted", 1000, { status: "FAILED" }]), {
    ...running,
    status: "FAILED",
    finishedAt: at(1000),
  });
  expect(run).toMatchObject({ kind: "orchestration", name: "OrderFulfilment", state: "failed", to: t(1000) });
  expect(run?.ticks.map((x) => x - t(0))).toEqual([0, 900]);
});

test("types that came later are passed over", () => {
  const unknown = { __typename: "EntityLocked", seq: "2", at: at(5), type: "EntityLocked" } as unknown as HistoryEvent;
  expect(groups([...story(begin), unknown], running)).toHaveLength(1);
});

test("a group is found by either of its events", () => {
  const all = groups(story(begin, ["TaskScheduled", 0], ["TaskCompleted", 9]), running);
  expect(groupOf(all, "2")?.name).toBe("chargeCard");
  expect(groupOf(all, "3")?.name).toBe("chargeCard");
  expect(groupOf(all, "99")).toBeUndefined();
});

test("50,000 events are grouped in one go", () => {
  const many = story(begin, ...Array.from({ length: 25_000 }, (_, i) => [["TaskScheduled", i, { taskId: i }] as ["TaskScheduled", number, object], ["TaskCompleted", i + 1, { taskId: i }] as ["TaskCompleted", number, object]]).flat());
  expect(groups(many, running)).toHaveLength(25_001);
});
