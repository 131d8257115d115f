package model

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/auth"
)

// Viewer is who asks.
type Viewer struct{ *auth.Principal }

// ExpiresAt is null for never.
func (v *Viewer) ExpiresAt() *time.Time {
	if v.Expires.IsZero() {
		return nil
	}
	return &v.Expires
}

// Roles are by hub.
func (v *Viewer) Roles() []*Grant { return NewGrants(v.Grants) }

// Permissions are those in a hub, or those that hold in all.
func (v *Viewer) Permissions(hub *string) []auth.Permission {
	at := auth.AllHubs
	if hub != nil {
		at = *hub
	}
	out := []auth.Permission{}
	for _, p := range auth.Permissions {
		if v.May(p, at) {
			out = append(out, p)
		}
	}
	return out
}

// NewGrants lists roles by hub.
func NewGrants(grants auth.Grants) []*Grant {
	out := make([]*Grant, 0, len(grants))
	for hub, roles := range grants {
		out = append(out, &Grant{Hub: hub, Roles: roles})
	}
	slices.SortFunc(out, func(a, b *Grant) int {
		if a.Hub < b.Hub {
			return -1
		}
		return 1
	})
	return out
}

type redactionKey struct{}

// WithRedaction gives an operation the means to leave out values.
func WithRedaction(ctx context.Context) context.Context {
	return context.WithValue(ctx, redactionKey{}, new(atomic.Bool))
}

// Redact leaves out the values of all that the operation shows from now on.
func Redact(ctx context.Context) {
	if b, ok := ctx.Value(redactionKey{}).(*atomic.Bool); ok {
		b.Store(true)
	}
}

// Redacted tells whether values are left out.
func Redacted(ctx context.Context) bool {
	b, ok := ctx.Value(redactionKey{}).(*atomic.Bool)
	return !ok || b.Load()
}
