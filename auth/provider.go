package auth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// ProviderConfig says how an OpenID provider is used.
type ProviderConfig struct {
	// Issuer is the provider's address, as its tokens have it: https, or http on this machine.
	Issuer string `json:"issuer"`
	// Name is what the sign-in page calls it; the host of the issuer if it is empty.
	Name string `json:"name"`
	// Audiences are those of bearer tokens for this server, of which a token must have one. Without any, bearer tokens of
	// this provider are not accepted.
	Audiences []string `json:"audiences"`
	// ClientID and ClientSecret are those of this server at the provider, for people who sign in; without a ClientID nobody
	// can.
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	// Scopes are asked for besides openid, such as profile, groups, offline_access.
	Scopes []string `json:"scopes"`
	// CLIClientID is that of the command line at the provider: a public client, without a secret, that may use the device
	// authorization grant (RFC 8628). Without one nobody can sign in from the command line.
	CLIClientID string `json:"cliClientId"`
	// CLIScopes are what the command line asks for besides openid; Scopes if it is empty.
	CLIScopes []string `json:"cliScopes"`
	// GroupsClaim is the claim with the names of groups: "groups" if it is empty. Dots lead into objects:
	// "realm_access.roles".
	GroupsClaim string `json:"groupsClaim"`
	// Algorithms are those with which tokens may be signed: RS256 and ES256 if it is empty. None is symmetric.
	Algorithms []string `json:"algorithms"`
	// ClockSkew is how far the clocks of the provider and this server may be apart: "1m" if it is empty, at most 5m.
	ClockSkew string `json:"clockSkew"`
	// Roles gives roles to groups, besides those that are bound in the database.
	Roles map[string]Grants `json:"roles"`

	skew time.Duration
}

var asymmetric = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// ParseProviders reads a JSON array of ProviderConfig. Errors name the provider and the field.
func ParseProviders(raw []byte) ([]ProviderConfig, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var out []ProviderConfig
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("want a JSON array of providers: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one JSON array and nothing after it")
	}
	for i := range out {
		c := &out[i]
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("provider %d: %w", i+1, err)
		}
		for _, before := range out[:i] {
			if before.Issuer == c.Issuer {
				return nil, fmt.Errorf("provider %d: issuer %q is there twice", i+1, c.Issuer)
			}
		}
	}
	return out, nil
}

func (c *ProviderConfig) check() error {
	u, err := url.Parse(c.Issuer)
	local := err == nil && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !local) || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("issuer %q: want an https address", c.Issuer)
	}
	if c.Name == "" {
		c.Name = u.Host
	}
	if len(c.Audiences) == 0 && c.ClientID == "" {
		return errors.New("want audiences, for bearer tokens, or clientId, for people who sign in")
	}
	if len(c.Audiences) == 0 && c.CLIClientID != "" {
		return errors.New("cliClientId: want audiences, too, for the command line sends bearer tokens")
	}
	if slices.Contains(c.Audiences, "") {
		return errors.New("audiences: an empty one would let in tokens for anybody")
	}
	if len(c.CLIScopes) == 0 {
		c.CLIScopes = c.Scopes
	}
	if c.GroupsClaim == "" {
		c.GroupsClaim = "groups"
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{oidc.RS256, oidc.ES256}
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(asymmetric, a) {
			return fmt.Errorf("algorithms: %q is not allowed, those are %v", a, asymmetric)
		}
	}
	c.skew = time.Minute
	if c.ClockSkew != "" {
		if c.skew, err = time.ParseDuration(c.ClockSkew); err != nil || c.skew < 0 || c.skew > 5*time.Minute {
			return fmt.Errorf("clockSkew: %q is not allowed, 0s to 5m are", c.ClockSkew)
		}
	}
	for group, grants := range c.Roles {
		for hub, roles := range grants {
			for _, r := range roles {
				if !slices.Contains(Roles, r) {
					return fmt.Errorf("roles: %q has %q in %q, allowed are %v", group, r, hub, Roles)
				}
			}
		}
	}
	return nil
}

// Provider is an OpenID provider. It is asked for its keys when the first token comes, and again when one is signed with a
// key that it did not have, at most every few seconds.
type Provider struct {
	ProviderConfig

	client *http.Client
	now    func() time.Time
	bound  func(ctx context.Context, subjects []string) (map[string][]string, error)
	o      Options

	mu     sync.Mutex
	found  *oidc.Provider
	failed time.Time
}

const (
	// askAgain is how soon a provider is asked again that did not answer, or for keys that it did not have.
	askAgain = 5 * time.Second
	// answerWithin is how long a provider may take to answer.
	answerWithin = 10 * time.Second
)

// NewProvider makes a provider; nothing is asked of it yet. bound returns the roles by hub that are bound in the database to
// any of some subjects.
func NewProvider(c ProviderConfig, bound func(ctx context.Context, subjects []string) (map[string][]string, error), o Options) *Provider {
	return &Provider{
		ProviderConfig: c, now: time.Now, bound: bound, o: o,
		client: &http.Client{
			Timeout: answerWithin, Transport: &keeper{next: http.DefaultTransport, kept: map[string]*keptAnswer{}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// discover reads the provider's own description, once it answers. Errors: ErrUnavailable.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.now().Sub(p.failed) < askAgain {
		return nil, fmt.Errorf("%w: the provider %s did not answer", ErrUnavailable, p.Name)
	}
	// The provider keeps the context for its keys, so it must not end with a request.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.Issuer)
	if err != nil {
		p.failed = p.now()
		return nil, errors.Join(fmt.Errorf("%w: the provider %s does not answer as it should", ErrUnavailable, p.Name), err)
	}
	p.found = found
	return found, nil
}

// Bearer is the verifier of the provider's signed tokens, as machines send them.
func (p *Provider) Bearer(ctx context.Context, token string) (*Principal, error) {
	if issuer, ok := issuerOf(token); !ok || issuer != p.Issuer || len(p.Audiences) == 0 {
		return nil, nil
	}
	claims, err := p.verify(ctx, token, p.Audiences)
	if err != nil {
		return nil, err
	}
	claims.Name = cmp.Or(claims.Name, firstText(claims.raw, "client_id", "azp"), claims.Subject)
	return p.principal(ctx, claims, ByJWT)
}

// claims are what is read of a token.
type claims struct {
	Subject  string
	Name     string
	Groups   []string
	Expires  time.Time
	Nonce    string
	SID      string
	IssuedAt time.Time
	raw      map[string]any
}

// verify checks a token's signature, issuer, audience and times. Errors: ErrUnknown, ErrUnavailable.
func (p *Provider) verify(ctx context.Context, token string, audiences []string) (*claims, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	// The times are checked below, with the skew that is allowed.
	verifier := found.VerifierContext(oidc.ClientContext(context.WithoutCancel(ctx), p.client), &oidc.Config{
		SkipClientIDCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: p.Algorithms,
	})
	t, err := verifier.Verify(ctx, token)
	if err != nil {
		var away *url.Error
		if errors.As(err, &away) || strings.Contains(err.Error(), "fetching keys") {
			return nil, errors.Join(ErrUnavailable, err)
		}
		return nil, errors.Join(ErrUnknown, err)
	}
	var raw map[string]any
	if err := t.Claims(&raw); err != nil {
		return nil, errors.Join(ErrUnknown, err)
	}
	now := p.now()
	notBefore, _ := raw["nbf"].(float64)
	switch {
	case !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(audiences, a) }):
		err = fmt.Errorf("the token is for %q", t.Audience)
	case t.Subject == "":
		err = errors.New("the token names nobody")
	case t.Expiry.IsZero() || now.After(t.Expiry.Add(p.skew)):
		err = errors.New("the token has expired")
	case time.Unix(int64(notBefore), 0).After(now.Add(p.skew)), t.IssuedAt.After(now.Add(p.skew)):
		err = errors.New("the token is not valid yet")
	}
	if err != nil {
		return nil, errors.Join(ErrUnknown, err)
	}
	c := &claims{Subject: t.Subject, Groups: groupsIn(raw, p.GroupsClaim), Expires: t.Expiry, Nonce: t.Nonce, IssuedAt: t.IssuedAt, raw: raw}
	c.SID, _ = raw["sid"].(string)
	c.Name = firstText(raw, "name", "preferred_username", "email")
	return c, nil
}

func firstText(raw map[string]any, names ...string) string {
	for _, name := range names {
		if text, _ := raw[name].(string); text != "" {
			return text
		}
	}
	return ""
}

// complete asks the provider for what an id token does not say of a person: name and groups. Many put them there only.
func (p *Provider) complete(ctx context.Context, found *oidc.Provider, tokens *oauth2.Token, c *claims) error {
	_, grouped := c.raw[strings.Split(p.GroupsClaim, ".")[0]]
	if c.Name != "" && (grouped || c.raw[p.GroupsClaim] != nil) || found.UserInfoEndpoint() == "" {
		c.Name = cmp.Or(c.Name, c.Subject)
		return nil
	}
	info, err := found.UserInfo(oidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(tokens))
	if err != nil {
		return fmt.Errorf("ask for the person's name and groups: %w", err)
	}
	var raw map[string]any
	if err := info.Claims(&raw); err != nil {
		return fmt.Errorf("read the person's name and groups: %w", err)
	}
	if info.Subject != c.Subject {
		return errors.New("the provider's answer is about somebody else")
	}
	c.Name = cmp.Or(c.Name, firstText(raw, "name", "preferred_username", "email"), c.Subject)
	if c.Groups == nil {
		c.Groups = groupsIn(raw, p.GroupsClaim)
	}
	return nil
}

// principal is who the claims name, with the roles of its groups and its own.
func (p *Provider) principal(ctx context.Context, c *claims, kind Kind) (*Principal, error) {
	grants, err := p.grants(ctx, c.Subject, c.Groups)
	if err != nil {
		return nil, err
	}
	return &Principal{
		Subject: p.Issuer + "#" + c.Subject, Name: c.Name, Kind: kind, Grants: grants, OperatorValues: p.o.OperatorValues, Expires: c.Expires.Add(p.skew),
	}, nil
}

// grants are the roles of a subject and its groups, of the settings and of the database.
func (p *Provider) grants(ctx context.Context, subject string, groups []string) (Grants, error) {
	out := Grants{}
	add := func(hub string, r Role) {
		if !slices.Contains(out[hub], r) {
			out[hub] = append(out[hub], r)
		}
	}
	subjects := []string{p.Issuer + "#" + subject}
	for _, g := range groups {
		subjects = append(subjects, "group:"+g)
		for hub, roles := range p.ProviderConfig.Roles[g] {
			for _, r := range roles {
				add(hub, r)
			}
		}
	}
	bound, err := p.bound(ctx, subjects)
	if err != nil {
		return nil, errors.Join(ErrUnavailable, err)
	}
	for hub, roles := range GrantsOf(bound) {
		for _, r := range roles {
			add(hub, r)
		}
	}
	for hub := range out {
		slices.Sort(out[hub])
	}
	return out, nil
}

// maxGroups is how many groups of a token are read.
const maxGroups = 1000

// groupsIn reads the names of groups: a list of texts, or one text. Dots in the claim's name lead into objects.
func groupsIn(raw map[string]any, claim string) []string {
	at := any(raw)
	if v, ok := raw[claim]; ok { // a name with dots in it, such as an address
		at = v
	} else {
		for part := range strings.SplitSeq(claim, ".") {
			object, ok := at.(map[string]any)
			if !ok {
				return nil
			}
			at = object[part]
		}
	}
	switch v := at.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, g := range v[:min(len(v), maxGroups)] {
			if name, ok := g.(string); ok && name != "" {
				out = append(out, name)
			}
		}
		return out
	}
	return nil
}

// issuerOf reads the issuer that a signed token claims to be of, without believing it.
func issuerOf(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", false
	}
	var body struct {
		Issuer string `json:"iss"`
	}
	return body.Issuer, json.Unmarshal(raw, &body) == nil
}

// keeper keeps what a provider has answered to a GET for a moment: tokens signed with keys that nobody has must not make the
// server ask for keys each time.
type keeper struct {
	next http.RoundTripper

	mu   sync.Mutex
	kept map[string]*keptAnswer
}

type keptAnswer struct {
	at     time.Time
	status int
	header http.Header
	body   []byte
}

// maxAnswer is the largest answer of a provider that is read, in bytes.
const maxAnswer = 1 << 20

// RoundTrip implements http.RoundTripper.
func (k *keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet || req.Header.Get("Authorization") != "" {
		return k.next.RoundTrip(req)
	}
	key := req.URL.String()
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.kept[key]
	if kept == nil || time.Since(kept.at) > askAgain {
		resp, err := k.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		kept = &keptAnswer{time.Now(), resp.StatusCode, resp.Header, body}
		if len(k.kept) > 10 {
			clear(k.kept)
		}
		k.kept[key] = kept
	}
	return &http.Response{
		Status: http.StatusText(kept.status), StatusCode: kept.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: kept.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(kept.body)), ContentLength: int64(len(kept.body)), Request: req,
	}, nil
}
