import { useEffect, useRef, useState } from "react";
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

/** How often those who listen are told. */
const TELL_EVERY = 5000;

/** The counts in words, for those who do not see them change; not more often than one can listen to. */
function useTold(counts: Counts | undefined): string {
  const [told, setTold] = useState("");
  const last = useRef(0);
  const words = counts ? `${count(counts.all)} instances, ${count(counts.running)} running, ${count(counts.failed)} failed` : "";
  useEffect(() => {
    const timer = setTimeout(() => {
      last.current = Date.now();
      setTold(words);
    }, Math.max(0, last.current + TELL_EVERY - Date.now()));
    return () => clearTimeout(timer);
  }, [words]);
  return told;
}

/** The statuses as filters, each with how many there are now. */
export function StatusTabs({ hub, filter, counts }: { hub: string; filter: ListFilter; counts: Counts | undefined }) {
  const to = (statuses: OrchestrationStatus[]) => paths.orchestrations(hub, writeFilter({ ...filter, statuses }));
  const only = filter.statuses.length === 1 ? filter.statuses[0] : undefined;
  const told = useTold(counts);
  const number = (n: number | undefined) => (n === undefined ? "" : count(n));
  return (
    <nav className="tabs" aria-label="Status">
      <p className="sr" role="status">
        {told}
      </p>
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
