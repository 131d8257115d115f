import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, databaseOf, freePort, Program, ready, root } from "./processes";

/** Starts what the tests run against: the real binary with its own Postgres, and a worker. */
export default async function setup(): Promise<() => Promise<void>> {
  const bin = join(root, "bin");
  mkdirSync(bin, { recursive: true });
  build(".", join(bin, "weir"));
  build("./test/e2e/worker", join(bin, "e2e-worker"));
  const dir = mkdtempSync(join(tmpdir(), "weir-e2e-"));
  // As root, Postgres runs as another user, who must be able to get in.
  chmodSync(dir, 0o755);
  const log = join(dir, "weir.log");
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = new Program(
    join(bin, "weir"),
    ["dev"],
    {
      WEIR_LISTEN: `127.0.0.1:${port}`,
      WEIR_DEV_DIR: join(dir, "dev"),
      WEIR_DEV_WORKER: "false",
      // The tests are one caller that asks faster than any person.
      WEIR_QUERY_RATE: "100000",
      WEIR_DEPLOYMENT: "staging",
      WEIR_HUBS: "payments,crowd,drift,sandbox",
    },
    log,
  );
  await ready(url, server, log);
  const database = databaseOf(join(dir, "dev"));
  const worker = new Program(
    join(bin, "e2e-worker"),
    [],
    { WEIR_DATABASE_URL: database, WEIR_HUB: "payments", WEIR_WORKER_NAME: "fulfil-7c9d4" },
    join(dir, "worker.log"),
  );
  process.env.E2E_URL = url;
  process.env.E2E_DIR = dir;
  process.env.E2E_DATABASE = database;
  return async () => {
    await worker.stop();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
}
