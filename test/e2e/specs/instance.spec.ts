import { accessible, expect, instance, list, row, test, worker } from "../test";

test("an instance opens from the list and is followed live", async ({ page, api }) => {
  await api.start("Approval", { id: "follow-1" });
  await page.goto(list("payments", "id=follow-"));
  await row(page, "follow-1").click();
  await expect(page).toHaveURL(instance("follow-1"));
  await expect(page.getByRole("heading", { name: "Approval" })).toBeVisible();
  await expect(page.getByText("Waits for event approval")).toBeVisible();
  await page.getByRole("link", { name: /^History/ }).click();
  await expect(page.getByRole("row").filter({ hasText: "ExecutionStarted" })).toBeVisible();
  await api.raise("follow-1", "approval", true);
  await expect(page.getByRole("row").filter({ hasText: "EventRaised" })).toBeVisible();
  await expect(page.getByRole("row").filter({ hasText: "ExecutionCompleted" })).toBeVisible();
  await expect(page.locator(".head .st")).toHaveText("Completed");
});

test("an event is raised from the page", async ({ page, api }) => {
  await api.start("Approval", { id: "raise-1" });
  await page.goto(instance("raise-1"));
  await page.getByRole("button", { name: "Raise approval" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByLabel("Name")).toHaveValue("approval");
  await dialog.getByLabel("Payload").fill("yes");
  await dialog.getByRole("button", { name: "Raise event" }).click();
  await expect(dialog.getByText("Line 1, column 1: yes is no JSON")).toBeVisible();
  await dialog.getByLabel("Payload").fill("true");
  await dialog.getByRole("button", { name: "Raise event" }).click();
  await expect(page.getByText("Event approval recorded")).toBeVisible();
  await expect(page.locator(".head .st")).toHaveText("Completed");
  await page.getByRole("link", { name: "Input and output" }).click();
  await expect(page.getByLabel("Output", { exact: true })).toHaveText("true");
});

test("an instance is terminated, with a reason", async ({ page, api }) => {
  await api.start("Approval", { id: "terminate-1" });
  await page.goto(instance("terminate-1"));
  await page.getByRole("button", { name: "Terminate" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Terminate" }).click();
  await expect(dialog.getByText("A reason is missing.")).toBeVisible();
  await dialog.getByRole("textbox", { name: "Reason" }).fill("duplicate of order 7");
  await dialog.getByRole("button", { name: "Terminate" }).click();
  await expect(page.locator(".head .st")).toHaveText("Terminated");
  await expect(page.getByRole("status").getByText("duplicate of order 7")).toBeVisible();
  const button = page.getByRole("button", { name: "Terminate" });
  await expect(button).toHaveAttribute("aria-disabled", "true");
  await expect(button).toHaveAttribute("title", "It has ended: terminated.");
});

test("the timeline has a lane for each task, and a lane opens its details", async ({ page, api }) => {
  await api.start("OrderFulfilment", { id: "timeline-1", version: "2.4.1", input: { id: 21, total: "129.90" } });
  await page.goto(instance("timeline-1"));
  const lanes = page.getByRole("list", { name: "Timeline" });
  await expect(lanes.getByRole("button", { name: /^validateOrder activity, completed/ })).toBeVisible();
  await expect(lanes.getByRole("button", { name: /^chargeCard activity, completed/ })).toBeVisible();
  await expect(lanes.getByRole("button", { name: /^FraudReview child, completed/ })).toBeVisible();
  await expect(lanes.getByRole("button", { name: /^sendReceipt activity, failed/ })).toBeVisible();
  await expect(lanes.getByRole("button", { name: /^renderLabel activity, running/ })).toBeVisible();
  await expect(lanes.getByRole("button", { name: /^timer timer, waiting/ })).toBeVisible();
  await expect(lanes.getByRole("button", { name: /^approval awaited, waiting/ })).toBeVisible();
  await lanes.getByRole("button", { name: /^sendReceipt/ }).click();
  const panel = page.getByRole("complementary", { name: "sendReceipt" });
  await expect(panel.getByText("421 try again later").first()).toBeVisible();
  await expect(panel.getByRole("table").getByRole("row")).toHaveCount(4);
  await expect(panel.getByLabel("Input", { exact: true })).toContainText('"total": "129.90"');
  await expect(page).toHaveURL(/e=\d+/);
  await page.reload();
  await expect(panel).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(panel).toBeHidden();
});

test("the picture is drawn, moves, and fits again", async ({ page, api }) => {
  await api.start("Parcels", { id: "draw-1", input: 50 });
  await api.until("draw-1", "COMPLETED");
  await page.goto(instance("draw-1"));
  const canvas = page.locator(".tl-canvas");
  const picture = async () => canvas.evaluate((c) => (c as HTMLCanvasElement).toDataURL());
  await expect(page.getByRole("button", { name: /^packParcel/ }).first()).toBeVisible();
  // Lanes are virtual: 51 of them, of which those in sight are in the document.
  expect(await page.getByRole("button", { name: /^packParcel/ }).count()).toBeLessThan(50);
  const colours = await canvas.evaluate((c) => {
    const { data } = (c as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, (c as HTMLCanvasElement).width, (c as HTMLCanvasElement).height) ?? { data: [] };
    return new Set(Array.from({ length: data.length / 4 }, (_, i) => `${data[i * 4]},${data[i * 4 + 1]},${data[i * 4 + 2]}`)).size;
  });
  expect(colours).toBeGreaterThan(3);
  const fitted = await picture();
  await page.keyboard.press("+");
  await page.keyboard.press("+");
  await expect.poll(picture).not.toBe(fitted);
  await page.keyboard.press("0");
  await expect.poll(picture).toBe(fitted);
});

test("the history is filtered, folded and linked to", async ({ page, api }) => {
  await api.start("Breaks", { id: "history-1", input: "disk on fire" });
  await api.until("history-1", "FAILED");
  await page.goto(instance("history-1", "tab=history"));
  const grid = page.getByRole("grid", { name: "History" });
  await expect(grid.getByRole("row").filter({ hasText: "TaskScheduled" })).toBeVisible();
  await expect(grid.getByRole("row").filter({ hasText: "OrchestratorStarted" })).toHaveCount(0);
  await page.getByLabel("Fold turns").uncheck();
  await expect(grid.getByRole("row").filter({ hasText: "OrchestratorStarted" }).first()).toBeVisible();
  await page.getByLabel("Only failures").check();
  await expect(grid.getByRole("row")).toHaveCount(3); // the head, the task, the instance
  await grid.getByRole("row").filter({ hasText: "TaskFailed" }).click();
  const panel = page.getByRole("complementary", { name: "TaskFailed" });
  await expect(panel.getByText("disk on fire")).toBeVisible();
  const address = page.url();
  await page.goto("about:blank");
  await page.goto(address);
  await expect(page.getByRole("complementary", { name: "TaskFailed" })).toBeVisible();
  await expect(page.getByLabel("Only failures")).toBeChecked();
  await panel.getByRole("button", { name: /^event \d+$/ }).click();
  await expect(page.getByRole("complementary", { name: "TaskScheduled" }).getByLabel("Input", { exact: true })).toContainText("disk on fire");
  await page.getByRole("button", { name: "Compact" }).click();
  await page.getByLabel("Only failures").uncheck();
  await page.getByLabel("Filter events").fill("/always.ails/");
  await expect(grid.getByRole("row")).toHaveCount(3); // the head, the instance that failed by it, the task
});

test("a failed instance says what failed", async ({ page, api }) => {
  await api.start("OrderFulfilment", { id: "declined-1", version: "2.4.1", input: { id: 31, total: "" } });
  await page.goto(instance("declined-1", "tab=io"));
  await expect(page.locator(".head .st")).toHaveText("Failed");
  await expect(page.getByText("card_declined").first()).toBeVisible();
});

test("a new generation replaces the history of the one before", async ({ page, api }) => {
  await api.start("Monitor", { id: "eternal-1", input: 1 });
  await page.goto(instance("eternal-1", "tab=history"));
  await expect(page.getByRole("row").filter({ hasText: "ExecutionStarted" })).toBeVisible();
  for (const n of [1, 2]) {
    await api.raise("eternal-1", "go-on");
    await expect(page.locator(".facts").getByText("Generation")).toBeVisible();
    await expect(page.locator(".facts")).toContainText(`Generation${n}`);
  }
  await expect(page.getByRole("row").filter({ hasText: "ExecutionStarted" })).toHaveCount(1);
  await expect(page.getByRole("row").filter({ hasText: "generation 2" })).toBeVisible();
});

test("a held turn is explained: which step, what the history has, what the code does", async ({ page, api }) => {
  const before = worker("drift");
  await api.start("Drifts", { id: "drifts-1", hub: "drift" });
  await page.goto(instance("drifts-1", "", "drift"));
  await expect(page.getByText("Waits for event go-on")).toBeVisible();
  await before.stop();
  const after = worker("drift", { WEIR_E2E_DRIFT: "1" });
  try {
    await api.raise("drifts-1", "go-on", undefined, "drift");
    await expect(page.locator(".head .st")).toHaveText("Held");
    const why = page.getByRole("region", { name: "Why the turn is held" });
    await expect(why).toContainText("sayHello");
    await expect(why).toContainText("sayGoodbye");
  } finally {
    await after.stop();
  }
});

test("an instance that does not exist is told as such", async ({ page }) => {
  await page.goto(instance("no-such-instance"));
  await expect(page.getByRole("heading", { name: "There is no instance no-such-instance" })).toBeVisible();
  await page.getByRole("link", { name: /Instances whose id starts with/ }).click();
  await expect(page).toHaveURL(/orchestrations\?id=no-suc/);
});

test("a long status and a stack of markup stay inside", async ({ page, api }) => {
  await api.start("Odd", { id: "odd-status" });
  await api.until("odd-status", "RUNNING");
  for (const width of [1440, 800, 360, 320]) {
    await page.setViewportSize({ width, height: 740 });
    for (const tab of ["", "tab=history", "tab=io", "tab=history&e=2"]) {
      await page.goto(instance("odd-status", tab));
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), `${width} ${tab}`).toBe(0);
    }
  }
});

for (const theme of ["light", "dark"] as const) {
  test(`axe finds nothing on the instance page, ${theme}`, async ({ page, api }) => {
    const id = `axe-${theme}`;
    await api.start("OrderFulfilment", { id, version: "2.4.1", input: { id: theme === "light" ? 41 : 42, total: "129.90" } });
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await page.goto(instance(id));
    await expect(page.getByRole("button", { name: /^approval awaited/ })).toBeVisible();
    await accessible(page);
    await page.getByRole("button", { name: /^chargeCard/ }).click();
    await expect(page.getByRole("complementary").getByLabel("Input", { exact: true })).toBeVisible();
    await accessible(page);
    await page.getByRole("link", { name: /^History/ }).click();
    await expect(page.getByRole("row").filter({ hasText: "TaskFailed" })).toBeVisible();
    await accessible(page);
    await page.getByRole("link", { name: "Input and output" }).click();
    await expect(page.getByLabel("Input", { exact: true })).toBeVisible();
    await accessible(page);
    await page.getByRole("button", { name: "Terminate" }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await accessible(page);
  });
}
