import { useEffect, useSyncExternalStore } from "react";
import { Button } from "./Button";
import { Icon } from "./Icon";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

let toasts: readonly Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

function dismiss(id: number): void {
  set(toasts.filter((t) => t.id !== id));
}

/** Tells the result of an act that is not visible where the person looks. Errors stay until dismissed. */
export function toast(text: string, bad = false): void {
  set([...toasts.slice(-3), { id: ++last, text, bad }]);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status">
      {shown.map((t) => (
        <Item key={t.id} toast={t} />
      ))}
    </div>
  );
}

function Item({ toast: { id, text, bad } }: { toast: Toast }) {
  useEffect(() => {
    if (bad) return;
    const timer = setTimeout(() => dismiss(id), 6000);
    return () => clearTimeout(timer);
  }, [id, bad]);
  return (
    <div className="toast">
      <span className={`st ${bad ? "failed" : "completed"}`}>
        <Icon name={bad ? "failed" : "completed"} />
      </span>
      <p>{text}</p>
      <Button variant="ghost" small icon="x" aria-label="Dismiss" onClick={() => dismiss(id)} />
    </div>
  );
}
