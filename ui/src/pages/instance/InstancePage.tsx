import { useCallback, useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import type { InstanceFragment } from "../../api/gql/graphql";
import { usePaused } from "../../api/pause";
import { Frame } from "../../components/Frame";
import { groups } from "../../history/groups";
import { ErrorBar } from "../../kit/ErrorBar";
import { count } from "../../kit/format";
import { paths } from "../../paths";
import { RaiseDialog, TerminateDialog } from "./Dialogs";
import { Explain, Held } from "./Explain";
import { Header } from "./Header";
import { HistoryTab } from "./HistoryTab";
import { InputOutput } from "./InputOutput";
import { Panel } from "./Panel";
import { ProgressTab } from "./ProgressTab";
import { isTab, TABS, type Tab } from "./tabs";
import { Timeline } from "./timeline/Timeline";
import { useHistory } from "./useHistory";
import { isLive, useInstance } from "./useInstance";

/** One instance: what it is at, and all that it has done. */
export default function InstancePage({ hub, id }: { hub: string; id: string }) {
  const paused = usePaused();
  const { found, problem, retry } = useInstance(hub, id, paused);
  return (
    <Frame hub={hub} title={id} below>
      {problem && <ErrorBar what={found.kind === "found" ? "The instance could not be refreshed" : "The instance could not be read"} problem={problem} onRetry={retry} />}
      {found.kind === "none" && <NotFound hub={hub} id={id} />}
      {found.kind === "found" && <Found hub={hub} instance={found.instance} paused={paused} />}
    </Frame>
  );
}

function Found({ hub, instance, paused }: { hub: string; instance: InstanceFragment; paused: boolean }) {
  const id = instance.instanceId;
  const query = useSearch();
  const [, navigate] = useLocation();
  const params = useMemo(() => new URLSearchParams(query), [query]);
  const asked = params.get("tab");
  const tab: Tab = isTab(asked) ? asked : "timeline";
  const selected = params.get("e");
  const record = params.get("p");
  const history = useHistory(hub, id, paused);
  const all = useMemo(() => groups(history.events, instance), [history.events, instance]);
  const [raising, setRaising] = useState<string>();
  const [terminating, setTerminating] = useState<"asking" | "sent">();
  const live = isLive(instance);

  const address = useCallback(
    (change: Record<string, string | null>) => {
      const next = new URLSearchParams(query);
      for (const [key, value] of Object.entries(change)) {
        if (value === null) next.delete(key);
        else next.set(key, value);
      }
      return paths.instance(hub, id, next.toString());
    },
    [hub, id, query],
  );
  const selectRecord = useCallback((p: string | null) => navigate(address({ p }), { replace: true }), [address, navigate]);
  const select = useCallback((e: string | null) => navigate(address({ e }), { replace: true }), [address, navigate]);

  return (
    <>
      <Header
        hub={hub}
        instance={instance}
        terminating={terminating === "sent" && live}
        onRaise={() => setRaising(instance.waiting.kind === "EVENT" ? (instance.waiting.subject ?? "") : "")}
        onTerminate={() => setTerminating("asking")}
      />
      <Explain instance={instance} onRaise={setRaising} />
      {instance.held && <Held held={instance.held} />}
      <nav className="tabs instance-tabs" aria-label="Views of the instance">
        {TABS.map(({ tab: t, words }) => (
          <Link key={t} className="tab" href={address({ tab: t === "timeline" ? null : t })} aria-current={t === tab ? "page" : undefined}>
            {words}
            {t === "history" && history.events.length > 0 && <span className="c">{count(history.events.length)}</span>}
          </Link>
        ))}
      </nav>
      {history.problem && <ErrorBar what="The history could not be read" problem={history.problem} />}
      {tab === "io" ? (
        <InputOutput hub={hub} instance={instance} />
      ) : tab === "progress" ? (
        <div className="split">
          <ProgressTab hub={hub} id={id} live={live} paused={paused} selected={record} onSelect={selectRecord} />
        </div>
      ) : (
        <div className="split">
          {tab === "timeline" && <Timeline all={all} live={live && !paused} loading={history.loading} selected={selected} onSelect={select} />}
          {tab === "history" && <HistoryTab all={all} history={history} params={params} address={address} selected={selected} onSelect={select} />}
          {selected !== null && <Panel hub={hub} id={id} all={all} events={history.events} selected={selected} by={tab === "history" ? "event" : "group"} onSelect={select} />}
        </div>
      )}
      {raising !== undefined && <RaiseDialog hub={hub} id={id} event={raising} onClose={() => setRaising(undefined)} />}
      {terminating === "asking" && (
        <TerminateDialog
          hub={hub}
          id={id}
          name={instance.name}
          onSent={() => setTerminating("sent")}
          onClose={() => setTerminating((now) => (now === "asking" ? undefined : now))}
        />
      )}
    </>
  );
}

function NotFound({ hub, id }: { hub: string; id: string }) {
  return (
    <div className="page">
      <div className="prose">
        <h1>There is no instance {id}</h1>
        <p className="t2 lead">The hub {hub} has none with this id now.</p>
        <p>
          <Link className="link" href={paths.orchestrations(hub, `id=${encodeURIComponent(id.slice(0, 6))}&children=1`)}>
            Instances whose id starts with {id.slice(0, 6)}
          </Link>
        </p>
      </div>
    </div>
  );
}
