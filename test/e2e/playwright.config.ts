import { defineConfig } from "@playwright/test";
import { chromiumArgs, findChromium } from "./chromium";

export default defineConfig({
  testDir: "specs",
  outputDir: "test-results",
  globalSetup: "./setup.ts",
  // One server and one database for all: the tests keep apart by hub and by id.
  workers: 1,
  // Where the machine is shared, a test gets a second chance; the summary tells it as flaky.
  retries: process.env.CI ? 1 : 0,
  forbidOnly: process.env.CI === "true",
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: "list",
  use: {
    browserName: "chromium",
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "UTC",
    trace: "retain-on-failure",
    launchOptions: { executablePath: findChromium(), args: chromiumArgs },
  },
});
