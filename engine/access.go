package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/weir-dev/weir/engine/internal/store"
)

// TokenPrefix is what every API token begins with, so that one is known by sight, and found where it should not be.
const TokenPrefix = "weir_"

// Bounds of tokens and role bindings.
const (
	maxTokens   = 10_000
	maxBindings = 10_000
	maxSubject  = 500
	maxLifetime = 10 * 366 * 24 * time.Hour
)

// Token is an API token, without the token itself, which is known only to whom it was given.
type Token struct {
	ID   string
	Name string
	// Grants are its roles by hub; "*" is every hub. The engine does not know what a role may do.
	Grants     map[string][]string
	CreatedBy  string
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil is never
	LastUsedAt *time.Time // within a minute; nil if it was never used
	RevokedAt  *time.Time
	RevokedBy  string

	no int64
}

// Position is the token's place in the list.
func (t *Token) Position() int64 { return t.no }

// TokenRequest says what token to make.
type TokenRequest struct {
	Name      string // for people: 1 to 100 characters
	Grants    map[string][]string
	By        string    // who makes it
	ExpiresAt time.Time // zero is never; at most ten years from now
}

// CreateToken makes a token and returns it with its secret, which cannot be had again. Errors: INVALID_ARGUMENT (name,
// grants, expiresAt), FAILED_PRECONDITION when there are 10,000.
func (e *Engine) CreateToken(ctx context.Context, r TokenRequest) (*Token, string, error) {
	name := strings.TrimSpace(r.Name)
	err := checkText("name", name, 100, false)
	switch {
	case err != nil:
	case len(r.Grants) == 0:
		err = invalid("grants", "must name at least one hub, or *, and a role")
	case len(r.Grants) > 100:
		err = invalid("grants", "name %d hubs, at most 100 are allowed: * stands for all", len(r.Grants))
	case !r.ExpiresAt.IsZero() && time.Until(r.ExpiresAt) <= 0:
		err = invalid("expiresAt", "is in the past")
	case time.Until(r.ExpiresAt) > maxLifetime:
		err = invalid("expiresAt", "is more than ten years away: leave it out for a token that does not expire")
	}
	if err != nil {
		return nil, "", err
	}
	n, err := e.q.CountTokens(ctx, e.pool)
	if err != nil {
		return nil, "", fmt.Errorf("create token: %w", err)
	}
	if n >= maxTokens {
		return nil, "", &Error{Code: CodeWrongState, Message: fmt.Sprintf("there are %d tokens, which is the most", n)}
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	secret := TokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	grants, err := json.Marshal(r.Grants)
	if err != nil {
		return nil, "", fmt.Errorf("create token: %w", err)
	}
	t := &Token{ID: newUUID(), Name: name, Grants: r.Grants, CreatedBy: r.By}
	if !r.ExpiresAt.IsZero() {
		t.ExpiresAt = new(r.ExpiresAt.UTC().Truncate(time.Microsecond))
	}
	t.CreatedAt, err = e.q.AddToken(ctx, e.pool, store.AddTokenParams{
		ID: t.ID, Name: t.Name, Hash: hashOf(secret), Grants: grants, CreatedBy: r.By, ExpiresAt: t.ExpiresAt,
	})
	if err != nil {
		return nil, "", fmt.Errorf("create token: %w", err)
	}
	return t, secret, nil
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// FindToken returns the token with a secret, or nil if there is none, or none that may still be used.
func (e *Engine) FindToken(ctx context.Context, secret string) (*Token, error) {
	row, err := e.q.UseToken(ctx, e.pool, hashOf(secret))
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case errors.As(err, &pg):
		return nil, fmt.Errorf("find token: %w", err)
	case err != nil:
		return nil, &Error{Code: CodeUnavailable, Message: "the database does not answer"}
	}
	t := &Token{ID: row.ID, Name: row.Name, ExpiresAt: row.ExpiresAt}
	if err := json.Unmarshal(row.Grants, &t.Grants); err != nil {
		return nil, fmt.Errorf("find token: %w", err)
	}
	return t, nil
}

// Tokens lists tokens, the latest first, at most limit of them after a position; 0 is the first. Those that have been
// revoked, or have expired, are among them.
func (e *Engine) Tokens(ctx context.Context, after int64, limit int) ([]*Token, error) {
	rows, err := e.q.ListTokens(ctx, e.pool, store.ListTokensParams{Before: after, MaxRows: int32(min(limit, math.MaxInt32))})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	out := make([]*Token, len(rows))
	for i, r := range rows {
		if out[i], err = readToken(store.GetTokenRow(r)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Token returns a token by its id. Errors: NOT_FOUND.
func (e *Engine) Token(ctx context.Context, id string) (*Token, error) {
	if checkText("id", id, maxKey, false) != nil { // Postgres would refuse some
		return nil, tokenNotFound(id)
	}
	row, err := e.q.GetToken(ctx, e.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, tokenNotFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	return readToken(row)
}

func readToken(r store.GetTokenRow) (*Token, error) {
	t := &Token{
		ID: r.ID, Name: r.Name, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, LastUsedAt: r.LastUsedAt,
		RevokedAt: r.RevokedAt, RevokedBy: deref(r.RevokedBy), no: r.No,
	}
	if err := json.Unmarshal(r.Grants, &t.Grants); err != nil {
		return nil, fmt.Errorf("read token %s: %w", r.ID, err)
	}
	return t, nil
}

func tokenNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "id", Message: fmt.Sprintf("there is no token %q", id)}
}

// RevokeToken ends a token at once. One that is revoked already stays as it is. Errors: NOT_FOUND.
func (e *Engine) RevokeToken(ctx context.Context, id, by string) (*Token, error) {
	if _, err := e.Token(ctx, id); err != nil {
		return nil, err
	}
	if _, err := e.q.RevokeToken(ctx, e.pool, store.RevokeTokenParams{ID: id, By: &by}); err != nil {
		return nil, fmt.Errorf("revoke token: %w", err)
	}
	return e.Token(ctx, id)
}

// Binding gives a role in a hub, or in all with "*", to whom an OpenID provider knows: a person or a program as
// "<issuer>#<subject>", or a group as "group:<name>".
type Binding struct {
	Subject   string
	Hub       string
	Role      string
	CreatedBy string
	CreatedAt time.Time
}

// BindingPosition is a place in the list of bindings.
type BindingPosition struct{ Subject, Hub, Role string }

// Position is the binding's place in the list.
func (b *Binding) Position() BindingPosition { return BindingPosition{b.Subject, b.Hub, b.Role} }

// SetBinding gives a role; given is false if it was given already. Errors: INVALID_ARGUMENT (subject),
// FAILED_PRECONDITION when there are 10,000.
func (e *Engine) SetBinding(ctx context.Context, b Binding) (given bool, err error) {
	if err := checkText("subject", b.Subject, maxSubject, false); err != nil {
		return false, err
	}
	if name, isGroup := strings.CutPrefix(b.Subject, "group:"); isGroup && name == "" || !isGroup && !strings.Contains(b.Subject, "#") {
		return false, invalid("subject", `is %q, must be "group:<name>", or "<issuer>#<subject>"`, b.Subject)
	}
	n, err := e.q.CountBindings(ctx, e.pool)
	if err != nil {
		return false, fmt.Errorf("set role binding: %w", err)
	}
	if n >= maxBindings {
		return false, &Error{Code: CodeWrongState, Message: fmt.Sprintf("there are %d role bindings, which is the most", n)}
	}
	n, err = e.q.AddBinding(ctx, e.pool, store.AddBindingParams{Subject: b.Subject, Hub: b.Hub, Role: b.Role, CreatedBy: b.CreatedBy})
	if err != nil {
		return false, fmt.Errorf("set role binding: %w", err)
	}
	return n > 0, nil
}

// RemoveBinding takes a role away. Errors: NOT_FOUND.
func (e *Engine) RemoveBinding(ctx context.Context, at BindingPosition) error {
	if err := checkText("subject", at.Subject, maxSubject, false); err != nil {
		return err
	}
	n, err := e.q.RemoveBinding(ctx, e.pool, store.RemoveBindingParams(at))
	if err != nil {
		return fmt.Errorf("remove role binding: %w", err)
	}
	if n == 0 {
		return &Error{Code: CodeNotFound, Field: "subject", Message: fmt.Sprintf("%q does not have the role %s in %q", at.Subject, at.Role, at.Hub)}
	}
	return nil
}

// Bindings lists role bindings by subject, hub and role, at most limit of them after a position; the zero position is
// before the first.
func (e *Engine) Bindings(ctx context.Context, after BindingPosition, limit int) ([]*Binding, error) {
	rows, err := e.q.ListBindings(ctx, e.pool, store.ListBindingsParams{
		AfterSubject: after.Subject, AfterHub: after.Hub, AfterRole: after.Role, MaxRows: int32(min(limit, math.MaxInt32)),
	})
	if err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	out := make([]*Binding, len(rows))
	for i, r := range rows {
		out[i] = &Binding{Subject: r.Subject, Hub: r.Hub, Role: r.Role, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt}
	}
	return out, nil
}

// RolesOf returns the roles by hub that are bound to any of some subjects: a caller's own, and those of its groups.
func (e *Engine) RolesOf(ctx context.Context, subjects []string) (map[string][]string, error) {
	rows, err := e.q.RolesOf(ctx, e.pool, subjects)
	if err != nil {
		return nil, fmt.Errorf("read role bindings: %w", err)
	}
	out := map[string][]string{}
	for _, r := range rows {
		out[r.Hub] = append(out[r.Hub], r.Role)
	}
	return out, nil
}
