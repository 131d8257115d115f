import type { OrchestrationFilter, OrchestrationStatus } from "../../api/gql/graphql";

/** What a list shows, as its address tells it. */
export interface ListFilter {
  statuses: OrchestrationStatus[];
  name?: string;
  idPrefix?: string;
  /** Created within so long: 15m, 1h, 24h, 7d. */
  within?: string;
  /** Created at or after, RFC 3339. */
  from?: string;
  /** Created before, RFC 3339. */
  to?: string;
  parent?: string;
  /** Children too, not only what no other instance waits for. */
  children: boolean;
}

export const STATUSES: readonly OrchestrationStatus[] = ["RUNNING", "PENDING", "SUSPENDED", "FAILED", "COMPLETED", "TERMINATED", "CANCELED"];

export const PRESETS: readonly { value: string; words: string; ms: number }[] = [
  { value: "15m", words: "last 15 min", ms: 15 * 60_000 },
  { value: "1h", words: "last 1 h", ms: 3_600_000 },
  { value: "24h", words: "last 24 h", ms: 24 * 3_600_000 },
  { value: "7d", words: "last 7 d", ms: 7 * 24 * 3_600_000 },
];

/** Reads a filter from the query of an address; what makes no sense is left out. */
export function readFilter(query: string): ListFilter {
  const q = new URLSearchParams(query);
  const filter: ListFilter = {
    statuses: (q.get("status") ?? "").split(",").filter((s): s is OrchestrationStatus => (STATUSES as readonly string[]).includes(s)),
    children: q.get("children") === "1",
  };
  const name = q.get("name");
  if (name) filter.name = name;
  const id = q.get("id");
  if (id) filter.idPrefix = id;
  const parent = q.get("parent");
  if (parent) filter.parent = parent;
  const within = q.get("created");
  if (within && PRESETS.some((p) => p.value === within)) filter.within = within;
  const from = instant(q.get("from"));
  if (from) filter.from = from;
  const to = instant(q.get("to"));
  if (to) filter.to = to;
  return filter;
}

function instant(text: string | null): string | undefined {
  if (!text) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

/** Writes a filter as the query of an address: the same filter gives the same address. */
export function writeFilter(filter: ListFilter): string {
  const q = new URLSearchParams();
  if (filter.statuses.length > 0) q.set("status", filter.statuses.join(","));
  if (filter.name) q.set("name", filter.name);
  if (filter.idPrefix) q.set("id", filter.idPrefix);
  if (filter.parent) q.set("parent", filter.parent);
  if (filter.within) q.set("created", filter.within);
  if (filter.from) q.set("from", filter.from);
  if (filter.to) q.set("to", filter.to);
  if (filter.children) q.set("children", "1");
  return q.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** The filter as the API takes it. A moving range is fixed at now. */
export function apiFilter(filter: ListFilter, now: number): OrchestrationFilter {
  const preset = PRESETS.find((p) => p.value === filter.within);
  const from = preset ? new Date(now - preset.ms).toISOString() : filter.from;
  return {
    rootsOnly: !filter.children && !filter.parent,
    ...(filter.statuses.length > 0 ? { statuses: filter.statuses } : {}),
    ...(filter.name ? { name: filter.name } : {}),
    ...(filter.idPrefix ? { instanceIdPrefix: filter.idPrefix } : {}),
    ...(filter.parent ? { parentInstanceId: filter.parent } : {}),
    ...(from ? { createdFrom: from } : {}),
    ...(filter.to && !preset ? { createdTo: filter.to } : {}),
  };
}

/** A part of a filter, shown as a chip and removed as one. */
export interface Chip {
  key: string;
  value: string;
  without: ListFilter;
}

export function chips(filter: ListFilter): Chip[] {
  const out: Chip[] = [];
  const drop = (...keys: (keyof ListFilter)[]): ListFilter => {
    const rest = { ...filter };
    for (const key of keys) delete rest[key];
    return rest;
  };
  if (filter.name) out.push({ key: "name", value: filter.name, without: drop("name") });
  if (filter.idPrefix) out.push({ key: "id", value: `${filter.idPrefix}…`, without: drop("idPrefix") });
  if (filter.parent) out.push({ key: "parent", value: filter.parent, without: drop("parent") });
  const preset = PRESETS.find((p) => p.value === filter.within);
  if (preset) out.push({ key: "created", value: preset.words, without: drop("within") });
  else if (filter.from || filter.to) {
    const day = (t: string | undefined) => (t ? t.replace("T", " ").replace(/(:00)?\.000Z$/, "") : "");
    out.push({ key: "created", value: `${day(filter.from)}..${day(filter.to)}`, without: drop("from", "to") });
  }
  return out;
}

/** Something that the filter field offers for what was typed. */
export interface Offer {
  key: string;
  value: string;
  hint: string;
  filter: ListFilter;
}

/** What the filter field offers: text alone is taken as the start of an id first, then as a name. */
export function offers(text: string, filter: ListFilter): Offer[] {
  const typed = text.trim();
  const match = /^(name|id|created|status)\s*[:=]\s*(.*)$/i.exec(typed);
  const key = match?.[1]?.toLowerCase();
  const value = match ? (match[2] ?? "").trim() : typed;
  const out: Offer[] = [];
  const want = (k: string) => key === undefined || key === k;
  if (want("id") && value) out.push({ key: "id", value: `${value}…`, hint: "starts with", filter: { ...filter, idPrefix: value } });
  if (want("name") && value) out.push({ key: "name", value, hint: "exactly", filter: { ...filter, name: value } });
  if (want("status")) {
    for (const status of STATUSES) {
      if (value && status.toLowerCase().startsWith(value.toLowerCase())) {
        out.push({ key: "status", value: status.toLowerCase(), hint: "", filter: { ...filter, statuses: [status] } });
      }
    }
  }
  if (want("created")) {
    const { from: _from, to: _to, within: _within, ...rest } = filter;
    const range = /^(.*?)\.\.(.*)$/.exec(value);
    if (range) {
      const [from, to] = [instant(utc(range[1])), instant(utc(range[2]))];
      if (from || to) {
        out.push({ key: "created", value, hint: "UTC", filter: { ...rest, ...(from ? { from } : {}), ...(to ? { to } : {}) } });
      }
    } else {
      for (const p of PRESETS) {
        if (!value || (key === "created" && p.words.includes(value))) out.push({ key: "created", value: p.words, hint: "", filter: { ...rest, within: p.value } });
      }
    }
  }
  return out;
}

/** Times that are typed without a zone are UTC, as they are shown. */
function utc(text: string | undefined): string | null {
  const t = text?.trim();
  if (!t) return null;
  if (/([zZ]|[+-]\d{2}:?\d{2})$/.test(t)) return t;
  return /^\d{4}-\d{2}-\d{2}$/.test(t) ? t : `${t.replace(" ", "T")}Z`;
}

export const hints = [
  { key: "name", hint: "name:OrderFulfilment" },
  { key: "id", hint: "id:order-41" },
  { key: "created", hint: "created:2026-11-22 08:00..2026-11-22 09:00" },
];
