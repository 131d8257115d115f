// Brings a Chromium for who cannot install one: a headless build out of the npm registry, with the few libraries that
// it needs beside it. For Linux on x86-64. It goes to .cache at the root of the repository.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const name = "@sparticuz/chromium";
const version = "153.0.0";
const dir = fileURLToPath(new URL("../../.cache/chromium", import.meta.url));
const run = join(dir, "chromium.sh");

if (process.platform !== "linux" || process.arch !== "x64") {
  console.error(`there is no ready-made build for ${process.platform} on ${process.arch}: install Chromium or Chrome, or set CHROMIUM to the path of one`);
  process.exit(1);
}
if (!existsSync(run)) {
  const from = join(dir, "package");
  mkdirSync(from, { recursive: true });
  writeFileSync(join(from, "package.json"), "{}\n");
  execFileSync("npm", ["install", "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", `${name}@${version}`], {
    cwd: from,
    stdio: ["ignore", process.stderr, process.stderr],
  });
  const packed = (file) => brotliDecompressSync(readFileSync(join(from, "node_modules", name, "bin", file)));
  const unpack = (file) => execFileSync("tar", ["-x", "-C", dir], { input: packed(file) });
  writeFileSync(join(dir, "chromium"), packed("chromium.br"));
  chmodSync(join(dir, "chromium"), 0o755);
  unpack("al2023.tar.br");
  unpack("swiftshader.tar.br");
  unpack("fonts.tar.br");
  writeFileSync(join(dir, "fonts.conf"), `<?xml version="1.0"?>\n<fontconfig><dir>${dir}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>${dir}/fonts-cache</cachedir></fontconfig>\n`);
  rmSync(from, { recursive: true });
  // Written last: what exists is whole.
  writeFileSync(run, `#!/bin/sh\nLD_LIBRARY_PATH='${dir}/lib' FONTCONFIG_FILE='${dir}/fonts.conf' exec '${dir}/chromium' "$@"\n`);
  chmodSync(run, 0o755);
}
console.log(run);
