import { describe, expect, test } from "vitest";
import { append, preview, type ProgressRecord, speaker } from "./progress";

function record(seq: number, more: Partial<ProgressRecord> = {}): ProgressRecord {
  return {
    seq: String(seq),
    at: "2026-11-22T06:14:02.000000Z",
    generation: 0,
    taskId: null,
    name: null,
    attempt: null,
    value: { size: 1, encoding: "JSON", text: String(seq), truncated: false },
    ...more,
  };
}

const seqs = (have: ProgressRecord[]) => have.map((r) => r.seq);

describe("append", () => {
  test("puts a frame behind what is there, and leaves out what it has", () => {
    const have = [record(1), record(2)];
    append(have, { records: [record(2), record(3)], reset: false });
    append(have, { records: [], reset: false });
    expect(seqs(have)).toEqual(["1", "2", "3"]);
  });

  test("compares numbers, not texts", () => {
    const have = [record(9)];
    append(have, { records: [record(10)], reset: false });
    expect(seqs(have)).toEqual(["9", "10"]);
  });

  test("begins anew with a reset", () => {
    const have = [record(7)];
    append(have, { records: [record(1)], reset: true });
    expect(seqs(have)).toEqual(["1"]);
  });
});

describe("a line", () => {
  test("names who said it", () => {
    expect(speaker(record(1))).toBe("orchestration");
    expect(speaker(record(1, { taskId: 0, name: "copy", attempt: 1 }))).toBe("copy");
    expect(speaker(record(1, { taskId: 0, name: "copy", attempt: 3 }))).toBe("copy, attempt 3");
  });

  test("is one, and says when there is more", () => {
    const value = { size: 20, encoding: "JSON" as const, text: '{\n  "done": 1\n}', truncated: false };
    expect(preview({ value })).toBe('{ "done": 1 }');
    expect(preview({ value: { ...value, truncated: true } })).toBe('{ "done": 1 } …');
    expect(preview({ value: null })).toBe("");
  });
});
