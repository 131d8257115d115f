import { execFileSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** The Chromium of this machine: the one that CHROMIUM names, else the first on the PATH. */
export function findChromium(): string {
  const named = process.env.CHROMIUM;
  if (named) return named;
  for (const name of names) {
    for (const dir of (process.env.PATH ?? "").split(delimiter)) {
      const file = join(dir, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // not here
      }
    }
  }
  throw new Error("no Chromium on this machine: run `apt-get install chromium` as root, or set CHROMIUM to the path of one");
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

if (import.meta.url === `file://${process.argv[1]}`) {
  const file = findChromium();
  process.stdout.write(`${file}: ${execFileSync(file, ["--version"], { encoding: "utf8" })}`);
}
