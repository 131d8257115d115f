// Whether the server knows who this is. Once it does not, the page asks to sign in, wherever it was.

export type SessionState = "unknown" | "lost";

class Session {
  private state: SessionState = "unknown";
  private readonly listeners = new Set<() => void>();

  readonly get = (): SessionState => this.state;

  readonly listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The server has answered that it does not know who this is. */
  lost(): void {
    if (this.state === "lost") return;
    this.state = "lost";
    for (const listener of this.listeners) listener();
  }
}

export const session = new Session();
