import { expect, test } from "vitest";
import { paths } from "./paths";

test("every address", () => {
  expect([
    paths.hub("payments"),
    paths.orchestrations("payments"),
    paths.orchestrations("payments", "status=FAILED"),
    paths.limits("pay ments"),
    paths.instance("payments", "order-1"),
    paths.instance("payments", "a/b?c#d e%", "tab=history"),
  ]).toEqual(["/h/payments", "/h/payments/orchestrations", "/h/payments/orchestrations?status=FAILED", "/h/pay%20ments/limits", "/h/payments/o/order-1", "/h/payments/o/a%2Fb%3Fc%23d%20e%25?tab=history"]);
});
