import { useEffect, useState } from "react";
import { Button } from "./Button";
import type { IconName } from "./Icon";

/** Copies a text; says so by a tick. */
export function CopyButton({ text, label, icon = "copy" }: { text: string | (() => string); label: string; icon?: IconName }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "string" ? text : text());
    setCopied(true);
  };
  return <Button variant="ghost" small icon={copied ? "check" : icon} className="copy" aria-label={copied ? "Copied" : label} title={label} onClick={() => void copy()} />;
}
