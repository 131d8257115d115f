package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Found is an API token as it is stored.
type Found struct {
	ID, Name string
	Grants   map[string][]string
	Expires  time.Time // zero is never
}

// Options are what all principals of a server have in common.
type Options struct {
	// OperatorValues lets the role Operator see values.
	OperatorValues bool
}

// Tokens makes the verifier of API tokens, which begin with prefix. find returns nil for one that does not exist, or may
// not be used any more.
func Tokens(prefix string, find func(ctx context.Context, secret string) (*Found, error), o Options) Verifier {
	return func(ctx context.Context, secret string) (*Principal, error) {
		if !strings.HasPrefix(secret, prefix) {
			return nil, nil
		}
		t, err := find(ctx, secret)
		if err != nil {
			return nil, errors.Join(ErrUnavailable, err)
		}
		if t == nil {
			return nil, ErrUnknown
		}
		return &Principal{
			Subject: "token:" + t.ID, Name: t.Name, Kind: ByToken, Grants: GrantsOf(t.Grants), OperatorValues: o.OperatorValues, Expires: t.Expires,
		}, nil
	}
}

// minSecret is how long the administrator's token from the settings must be, in characters.
const minSecret = 24

// AdminToken makes the verifier of the one token that stands in the settings: an administrator's, to begin with.
func AdminToken(secret string) (Verifier, error) {
	if len(secret) < minSecret || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("must be at least %d printable ASCII characters without blanks: take a random one, such as of `openssl rand -base64 32`", minSecret)
	}
	want := sha256.Sum256([]byte(secret))
	admin := &Principal{Subject: "token:admin", Name: "administrator of the settings", Kind: ByToken, Grants: Grants{AllHubs: {Admin}}}
	return func(_ context.Context, token string) (*Principal, error) {
		if got := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return admin, nil
		}
		return nil, nil
	}, nil
}

// Anybody is the principal of a server that lets everybody in: it may do everything.
func Anybody() *Principal {
	return &Principal{Subject: "anybody", Name: "anybody", Kind: ByNothing, Grants: Grants{AllHubs: {Admin}}}
}

// GrantsOf reads roles as they are stored. What is no role gives nothing: it is of a later version.
func GrantsOf(stored map[string][]string) Grants {
	out := make(Grants, len(stored))
	for hub, roles := range stored {
		for _, r := range roles {
			if _, known := permissions[Role(r)]; known {
				out[hub] = append(out[hub], Role(r))
			}
		}
	}
	return out
}
