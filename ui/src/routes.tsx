import { lazy, Suspense } from "react";
import { Redirect, Route, Switch, useSearch } from "wouter";
import { useServer } from "./api/server";
import { Frame } from "./components/Frame";
import { ListPage } from "./pages/list/ListPage";
import { paths } from "./paths";

const LimitsPage = lazy(() => import("./pages/limits/LimitsPage"));
const InstancePage = lazy(() => import("./pages/instance/InstancePage"));

/** Every address of the dashboard. */
export function Routes() {
  const { hubs } = useServer();
  const first = (hubs.nodes.find(({ name }) => name === "default") ?? hubs.nodes[0])?.name;
  return (
    <Switch>
      <Route path="/">{first ? <Redirect to={paths.orchestrations(first)} replace /> : <NoHub />}</Route>
      <Route path="/h/:hub">{({ hub }) => <ToList hub={hub} />}</Route>
      <Route path="/h/:hub/orchestrations">{({ hub }) => (known(hubs.nodes, hub) ? <ListPage key={hub} hub={hub} /> : <NoSuchHub hub={hub} />)}</Route>
      <Route path="/h/:hub/limits">
        {({ hub }) =>
          known(hubs.nodes, hub) ? (
            <Suspense fallback={<Opening hub={hub} title="Limits" />}>
              <LimitsPage key={hub} hub={hub} />
            </Suspense>
          ) : (
            <NoSuchHub hub={hub} />
          )
        }
      </Route>
      <Route path="/h/:hub/o/:id">
        {({ hub, id }) => (
          <Suspense fallback={<Waiting hub={hub} id={id} />}>
            <InstancePage key={`${hub}/${id}`} hub={hub} id={id} />
          </Suspense>
        )}
      </Route>
      <Route>
        <NoPage />
      </Route>
    </Switch>
  );
}

function known(hubs: readonly { name: string }[], name: string): boolean {
  // There may be more hubs than were listed.
  return hubs.length >= 200 || hubs.some((h) => h.name === name);
}

function ToList({ hub }: { hub: string }) {
  return <Redirect to={paths.orchestrations(hub, useSearch())} replace />;
}

function NoHub() {
  const { server, viewer } = useServer();
  if (server.identity) {
    return (
      <Frame hub="" title="No role">
        <div className="page prose">
          <h1>You have no role here yet</h1>
          <p className="t2">
            The server knows you as <b className="user-text">{viewer.name}</b>, and no role lets you see a task hub. Somebody who administers this server can give you one:
          </p>
          <pre className="mono user-text">{`weir roles set '${viewer.subject}' reader --hub HUB`}</pre>
        </div>
      </Frame>
    );
  }
  return (
    <Frame hub="" title="No hub">
      <div className="page prose">
        <h1>There is no task hub</h1>
        <p className="t2">The server makes those that WEIR_HUBS names when it starts.</p>
      </div>
    </Frame>
  );
}

function NoSuchHub({ hub }: { hub: string }) {
  return (
    <Frame hub={hub} title={hub}>
      <div className="page prose">
        <h1>There is no hub {hub}</h1>
        <p className="t2">The hub switcher lists those there are.</p>
      </div>
    </Frame>
  );
}

function NoPage() {
  const { hubs } = useServer();
  return (
    <Frame hub={hubs.nodes[0]?.name ?? ""} title="No page here">
      <div className="page prose">
        <h1>There is no page at this address</h1>
        <p className="t2">The link may be of another version of the dashboard.</p>
      </div>
    </Frame>
  );
}

function Opening({ hub, title }: { hub: string; title: string }) {
  return (
    <Frame hub={hub} title={title}>
      {null}
    </Frame>
  );
}

function Waiting({ hub, id }: { hub: string; id: string }) {
  return (
    <Frame hub={hub} title={id} below>
      {null}
    </Frame>
  );
}
