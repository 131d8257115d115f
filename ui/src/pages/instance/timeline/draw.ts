import { type Group, note, type Span } from "../../../history/groups";
import { type Scale, ticks, type View } from "../../../history/scale";
import { duration } from "../../../kit/format";
import type { Palette } from "./palette";

export const LANE = 30;
const BAR_TOP = 9;
const BAR = 12;
const FONT = '11px "IBM Plex Sans", ui-sans-serif, system-ui, sans-serif';

/** What a drawing needs to know. Widths and heights are in CSS pixels. */
export interface Scene {
  scale: Scale;
  view: View;
  now: number;
  live: boolean;
  width: number;
  height: number;
  palette: Palette;
  clock: (t: number) => string;
}

/** Fits a canvas to its box and clears it. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const ctx = canvas.getContext("2d");
  ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx?.clearRect(0, 0, width, height);
  if (ctx) {
    ctx.font = FONT;
    ctx.textBaseline = "middle";
  }
  return ctx;
}

function x({ scale, view, width }: Scene, t: number): number {
  return ((scale.place(t) - view.left) / (view.right - view.left)) * width;
}

/** The axis: round times, the lengths of folded stretches, and now. */
export function drawAxis(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { palette, scale, view, width, height, now, live } = scene;
  const taken: [number, number][] = [];
  const write = (text: string, center: number, colour: string, weight = "") => {
    ctx.font = weight + FONT;
    const w = ctx.measureText(text).width;
    const left = Math.min(Math.max(center - w / 2, 4), width - w - 4);
    if (taken.some(([a, b]) => left < b + 10 && left + w > a - 10)) return;
    taken.push([left, left + w]);
    ctx.fillStyle = colour;
    ctx.fillText(text, left, height / 2 + 1);
  };
  if (live) write("now", x(scene, now), palette.accent, "500 ");
  for (const f of scale.folds) {
    const center = ((f.left + f.right) / 2 - view.left) / (view.right - view.left);
    if (center > 0 && center < 1) write(duration(f.to - f.from), center * width, palette.text2, "500 ");
  }
  for (const tick of axisTicks(scene)) write(tick.text, tick.at, palette.text3);
}

function axisTicks(scene: Scene): { at: number; text: string }[] {
  const { scale, view, width, clock } = scene;
  const found = ticks(scale, view, 100 / Math.max(100, width));
  const fine = found.length > 1 && (found[1]?.t ?? 0) - (found[0]?.t ?? 0) < 1000;
  return found.map((tick) => ({
    at: ((tick.u - view.left) / (view.right - view.left)) * width,
    text: fine ? `${clock(tick.t)}.${String(new Date(tick.t).getMilliseconds()).padStart(3, "0")}` : clock(tick.t),
  }));
}

/** The lanes from one on, as many as fit. */
export function drawLanes(ctx: CanvasRenderingContext2D, scene: Scene, all: readonly Group[], top: number, selected: number): void {
  const { palette, scale, view, width, height, now, live } = scene;
  const bottom = Math.min(height, all.length * LANE - top);
  // what stands behind
  ctx.fillStyle = palette.faint;
  for (const tick of axisTicks(scene)) ctx.fillRect(Math.round(tick.at), 0, 1, height);
  for (const f of scale.folds) {
    const [l, r] = [f.left, f.right].map((u) => ((u - view.left) / (view.right - view.left)) * width) as [number, number];
    if (r > 0 && l < width) hatch(ctx, l, 0, r - l, height, palette.faint, 6);
    ctx.strokeStyle = palette.line;
    ctx.setLineDash([2, 2]);
    for (const e of [l, r]) line(ctx, Math.round(e) + 0.5, 0, Math.round(e) + 0.5, height);
    ctx.setLineDash([]);
  }
  const first = Math.max(0, Math.floor(top / LANE));
  const last = Math.min(all.length - 1, Math.ceil((top + height) / LANE));
  for (let i = first; i <= last; i++) {
    const g = all[i];
    if (g) drawLane(ctx, scene, g, i * LANE - top, i === selected);
  }
  if (live) {
    const at = Math.round(x(scene, now));
    ctx.fillStyle = palette.accent;
    ctx.fillRect(at, 0, 1, Math.max(bottom, height));
  }
}

function drawLane(ctx: CanvasRenderingContext2D, scene: Scene, g: Group, y: number, selected: boolean): void {
  const { palette, now, width } = scene;
  ctx.fillStyle = palette.faint;
  ctx.fillRect(0, y + LANE - 1, width, 1);
  let right = x(scene, g.from);
  for (const span of g.spans) {
    drawSpan(ctx, scene, span, y, selected);
    right = Math.max(right, x(scene, span.to ?? now));
  }
  if (g.kind === "orchestration") {
    ctx.fillStyle = palette.running;
    let before = -10;
    for (const t of g.ticks) {
      const at = Math.round(x(scene, t));
      if (at > before + 2 && at >= -2 && at <= width) ctx.fillRect(at, y + 10, 1.5, 10);
      before = Math.max(before, at);
    }
    return;
  }
  const mid = y + LANE / 2;
  const left = x(scene, g.from);
  const ground = selected ? palette.selected : palette.surface;
  let pad = 7;
  if (g.kind === "received") diamond(ctx, left, mid, palette.text2, true, ground);
  else if (g.kind === "sent") diamond(ctx, left, mid, palette.text3, false, ground);
  else if (g.kind === "awaited") diamond(ctx, left, mid, palette.runningText, false, ground);
  else if (g.kind === "timer") clockFace(ctx, left, mid, palette.text2, ground);
  else if (g.state === "failed") {
    octagon(ctx, right + 8, mid, palette.failedText, ground);
    right += 15;
  } else pad = 7;
  const pinned = ["received", "sent", "awaited", "timer"].includes(g.kind);
  const text = note(g, now, scene.clock);
  if (!text) return;
  const colour = g.state === "failed" || g.state === "retrying" ? palette.failedText : g.kind === "awaited" ? palette.runningText : palette.text3;
  if (pinned) label(ctx, scene, text, left + 10, left - 10, mid, colour, ground);
  else label(ctx, scene, text, right + pad, left - pad, mid, colour, ground);
}

/** Writes beside a bar: at its right, or at its left where the right has no room; never cut. */
function label(ctx: CanvasRenderingContext2D, scene: Scene, text: string, right: number, left: number, y: number, colour: string, ground: string): void {
  const { width } = scene;
  if (right < -40 && left < -40) return; // out of sight
  ctx.font = FONT;
  let shown = text;
  let w = ctx.measureText(shown).width;
  const fits = (at: number) => at >= 2 && at + w <= width - 4;
  let at = right;
  if (!fits(at)) at = left - w;
  if (!fits(at)) {
    // Neither side has room for all of it: the larger one takes what fits, the whole is in the drawer.
    const room = Math.max(width - 4 - Math.max(right, 2), Math.min(left, width) - 4);
    if (room < 40) return;
    while (shown.length > 4 && w > room) {
      shown = `${shown.slice(0, -2).trimEnd()}…`;
      w = ctx.measureText(shown).width;
    }
    at = width - 4 - Math.max(right, 2) >= room ? Math.max(right, 2) : Math.min(left, width) - w;
  }
  ctx.fillStyle = ground;
  ctx.fillRect(at - 3, y - 8, w + 6, 16);
  ctx.fillStyle = colour;
  ctx.fillText(shown, at, y + 1);
}

function drawSpan(ctx: CanvasRenderingContext2D, scene: Scene, span: Span, y: number, selected: boolean): void {
  const { palette, now, width } = scene;
  const from = x(scene, span.from);
  const to = x(scene, span.to ?? now);
  if (to < -4 || from > width + 4) return;
  const l = Math.max(-10, from);
  const w = Math.max(3, Math.min(width + 10, to) - l);
  const top = y + BAR_TOP;
  switch (span.kind) {
    case "turns":
      ctx.globalAlpha = 0.35;
      ctx.fillStyle = palette.running;
      ctx.fillRect(l, y + 12, w, 6);
      ctx.globalAlpha = 1;
      break;
    case "queued":
      ctx.fillStyle = selected ? palette.selected : palette.surface;
      ctx.fillRect(l, top, w, BAR);
      hatch(ctx, l, top, w, BAR, palette.wait, 4);
      ctx.strokeStyle = palette.wait;
      ctx.strokeRect(l + 0.5, top + 0.5, w - 1, BAR - 1);
      break;
    case "running":
    case "completed":
    case "failed":
      ctx.fillStyle = palette[span.kind];
      box(ctx, l, top, w, BAR, span.to === null ? [2, 0, 0, 2] : [2]);
      ctx.fill();
      break;
    case "canceled":
      ctx.fillStyle = palette.past;
      box(ctx, l, top, w, BAR, [2]);
      ctx.fill();
      break;
    case "child":
      box(ctx, l + 0.75, y + 7.75, Math.max(3, w - 1.5), 14.5, [2]);
      ctx.fillStyle = palette.childGround;
      ctx.fill();
      ctx.strokeStyle = palette.completed;
      ctx.lineWidth = 1.5;
      ctx.stroke();
      ctx.lineWidth = 1;
      break;
    case "backoff":
      ctx.strokeStyle = palette.wait;
      ctx.lineWidth = 2;
      ctx.setLineDash([2, 2]);
      line(ctx, l, y + 15, l + w, y + 15);
      ctx.setLineDash([]);
      ctx.lineWidth = 1;
      break;
    case "wait":
      ctx.strokeStyle = palette.running;
      ctx.lineWidth = 2;
      ctx.setLineDash([4, 4]);
      line(ctx, l, y + 15, l + w, y + 15);
      ctx.setLineDash([]);
      ctx.lineWidth = 1;
      break;
    case "timer":
      ctx.fillStyle = palette.wait;
      ctx.fillRect(l, y + 14, w, 2);
      break;
  }
}

/** The whole run, small, with what is in sight marked. */
export function drawMinimap(ctx: CanvasRenderingContext2D, scene: Scene, all: readonly Group[]): void {
  const { palette, view, width, height, now } = scene;
  const full: Scene = { ...scene, view: { left: 0, right: 1 } };
  const lanes = all.slice(1);
  const step = Math.min(5, (height - 12) / Math.max(1, lanes.length));
  const every = Math.max(1, Math.ceil(lanes.length / 400)); // more are not told apart
  for (let i = 0; i < lanes.length; i += every) {
    for (const s of lanes[i]?.spans ?? []) {
      ctx.fillStyle =
        s.kind === "completed" || s.kind === "child" ? palette.completed : s.kind === "failed" ? palette.failed : s.kind === "running" || s.kind === "wait" ? palette.running : palette.past;
      const l = x(full, s.from);
      ctx.fillRect(l, 6 + i * step, Math.max(2, Math.min(width, x(full, s.to ?? now)) - l), Math.min(2, step));
    }
  }
  const [l, r] = [view.left * width, view.right * width];
  ctx.strokeStyle = palette.wait;
  box(ctx, l + 1.5, 3.5, Math.max(4, r - l - 3), height - 7, [3]);
  ctx.globalAlpha = 0.08;
  ctx.fillStyle = palette.accent;
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.stroke();
}

function box(ctx: CanvasRenderingContext2D, l: number, t: number, w: number, h: number, radii: number[]): void {
  ctx.beginPath();
  ctx.roundRect(l, t, w, h, radii);
}

function line(ctx: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}

function hatch(ctx: CanvasRenderingContext2D, l: number, t: number, w: number, h: number, colour: string, gap: number): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(l, t, w, h);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.globalAlpha = 0.7;
  ctx.beginPath();
  for (let at = l - h; at < l + w; at += gap) {
    ctx.moveTo(at, t + h);
    ctx.lineTo(at + h, t);
  }
  ctx.stroke();
  ctx.restore();
}

function diamond(ctx: CanvasRenderingContext2D, cx: number, cy: number, colour: string, filled: boolean, ground: string): void {
  ctx.beginPath();
  ctx.moveTo(cx, cy - 5.5);
  ctx.lineTo(cx + 5.5, cy);
  ctx.lineTo(cx, cy + 5.5);
  ctx.lineTo(cx - 5.5, cy);
  ctx.closePath();
  ctx.fillStyle = filled ? colour : ground;
  ctx.fill();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.3;
  ctx.stroke();
  ctx.lineWidth = 1;
}

function clockFace(ctx: CanvasRenderingContext2D, cx: number, cy: number, colour: string, ground: string): void {
  ctx.beginPath();
  ctx.arc(cx, cy, 5, 0, 7);
  ctx.fillStyle = ground;
  ctx.fill();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.3;
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(cx, cy - 3);
  ctx.lineTo(cx, cy);
  ctx.lineTo(cx + 2, cy + 1.4);
  ctx.stroke();
  ctx.lineWidth = 1;
}

function octagon(ctx: CanvasRenderingContext2D, cx: number, cy: number, colour: string, ground: string): void {
  const [a, b] = [2.5, 6];
  ctx.beginPath();
  for (const [px, py] of [
    [-a, -b],
    [a, -b],
    [b, -a],
    [b, a],
    [a, b],
    [-a, b],
    [-b, a],
    [-b, -a],
  ] as const) {
    ctx.lineTo(cx + px, cy + py);
  }
  ctx.closePath();
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.strokeStyle = ground;
  ctx.lineWidth = 1.5;
  line(ctx, cx - 2.3, cy - 2.3, cx + 2.3, cy + 2.3);
  line(ctx, cx + 2.3, cy - 2.3, cx - 2.3, cy + 2.3);
  ctx.lineWidth = 1;
}
