package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/weir-dev/weir/engine/logkey"
)

// LoginConfig says how people sign in.
type LoginConfig struct {
	Providers []*Provider
	Keeper    Keeper
	// Verifiers are asked about tokens with which people sign in.
	Verifiers []Verifier
	// Path is below which the server is, with a slash at the end.
	Path string
	// PublicURL is the address of this server as browsers know it, with its path and a slash at the end. It may be nil where
	// nobody signs in at a provider.
	PublicURL *url.URL
	// Secret encrypts what is stored of sessions: 32 bytes or more, the same for all servers of a database.
	Secret []byte
	// Idle is how long a session lasts without being used, Whole how long at most, and Refresh how often the provider is
	// asked whether things are as they were.
	Idle, Whole, Refresh time.Duration
	Logger               *slog.Logger
}

// Logins signs browsers in at OpenID providers, as a back end for the dashboard: authorization code with PKCE, the tokens stay
// here, and the browser has a cookie that means nothing elsewhere.
type Logins struct {
	LoginConfig

	sealer *sealer
	origin string
	prefix string // of cookies' names
	mux    *http.ServeMux
}

// loginWithin is how long a sign-in may take.
const loginWithin = 10 * time.Minute

// CSRFHeader must be on requests of a browser's session that may change something: a page of another site cannot set it.
const CSRFHeader = "X-Weir-Dashboard"

// ErrCrossSite is for a request that a page of another site may have made in the name of whoever looks at it.
var ErrCrossSite = errors.New("a browser's session counts only for requests of the dashboard itself")

// NewLogins makes the sign-in.
func NewLogins(c LoginConfig) (*Logins, error) {
	s, err := newSealer(c.Secret)
	if err != nil {
		return nil, err
	}
	l := &Logins{LoginConfig: c, sealer: s, mux: http.NewServeMux()}
	if c.PublicURL != nil {
		l.origin = c.PublicURL.Scheme + "://" + c.PublicURL.Host
		if c.PublicURL.Scheme == "https" {
			l.prefix = "__Host-"
		}
	}
	at := c.Path + "auth/"
	l.mux.HandleFunc("GET "+at+"providers", l.list)
	l.mux.HandleFunc("GET "+at+"device", l.device)
	l.mux.HandleFunc("POST "+at+"token", l.byToken)
	l.mux.HandleFunc("GET "+at+"login", l.begin)
	l.mux.HandleFunc("GET "+at+"callback", l.callback)
	l.mux.HandleFunc("POST "+at+"logout", l.logout)
	l.mux.HandleFunc("POST "+at+"backchannel-logout", l.backChannel)
	return l, nil
}

// ServeHTTP implements http.Handler.
func (l *Logins) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	l.mux.ServeHTTP(w, req)
}

// signIn are the providers at which people can sign in.
func (l *Logins) signIn() []*Provider {
	return slices.DeleteFunc(slices.Clone(l.Providers), func(p *Provider) bool { return p.ClientID == "" })
}

// list tells the sign-in page what there is.
func (l *Logins) list(w http.ResponseWriter, _ *http.Request) {
	type provider struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	out := []provider{}
	for i, p := range l.signIn() {
		out = append(out, provider{i, p.Name})
	}
	writeJSON(w, map[string]any{"providers": out})
}

// device tells the command line where people can sign in from it, and as which client: nothing of it is secret.
func (l *Logins) device(w http.ResponseWriter, _ *http.Request) {
	type provider struct {
		Name     string   `json:"name"`
		Issuer   string   `json:"issuer"`
		ClientID string   `json:"clientId"`
		Scopes   []string `json:"scopes"`
		Audience string   `json:"audience"`
	}
	out := []provider{}
	for _, p := range l.Providers {
		if p.CLIClientID != "" {
			out = append(out, provider{p.Name, p.Issuer, p.CLIClientID, append([]string{oidc.ScopeOpenID}, p.CLIScopes...), p.Audiences[0]})
		}
	}
	writeJSON(w, map[string]any{"providers": out})
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil { // texts and numbers only
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}

func (l *Logins) cookie(name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // not Secure where browsers come by plain HTTP, which is on this machine only
		Name: l.prefix + name, Value: value, Path: "/", HttpOnly: true, Secure: l.prefix != "", SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds()),
	}
}

// gone is the age of a cookie that is to be forgotten.
const gone = -time.Second

const sessionCookie = "weir_session"

// loginCookie binds a sign-in to its browser; each has one of its own, for there may be several tabs.
func loginCookie(state string) string { return "weir_login_" + state[:min(len(state), 12)] }

// localPath is a path of this server, or its start page: whoever signs in must not be led elsewhere.
func (l *Logins) localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, l.Path) ||
		strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") || len(path) > 2000 {
		return l.Path
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery, Fragment: u.Fragment}).String()
}

func (l *Logins) client(p *Provider, endpoint oauth2.Endpoint) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: endpoint, RedirectURL: l.PublicURL.String() + "auth/callback",
		Scopes: append([]string{"openid"}, p.Scopes...),
	}
}

// begin sends the browser to a provider.
func (l *Logins) begin(w http.ResponseWriter, req *http.Request) {
	providers := l.signIn()
	n, err := strconv.Atoi(req.FormValue("provider"))
	if req.FormValue("provider") == "" {
		n, err = 0, nil
	}
	if err != nil || n < 0 || n >= len(providers) {
		l.page(w, http.StatusNotFound, "There is no such provider", "The link that led here is out of date.", "")
		return
	}
	p := providers[n]
	found, err := p.discover(req.Context())
	if err != nil {
		l.Logger.WarnContext(req.Context(), "sign-in", logkey.Err, err)
		l.page(w, http.StatusServiceUnavailable, p.Name+" does not answer", "Nobody can sign in there at the moment. Try again in a minute.", req.URL.RequestURI())
		return
	}
	login := Login{Issuer: p.Issuer, State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Return: l.localPath(req.FormValue("return"))}
	id := random()
	if err := l.Keeper.AddLogin(req.Context(), idOf(id), login); err != nil {
		l.broken(w, req, err)
		return
	}
	http.SetCookie(w, l.cookie(loginCookie(login.State), id, loginWithin))
	to := l.client(p, found.Endpoint()).AuthCodeURL(login.State, oauth2.S256ChallengeOption(login.Verifier), oauth2.SetAuthURLParam("nonce", login.Nonce))
	http.Redirect(w, req, to, http.StatusSeeOther)
}

// callback takes in who the provider says it is.
func (l *Logins) callback(w http.ResponseWriter, req *http.Request) {
	const over = "This sign-in is over"
	state := req.FormValue("state")
	login, err := l.take(req, state)
	switch {
	case err != nil:
		l.broken(w, req, err)
		return
	case login == nil:
		l.page(w, http.StatusBadRequest, over, "It took too long, was used already, or was begun in another browser.", l.again(""))
		return
	}
	http.SetCookie(w, l.cookie(loginCookie(state), "", gone))
	i := slices.IndexFunc(l.Providers, func(p *Provider) bool { return p.Issuer == login.Issuer })
	if issuer := req.FormValue("iss"); i < 0 || issuer != "" && issuer != login.Issuer { // RFC 9207
		l.page(w, http.StatusBadRequest, over, "The answer is of another provider than the one that was asked.", l.again(login.Return))
		return
	}
	p := l.Providers[i]
	if code := req.FormValue("error"); code != "" {
		why := "It says: " + code
		if text := req.FormValue("error_description"); text != "" {
			why += " (" + text + ")"
		}
		l.page(w, http.StatusForbidden, p.Name+" did not let you in", why[:min(len(why), 500)], l.again(login.Return))
		return
	}
	s, err := l.exchange(req.Context(), p, login, req.FormValue("code"))
	if err != nil {
		l.Logger.WarnContext(req.Context(), "sign-in", logkey.Err, err)
		l.page(w, http.StatusBadGateway, "The sign-in did not work", "What "+p.Name+" has answered is not as it should be. The server's log says more.", l.again(login.Return))
		return
	}
	if old := l.sessionID(req); old != "" { // a session that was there before is not this one's
		_ = l.Keeper.EndSession(req.Context(), idOf(old))
	}
	id := random()
	if err := l.Keeper.AddSession(req.Context(), idOf(id), *s); err != nil {
		l.broken(w, req, err)
		return
	}
	http.SetCookie(w, l.cookie(sessionCookie, id, l.Whole))
	http.Redirect(w, req, login.Return, http.StatusSeeOther)
}

// take returns the sign-in that a browser comes back from, once; nil if it is none.
func (l *Logins) take(req *http.Request, state string) (*Login, error) {
	cookie, err := req.Cookie(l.prefix + loginCookie(state))
	if err != nil || state == "" {
		return nil, nil //nolint:nilerr // it has none
	}
	login, err := l.Keeper.TakeLogin(req.Context(), idOf(cookie.Value), loginWithin)
	if err != nil || login == nil || subtle.ConstantTimeCompare([]byte(login.State), []byte(state)) != 1 {
		return nil, err
	}
	return login, nil
}

// exchange turns the code into tokens, and those into a session.
func (l *Logins) exchange(ctx context.Context, p *Provider, login *Login, code string) (*StoredSession, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	tokens, err := l.client(p, found.Endpoint()).Exchange(ctx, code, oauth2.VerifierOption(login.Verifier))
	if err != nil {
		return nil, fmt.Errorf("exchange the code: %w", err)
	}
	idToken, _ := tokens.Extra("id_token").(string)
	c, err := p.verify(ctx, idToken, []string{p.ClientID})
	if err != nil {
		return nil, fmt.Errorf("check the id token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(login.Nonce)) != 1 {
		return nil, errors.New("the id token was made for another sign-in")
	}
	if party, _ := c.raw["azp"].(string); party != "" && party != p.ClientID {
		return nil, errors.New("the id token was made for another party")
	}
	if err := p.complete(ctx, found, tokens, c); err != nil {
		return nil, err
	}
	now := p.now()
	return &StoredSession{
		Issuer: p.Issuer, Subject: c.Subject, SID: c.SID, Name: c.Name, Groups: c.Groups, IDToken: idToken, Refresh: l.sealer.seal(tokens.RefreshToken),
		CreatedAt: now, UsedAt: now, RefreshedAt: now,
	}, nil
}

func (l *Logins) sessionID(req *http.Request) string {
	c, err := req.Cookie(l.prefix + sessionCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// Session finds who a browser's session is of. Errors: ErrUnknown, ErrUnavailable, ErrCrossSite.
func (l *Logins) Session(req *http.Request) (*Principal, error) {
	id := l.sessionID(req)
	if id == "" {
		return l.tokenSession(req)
	}
	if !l.ownRequest(req) {
		return nil, ErrCrossSite
	}
	ctx := req.Context()
	s, err := l.Keeper.UseSession(ctx, idOf(id), l.Idle, l.Whole)
	if err != nil {
		return nil, errors.Join(ErrUnavailable, err)
	}
	if s == nil {
		return nil, ErrUnknown
	}
	i := slices.IndexFunc(l.Providers, func(p *Provider) bool { return p.Issuer == s.Issuer && p.ClientID != "" })
	if i < 0 {
		return nil, ErrUnknown // it is no longer one of ours
	}
	p := l.Providers[i]
	if p.now().Sub(s.RefreshedAt) > l.Refresh && len(s.Refresh) > 0 {
		if s, err = l.refresh(ctx, p, id, s); err != nil {
			return nil, err
		}
	}
	grants, err := p.grants(ctx, s.Subject, s.Groups)
	if err != nil {
		return nil, err
	}
	return &Principal{
		Subject: p.Issuer + "#" + s.Subject, Name: s.Name, Kind: BySession, Grants: grants, OperatorValues: p.o.OperatorValues, Expires: s.CreatedAt.Add(l.Whole),
	}, nil
}

// ownRequest tells whether a request is the dashboard's own, as far as it may change something or stays open.
func (l *Logins) ownRequest(req *http.Request) bool {
	if site := req.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return false
	}
	origin := req.Header.Get("Origin")
	if origin != "" && !l.own(origin, req.Host) {
		return false
	}
	switch {
	case strings.EqualFold(req.Header.Get("Upgrade"), "websocket"):
		return origin != "" // a browser always says it
	case req.Method == http.MethodGet, req.Method == http.MethodHead:
		return true
	}
	return req.Header.Get(CSRFHeader) != ""
}

// own tells whether an origin is this server's: its address as browsers know it, or, where that is not said, the host that
// the request is for.
func (l *Logins) own(origin, host string) bool {
	if l.origin != "" {
		return origin == l.origin
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// refresh asks the provider who this is now. While it does not answer, things stay as they were; what it takes back ends the
// session.
func (l *Logins) refresh(ctx context.Context, p *Provider, id string, s *StoredSession) (*StoredSession, error) {
	mine, err := l.Keeper.ClaimRefresh(ctx, idOf(id), s.RefreshedAt)
	if err != nil {
		return nil, errors.Join(ErrUnavailable, err)
	}
	if !mine {
		return s, nil // another request is at it
	}
	found, err := p.discover(ctx)
	if err != nil {
		return s, nil //nolint:nilerr // it is away
	}
	asked := context.WithValue(ctx, oauth2.HTTPClient, p.client)
	tokens, err := l.client(p, found.Endpoint()).TokenSource(asked, &oauth2.Token{RefreshToken: l.sealer.open(s.Refresh)}).Token()
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && answer.Response.StatusCode < 500 && answer.Response.StatusCode != http.StatusTooManyRequests:
		_ = l.Keeper.EndSession(ctx, idOf(id))
		return nil, ErrUnknown
	case err != nil:
		l.Logger.WarnContext(ctx, "refresh a session", logkey.Err, err)
		return s, nil
	}
	out := *s
	out.RefreshedAt = p.now()
	if tokens.RefreshToken != "" {
		out.Refresh = l.sealer.seal(tokens.RefreshToken)
	}
	if idToken, _ := tokens.Extra("id_token").(string); idToken != "" {
		c, err := p.verify(ctx, idToken, []string{p.ClientID})
		switch {
		case errors.Is(err, ErrUnavailable):
			return s, nil
		case err != nil || c.Subject != s.Subject:
			_ = l.Keeper.EndSession(ctx, idOf(id))
			return nil, ErrUnknown
		}
		if err := p.complete(asked, found, tokens, c); err != nil {
			l.Logger.WarnContext(ctx, "refresh a session", logkey.Err, err)
			return s, nil
		}
		out.Groups, out.Name, out.IDToken = c.Groups, c.Name, idToken
	}
	if err := l.Keeper.Refreshed(ctx, idOf(id), out); err != nil {
		return nil, errors.Join(ErrUnavailable, err)
	}
	return &out, nil
}

// broken is for faults of the server's own.
func (l *Logins) broken(w http.ResponseWriter, req *http.Request, err error) {
	l.Logger.ErrorContext(req.Context(), "sign-in", logkey.Err, err)
	l.page(w, http.StatusServiceUnavailable, "The sign-in is not available", "The server cannot reach its database. Try again in a minute.", l.again(""))
}

// again is where to sign in anew.
func (l *Logins) again(back string) string {
	to := l.Path + "auth/login"
	if len(l.signIn()) > 1 {
		to = l.Path
	} else if back != "" {
		to += "?return=" + url.QueryEscape(back)
	}
	return to
}
