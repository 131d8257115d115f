import { accessible, at, documentOf, expect, instance, list, row, test } from "../test";

test("the root leads to the first hub", async ({ page }) => {
  await page.goto(at.url);
  await expect(page).toHaveURL(/\/h\/crowd\/orchestrations$/);
});

test("the list is live: an instance appears and changes without a reload", async ({ page, api }) => {
  await page.goto(list("payments", "id=live-"));
  await expect(page.getByText("No instance matches")).toBeVisible();
  await expect(page.getByRole("button", { name: /^Live/ })).toBeVisible();
  await api.start("Approval", { id: "live-1" });
  await expect(row(page, "live-1")).toContainText("Running");
  await expect(row(page, "live-1")).toContainText("waiting for a person");
  await api.raise("live-1", "approval", true);
  await expect(row(page, "live-1")).toContainText("Completed");
  await expect(page.getByRole("link", { name: "Completed 1" })).toBeVisible();
});

test("a status tab lets go of what leaves it", async ({ page, api }) => {
  await api.start("Approval", { id: "leaves-1" });
  await page.goto(list("payments", "id=leaves-&status=RUNNING"));
  await expect(row(page, "leaves-1")).toBeVisible();
  await api.raise("leaves-1", "approval", true);
  await expect(row(page, "leaves-1")).toBeHidden();
  await page.getByRole("link", { name: "Completed 1" }).click();
  await expect(row(page, "leaves-1")).toBeVisible();
});

test("filters are chips in the address, and Back restores them", async ({ page, api }) => {
  await api.start("Greet", { id: "filter-greet", input: "Ada" });
  await api.start("Approval", { id: "filter-approval" });
  await page.goto(list());
  await expect(row(page, "filter-approval")).toBeVisible();
  await page.keyboard.press("/");
  await expect(page.getByRole("combobox", { name: "Add filter" })).toBeFocused();
  await page.keyboard.type("filter-");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/id=filter-/);
  await expect(row(page, "filter-greet")).toBeVisible();
  await expect(row(page, "filter-approval")).toBeVisible();
  await page.getByRole("combobox", { name: "Add filter" }).fill("name:Greet");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/name=Greet&id=filter-/);
  await expect(row(page, "filter-approval")).toBeHidden();
  await expect(row(page, "filter-greet")).toBeVisible();
  await page.goBack();
  await expect(page).not.toHaveURL(/name=Greet/);
  await expect(row(page, "filter-approval")).toBeVisible();
  await page.getByRole("button", { name: "Remove filter id filter-…" }).click();
  await expect(page).not.toHaveURL(/id=/);
});

test("roots only hides children until it is switched off", async ({ page, api }) => {
  await api.start("OrderFulfilment", { id: "roots-1", version: "2.4.1", input: { id: 11, total: "1" } });
  await page.goto(list("payments", "name=FraudReview"));
  await expect(page.getByText("No instance matches")).toBeVisible();
  await page.getByLabel("Roots only").uncheck();
  await expect(page).toHaveURL(/children=1/);
  await expect(row(page, "fraud-roots-1")).toBeVisible();
});

test("new rows wait in a bar while the list is scrolled", async ({ page, api }) => {
  for (let i = 0; i < 60; i++) await api.start("Idle", { id: `scroll-${i}`, hub: "crowd" });
  await page.goto(list("crowd"));
  await expect(row(page, "scroll-59")).toBeVisible();
  const grid = page.getByRole("grid", { name: "Instances" });
  // The page knows of it a frame or two after the event; a row that comes before is let in at once.
  await grid.evaluate(
    (e) =>
      new Promise<void>((known) => {
        e.addEventListener("scroll", () => requestAnimationFrame(() => requestAnimationFrame(() => known())), { once: true });
        e.scrollTo({ top: 300 });
      }),
  );
  await api.start("Idle", { id: "scroll-late", hub: "crowd" });
  await expect(page.getByRole("button", { name: /^1 new since/ })).toBeVisible();
  await expect(row(page, "scroll-late")).toBeHidden();
  await page.keyboard.press("n");
  await expect(row(page, "scroll-late")).toBeVisible();
  await expect(page.getByRole("button", { name: /new since/ })).toBeHidden();
});

test("long lists are read page by page and only what is in sight is drawn", async ({ page, api }) => {
  await api.start("Idle", { id: "page-oldest", hub: "crowd" });
  await Promise.all(Array.from({ length: 260 }, (_, i) => api.start("Idle", { id: `page-${i}`, hub: "crowd" })));
  await page.goto(list("crowd", "id=page-"));
  const grid = page.getByRole("grid", { name: "Instances" });
  await expect(grid.getByRole("link").first()).toBeVisible();
  await expect
    .poll(async () => {
      await grid.evaluate((e) => e.scrollTo({ top: e.scrollHeight }));
      return row(page, "page-oldest").isVisible();
    })
    .toBe(true);
  await expect(grid).toHaveAttribute("aria-rowcount", "262"); // with the head
  expect(await grid.getByRole("row").count()).toBeLessThan(60);
});

test("paused by a person, the list stands still; resumed, it catches up", async ({ page, api }) => {
  await api.start("Approval", { id: "pause-1" });
  await page.goto(list("payments", "id=pause-"));
  await expect(row(page, "pause-1")).toContainText("Running");
  await page.getByRole("button", { name: /^Live/ }).click();
  await expect(page.getByRole("button", { name: /^Paused by you/ })).toBeVisible();
  await api.raise("pause-1", "approval", true);
  await api.until("pause-1", "COMPLETED");
  await expect(row(page, "pause-1")).toContainText("Running");
  await page.getByRole("button", { name: /^Paused by you/ }).click();
  await expect(row(page, "pause-1")).toContainText("Completed");
});

test("the keyboard reaches, opens and leaves", async ({ page, api }) => {
  for (const n of [1, 2, 3]) await api.start("Greet", { id: `keys-${n}`, input: "Ada" });
  await page.goto(list("payments", "id=keys-"));
  await expect(row(page, "keys-3")).toBeVisible();
  await page.keyboard.press("j");
  await expect(row(page, "keys-3")).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await expect(row(page, "keys-2")).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(instance("keys-2"));
  await expect(page.getByRole("heading", { name: "Greet" })).toBeVisible();
  await page.goBack();
  await expect(row(page, "keys-2")).toBeVisible();
  await page.keyboard.press("j");
  await page.keyboard.press("o");
  await expect(page).toHaveURL(instance("keys-3"));
});

test("an instance is started from the list, and wrong input is shown where it is wrong", async ({ page }) => {
  await page.goto(list());
  await page.getByRole("button", { name: "Start orchestration" }).click();
  const dialog = page.getByRole("dialog", { name: "Start orchestration" });
  await dialog.getByLabel("Name").fill("Greet");
  await dialog.getByLabel("Instance id").fill("started-here");
  await dialog.getByLabel("Input").fill('{ "orderId": 12, }');
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(dialog.getByText("Line 1, column 18: a key is missing after the comma.")).toBeVisible();
  await dialog.getByLabel("Input").fill('"9007199254740993123"');
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page).toHaveURL(instance("started-here"));
  await page.getByRole("link", { name: "Input and output" }).click();
  await expect(page.getByLabel("Output", { exact: true })).toContainText("Hello, 9007199254740993123");
});

test("an id that exists is refused at its field", async ({ page, api }) => {
  await api.start("Greet", { id: "taken", input: "Ada" });
  await page.goto(list());
  await page.getByRole("button", { name: "Start orchestration" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Greet");
  await dialog.getByLabel("Instance id").fill("taken");
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(dialog.getByRole("alert")).toContainText(/exist/i);
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
});

test("numbers keep their digits on the way in and out", async ({ page }) => {
  await page.goto(list());
  await page.getByRole("button", { name: "Start orchestration" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Approval");
  await dialog.getByLabel("Instance id").fill("digits");
  await dialog.getByLabel("Input").fill('{ "id": 900719925474099267, "x": 1.10 }');
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await page.getByRole("link", { name: "Input and output" }).click();
  const input = page.getByLabel("Input", { exact: true });
  await expect(input).toContainText("900719925474099267");
  await expect(input).toContainText("1.10");
});

test("an empty hub says how to begin", async ({ page }) => {
  await page.goto(list("sandbox"));
  await expect(page.getByRole("heading", { name: "Run your first orchestration" })).toBeVisible();
  await page.getByLabel("Task hub").selectOption("payments");
  await expect(page).toHaveURL(list("payments"));
});

test("an error is told with its code and the request's id, and can be tried again", async ({ page, expected }) => {
  expected.push(/Failed to load resource/);
  let broken = true;
  await page.route("**/graphql", async (route) => {
    if (broken && documentOf(route.request()).includes("query List")) {
      await route.fulfill({
        status: 200,
        contentType: "application/json",
        headers: { "x-request-id": "req_TEST" },
        body: JSON.stringify({ data: null, errors: [{ message: "the server took longer than 2 s", extensions: { code: "UNAVAILABLE" } }] }),
      });
    } else await route.continue();
  });
  await page.goto(list());
  const alert = page.getByRole("alert");
  await expect(alert).toContainText("The list could not be read: the server took longer than 2 s.");
  await expect(alert).toContainText("UNAVAILABLE");
  await expect(alert).toContainText("req_TEST");
  broken = false;
  await alert.getByRole("button", { name: "Try again" }).click();
  await expect(alert).toBeHidden();
});

test("odd names do not break the layout or become markup", async ({ page, api }) => {
  const piece = '<b onmouseover="alert(1)">Długa</b> نظام الطلبات 🛒 注文処理 ';
  const name = [...piece.repeat(3)].slice(0, 80).join("").trim();
  await api.start(name, { id: `odd-${"x".repeat(190)}` });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(list("payments", "id=odd-"));
  await expect(page.getByText(name.slice(0, 20)).first()).toBeVisible();
  expect(await sideways(page)).toBe(0);
  await page.goto(instance(`odd-${"x".repeat(190)}`));
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(name);
  expect(await sideways(page)).toBe(0);
});

for (const theme of ["light", "dark"] as const) {
  test(`axe finds nothing on the list, ${theme}`, async ({ page, api }) => {
    await api.start("Breaks", { id: `axe-fails-${theme}`, input: "no answer" });
    await api.start("Approval", { id: `axe-waits-${theme}` });
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await page.goto(list());
    await expect(row(page, `axe-waits-${theme}`)).toContainText("Running");
    await expect(row(page, `axe-fails-${theme}`)).toContainText("Failed");
    await accessible(page);
    await page.goto(list("payments", "id=nothing-like-this&created=1h"));
    await expect(page.getByText("No instance matches")).toBeVisible();
    await accessible(page);
    await page.getByRole("button", { name: "Start orchestration" }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await accessible(page);
    await page.goto(list("sandbox"));
    await expect(page.getByRole("heading", { name: "Run your first orchestration" })).toBeVisible();
    await accessible(page);
  });
}

test("nothing scrolls sideways at 360 and 320 pixels", async ({ page }) => {
  for (const width of [360, 320]) {
    await page.setViewportSize({ width, height: 740 });
    await page.goto(list());
    await expect(page.getByRole("grid")).toBeVisible();
    expect(await sideways(page)).toBe(0);
    await page.getByRole("button", { name: "Menu" }).click();
    await expect(page.getByRole("link", { name: "Orchestrations" })).toBeVisible();
  }
});

async function sideways(page: import("@playwright/test").Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
