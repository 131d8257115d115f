import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { usePaused } from "../../api/pause";
import { Frame } from "../../components/Frame";
import { Button } from "../../kit/Button";
import { ErrorBar } from "../../kit/ErrorBar";
import { clock, plural } from "../../kit/format";
import { Icon } from "../../kit/Icon";
import { useSettings } from "../../kit/settings";
import { paths } from "../../paths";
import { EmptyByFilter, EmptyHub } from "./Empty";
import { type ListFilter, readFilter, writeFilter } from "./filter";
import { FilterBar } from "./FilterBar";
import { InstanceGrid } from "./InstanceGrid";
import { StartDialog } from "./StartDialog";
import { StatusTabs } from "./StatusTabs";
import { useList } from "./useList";

/** Every instance of a hub, live. */
export function ListPage({ hub }: { hub: string }) {
  const search = useSearch();
  const [, navigate] = useLocation();
  const filter = useMemo(() => readFilter(search), [search]);
  const query = useMemo(() => writeFilter(filter), [filter]);
  const paused = usePaused();
  const list = useList(hub, query, paused);
  const [starting, setStarting] = useState(false);
  const { zone } = useSettings();
  const scrollToTop = useRef(() => {});
  const { rows, counts, loading, problem, settle } = list;

  const show = useCallback((next: ListFilter) => navigate(paths.orchestrations(hub, writeFilter(next))), [hub, navigate]);

  const merge = useCallback(() => {
    settle();
    scrollToTop.current();
  }, [settle]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "n" && !typing(event)) merge();
      if (event.key === "c" && !typing(event)) {
        event.preventDefault();
        setStarting(true);
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [merge]);

  const filtered = query !== "";
  const empty = !loading && rows.shown.length === 0 && rows.waiting.size === 0 && !problem;
  return (
    <Frame hub={hub} title="Orchestrations">
      <div className="head">
        <h1>Orchestrations</h1>
        <span className="grow" />
        <Button icon="plus" onClick={() => setStarting(true)}>
          Start orchestration
        </Button>
      </div>
      <FilterBar filter={filter} onChange={show} />
      <StatusTabs hub={hub} filter={filter} counts={counts} />
      {problem && <ErrorBar what={rows.shown.length > 0 ? "The list could not be refreshed" : "The list could not be read"} problem={problem} onRetry={list.retry} />}
      {rows.waiting.size > 0 && (
        <button type="button" className="newbar" onClick={merge}>
          <Icon name="up" />
          {plural(rows.waiting.size, "new", "new")} since {clock(rows.waitingSince ?? 0, zone)}
        </button>
      )}
      {empty && filtered && <EmptyByFilter hub={hub} filter={filter} onChange={show} />}
      {empty && !filtered && <EmptyHub hub={hub} onStart={() => setStarting(true)} />}
      {!empty && (loading || rows.shown.length > 0) && <InstanceGrid hub={hub} list={list} scrollToTop={scrollToTop} />}
      {starting && <StartDialog hub={hub} onClose={() => setStarting(false)} />}
    </Frame>
  );
}

/** Whether a key belongs to a field or a dialog, and not to the page. */
export function typing(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target as HTMLElement | null;
  return target !== null && (target.closest("input, textarea, select, dialog, [contenteditable]") !== null || document.querySelector("dialog[open]") !== null);
}
