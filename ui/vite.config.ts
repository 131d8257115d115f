import { readFileSync } from "node:fs";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The server to talk to in development: `npm run dev` beside `weir dev`.
const server = process.env.WEIR_URL ?? "http://127.0.0.1:8082";

export default defineConfig({
  // Relative, for the dashboard may be served below any path: the server writes <base> into the page.
  base: "./",
  plugins: [
    react(),
    {
      // The documents that this build sends, for the server to know them by their hashes.
      name: "operations",
      generateBundle() {
        this.emitFile({ type: "asset", fileName: "operations.json", source: readFileSync(new URL("src/api/gql/persisted-documents.json", import.meta.url)) });
      },
    },
  ],
  build: {
    target: ["chrome123", "firefox120", "safari17.5"], // light-dark()
    // Fonts and pictures stay files: the content security policy has no data: for them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // dist holds a committed placeholder, so scripts/clean.mjs empties it.
    emptyOutDir: false,
    manifest: "manifest.json",
  },
  server: {
    // The host stays the page's own, for the server compares it with the origin of a websocket.
    proxy: { "/graphql": { target: server, ws: true } },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test/setup.ts"],
    restoreMocks: true,
    // A bound for what hangs, not for what is slow on a busy machine.
    testTimeout: 60_000,
  },
});
