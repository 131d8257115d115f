package oidc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// home is a user of the command line, with a folder for settings.
type home struct {
	*weir

	dir string
	mu  sync.Mutex
	all bytes.Buffer // what the command line has ever said
}

func (w *weir) home() *home { return &home{weir: w, dir: w.t.TempDir()} }

func (h *home) file() string { return filepath.Join(h.dir, "weir", "credentials.json") }

func (h *home) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.ctx, binary, args...)
	cmd.Env = append(append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WEIR_") }), "XDG_CONFIG_HOME="+h.dir, "WEIR_SERVER="+h.url), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (h *home) heard(said string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all.WriteString(said)
}

// run runs a command, and returns what it exits with and all that it says.
func (h *home) run(env []string, args ...string) (int, string) {
	h.t.Helper()
	cmd := h.command(env, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Error(err)
	}
	h.heard(string(out))
	return cmd.ProcessState.ExitCode(), string(out)
}

// want runs a command that must exit and speak like this.
func (h *home) want(code int, says string, env []string, args ...string) {
	h.t.Helper()
	if got, out := h.run(env, args...); got != code || !strings.Contains(out, says) {
		h.t.Errorf("weir %s: exit %d and %q, want %d and %q", strings.Join(args, " "), got, out, code, says)
	}
}

// login is a `weir login` under way.
type login struct {
	*home

	cmd   *exec.Cmd
	lines *bufio.Reader
	said  string
	code  string
}

var userCode = regexp.MustCompile(`(?m)^  ([A-Z]{4}-[A-Z]{4})$`)

// login begins to sign in, up to where it waits.
func (h *home) login(args ...string) *login {
	h.t.Helper()
	l := &login{home: h, cmd: h.command(nil, append([]string{"login"}, args...)...)}
	out, err := l.cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	l.cmd.Stdout = l.cmd.Stderr
	if err := l.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	l.lines = bufio.NewReader(out)
	for !strings.Contains(l.said, "Waiting") {
		line, err := l.lines.ReadString('\n')
		if l.said += line; err != nil {
			h.t.Fatalf("the sign-in does not begin: %s", l.said)
		}
	}
	found := userCode.FindStringSubmatch(l.said)
	if found == nil || !strings.Contains(l.said, h.op.issuer+"/device?user_code="+found[1]) {
		h.t.Fatalf("the sign-in does not say where to enter which code: %s", l.said)
	}
	l.code = found[1]
	return l
}

// end waits until the sign-in is over.
func (l *login) end(code int, says string) {
	l.t.Helper()
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(l.lines); err != nil {
		l.t.Error(err)
	}
	_ = l.cmd.Wait() // the exit code says it
	l.said += rest.String()
	l.heard(l.said)
	if got := l.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(rest.String(), says) {
		l.t.Errorf("weir login: exit %d and %q, want %d and %q", got, rest.String(), code, says)
	}
}

func (l *login) allow() {
	l.t.Helper()
	if err := l.op.CompleteDeviceAuthorization(l.ctx, l.code, "id2"); err != nil {
		l.t.Fatal(err)
	}
}

type kept struct {
	Issuer       string    `json:"issuer"`
	ClientID     string    `json:"clientId"`
	AccessToken  string    `json:"accessToken"`
	RefreshToken string    `json:"refreshToken"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

type keptFile struct {
	Servers map[string]kept `json:"servers"`
}

func (h *home) kept() kept {
	h.t.Helper()
	raw, err := os.ReadFile(h.file())
	if err != nil {
		h.t.Fatal(err)
	}
	var all keptFile
	if err := json.Unmarshal(raw, &all); err != nil {
		h.t.Fatal(err)
	}
	return all.Servers[h.url]
}

// expire makes the access token that is kept one that has expired.
func (h *home) expire() {
	h.t.Helper()
	k := h.kept()
	k.ExpiresAt = time.Now().Add(-time.Minute)
	raw, err := json.Marshal(keptFile{map[string]kept{h.url: k}})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.file(), raw, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// TestDeviceLogin: who allows the command line at the provider is signed in; who refuses, waits too long, gives up, or comes with
// tokens for others is not, and nothing is kept.
func TestDeviceLogin(t *testing.T) {
	w := serve(t)
	w.op.belongTo("ops")
	good, denied, late, stopped, foreign := w.home().login(), w.home().login(), w.home().login(), w.home().login(), w.home().login()
	w.op.device(good.code, func(d *device) { d.slowDown = 1 })
	good.allow()
	if err := w.op.DenyDeviceAuthorization(w.ctx, denied.code); err != nil {
		t.Fatal(err)
	}
	w.op.device(late.code, func(d *device) { d.expired = true })
	w.op.device(foreign.code, func(d *device) { d.audience = "other" })
	foreign.allow()
	if err := stopped.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	stopped.end(1, "given up; nobody is signed in")
	denied.end(1, "refused at the provider")
	late.end(1, "the code has expired: begin again")
	foreign.end(4, `a signed token (JWT) for the audience "weir-api"`)
	for name, l := range map[string]*login{"denied": denied, "expired": late, "given up": stopped, "for others": foreign} {
		if _, err := os.Stat(l.file()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something is kept: %v", name, err)
		}
	}
	good.end(0, "Signed in to "+w.url+" as Test User2.")
	w.op.device(good.code, func(d *device) {
		if len(d.asked) != 2 || d.asked[1].Sub(d.asked[0]) < 9*time.Second {
			t.Errorf("told to ask less often, it has asked at %v", d.asked)
		}
	})
	is, err := os.Stat(good.file())
	if err != nil || is.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", is, err)
	}
	k := good.kept()
	if k.Issuer != w.op.issuer || k.ClientID != "weir-cli" || k.RefreshToken == "" || time.Until(k.ExpiresAt) < time.Minute {
		t.Errorf("kept is %+v", k)
	}
	good.want(0, w.op.issuer+"#id2", nil, "whoami")
	good.want(0, `"READ",`, nil, "whoami", "--json", "--server", strings.Replace(strings.TrimSuffix(w.url, "/"), "http:", "HTTP:", 1))
	for _, secret := range []string{k.AccessToken, k.RefreshToken} {
		if strings.Contains(good.all.String(), secret) || strings.Contains(w.logs.String(), secret) {
			t.Error("a token was told, or is in the log")
		}
	}
}

// TestDeviceSession: how a sign-in goes on: refreshed, kept to its server and its user, and ended.
func TestDeviceSession(t *testing.T) {
	w := serve(t)
	w.op.belongTo("ops")
	l := w.home().login()
	l.allow()
	l.end(0, "Signed in")
	h := l.home
	first := h.kept()

	// Several at once need a new access token, and the refresh token counts once.
	h.expire()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { h.want(0, w.op.issuer+"#id2", nil, "whoami") })
	}
	all.Wait()
	second := h.kept()
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken || time.Until(second.ExpiresAt) < time.Minute {
		t.Error("nothing was refreshed")
	}

	// Another server gets nothing of it; nor does one that this one sends to.
	var asked, told int
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if asked++; req.Header.Get("Authorization") != "" || strings.Contains(strings.Join(req.Header.Values("Cookie"), ""), second.AccessToken) {
			told++
		}
		rw.WriteHeader(http.StatusUnauthorized)
	}))
	defer other.Close()
	h.want(4, "sign in with `weir login`", nil, "whoami", "--server", other.URL)
	h.want(4, "", nil, "whoami", "--server", w.url+"elsewhere/")
	if asked != 1 || told != 0 {
		t.Errorf("another server was asked %d times, and told %d times", asked, told)
	}
	h.want(2, "in the clear", nil, "login", "--server", "http://weir.example.com")

	// A token that is given counts before the sign-in.
	h.want(4, "UNAUTHENTICATED", []string{"WEIR_TOKEN=weir_wrong"}, "whoami")
	h.want(0, "batch job", []string{"WEIR_TOKEN=" + w.op.token(nil)}, "whoami")

	if err := os.Chmod(h.file(), 0o644); err != nil {
		t.Fatal(err)
	}
	h.want(1, "others must not read", nil, "whoami")
	h.want(1, "others must not read", nil, "login")
	if err := os.Chmod(h.file(), 0o600); err != nil {
		t.Fatal(err)
	}

	// While the provider is away, what has not expired counts.
	w.op.down.Store(true)
	h.want(0, w.op.issuer+"#id2", nil, "whoami")
	h.expire()
	h.want(4, "does not answer as it should", nil, "whoami")
	h.want(4, "does not answer as it should", nil, "login")
	w.op.down.Store(false)
	h.want(0, w.op.issuer+"#id2", nil, "whoami")
	last := h.kept()

	h.want(0, "Signed out of "+w.url, nil, "logout")
	if _, _, err := w.op.GetRefreshTokenInfo(w.ctx, "weir-cli", last.RefreshToken); err == nil {
		t.Error("the provider has not taken the refresh token back")
	}
	if raw, err := os.ReadFile(h.file()); err != nil || bytes.Contains(raw, []byte(last.RefreshToken)) || bytes.Contains(raw, []byte(w.url)) {
		t.Errorf("signed out, the file has %s, %v", raw, err)
	}
	h.want(4, "`weir login` signs in", nil, "whoami")
	h.want(0, "Nobody is signed in", nil, "logout")

	// What the provider has taken back is at its end.
	again := h.login()
	again.allow()
	again.end(0, "Signed in")
	k := h.kept()
	if err := w.op.TerminateSession(w.ctx, "id2", "weir-cli"); err != nil {
		t.Fatal(err)
	}
	h.expire()
	h.want(4, "has ended", nil, "whoami")
	for _, k := range []kept{first, second, last, k} {
		for _, secret := range []string{k.AccessToken, k.RefreshToken} {
			if strings.Contains(h.all.String(), secret) || strings.Contains(w.logs.String(), secret) {
				t.Error("a token was told, or is in the log")
			}
		}
	}
}

// TestNoDeviceLogin: a server without a client for the command line says so.
func TestNoDeviceLogin(t *testing.T) {
	w := serve(t)
	h := w.home()
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	none := serve(t, func(settings map[string]any) { delete(settings, "cliClientId") })
	for _, at := range []string{old.URL, none.url} {
		h.want(1, "offers no sign-in for the command line", nil, "login", "--server", at)
	}
	h.want(2, `"Test provider"`, nil, "login", "--provider", "other")
	if a := w.browser().get(w.url + "auth/device"); a.status != http.StatusOK || !strings.Contains(a.body, `"clientId":"weir-cli","scopes":["openid","profile","offline_access"],"audience":"weir-api"`) || strings.Contains(a.body, "the secret") {
		t.Errorf("what the server tells: %d %s", a.status, a.body)
	}
}
