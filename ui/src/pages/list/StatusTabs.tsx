import { Link } from "wouter";
import type { OrchestrationStatus } from "../../api/gql/graphql";
import { count } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { look } from "../../kit/Status";
import { paths } from "../../paths";
import { type ListFilter, STATUSES, writeFilter } from "./filter";
import type { Counts } from "./useList";

const fields: Record<string, keyof Omit<Counts, "exact">> = {
  RUNNING: "running",
  PENDING: "pending",
  SUSPENDED: "suspended",
  FAILED: "failed",
  COMPLETED: "completed",
  TERMINATED: "terminated",
  CANCELED: "canceled",
};

/** The statuses as filters, each with how many there are now. */
export function StatusTabs({ hub, filter, counts }: { hub: string; filter: ListFilter; counts: Counts | undefined }) {
  const to = (statuses: OrchestrationStatus[]) => paths.orchestrations(hub, writeFilter({ ...filter, statuses }));
  const only = filter.statuses.length === 1 ? filter.statuses[0] : undefined;
  const number = (n: number | undefined) => (n === undefined ? "" : count(n));
  return (
    <nav className="tabs" aria-label="Status">
      <Link className="tab" href={to([])} aria-current={filter.statuses.length === 0 ? "page" : undefined}>
        All <span className="c">{counts && `${number(counts.all)}${counts.exact ? "" : "+"}`}</span>
      </Link>
      {STATUSES.map((status) => {
        const { icon, word, tone } = look(status);
        const field = fields[status];
        return (
          <Link key={status} className="tab" href={to([status])} aria-current={only === status ? "page" : undefined}>
            <span className={`st ${tone}`}>
              <Icon name={icon} />
            </span>
            {word} <span className="c">{field && number(counts?.[field])}</span>
          </Link>
        );
      })}
    </nav>
  );
}
