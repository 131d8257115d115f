import type { Group, State } from "../../history/groups";
import { Icon, type IconName } from "../../kit/Icon";

const looks: Record<State, { icon: IconName; word: string; tone: string }> = {
  queued: { icon: "queued", word: "Queued", tone: "pending" },
  noWorker: { icon: "queued", word: "Queued, no worker", tone: "suspended" },
  running: { icon: "running", word: "Running", tone: "running" },
  retrying: { icon: "retrying", word: "Failed, retries", tone: "suspended" },
  completed: { icon: "completed", word: "Completed", tone: "completed" },
  failed: { icon: "failed", word: "Failed", tone: "failed" },
  canceled: { icon: "canceled", word: "Dropped", tone: "canceled" },
  waiting: { icon: "pending", word: "Waiting", tone: "running" },
  received: { icon: "received", word: "Received", tone: "pending" },
  sent: { icon: "send", word: "Sent", tone: "pending" },
};

/** Where a task, a timer or an event stands. */
export function GroupState({ group }: { group: Group }) {
  const { icon, word, tone } = looks[group.state];
  const words = group.kind === "timer" && group.state === "completed" ? "Fired" : word;
  return (
    <span className={`st ${tone}`}>
      <Icon name={icon} />
      {words}
    </span>
  );
}

export function stateWord(group: Group): string {
  return looks[group.state].word.toLowerCase();
}
