import { useState } from "react";
import { act } from "../../api/act";
import type { Problem } from "../../api/client";
import { DeleteLimitDocument, PutLimitDocument } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { Dialog } from "../../kit/Dialog";
import { ErrorBar } from "../../kit/ErrorBar";
import { TextField } from "../../kit/Field";
import { toast } from "../../kit/toast";
import { type Bounds, boundsOf, FIELDS, inputOf, type Limit } from "./bounds";

interface Common {
  hub: string;
  onDone: () => void;
  onClose: () => void;
}

/** Puts a limit: a new one, one that calls wait for, or other bounds of one that is there. */
export function PutDialog({ hub, limit, onDone, onClose }: Common & { limit: Limit | undefined }) {
  const [bounds, setBounds] = useState<Bounds>(() => boundsOf(limit));
  const [pending, setPending] = useState(false);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<Problem>();
  const creates = !limit?.defined;

  const submit = async () => {
    if (pending) return;
    const read = inputOf(hub, bounds);
    setErrors("wrong" in read ? read.wrong : {});
    setProblem(undefined);
    if ("wrong" in read) return;
    setPending(true);
    const outcome = await act(PutLimitDocument, { input: read.input }, (data) => data.putLimit, FIELDS);
    setPending(false);
    if ("done" in outcome) {
      toast(creates ? `Limit ${read.input.name} created` : `Limit ${read.input.name} changed`);
      onDone();
      onClose();
    } else if ("fields" in outcome) setErrors(outcome.fields);
    else setProblem(outcome.problem);
  };

  const field = (name: keyof Bounds) => ({
    value: bounds[name],
    error: errors[name],
    onChange: (event: React.ChangeEvent<HTMLInputElement>) => setBounds({ ...bounds, [name]: event.target.value }),
  });
  const numeric = { inputMode: "numeric", placeholder: "no bound" } as const;
  return (
    <Dialog
      title={limit ? `${creates ? "Create" : "Change"} limit ${limit.name}` : "Create limit"}
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          <Button onClick={onClose}>Discard</Button>
          <Button type="submit" variant="primary" pending={pending ? "Saving" : undefined}>
            {creates ? "Create limit" : "Change limit"}
          </Button>
        </>
      }
    >
      {problem && <ErrorBar what="The limit was not saved" problem={problem} />}
      {limit ? null : <TextField label="Name" {...field("name")} autoFocus hint="As calls name it: 1 to 80 characters." placeholder="payment-provider" />}
      <TextField label="Concurrency" optional {...field("concurrency")} {...numeric} autoFocus={limit !== undefined} hint="How many calls may be under way at once, for each key." />
      <TextField label="Rate" optional {...field("rate")} {...numeric} hint="How many calls may be let through in each period, for each key." />
      <TextField label="Period" optional {...field("period")} placeholder="1s" hint="Of the rate: such as 500ms, 1s, 1m or 24h." />
      <TextField label="Burst" optional {...field("burst")} {...numeric} placeholder="as many as the rate" hint="How many may be let through at once after a pause." />
    </Dialog>
  );
}

/** Deletes a limit. */
export function DeleteDialog({ hub, limit, onDone, onClose }: Common & { limit: Limit }) {
  const [pending, setPending] = useState(false);
  const [problem, setProblem] = useState<Problem>();

  const submit = async () => {
    if (pending) return;
    setProblem(undefined);
    setPending(true);
    const outcome = await act(DeleteLimitDocument, { input: { hub, name: limit.name } }, (data) => data.deleteLimit, []);
    setPending(false);
    if ("done" in outcome) {
      toast(`Limit ${limit.name} deleted`);
      onDone();
      onClose();
    } else if ("problem" in outcome) setProblem(outcome.problem);
  };

  return (
    <Dialog
      title={`Delete limit ${limit.name}`}
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          <Button onClick={onClose}>Keep it</Button>
          <Button type="submit" variant="danger" fill pending={pending ? "Deleting" : undefined}>
            Delete
          </Button>
        </>
      }
    >
      {problem && <ErrorBar what="It was not deleted" problem={problem} />}
      <p className="t2">Calls that name it from then on wait until somebody creates it again.</p>
    </Dialog>
  );
}
