import type { Problem } from "../api/client";
import { Button } from "./Button";
import { CopyButton } from "./CopyButton";
import { Icon } from "./Icon";

/** What failed and why, with the code and the request's id, above what is already shown. */
export function ErrorBar({ what, problem, onRetry }: { what: string; problem: Problem; onRetry?: (() => void) | undefined }) {
  return (
    <div className="errbar" role="alert">
      <Icon name="failed" />
      <p>
        {what}: {problem.message}.{" "}
        <span className="t2">
          {problem.code}
          {problem.requestId && (
            <>
              , <span className="mono">{problem.requestId}</span> <CopyButton text={problem.requestId} label="Copy request id" />
            </>
          )}
        </span>
      </p>
      {onRetry && (
        <Button small onClick={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}
