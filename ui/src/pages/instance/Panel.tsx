import { useCallback, useEffect } from "react";
import { Link } from "wouter";
import { ask } from "../../api/client";
import { EventPayloadDocument, type PayloadTextFragment } from "../../api/gql/graphql";
import { FailureView } from "../../components/FailureView";
import { LazyPayload } from "../../components/Payload";
import type { HistoryEvent } from "../../history/events";
import { type Group, groupOf, icons } from "../../history/groups";
import { Button } from "../../kit/Button";
import { CopyButton } from "../../kit/CopyButton";
import { duration, relative, time } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { useNow } from "../../kit/now";
import { Clock } from "../../kit/Time";
import { paths } from "../../paths";
import { typing } from "../list/ListPage";
import { GroupState } from "./GroupState";

interface Props {
  hub: string;
  id: string;
  all: readonly Group[];
  events: readonly HistoryEvent[];
  selected: string;
  /** Whether one event is shown, or all that belongs to a lane. */
  by: "event" | "group";
  onSelect: (e: string | null) => void;
}

/** The details of what is selected. Escape closes it. */
export function Panel({ hub, id, all, events, selected, by, onSelect }: Props) {
  const at = events.findIndex((e) => e.seq === selected);
  const event = events[at];
  const group = groupOf(all, selected) ?? all.find((g) => g.key === selected);
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      if (e.key === "Escape" && !typing(e)) onSelect(null);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [onSelect]);
  if (!event && !group) return null;
  const title = by === "group" && group ? group.name : (event?.type ?? group?.name ?? "");
  const related = by === "group" ? events.filter((e) => e.seq === group?.opened || e.seq === group?.closed) : event ? [event] : [];
  return (
    <aside className="panel" aria-label={title}>
      <header>
        {group && (
          <span className="t3">
            <Icon name={icons[group.kind]} />
          </span>
        )}
        <h2 className="trunc user-text" title={title}>
          {title}
        </h2>
        {by === "group" && group ? <GroupState group={group} /> : <span className="t3 event-number">event {selected}</span>}
        <span className="grow" />
        {by === "event" && (
          <>
            <Button variant="ghost" small icon="up" aria-label="Previous event" because={at <= 0 ? "It is the first" : undefined} onClick={() => onSelect(events[at - 1]?.seq ?? null)} />
            <Button
              variant="ghost"
              small
              icon="downArrow"
              aria-label="Next event"
              because={at >= events.length - 1 ? "It is the last" : undefined}
              onClick={() => onSelect(events[at + 1]?.seq ?? null)}
            />
          </>
        )}
        <CopyButton icon="link" text={() => location.href} label="Copy link" />
        <Button variant="ghost" small icon="x" aria-label="Close" onClick={() => onSelect(null)} />
      </header>
      <div className="scroll">
        {by === "group" && group ? <GroupFacts hub={hub} group={group} opened={events.find((e) => e.seq === group.opened)} /> : event && <EventFacts event={event} group={group} before={events[at - 1]} onSelect={onSelect} />}
        {by === "group" && group && group.attempts.length > 0 && <Attempts group={group} />}
        {related.map((e) => (
          <EventBody key={e.seq} hub={hub} id={id} event={e} />
        ))}
      </div>
    </aside>
  );
}

function GroupFacts({ hub, group, opened }: { hub: string; group: Group; opened: HistoryEvent | undefined }) {
  const now = useNow();
  const started = group.attempts[0]?.n === 1 ? group.attempts[0].from : null;
  const rest = group.spans.filter((s) => s.kind === "backoff").reduce((sum, s) => sum + (s.to ?? now) - s.from, 0);
  return (
    <section>
      <dl className="kv">
        <dt>{group.kind === "received" ? "Received" : group.kind === "orchestration" ? "Started" : group.kind === "awaited" ? "Waits since" : "Scheduled"}</dt>
        <dd>
          <Clock at={new Date(group.from).toISOString()} />
        </dd>
        {started != null && started > group.from && (
          <>
            <dt>Queue wait</dt>
            <dd>{duration(started - group.from)}</dd>
          </>
        )}
        {group.to !== null && group.to > group.from && (
          <>
            <dt>Total</dt>
            <dd>
              {duration(group.to - group.from)}
              {rest > 0 && `, of it ${duration(rest)} backoff`}
            </dd>
          </>
        )}
        {group.due !== null && (
          <>
            <dt>{group.kind === "timer" ? "Fires" : group.kind === "awaited" ? "Until" : "Next attempt"}</dt>
            <dd>
              <Clock at={new Date(group.due).toISOString()} /> <span className="t3">{relative(group.due, now)}</span>
            </dd>
          </>
        )}
        {group.worker && (
          <>
            <dt>Worker</dt>
            <dd className="user-text">{group.worker}</dd>
          </>
        )}
        <CallFacts event={opened} />
        {group.childId && (
          <>
            <dt>Instance</dt>
            <dd>
              <Link className="link mono user-text" href={paths.instance(hub, group.childId)}>
                {group.childId}
              </Link>
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}

function Attempts({ group }: { group: Group }) {
  const now = useNow();
  const failed = group.attempts.filter((a) => a.message);
  return (
    <>
      <section>
        <h3>Attempts</h3>
        <table className="attempts">
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">Status</th>
              <th scope="col" className="num">
                Ran
              </th>
              <th scope="col">Then</th>
            </tr>
          </thead>
          <tbody>
            {group.attempts.map((a, i) => {
              const next = group.attempts[i + 1]?.from;
              return (
                <tr key={a.n}>
                  <td>{a.n}</td>
                  <td>
                    <GroupState group={{ ...group, state: a.state }} />
                  </td>
                  <td className="num">{a.from !== null && a.from !== a.to && a.state !== "retrying" && duration((a.to ?? now) - a.from)}</td>
                  <td className="t2">{next != null && a.to !== null && `backoff ${duration(next - a.to)}`}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </section>
      {failed.length > 0 && group.state !== "failed" && (
        <section>
          {failed.map((a) => (
            <div key={a.n} className="attempt-error">
              <h3>{a.state === "failed" || a.state === "retrying" ? `Error of attempt ${a.n}` : "Error of the attempt before"}</h3>
              <div className="failure user-text">
                {a.type && (
                  <>
                    <b>{a.type}</b>
                    {"\n"}
                  </>
                )}
                {a.message}
              </div>
            </div>
          ))}
        </section>
      )}
    </>
  );
}

/** How a call or a child stands among others: what its decision says of it. */
function CallFacts({ event }: { event: HistoryEvent | undefined }) {
  if (event?.__typename !== "TaskScheduled" && event?.__typename !== "SubOrchestrationInstanceCreated") return null;
  const limit = event.__typename === "TaskScheduled" ? event.limit : null;
  const key = event.__typename === "TaskScheduled" ? event.limitKey : null;
  const tags = event.__typename === "SubOrchestrationInstanceCreated" ? event.tags : [];
  return (
    <>
      {event.priority !== null && (
        <>
          <dt>Priority</dt>
          <dd>{event.priority}</dd>
        </>
      )}
      {limit !== null && (
        <>
          <dt>Limit</dt>
          <dd className="user-text">{limit}</dd>
        </>
      )}
      {key !== null && (
        <>
          <dt>Limit key</dt>
          <dd className="user-text">{key}</dd>
        </>
      )}
      {tags.length > 0 && (
        <>
          <dt>Tags</dt>
          <dd className="user-text">{tags.map(({ key: name, value }) => `${name}=${value}`).join(", ")}</dd>
        </>
      )}
    </>
  );
}

function EventFacts({ event, group, before, onSelect }: { event: HistoryEvent; group: Group | undefined; before: HistoryEvent | undefined; onSelect: (e: string) => void }) {
  const other = group && (group.opened === event.seq ? group.closed : group.opened);
  return (
    <section>
      <dl className="kv">
        <dt>Time</dt>
        <dd>
          <Clock at={event.at} />
          {before && (
            <span className="t3">
              {" "}
              {duration(time(event.at) - time(before.at))} after event {before.seq}
            </span>
          )}
        </dd>
        {group && group.name && (
          <>
            <dt>Task</dt>
            <dd className="user-text">{group.name}</dd>
          </>
        )}
        {other && (
          <>
            <dt>{group.opened === event.seq ? "Answered by" : "Answers"}</dt>
            <dd>
              <button type="button" className="link plain" onClick={() => onSelect(other)}>
                event {other}
              </button>
            </dd>
          </>
        )}
        {"worker" in event && event.worker && (
          <>
            <dt>Worker</dt>
            <dd className="user-text">{event.worker}</dd>
          </>
        )}
        <CallFacts event={event} />
        {"attempts" in event && event.attempts > 1 && (
          <>
            <dt>Attempts</dt>
            <dd>{event.attempts}</dd>
          </>
        )}
        {"by" in event && event.by && (
          <>
            <dt>By</dt>
            <dd className="user-text">{event.by}</dd>
          </>
        )}
        {"reason" in event && event.reason && (
          <>
            <dt>Reason</dt>
            <dd className="user-text">{event.reason}</dd>
          </>
        )}
      </dl>
    </section>
  );
}

/** The value and the failure that an event carries. */
function EventBody({ hub, id, event }: { hub: string; id: string; event: HistoryEvent }) {
  const value = valueOf(event);
  const failure = event.__typename === "ExecutionCompleted" ? event.cause : "failure" in event ? event.failure : null;
  const { seq } = event;
  const load = useCallback(() => readPayload(hub, id, seq), [hub, id, seq]);
  return (
    <>
      {failure && (
        <section>
          <h3>Failure</h3>
          <FailureView failure={failure} />
        </section>
      )}
      {value && (
        <section>
          <LazyPayload label={value.label} size={value.size} load={load} />
        </section>
      )}
    </>
  );
}

function valueOf(event: HistoryEvent): { label: string; size: number } | null {
  const value = (label: string, payload: { size: number } | null) => (payload ? { label, size: payload.size } : null);
  if ("input" in event) return value("Input", event.input);
  if ("result" in event) return value("Output", event.result);
  if ("payload" in event) return value("Payload", event.payload);
  return null;
}

async function readPayload(hub: string, id: string, seq: string): Promise<PayloadTextFragment | null> {
  const { orchestration } = await ask(EventPayloadDocument, { hub, id, after: String(BigInt(seq) - 1n) });
  const event = orchestration?.history.events[0];
  if (!event || event.seq !== seq) return null;
  if ("input" in event) return event.input;
  if ("result" in event) return event.result;
  if ("payload" in event) return event.payload;
  return null;
}
