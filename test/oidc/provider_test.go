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
	// devices are the sign-ins by a code, by the code that the machine has.
	devices map[string]*device
}

// device is a sign-in by a code.
type device struct {
	userCode string
	// slowDown is how many answers more tell the machine to ask less often.
	slowDown int
	expired  bool
	audience string
	asked    []time.Time
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
	p := &provider{t: t, devices: map[string]*device{}}
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
	storage.RegisterClients(clients, storage.DeviceClient("weir-cli", ""))
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

// cli is the command line as a client: it has no secret, and its access tokens are signed.
type cli struct{ op.Client }

func (cli) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (cli) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (cli) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (cli) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeDeviceCode, oidc.GrantTypeRefreshToken}
}

// GetClientByClientID implements op.Storage.
func (p *provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := p.Storage.GetClientByClientID(ctx, id)
	if err == nil && id == "weir-cli" {
		c = cli{c}
	}
	return c, err
}

// GetPrivateClaimsFromScopes implements op.Storage.
func (p *provider) GetPrivateClaimsFromScopes(ctx context.Context, subject, client string, scopes []string) (map[string]any, error) {
	if client != "weir-cli" {
		return p.Storage.GetPrivateClaimsFromScopes(ctx, subject, client, scopes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return map[string]any{"groups": slices.Clone(p.groups), "name": "Test User2"}, nil
}

// CreateAccessAndRefreshTokens implements op.Storage. The example's storage forgets whom it gives a device's tokens.
func (p *provider) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	if r, ok := request.(*op.DeviceAuthorizationState); ok {
		request = storage.RefreshTokenRequestFromBusiness(&storage.RefreshToken{
			ApplicationID: r.ClientID, UserID: r.Subject, Audience: r.GetAudience(), Scopes: r.Scopes, AuthTime: r.AuthTime, AMR: r.AMR,
		})
	}
	return p.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
}

// StoreDeviceAuthorization implements op.DeviceAuthorizationStorage.
func (p *provider) StoreDeviceAuthorization(ctx context.Context, client, code, userCode string, expires time.Time, scopes []string) error {
	p.mu.Lock()
	p.devices[code] = &device{userCode: userCode, audience: "weir-api"}
	p.mu.Unlock()
	return p.Storage.StoreDeviceAuthorization(ctx, client, code, userCode, expires, scopes)
}

// GetDeviceAuthorizatonState implements op.DeviceAuthorizationStorage.
func (p *provider) GetDeviceAuthorizatonState(ctx context.Context, client, code string) (*op.DeviceAuthorizationState, error) {
	state, err := p.Storage.GetDeviceAuthorizatonState(ctx, client, code)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.devices[code]
	d.asked = append(d.asked, time.Now())
	if d.slowDown > 0 {
		d.slowDown--
		return nil, context.DeadlineExceeded // which the provider makes slow_down of
	}
	is := *state
	is.Audience = []string{d.audience}
	if d.expired {
		is.Expires = time.Now().Add(-time.Second)
	}
	return &is, nil
}

// device changes the sign-in whose code a person has.
func (p *provider) device(userCode string, change func(*device)) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.devices {
		if d.userCode == userCode {
			change(d)
			return
		}
	}
	p.t.Fatalf("the provider has given no code %q", userCode)
}
