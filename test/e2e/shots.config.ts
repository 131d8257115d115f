import { defineConfig } from "@playwright/test";
import base from "./playwright.config";

// Pictures for the documentation: npx playwright test -c shots.config.ts
export default defineConfig({ ...base, testDir: "shots", timeout: 120_000 });
