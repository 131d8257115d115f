package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/internal/pgtest"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-oidc-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build weir: %v: %s", err, out))
	}
	code := pgtest.Wrap(m).Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// weir is a server of Weir, and the provider that it knows.
type weir struct {
	t    *testing.T
	ctx  context.Context
	url  string
	pool *pgxpool.Pool
	op   *provider
	logs *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts both; changes are made to how the server knows the provider.
func serve(t *testing.T, changes ...func(settings map[string]any)) *weir {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	db := pgtest.New(t, pgtest.Template{Name: "empty", Build: func(context.Context, string) error { return nil }})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	w := &weir{t: t, ctx: ctx, url: "http://" + address + "/", logs: &lockedBuffer{}}
	w.op = newProvider(t, w.url+"auth/callback")
	known := map[string]any{
		"issuer": w.op.issuer, "name": "Test provider", "audiences": []string{"weir-api"}, "clientId": "weir", "clientSecret": "the secret", "cliClientId": "weir-cli",
		"scopes": []string{"profile", "offline_access"}, "roles": map[string]any{"ops": map[string]any{"default": []string{"OPERATOR"}}, "admins": map[string]any{"*": []string{"ADMIN"}}},
	}
	for _, change := range changes {
		change(known)
	}
	settings, err := json.Marshal([]map[string]any{known})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary, "server")
	cmd.Env = append(os.Environ(), "WEIR_DATABASE_URL="+db.DSN(), "WEIR_LISTEN="+address, "WEIR_PUBLIC_URL="+w.url, "WEIR_OIDC="+string(settings),
		"WEIR_SESSION_OPERATIONS=open") // the tests ask what no dashboard does
	cmd.Stderr, cmd.Stdout = w.logs, w.logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(w.logs.String())
		}
	})
	w.pool = db.Pool(t)
	for {
		resp, err := http.Get(w.url + "readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return w
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("the server is not ready: %s", w.logs)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *weir) exec(sql string) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.ctx, sql); err != nil {
		w.t.Fatal(err)
	}
}

func (w *weir) count(sql string) (n int) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.ctx, sql).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// browser is one that keeps cookies.
type browser struct {
	*weir

	client *http.Client
	jar    *cookiejar.Jar
}

func (w *weir) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, jar}
}

type answer struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (b *browser) send(method, address string, form url.Values, header map[string]string) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.ctx, method, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, v := range header {
		req.Header.Set(name, v)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	at := resp.Header.Get("Location")
	if at != "" {
		u, err := req.URL.Parse(at)
		if err != nil {
			b.t.Fatal(err)
		}
		at = u.String()
	}
	return answer{resp.StatusCode, at, string(raw), resp.Header}
}

func (b *browser) get(address string) answer {
	b.t.Helper()
	return b.send(http.MethodGet, address, nil, nil)
}

// begin goes to the provider and signs in there; it returns the address that leads back.
func (b *browser) begin(back string) string {
	b.t.Helper()
	a := b.get(b.url + "auth/login?return=" + url.QueryEscape(back))
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, b.op.issuer) {
		b.t.Fatalf("sign-in begins with %+v", a)
	}
	a = b.get(a.location) // the provider's login page
	at, err := url.Parse(a.location)
	if err != nil {
		b.t.Fatal(err)
	}
	id := at.Query().Get("authRequestID")
	a = b.send(http.MethodPost, b.op.issuer+"/login/username", url.Values{"username": {"test-user2"}, "password": {"verysecure"}, "id": {id}}, nil)
	for range 5 {
		if strings.HasPrefix(a.location, b.url) {
			return a.location
		}
		a = b.get(a.location)
	}
	b.t.Fatalf("the provider does not lead back: %+v", a)
	return ""
}

// signIn signs in.
func (b *browser) signIn() {
	b.t.Helper()
	if a := b.get(b.begin("/")); a.status != http.StatusSeeOther {
		b.t.Fatalf("the sign-in ends with %+v", a)
	}
}

// dashboard are the headers of the dashboard's own requests.
var dashboard = map[string]string{"X-Weir-Dashboard": "1", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}

// ask asks as the dashboard does, with other headers on top.
func (b *browser) ask(query string, header map[string]string) answer {
	b.t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url+"graphql", bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, all := range []map[string]string{dashboard, header} {
		for name, v := range all {
			if req.Header.Set(name, v); v == "" {
				req.Header.Del(name)
			}
		}
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{status: resp.StatusCode, body: string(raw), header: resp.Header}
}
