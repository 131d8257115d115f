import { useEffect, useRef, useState } from "react";
import { basePath, ownHeaders } from "../../api/client";
import { Button } from "../../kit/Button";
import { TextField } from "../../kit/Field";
import { Mark } from "../../kit/Icon";

interface Provider {
  id: number;
  name: string;
}

/** Where to sign in: at a provider, or with a token. What was open is gone to again afterwards. */
export default function SignInPage({ again }: { again: boolean }) {
  const [providers, setProviders] = useState<Provider[]>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    document.title = "Sign in · Weir";
    void fetch(`${basePath}/auth/providers`)
      .then(async (response) => setProviders(((await response.json()) as { providers: Provider[] }).providers))
      .catch(() => setFailed(true));
  }, []);
  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <div className="brand">
          <Mark />
          <b>weir</b>
        </div>
        <h1>Sign in</h1>
        {again && (
          <p className="t2" role="status">
            Your session has ended. You come back to this page.
          </p>
        )}
        {failed && (
          <p className="hint bad" role="alert">
            The server cannot be reached. Reload the page to try again.
          </p>
        )}
        {providers?.map(({ id, name }) => (
          <a key={id} className="btn primary fill user-text" href={`${basePath}/auth/login?provider=${id}&return=${encodeURIComponent(here())}`}>
            Continue with {name}
          </a>
        ))}
        {providers && (providers.length > 0 ? <OtherWay /> : <TokenForm only />)}
      </div>
    </main>
  );
}

function here(): string {
  return location.pathname + location.search;
}

function OtherWay() {
  const [open, setOpen] = useState(false);
  if (open) return <TokenForm />;
  return (
    <Button variant="ghost" onClick={() => setOpen(true)}>
      Use an API token
    </Button>
  );
}

/** only: there is no other way, so it is the one to press. */
function TokenForm({ only = false }: { only?: boolean }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string>();
  const [pending, setPending] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    form.current?.querySelector("input")?.focus();
  }, []);
  const submit = async () => {
    if (pending) return;
    if (token.trim() === "") {
      setError("Paste a token.");
      return;
    }
    setPending(true);
    setError(await signIn(token.trim()));
    setPending(false);
  };
  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <TextField
        label="API token"
        type="password"
        autoComplete="off"
        value={token}
        error={error}
        hint="It is kept until the browser is closed, where scripts cannot read it."
        onChange={(event) => {
          setToken(event.target.value);
          setError(undefined);
        }}
      />
      <Button variant={only ? "primary" : undefined} type="submit" pending={pending ? "Signing in" : undefined}>
        Sign in
      </Button>
    </form>
  );
}

/** Signs in and opens the page anew, or returns what is wrong. */
async function signIn(token: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${basePath}/auth/token`, {
      method: "POST",
      headers: { ...ownHeaders, "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (response.ok) {
      location.reload();
      return undefined;
    }
    if (response.status === 401) return "This token is not valid, or not any more.";
    const answer = (await response.json()) as { message?: string };
    return answer.message ?? `The server answered ${response.status}.`;
  } catch {
    return "The server cannot be reached.";
  }
}
