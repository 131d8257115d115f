import { useCallback, useEffect, useState } from "react";
import { ask, type Problem, problemIn } from "../../api/client";
import { LimitsDocument, type LimitsQuery } from "../../api/gql/graphql";
import type { Limit } from "./bounds";

/** There is no stream of limits: they are asked for at this interval. */
const REFRESH_EVERY = 2000;
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
    const load = async () => {
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
      if (!paused) timer = setTimeout(() => void load(), REFRESH_EVERY);
    };
    void load();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [hub, paused, pages, attempt]);

  const refresh = useCallback(() => setAttempt((n) => n + 1), []);
  const loadMore = useCallback(() => setPages((n) => n + PAGES), []);
  return { ...found, loading, problem, refresh, loadMore };
}
