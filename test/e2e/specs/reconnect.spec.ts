import { freePort } from "../processes";
import { API, expect, row, secondServer, test } from "../test";

// A second server on the same database, so that it can be restarted under an open page while the worker goes on.
test("a restart of the server loses nothing: the page reconnects and the history has no gap", async ({ page, request, expected, api }) => {
  test.setTimeout(180_000);
  expected.push(/WebSocket connection|Failed to load resource|ERR_CONNECTION/);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const begin = () => secondServer(port);
  let server = await begin();
  const listed = await page.context().newPage();
  try {
    await api.start("Approval", { id: "restart-1" });
    await page.goto(`${url}/h/payments/o/restart-1?tab=history`);
    await listed.goto(`${url}/h/payments/orchestrations?id=restart-`);
    await expect(page.getByText("Waits for event approval")).toBeVisible();
    await expect(row(listed, "restart-1")).toContainText("Running");
    await expect(page.getByRole("button", { name: /^Live/ })).toBeVisible();

    await server.stop("SIGKILL");
    await expect(page.getByRole("button", { name: /^Reconnecting/ })).toBeVisible();
    // Things go on meanwhile, by the other server.
    await api.raise("restart-1", "approval", true);
    await api.until("restart-1", "COMPLETED");
    await api.start("Approval", { id: "restart-2" });

    server = await begin();
    await expect(page.getByRole("button", { name: /^Live/ })).toBeVisible();
    await expect(page.locator(".head .st")).toHaveText("Completed");
    await page.getByLabel("Fold turns").uncheck();
    const cells = page.getByRole("grid", { name: "History" }).getByRole("row").locator(":scope > :first-child");
    const want = await new API(request, url).seqs("restart-1");
    await expect(cells).toHaveText(["Seq", ...want]);
    await expect(row(listed, "restart-1")).toContainText("Completed");
    await expect(row(listed, "restart-2")).toContainText("Running");

    // In order, too: the streams end without an error, and are opened again.
    await server.stop();
    server = await begin();
    await expect(listed.getByRole("button", { name: /^Live/ })).toBeVisible();
    await api.raise("restart-2", "approval", true);
    await expect(row(listed, "restart-2")).toContainText("Completed");
  } finally {
    await server.stop();
    await listed.close();
  }
});
