import { useCallback, useEffect, useState } from "react";
import { ask, type Problem, problemIn } from "../../api/client";
import { InputOutputDocument, type InputOutputQuery, type InstanceFragment } from "../../api/gql/graphql";
import { FailureView } from "../../components/FailureView";
import { Payload } from "../../components/Payload";
import { ErrorBar } from "../../kit/ErrorBar";

/** What went in, what came out. Read when the tab is opened, and again when the instance has changed. */
export function InputOutput({ hub, instance }: { hub: string; instance: InstanceFragment }) {
  const { instanceId: id, lastSeq, finishedAt, failure } = instance;
  const [found, setFound] = useState<InputOutputQuery["orchestration"]>();
  const [problem, setProblem] = useState<Problem>();
  const load = useCallback(async () => {
    try {
      const { orchestration } = await ask(InputOutputDocument, { hub, id });
      setFound(orchestration);
      setProblem(undefined);
    } catch (error) {
      setProblem(problemIn(error));
    }
  }, [hub, id]);
  useEffect(() => {
    void load();
  }, [load, lastSeq, finishedAt]);
  return (
    <div className="io scroll">
      {problem && <ErrorBar what="Input and output could not be read" problem={problem} onRetry={() => void load()} />}
      {found && (
        <>
          <section>
            {found.input ? <Payload label="Input" payload={found.input} /> : <Nothing title="Input" text="It was started without one." />}
          </section>
          <section>
            {found.output ? (
              <Payload label="Output" payload={found.output} />
            ) : failure ? (
              <>
                <h3 className="payload-head">Failure</h3>
                <FailureView failure={failure} />
              </>
            ) : (
              <Nothing title="Output" text={finishedAt ? "It ended without one." : "None before it ends."} />
            )}
          </section>
          {found.customStatus && (
            <section>
              <Payload label="Custom status" payload={found.customStatus} />
            </section>
          )}
        </>
      )}
    </div>
  );
}

function Nothing({ title, text }: { title: string; text: string }) {
  return (
    <>
      <h3 className="payload-head">{title}</h3>
      <p className="t3">{text}</p>
    </>
  );
}
