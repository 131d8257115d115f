import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "../processes";
import { type API, expect, instance, list, type Page, row, test } from "../test";

// Pictures of the dashboard: those of the documentation, and others to look at.
const docs = join(root, "docs/images");
const looks = join(root, "test/e2e/test-results/shots");
mkdirSync(docs, { recursive: true });
mkdirSync(looks, { recursive: true });

async function seed(api: API): Promise<void> {
  await api.start("Monitor", { id: "reconcile-eu", input: 1 });
  await api.start("OrderRefund", { id: "refund-77120", version: "1.9.0", input: { id: 77120, total: "9.90" } });
  for (let i = 0; i < 26; i++) {
    const n = 418301 + i;
    const input = { id: n, total: "129.90" };
    if (i % 7 === 3) await api.start("Breaks", { id: `import-${n}`, input: "warehouse: row 48,200 has no SKU" });
    else if (i % 9 === 5) await api.start("OrderFulfilment", { id: `order-${n}`, version: "2.4.1", input: { id: n, total: "" } });
    else if (i % 4 === 1) await api.start("OrderRefund", { id: `refund-${n}`, version: "2.0.0", input });
    else if (i % 6 === 4) await api.start("Parcels", { id: `parcels-${n}`, input: 7 });
    else await api.start("OrderFulfilment", { id: `order-${n}`, version: "2.4.1", input });
  }
  await api.start("OrderFulfilment", { id: "order-418337", version: "2.4.1", input: { orderId: 1, id: 418337, total: "129.90", note: "leave at the door" } });
  const { terminateOrchestration } = await api.ask<{ terminateOrchestration: { errors: unknown[] } }>(
    "mutation ($input: TerminateOrchestrationInput!) { terminateOrchestration(input: $input) { errors { code } } }",
    { input: { hub: "payments", instanceId: "order-418303", reason: "duplicate of order-418301" } },
  );
  expect(terminateOrchestration.errors).toEqual([]);
}

test.describe.configure({ mode: "serial" });

async function settledOrder(page: Page): Promise<void> {
  await page.goto(instance("order-418337"));
  await expect(page.getByRole("button", { name: /^approval awaited/ })).toBeVisible();
  await expect(page.getByRole("button", { name: /^bookCourier activity, failed, retries/ })).toBeVisible();
}

test("seed", async ({ api, page }) => {
  await seed(api);
  await settledOrder(page);
});

for (const theme of ["light", "dark"] as const) {
  test(theme, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    const shot = async (name: string, dir = looks) => page.screenshot({ path: join(dir, `${name}-${theme}.png`) });

    // Small enough to be looked at beside text.
    await page.setViewportSize({ width: 1280, height: 760 });
    await page.goto(list());
    await expect(row(page, "order-418337")).toBeVisible();
    await page.keyboard.press("j");
    await shot("list", docs);

    await settledOrder(page);
    await page.getByRole("button", { name: /^chargeCard/ }).click();
    await expect(page.getByRole("complementary").getByLabel("Output", { exact: true })).toBeVisible();
    await shot("instance", docs);

    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(instance("order-418337", "tab=history&e=14"));
    await expect(page.getByRole("complementary").getByLabel("Output", { exact: true })).toBeVisible();
    await shot("history");
    await page.goto(instance("order-418337", "tab=io"));
    await expect(page.getByLabel("Input", { exact: true })).toBeVisible();
    await shot("io");
    await page.getByRole("button", { name: "Terminate" }).click();
    await shot("terminate");
    await page.goto(list("sandbox"));
    await expect(page.getByRole("heading", { name: "Run your first orchestration" })).toBeVisible();
    await shot("empty-hub");
    await page.goto(list("payments", "name=Nothing&status=FAILED"));
    await expect(page.getByText(/^gives/).first()).toBeVisible();
    await shot("empty-filter");
    await page.goto(instance("no-such-order"));
    await expect(page.getByRole("heading", { name: /There is no instance/ })).toBeVisible();
    await shot("not-found");
    await page.goto(list());
    await expect(row(page, "order-418337")).toBeVisible();
    await page.keyboard.press("/");
    await expect(page.getByRole("listbox")).toBeVisible();
    await shot("filter");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Start orchestration" }).click();
    await page.getByLabel("Input").fill('{ "orderId": 12, }');
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await shot("start");

    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(list());
    await expect(row(page, "order-418337")).toBeVisible();
    await shot("list-390");
    await settledOrder(page);
    await shot("instance-390");

    await page.setViewportSize({ width: 1440, height: 900 });
    await page.route("**/graphql", async (route) => {
      const query = route.request().postDataJSON()?.query as string;
      if (query.includes("query Server")) await route.continue();
      else if (query.includes("query List")) {
        await route.fulfill({
          contentType: "application/json",
          headers: { "x-request-id": "req_01K9XQ4M7D" },
          body: JSON.stringify({ errors: [{ message: "the server took longer than 10 s", extensions: { code: "UNAVAILABLE" } }] }),
        });
      }
      // Others stay without an answer.
    });
    await page.goto(list());
    await expect(page.getByRole("alert")).toBeVisible();
    await shot("error");
    await page.unroute("**/graphql");
    await page.route("**/graphql", async (route) => {
      if ((route.request().postDataJSON()?.query as string).includes("query Server")) await route.continue();
    });
    await page.goto(list());
    await expect(page.locator(".skeleton").first()).toBeVisible();
    await shot("loading");
  });
}

