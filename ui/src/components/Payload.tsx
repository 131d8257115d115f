import { useCallback, useEffect, useState } from "react";
import type { PayloadTextFragment } from "../api/gql/graphql";
import { type Problem, problemIn } from "../api/client";
import { Button } from "../kit/Button";
import { CopyButton } from "../kit/CopyButton";
import { ErrorBar } from "../kit/ErrorBar";
import { bytes } from "../kit/format";
import { JsonView, PlainText } from "./JsonView";

/** A payload up to this size is read at once when its panel is opened, a larger one on demand. */
const AT_ONCE = 32_768;

interface Props {
  label: string;
  size: number;
  load: () => Promise<PayloadTextFragment | null | undefined>;
}

/** A payload that is read when it is to be seen. */
export function LazyPayload({ label, size, load }: Props) {
  const [payload, setPayload] = useState<PayloadTextFragment>();
  const [problem, setProblem] = useState<Problem>();
  const [wanted, setWanted] = useState(size <= AT_ONCE);
  const read = useCallback(() => {
    let stopped = false;
    setProblem(undefined);
    load()
      .then((found) => !stopped && found && setPayload(found))
      .catch((error: unknown) => !stopped && setProblem(problemIn(error)));
    return () => {
      stopped = true;
    };
  }, [load]);
  useEffect(() => (wanted ? read() : undefined), [wanted, read]);
  if (payload) return <Payload label={label} payload={payload} />;
  return (
    <>
      <PayloadHead label={label} size={size} />
      {problem && <ErrorBar what={`${label} could not be read`} problem={problem} onRetry={read} />}
      {!wanted && <Button onClick={() => setWanted(true)}>Show {bytes(size)}</Button>}
      {wanted && !problem && <div className="skeleton late" />}
    </>
  );
}

function PayloadHead({ label, size, copy }: { label: string; size: number; copy?: string }) {
  return (
    <h3 className="payload-head">
      {label} <span className="size">{bytes(size)}</span>
      <span className="grow" />
      {copy !== undefined && <CopyButton text={copy} label={`Copy ${label.toLowerCase()}`} />}
    </h3>
  );
}

export function Payload({ label, payload }: { label: string; payload: PayloadTextFragment }) {
  const { size, encoding, text, truncated } = payload;
  return (
    <>
      <PayloadHead label={label} size={size} copy={text} />
      {truncated && <p className="hint cut">The first 256 KiB of {bytes(size)}.</p>}
      {encoding === "JSON" && !truncated ? <JsonView text={text} label={label} /> : <PlainText text={text} label={label} />}
      {encoding === "BASE64" && <p className="hint">Binary, written in base64.</p>}
    </>
  );
}
