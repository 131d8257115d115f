import { useSyncExternalStore } from "react";

// The server's clock, as far as the browser knows it, ticking once a second for whatever shows an age.

let offset = 0;
let second = Math.floor(Date.now() / 1000) * 1000;
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Sets the clock by the server's; the answer took half of the round trip to get here. */
export function setServerTime(now: number, roundTrip: number): void {
  offset = now + roundTrip / 2 - Date.now();
}

/** The server's time now. */
export function serverNow(): number {
  return Date.now() + offset;
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    second = Math.floor(serverNow() / 1000) * 1000;
    for (const l of listeners) l();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The server's time, renewed each second. */
export function useNow(): number {
  useSyncExternalStore(listen, () => second);
  return serverNow();
}
