import { useEffect, useState } from "react";
import { type Problem, subscribe } from "../../api/client";
import { HistoryDocument } from "../../api/gql/graphql";
import { appended, type HistoryEvent } from "../../history/events";

/** Frames come faster than they can be read while a long history loads; the page follows at this pace. */
const COMMIT_EVERY = 250;

export interface History {
  events: readonly HistoryEvent[];
  /** More of what there was at first is on its way. */
  loading: boolean;
  problem: Problem | undefined;
}

/** The history of an instance, appended to as it grows. After a lost connection it goes on where it stopped. */
export function useHistory(hub: string, id: string, paused: boolean): History {
  const [state, setState] = useState<History>({ events: [], loading: true, problem: undefined });

  useEffect(() => {
    setState({ events: [], loading: true, problem: undefined });
  }, [hub, id]);

  useEffect(() => {
    if (paused) return;
    let stopped = false;
    let events: readonly HistoryEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let committed = 0;
    const commit = (loading: boolean) => {
      clearTimeout(timer);
      const now = () => {
        committed = Date.now();
        if (!stopped) setState({ events, loading, problem: undefined });
      };
      const wait = committed + COMMIT_EVERY - Date.now();
      if (wait <= 0 || !loading) now();
      else timer = setTimeout(now, wait);
    };
    const end = subscribe(HistoryDocument, () => ({ hub, id, after: events.at(-1)?.seq ?? "0" }), {
      next: ({ history }) => {
        events = appended(events, history.events, history.reset);
        commit(history.hasMore);
      },
      error: (problem) => {
        if (!stopped) setState({ events, loading: false, problem });
      },
    });
    return () => {
      stopped = true;
      clearTimeout(timer);
      end();
    };
  }, [hub, id, paused]);
  return state;
}
