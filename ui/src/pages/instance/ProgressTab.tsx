import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useRef, useState } from "react";
import { ask } from "../../api/client";
import { type PayloadTextFragment, ProgressValueDocument } from "../../api/gql/graphql";
import { LazyPayload } from "../../components/Payload";
import { preview, type ProgressRecord, speaker } from "../../history/progress";
import { Button } from "../../kit/Button";
import { CopyButton } from "../../kit/CopyButton";
import { ErrorBar } from "../../kit/ErrorBar";
import { Check } from "../../kit/Field";
import { plural } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { Clock, Moment } from "../../kit/Time";
import { typing } from "../list/ListPage";
import { useProgress } from "./useProgress";

const HEIGHT = 28;

interface Props {
  hub: string;
  id: string;
  live: boolean;
  paused: boolean;
  selected: string | null;
  onSelect: (seq: string | null) => void;
}

/** What the instance has said of how far it is, as it says it; only lines in sight are in the document. */
export function ProgressTab({ hub, id, live, paused, selected, onSelect }: Props) {
  const { records, loading, problem, retry } = useProgress(hub, id, paused);
  const scroller = useRef<HTMLDivElement>(null);
  // A permalink stays at its record.
  const [following, setFollowing] = useState(selected === null);
  // Numbers have no gaps, so that a record's place is known by its own.
  const cursor = selected === null ? -1 : placeOf(records, selected);
  const virtual = useVirtualizer({ count: records.length, getScrollElement: () => scroller.current, estimateSize: () => HEIGHT, overscan: 10 });

  useEffect(() => {
    if (following && records.length > 0) virtual.scrollToIndex(records.length - 1, { align: "end" });
  }, [following, records.length, virtual]);

  const shownAt = useRef<string>(undefined);
  useEffect(() => {
    if (selected === null || cursor < 0 || shownAt.current === selected) return;
    shownAt.current = selected;
    virtual.scrollToIndex(cursor, { align: "auto" });
  }, [selected, cursor, virtual]);

  const move = useCallback(
    (to: number) => {
      const record = records[Math.max(0, Math.min(to, records.length - 1))];
      if (!record) return;
      setFollowing(false);
      onSelect(record.seq);
    },
    [records, onSelect],
  );
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event)) return;
      if (event.key === "j" || event.key === "ArrowDown") move(cursor + 1);
      else if (event.key === "k" || event.key === "ArrowUp") move(cursor < 0 ? records.length - 1 : cursor - 1);
      else if (event.key === "Home") move(0);
      else if (event.key === "End") move(records.length - 1);
      else if (event.key === "Escape") onSelect(null);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [move, cursor, records.length, onSelect]);

  const items = virtual.getVirtualItems();
  const open = records[cursor];
  return (
    <>
      <div className="tl">
        <div className="tl-tools history-tools">
          <Check label="Follow" checked={following} onChange={(event) => setFollowing(event.target.checked)} />
          <span className="grow" />
          <span className="t3 nowrap" role="status">
            {records.length === 0 && (loading || problem) ? "" : loading ? `Reading, ${plural(records.length, "record")} so far` : plural(records.length, "record")}
          </span>
        </div>
        {problem && <ErrorBar what="The progress could not be read" problem={problem} onRetry={retry} />}
        <div
          ref={scroller}
          className="grid events progress"
          role="grid"
          aria-label="Progress"
          aria-busy={loading}
          aria-rowcount={records.length + 1}
          aria-activedescendant={items.some((i) => i.index === cursor) ? `record-${cursor}` : undefined}
          tabIndex={0}
          onWheel={(event) => event.deltaY < 0 && setFollowing(false)}
          // Whoever picks a record, drags the bar or swipes reads where they are; so does whoever pages up.
          onPointerDown={() => setFollowing(false)}
          onKeyDown={(event) => event.key === "PageUp" && setFollowing(false)}
        >
          <div className="grid-head" role="rowgroup">
            <div className="grid-row" role="row" aria-rowindex={1}>
              <span role="columnheader" className="num">
                No.
              </span>
              <span role="columnheader">Time</span>
              <span role="columnheader">Said by</span>
              <span role="columnheader">Value</span>
            </div>
          </div>
          <div className="grid-body" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
            {loading && records.length === 0 && <Skeletons />}
            {items.map((item) => {
              const record = records[item.index];
              return record && <Line key={record.seq} record={record} index={item.index} top={item.start} open={item.index === cursor} onSelect={onSelect} />;
            })}
          </div>
          {records.length === 0 && !loading && !problem && (
            <div className="empty" role="row">
              <span role="gridcell">{live ? "It has said nothing yet of how far it is." : "It said nothing of how far it was."}</span>
            </div>
          )}
        </div>
      </div>
      {open && <RecordPanel key={open.seq} hub={hub} id={id} record={open} onClose={() => onSelect(null)} />}
    </>
  );
}

function placeOf(records: readonly ProgressRecord[], seq: string): number {
  const first = records[0];
  if (!first || !/^\d{1,18}$/.test(seq)) return -1;
  const at = Number(BigInt(seq) - BigInt(first.seq));
  return records[at]?.seq === seq ? at : records.findIndex((r) => r.seq === seq);
}

function Line({ record, index, top, open, onSelect }: { record: ProgressRecord; index: number; top: number; open: boolean; onSelect: (seq: string) => void }) {
  const who = speaker(record);
  const said = preview(record);
  return (
    <div
      id={`record-${index}`}
      className={`grid-row${open ? " open" : ""}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={open}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => onSelect(record.seq)}
    >
      <span role="gridcell" className="num t3">
        {record.seq}
      </span>
      <span role="gridcell" className="mono t2">
        <Clock at={record.at} />
      </span>
      <span role="gridcell" className="c-task" title={who}>
        <Icon name={record.name === null ? "orchestration" : "activity"} />
        <span className={`trunc user-text${record.name === null ? " t3" : ""}`}>{who}</span>
      </span>
      <span role="gridcell" className="mono user-text" title={said}>
        {said || <span className="t3">no value</span>}
      </span>
    </div>
  );
}

function RecordPanel({ hub, id, record, onClose }: { hub: string; id: string; record: ProgressRecord; onClose: () => void }) {
  const { seq, value } = record;
  const load = useCallback(() => readValue(hub, id, seq), [hub, id, seq]);
  return (
    <aside className="panel" aria-label={`Record ${seq}`}>
      <header>
        <h2>Record {seq}</h2>
        <span className="grow" />
        <CopyButton icon="link" text={() => location.href} label="Copy link" />
        <Button variant="ghost" small icon="x" aria-label="Close" onClick={onClose} />
      </header>
      <div className="scroll">
        <section>
          <dl className="kv">
            <dt>Time</dt>
            <dd>
              <Moment at={record.at} />
            </dd>
            <dt>Said by</dt>
            <dd className="user-text">{record.name ?? "the orchestration's own code"}</dd>
            {record.attempt !== null && (
              <>
                <dt>Attempt</dt>
                <dd>{record.attempt}</dd>
              </>
            )}
            {record.generation > 0 && (
              <>
                <dt>Generation</dt>
                <dd>{record.generation}</dd>
              </>
            )}
          </dl>
        </section>
        <section>{value ? <LazyPayload label="Value" size={value.size} load={load} /> : <p className="t3">It has no value.</p>}</section>
      </div>
    </aside>
  );
}

async function readValue(hub: string, id: string, seq: string): Promise<PayloadTextFragment | null> {
  const { orchestration } = await ask(ProgressValueDocument, { hub, id, seq });
  return orchestration?.progressRecord?.value ?? null;
}

function Skeletons() {
  return Array.from({ length: 8 }, (_, i) => (
    <div key={i} className="grid-row late" role="row" style={{ transform: `translateY(${i * HEIGHT}px)` }}>
      {[40, 70, 60, 80].map((width) => (
        <span key={width} role="gridcell">
          <span className="sr">Loading</span>
          <div className="skeleton" style={{ width: `${width}%`, marginTop: 9 }} />
        </span>
      ))}
    </div>
  ));
}
