import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { detail, type Group, groupOf, icons } from "../../../history/groups";
import { panned, scaleOf, type View, whole, zoomed } from "../../../history/scale";
import { Button } from "../../../kit/Button";
import { Check } from "../../../kit/Field";
import { clock } from "../../../kit/format";
import { Icon } from "../../../kit/Icon";
import { serverNow, useNow } from "../../../kit/now";
import { useSettings } from "../../../kit/settings";
import { typing } from "../../list/ListPage";
import { stateWord } from "../GroupState";
import { drawAxis, drawLanes, drawMinimap, LANE, prepare, type Scene } from "./draw";
import { Legend } from "./Legend";
import { type Palette, readPalette } from "./palette";

interface Props {
  all: readonly Group[];
  /** Whether it goes on, and is followed. */
  live: boolean;
  loading: boolean;
  selected: string | null;
  onSelect: (e: string | null) => void;
}

/** How often a picture that moves is drawn. */
const FRAME_MS = 250;

/** Every task as a lane over time. The same is in the history tab as a table. */
export function Timeline({ all, live, loading, selected, onSelect }: Props) {
  const [view, setView] = useState<View>(whole);
  const [follow, setFollow] = useState(true);
  const [fold, setFold] = useState(true);
  const scroller = useRef<HTMLDivElement>(null);
  const lanes = useRef<HTMLCanvasElement>(null);
  const axis = useRef<HTMLCanvasElement>(null);
  const map = useRef<HTMLCanvasElement>(null);
  const { zone, theme } = useSettings();
  const palette = useRef<Palette>(undefined);
  const now = useNow();

  const current = selected === null ? undefined : (groupOf(all, selected) ?? all.find((g) => g.key === selected));
  const selectedAt = current ? all.indexOf(current) : -1;
  const virtual = useVirtualizer({ count: all.length, getScrollElement: () => scroller.current, estimateSize: () => LANE, overscan: 6 });

  const draw = useCallback(() => {
    const box = scroller.current;
    if (!box || !lanes.current || !axis.current) return;
    palette.current ??= readPalette(box);
    const at = serverNow();
    const scale = scaleOf(all, at, fold);
    const width = lanes.current.clientWidth;
    let shown = view;
    if (live && follow && view.right - view.left < 1) {
      // What is new stays in sight, a bit left of the edge.
      const share = view.right - view.left;
      const right = Math.min(1, scale.place(at) + share * 0.06);
      shown = { left: right - share, right };
    }
    const scene: Scene = { scale, view: shown, now: at, live, width, height: box.clientHeight, palette: palette.current, clock: (t) => clock(t, zone) };
    const front = prepare(lanes.current, width, scene.height);
    if (front) drawLanes(front, scene, all, box.scrollTop, selectedAt);
    const top = prepare(axis.current, width, axis.current.clientHeight);
    if (top) drawAxis(top, { ...scene, height: axis.current.clientHeight });
    if (map.current && map.current.clientHeight > 0) {
      const small = prepare(map.current, width, map.current.clientHeight);
      if (small) drawMinimap(small, { ...scene, height: map.current.clientHeight }, all);
    }
  }, [all, fold, follow, live, selectedAt, view, zone]);

  // Drawn when something has changed, and while it lives at a pace that the eye takes for movement.
  useEffect(() => {
    let frame = requestAnimationFrame(draw);
    const again = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(draw);
    };
    const box = scroller.current;
    const sizes = new ResizeObserver(again);
    if (box) sizes.observe(box);
    box?.addEventListener("scroll", again);
    const timer = live ? setInterval(again, FRAME_MS) : undefined;
    void document.fonts?.ready.then(again);
    return () => {
      cancelAnimationFrame(frame);
      sizes.disconnect();
      box?.removeEventListener("scroll", again);
      clearInterval(timer);
    };
  }, [draw, live]);

  useEffect(() => {
    palette.current = undefined;
    const frame = requestAnimationFrame(draw);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const renew = () => {
      palette.current = undefined;
      requestAnimationFrame(draw);
    };
    dark.addEventListener("change", renew);
    return () => {
      cancelAnimationFrame(frame);
      dark.removeEventListener("change", renew);
    };
  }, [theme, draw]);

  const zoom = useCallback((factor: number, around = 0.5) => setView((v) => zoomed(v, factor, around)), []);
  const fit = useCallback(() => {
    setView(whole);
    setFollow(true);
  }, []);
  const pan = useCallback((share: number) => {
    setFollow(false);
    setView((v) => panned(v, share));
  }, []);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event)) return;
      const acts: Record<string, () => void> = {
        "+": () => zoom(1 / 1.6),
        "=": () => zoom(1 / 1.6),
        "-": () => zoom(1.6),
        "0": fit,
        f: () => setFollow((is) => !is),
        ArrowLeft: () => pan(-0.15),
        ArrowRight: () => pan(0.15),
      };
      const act = acts[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [zoom, fit, pan]);

  // React listens passively to wheels, but a zoom must not scroll the page as well.
  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const onWheel = (event: WheelEvent) => {
      const canvas = lanes.current?.getBoundingClientRect();
      if (!canvas || event.clientX < canvas.left) return;
      const overflows = box.scrollHeight > box.clientHeight + 1;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) pan((event.deltaX || event.deltaY) / canvas.width);
      else if (event.ctrlKey || event.metaKey || !overflows) zoom(Math.exp(event.deltaY * 0.002), (event.clientX - canvas.left) / canvas.width);
      else return;
      event.preventDefault();
    };
    box.addEventListener("wheel", onWheel, { passive: false });
    return () => box.removeEventListener("wheel", onWheel);
  }, [pan, zoom]);

  const drag = useDrag(lanes, pan);

  const items = virtual.getVirtualItems();
  const details = useMemo(() => items.map(({ index }) => all[index] && detail(all[index], now)), [items, all, now]);
  return (
    <div className="tl">
      <div className="tl-tools">
        <Legend />
        <span className="grow" />
        <Check label="Fold quiet time" checked={fold} onChange={(event) => setFold(event.target.checked)} />
        <Button variant="ghost" small icon="minus" aria-label="Zoom out" title="Zoom out (-)" onClick={() => zoom(1.6)} />
        <Button variant="ghost" small icon="plus" aria-label="Zoom in" title="Zoom in (+)" onClick={() => zoom(1 / 1.6)} />
        <Button variant="ghost" small icon="fit" aria-label="Fit" title="Fit (0)" onClick={fit} />
        {live && (
          <Button small aria-pressed={follow} title="Follow what is new (f)" onClick={() => setFollow(!follow)}>
            Follow
          </Button>
        )}
      </div>
      <div className="tl-axis">
        <canvas ref={axis} aria-hidden="true" />
      </div>
      <div ref={scroller} className="tl-lanes" tabIndex={-1}>
        <canvas ref={lanes} aria-hidden="true" className="tl-canvas" />
        <p id="timeline-twin" className="sr">
          The history tab has the same as a table.
        </p>
        <ol aria-label="Timeline" aria-describedby="timeline-twin" className="tl-rows" style={{ height: virtual.getTotalSize() }}>
          {items.map((item, i) => {
            const g = all[item.index];
            const state = details[i];
            if (!g || !state) return null;
            return (
              <li key={item.key} style={{ transform: `translateY(${item.start}px)` }}>
                <button
                  type="button"
                  className={`lane${item.index === selectedAt ? " open" : ""}`}
                  aria-expanded={item.index === selectedAt}
                  {...drag.handlers}
                  onClick={() => {
                    if (!drag.moved()) onSelect(item.index === selectedAt ? null : (g.opened ?? g.key));
                  }}
                >
                  <span className="lane-label">
                    <Icon name={icons[g.kind]} />
                    <span className="trunc user-text" title={g.name}>
                      {g.name}
                    </span>
                    <span className="sr">
                      {g.kind}, {stateWord(g)},
                    </span>
                    <span className={state.bad ? "lane-state bad" : "lane-state"}>{state.text}</span>
                  </span>
                </button>
              </li>
            );
          })}
        </ol>
        {all.length === 0 && !loading && <p className="empty">It has not started, so there is nothing to draw.</p>}
      </div>
      <div className="tl-map">
        <span>Whole run</span>
        <canvas ref={map} aria-hidden="true" onPointerDown={(event) => jump(event, setView, setFollow)} />
      </div>
    </div>
  );
}

/** A click on the small picture brings that part into sight. */
function jump(event: React.PointerEvent, setView: (change: (v: View) => View) => void, setFollow: (is: boolean) => void): void {
  const box = event.currentTarget.getBoundingClientRect();
  const center = (event.clientX - box.left) / box.width;
  setFollow(false);
  setView((v) => panned(v, (center - (v.left + v.right) / 2) / (v.right - v.left)));
}

/** Dragging moves the picture; a press that moved is no click. */
function useDrag(canvas: React.RefObject<HTMLCanvasElement | null>, pan: (share: number) => void) {
  const state = useRef({ from: 0, last: 0, down: false, moved: false });
  return {
    moved: () => state.current.moved,
    handlers: {
      onPointerDown: (event: React.PointerEvent) => {
        state.current = { from: event.clientX, last: event.clientX, down: event.button === 0, moved: false };
      },
      onPointerMove: (event: React.PointerEvent) => {
        const s = state.current;
        if (!s.down || event.buttons === 0) return;
        if (!s.moved && Math.abs(event.clientX - s.from) < 5) return;
        if (!s.moved) event.currentTarget.setPointerCapture(event.pointerId);
        s.moved = true;
        pan((s.last - event.clientX) / Math.max(1, canvas.current?.clientWidth ?? 1));
        s.last = event.clientX;
      },
      onPointerUp: () => {
        state.current.down = false;
      },
    },
  };
}
