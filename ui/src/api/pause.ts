import { useSyncExternalStore } from "react";

// Whether the person has paused the streams: one switch for the whole page.

let paused = false;
const listeners = new Set<() => void>();

export function setPaused(next: boolean): void {
  paused = next;
  for (const listener of listeners) listener();
}

export function usePaused(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => paused,
  );
}
