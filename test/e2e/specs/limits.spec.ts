import { accessible, at, documentOf, expect, type Page, test } from "../test";

const limits = (hub = "payments") => `${at.url}/h/${hub}/limits`;
const line = (page: Page, name: string) => page.getByRole("row", { name, exact: true });

test("a limit is created, changed and deleted, and fields say what is wrong", async ({ page }) => {
  await page.goto(limits("sandbox"));
  await expect(page.getByRole("heading", { name: "No limits" })).toBeVisible();
  await accessible(page);
  await page.getByRole("button", { name: "Create limit" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Create limit" }).click();
  await expect(dialog.getByText("A name is missing.")).toBeVisible();
  await expect(dialog.getByText("Give this or a rate")).toBeVisible();
  await accessible(page);
  await dialog.getByLabel("Name").fill("n".repeat(81));
  await dialog.getByLabel("Rate").fill("10");
  await dialog.getByLabel("Period").fill("soon");
  await dialog.getByRole("button", { name: "Create limit" }).click();
  // The server's own words, at the field they are about.
  await expect(dialog.getByText(/"soon" is no length of time/)).toBeVisible();
  await dialog.getByLabel("Period").fill("1m");
  await dialog.getByRole("button", { name: "Create limit" }).click();
  await expect(dialog.getByText(/81/)).toBeVisible();
  await dialog.getByLabel("Name").fill("provider");
  await dialog.getByRole("button", { name: "Create limit" }).click();
  await expect(page.getByText("Limit provider created")).toBeVisible();
  await expect(line(page, "provider")).toContainText("10 in 1m");

  await page.getByRole("button", { name: "Change provider" }).click();
  await expect(dialog.getByLabel("Period")).toHaveValue("1m");
  await dialog.getByLabel("Concurrency").fill("4");
  await dialog.getByLabel("Burst").fill("3");
  await dialog.getByRole("button", { name: "Change limit" }).click();
  await expect(line(page, "provider")).toContainText("0 of 4");
  await expect(line(page, "provider")).toContainText("10 in 1m, at most 3 at once");

  await page.getByRole("button", { name: "Delete provider" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByText("Limit provider deleted")).toBeVisible();
  await expect(page.getByRole("heading", { name: "No limits" })).toBeVisible();
});

test("calls wait for a limit until it is created, and it shows who holds its places", async ({ page, api }) => {
  for (const id of ["mailing-1", "mailing-2", "mailing-3"]) await api.start("Mailing", { id, input: "bob" });
  await page.goto(limits());
  await expect(line(page, "mail")).toContainText("Not created");
  await page.getByRole("button", { name: "Create mail" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Concurrency").fill("2");
  await dialog.getByRole("button", { name: "Create limit" }).click();
  await expect(line(page, "mail")).toContainText("2 of 2");
  await expect(line(page, "mail").getByRole("cell").nth(2)).toHaveText(/^1/);
  const gone = page.getByRole("button", { name: "Delete mail" });
  await expect(gone).toHaveAttribute("title", "3 calls are bound by it.");
  await line(page, "mail").getByRole("button", { name: "mail", exact: true }).click();
  const panel = page.getByRole("complementary", { name: "Limit mail" });
  await expect(panel.getByRole("link", { name: /^mailing-/ })).toHaveCount(2);
  await expect(panel.getByRole("cell", { name: "bob" })).toHaveCount(2);
  await accessible(page);
  await page.keyboard.press("Escape");
  await expect(panel).toBeHidden();
  // Places are given back, and given on.
  for (const id of ["mailing-1", "mailing-2", "mailing-3"]) {
    await api.ask('mutation($id: String!) { terminateOrchestration(input: {hub: "payments", instanceId: $id, reason: "enough"}) { requestId } }', { id });
  }
  await expect(line(page, "mail")).toContainText("0 of 2");
  await gone.click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(line(page, "mail")).toHaveCount(0);
});

test("the rail leads to the limits and back, and the hub switcher stays there", async ({ page }) => {
  await page.goto(`${at.url}/h/payments/orchestrations`);
  await page.getByRole("link", { name: "Limits" }).click();
  await expect(page).toHaveURL(limits());
  await page.getByLabel("Task hub").selectOption("crowd");
  await expect(page).toHaveURL(limits("crowd"));
  await page.getByRole("link", { name: "Orchestrations" }).click();
  await expect(page).toHaveURL(`${at.url}/h/crowd/orchestrations`);
});

test.describe("what cannot be read", () => {
  test.use({ expected: [/500/] });

  test("is said, with what was read before", async ({ page }) => {
    let broken = true;
    await page.route("**/graphql", async (route) => {
      if (broken && documentOf(route.request()).includes("query Limits")) {
        await route.fulfill({ status: 500, json: { errors: [{ message: "the database does not answer", extensions: { code: "UNAVAILABLE", requestId: "req_X" } }] } });
      } else await route.continue();
    });
    await page.goto(limits("crowd"));
    await expect(page.getByRole("alert")).toContainText("The limits could not be read: the database does not answer");
    broken = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.getByRole("alert")).toHaveCount(0);
    await expect(page.getByRole("heading", { name: "No limits" })).toBeVisible();
  });
});
