import { expect, test } from "vitest";
import { jsonVariable, withTexts } from "./jsonVariable";

test("a text goes into the body as it stands, and once", () => {
  const input = jsonVariable('{ "id": 900719925474099267, "price": 1.10 }');
  const body = JSON.stringify({ variables: { input, other: "$& stays" } });
  expect(withTexts(body)).toBe('{"variables":{"input":{ "id": 900719925474099267, "price": 1.10 },"other":"$& stays"}}');
  expect(withTexts(body)).toBe(body);
});
