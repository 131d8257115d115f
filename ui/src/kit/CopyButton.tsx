import { useEffect, useState } from "react";
import { Button } from "./Button";

/** Copies a text; says so by a tick. */
export function CopyButton({ text, label }: { text: string | (() => string); label: string }) {
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
  return <Button variant="ghost" small icon={copied ? "check" : "copy"} className="copy" aria-label={copied ? "Copied" : label} title={label} onClick={() => void copy()} />;
}
