import { useEffect, useState } from "react";
import { ask } from "../../api/client";
import { CountsDocument, WorkersDocument, type WorkersQuery } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { CopyButton } from "../../kit/CopyButton";
import { count } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { serverNow } from "../../kit/now";
import { Ago } from "../../kit/Time";
import { apiFilter, type Chip, chips, type ListFilter } from "./filter";

/** No instance matches: each part of the filter, and what its removal would give. */
export function EmptyByFilter({ hub, filter, onChange }: { hub: string; filter: ListFilter; onChange: (next: ListFilter) => void }) {
  const parts: Chip[] = chips(filter);
  if (filter.statuses.length > 0) parts.unshift({ key: "status", value: filter.statuses.join(", ").toLowerCase(), without: { ...filter, statuses: [] } });
  if (!filter.children && !filter.parent) parts.push({ key: "roots only", value: "", without: { ...filter, children: true } });
  const gives = useGains(hub, parts);
  const n = parts.length;
  return (
    <div className="empty scroll grow" role="status">
      <h2>{n === 1 ? "No instance matches this filter" : `No instance matches these ${n} filters`}</h2>
      <p className="t2">Remove one:</p>
      <ul>
        {parts.map((chip) => (
          <li key={chip.key}>
            <button type="button" className="chip" onClick={() => onChange(chip.without)}>
              <span className="sr">Remove filter </span>
              <span className="k">{chip.key} </span>
              {chip.value && <span className="v user-text">{chip.value}</span>}
              <Icon name="x" />
            </button>
            <span className="t2">{gives[chip.key] !== undefined && `gives ${count(gives[chip.key] ?? 0)}`}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function useGains(hub: string, parts: Chip[]): Record<string, number> {
  const [gains, setGains] = useState<Record<string, number>>({});
  const key = JSON.stringify(parts.map((p) => p.without));
  useEffect(() => {
    let stopped = false;
    const wanted = JSON.parse(key) as ListFilter[];
    void Promise.all(
      wanted.map(async (filter) => {
        const { statuses, ...rest } = apiFilter(filter, serverNow());
        try {
          const { orchestrations } = await ask(CountsDocument, { hub, filter: rest });
          const counts = orchestrations.statusCounts;
          if (!statuses?.length) return counts.all;
          return statuses.reduce((sum, s) => sum + (Number(counts[s.toLowerCase() as keyof typeof counts]) || 0), 0);
        } catch {
          return undefined; // the chips do without
        }
      }),
    ).then((found) => {
      if (stopped) return;
      setGains(Object.fromEntries(found.flatMap((n, i) => (n === undefined ? [] : [[parts[i]?.key ?? "", n]]))));
    });
    return () => {
      stopped = true;
    };
    // oxlint-disable-next-line react/exhaustive-deps -- key stands for parts
  }, [hub, key]);
  return gains;
}

const program = `package main

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

const Hello durable.Orchestration[string, string] = "Hello"

func main() {
	ctx := context.Background()
	pool, _ := pgxpool.New(ctx, "postgres://…")
	w, err := durable.NewWorker(pool, nil, Hello.Handler(
		func(ctx *durable.Context, name string) (string, error) {
			return "Hello, " + name, nil
		}))
	if err != nil {
		panic(err)
	}
	panic(w.Run(ctx))
}`;

/** The hub is empty: how to begin. Steps tick off by themselves. */
export function EmptyHub({ hub, onStart }: { hub: string; onStart: () => void }) {
  const worker = useWorker(hub);
  return (
    <div className="page">
      <div className="prose">
        <h1>Run your first orchestration</h1>
        <p className="t2 lead">The hub {hub} is empty. Three steps; each one ticks off by itself when it happens.</p>
        <ol>
          <li className={`step ${worker ? "done" : "now"}`}>
            <div className="no">{worker ? <Icon name="check" /> : 1}</div>
            <div>
              <h2>Start a worker</h2>
              {worker ? (
                <p className="t2">
                  <span className="mono">{worker.name}</span> connected <Ago at={worker.startedAt} />
                </p>
              ) : (
                <>
                  <p className="t2">A worker is your own program, with the Go module durable:</p>
                  <pre className="code" tabIndex={0} aria-label="A worker program">
                    <CopyButton text={program} label="Copy the program" />
                    {program}
                  </pre>
                </>
              )}
            </div>
          </li>
          <li className={`step${worker ? " now" : ""}`}>
            <div className="no">2</div>
            <div>
              <h2>Start an orchestration</h2>
              <p className="t2 lead">From your program, by the API, or from here.</p>
              <Button variant={worker ? "primary" : undefined} onClick={onStart}>
                Start an orchestration
              </Button>
            </div>
          </li>
          <li className="step">
            <div className="no">3</div>
            <div>
              <h2>Watch it run</h2>
              <p className="t2">It appears here the moment it starts: every activity as a bar, every wait with its reason.</p>
            </div>
          </li>
        </ol>
      </div>
    </div>
  );
}

type Worker = NonNullable<WorkersQuery["hub"]>["workers"][number];

/** The first worker of the hub that is online. Workers have no stream; they are asked for while this page is shown. */
function useWorker(hub: string): Worker | undefined {
  const [worker, setWorker] = useState<Worker>();
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      try {
        const { hub: found } = await ask(WorkersDocument, { hub });
        if (!stopped) setWorker(found?.workers.find((w) => w.state === "ONLINE" && w.orchestrations.length > 0));
      } catch {
        // It is asked again.
      }
      if (!stopped) timer = setTimeout(() => void look(), 2000);
    };
    void look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [hub]);
  return worker;
}
