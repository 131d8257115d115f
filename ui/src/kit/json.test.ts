import { describe, expect, test } from "vitest";
import { complaint, layOut } from "./json";

function text(json: string): string[] {
  const result = layOut(json);
  if ("problem" in result) throw new Error(result.problem.message);
  return result.lines.map((l) => "  ".repeat(l.indent) + l.tokens.map((t) => t.text).join(""));
}

describe("layOut", () => {
  test.each<[string, string[]]>([
    ["1", ["1"]],
    ["900719925474099267", ["900719925474099267"]],
    ["1.10e+3", ["1.10e+3"]],
    ['"a\\u00e9 \\"x\\""', ['"a\\u00e9 \\"x\\""']],
    ["[]", ["[]"]],
    [" {} ", ["{}"]],
    ['{"b":1,"a":[true,null]}', ["{", '  "b": 1,', '  "a": [', "    true,", "    null", "  ]", "}"]],
    ['{"a":1,"a":2}', ["{", '  "a": 1,', '  "a": 2', "}"]],
  ])("%s", (json, lines) => expect(text(json)).toEqual(lines));

  test("a bracket knows where it closes and how much it holds", () => {
    const result = layOut('{"a":[1,2,3]}');
    if ("problem" in result) throw new Error(result.problem.message);
    expect(result.lines[0]).toMatchObject({ closes: 6, items: 1 });
    expect(result.lines[1]).toMatchObject({ closes: 5, items: 3 });
  });

  test("a megabyte is laid out", () => {
    expect(text(JSON.stringify(Array.from({ length: 50_000 }, (_, i) => ({ i }))))).toHaveLength(150_002);
  });
});

describe("complaint", () => {
  test.each([
    ['{ "orderId": 12, }', "Line 1, column 18: a key is missing after the comma."],
    ["[1, ]", "Line 1, column 5: a value is missing after the comma."],
    ["", "Line 1, column 1: the text ends where a value should be."],
    ["{\n  a: 1\n}", "Line 2, column 3: a key stands in double quotes."],
    ['{"a" 1}', "Line 1, column 6: a colon is missing after the key."],
    ['{"a": yes}', "Line 1, column 7: yes is no JSON; text stands in double quotes."],
    ["[1", "Line 1, column 3: the [ is not closed."],
    ["[1 2]", "Line 1, column 4: a comma or ] is missing."],
    ["1 2", "Line 1, column 3: nothing may follow the value."],
    ["-", "Line 1, column 1: a minus must be followed by a digit."],
    ['"a', "Line 1, column 1: the string does not end, or has a character that needs escaping."],
    ["01", "Line 1, column 2: nothing may follow the value."],
  ])("%j", (json, words) => expect(complaint(json)).toBe(words));

  test("what JSON.parse takes has none", () => {
    for (const json of ["null", "-0.5E-2", '{"":{"x":[[],{}]}}', '"\\ud83d\\ude00"']) {
      expect(() => JSON.parse(json)).not.toThrow();
      expect(complaint(json)).toBeNull();
    }
  });

  test("what is too deep is refused, not a crash", () => {
    expect(complaint("[".repeat(100_000))).toContain("deeper than 400 levels");
  });
});
