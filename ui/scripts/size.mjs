// Fails when the build is larger than its budget. Sizes are those of gzip, which is what the server sends.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

const kB = 1000;
const budget = { "initial JavaScript": 120 * kB, "all JavaScript": 300 * kB, CSS: 15 * kB };

const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", dist), "utf8"));
const zipped = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;

// Initial is what the entry imports without waiting for anything.
const initial = new Set();
const walk = (key) => {
  const chunk = manifest[key];
  if (initial.has(chunk.file)) return;
  initial.add(chunk.file);
  (chunk.imports ?? []).forEach(walk);
};
Object.keys(manifest).filter((key) => manifest[key].isEntry).forEach(walk);

const files = readdirSync(new URL("assets/", dist)).map((name) => `assets/${name}`);
const sum = (list) => list.reduce((n, file) => n + zipped(file), 0);
const sizes = {
  "initial JavaScript": sum([...initial].filter((f) => f.endsWith(".js"))),
  "all JavaScript": sum(files.filter((f) => f.endsWith(".js"))),
  CSS: sum(files.filter((f) => f.endsWith(".css"))),
};
let over = false;
for (const [name, limit] of Object.entries(budget)) {
  const size = sizes[name];
  if (size > limit) over = true;
  console.log(`${size > limit ? "OVER" : "ok  "}  ${name}: ${(size / kB).toFixed(1)} kB of ${limit / kB} kB`);
}
process.exit(over ? 1 : 0);
