import type { LimitPartsFragment, PutLimitInput } from "../../api/gql/graphql";
import { count } from "../../kit/format";

export type Limit = LimitPartsFragment;

/** What the form of a limit holds: texts as they were typed. */
export interface Bounds {
  name: string;
  concurrency: string;
  rate: string;
  period: string;
  burst: string;
}

export const FIELDS = ["name", "concurrency", "rate", "period", "burst"] as const;

/** The greatest number that a bound may be. */
const MOST = 1_000_000;

export function boundsOf(limit: Limit | undefined): Bounds {
  const text = (n: number | null | undefined) => (n == null ? "" : String(n));
  const burst = limit && limit.burst === limit.rate ? null : limit?.burst;
  return { name: limit?.name ?? "", concurrency: text(limit?.concurrency), rate: text(limit?.rate), period: short(limit?.period ?? ""), burst: text(burst) };
}

/** What to ask the server for, or what is wrong, by field. What is left empty bounds nothing. */
export function inputOf(hub: string, bounds: Bounds): { input: PutLimitInput } | { wrong: Record<string, string> } {
  const wrong: Record<string, string> = {};
  const number = (field: "concurrency" | "rate" | "burst"): number | undefined => {
    const text = bounds[field].trim().replaceAll(",", "");
    if (!text) return undefined;
    const n = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (n >= 1 && n <= MOST) return n;
    wrong[field] = `It must be a whole number from 1 to ${count(MOST)}.`;
    return undefined;
  };
  const name = bounds.name.trim();
  const period = bounds.period.trim();
  const concurrency = number("concurrency");
  const rate = number("rate");
  const burst = number("burst");
  if (!name) wrong.name = "A name is missing.";
  if (!bounds.concurrency.trim() && !bounds.rate.trim()) wrong.concurrency = "Give this or a rate: one of them must bound something.";
  if (!bounds.rate.trim() && (period || bounds.burst.trim())) wrong.rate = "Without a rate there is no period and no burst.";
  if (Object.keys(wrong).length > 0) return { wrong };
  return {
    input: {
      hub,
      name,
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(rate === undefined ? {} : { rate }),
      ...(period ? { period } : {}),
      ...(burst === undefined ? {} : { burst }),
    },
  };
}

/** 1m0s as 1m, 24h0m0s as 24h. */
export function short(period: string): string {
  return period.replace(/(?<=m)0s$/, "").replace(/(?<=h)0m$/, "");
}

/** 10 in 1m, at most 20 at once; null without a rate. */
export function rateWords({ rate, period, burst }: Limit): string | null {
  if (rate === null) return null;
  const most = burst !== null && burst !== rate ? `, at most ${count(burst)} at once` : "";
  return `${count(rate)} in ${short(period ?? "1s")}${most}`;
}

/** How full a limit is, 0 to 1; null when nothing bounds how many are under way. Calls of several keys may fill it more than once. */
export function fullness({ concurrency, holding }: Limit): number | null {
  return concurrency === null ? null : Math.min(1, holding / concurrency);
}
