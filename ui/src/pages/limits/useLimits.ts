import { useCallback, useEffect, useState } from "react";
import { ask, type Problem, problemIn, subscribe } from "../../api/client";
import { ChangesDocument, LimitsDocument, type LimitsQuery } from "../../api/gql/graphql";
import type { Limit } from "./bounds";

/** There is no stream of limits: they are asked for at this interval, and when instances of the hub have changed. */
const REFRESH_EVERY = 2000;
/** But not more often than this. */
const LEAST_APART = 500;
/** More pages than this are read only when somebody wants more. */
const PAGES = 3;

export interface Limits {
  limits: readonly Limit[];
  more: boolean;
  loading: boolean;
  problem: Problem | undefined;
  refresh: () => void;
  loadMore: () => void;
}

/** The limits of a hub, which keep themselves fresh while nothing is paused. */
export function useLimits(hub: string, paused: boolean): Limits {
  const [found, setFound] = useState<{ limits: readonly Limit[]; more: boolean }>({ limits: [], more: false });
  const [loading, setLoading] = useState(true);
  const [problem, setProblem] = useState<Problem>();
  const [pages, setPages] = useState(PAGES);
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let loaded = 0;
    const later = (ms: number) => {
      clearTimeout(timer);
      if (!stopped && !paused) timer = setTimeout(() => void load(), ms);
    };
    const load = async () => {
      busy = true;
      try {
        const limits: Limit[] = [];
        let after: string | null = null;
        let more = true;
        for (let page = 0; more && page < pages; page++) {
          const read: LimitsQuery = await ask(LimitsDocument, { hub, after });
          limits.push(...read.limits.nodes);
          after = read.limits.pageInfo.endCursor;
          more = read.limits.pageInfo.hasNextPage;
        }
        if (stopped) return;
        setFound({ limits, more });
        setProblem(undefined);
      } catch (error) {
        if (stopped) return;
        setProblem(problemIn(error));
      }
      setLoading(false);
      busy = false;
      loaded = Date.now();
      later(REFRESH_EVERY);
    };
    void load();
    const end = paused
      ? undefined
      : subscribe(ChangesDocument, () => ({ hub, filter: null, first: 1 }), {
          next: () => {
            if (!busy) later(Math.max(0, loaded + LEAST_APART - Date.now()));
          },
          error: () => {}, // the interval goes on, and tells what is wrong
        });
    return () => {
      stopped = true;
      clearTimeout(timer);
      end?.();
    };
  }, [hub, paused, pages, attempt]);

  const refresh = useCallback(() => setAttempt((n) => n + 1), []);
  const loadMore = useCallback(() => setPages((n) => n + PAGES), []);
  return { ...found, loading, problem, refresh, loadMore };
}
