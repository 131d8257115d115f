import { useVirtualizer } from "@tanstack/react-virtual";
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import type { RowFragment } from "../../api/gql/graphql";
import { Status } from "../../kit/Status";
import { Ago, Duration } from "../../kit/Time";
import { useNarrow } from "../../kit/useNarrow";
import { paths } from "../../paths";
import { typing } from "./ListPage";
import type { List } from "./useList";

const HEIGHT = 28;
/** On a telephone: three lines, or two for what is doing nothing. */
const NARROW_HEIGHT = 74;
const NARROW_HEIGHT_QUIET = 56;

interface Props {
  hub: string;
  list: List;
  scrollToTop: RefObject<() => void>;
}

/** The rows, of which only those in sight are in the document. */
export function InstanceGrid({ hub, list, scrollToTop }: Props) {
  const { rows, loading, loadingMore, loadMore, atTop } = list;
  const [, navigate] = useLocation();
  const scroller = useRef<HTMLDivElement>(null);
  const narrow = useNarrow();
  const [cursorId, setCursorId] = useState<string>();
  const cursor = rows.shown.findIndex((r) => r.id === cursorId);
  const height = narrow ? NARROW_HEIGHT : HEIGHT;
  const virtual = useVirtualizer({
    count: rows.shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: (i) => (narrow ? (rows.shown[i]?.doingNow ? NARROW_HEIGHT : NARROW_HEIGHT_QUIET) : HEIGHT),
    getItemKey: (i) => rows.shown[i]?.id ?? i,
    overscan: 8,
  });
  // Heights follow what the rows say, where they differ at all.
  const measured = narrow ? rows.shown : undefined;
  useEffect(() => virtual.measure(), [narrow, measured, virtual]);
  useEffect(() => {
    scrollToTop.current = () => scroller.current?.scrollTo({ top: 0 });
  }, [scrollToTop]);
  // A list that is put in place anew is at its top.
  useEffect(() => atTop(true), [atTop]);

  const items = virtual.getVirtualItems();
  const lastSeen = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (rows.more && lastSeen >= rows.shown.length - 20) loadMore();
  }, [lastSeen, rows.more, rows.shown.length, loadMore]);

  const move = useCallback(
    (to: number) => {
      const row = rows.shown[Math.max(0, Math.min(to, rows.shown.length - 1))];
      if (!row) return;
      setCursorId(row.id);
      virtual.scrollToIndex(rows.shown.indexOf(row), { align: "auto" });
      scroller.current?.focus({ preventScroll: true });
    },
    [rows.shown, virtual],
  );

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (typing(event)) return;
      const onControl = (event.target as HTMLElement).closest("a, button") !== null;
      const row = rows.shown[cursor];
      switch (event.key) {
        case "j":
        case "ArrowDown":
          move(cursor + 1);
          break;
        case "k":
        case "ArrowUp":
          move(cursor < 0 ? 0 : cursor - 1);
          break;
        case "Home":
          move(0);
          break;
        case "End":
          move(rows.shown.length - 1);
          break;
        case "PageDown":
        case "PageUp": {
          const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / height) - 2);
          move(Math.max(0, cursor) + (event.key === "PageDown" ? page : -page));
          break;
        }
        case "Enter":
        case "o":
          if (!row || (event.key === "Enter" && onControl)) return;
          navigate(paths.instance(hub, row.instanceId));
          break;
        default:
          return;
      }
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [cursor, height, hub, move, navigate, rows.shown]);

  return (
    <div
      ref={scroller}
      className="grid instances"
      role="grid"
      aria-label="Instances"
      aria-rowcount={rows.more ? -1 : rows.shown.length + 1}
      aria-busy={loading}
      aria-activedescendant={cursor >= 0 && items.some((i) => i.index === cursor) ? `row-${cursor}` : undefined}
      tabIndex={0}
      onFocus={(event) => {
        if (event.target === event.currentTarget && cursor < 0) setCursorId(rows.shown[items[0]?.index ?? 0]?.id);
      }}
      onScroll={(event) => atTop(event.currentTarget.scrollTop < 4)}
    >
      <div className="grid-head" role="rowgroup">
        <div className="grid-row" role="row" aria-rowindex={1}>
          <span role="columnheader">Status</span>
          <span role="columnheader">Name</span>
          <span role="columnheader">Instance id</span>
          <span role="columnheader">Version</span>
          <span role="columnheader">Doing now</span>
          <span role="columnheader" className="num">
            Created
          </span>
          <span role="columnheader" className="num">
            Duration
          </span>
          <span role="columnheader" className="num">
            Last event
          </span>
        </div>
      </div>
      <div className="grid-body" role="rowgroup" style={{ height: virtual.getTotalSize() + (rows.more ? 40 : 0) }}>
        {loading && rows.shown.length === 0 && <Skeletons height={height} />}
        {items.map((item) => {
          const row = rows.shown[item.index];
          return (
            row && (
              <Row
                key={item.key}
                hub={hub}
                row={row}
                index={item.index}
                top={item.start}
                cursor={item.index === cursor}
                fresh={rows.fresh.has(row.id)}
                gone={rows.gone.has(row.id)}
                onPick={setCursorId}
              />
            )
          );
        })}
        {loadingMore && (
          <p className="grid-foot late" role="presentation" style={{ top: virtual.getTotalSize() }}>
            Reading older ones
          </p>
        )}
      </div>
    </div>
  );
}

interface RowProps {
  hub: string;
  row: RowFragment;
  index: number;
  top: number;
  cursor: boolean;
  fresh: boolean;
  gone: boolean;
  onPick: (id: string) => void;
}

function Row({ hub, row, index, top, cursor, fresh, gone, onPick }: RowProps) {
  const classes = ["grid-row", row.doingNow ? "" : "still", cursor && "cursor", fresh && "fresh", gone && "gone"].filter(Boolean).join(" ");
  return (
    <div
      id={`row-${index}`}
      className={classes}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={cursor}
      title={gone ? "Matches the filter no more" : undefined}
      style={{ transform: `translateY(${top}px)` }}
      onFocus={() => onPick(row.id)}
      tabIndex={-1}
    >
      <span role="gridcell" className="c-status">
        <Status status={row.status} held={row.held !== null} />
      </span>
      <span role="gridcell" className="c-name name user-text" title={row.name}>
        {row.name}
      </span>
      <span role="gridcell" className="c-id mono" title={row.instanceId}>
        <Link className="row-link" href={paths.instance(hub, row.instanceId)} tabIndex={-1}>
          {row.instanceId}
        </Link>
      </span>
      <span role="gridcell" className="c-version t2" title={row.version ?? undefined}>
        {row.version}
      </span>
      <span role="gridcell" className="c-doing t2 user-text" title={row.doingNow ?? undefined}>
        {row.doingNow}
      </span>
      <span role="gridcell" className="c-created num t2">
        <Ago at={row.createdAt} />
      </span>
      <span role="gridcell" className="c-duration num t2">
        {row.startedAt && <Duration from={row.startedAt} to={row.finishedAt} />}
      </span>
      <span role="gridcell" className="c-last num t3">
        <Ago at={row.lastEventAt} />
      </span>
    </div>
  );
}

function Skeletons({ height }: { height: number }) {
  return Array.from({ length: 12 }, (_, i) => (
    <div key={i} className="grid-row late" role="row" style={{ transform: `translateY(${i * height}px)`, height }}>
      {["c-status", "c-name", "c-id", "c-version", "c-doing"].map((cell, n) => (
        <span key={cell} role="gridcell" className={cell}>
          <span className="sr">Loading</span>
          <div className="skeleton" style={{ width: `${[70, 60, 80, 50, 40][n]}%`, marginTop: 9 }} />
        </span>
      ))}
    </div>
  ));
}
