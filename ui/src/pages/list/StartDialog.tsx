import { useState } from "react";
import { useLocation } from "wouter";
import { act } from "../../api/act";
import type { Problem } from "../../api/client";
import { StartDocument } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { Dialog } from "../../kit/Dialog";
import { ErrorBar } from "../../kit/ErrorBar";
import { TextArea, TextField } from "../../kit/Field";
import { complaint } from "../../kit/json";
import { jsonVariable } from "../../kit/jsonVariable";
import { paths } from "../../paths";

/** Starts an instance and opens its page. */
export function StartDialog({ hub, onClose }: { hub: string; onClose: () => void }) {
  const [, navigate] = useLocation();
  const [name, setName] = useState("");
  const [id, setId] = useState("");
  const [version, setVersion] = useState("");
  const [input, setInput] = useState("");
  const [pending, setPending] = useState(false);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<Problem>();

  const submit = async () => {
    if (pending) return;
    const wrong: Record<string, string> = {};
    if (!name.trim()) wrong.name = "A name is missing.";
    const bad = input.trim() ? complaint(input) : null;
    if (bad) wrong.input = bad;
    setErrors(wrong);
    setProblem(undefined);
    if (Object.keys(wrong).length > 0) return;
    setPending(true);
    const outcome = await act(
      StartDocument,
      {
        input: {
          hub,
          name: name.trim(),
          ...(id.trim() ? { instanceId: id.trim() } : {}),
          ...(version.trim() ? { version: version.trim() } : {}),
          ...(input.trim() ? { input: jsonVariable(input) } : {}),
        },
      },
      (data) => data.startOrchestration,
      ["name", "instanceId", "version", "input"],
    );
    setPending(false);
    if ("done" in outcome) {
      const started = outcome.done.orchestration;
      if (started) navigate(paths.instance(hub, started.instanceId));
      onClose();
    } else if ("fields" in outcome) setErrors(outcome.fields);
    else setProblem(outcome.problem);
  };

  return (
    <Dialog
      title="Start orchestration"
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          <Button onClick={onClose}>Discard</Button>
          <Button type="submit" variant="primary" pending={pending ? "Starting" : undefined}>
            Start
          </Button>
        </>
      }
    >
      {problem && <ErrorBar what="It was not started" problem={problem} />}
      <TextField label="Name" value={name} error={errors.name} autoFocus onChange={(event) => setName(event.target.value)} placeholder="OrderFulfilment" />
      <TextField
        label="Instance id"
        optional
        value={id}
        error={errors.instanceId}
        hint="1 to 200 printable ASCII characters, unique in the hub."
        onChange={(event) => setId(event.target.value)}
        placeholder="chosen by the server"
      />
      <TextField label="Version" optional value={version} error={errors.version} onChange={(event) => setVersion(event.target.value)} placeholder="none" />
      <TextArea label="Input" optional value={input} error={errors.input} hint="JSON. Numbers keep their digits." onChange={(event) => setInput(event.target.value)} placeholder={'{ "orderId": 12 }'} />
    </Dialog>
  );
}
