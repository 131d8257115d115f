import { useSyncExternalStore } from "react";
import { link, type LinkState } from "../api/link";
import { setPaused, usePaused } from "../api/pause";
import { clock } from "../kit/format";
import { useNow } from "../kit/now";
import { useSettings } from "../kit/settings";

/** The state of the connection in a word; pauses and resumes, and tries again at once when it is lost. */
export function LiveButton() {
  const state = useSyncExternalStore(link.listen, link.get);
  const paused = usePaused();
  const { zone } = useSettings();
  useNow();
  const { words, look } = describe(state, paused, Date.now(), (at) => clock(at, zone).slice(0, 5));
  const lost = !paused && (state.kind === "reconnecting" || state.kind === "stale");
  const act = lost ? "Try again now" : paused ? "Resume" : "Pause";
  return (
    <button type="button" className={`live ${look}`} title={act} aria-label={`${words}. ${act}`} onClick={() => (lost ? link.retryNow() : setPaused(!paused))}>
      <i />
      {words}
    </button>
  );
}

/** The words and the look of a state. */
export function describe(state: LinkState, paused: boolean, now: number, hhmm: (at: number) => string): { words: string; look: string } {
  if (paused) return { words: "Paused by you", look: "paused" };
  switch (state.kind) {
    case "live":
      return { words: "Live", look: "" };
    case "connecting":
      return { words: "Connecting", look: "wait" };
    case "reconnecting":
      return { words: `Reconnecting, ${Math.max(1, Math.round((now - state.since) / 1000))} s`, look: "wait" };
    case "stale":
      return { words: `Stale since ${hhmm(state.since)}`, look: "stale" };
  }
}
