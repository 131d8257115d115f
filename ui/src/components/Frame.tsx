import { type ReactNode, useEffect, useState } from "react";
import { Link, useLocation, useRoute } from "wouter";
import { useServer } from "../api/server";
import { Button } from "../kit/Button";
import { Icon, Mark } from "../kit/Icon";
import { change, useSettings } from "../kit/settings";
import { Toasts } from "../kit/toast";
import { paths } from "../paths";
import { LiveButton } from "./LiveButton";
import { UserMenu } from "./UserMenu";

interface Props {
  hub: string;
  /** The page's name; below the list, if it is below it. */
  title: string;
  below?: boolean;
  children: ReactNode;
}

/** What is around every page: the rail, the top bar, the messages. */
export function Frame({ hub, title, below = false, children }: Props) {
  const { server } = useServer();
  const [open, setOpen] = useState(false);
  const [location] = useLocation();
  useEffect(() => {
    document.title = `${title} · Weir`;
  }, [title]);
  useEffect(() => setOpen(false), [location]);
  return (
    <div className={`app${server.deployment ? " named" : ""}${open ? " rail-open" : ""}`}>
      <a className="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <Rail hub={hub} />
      {open && <button type="button" className="rail-scrim" aria-label="Close the menu" onClick={() => setOpen(false)} />}
      <header className="top">
        <Button variant="ghost" icon="menu" className="menu-button" aria-label="Menu" aria-expanded={open} onClick={() => setOpen(!open)} />
        <nav className="crumb" aria-label="Breadcrumb">
          <span className="wide trunc">{hub}</span>
          <span className="wide">
            <Icon name="right" />
          </span>
          {below && (
            <>
              <Link className="wide" href={paths.orchestrations(hub)}>
                Orchestrations
              </Link>
              <span className="wide">
                <Icon name="right" />
              </span>
            </>
          )}
          <b className="trunc user-text">{title}</b>
        </nav>
        <LiveButton />
        <ZoneButton />
        <ThemeButton />
        <UserMenu />
      </header>
      <main className="main" id="main" tabIndex={-1}>
        {children}
      </main>
      <Toasts />
    </div>
  );
}

// The page has a <base>, so that a bare #main would be another address.
function skip(event: React.MouseEvent) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Rail({ hub }: { hub: string }) {
  const { server, hubs } = useServer();
  const [, navigate] = useLocation();
  const [onLimits] = useRoute("/h/:hub/limits");
  const home = onLimits ? paths.limits : paths.orchestrations;
  return (
    <aside className="rail">
      <div className="brand">
        <Mark />
        <b>weir</b>
        {server.deployment && <span className="deployment trunc">{server.deployment}</span>}
      </div>
      <div className="hub" data-initial={hub.slice(0, 1)}>
        {hubs.nodes.length > 1 ? (
          <>
            <select aria-label="Task hub" value={hub} onChange={(event) => navigate(home(event.target.value))}>
              {hubs.nodes.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
            <Icon name="down" />
          </>
        ) : (
          <span className="hub-one trunc" title={`Task hub ${hub}`}>
            {hub}
          </span>
        )}
      </div>
      <nav className="nav" aria-label="Main">
        <Link href={paths.orchestrations(hub)} aria-current={onLimits ? undefined : "page"} title="Orchestrations">
          <Icon name="orchestration" />
          <span>Orchestrations</span>
        </Link>
        <Link href={paths.limits(hub)} aria-current={onLimits ? "page" : undefined} title="Limits">
          <Icon name="limit" />
          <span>Limits</span>
        </Link>
      </nav>
      <p className="rail-foot" title={`Weir ${server.version}`}>
        {server.version}
      </p>
    </aside>
  );
}

function ZoneButton() {
  const { zone } = useSettings();
  return (
    <Button variant="ghost" small title="Times in UTC or in your zone" onClick={() => change({ zone: zone === "utc" ? "local" : "utc" })}>
      {zone === "utc" ? "UTC" : "Local"}
    </Button>
  );
}

const nextTheme = { system: "light", light: "dark", dark: "system" } as const;

function ThemeButton() {
  const { theme } = useSettings();
  return <Button variant="ghost" small icon="theme" aria-label={`Theme: ${theme}`} title={`Theme: ${theme}`} onClick={() => change({ theme: nextTheme[theme] })} />;
}
