import { clock, dayAndClock, duration, elapsed, exact, relative, time } from "./format";
import { useNow } from "./now";
import { useSettings } from "./settings";

/** How long ago, or in how long; the exact time on hover. */
export function Ago({ at }: { at: string }) {
  const now = useNow();
  const { zone } = useSettings();
  const t = time(at);
  return (
    <time dateTime={at} title={exact(t, zone)}>
      {relative(t, now)}
    </time>
  );
}

/** today 06:14:02 */
export function Moment({ at }: { at: string }) {
  const now = useNow();
  const { zone } = useSettings();
  const t = time(at);
  return (
    <time dateTime={at} title={exact(t, zone)}>
      {dayAndClock(t, now, zone)}
    </time>
  );
}

/** 06:14:02.118 */
export function Clock({ at }: { at: string }) {
  const { zone } = useSettings();
  const t = time(at);
  return (
    <time dateTime={at} title={exact(t, zone)}>
      {clock(t, zone, true)}
    </time>
  );
}

/** From one time to another, or to now. */
export function Duration({ from, to }: { from: string; to: string | null }) {
  return to === null ? <Growing from={from} /> : <>{duration(time(to) - time(from))}</>;
}

function Growing({ from }: { from: string }) {
  return <>{elapsed(useNow() - time(from))}</>;
}
