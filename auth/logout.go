package auth

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/weir-dev/weir/engine/logkey"
)

// logout ends the session here, and says where it ends at the provider.
func (l *Logins) logout(w http.ResponseWriter, req *http.Request) {
	id := l.sessionID(req)
	if !l.ownRequest(req) {
		http.Error(w, ErrCrossSite.Error(), http.StatusForbidden)
		return
	}
	to := l.Path
	if id != "" {
		s, err := l.Keeper.UseSession(req.Context(), idOf(id), l.Idle, l.Whole)
		if err == nil {
			err = l.Keeper.EndSession(req.Context(), idOf(id))
		}
		if err != nil {
			l.Logger.ErrorContext(req.Context(), "sign out", logkey.Err, err)
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		if s != nil {
			to = l.endAtProvider(req, s)
		}
	}
	http.SetCookie(w, l.cookie(sessionCookie, "", gone))
	http.SetCookie(w, l.cookie(tokenCookie, "", gone))
	writeJSON(w, map[string]string{"redirect": to})
}

// endAtProvider is where a browser goes so that the provider's own session ends too, if it has such a place.
func (l *Logins) endAtProvider(req *http.Request, s *StoredSession) string {
	i := slices.IndexFunc(l.Providers, func(p *Provider) bool { return p.Issuer == s.Issuer })
	if i < 0 {
		return l.Path
	}
	p := l.Providers[i]
	found, err := p.discover(req.Context())
	if err != nil {
		return l.Path
	}
	var has struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := found.Claims(&has); err != nil || has.EndSession == "" {
		return l.Path
	}
	u, err := url.Parse(has.EndSession)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return l.Path
	}
	q := u.Query()
	q.Set("id_token_hint", s.IDToken)
	q.Set("client_id", p.ClientID)
	q.Set("post_logout_redirect_uri", l.PublicURL.String())
	u.RawQuery = q.Encode()
	return u.String()
}

// logoutEvent is what a logout token must say (OpenID Connect Back-Channel Logout 1.0).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// backChannel ends sessions because the provider says so.
func (l *Logins) backChannel(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, maxBearer)
	refuse := func(status int, why string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		writeJSON(w, map[string]string{"error": "invalid_request", "error_description": why})
	}
	token := req.PostFormValue("logout_token")
	issuer, ok := issuerOf(token)
	i := slices.IndexFunc(l.Providers, func(p *Provider) bool { return p.Issuer == issuer && p.ClientID != "" })
	if !ok || i < 0 {
		refuse(http.StatusBadRequest, "logout_token: is no token of a provider that is known")
		return
	}
	c, err := l.Providers[i].verify(req.Context(), token, []string{l.Providers[i].ClientID})
	// One that ends a session by its id need not name a subject, which others must.
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, ErrUnavailable) {
			status = http.StatusServiceUnavailable
		}
		l.Logger.WarnContext(req.Context(), "back-channel logout", logkey.Err, err)
		refuse(status, "logout_token: is not valid")
		return
	}
	events, _ := c.raw["events"].(map[string]any)
	_, says := events[logoutEvent]
	_, nonce := c.raw["nonce"]
	id, _ := c.raw["jti"].(string)
	if !says || nonce || id == "" {
		refuse(http.StatusBadRequest, "logout_token: is no logout token")
		return
	}
	if _, err := l.Keeper.EndSessions(req.Context(), issuer, c.SID, c.Subject, id); err != nil {
		l.Logger.ErrorContext(req.Context(), "back-channel logout", logkey.Err, err)
		refuse(http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	w.WriteHeader(http.StatusOK)
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}} · Weir</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem}
h1{font-size:1.25rem;margin:0 0 .5rem}p{margin:.5rem 0;overflow-wrap:anywhere}</style></head>
<body><h1>{{.Title}}</h1><p>{{.Text}}</p>{{if .Again}}<p><a href="{{.Again}}">Sign in again</a></p>{{end}}</body></html>
`))

// page answers a person.
func (l *Logins) page(w http.ResponseWriter, status int, title, text, again string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, map[string]string{"Title": title, "Text": text, "Again": again})
}
