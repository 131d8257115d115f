import { useCallback, useEffect, useState } from "react";
import { type Problem, subscribe } from "../../api/client";
import { ProgressDocument } from "../../api/gql/graphql";
import { append, type ProgressRecord } from "../../history/progress";

/** Frames come faster than they can be read while much is loading; the page follows at this pace. */
const COMMIT_EVERY = 250;

export interface Progress {
  records: readonly ProgressRecord[];
  /** More of what there was at first is on its way. */
  loading: boolean;
  problem: Problem | undefined;
  retry: () => void;
}

/** The progress of an instance, added to as it comes. After a lost connection it goes on where it stopped. */
export function useProgress(hub: string, id: string, paused: boolean): Progress {
  const [state, setState] = useState<Omit<Progress, "retry">>({ records: [], loading: true, problem: undefined });
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let end: (() => void) | undefined;
    const have: ProgressRecord[] = [];
    let committed = 0;
    const commit = (loading: boolean) => {
      clearTimeout(timer);
      const now = () => {
        committed = Date.now();
        if (!stopped) setState({ records: [...have], loading, problem: undefined });
      };
      const wait = committed + COMMIT_EVERY - Date.now();
      if (wait <= 0 || !loading) now();
      else timer = setTimeout(now, wait);
    };
    end = subscribe(ProgressDocument, () => ({ hub, id, after: have.at(-1)?.seq ?? "0" }), {
      next: ({ progressAppended: frame }) => {
        append(have, frame);
        commit(frame.hasMore);
        // Whoever has paused sees what there was when the page was opened.
        if (paused && !frame.hasMore) end?.();
      },
      error: (problem) => {
        if (!stopped) setState({ records: [...have], loading: false, problem });
      },
    });
    return () => {
      stopped = true;
      clearTimeout(timer);
      end?.();
    };
  }, [hub, id, paused, attempt]);

  const retry = useCallback(() => {
    setState((now) => ({ ...now, loading: true, problem: undefined }));
    setAttempt((n) => n + 1);
  }, []);
  return { ...state, retry };
}
