import { useEffect, useId, useRef, useState } from "react";
import { basePath, ownHeaders } from "../api/client";
import { useServer } from "../api/server";
import { Button } from "../kit/Button";
import { toast } from "../kit/toast";

/** Who is signed in, with which roles; and the way out. Where everybody is let in there is nobody to show. */
export function UserMenu() {
  const { server, viewer } = useServer();
  const [open, setOpen] = useState(false);
  const [pending, setPending] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) setOpen(false);
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      setOpen(false);
      box.current?.querySelector("button")?.focus();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", escape);
    };
  }, [open]);
  if (!server.identity) return null;
  const signOut = async () => {
    setPending(true);
    try {
      const response = await fetch(`${basePath}/auth/logout`, { method: "POST", headers: ownHeaders });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const { redirect } = (await response.json()) as { redirect: string };
      location.assign(redirect);
    } catch (error) {
      setPending(false);
      toast(`Not signed out: ${error instanceof Error ? error.message : String(error)}`, true);
    }
  };
  return (
    <div className="user-menu" ref={box}>
      <Button variant="ghost" small aria-expanded={open} aria-controls={id} title={viewer.name} onClick={() => setOpen(!open)}>
        <span className="trunc user-text">{viewer.name}</span>
      </Button>
      {open && (
        <section id={id} className="user-panel" aria-label="Signed in">
          <p>
            <b className="user-text">{viewer.name}</b>
          </p>
          <p className="t2 mono user-text">{viewer.subject}</p>
          {viewer.roles.length > 0 ? (
            <dl>
              {viewer.roles.map(({ hub, roles }) => (
                <div key={hub}>
                  <dt className="user-text">{hub === "*" ? "all hubs" : hub}</dt>
                  <dd>{roles.map((r) => r.toLowerCase()).join(", ")}</dd>
                </div>
              ))}
            </dl>
          ) : (
            <p className="t2">No role</p>
          )}
          <Button small pending={pending ? "Signing out" : undefined} onClick={() => void signOut()}>
            Sign out
          </Button>
        </section>
      )}
    </div>
  );
}
