import { defineConfig } from "@playwright/test";
import { chromiumArgs, findChromium } from "./chromium";

export default defineConfig({
  testDir: "specs",
  outputDir: "test-results",
  globalSetup: "./setup.ts",
  // One server and one database for all: the tests keep apart by hub and by id.
  workers: 1,
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
