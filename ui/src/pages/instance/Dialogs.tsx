import { useState } from "react";
import { act } from "../../api/act";
import type { Problem } from "../../api/client";
import { RaiseDocument, TerminateDocument } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { Dialog } from "../../kit/Dialog";
import { ErrorBar } from "../../kit/ErrorBar";
import { TextArea, TextField } from "../../kit/Field";
import { complaint } from "../../kit/json";
import { jsonVariable } from "../../kit/jsonVariable";
import { toast } from "../../kit/toast";

interface Common {
  hub: string;
  id: string;
  onClose: () => void;
}

/** Raises an event to an instance. */
export function RaiseDialog({ hub, id, event, onClose }: Common & { event: string }) {
  const [name, setName] = useState(event);
  const [payload, setPayload] = useState("");
  // One for as long as the dialog is open: trying again does not raise twice.
  const [key] = useState(() => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join(""));
  const [pending, setPending] = useState(false);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<Problem>();

  const submit = async () => {
    if (pending) return;
    const wrong: Record<string, string> = {};
    if (!name.trim()) wrong.name = "A name is missing.";
    const bad = payload.trim() ? complaint(payload) : null;
    if (bad) wrong.payload = bad;
    setErrors(wrong);
    setProblem(undefined);
    if (Object.keys(wrong).length > 0) return;
    setPending(true);
    const outcome = await act(
      RaiseDocument,
      { input: { hub, instanceId: id, name: name.trim(), idempotencyKey: key, ...(payload.trim() ? { payload: jsonVariable(payload) } : {}) } },
      (data) => data.raiseEvent,
      ["name", "payload"],
    );
    setPending(false);
    if ("done" in outcome) {
      toast(`Event ${name.trim()} recorded`);
      onClose();
    } else if ("fields" in outcome) setErrors(outcome.fields);
    else setProblem(outcome.problem);
  };

  return (
    <Dialog
      title={`Raise an event to ${id}`}
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          <Button onClick={onClose}>Discard</Button>
          <Button type="submit" variant="primary" pending={pending ? "Raising" : undefined}>
            Raise event
          </Button>
        </>
      }
    >
      {problem && <ErrorBar what="The event was not raised" problem={problem} />}
      <TextField label="Name" value={name} error={errors.name} autoFocus={event === ""} hint="Compared without regard to case." onChange={(e) => setName(e.target.value)} />
      <TextArea label="Payload" optional value={payload} error={errors.payload} autoFocus={event !== ""} hint="JSON. Numbers keep their digits." placeholder="true" onChange={(e) => setPayload(e.target.value)} />
    </Dialog>
  );
}

/** Ends an instance at once; wants a reason. */
export function TerminateDialog({ hub, id, name, onSent, onClose }: Common & { name: string; onSent: () => void }) {
  const [reason, setReason] = useState("");
  const [pending, setPending] = useState(false);
  const [error, setError] = useState<string>();
  const [problem, setProblem] = useState<Problem>();

  const submit = async () => {
    if (pending) return;
    setProblem(undefined);
    setError(reason.trim() ? undefined : "A reason is missing.");
    if (!reason.trim()) return;
    setPending(true);
    const outcome = await act(TerminateDocument, { input: { hub, instanceId: id, reason: reason.trim() } }, (data) => data.terminateOrchestration, ["reason"]);
    setPending(false);
    if ("done" in outcome) {
      onSent();
      onClose();
    } else if ("fields" in outcome) setError(outcome.fields.reason);
    else setProblem(outcome.problem);
  };

  return (
    <Dialog
      title={`Terminate ${name} ${id}`}
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          <Button onClick={onClose}>Keep it running</Button>
          <Button type="submit" variant="danger" fill pending={pending ? "Terminating" : undefined}>
            Terminate
          </Button>
        </>
      }
    >
      {problem && <ErrorBar what="It was not terminated" problem={problem} />}
      <p className="t2">It stops at once. Compensation code does not run; children run on.</p>
      <TextField label="Reason" value={reason} error={error} autoFocus hint="For the record." onChange={(e) => setReason(e.target.value)} />
    </Dialog>
  );
}
