package auth

import (
	"context"
	"slices"
	"time"
)

// Kind says how a principal has shown who it is.
type Kind string

// The kinds of principals.
const (
	// ByToken is an API token of this server.
	ByToken Kind = "TOKEN"
	// ByJWT is a signed token of an OpenID provider, as machines send it.
	ByJWT Kind = "JWT"
	// BySession is a browser that has logged in at an OpenID provider.
	BySession Kind = "SESSION"
	// ByNothing is anybody, where the server is told to let everybody in.
	ByNothing Kind = "NOTHING"
)

// Grants are the roles of a principal by hub; AllHubs stands for every hub.
type Grants map[string][]Role

// Principal is a caller whose identity is known. It is not changed once it is in a context.
type Principal struct {
	// Subject names the principal for good: "token:<id>", or "<issuer>#<sub>" of an OpenID provider.
	Subject string
	// Name is for people to read; it can change and need not be unique.
	Name string
	// Kind says how the principal has shown who it is.
	Kind Kind
	// Grants are its roles.
	Grants Grants
	// OperatorValues lets the role Operator see values.
	OperatorValues bool
	// Expires is when what the principal has shown ends; zero is never.
	Expires time.Time
}

// May says whether the principal has a permission in a hub. AllHubs asks whether it has it everywhere. Nobody, a nil
// principal, has none.
func (p *Principal) May(permission Permission, hub string) bool {
	if p == nil {
		return false
	}
	if p.has(permission, AllHubs) {
		return true
	}
	return hub != AllHubs && p.has(permission, hub)
}

// MayAnywhere says whether the principal has a permission in at least one hub.
func (p *Principal) MayAnywhere(permission Permission) bool {
	if p == nil {
		return false
	}
	for hub := range p.Grants {
		if p.has(permission, hub) {
			return true
		}
	}
	return false
}

// Hubs are the hubs in which the principal has a permission, sorted; all says that there is no limit.
func (p *Principal) Hubs(permission Permission) (hubs []string, all bool) {
	if p == nil {
		return nil, false
	}
	for hub := range p.Grants {
		if p.has(permission, hub) {
			hubs = append(hubs, hub)
		}
	}
	slices.Sort(hubs)
	return hubs, p.has(permission, AllHubs)
}

func (p *Principal) has(permission Permission, hub string) bool {
	return slices.ContainsFunc(p.Grants[hub], func(r Role) bool {
		if r == Operator && permission == ReadValues {
			return p.OperatorValues
		}
		return slices.Contains(permissions[r], permission)
	})
}

type principalKey struct{}

// With puts a principal into a context.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From is the principal of a context, or nil.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}
