import { useState } from "react";
import { usePaused } from "../../api/pause";
import { Frame } from "../../components/Frame";
import { Button } from "../../kit/Button";
import { ErrorBar } from "../../kit/ErrorBar";
import { count, plural } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { Ago } from "../../kit/Time";
import { fullness, type Limit, rateWords } from "./bounds";
import { DeleteDialog, PutDialog } from "./Dialogs";
import { HoldersPanel } from "./HoldersPanel";
import { useLimits } from "./useLimits";

type Asked = { what: "put"; limit: Limit | undefined } | { what: "delete"; limit: Limit };

/** What bounds the calls of a hub, and how full it is. */
export default function LimitsPage({ hub }: { hub: string }) {
  const { limits, more, loading, problem, refresh, loadMore } = useLimits(hub, usePaused());
  const [asked, setAsked] = useState<Asked>();
  const [openName, setOpenName] = useState<string>();
  const open = limits.find((l) => l.name === openName);
  const none = limits.length === 0;
  return (
    <Frame hub={hub} title="Limits">
      <div className="head">
        <h1>Limits</h1>
        <span className="grow" />
        <Button icon="plus" onClick={() => setAsked({ what: "put", limit: undefined })}>
          Create limit
        </Button>
      </div>
      {problem && <ErrorBar what={none ? "The limits could not be read" : "The limits could not be refreshed"} problem={problem} onRetry={refresh} />}
      <div className={`split limits-split${open ? " with-panel" : ""}`}>
        {none && !loading && !problem ? (
          <div className="empty tl">
            <h2>No limits</h2>
            <p className="t2">A limit bounds how many calls of activities run at once, or in a time, over all workers. Calls name it with durable.Limit.</p>
          </div>
        ) : (
          <div className="limits-scroll" tabIndex={0} role="region" aria-label="Limits of the hub">
            <table className="limits" aria-busy={loading}>
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Under way</th>
                  <th scope="col" className="num">
                    Waiting
                  </th>
                  <th scope="col">Rate</th>
                  <th scope="col" className="num">
                    Changed
                  </th>
                  <th scope="col">
                    <span className="sr">Acts</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {loading && none && <Skeletons />}
                {limits.map((limit) => (
                  <Row
                    key={limit.name}
                    limit={limit}
                    open={limit === open}
                    onOpen={() => setOpenName(limit === open ? undefined : limit.name)}
                    onPut={() => setAsked({ what: "put", limit })}
                    onDelete={() => setAsked({ what: "delete", limit })}
                  />
                ))}
              </tbody>
            </table>
            {more && (
              <p className="limits-more">
                <Button onClick={loadMore}>Show more than {count(limits.length)}</Button>
              </p>
            )}
          </div>
        )}
        {open && <HoldersPanel key={open.name} hub={hub} limit={open} onClose={() => setOpenName(undefined)} />}
      </div>
      {asked?.what === "put" && <PutDialog hub={hub} limit={asked.limit} onDone={refresh} onClose={() => setAsked(undefined)} />}
      {asked?.what === "delete" && <DeleteDialog hub={hub} limit={asked.limit} onDone={refresh} onClose={() => setAsked(undefined)} />}
    </Frame>
  );
}

interface RowProps {
  limit: Limit;
  open: boolean;
  onOpen: () => void;
  onPut: () => void;
  onDelete: () => void;
}

function Row({ limit, open, onOpen, onPut, onDelete }: RowProps) {
  const { name, defined, holding, waiting, updatedAt } = limit;
  const bound = holding + waiting;
  return (
    <tr className={open ? "open" : undefined} aria-label={name}>
      <td className="user-text" title={name}>
        <button type="button" className="row-link plain" aria-expanded={open} onClick={onOpen}>
          {name}
        </button>
      </td>
      <td>{defined ? <Usage limit={limit} /> : <NotPut />}</td>
      <td className={waiting > 0 ? "num limits-waiting" : "num t3"}>
        {count(waiting)}
        <span className="limits-unit"> waiting</span>
      </td>
      <td className="t2" title={rateWords(limit) ?? undefined}>
        {defined && (
          <>
            <span className="limits-unit">Rate </span>
            {rateWords(limit) ?? <span className="t3">no bound</span>}
          </>
        )}
      </td>
      <td className="num t3">{updatedAt !== null && <Ago at={updatedAt} />}</td>
      <td className="limits-acts">
        {defined ? (
          <>
            <Button small aria-label={`Change ${name}`} onClick={onPut}>
              Change
            </Button>
            <Button small variant="danger" aria-label={`Delete ${name}`} because={bound > 0 ? `${plural(bound, "call")} ${bound === 1 ? "is" : "are"} bound by it.` : undefined} onClick={onDelete}>
              Delete
            </Button>
          </>
        ) : (
          <Button small aria-label={`Create ${name}`} onClick={onPut}>
            Create
          </Button>
        )}
      </td>
    </tr>
  );
}

/** Calls wait for a limit that nobody has put. */
function NotPut() {
  return (
    <span className="st suspended" title="Calls that name it wait until somebody creates it.">
      <Icon name="held" />
      Not created
    </span>
  );
}

/** How many calls are under way, against how many may be. */
function Usage({ limit }: { limit: Limit }) {
  const { concurrency, holding } = limit;
  const full = fullness(limit);
  if (concurrency === null || full === null) return <span>{count(holding)}</span>;
  // With keys the bound is for each, so that more may be under way in all.
  const several = holding > concurrency;
  return (
    <span className="usage" title={several ? "Of several keys: the bound is for each." : undefined}>
      <span className={`usage-bar${full === 1 ? " full" : ""}`} aria-hidden="true">
        <i style={{ width: `${full * 100}%` }} />
      </span>
      <span className="nowrap">
        {count(holding)} {several ? "in all," : "of"} {count(concurrency)}
        {several && " each"}
      </span>
    </span>
  );
}

function Skeletons() {
  return Array.from({ length: 6 }, (_, i) => (
    <tr key={i} className="late">
      {[60, 80, 40, 50, 60, 0].map((width, n) => (
        <td key={n}>
          <span className="sr">Loading</span>
          <div className="skeleton" style={{ width: `${width}%` }} />
        </td>
      ))}
    </tr>
  ));
}
