import type { ProgressSubscription, RecordFragment } from "../api/gql/graphql";

/** What was said of how far an instance is; of its value only the beginning. */
export type ProgressRecord = RecordFragment;

type Frame = ProgressSubscription["progressAppended"];

/**
 * The records that one has, with those of a frame put behind them, in place: there may be many thousand. A frame with reset
 * begins anew. Records that are there already, as after a lost connection, are left out.
 */
export function append(have: ProgressRecord[], frame: Pick<Frame, "records" | "reset">): void {
  if (frame.reset) have.length = 0;
  let last = BigInt(have.at(-1)?.seq ?? "0");
  for (const record of frame.records) {
    if (BigInt(record.seq) <= last) continue;
    have.push(record);
    last = BigInt(record.seq);
  }
}

/** Whoever said it: an activity or step, or the instance's own code. */
export function speaker({ name, attempt }: Pick<ProgressRecord, "name" | "attempt">): string {
  if (name === null) return "orchestration";
  return attempt !== null && attempt > 1 ? `${name}, attempt ${attempt}` : name;
}

/** The value in one line; what does not fit is left to the panel. */
export function preview({ value }: Pick<ProgressRecord, "value">): string {
  if (!value) return "";
  const text = value.text.replace(/\s+/g, " ").trim();
  return value.truncated ? `${text} …` : text;
}
