import { useCallback, useEffect, useRef, useState } from "react";
import { ask, type Problem, problemIn, Refused, subscribe } from "../../api/client";
import { ChangesDocument, CountsDocument, type CountsQuery, ListDocument } from "../../api/gql/graphql";
import { serverNow } from "../../kit/now";
import { apiFilter, type ListFilter, readFilter } from "./filter";
import { extended, none, patched, refreshed, type Rows, settled } from "./rows";

export type Counts = CountsQuery["orchestrations"]["statusCounts"];

const PAGE = 100;
/** The most rows that a refresh brings back at once, which is the API's limit. */
const LARGEST_PAGE = 200;
/** More rows than this are not kept: the list starts anew from its top. */
const MOST_ROWS = 5000;
/** Counts are asked for at most this often. */
const COUNT_EVERY = 1000;

export interface List {
  rows: Rows;
  counts: Counts | undefined;
  /** Nothing has been shown yet. */
  loading: boolean;
  problem: Problem | undefined;
  loadingMore: boolean;
  loadMore: () => void;
  retry: () => void;
  /** Lets new rows in. */
  settle: () => void;
  /** Tells whether the list is scrolled to its top, where new rows come in by themselves. */
  atTop: (is: boolean) => void;
}

/** A filtered list of instances that keeps itself fresh. The query is the page's own, so that equal filters are one. */
export function useList(hub: string, query: string, paused: boolean): List {
  const [rows, setRows] = useState<Rows>(none);
  const [counts, setCounts] = useState<Counts>();
  const [loading, setLoading] = useState(true);
  const [problem, setProblem] = useState<Problem>();
  const [loadingMore, setLoadingMore] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const top = useRef(true);
  const current = useRef({ rows, filter: apiFilter(readFilter(query), serverNow()), loadingMore: false });
  current.current.rows = rows;

  useEffect(() => {
    setRows(none);
    setCounts(undefined);
    setLoading(true);
    setProblem(undefined);
  }, [hub, query]);

  useEffect(() => {
    const parsed: ListFilter = readFilter(query);
    let stopped = false;
    let filter = apiFilter(parsed, serverNow());
    current.current.filter = filter;
    let loads = 0;
    let pushed: Parameters<typeof patched>[1] = [];

    const fail = (error: unknown) => {
      if (stopped) return;
      setProblem(problemIn(error));
      setLoading(false);
    };

    // Counts follow the changes at a distance; one question at a time.
    let counting = false;
    let countAgain = false;
    let countTimer: ReturnType<typeof setTimeout> | undefined;
    const count = async () => {
      if (counting) {
        countAgain = true;
        return;
      }
      counting = true;
      const { statuses: _, ...rest } = filter;
      try {
        const data = await ask(CountsDocument, { hub, filter: rest });
        if (!stopped) setCounts(data.orchestrations.statusCounts);
      } catch (error) {
        fail(error);
      }
      countTimer = setTimeout(() => {
        counting = false;
        if (countAgain && !stopped) {
          countAgain = false;
          void count();
        }
      }, COUNT_EVERY);
    };

    const load = async () => {
      const mine = ++loads;
      filter = apiFilter(parsed, serverNow());
      current.current.filter = filter;
      pushed = [];
      const first = Math.min(Math.max(PAGE, current.current.rows.shown.length), LARGEST_PAGE);
      try {
        const { orchestrations: found } = await ask(ListDocument, { hub, filter, first, after: null });
        if (stopped || mine !== loads) return;
        const { hasNextPage, endCursor } = found.pageInfo;
        // What was pushed meanwhile may be newer than the answer.
        const missed = pushed;
        setRows((before) => {
          const anew = refreshed(before, found.nodes, hasNextPage, endCursor, serverNow());
          const after = patched(anew, missed, parsed.statuses, serverNow());
          return top.current ? settled(after) : after;
        });
        setProblem(undefined);
        setLoading(false);
        void count();
      } catch (error) {
        if (mine === loads) fail(error);
      }
    };

    if (paused) {
      if (current.current.rows.shown.length === 0) void load();
      return () => {
        stopped = true;
        clearTimeout(countTimer);
      };
    }

    const { statuses: _, ...broad } = filter;
    const end = subscribe(ChangesDocument, () => ({ hub, filter: broad, first: 1 }), {
      next: ({ orchestrationChanges: { reset, upserts } }) => {
        if (stopped) return;
        if (reset) {
          void load();
          return;
        }
        pushed = [...pushed, ...upserts].slice(-LARGEST_PAGE * 5);
        setRows((before) => {
          const after = patched(before, upserts, parsed.statuses, serverNow());
          return top.current ? settled(after) : after;
        });
        if (current.current.rows.shown.length > MOST_ROWS) void load();
        void count();
      },
      error: (refused) => fail(new Refused(refused)),
    });
    // The stream tells when to load; without one the list is still shown.
    const impatient = setTimeout(() => {
      if (loads === 0) void load();
    }, 1000);
    return () => {
      stopped = true;
      end();
      clearTimeout(impatient);
      clearTimeout(countTimer);
    };
  }, [hub, query, paused, attempt]);

  const loadMore = useCallback(() => {
    const { rows: now, filter } = current.current;
    if (current.current.loadingMore || !now.more || now.cursor === null) return;
    current.current.loadingMore = true;
    setLoadingMore(true);
    const after = now.cursor;
    ask(ListDocument, { hub, filter, first: PAGE, after })
      .then(({ orchestrations: { nodes, pageInfo } }) => {
        // A reload meanwhile has its own cursor; this page is then of another list.
        setRows((r) => (r.cursor === after ? extended(r, nodes, pageInfo.hasNextPage, pageInfo.endCursor) : r));
      })
      .catch((error: unknown) => setProblem(problemIn(error)))
      .finally(() => {
        current.current.loadingMore = false;
        setLoadingMore(false);
      });
  }, [hub]);

  const settle = useCallback(() => setRows(settled), []);
  const atTop = useCallback((is: boolean) => {
    if (is && !top.current) setRows(settled);
    top.current = is;
  }, []);
  const retry = useCallback(() => setAttempt((n) => n + 1), []);
  return { rows, counts, loading, problem, loadingMore, loadMore, retry, settle, atTop };
}
