package oidc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestSignIn: there and back, with the groups of the provider; then out again, here and there.
func TestSignIn(t *testing.T) {
	w := serve(t)
	w.op.belongTo("ops")
	b := w.browser()
	if a := b.ask(viewer, nil); a.status != http.StatusUnauthorized {
		t.Fatalf("without a session: %d %s", a.status, a.body)
	}
	if a := b.get(w.url + "auth/providers"); !strings.Contains(a.body, `{"providers":[{"id":0,"name":"Test provider"}]}`) {
		t.Errorf("the providers are %s", a.body)
	}
	back := b.begin("/instances/x?tab=history")
	a := b.get(back)
	if a.status != http.StatusSeeOther || a.location != w.url+"instances/x?tab=history" {
		t.Fatalf("the sign-in leads to %+v", a)
	}
	if c := a.header.Get("Set-Cookie"); !strings.Contains(strings.Join(a.header.Values("Set-Cookie"), "\n"), "HttpOnly; SameSite=Lax") {
		t.Errorf("the cookie is %q", c)
	}
	for _, want := range []string{`"subject":"` + w.op.issuer + `#id2"`, `"kind":"SESSION"`, `"permissions":["READ","CONTROL"]`, `"name":"Test User2"`} {
		if a := b.ask(viewer, nil); a.status != http.StatusOK || !strings.Contains(a.body, want) {
			t.Errorf("got %d %s, want %s", a.status, a.body, want)
		}
	}
	at, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.jar.Cookies(at) {
		if w.count("SELECT count(*) FROM weir.sessions s WHERE s::text LIKE '%"+c.Value+"%'") != 0 || strings.Contains(w.logs.String(), c.Value) {
			t.Error("what the browser shows is stored, or in the log")
		}
		if !strings.HasPrefix(c.Name, "weir_session") {
			t.Errorf("the cookie %s is left", c.Name)
		}
	}
	if w.count("SELECT count(*) FROM weir.sessions WHERE position('test-user2'::bytea IN refresh) > 0 OR refresh IS NULL") != 0 {
		t.Error("the refresh token is missing, or readable")
	}

	// The same address leads nowhere a second time, in this browser or another.
	for name, other := range map[string]*browser{"the same browser": b, "another": w.browser()} {
		if a := other.get(back); a.status != http.StatusBadRequest || !strings.Contains(a.body, "This sign-in is over") {
			t.Errorf("a callback again in %s: %+v", name, a)
		}
	}

	a = b.send(http.MethodPost, w.url+"auth/logout", url.Values{}, dashboard)
	var out struct{ Redirect string }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || !strings.HasPrefix(out.Redirect, w.op.issuer) || !strings.Contains(out.Redirect, "id_token_hint=") {
		t.Errorf("signing out says %s", a.body)
	}
	if a := b.ask(viewer, nil); a.status != http.StatusUnauthorized || w.count("SELECT count(*) FROM weir.sessions") != 0 {
		t.Errorf("signed out: %d %s", a.status, a.body)
	}
}

// TestLoginAttacks: what an attacker can try with addresses and cookies.
func TestLoginAttacks(t *testing.T) {
	w := serve(t)
	w.op.belongTo("admins")
	b := w.browser()
	for _, evil := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, `\\evil.example`, "javascript:alert(1)", "/x\r\nSet-Cookie: a=b", "http:evil.example", "/" + strings.Repeat("x", 3000)} {
		if a := b.get(b.begin(evil)); a.status != http.StatusSeeOther || a.location != w.url {
			t.Errorf("return=%q leads to %s", evil, a.location)
		}
	}

	good := w.browser().begin("/") // of another browser: a victim is made to open an attacker's callback
	victim := w.browser()
	if a := victim.get(good); a.status != http.StatusBadRequest || len(a.header.Values("Set-Cookie")) != 0 {
		t.Errorf("login CSRF: %+v", a)
	}

	mine := w.browser()
	back, err := url.Parse(mine.begin("/"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(name, v string) string {
		q := back.Query()
		q.Set(name, v)
		u := *back
		u.RawQuery = q.Encode()
		return u.String()
	}
	if a := mine.get(change("state", back.Query().Get("state")[:12]+strings.Repeat("x", 31))); a.status != http.StatusBadRequest {
		t.Errorf("another state: %+v", a)
	}
	// That was this sign-in's only chance.
	if a := mine.get(back.String()); a.status != http.StatusBadRequest {
		t.Errorf("after another state: %+v", a)
	}
	for name, c := range map[string]struct {
		change func(back string, b *browser) string
		status int
		says   string
	}{
		"a code that is none": {func(back string, _ *browser) string { return strings.Replace(back, "code=", "code=x", 1) }, 502, "did not work"},
		"another issuer":      {func(back string, _ *browser) string { return back + "&iss=https%3A%2F%2Fevil.example" }, 400, "another provider"},
		"the provider says no": {func(back string, _ *browser) string {
			return strings.Replace(back, "code=", "error=access_denied&x=", 1)
		}, 403, "access_denied"},
		"with markup in why": {func(back string, _ *browser) string {
			return strings.Replace(back, "code=", "error=x&error_description=%3Cscript%3E&x=", 1)
		}, 403, "&lt;script&gt;"},
		"ten minutes late": {func(back string, _ *browser) string {
			w.exec("UPDATE weir.logins SET created_at = created_at - interval '11 minutes'")
			return back
		}, 400, "took too long"},
		"another's PKCE verifier": {func(back string, _ *browser) string {
			w.exec("UPDATE weir.logins SET verifier = repeat('v', 43)")
			return back
		}, 502, "did not work"},
		"another's nonce": {func(back string, _ *browser) string { w.exec("UPDATE weir.logins SET nonce = 'n'"); return back }, 502, "did not work"},
	} {
		b := w.browser()
		a := b.get(c.change(b.begin("/"), b))
		if a.status != c.status || !strings.Contains(a.body, c.says) || strings.Contains(strings.Join(a.header.Values("Set-Cookie"), "\n"), "weir_session") {
			t.Errorf("%s: %+v, want %d and %q", name, a, c.status, c.says)
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(a.body, "<script>") {
			t.Errorf("%s: the page is %s with %s", name, a.body, csp)
		}
	}

	// A session of before is not the one after: whoever planted it is not signed in.
	planted := w.browser()
	planted.signIn()
	at, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	before := planted.jar.Cookies(at)
	planted.signIn()
	old := w.browser()
	old.jar.SetCookies(at, before)
	if a := old.ask(viewer, nil); a.status != http.StatusUnauthorized {
		t.Errorf("the session of before: %d %s", a.status, a.body)
	}
	if a := planted.ask(viewer, nil); a.status != http.StatusOK {
		t.Errorf("the session of now: %d %s", a.status, a.body)
	}
}

// TestCrossSite: a session counts for the dashboard's own requests only.
func TestCrossSite(t *testing.T) {
	w := serve(t)
	w.op.belongTo("admins")
	b := w.browser()
	b.signIn()
	for name, header := range map[string]map[string]string{
		"without the header":  {"X-Weir-Dashboard": ""},
		"from another site":   {"Sec-Fetch-Site": "cross-site"},
		"from a sister site":  {"Sec-Fetch-Site": "same-site"},
		"from another origin": {"Origin": "https://evil.example"},
		"from a null origin":  {"Origin": "null"},
	} {
		if a := b.ask(viewer, header); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := b.send(http.MethodPost, w.url+"auth/logout", url.Values{}, map[string]string{"Origin": "https://evil.example"}); a.status != http.StatusForbidden {
		t.Errorf("signed out by another site: %+v", a)
	}
	dial := func(header http.Header) (int, error) {
		conn, resp, err := websocket.Dial(w.ctx, "ws"+strings.TrimPrefix(w.url, "http")+"graphql", &websocket.DialOptions{
			HTTPClient: &http.Client{Jar: b.jar}, HTTPHeader: header, Subprotocols: []string{"graphql-transport-ws"},
		})
		if err == nil {
			_ = conn.CloseNow()
		}
		if resp == nil {
			return 0, err
		}
		return resp.StatusCode, err
	}
	for origin, want := range map[string]int{strings.TrimSuffix(w.url, "/"): http.StatusSwitchingProtocols, "https://evil.example": http.StatusForbidden, "": http.StatusForbidden} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if got, err := dial(header); got != want {
			t.Errorf("a websocket from %q: %d, %v", origin, got, err)
		}
	}
}

// TestSessionEnds: by idling, by its age, by the provider taking back groups or all, by back-channel logout.
func TestSessionEnds(t *testing.T) {
	w := serve(t)
	w.op.belongTo("ops")
	signedIn := func() *browser {
		t.Helper()
		b := w.browser()
		b.signIn()
		if a := b.ask(viewer, nil); a.status != http.StatusOK {
			t.Fatalf("signed in: %d %s", a.status, a.body)
		}
		return b
	}
	for name, sql := range map[string]string{
		"idle": "UPDATE weir.sessions SET used_at = now() - interval '3 hours'",
		"old":  "UPDATE weir.sessions SET created_at = now() - interval '13 hours'",
	} {
		b := signedIn()
		w.exec(sql)
		if a := b.ask(viewer, nil); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		w.exec("DELETE FROM weir.sessions")
	}

	// The provider is asked every five minutes; what it says then counts.
	const later = "UPDATE weir.sessions SET refreshed_at = now() - interval '6 minutes'"
	b := signedIn()
	w.op.belongTo("admins")
	if a := b.ask(viewer, nil); !strings.Contains(a.body, `["READ","CONTROL"]`) {
		t.Errorf("before it is asked: %s", a.body)
	}
	w.exec(later)
	if a := b.ask(viewer, nil); !strings.Contains(a.body, `"ADMINISTER"`) {
		t.Errorf("with more groups: %s", a.body)
	}
	w.op.belongTo()
	w.exec(later)
	if a := b.ask(viewer, nil); a.status != http.StatusOK || !strings.Contains(a.body, `"permissions":[]`) {
		t.Errorf("with no groups: %d %s", a.status, a.body)
	}
	// While it is away, things stay as they were.
	w.op.down.Store(true)
	w.exec(later)
	if a := b.ask(viewer, nil); a.status != http.StatusOK {
		t.Errorf("with the provider away: %d %s", a.status, a.body)
	}
	w.op.down.Store(false)
	// When it takes back the refresh token, that is the end.
	if err := w.op.TerminateSession(w.ctx, "id2", "weir"); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE weir.sessions SET refreshed_at = now() - interval '6 minutes', claimed_at = NULL")
	if a := b.ask(viewer, nil); a.status != http.StatusUnauthorized || w.count("SELECT count(*) FROM weir.sessions") != 0 {
		t.Errorf("with the refresh token taken back: %d %s", a.status, a.body)
	}

	// A socket ends with the session, or when groups change.
	w.op.belongTo("ops")

	// Back-channel logout: only with a logout token of the provider, once.
	b = signedIn()
	now := time.Now().Unix()
	logout := func(changes map[string]any) string {
		all := map[string]any{"aud": "weir", "sub": "id2", "jti": "1", "exp": now + 60, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
		for name, v := range changes {
			all[name] = v
		}
		return w.op.token(all)
	}
	send := func(token string) answer {
		t.Helper()
		return w.browser().send(http.MethodPost, w.url+"auth/backchannel-logout", url.Values{"logout_token": {token}}, nil)
	}
	for name, token := range map[string]string{
		"an id token": logout(map[string]any{"events": nil}), "with a nonce": logout(map[string]any{"nonce": "x"}), "for another": logout(map[string]any{"aud": "other"}),
		"without an id": logout(map[string]any{"jti": nil}), "expired": logout(map[string]any{"exp": now - 600}), "nothing": "", "of a stranger": logout(map[string]any{"iss": "https://evil.example"}),
	} {
		if a := send(token); a.status != http.StatusBadRequest {
			t.Errorf("a logout token, %s: %+v", name, a)
		}
	}
	if a := b.ask(viewer, nil); a.status != http.StatusOK {
		t.Errorf("still signed in: %d", a.status)
	}
	if a := send(logout(map[string]any{"jti": "good"})); a.status != http.StatusOK {
		t.Errorf("a logout token: %+v", a)
	}
	if a := b.ask(viewer, nil); a.status != http.StatusUnauthorized {
		t.Errorf("after back-channel logout: %d", a.status)
	}
	b = signedIn()
	send(logout(map[string]any{"jti": "good"}))
	if a := b.ask(viewer, nil); a.status != http.StatusOK {
		t.Errorf("the same logout token ended another session: %d", a.status)
	}
}
