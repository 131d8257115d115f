package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/logkey"
)

// errNobody says that nobody could use the server.
var errNobody = errors.New("nobody could use this server, for it knows nobody: set WEIR_ADMIN_TOKEN to begin with (such as of `openssl rand -base64 32`), or WEIR_OIDC, " +
	"or, where everybody who reaches the server may do everything, WEIR_ALLOW_ANYBODY=true")

// open tells whether everybody is let in: because the settings say so, or because it is weir dev and they say nothing.
func (c *Config) open() bool {
	return c.AllowAnybody || c.dev && c.AdminToken == "" && len(c.Providers) == 0
}

// newGate makes what lets callers in, by the settings, and where people sign in. It also returns, for the
// log, who is known. Errors: errNobody.
func newGate(ctx context.Context, cfg *Config, e *engine.Engine, log *slog.Logger) (*auth.Gate, *auth.Logins, string, error) {
	options := auth.Options{OperatorValues: cfg.OperatorValues}
	tokens := auth.Tokens(engine.TokenPrefix, func(ctx context.Context, secret string) (*auth.Found, error) {
		t, err := e.FindToken(ctx, secret)
		if t == nil || err != nil {
			return nil, err
		}
		found := &auth.Found{ID: t.ID, Name: t.Name, Grants: t.Grants}
		if t.ExpiresAt != nil {
			found.Expires = *t.ExpiresAt
		}
		return found, nil
	}, options)
	g := &auth.Gate{Proxies: cfg.TrustedProxies, Refused: (&refusals{log: log, e: e}).note}
	known := []string{"API tokens"}
	if cfg.AdminToken != "" {
		admin, err := auth.AdminToken(cfg.AdminToken)
		if err != nil {
			return nil, nil, "", err
		}
		g.Verifiers, known = append(g.Verifiers, admin), append(known, "the administrator's token")
	}
	g.Verifiers = append(g.Verifiers, tokens)
	var providers []*auth.Provider
	for _, c := range cfg.Providers {
		p := auth.NewProvider(c, e.RolesOf, options)
		providers, known = append(providers, p), append(known, "those whom "+p.Name+" knows")
		g.Verifiers = append(g.Verifiers, p.Bearer)
	}
	logins, err := newLogins(ctx, cfg, e, providers, g.Verifiers, log)
	if err != nil {
		return nil, nil, "", err
	}
	g.Session = logins.Session
	host, _, _ := net.SplitHostPort(cfg.Listen)
	switch {
	case cfg.open() && !cfg.AllowAnybody && !isLoopback(host):
		return nil, nil, "", fmt.Errorf("weir dev lets everybody in, so it listens on this machine only, not on %s: set WEIR_ADMIN_TOKEN, or WEIR_ALLOW_ANYBODY=true", cfg.Listen)
	case cfg.open():
		g.Anybody, known = auth.Anybody(), []string{"nobody: who reaches the server may do everything"}
	case cfg.AdminToken == "" && len(providers) == 0:
		made, err := e.Tokens(ctx, 0, 1)
		if err != nil {
			return nil, nil, "", err
		}
		if len(made) == 0 {
			return nil, nil, "", errNobody
		}
	}
	return g, logins, strings.Join(known, ", "), nil
}

// newLogins makes where people sign in.
func newLogins(
	ctx context.Context, cfg *Config, e *engine.Engine, providers []*auth.Provider, verifiers []auth.Verifier, log *slog.Logger,
) (*auth.Logins, error) {
	if cfg.PublicURL == nil && slices.ContainsFunc(providers, func(p *auth.Provider) bool { return p.ClientID != "" }) {
		return nil, errors.New("people shall sign in (clientId in WEIR_OIDC), and it is not known where they come back to: set WEIR_PUBLIC_URL to this server's address as browsers know it")
	}
	if cfg.PublicURL != nil && cfg.PublicURL.Path != cfg.Path {
		return nil, fmt.Errorf("WEIR_PUBLIC_URL has the path %s and WEIR_PATH is %s: they must be the same", cfg.PublicURL.Path, cfg.Path)
	}
	secret, err := e.Secret(ctx, "session_key")
	if err != nil {
		return nil, err
	}
	return auth.NewLogins(auth.LoginConfig{
		Providers: providers, Verifiers: verifiers, Path: cfg.Path, PublicURL: cfg.PublicURL, Secret: secret, Idle: cfg.SessionIdle, Whole: cfg.SessionLength, Refresh: cfg.SessionRefresh, Logger: log,
		Keeper: auth.Keeper{
			AddLogin: func(ctx context.Context, id []byte, l auth.Login) error {
				return e.AddLogin(ctx, id, engine.BrowserLogin(l))
			},
			TakeLogin: func(ctx context.Context, id []byte, within time.Duration) (*auth.Login, error) {
				l, err := e.TakeLogin(ctx, id, within)
				return (*auth.Login)(l), err
			},
			AddSession: func(ctx context.Context, id []byte, s auth.StoredSession) error {
				return e.AddSession(ctx, id, engine.BrowserSession(s))
			},
			UseSession: func(ctx context.Context, id []byte, idle, whole time.Duration) (*auth.StoredSession, error) {
				s, err := e.UseSession(ctx, id, idle, whole)
				return (*auth.StoredSession)(s), err
			},
			ClaimRefresh: e.ClaimRefresh,
			Refreshed: func(ctx context.Context, id []byte, s auth.StoredSession) error {
				return e.Refreshed(ctx, id, engine.BrowserSession(s))
			},
			EndSession: e.EndSession, EndSessions: e.EndSessions,
		},
	})
}

// refusals tells of those who are not let in: in the log, a few times a minute, and in the audit log.
type refusals struct {
	log *slog.Logger
	e   *engine.Engine

	mu    sync.Mutex
	since time.Time
	told  int
	more  int
}

// toldAMinute is how many of those who are not let in are told of in a minute; of more, only how many they are.
const toldAMinute = 20

func (r *refusals) note(req *http.Request, address string, err error) {
	if errors.Is(err, auth.ErrMissing) {
		return // it is asked to sign in, and has claimed nothing
	}
	r.mu.Lock()
	if time.Since(r.since) > time.Minute {
		if r.more > 0 {
			r.log.WarnContext(req.Context(), "more callers were not let in", logkey.Count, r.more)
		}
		r.since, r.told, r.more = time.Now(), 0, 0
	}
	tell := r.told < toldAMinute
	if tell {
		r.told++
	} else {
		r.more++
	}
	r.mu.Unlock()
	if !tell {
		return
	}
	r.log.WarnContext(req.Context(), "a caller was not let in", logkey.Address, address, logkey.Path, req.URL.Path, logkey.Err, err)
	// What it wanted to do is not known, and not looked at.
	done, noted := r.e.Note(req.Context(), engine.AuditEntry{Actor: "unknown", ActorName: "unknown", Kind: "UNKNOWN", Action: "enter", Address: address})
	if noted == nil {
		done(auth.CodeUnauthenticated)
	}
}
