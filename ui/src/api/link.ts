// The state of the connection, for the live indicator: honest, and one for the whole page.

export type LinkState =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "reconnecting"; since: number; nextAt: number }
  | { kind: "stale"; since: number };

/** After so long without a connection the page is called stale. */
const STALE_AFTER = 30_000;

class Link {
  private state: LinkState = { kind: "connecting" };
  private readonly listeners = new Set<() => void>();
  private lostAt = 0;
  private nextAt = 0;
  private staleTimer: ReturnType<typeof setTimeout> | undefined;
  private wake: (() => void) | undefined;
  private sleeping: ReturnType<typeof setTimeout> | undefined;

  readonly get = (): LinkState => this.state;

  readonly listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  connected(): void {
    clearTimeout(this.staleTimer);
    this.lostAt = 0;
    this.set({ kind: "live" });
  }

  closed(): void {
    if (this.lostAt === 0) {
      this.lostAt = Date.now();
      this.staleTimer = setTimeout(() => this.set({ kind: "stale", since: this.lostAt }), STALE_AFTER);
    }
    this.nextAt = Date.now();
    this.show();
  }

  /** Waits before the next attempt; retryNow cuts it short. */
  wait(ms: number): Promise<void> {
    this.nextAt = Date.now() + ms;
    if (this.lostAt === 0) this.closed();
    this.nextAt = Date.now() + ms;
    this.show();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(this.sleeping);
        this.wake = undefined;
        resolve();
      };
      this.wake = done;
      this.sleeping = setTimeout(done, ms);
    });
  }

  retryNow(): void {
    this.wake?.();
  }

  private show(): void {
    if (this.state.kind !== "stale") this.set({ kind: "reconnecting", since: this.lostAt, nextAt: this.nextAt });
  }

  private set(state: LinkState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}

export const link = new Link();

// A machine that comes back from sleep or a lost network need not sit out its wait.
globalThis.addEventListener?.("online", () => link.retryNow());
