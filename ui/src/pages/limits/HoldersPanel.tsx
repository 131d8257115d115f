import { useCallback, useEffect, useState } from "react";
import { Link } from "wouter";
import { ask, type Problem, problemIn } from "../../api/client";
import { LimitHoldersDocument, type LimitHoldersQuery } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { ErrorBar } from "../../kit/ErrorBar";
import { count } from "../../kit/format";
import { Ago } from "../../kit/Time";
import { paths } from "../../paths";
import { typing } from "../list/ListPage";
import { type Limit, rateWords } from "./bounds";

type Holder = NonNullable<LimitHoldersQuery["limit"]>["holders"][number];

/** Which calls are under way within a limit. Read anew whenever the list has found something else. */
export function HoldersPanel({ hub, limit, onClose }: { hub: string; limit: Limit; onClose: () => void }) {
  const { name, holding, waiting } = limit;
  const [holders, setHolders] = useState<readonly Holder[]>();
  const [problem, setProblem] = useState<Problem>();
  const load = useCallback(async () => {
    try {
      const found = await ask(LimitHoldersDocument, { hub, name });
      setHolders(found.limit?.holders ?? []);
      setProblem(undefined);
    } catch (error) {
      setProblem(problemIn(error));
    }
  }, [hub, name]);
  useEffect(() => {
    void load();
  }, [load, holding, waiting]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !typing(event)) onClose();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [onClose]);
  const rate = rateWords(limit);
  return (
    <aside className="panel" aria-label={`Limit ${name}`}>
      <header>
        <h2 className="trunc user-text" title={name}>
          {name}
        </h2>
        <span className="grow" />
        <Button variant="ghost" small icon="x" aria-label="Close" onClick={onClose} />
      </header>
      <div className="scroll">
        <section>
          <dl className="kv">
            <dt>Concurrency</dt>
            <dd>{limit.concurrency === null ? "no bound" : `${count(limit.concurrency)} for each key`}</dd>
            <dt>Rate</dt>
            <dd>{rate === null ? "no bound" : `${rate}, for each key`}</dd>
            <dt>Waiting</dt>
            <dd>{count(waiting)}</dd>
            {limit.updatedAt !== null && (
              <>
                <dt>Changed</dt>
                <dd>
                  <Ago at={limit.updatedAt} />
                </dd>
              </>
            )}
          </dl>
        </section>
        <section>
          <h3>Under way</h3>
          {problem && <ErrorBar what="The calls could not be read" problem={problem} onRetry={() => void load()} />}
          {!holders && !problem && <div className="skeleton late" />}
          {holders?.length === 0 && <p className="t3">No call is under way.</p>}
          {holders && holders.length > 0 && (
            <table className="attempts holders">
              <thead>
                <tr>
                  <th scope="col">Instance</th>
                  <th scope="col">Key</th>
                  <th scope="col" className="num">
                    Since
                  </th>
                </tr>
              </thead>
              <tbody>
                {holders.map((h) => (
                  <tr key={`${h.instanceId} ${h.generation} ${h.taskId}`}>
                    <td className="mono user-text" title={h.instanceId}>
                      <Link className="link" href={paths.instance(hub, h.instanceId)}>
                        {h.instanceId}
                      </Link>
                    </td>
                    <td className="user-text" title={h.key ?? undefined}>
                      {h.key}
                    </td>
                    <td className="num t2">
                      <Ago at={h.since} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
          {holders && holding > holders.length && <p className="hint">The oldest {count(holders.length)} of {count(holding)}.</p>}
        </section>
      </div>
    </aside>
  );
}
