import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** Where get-chromium.mjs puts one. */
const fetched = fileURLToPath(new URL("../../.cache/chromium/chromium.sh", import.meta.url));

function runs(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The Chromium to test with: the one that CHROMIUM names, else the first on the PATH, else the one fetched. */
export function findChromium(): string {
  const named = process.env.CHROMIUM;
  if (named) return named;
  const found = (process.env.PATH ?? "").split(delimiter).flatMap((dir) => names.map((name) => join(dir, name)));
  const file = [...found, fetched].find(runs);
  if (file) return file;
  throw new Error("no Chromium here: `apt-get install chromium` as root, `node get-chromium.mjs` without, or set CHROMIUM to the path of one");
}

/** Flags for a browser that may run as root, and that talks to nobody but the server under test. */
export const chromiumArgs = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--force-color-profile=srgb",
];
