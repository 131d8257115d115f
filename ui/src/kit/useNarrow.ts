import { useSyncExternalStore } from "react";

const query = typeof matchMedia === "function" ? matchMedia("(max-width: 719px)") : undefined;

function listen(listener: () => void): () => void {
  query?.addEventListener("change", listener);
  return () => query?.removeEventListener("change", listener);
}

/** Whether the page is as narrow as a telephone; the same width as in narrow.css. */
export function useNarrow(): boolean {
  return useSyncExternalStore(listen, () => query?.matches ?? false);
}
