package auth

import (
	"encoding/json"
	"errors"
	"net/http"
)

// tokenCookie holds a token with which somebody has signed in. Scripts cannot read it, and it is gone with the browser.
const tokenCookie = "weir_token"

// byToken signs a browser in with a token instead of at a provider.
func (l *Logins) byToken(w http.ResponseWriter, req *http.Request) {
	refuse := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		writeJSON(w, map[string]string{"code": code, "message": message})
	}
	if !l.ownRequest(req) {
		refuse(http.StatusForbidden, CodeForbidden, ErrCrossSite.Error())
		return
	}
	var body struct {
		Token string `json:"token"`
	}
	req.Body = http.MaxBytesReader(w, req.Body, maxBearer)
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil || body.Token == "" {
		refuse(http.StatusBadRequest, "BAD_REQUEST", `want {"token": "..."}`)
		return
	}
	_, err := l.verify(req, body.Token)
	switch {
	case errors.Is(err, ErrUnavailable):
		refuse(http.StatusServiceUnavailable, CodeUnavailable, ErrUnavailable.Error())
		return
	case err != nil:
		refuse(http.StatusUnauthorized, CodeUnauthenticated, "this token is not valid, or not any more")
		return
	}
	c := l.cookie(tokenCookie, body.Token, 0) //nolint:gosec // as there
	c.SameSite = http.SameSiteStrictMode
	c.Secure = c.Secure || req.TLS != nil || req.Header.Get("X-Forwarded-Proto") == "https"
	http.SetCookie(w, c)
	w.WriteHeader(http.StatusNoContent)
}

func (l *Logins) verify(req *http.Request, token string) (*Principal, error) {
	for _, verify := range l.Verifiers {
		if p, err := verify(req.Context(), token); p != nil || err != nil {
			return p, err
		}
	}
	return nil, ErrUnknown
}

// tokenSession finds who a browser is that has signed in with a token.
func (l *Logins) tokenSession(req *http.Request) (*Principal, error) {
	c, err := req.Cookie(l.prefix + tokenCookie)
	if err != nil || c.Value == "" {
		return nil, nil //nolint:nilerr // it has none
	}
	if !l.ownRequest(req) {
		return nil, ErrCrossSite
	}
	return l.verify(req, c.Value)
}
