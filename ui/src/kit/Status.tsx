import type { OrchestrationStatus } from "../api/gql/graphql";
import { Icon, type IconName } from "./Icon";

interface Look {
  icon: IconName;
  word: string;
  tone: string;
}

const looks: Record<OrchestrationStatus, Look> = {
  PENDING: { icon: "pending", word: "Pending", tone: "pending" },
  RUNNING: { icon: "running", word: "Running", tone: "running" },
  SUSPENDED: { icon: "suspended", word: "Suspended", tone: "suspended" },
  COMPLETED: { icon: "completed", word: "Completed", tone: "completed" },
  FAILED: { icon: "failed", word: "Failed", tone: "failed" },
  CANCELED: { icon: "canceled", word: "Canceled", tone: "canceled" },
  TERMINATED: { icon: "terminated", word: "Terminated", tone: "terminated" },
  CONTINUED_AS_NEW: { icon: "continued", word: "Continued", tone: "continued" },
};

/** How a status is shown; one that this page does not know yet is shown as it is called. */
export function look(status: OrchestrationStatus): Look {
  return looks[status] ?? { icon: "queued", word: status, tone: "pending" };
}

interface Props {
  status: OrchestrationStatus;
  pill?: boolean;
  /** Its turn is held. */
  held?: boolean;
  /** An act that the stream has not confirmed yet: Terminating. */
  acting?: string | undefined;
}

export function Status({ status, pill, held, acting }: Props) {
  const { icon, word, tone } = look(status);
  const shown = acting ? ({ icon: "running", word: acting, tone: "terminated" } as const) : held ? ({ icon: "held", word: "Held", tone: "suspended" } as const) : { icon, word, tone };
  return (
    <span className={`st ${shown.tone}${pill ? " pill" : ""}`}>
      <Icon name={shown.icon} />
      {shown.word}
    </span>
  );
}
