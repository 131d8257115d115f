import { freePort } from "../processes";
import { expect, row, secondServer, test } from "../test";

test("below a path of its own everything works: pages, assets, the API, the stream, and links", async ({ page, api }) => {
  const port = await freePort();
  const server = await secondServer(port, { WEIR_PATH: "/tools/weir/" });
  try {
    const url = `http://127.0.0.1:${port}/tools/weir`;
    await api.start("Approval", { id: "prefix-1" });
    await page.goto(`${url}/`);
    await page.getByLabel("Task hub").selectOption("payments");
    await expect(page).toHaveURL(`${url}/h/payments/orchestrations`);
    await page.getByRole("combobox", { name: "Add filter" }).fill("prefix-");
    await page.keyboard.press("Enter");
    await row(page, "prefix-1").click();
    await expect(page).toHaveURL(`${url}/h/payments/o/prefix-1`);
    await expect(page.getByText("Waits for event approval")).toBeVisible();
    await api.raise("prefix-1", "approval", true);
    await expect(page.locator(".head .st")).toHaveText("Completed");
    await page.reload();
    await expect(page.getByRole("heading", { name: "Approval" })).toBeVisible();
  } finally {
    await page.goto("about:blank"); // it would rightly complain that its server is gone
    await server.stop();
  }
});
