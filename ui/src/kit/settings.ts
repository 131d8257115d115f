import { useSyncExternalStore } from "react";
import type { Zone } from "./format";

// What a person chose for this browser: kept in its storage, where it may.

export type Theme = "system" | "light" | "dark";

interface Settings {
  zone: Zone;
  theme: Theme;
}

function stored<T extends string>(key: string, allowed: readonly T[], otherwise: T): T {
  try {
    const value = localStorage.getItem(key) as T | null;
    return value !== null && allowed.includes(value) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

let settings: Settings = {
  zone: stored("weir.zone", ["utc", "local"], "utc"),
  theme: stored("weir.theme", ["system", "light", "dark"], "system"),
};
const listeners = new Set<() => void>();

export function change(next: Partial<Settings>): void {
  settings = { ...settings, ...next };
  try {
    localStorage.setItem("weir.zone", settings.zone);
    localStorage.setItem("weir.theme", settings.theme);
  } catch {
    // Then it holds until the page is left.
  }
  if (settings.theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = settings.theme;
  for (const listener of listeners) listener();
}

export function useSettings(): Settings {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => settings,
  );
}
