// Colours for the canvas, as the stylesheet has them: a canvas knows no custom properties.

const tokens = {
  surface: "--bg-surface",
  selected: "--bg-selected",
  faint: "--line-faint",
  line: "--line",
  text2: "--text-2",
  text3: "--text-3",
  accent: "--accent",
  failedText: "--st-failed",
  runningText: "--st-running",
  completed: "--bar-completed",
  running: "--bar-running",
  failed: "--bar-failed",
  wait: "--bar-wait",
  past: "--bar-past",
  childGround: "--soft-completed",
  runningGround: "--soft-running",
} as const;

export type Palette = Record<keyof typeof tokens, string>;

/** Reads the colours that hold at an element. */
export function readPalette(at: HTMLElement): Palette {
  const probe = document.createElement("span");
  probe.hidden = true;
  at.append(probe);
  const out = Object.fromEntries(
    Object.entries(tokens).map(([name, token]) => {
      probe.style.color = `var(${token})`;
      return [name, getComputedStyle(probe).color];
    }),
  ) as Palette;
  probe.remove();
  return out;
}
