import { accessible, expect, instance, test } from "../test";

test("progress is shown as it is said, and a value opens", async ({ page, api }) => {
  await api.start("Import", { id: "progress-1", input: 3 });
  await page.goto(instance("progress-1"));
  await page.getByRole("link", { name: "Progress" }).click();
  const grid = page.getByRole("grid", { name: "Progress" });
  await expect(grid.getByRole("row").filter({ hasText: '"done":3' }).first()).toBeVisible();
  await expect(grid.getByRole("row").filter({ hasText: "copyRows" })).toContainText('"table":"copies"');
  await expect(grid.getByRole("row")).toHaveCount(5); // the head too
  await accessible(page);
  await api.raise("progress-1", "approval", true);
  const last = grid.getByRole("row").filter({ hasText: "all rows are there" });
  await expect(last).toContainText("…");
  await last.click();
  const panel = page.getByRole("complementary", { name: "Record 5" });
  // Whole, though the line has only its beginning.
  await expect(panel.getByLabel("Value", { exact: true })).toHaveText(`"${"all rows are there; ".repeat(50)}"`);
  await expect(page).toHaveURL(/p=5/);
  await page.keyboard.press("ArrowUp");
  await expect(page.getByRole("complementary", { name: "Record 4" }).getByLabel("Value", { exact: true })).toContainText('"table": "copies"');
  await accessible(page);
  await page.reload();
  await expect(page.getByRole("complementary", { name: "Record 4" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("complementary")).toHaveCount(1); // the rail
});

test("much progress is read to its end, and only what is in sight is in the document", async ({ page, api }) => {
  await api.start("Import", { id: "progress-many", input: 5000 });
  await page.goto(instance("progress-many", "tab=progress"));
  await expect(page.getByText("5,001 records", { exact: true })).toBeVisible();
  const grid = page.getByRole("grid", { name: "Progress" });
  // It follows what comes.
  await expect(grid.getByRole("row").filter({ hasText: "copyRows" })).toBeVisible();
  expect(await grid.getByRole("row").count()).toBeLessThan(80);
  await grid.focus();
  await page.keyboard.press("Home");
  await expect(page.getByRole("complementary", { name: "Record 1", exact: true })).toBeVisible();
  await expect(grid.getByRole("row").filter({ hasText: '"done":1,' }).first()).toBeVisible();
  await expect(page.getByLabel("Follow")).not.toBeChecked();
  await page.getByLabel("Follow").check();
  await expect(grid.getByRole("row").filter({ hasText: "copyRows" })).toBeVisible();
});

test("what is picked, or paged up to, stays in sight while more is said", async ({ page, api }) => {
  await api.start("Import", { id: "progress-picked", input: 200 });
  await page.goto(instance("progress-picked", "tab=progress"));
  await expect(page.getByText("201 records", { exact: true })).toBeVisible();
  const grid = page.getByRole("grid", { name: "Progress" });
  const follow = page.getByLabel("Follow");
  await grid.focus();
  await page.keyboard.press("PageUp");
  await expect(follow).not.toBeChecked();
  await follow.check();
  const picked = grid.getByRole("row").filter({ hasText: '"done":195,' });
  await picked.click();
  await expect(follow).not.toBeChecked();
  const before = await picked.boundingBox();
  await api.raise("progress-picked", "approval", true);
  await expect(page.getByText("202 records", { exact: true })).toBeVisible();
  expect(await picked.boundingBox()).toEqual(before);
});

test("an instance that has said nothing says so, and what calls are given is shown", async ({ page, api }) => {
  await api.start("Import", { id: "progress-none", input: 0 });
  await page.goto(instance("progress-none", "tab=progress"));
  await expect(page.getByText("It has said nothing yet of how far it is.")).toBeVisible();
  await accessible(page);
  await api.raise("progress-none", "approval", true);
  await expect(page.getByText("1 record", { exact: true })).toBeVisible();

  await api.start("Mailing", { id: "mailing-facts", input: "ada" });
  await page.goto(instance("mailing-facts"));
  await page.getByRole("button", { name: /^sendMail activity/ }).click();
  const panel = page.getByRole("complementary", { name: "sendMail" });
  await expect(panel.locator("dl")).toContainText(/Priority\s*3/);
  await expect(panel.locator("dl")).toContainText(/Limit\s*mail/);
  await expect(panel.locator("dl")).toContainText(/Limit key\s*ada/);
});
