import { useCallback, useEffect, useState } from "react";
import { ask, type Problem, problemIn, Refused, subscribe } from "../../api/client";
import { InstanceChangesDocument, InstanceNowDocument, type InstanceFragment } from "../../api/gql/graphql";
import { newer } from "./newer";

/** What the stream does not tell, such as an attempt at an activity, is asked for at this interval. */
const REFRESH_EVERY = 3000;

export type Found = { kind: "loading" } | { kind: "none" } | { kind: "found"; instance: InstanceFragment };

export interface InstanceState {
  found: Found;
  problem: Problem | undefined;
  retry: () => void;
}

export function isLive(instance: InstanceFragment): boolean {
  return instance.finishedAt === null;
}

/** An instance that keeps itself fresh. */
export function useInstance(hub: string, id: string, paused: boolean): InstanceState {
  const [found, setFound] = useState<Found>({ kind: "loading" });
  const [problem, setProblem] = useState<Problem>();
  const [attempt, setAttempt] = useState(0);
  const live = found.kind !== "found" || isLive(found.instance);

  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const take = (next: InstanceFragment) =>
      setFound((now) => (now.kind === "found" && !newer(now.instance, next) ? now : { kind: "found", instance: next }));
    const load = async () => {
      try {
        const { orchestration } = await ask(InstanceNowDocument, { hub, id });
        if (stopped) return;
        if (orchestration) take(orchestration);
        else setFound({ kind: "none" });
        setProblem(undefined);
      } catch (error) {
        if (!stopped) setProblem(problemIn(error));
      }
      if (!stopped && !paused && live) timer = setTimeout(() => void load(), REFRESH_EVERY);
    };
    void load();
    const end = paused
      ? undefined
      : subscribe(InstanceChangesDocument, () => ({ hub, id }), {
          next: ({ orchestration }) => take(orchestration),
          error: (refused) => {
            if (refused.code !== "NOT_FOUND") setProblem(problemIn(new Refused(refused)));
          },
        });
    return () => {
      stopped = true;
      clearTimeout(timer);
      end?.();
    };
  }, [hub, id, paused, attempt, live]);

  const retry = useCallback(() => setAttempt((n) => n + 1), []);
  return { found, problem, retry };
}
