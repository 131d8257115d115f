import { useMemo, useState } from "react";
import { plural } from "../kit/format";
import { layOut, type Line } from "../kit/json";

/** More lines than this are shown on demand. */
const MOST_LINES = 1000;

/** A JSON text laid out in lines; brackets fold. What is no JSON is shown as it is. */
export function JsonView({ text, label }: { text: string; label: string }) {
  const result = useMemo(() => layOut(text), [text]);
  const [folded, setFolded] = useState<ReadonlySet<number>>(new Set());
  const [most, setMost] = useState(MOST_LINES);
  if ("problem" in result) return <PlainText text={text} label={label} />;
  const { lines } = result;
  const numbers = lines.length > 5;
  const toggle = (at: number) => {
    const next = new Set(folded);
    if (!next.delete(at)) next.add(at);
    setFolded(next);
  };
  const shown: React.ReactNode[] = [];
  let at = 0;
  while (at < lines.length && shown.length < most) {
    const line = lines[at] as Line;
    const isFolded = folded.has(at);
    shown.push(<JsonLine key={at} line={line} at={at} numbers={numbers} folded={isFolded} after={isFolded ? lines[line.closes ?? at] : undefined} onToggle={toggle} />);
    at = isFolded && line.closes !== undefined ? line.closes + 1 : at + 1;
  }
  return (
    <div className="json" tabIndex={0} role="group" aria-label={label}>
      {shown}
      {at < lines.length && (
        <button type="button" className="fold link" onClick={() => setMost(most * 10)}>
          Show {plural(lines.length - at, "more line")}
        </button>
      )}
    </div>
  );
}

interface LineProps {
  line: Line;
  at: number;
  numbers: boolean;
  folded: boolean;
  /** The closing line, drawn behind a folded bracket. */
  after: Line | undefined;
  onToggle: (at: number) => void;
}

function JsonLine({ line, at, numbers, folded, after, onToggle }: LineProps) {
  const folds = line.closes !== undefined;
  return (
    <div className="json-line">
      {numbers && <span className="n">{at + 1}</span>}
      <span>
        {"  ".repeat(line.indent)}
        {line.tokens.map((token, i) => {
          const isBracket = folds && i === line.tokens.length - 1;
          return isBracket ? (
            <button key={i} type="button" className="fold" aria-expanded={!folded} aria-label={`${token.text} ${plural(line.items ?? 0, "item")}`} onClick={() => onToggle(at)}>
              {token.text}
              {folded && ` … ${line.items} `}
            </button>
          ) : (
            <span key={i} className={token.kind}>
              {token.text}
            </span>
          );
        })}
        {after?.tokens.map((token, i) => (
          <span key={`end-${i}`} className={token.kind}>
            {token.text}
          </span>
        ))}
      </span>
    </div>
  );
}

export function PlainText({ text, label }: { text: string; label: string }) {
  return (
    <pre className="json" tabIndex={0} aria-label={label}>
      {text}
    </pre>
  );
}
