export type Tab = "timeline" | "history" | "progress" | "io";

export const TABS: readonly { tab: Tab; words: string }[] = [
  { tab: "timeline", words: "Timeline" },
  { tab: "history", words: "History" },
  { tab: "progress", words: "Progress" },
  { tab: "io", words: "Input and output" },
];

export function isTab(text: string | null): text is Tab {
  return TABS.some(({ tab }) => tab === text);
}
