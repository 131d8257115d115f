import AxeBuilder from "@axe-core/playwright";
import { type APIRequestContext, test as base, expect, type Page, type Request } from "@playwright/test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Program, ready, root } from "./processes";

export { expect, type Page };

/** Where the server is, and what is beside it; made by the setup. */
export const at = {
  get url() {
    return need("E2E_URL");
  },
  get dir() {
    return need("E2E_DIR");
  },
  get database() {
    return need("E2E_DATABASE");
  },
};

function need(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the tests by their configuration`);
  return value;
}

interface StartOptions {
  id: string;
  input?: unknown;
  version?: string;
  hub?: string;
}

/** The API as a program uses it. */
export class API {
  private readonly request: APIRequestContext;
  private readonly url: string;

  constructor(request: APIRequestContext, url = at.url) {
    this.request = request;
    this.url = url;
  }

  async ask<T>(query: string, variables: Record<string, unknown>): Promise<T> {
    const response = await this.request.post(`${this.url}/graphql`, { data: { query, variables } });
    const { data, errors } = await response.json();
    expect(errors, JSON.stringify(errors)).toBeUndefined();
    return data;
  }

  async start(name: string, { id, hub = "payments", ...rest }: StartOptions): Promise<void> {
    const { startOrchestration } = await this.ask<{ startOrchestration: { errors: unknown[] } }>(
      "mutation ($input: StartOrchestrationInput!) { startOrchestration(input: $input) { errors { code message } } }",
      { input: { hub, name, instanceId: id, ...rest } },
    );
    expect(startOrchestration.errors).toEqual([]);
  }

  async raise(id: string, name: string, payload?: unknown, hub = "payments"): Promise<void> {
    const { raiseEvent } = await this.ask<{ raiseEvent: { errors: unknown[] } }>(
      "mutation ($input: RaiseEventInput!) { raiseEvent(input: $input) { errors { code message } } }",
      { input: { hub, instanceId: id, name, payload } },
    );
    expect(raiseEvent.errors).toEqual([]);
  }

  /** Waits until an instance has a status. */
  async until(id: string, status: string, hub = "payments"): Promise<void> {
    await expect
      .poll(async () => (await this.ask<{ orchestration: { status: string } | null }>("query ($hub: String!, $id: String!) { orchestration(hub: $hub, instanceId: $id) { status } }", { hub, id })).orchestration?.status)
      .toBe(status);
  }

  /** The numbers of all events of an instance's history. */
  async seqs(id: string, hub = "payments"): Promise<string[]> {
    const { orchestration } = await this.ask<{ orchestration: { history: { events: { seq: string }[] } } }>(
      "query ($hub: String!, $id: String!) { orchestration(hub: $hub, instanceId: $id) { history(first: 5000) { events { seq } } } }",
      { hub, id },
    );
    return orchestration.history.events.map((e) => e.seq);
  }
}

interface Fixtures {
  api: API;
  /** Messages that a test expects in the browser's console; any other error fails it. */
  expected: RegExp[];
}

export const test = base.extend<Fixtures>({
  expected: [[], { option: true }],
  api: async ({ request }, use) => use(new API(request)),
  page: async ({ page, expected }, use) => {
    const errors: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(String(error)));
    await use(page);
    // Breaches of the content security policy are told here too.
    expect(errors.filter((e) => !expected.some((pattern) => pattern.test(e)))).toEqual([]);
  },
});

export const list = (hub = "payments", query = "") => `${at.url}/h/${hub}/orchestrations${query && `?${query}`}`;
export const instance = (id: string, query = "", hub = "payments") => `${at.url}/h/${hub}/o/${encodeURIComponent(id)}${query && `?${query}`}`;

const documents = JSON.parse(readFileSync(join(root, "ui/src/api/gql/persisted-documents.json"), "utf8")) as Record<string, string>;

/** The document that a request of the dashboard names by its hash. */
export function documentOf(request: Request): string {
  return documents[`sha256:${request.postDataJSON()?.extensions?.persistedQuery?.sha256Hash}`] ?? "";
}

/** The row of an instance in the list. */
export const row = (page: Page, id: string) => page.getByRole("row").filter({ has: page.getByRole("link", { name: id, exact: true }) });

/** Fails on what axe finds against WCAG 2.2 AA. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
  expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 200)).join("\n   ")}`)).toEqual([]);
}

/** A worker of its own, for tests that stop and change it. */
export function worker(hub: string, env: Record<string, string> = {}): Program {
  return new Program(join(root, "bin/e2e-worker"), [], { WEIR_DATABASE_URL: at.database, WEIR_HUB: hub, WEIR_WORKER_NAME: `e2e-${hub}`, ...env }, join(at.dir, `worker-${hub}.log`));
}

/** Another server on the same database, on a port of its own. */
export async function secondServer(port: number, env: Record<string, string> = {}): Promise<Program> {
  const log = join(at.dir, `server-${port}.log`);
  const server = new Program(join(root, "bin/weir"), ["server"], { WEIR_LISTEN: `127.0.0.1:${port}`, WEIR_DATABASE_URL: at.database, WEIR_HUBS: "payments", WEIR_ALLOW_ANYBODY: "true", ...env }, log);
  await ready(`http://127.0.0.1:${port}${(env.WEIR_PATH ?? "/").slice(0, -1)}`, server, log);
  return server;
}
