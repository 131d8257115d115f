import type { FailurePartsFragment } from "../api/gql/graphql";

interface Cause {
  type: string;
  message: string;
  stack?: string | null;
  inner?: Cause | null;
}

/** A failure with its causes and stacks. */
export function FailureView({ failure }: { failure: FailurePartsFragment }) {
  const chain: Cause[] = [];
  for (let at: Cause | null | undefined = failure; at; at = at.inner) chain.push(at);
  return (
    <>
      {chain.map((cause, i) => (
        <div key={i} className="failure user-text">
          {i > 0 && <span className="t3">caused by </span>}
          <b>{cause.type}</b>
          {"\n"}
          {cause.message}
        </div>
      ))}
      {chain.map(
        (cause, i) =>
          cause.stack && (
            <details key={i} className="stack-box">
              <summary className="t2">Stack{i > 0 ? ` of cause ${i}` : ""}</summary>
              <pre className="stack" tabIndex={0} aria-label="Stack">
                {cause.stack}
              </pre>
            </details>
          ),
      )}
    </>
  );
}
