import { Client, type CombinedError, fetchExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import type { TypedDocumentString } from "./gql/graphql";
import { withTexts } from "../kit/jsonVariable";
import { link } from "./link";

/** The path below which everything is served, without the last slash: the server writes it into the page. */
export const basePath = new URL(document.baseURI).pathname.replace(/\/[^/]*$/, "");

const endpoint = new URL(`${basePath}/graphql`, location.origin);

/** Queries and mutations. No cache: what is on screen is kept fresh by subscriptions. */
export const client = new Client({
  url: endpoint.href,
  exchanges: [fetchExchange],
  requestPolicy: "network-only",
  preferGetMethod: false,
  fetch: (input, init) => fetch(input, typeof init?.body === "string" ? { ...init, body: withTexts(init.body) } : init),
});

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
    closed: () => {
      clearTimeout(aliveTimer);
      link.closed();
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
  const payload = {
    query: document.toString(),
    get variables() {
      return variables();
    },
  };
  const begin = () => {
    end = sockets.subscribe<T>(payload, {
      next: (result) => {
        if (stopped) return;
        ended = 0;
        if (result.errors?.length) sink.error(problemOf(result.errors));
        else if (result.data) sink.next(result.data);
      },
      error: (cause) => {
        if (stopped) return;
        // GraphQL errors refuse the operation; anything else is the connection, and graphql-ws has given up on it.
        if (Array.isArray(cause)) sink.error(problemOf(cause as GraphQLErrorLike[]));
        else again = setTimeout(begin, retryDelay(ended++));
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
}

interface GraphQLErrorLike {
  message: string;
  extensions?: Record<string, unknown> | undefined;
}

function problemOf(errors: readonly GraphQLErrorLike[]): Problem {
  const [first] = errors;
  const { code, requestId } = first?.extensions ?? {};
  return {
    message: first?.message ?? "the server gave no reason",
    code: typeof code === "string" ? code : "INTERNAL",
    ...(typeof requestId === "string" ? { requestId } : {}),
  };
}

/** Turns urql's error into words, a code and the request's id. */
export function problemFrom(error: CombinedError): Problem {
  const response = error.response as Response | undefined;
  const id = response?.headers?.get("x-request-id") ?? undefined;
  if (error.graphQLErrors.length > 0) {
    const problem = problemOf(error.graphQLErrors);
    return id && !problem.requestId ? { ...problem, requestId: id } : problem;
  }
  if (response && response.status >= 400) {
    return { message: `the server answered ${response.status}`, code: `HTTP_${response.status}`, ...(id ? { requestId: id } : {}) };
  }
  return { message: "the server cannot be reached", code: "UNREACHABLE" };
}

/** Runs a query or a mutation; throws a Problem. */
export async function ask<T, V extends Record<string, unknown>>(
  kind: "query" | "mutation",
  document: TypedDocumentString<T, V>,
  variables: V,
): Promise<T> {
  const text = document.toString();
  const result = await (kind === "query" ? client.query<T>(text, variables) : client.mutation<T>(text, variables)).toPromise();
  if (result.error) throw new Refused(problemFrom(result.error));
  if (!result.data) throw new Refused({ message: "the server sent no data", code: "INTERNAL" });
  return result.data;
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
