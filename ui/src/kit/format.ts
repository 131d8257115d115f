// How numbers, times and sizes are written: one function each, the same everywhere.

const MS = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** 12,431 */
export function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** 310 ms, 4.18 s, 52.6 s, 3 h 12 min, 1 d 4 h: three digits or two units. */
export function duration(ms: number): string {
  const t = Math.max(0, ms);
  if (t > 0 && t < 0.95) return "<1 ms";
  if (t < 999.5) return t < 9.95 ? `${Number(t.toPrecision(2))} ms` : `${Math.round(t)} ms`;
  if (t < 9_995) return `${(t / MS.second).toFixed(2)} s`;
  if (t < 59_950) return `${(t / MS.second).toFixed(1)} s`;
  if (t < MS.hour - 500) return two(Math.round(t / MS.second), 60, "min", "s");
  if (t < MS.day - 30_000) return two(Math.round(t / MS.minute), 60, "h", "min");
  return two(Math.round(t / MS.hour), 24, "d", "h");
}

function two(n: number, per: number, big: string, small: string): string {
  const rest = n % per;
  const whole = Math.floor(n / per);
  return rest === 0 ? `${count(whole)} ${big}` : `${count(whole)} ${big} ${rest} ${small}`;
}

/** A duration that grows while one looks: whole units only, so that it does not flicker. */
export function elapsed(ms: number): string {
  const t = Math.max(0, ms);
  return t < MS.minute ? `${Math.floor(t / MS.second)} s` : duration(Math.floor(t / MS.second) * MS.second);
}

/** 2 s ago, 3 min ago, in 23 h: one unit. */
export function relative(at: number, now: number): string {
  const ms = Math.abs(now - at);
  const ahead = at > now;
  if (ms < MS.second) return ahead ? "now" : "just now";
  let text: string;
  if (ms < MS.minute) text = `${Math.floor(ms / MS.second)} s`;
  else if (ms < MS.hour) text = `${Math.floor(ms / MS.minute)} min`;
  else if (ms < 2 * MS.day) text = `${Math.floor(ms / MS.hour)} h`;
  else text = `${count(Math.floor(ms / MS.day))} d`;
  return ahead ? `in ${text}` : `${text} ago`;
}

export type Zone = "utc" | "local";

interface Parts {
  year: number;
  month: number;
  day: number;
  clock: string;
  ms: string;
}

function parts(at: number, zone: Zone): Parts {
  const d = new Date(at);
  const pad = (n: number, width = 2) => String(n).padStart(width, "0");
  return zone === "utc"
    ? {
        year: d.getUTCFullYear(),
        month: d.getUTCMonth(),
        day: d.getUTCDate(),
        clock: `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`,
        ms: pad(d.getUTCMilliseconds(), 3),
      }
    : {
        year: d.getFullYear(),
        month: d.getMonth(),
        day: d.getDate(),
        clock: `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`,
        ms: pad(d.getMilliseconds(), 3),
      };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** 06:14:02, or with thousandths 06:14:02.118. */
export function clock(at: number, zone: Zone, thousandths = false): string {
  const p = parts(at, zone);
  return thousandths ? `${p.clock}.${p.ms}` : p.clock;
}

/** today 06:14:02, tomorrow 09:00:00, Nov 3 06:14:02. */
export function dayAndClock(at: number, now: number, zone: Zone): string {
  const [a, b] = [parts(at, zone), parts(now, zone)];
  const same = (p: Parts, q: Parts) => p.year === q.year && p.month === q.month && p.day === q.day;
  if (same(a, b)) return `today ${a.clock}`;
  if (same(a, parts(now - MS.day, zone))) return `yesterday ${a.clock}`;
  if (same(a, parts(now + MS.day, zone))) return `tomorrow ${a.clock}`;
  return `${MONTHS[a.month]} ${a.day}${a.year === b.year ? "" : `, ${a.year}`} ${a.clock}`;
}

/** 2026-11-22 06:14:02.118 UTC */
export function exact(at: number, zone: Zone): string {
  const p = parts(at, zone);
  const day = `${p.year}-${String(p.month + 1).padStart(2, "0")}-${String(p.day).padStart(2, "0")}`;
  return `${day} ${p.clock}.${p.ms} ${zone === "utc" ? "UTC" : offset(at)}`;
}

function offset(at: number): string {
  const minutes = -new Date(at).getTimezoneOffset();
  const abs = Math.abs(minutes);
  return `UTC${minutes < 0 ? "-" : "+"}${String(Math.floor(abs / 60)).padStart(2, "0")}:${String(abs % 60).padStart(2, "0")}`;
}

/** 132 B, 1.1 kB, 4.2 MB */
export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  if (n < 999_500) return `${three(n / 1000)} kB`;
  return `${three(n / 1_000_000)} MB`;
}

function three(n: number): string {
  return n < 9.95 ? n.toFixed(1) : count(Math.round(n));
}

/** Milliseconds of an RFC 3339 time with microseconds, as a fraction. */
export function time(at: string): number {
  const micros = /\.\d{3}(\d{1,3})/.exec(at)?.[1];
  return Date.parse(at) + (micros ? Number(micros.padEnd(3, "0")) / 1000 : 0);
}

/** 1 event, 47 events */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
