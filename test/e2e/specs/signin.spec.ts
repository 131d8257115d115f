import type { Page } from "@playwright/test";
import { freePort, type Program } from "../processes";
import { TestProvider } from "../provider";
import { accessible, documentOf, expect, secondServer, test } from "../test";

// What the browser says of answers that a test wants: 401 and 403, and sockets that are refused.
test.use({ expected: [[/status of 401/, /WebSocket connection to .* failed/, /ERR_CONNECTION/], { scope: "test" }] });

const admin = "a token of the tests, long enough".replaceAll(/[ ,]/g, "-");

let url: string;
let server: Program;
let provider: TestProvider;

test.beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  provider = await TestProvider.start(url);
  server = await secondServer(port, {
    WEIR_ALLOW_ANYBODY: "false",
    WEIR_ADMIN_TOKEN: admin,
    WEIR_PUBLIC_URL: url,
    WEIR_OIDC: provider.setting,
  });
});

// The provider's own pages ask for fonts and an icon that are not there.
test.beforeEach(async ({ page }) => {
  await page.route(/fonts\.googleapis\.com|fonts\.gstatic\.com/, (route) => route.fulfill({ status: 200, contentType: "text/css", body: "" }));
  await page.route(`${provider.issuer}/favicon.ico`, (route) => route.fulfill({ status: 204 }));
});

test.afterAll(async () => {
  await server.stop();
  await provider.stop();
});

/** Signs in at the provider, whose pages are not ours. */
async function signIn(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name: "Continue with Example ID" }).click();
  await page.locator('input[name="login"]').fill(name);
  await page.locator('input[name="password"]').fill("anything");
  await page.locator('button[type="submit"]').click();
  await page.locator('button[type="submit"]').click(); // consent
}

test("a person signs in, comes back to the page, and signs out", async ({ page }) => {
  provider.groups.set("ann", ["ops"]);
  await page.goto(`${url}/h/payments/orchestrations?status=running`);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await accessible(page);
  await signIn(page, "ann");
  await expect(page).toHaveURL(`${url}/h/payments/orchestrations?status=running`);
  await expect(page.getByRole("grid").or(page.getByRole("table")).or(page.getByText(/No instance/)).first()).toBeVisible();
  await page.getByRole("button", { name: "Person ann" }).click();
  const panel = page.getByRole("region", { name: "Signed in" });
  await expect(panel).toContainText(`${provider.issuer}#ann`);
  await expect(panel).toContainText("operator");
  await accessible(page);
  await panel.getByRole("button", { name: "Sign out" }).click();
  // The provider asks whether to sign out there too.
  await page.locator('button[value="yes"]').click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

test("who has no role is told, and how to get one", async ({ page }) => {
  provider.groups.set("bob", []);
  await page.goto(url);
  await signIn(page, "bob");
  await expect(page.getByRole("heading", { name: "You have no role here yet" })).toBeVisible();
  await expect(page.getByText(`weir roles set '${provider.issuer}#bob' reader --hub HUB`)).toBeVisible();
  await accessible(page);
});

test("a session that ends while the page is open leads to signing in, and back", async ({ page }) => {
  provider.groups.set("eve", ["admins"]);
  await page.goto(`${url}/h/payments/limits`);
  await signIn(page, "eve");
  await expect(page.getByRole("button", { name: "Person eve" })).toBeVisible();
  await page.context().clearCookies({ name: "weir_session" });
  await server.stop();
  server = await secondServer(Number(new URL(url).port), { WEIR_ALLOW_ANYBODY: "false", WEIR_ADMIN_TOKEN: admin, WEIR_PUBLIC_URL: url, WEIR_OIDC: provider.setting });
  await expect(page.getByText("Your session has ended.")).toBeVisible();
  await page.getByRole("link", { name: "Continue with Example ID" }).click(); // the provider still knows who this is
  await expect(page.getByRole("button", { name: "Person eve" })).toBeVisible();
  await expect(page).toHaveURL(`${url}/h/payments/limits`);
});

test("a token is another way in", async ({ page }) => {
  await page.goto(url);
  await page.getByRole("button", { name: "Use an API token" }).click();
  const field = page.getByLabel("API token");
  await expect(field).toBeFocused();
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("Paste a token.")).toBeVisible();
  await field.fill("weir_nonsense");
  await page.keyboard.press("Enter");
  await expect(page.getByText("This token is not valid, or not any more.")).toBeVisible();
  await accessible(page);
  await field.fill(admin);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "administrator of the settings" })).toBeVisible();
  expect(await page.evaluate(() => document.cookie)).not.toContain("weir");
});

test("a session runs what the dashboard asks, and nothing else", async ({ page, api }) => {
  const bodies: string[] = [];
  page.on("request", (request) => {
    if (request.url() === `${url}/graphql` && request.method() === "POST") bodies.push(documentOf(request));
  });
  const frames: string[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => frames.push(String(payload))));
  await api.start("Approval", { id: "trusted-1" });
  await page.goto(url);
  await page.getByRole("button", { name: "Use an API token" }).click();
  await page.getByLabel("API token").fill(admin);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "administrator of the settings" })).toBeVisible();
  await page.goto(`${url}/h/payments/orchestrations`);
  await page.getByRole("link", { name: "trusted-1", exact: true }).click();
  await expect(page).toHaveURL(`${url}/h/payments/o/trusted-1`);
  await expect(page.getByRole("button", { name: "Terminate" })).toBeVisible();
  await page.goto(`${url}/h/payments/limits`);
  await expect(page.getByRole("heading", { name: "Limits", exact: true })).toBeVisible();
  expect(bodies.length).toBeGreaterThan(2);
  expect(bodies.filter((document) => document === "")).toEqual([]);
  const subscribed = frames.filter((frame) => frame.includes('"subscribe"'));
  expect(subscribed.length).toBeGreaterThan(1);
  expect(subscribed.filter((frame) => !frame.includes('"query":""') || !frame.includes('"sha256Hash"'))).toEqual([]);
  const codes = await page.evaluate(async () => {
    const ask = async (query: string) => {
      const response = await fetch("/graphql", { method: "POST", headers: { "content-type": "application/json", "x-weir-dashboard": "1" }, body: JSON.stringify({ query }) });
      return (await response.json()).errors?.[0]?.extensions?.code;
    };
    return [await ask("{ apiTokens { nodes { id } } }"), await ask('mutation { createApiToken(input: { name: "mine", grants: [{ hub: "*", roles: [ADMIN] }] }) { secret } }')];
  });
  expect(codes).toEqual(["OPERATION_NOT_TRUSTED", "OPERATION_NOT_TRUSTED"]);
});
