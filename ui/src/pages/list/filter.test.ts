import { describe, expect, test } from "vitest";
import { apiFilter, chips, type ListFilter, offers, readFilter, writeFilter } from "./filter";

const now = Date.parse("2026-11-22T09:00:00Z");
const empty: ListFilter = { statuses: [], children: false };

describe("addresses", () => {
  test.each([
    "",
    "status=FAILED",
    "status=FAILED,RUNNING&name=Order+Fulfilment&id=order-41&created=1h&children=1",
    "parent=order-1",
    "from=2026-11-22T08:00:00.000Z&to=2026-11-22T09:00:00.000Z",
  ])("%j survives", (query) => expect(writeFilter(readFilter(query))).toBe(query));

  test("nonsense is left out", () => {
    expect(readFilter("status=BROKEN,FAILED&created=soon&from=yesterday&children=yes")).toEqual({ statuses: ["FAILED"], children: false });
  });
});

describe("apiFilter", () => {
  test("shows roots unless told", () => {
    expect(apiFilter(empty, now)).toEqual({ rootsOnly: true });
    expect(apiFilter({ ...empty, children: true }, now)).toEqual({ rootsOnly: false });
    expect(apiFilter({ ...empty, parent: "p" }, now)).toEqual({ rootsOnly: false, parentInstanceId: "p" });
  });

  test("a moving range begins before now and has no end", () => {
    expect(apiFilter({ ...empty, within: "1h", to: "2026-01-01T00:00:00.000Z" }, now)).toEqual({ rootsOnly: true, createdFrom: "2026-11-22T08:00:00.000Z" });
  });
});

describe("chips", () => {
  test("each part is removed as one", () => {
    const filter = readFilter("status=FAILED&name=Greet&id=o-&from=2026-11-22T08:00:00Z");
    expect(chips(filter).map((c) => [c.key, c.value, writeFilter(c.without)])).toEqual([
      ["name", "Greet", "status=FAILED&id=o-&from=2026-11-22T08:00:00.000Z"],
      ["id", "o-…", "status=FAILED&name=Greet&from=2026-11-22T08:00:00.000Z"],
      ["created", "2026-11-22 08:00..", "status=FAILED&name=Greet&id=o-"],
    ]);
  });
});

describe("offers", () => {
  const taken = (text: string, filter = empty) => offers(text, filter).map((o) => writeFilter(o.filter));
  test.each<[string, string[]]>([
    ["", ["created=15m", "created=1h", "created=24h", "created=7d"]],
    ["order", ["id=order", "name=order"]],
    ["name:Greet", ["name=Greet"]],
    ["id: order-41", ["id=order-41"]],
    ["status:fa", ["status=FAILED"]],
    ["created:24", ["created=24h"]],
    ["created:2026-11-22 08:00..2026-11-22 09:00", ["from=2026-11-22T08:00:00.000Z&to=2026-11-22T09:00:00.000Z"]],
    ["created:2026-11-22..", ["from=2026-11-22T00:00:00.000Z"]],
    ["created:2026-11-22T08:00+02:00..", ["from=2026-11-22T06:00:00.000Z"]],
    ["created:..", []],
    ["name:", []],
  ])("%j", (text, queries) => expect(taken(text)).toEqual(queries));

  test("a new range takes the place of the old one", () => {
    expect(taken("created:1 h", readFilter("from=2026-11-22T08:00:00Z&name=Greet"))).toEqual(["name=Greet&created=1h"]);
  });
});
