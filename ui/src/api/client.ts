import { createClient } from "graphql-ws";
import { withTexts } from "../kit/jsonVariable";
import { type TypedDocumentString, WhoDocument } from "./gql/graphql";
import { link } from "./link";
import { session } from "./session";

// The way to the server: questions and acts by POST, streams by one websocket. There is no cache: what is on screen
// is kept fresh by the streams.

/** The path below which everything is served, without the last slash: the server writes it into the page. */
export const basePath = new URL(document.baseURI).pathname.replace(/\/[^/]*$/, "");

const endpoint = new URL(`${basePath}/graphql`, location.origin);

const socketURL = new URL(endpoint);
socketURL.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

/** How long to wait before a retry, by how many have failed: soon at first, then at most 10 s, never in step. */
export function retryDelay(retries: number, random = Math.random()): number {
  return Math.min(10_000, 300 * 2 ** retries) * (0.75 + random / 2);
}

let aliveTimer: ReturnType<typeof setTimeout> | undefined;

const sockets = createClient({
  url: socketURL.href,
  lazyCloseTimeout: 5_000,
  keepAlive: 10_000,
  retryAttempts: Number.POSITIVE_INFINITY,
  shouldRetry: () => true,
  retryWait: (retries) => link.wait(retryDelay(retries)),
  on: {
    connected: () => link.connected(),
    closed: (event) => {
      clearTimeout(aliveTimer);
      link.closed();
      // A socket that is refused tells no page why: whether the server still knows who this is, a question tells.
      if (!isGoingAway(event)) void stillKnown();
    },
    // A peer that vanished without a word is found by its missing pong.
    ping: (received) => {
      if (!received) {
        aliveTimer = setTimeout(() => sockets.terminate(), 5_000);
      }
    },
    pong: (received) => {
      if (received) clearTimeout(aliveTimer);
    },
  },
});

function isGoingAway(event: unknown): boolean {
  return typeof event === "object" && event !== null && "code" in event && event.code === 1001;
}

let checking = false;

/** Finds out whether the server still knows who this is; session hears of it when it does not. */
async function stillKnown(): Promise<void> {
  if (checking) return;
  checking = true;
  try {
    await ask(WhoDocument, {});
  } catch {
    // Of a lost session ask has told already; what else there is, the stream will find out.
  } finally {
    checking = false;
  }
}

/** How the server is told which document is meant: by its hash, for the server has the dashboard's documents. */
function named<T, V>(document: TypedDocumentString<T, V>): Record<string, unknown> {
  const { __meta__: meta } = document;
  const hash: unknown = meta?.hash;
  return { persistedQuery: { version: 1, sha256Hash: String(hash).replace(/^sha256:/, "") } };
}

/** What a server answers that does not know the hash: one of another version, the last two of before there were hashes. */
const unknownByHash = new Set(["PERSISTED_QUERY_NOT_FOUND", "BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED"]);

export interface Sink<T> {
  next: (data: T) => void;
  /** The server refused the subscription; it is not tried again. */
  error: (problem: Problem) => void;
}

/**
 * Subscribes until the returned function is called: through lost connections, restarts of the server and streams
 * that the server ended. The variables are asked for anew at each attempt, so a stream can resume.
 */
export function subscribe<T, V extends Record<string, unknown>>(
  document: TypedDocumentString<T, V>,
  variables: () => V,
  sink: Sink<T>,
): () => void {
  let stopped = false;
  let end = () => {};
  let again: ReturnType<typeof setTimeout> | undefined;
  let ended = 0; // how often in a row the server ended it without sending anything
  let byText = false;
  let changed = false; // from hash to text or back, without an answer since
  /** Whether to ask the other way: the server may have been replaced by one of another version since. */
  const otherWay = ({ code }: Problem): boolean => {
    if (changed || !(byText ? code === "OPERATION_NOT_TRUSTED" : unknownByHash.has(code))) return false;
    changed = true;
    byText = !byText;
    return true;
  };
  const payload = {
    // There must be one, so none is an empty one.
    get query() {
      return byText ? document.toString() : "";
    },
    get extensions() {
      return byText ? undefined : named(document);
    },
    get variables() {
      return variables();
    },
  };
  const begin = () => {
    end = sockets.subscribe<T>(payload, {
      next: (result) => {
        if (stopped) return;
        ended = 0;
        if (result.errors?.length) {
          const problem = problemOf(result.errors);
          if (!otherWay(problem)) sink.error(problem); // else it begins again once this is complete
        } else if (result.data) {
          changed = false;
          sink.next(result.data);
        }
      },
      error: (cause) => {
        if (stopped) return;
        // GraphQL errors refuse the operation; anything else is the connection, and graphql-ws has given up on it.
        if (Array.isArray(cause)) {
          const problem = problemOf(cause as GraphQLErrorLike[]);
          if (otherWay(problem)) begin();
          else sink.error(problem);
        } else again = setTimeout(begin, retryDelay(ended++));
      },
      complete: () => {
        if (!stopped) again = setTimeout(begin, retryDelay(ended++));
      },
    });
  };
  begin();
  return () => {
    stopped = true;
    clearTimeout(again);
    end();
  };
}

/** What went wrong, in the words to show. */
export interface Problem {
  message: string;
  code: string;
  requestId?: string;
  /** Of a question that came too soon after others: how long to wait, in ms. */
  retryAfter?: number;
}

interface GraphQLErrorLike {
  message: string;
  extensions?: Record<string, unknown> | undefined;
}

function problemOf(errors: readonly GraphQLErrorLike[]): Problem {
  const [first] = errors;
  const { code, requestId, retryAfter } = first?.extensions ?? {};
  return {
    message: first?.message ?? "the server gave no reason",
    code: typeof code === "string" ? code : "INTERNAL",
    ...(typeof requestId === "string" ? { requestId } : {}),
    ...(code === "RATE_LIMITED" && Number(retryAfter) > 0 ? { retryAfter: Number(retryAfter) * 1000 } : {}),
  };
}

interface Answer<T> {
  data?: T | null;
  errors?: GraphQLErrorLike[];
}

/** What the dashboard's own requests carry: a page of another site cannot set it, so a session counts only with it. */
export const ownHeaders = { "x-weir-dashboard": "1" } as const;

/** How often a question is asked again that came too soon after others, and how long it waits for that at most, in ms. */
const PATIENCE = 3;
const LONGEST_WAIT = 10_000;

/** Asks a question or acts; throws Refused. Who has asked for too much waits as long as the server says. */
export async function ask<T, V extends Record<string, unknown>>(document: TypedDocumentString<T, V>, variables: V): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await askOnce(document, variables);
    } catch (error) {
      const wait = error instanceof Refused ? error.problem.retryAfter : undefined;
      if (wait === undefined || wait > LONGEST_WAIT || tries > PATIENCE) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** Asks by the hash of the document, and by its text where the server is of another version. */
async function askOnce<T, V extends Record<string, unknown>>(document: TypedDocumentString<T, V>, variables: V): Promise<T> {
  try {
    return await send<T>({ extensions: named(document), variables });
  } catch (error) {
    if (!(error instanceof Refused && unknownByHash.has(error.problem.code))) throw error;
    return send<T>({ query: document.toString(), variables });
  }
}

async function send<T>(request: object): Promise<T> {
  let response: Response;
  let answer: Answer<T> | undefined;
  try {
    response = await fetch(endpoint, {
      method: "POST",
      headers: { ...ownHeaders, "content-type": "application/json", accept: "application/graphql-response+json, application/json" },
      body: withTexts(JSON.stringify(request)),
    });
  } catch {
    throw new Refused({ message: "the server cannot be reached", code: "UNREACHABLE" });
  }
  try {
    answer = (await response.json()) as Answer<T>;
  } catch {
    // Something between here and the server has answered in its own words.
  }
  if (response.status === 401) session.lost();
  const id = response.headers.get("x-request-id");
  const withId = (problem: Problem): Problem => (id && !problem.requestId ? { ...problem, requestId: id } : problem);
  if (answer?.errors?.length) throw new Refused(withId(problemOf(answer.errors)));
  if (!answer?.data) throw new Refused(withId({ message: `the server answered ${response.status} without data`, code: `HTTP_${response.status}` }));
  return answer.data;
}

/** An error that carries a Problem. */
export class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

export function problemIn(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  return { message: error instanceof Error ? error.message : String(error), code: "INTERNAL" };
}
