import { describe, expect, test } from "vitest";
import { at, row, t } from "../../test/factories";
import { extended, patched, refreshed, replaced, type Rows, settled } from "./rows";

const now = t(100_000);
const a = row("a", { createdAt: at(3000) });
const b = row("b", { createdAt: at(2000) });
const c = row("c", { createdAt: at(1000) });
const ids = (rows: Rows) => rows.shown.map((r) => r.id);

describe("patched", () => {
  test("a shown row changes in its place", () => {
    const after = patched(replaced([a, b, c], false, null), [{ ...b, status: "COMPLETED", lastSeq: "9" }], [], now);
    expect(ids(after)).toEqual(["a", "b", "c"]);
    expect(after.shown[1]?.status).toBe("COMPLETED");
    expect([...after.fresh]).toEqual(["b"]);
  });

  test("older news is dropped, by number and not by text", () => {
    const before = replaced([{ ...a, lastSeq: "10" }], false, null);
    expect(patched(before, [{ ...a, status: "FAILED", lastSeq: "9" }], [], now).shown[0]?.status).toBe("RUNNING");
  });

  test("a new row waits, and is told since when", () => {
    const once = patched(replaced([b, c], false, null), [a], [], now);
    expect(ids(once)).toEqual(["b", "c"]);
    expect([...once.waiting.keys()]).toEqual(["a"]);
    expect(once.waitingSince).toBe(now);
    expect(patched(once, [row("d")], [], now + 5).waitingSince).toBe(now);
  });

  test("what is older than the last page waits for its page", () => {
    const changed = row("z", { createdAt: at(1) });
    expect(patched(replaced([a, b], true, "cursor"), [changed], [], now).waiting.size).toBe(0);
    expect(patched(replaced([a, b], false, null), [changed], [], now).waiting.size).toBe(1);
  });

  test("a row that no longer belongs stays until the list settles", () => {
    const after = patched(replaced([a, b], false, null), [{ ...a, status: "COMPLETED", lastSeq: "2" }], ["RUNNING"], now);
    expect(ids(after)).toEqual(["a", "b"]);
    expect([...after.gone]).toEqual(["a"]);
    expect(ids(settled(after))).toEqual(["b"]);
  });

  test("a waiting row that no longer belongs is forgotten", () => {
    const waits = patched(replaced([b], false, null), [a], ["RUNNING"], now);
    const after = patched(waits, [{ ...a, status: "FAILED", lastSeq: "2" }], ["RUNNING"], now);
    expect(after.waiting.size).toBe(0);
    expect(after.waitingSince).toBeUndefined();
  });

  test("what never belonged does not come", () => {
    expect(patched(replaced([], false, null), [a], ["FAILED"], now).waiting.size).toBe(0);
  });
});

test("settled puts new rows where they belong", () => {
  const after = settled(patched(replaced([a, c], false, null), [b], [], now));
  expect(ids(after)).toEqual(["a", "b", "c"]);
  expect(after.waiting.size).toBe(0);
  expect([...after.fresh]).toEqual(["b"]);
});

test("settled with nothing to do is the same list", () => {
  const rows = replaced([a], false, null);
  expect(settled(rows)).toBe(rows);
});

test("an older page brings nothing twice, and takes what waited", () => {
  const waits = patched(replaced([a, b], false, null), [c], [], now);
  const after = extended(waits, [b, c], true, "next");
  expect(ids(after)).toEqual(["a", "b", "c"]);
  expect(after.waiting.size).toBe(0);
  expect(after.cursor).toBe("next");
});

test("a refresh under a reader lets what is new wait", () => {
  const after = refreshed(replaced([b], false, null), [a, { ...b, status: "FAILED" }, c], false, null, now);
  expect(ids(after)).toEqual(["b", "c"]);
  expect(after.shown[0]?.status).toBe("FAILED");
  expect([...after.waiting.keys()]).toEqual(["a"]);
});
