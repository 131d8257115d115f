import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import type { Group } from "../../history/groups";
import { type EventRow, rows } from "../../history/rows";
import { Check } from "../../kit/Field";
import { clock, duration, plural } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { useSettings } from "../../kit/settings";
import { Clock } from "../../kit/Time";
import { typing } from "../list/ListPage";
import type { History } from "./useHistory";

const HEIGHT = 28;

interface Props {
  all: readonly Group[];
  history: History;
  params: URLSearchParams;
  address: (change: Record<string, string | null>) => string;
  selected: string | null;
  onSelect: (e: string | null) => void;
}

/** Every event as a line of a table, of which only those in sight are in the document. */
export function HistoryTab({ all, history, params, address, selected, onSelect }: Props) {
  const [, navigate] = useLocation();
  const { zone } = useSettings();
  const scroller = useRef<HTMLDivElement>(null);
  const filterInput = useRef<HTMLInputElement>(null);
  const compact = params.get("view") === "compact";
  const failuresOnly = params.get("only") === "failures";
  const foldTurns = params.get("turns") !== "1";
  const asked = params.get("q") ?? "";
  const [match, setMatch] = useState(asked);
  useEffect(() => setMatch(asked), [asked]);

  const shown = useMemo(
    () => rows(history.events, all, { compact, failuresOnly, foldTurns, match: asked, clock: (at) => clock(at, zone) }),
    [history.events, all, compact, failuresOnly, foldTurns, asked, zone],
  );
  const cursor = selected === null ? -1 : shown.findIndex((r) => r.kind === "event" && r.seq === selected);
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => HEIGHT,
    overscan: 10,
  });

  // A permalink opens at its event, once that has come.
  const shownAt = useRef<string>(undefined);
  useEffect(() => {
    if (selected === null || cursor < 0 || shownAt.current === selected) return;
    shownAt.current = selected;
    virtual.scrollToIndex(cursor, { align: "auto" });
  }, [selected, cursor, virtual]);

  const set = useCallback((change: Record<string, string | null>) => navigate(address(change), { replace: true }), [address, navigate]);

  const move = useCallback(
    (step: 1 | -1) => {
      let at = cursor < 0 ? (step > 0 ? 0 : shown.length - 1) : cursor + step;
      while (shown[at]?.kind === "quiet") at += step;
      const row = shown[at];
      if (row?.kind === "event") onSelect(row.seq);
    },
    [cursor, shown, onSelect],
  );
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event)) return;
      if (event.key === "/") filterInput.current?.focus();
      else if (event.key === "j" || event.key === "ArrowDown") move(1);
      else if (event.key === "k" || event.key === "ArrowUp") move(-1);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [move]);

  const events = shown.filter((r) => r.kind === "event").length;
  const items = virtual.getVirtualItems();
  return (
    <div className="tl">
      <div className="tl-tools history-tools">
        <div className="seg" role="group" aria-label="View">
          <button type="button" aria-pressed={compact} onClick={() => set({ view: "compact" })}>
            Compact
          </button>
          <button type="button" aria-pressed={!compact} onClick={() => set({ view: null })}>
            Full
          </button>
        </div>
        <input
          ref={filterInput}
          type="search"
          className="field history-filter"
          aria-label="Filter events"
          placeholder="Filter, or /regex/"
          value={match}
          onChange={(event) => {
            setMatch(event.target.value);
            set({ q: event.target.value || null });
          }}
        />
        <Check label="Only failures" checked={failuresOnly} onChange={(event) => set({ only: event.target.checked ? "failures" : null })} />
        {!compact && <Check label="Fold turns" checked={foldTurns} onChange={(event) => set({ turns: event.target.checked ? null : "1" })} />}
        <span className="grow" />
        <span className="t3 nowrap">
          {plural(history.events.length, "event")}
          {events < history.events.length && !compact && `, ${plural(events, "shown", "shown")}`}
        </span>
      </div>
      <div ref={scroller} className="grid events" role="grid" aria-label="History" aria-rowcount={shown.length + 1} aria-activedescendant={cursor >= 0 && items.some((i) => i.index === cursor) ? `event-${cursor}` : undefined} tabIndex={0}>
        <div className="grid-head" role="rowgroup">
          <div className="grid-row" role="row" aria-rowindex={1}>
            <span role="columnheader" className="num">
              Seq
            </span>
            <span role="columnheader">Time</span>
            <span role="columnheader" className="num">
              Delta
            </span>
            <span role="columnheader">{compact ? "State" : "Event"}</span>
            <span role="columnheader">Task</span>
            <span role="columnheader">Summary</span>
          </div>
        </div>
        <div className="grid-body" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const row = shown[item.index];
            if (!row) return null;
            return row.kind === "quiet" ? (
              <div key={item.key} className="grid-row quiet" role="row" aria-rowindex={item.index + 2} style={{ transform: `translateY(${item.start}px)` }}>
                <span role="gridcell">{duration(row.ms)} quiet</span>
              </div>
            ) : (
              <Line key={item.key} row={row} index={item.index} top={item.start} open={item.index === cursor} onSelect={onSelect} />
            );
          })}
        </div>
        {shown.length === 0 && !history.loading && (
          <div className="empty" role="row">
            <span role="gridcell">{history.events.length === 0 ? "It has no history yet." : "No event matches the filter."}</span>
          </div>
        )}
      </div>
    </div>
  );
}

function Line({ row, index, top, open, onSelect }: { row: EventRow; index: number; top: number; open: boolean; onSelect: (e: string) => void }) {
  return (
    <div
      id={`event-${index}`}
      className={`grid-row${open ? " open" : ""}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={open}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => onSelect(row.seq)}
    >
      <span role="gridcell" className="num t3">
        {row.seq}
      </span>
      <span role="gridcell" className="mono t2">
        <Clock at={row.at} />
      </span>
      <span role="gridcell" className="num t3">
        {row.delta !== null && duration(row.delta)}
      </span>
      <span role="gridcell" className={row.bad ? "bad" : undefined}>
        {row.type}
      </span>
      <span role="gridcell" title={row.name} className="c-task">
        {row.icon && <Icon name={row.icon} />}
        <span className="trunc user-text">{row.name}</span>
      </span>
      <span role="gridcell" className="t2 user-text" title={row.summary}>
        {row.summary}
      </span>
    </div>
  );
}
