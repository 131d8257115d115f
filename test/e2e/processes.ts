import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { openSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A port that nobody listens on just now. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

/** Builds a program of the repository. */
export function build(pkg: string, out: string): void {
  execFileSync("go", ["build", "-o", out, pkg], { cwd: root, stdio: "inherit" });
}

/** A program that runs beside the tests. */
export class Program {
  private readonly child: ChildProcess;
  private readonly ended: Promise<void>;

  constructor(command: string, args: string[], env: Record<string, string>, log: string) {
    const out = openSync(log, "a");
    this.child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", out, out] });
    this.ended = new Promise((resolve) => this.child.once("exit", () => resolve()));
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.running) this.child.kill(signal);
    await this.ended;
  }
}

/** Waits until a server says that it is ready; fails when its program has ended first. */
export async function ready(url: string, program: Program, log: string): Promise<void> {
  const until = Date.now() + 60_000;
  while (Date.now() < until) {
    if (!program.running) throw new Error(`the server has ended:\n${readFileSync(log, "utf8")}`);
    try {
      if ((await fetch(`${url}/readyz`)).ok) return;
    } catch {
      // not yet
    }
    await wait(100);
  }
  throw new Error(`the server was not ready in time:\n${readFileSync(log, "utf8")}`);
}

/** The database of a running `weir dev`, by the file in which Postgres writes down where it listens. */
export function databaseOf(devDir: string): string {
  const found = readdirSync(devDir, { recursive: true, encoding: "utf8" }).find((file) => file.endsWith("postmaster.pid"));
  if (!found) throw new Error(`no Postgres runs in ${devDir}`);
  const lines = readFileSync(join(devDir, found), "utf8").split("\n");
  const query = new URLSearchParams({ host: lines[4] ?? "", port: lines[3] ?? "", sslmode: "disable" });
  return `postgres://weir@/weir?${query}`;
}
