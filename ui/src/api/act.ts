import { ask, type Problem, problemIn } from "./client";
import type { ErrorCode } from "./gql/graphql";
import type { TypedDocumentString } from "./gql/graphql";

interface UserError {
  code: ErrorCode;
  message: string;
  path: string[];
}

/** What the server made of an act: done, refused with a reason for a field, or failed. */
export type Outcome<P> = { done: P } | { fields: Record<string, string> } | { problem: Problem };

interface Payload {
  errors: UserError[];
  requestId: string;
}

/** Runs a mutation and sorts its errors: those of a field go to the field, others above the form. */
export async function act<T extends Record<string, unknown>, V extends Record<string, unknown>, P extends Payload>(
  document: TypedDocumentString<T, V>,
  variables: V,
  payloadOf: (data: T) => P,
  fields: readonly string[],
): Promise<Outcome<P>> {
  try {
    const payload = payloadOf(await ask(document, variables));
    const [first] = payload.errors;
    if (!first) return { done: payload };
    const field = first.path.at(-1);
    if (field && fields.includes(field)) return { fields: { [field]: sentence(first.message) } };
    return { problem: { message: first.message, code: first.code, requestId: payload.requestId } };
  } catch (error) {
    return { problem: problemIn(error) };
  }
}

function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
