package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const viewer = `{ viewer { subject name kind permissions(hub: "default") } }`

func (b *browser) bearer(token string) answer {
	b.t.Helper()
	return b.ask(viewer, map[string]string{"Authorization": "Bearer " + token, "X-Weir-Dashboard": ""})
}

// TestBearer: a machine's token counts as far as its groups go; whatever is wrong with one, it is refused, and not told why.
func TestBearer(t *testing.T) {
	w := serve(t)
	b := w.browser()
	w.op.belongTo("ops", "others")
	good := b.bearer(w.op.token(nil))
	for _, want := range []string{`"subject":"` + w.op.issuer + `#machine"`, `"name":"batch job"`, `"kind":"JWT"`, `"permissions":["READ","CONTROL"]`} {
		if good.status != http.StatusOK || !strings.Contains(good.body, want) {
			t.Fatalf("got %d %s, want %s", good.status, good.body, want)
		}
	}
	w.exec(`INSERT INTO weir.role_bindings (subject, hub, role, created_by) VALUES ('` + w.op.issuer + `#machine', 'default', 'CONTRIBUTOR', 'test'), ('group:others', '*', 'WORKER', 'test')`)
	if a := b.bearer(w.op.token(nil)); !strings.Contains(a.body, `["READ","READ_VALUES","CONTROL","START","PURGE","WORK"]`) {
		t.Errorf("with bound roles: %s", a.body)
	}
	w.op.belongTo()
	if a := b.bearer(w.op.token(map[string]any{"sub": "nobody"})); a.status != http.StatusOK || !strings.Contains(a.body, `"permissions":[]`) {
		t.Errorf("who has no role: %d %s", a.status, a.body)
	}

	now := time.Now().Unix()
	payload := func(token string) string { return strings.Split(token, ".")[1] }
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(algorithm jose.SignatureAlgorithm, key any, kid string) string {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := jwt.Signed(signer).Claims(map[string]any{"iss": w.op.issuer, "sub": "machine", "aud": "weir-api", "iat": now, "exp": now + 600}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	public, err := x509.MarshalPKIXPublicKey(&w.op.key.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + payload(w.op.token(nil)) + "."
	for name, token := range map[string]string{
		"for another audience":      w.op.token(map[string]any{"aud": "other"}),
		"for no audience":           w.op.token(map[string]any{"aud": nil}),
		"for the browser's client":  w.op.token(map[string]any{"aud": "weir"}),
		"of another issuer":         w.op.token(map[string]any{"iss": "https://evil.example"}),
		"expired":                   w.op.token(map[string]any{"exp": now - 120}),
		"without an end":            w.op.token(map[string]any{"exp": nil}),
		"not valid yet":             w.op.token(map[string]any{"nbf": now + 120}),
		"of the future":             w.op.token(map[string]any{"iat": now + 120}),
		"of nobody":                 w.op.token(map[string]any{"sub": ""}),
		"unsigned":                  none,
		"signed by a stranger":      signed(jose.RS256, stranger, w.op.key.id),
		"signed with a strange key": signed(jose.RS256, stranger, "strange"),
		"by another algorithm":      signed(jose.PS256, w.op.key.key, w.op.key.id),
		"HMAC with the public key":  signed(jose.HS256, public, w.op.key.id),
		"cut":                       w.op.token(nil)[:100],
		"three dots":                "a.b.c",
	} {
		a := b.bearer(token)
		if a.status != http.StatusUnauthorized || !strings.Contains(a.body, "UNAUTHENTICATED") || !strings.Contains(a.body, "not valid, or not any more") {
			t.Errorf("a token %s: %d %s", name, a.status, a.body)
		}
		if strings.Contains(w.logs.String(), token) {
			t.Errorf("a token %s is in the log", name)
		}
	}
	// Clocks may be a minute apart.
	for name, token := range map[string]string{"just expired": w.op.token(map[string]any{"exp": now - 20}), "soon valid": w.op.token(map[string]any{"nbf": now + 20})} {
		if a := b.bearer(token); a.status != http.StatusOK {
			t.Errorf("a token %s: %d %s", name, a.status, a.body)
		}
	}
	// Keys that nobody has do not make the server ask each time.
	asked := w.op.asked.Load()
	for range 50 {
		b.bearer(signed(jose.RS256, stranger, rand.Text()))
	}
	if n := w.op.asked.Load() - asked; n > 20 {
		t.Errorf("the provider was asked for its keys %d times", n)
	}
}

// TestProviderAway: a token cannot be checked while the provider does not answer, which is not the same as a bad one; when it
// answers, it counts. A new key is found.
func TestProviderAway(t *testing.T) {
	w := serve(t)
	b := w.browser()
	w.op.belongTo("admins")
	token := w.op.token(nil)
	w.op.down.Store(true)
	if a := b.bearer(token); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "UNAVAILABLE") {
		t.Errorf("the provider is away: %d %s", a.status, a.body)
	}
	if a := b.get(w.url + "auth/login"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "Test provider does not answer") {
		t.Errorf("sign-in while the provider is away: %+v", a)
	}
	w.op.down.Store(false)
	until(t, w, "the provider is asked again", func() bool { return b.bearer(token).status == http.StatusOK })
	w.op.down.Store(true) // its keys are known
	if a := b.bearer(token); a.status != http.StatusOK {
		t.Errorf("with known keys: %d %s", a.status, a.body)
	}
	w.op.down.Store(false)
	w.op.rotate()
	fresh := w.op.token(nil)
	until(t, w, "the new key is found", func() bool { return b.bearer(fresh).status == http.StatusOK })
	if a := b.bearer(token); a.status != http.StatusUnauthorized {
		t.Errorf("a token with the old key: %d %s", a.status, a.body)
	}
}

func until(t *testing.T, w *weir, what string, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-w.ctx.Done():
			t.Fatalf("timed out waiting until %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
