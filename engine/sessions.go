package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

// BrowserLogin is a sign-in of a browser that has begun.
type BrowserLogin struct{ Issuer, State, Nonce, Verifier, Return string }

// BrowserSession is the session of a browser that has signed in.
type BrowserSession struct {
	Issuer, Subject, SID, Name string
	Groups                     []string
	IDToken                    string
	Refresh                    []byte // encrypted
	CreatedAt                  time.Time
	UsedAt                     time.Time // within a minute
	RefreshedAt                time.Time
}

// AddLogin stores a sign-in that begins, under the SHA-256 of what the browser shows.
func (e *Engine) AddLogin(ctx context.Context, id []byte, l BrowserLogin) error {
	err := e.q.AddLogin(ctx, e.pool, store.AddLoginParams{ID: id, Issuer: l.Issuer, State: l.State, Nonce: l.Nonce, Verifier: l.Verifier, ReturnTo: l.Return})
	if err != nil {
		return fmt.Errorf("store sign-in: %w", err)
	}
	return nil
}

// TakeLogin returns a sign-in, once; nil if there is none, or it began longer ago than within.
func (e *Engine) TakeLogin(ctx context.Context, id []byte, within time.Duration) (*BrowserLogin, error) {
	r, err := e.q.TakeLogin(ctx, e.pool, store.TakeLoginParams{ID: id, Seconds: within.Seconds()})
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && !r.Fresh:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("take sign-in: %w", err)
	}
	return &BrowserLogin{r.Issuer, r.State, r.Nonce, r.Verifier, r.ReturnTo}, nil
}

// AddSession stores a session under the SHA-256 of what the browser shows.
func (e *Engine) AddSession(ctx context.Context, id []byte, s BrowserSession) error {
	err := e.q.AddSession(ctx, e.pool, store.AddSessionParams{
		ID: id, Issuer: s.Issuer, Subject: s.Subject, Sid: s.SID, Name: printable(s.Name), Groups: printables(s.Groups), IDToken: s.IDToken, Refresh: s.Refresh,
	})
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

func printables(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = printable(s)
	}
	return out
}

// UseSession returns a session; nil if there is none, or it was last used longer ago than idle, or began longer ago than
// whole.
func (e *Engine) UseSession(ctx context.Context, id []byte, idle, whole time.Duration) (*BrowserSession, error) {
	r, err := e.q.UseSession(ctx, e.pool, store.UseSessionParams{ID: id, Idle: idle.Seconds(), Whole: whole.Seconds()})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	return &BrowserSession{r.Issuer, r.Subject, r.Sid, r.Name, r.Groups, r.IDToken, r.Refresh, r.CreatedAt, r.UsedAt, r.RefreshedAt}, nil
}

// ClaimRefresh lets one of all who try refresh a session that was last refreshed at a time.
func (e *Engine) ClaimRefresh(ctx context.Context, id []byte, last time.Time) (bool, error) {
	n, err := e.q.ClaimRefresh(ctx, e.pool, store.ClaimRefreshParams{ID: id, Last: last})
	if err != nil {
		return false, fmt.Errorf("claim session: %w", err)
	}
	return n > 0, nil
}

// Refreshed stores what the provider has said of a session now.
func (e *Engine) Refreshed(ctx context.Context, id []byte, s BrowserSession) error {
	err := e.q.RefreshSession(ctx, e.pool, store.RefreshSessionParams{ID: id, Name: printable(s.Name), Groups: printables(s.Groups), IDToken: s.IDToken, Refresh: s.Refresh})
	if err != nil {
		return fmt.Errorf("refresh session: %w", err)
	}
	return nil
}

// EndSession ends a session; that there is none is no error.
func (e *Engine) EndSession(ctx context.Context, id []byte) error {
	if err := e.q.EndSession(ctx, e.pool, id); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndSessions ends those of a provider with a session id there, or, if that is empty, of a subject, and returns how many. The
// token that asks for it counts once.
func (e *Engine) EndSessions(ctx context.Context, issuer, sid, subject, tokenID string) (int, error) {
	n, err := e.q.EndSessions(ctx, e.pool, store.EndSessionsParams{Issuer: issuer, Sid: sid, Subject: subject, TokenID: printable(tokenID)})
	if err != nil {
		return 0, fmt.Errorf("end sessions: %w", err)
	}
	return int(n), nil
}
