import type { InstanceFragment, WaitKind } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { elapsed, time } from "../../kit/format";
import { Icon, type IconName } from "../../kit/Icon";
import { useNow } from "../../kit/now";
import { look } from "../../kit/Status";
import { Moment } from "../../kit/Time";

const kinds: Record<WaitKind, { icon: IconName; tone: string }> = {
  ENDED: { icon: "completed", tone: "completed" },
  HELD: { icon: "held", tone: "suspended" },
  SUSPENDED: { icon: "suspended", tone: "suspended" },
  SCHEDULED: { icon: "timer", tone: "pending" },
  NO_WORKER: { icon: "pending", tone: "suspended" },
  QUEUED: { icon: "queued", tone: "pending" },
  EVENT: { icon: "awaited", tone: "running" },
  TIMER: { icon: "timer", tone: "running" },
  ACTIVITY: { icon: "activity", tone: "running" },
  RETRY: { icon: "retrying", tone: "suspended" },
  ORCHESTRATION: { icon: "child", tone: "running" },
  ENTITY: { icon: "activity", tone: "running" },
  LOCK: { icon: "held", tone: "suspended" },
  LIMIT: { icon: "queued", tone: "pending" },
  DEAD_LETTER: { icon: "held", tone: "failed" },
  RUNNING: { icon: "orchestration", tone: "running" },
};

/** What the instance is at, or how it ended, in a sentence; and the one act that would help. */
export function Explain({ instance, onRaise }: { instance: InstanceFragment; onRaise: (event: string) => void }) {
  const { waiting, status, allowedActions } = instance;
  const own = kinds[waiting.kind] ?? kinds.RUNNING;
  const { icon, tone } = waiting.kind === "ENDED" ? look(status) : own;
  const event = waiting.kind === "EVENT" && allowedActions.includes("RAISE_EVENT") ? waiting.subject : null;
  return (
    <div className={`explain st-ground ${tone}`}>
      <Icon name={icon} />
      <p role="status">
        {waiting.parts.map((part, i) =>
          part.at === null ? (
            part.strong ? (
              <b key={i} className="user-text">
                {part.text}
              </b>
            ) : (
              <span key={i}>{part.text}</span>
            )
          ) : (
            <b key={i}>{part.style === "DURATION_SINCE" ? <Since at={part.at} /> : <Moment at={part.at} />}</b>
          ),
        )}
      </p>
      {event !== null && (
        <Button small onClick={() => onRaise(event)}>
          Raise {event}
        </Button>
      )}
    </div>
  );
}

function Since({ at }: { at: string }) {
  return <>{elapsed(useNow() - time(at))}</>;
}

/** A held turn: at which step code and history part. */
export function Held({ held }: { held: NonNullable<InstanceFragment["held"]> }) {
  return (
    <section className="held" aria-label="Why the turn is held">
      {(held.step !== null || held.expected !== null) && (
        <dl className="kv">
          {held.step !== null && (
            <>
              <dt>Step</dt>
              <dd>{held.step}</dd>
            </>
          )}
          {held.expected !== null && (
            <>
              <dt>History has</dt>
              <dd className="mono user-text">{held.expected}</dd>
            </>
          )}
          {held.actual !== null && (
            <>
              <dt>Code does</dt>
              <dd className="mono user-text bad">{held.actual}</dd>
            </>
          )}
          {held.build && (
            <>
              <dt>Worker build</dt>
              <dd>{held.build}</dd>
            </>
          )}
        </dl>
      )}
      {held.stack && (
        <details>
          <summary className="t2">Stack</summary>
          <pre className="stack" tabIndex={0} aria-label="Stack">
            {held.stack}
          </pre>
        </details>
      )}
    </section>
  );
}
