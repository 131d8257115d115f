// Package oidc signs in at a real OpenID provider, zitadel's, on a real server of Weir. It is a module of its own, so that the
// provider is no dependency of Weir's.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// provider is an OpenID provider with two users, test-user2 and test-user@127.0.0.1, and groups that the test sets.
type provider struct {
	*storage.Storage

	t      *testing.T
	issuer string
	server *httptest.Server
	down   atomic.Bool
	asked  atomic.Int64 // for keys

	mu     sync.Mutex
	groups []string
	key    *signingKey
}

type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *signingKey) Key() any                                    { return k.key }
func (k *signingKey) ID() string                                  { return k.id }

type publicKey struct{ *signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.key.PublicKey }

// newProvider starts a provider that knows Weir as "weir", at an address.
func newProvider(t *testing.T, callback string) *provider {
	t.Helper()
	p := &provider{t: t}
	var handler atomic.Pointer[http.Handler]
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if p.down.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		if req.URL.Path == "/keys" {
			p.asked.Add(1)
		}
		(*handler.Load()).ServeHTTP(w, req)
	}))
	t.Cleanup(p.server.Close)
	p.issuer = p.server.URL
	p.Storage = storage.NewStorageWithClients(storage.NewUserStore(p.issuer), nil)
	clients := storage.WebClient("weir", "the secret", callback)
	storage.RegisterClients(clients)
	p.Storage = storage.NewStorage(storage.NewUserStore(p.issuer))
	p.rotate()
	h := http.Handler(exampleop.SetupServer(p.issuer, p, slog.New(slog.DiscardHandler), false, op.WithAllowInsecure()))
	handler.Store(&h)
	return p
}

// rotate replaces the key with which tokens are signed.
func (p *provider) rotate() {
	p.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = &signingKey{id: rand.Text(), key: key}
}

func (p *provider) belongTo(groups ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = groups
}

// SigningKey implements op.Storage.
func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key, nil
}

// KeySet implements op.Storage.
func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []op.Key{publicKey{p.key}}, nil
}

// SetUserinfoFromRequest implements op.CanSetUserinfoFromRequest.
func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	if err := p.Storage.SetUserinfoFromRequest(ctx, info, token, scopes); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	info.AppendClaims("groups", slices.Clone(p.groups))
	return nil
}

// token signs claims as the provider does; changes go over what a good token has.
func (p *provider) token(changes map[string]any) string {
	p.t.Helper()
	p.mu.Lock()
	key := p.key
	groups := slices.Clone(p.groups)
	p.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key.key, KeyID: key.id}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": p.issuer, "sub": "machine", "aud": []string{"weir-api"}, "iat": now, "nbf": now, "exp": now + 600, "groups": groups, "client_id": "batch job",
	}
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	out, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}
