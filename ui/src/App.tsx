import { lazy, Suspense, useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { Router } from "wouter";
import { ask, basePath, type Problem, problemIn } from "./api/client";
import { ServerDocument, type ServerQuery } from "./api/gql/graphql";
import { ServerContext } from "./api/server";
import { session } from "./api/session";
import { ErrorBar } from "./kit/ErrorBar";
import { time } from "./kit/format";
import { setServerTime } from "./kit/now";
import { Routes } from "./routes";

const SignInPage = lazy(() => import("./pages/signin/SignInPage"));

/** Asks the server what it is, and shows the page of the address. */
export function App() {
  const [server, setServer] = useState<ServerQuery>();
  const [problem, setProblem] = useState<Problem>();
  const load = useCallback(async () => {
    const sent = performance.now();
    try {
      const data = await ask(ServerDocument, {});
      setServerTime(time(data.server.now), performance.now() - sent);
      setServer(data);
      setProblem(undefined);
    } catch (error) {
      setProblem(problemIn(error));
    }
  }, []);
  useEffect(() => {
    void load();
  }, [load]);
  const out = useSyncExternalStore(session.listen, session.get) === "lost";
  // A server that is only just starting is tried again.
  useEffect(() => {
    if (!problem || out) return;
    const timer = setTimeout(() => void load(), 3000);
    return () => clearTimeout(timer);
  }, [problem, load, out]);
  if (out) {
    return (
      <Suspense fallback={null}>
        <SignInPage again={server !== undefined} />
      </Suspense>
    );
  }
  if (!server) {
    return problem ? (
      <main className="page">
        <h1 className="sr">Weir</h1>
        <ErrorBar what="The dashboard could not be opened" problem={problem} onRetry={() => void load()} />
      </main>
    ) : null;
  }
  return (
    <ServerContext value={server}>
      <Router base={basePath}>
        <Routes />
      </Router>
    </ServerContext>
  );
}
