package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// offer is a provider at which a server lets people sign in from the command line, as the server tells it.
type offer struct {
	Name     string   `json:"name"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"clientId"`
	Scopes   []string `json:"scopes"`
	Audience string   `json:"audience"`
}

// identityProvider is an OpenID provider, as it describes itself.
type identityProvider struct {
	oauth2.Config

	http *http.Client
	// revocation is where tokens are taken back; empty where they cannot be.
	revocation string
}

// findProvider asks a provider for its description. Errors: *Exit.
func findProvider(ctx context.Context, hc *http.Client, issuer, clientID string, scopes []string) (*identityProvider, error) {
	if !secret(issuer) {
		return nil, &Exit{ExitFailed, fmt.Errorf("the provider %s is not asked: tokens would be sent in the clear", printable(issuer))}
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, hc), issuer)
	if err != nil {
		return nil, unreachable("the provider %s does not answer as it should: %w", printable(issuer), plain(err))
	}
	var more struct {
		Revocation string `json:"revocation_endpoint"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, unreachable("the provider %s does not answer as it should: %w", printable(issuer), err)
	}
	p := &identityProvider{
		http: hc, revocation: more.Revocation,
		Config: oauth2.Config{ClientID: clientID, Endpoint: found.Endpoint(), Scopes: scopes},
	}
	p.Endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret
	for _, address := range []string{p.Endpoint.TokenURL, p.Endpoint.DeviceAuthURL, p.revocation} {
		if address != "" && !secret(address) {
			return nil, &Exit{ExitFailed, fmt.Errorf("the provider %s takes tokens in the clear, at %s", printable(issuer), printable(address))}
		}
	}
	return p, nil
}

// secret tells whether nobody on the way can read what is sent to an address.
func secret(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

// said is what a provider has answered, without the rest of its answer.
func said(err error) error {
	var answer *oauth2.RetrieveError
	switch {
	case !errors.As(err, &answer):
		return plain(err)
	case answer.ErrorCode == "":
		return errors.New(printable(answer.Response.Status))
	case answer.ErrorDescription == "":
		return errors.New(printable(answer.ErrorCode))
	}
	return fmt.Errorf("%s: %s", printable(answer.ErrorCode), printable(answer.ErrorDescription))
}

// signIn is what the command line has of a sign-in at a server.
type signIn struct {
	server string
	file   *credentials
	http   *http.Client
}

// token is the access token for the server, replaced if it has expired or is about to; empty if nobody has signed in there. Errors:
// *Exit.
func (s *signIn) token(ctx context.Context) (string, error) {
	have, err := s.file.of(s.server)
	if err != nil {
		return "", &Exit{ExitFailed, err}
	}
	if have == nil {
		return "", nil
	}
	if have.fresh(refreshAhead) {
		return have.AccessToken, nil
	}
	var token string
	err = s.file.change(ctx, func(all map[string]credential) error {
		have, ok := all[s.server]
		if !ok || have.fresh(refreshAhead) { // another process was faster
			token = have.AccessToken
			return nil
		}
		next, err := s.refresh(ctx, have)
		if err != nil {
			if have.fresh(0) {
				token = have.AccessToken
				return nil
			}
			return err
		}
		all[s.server], token = *next, next.AccessToken
		return nil
	})
	var exit *Exit
	if err != nil && !errors.As(err, &exit) {
		err = &Exit{ExitFailed, err}
	}
	return token, err
}

// refresh gets an access token for a refresh token. Errors: *Exit.
func (s *signIn) refresh(ctx context.Context, have credential) (*credential, error) {
	ended := func(why error) error {
		return unreachable("the sign-in at %s has ended: %w: sign in again with `weir login`", s.server, why)
	}
	if have.RefreshToken == "" {
		return nil, ended(errors.New("the provider gave nothing to renew it with"))
	}
	p, err := findProvider(ctx, s.http, have.Issuer, have.ClientID, nil)
	if err != nil {
		return nil, err
	}
	t, err := p.TokenSource(oidc.ClientContext(ctx, s.http), &oauth2.Token{RefreshToken: have.RefreshToken}).Token()
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && answer.Response.StatusCode < 500:
		return nil, ended(said(err))
	case err != nil:
		return nil, unreachable("the provider %s does not renew the sign-in: %w", printable(have.Issuer), said(err))
	}
	have.AccessToken, have.RefreshToken, have.ExpiresAt = t.AccessToken, t.RefreshToken, t.Expiry
	return &have, nil
}

// errNoOffer says that nobody can sign in at a server from the command line.
const errNoOffer = "the server at %s offers no sign-in for the command line: give a token in WEIR_TOKEN (whoever runs it can offer one, with cliClientId in WEIR_OIDC)"

// offers asks a server where people can sign in. Errors: *Exit.
func (c *client) offers(ctx context.Context) ([]offer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+"auth/device", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	req.Header.Set("User-Agent", "weir-cli")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable("cannot reach the server at %s: %w", c.server, plain(err))
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		Providers []offer `json:"providers"`
	}
	wrong := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&out)
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusOK && wrong != nil: // one of before there was this
	case resp.StatusCode != http.StatusOK:
		return nil, c.strange(resp)
	case len(out.Providers) > 0:
		return out.Providers, nil
	}
	return nil, &Exit{ExitFailed, fmt.Errorf(errNoOffer, c.server)}
}

// choose picks the provider of a name, or the only one. Errors: Usage.
func choose(offers []offer, name string) (offer, error) {
	var names []string
	for _, o := range offers {
		if name != "" && (strings.EqualFold(o.Name, name) || o.Issuer == name) {
			return o, nil
		}
		names = append(names, fmt.Sprintf("%q", o.Name))
	}
	if name == "" && len(offers) == 1 {
		return offers[0], nil
	}
	return offer{}, Usage("--provider: name one of those that the server knows: " + printable(strings.Join(names, ", ")))
}

func loginCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var name string
	flags.StringVar(&name, "provider", "", "the provider's name or issuer, where the server knows several")
	return func(ctx context.Context, c *call) error {
		if !secret(c.client.server) {
			return Usage("--server (WEIR_SERVER): the sign-in would be sent in the clear: use https for a server that is not on this machine")
		}
		file, err := credentialsFile()
		if err != nil {
			return &Exit{ExitFailed, fmt.Errorf("there is no place to keep the sign-in: %w", err)}
		}
		if _, err := file.read(); err != nil { // before anybody goes to a browser in vain
			return &Exit{ExitFailed, err}
		}
		asking, cancel := context.WithTimeout(ctx, c.client.timeout)
		defer cancel()
		offers, err := c.client.offers(asking)
		if err != nil {
			return err
		}
		at, err := choose(offers, name)
		if err != nil {
			return err
		}
		p, err := findProvider(asking, c.client.provider(), at.Issuer, at.ClientID, at.Scopes)
		if err != nil {
			return err
		}
		t, err := c.byDevice(ctx, p, at)
		if err != nil {
			return err
		}
		return c.keep(ctx, file, at, t)
	}
}

// noLifetime is how long a code is tried whose provider does not say how long it counts.
const noLifetime = 10 * time.Minute

// byDevice has a person allow this machine at a provider, in a browser anywhere, and waits until that is done. Errors: *Exit.
func (c *call) byDevice(ctx context.Context, p *identityProvider, at offer) (*oauth2.Token, error) {
	if p.Endpoint.DeviceAuthURL == "" {
		return nil, &Exit{ExitFailed, fmt.Errorf("the provider %s knows no sign-in by a code (device authorization grant, RFC 8628): give a token in WEIR_TOKEN", printable(at.Name))}
	}
	ctx = oidc.ClientContext(ctx, p.http)
	code, err := p.DeviceAuth(ctx, oauth2.SetAuthURLParam("audience", at.Audience))
	if err != nil {
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		return nil, unreachable("the provider %s gives no code: %w", printable(at.Name), said(err))
	}
	if code.Interval <= 0 {
		code.Interval = 5
	}
	if code.Expiry.IsZero() {
		code.Expiry = time.Now().Add(noLifetime)
	}
	sayf(c.notes, "To sign in at %s (%s), open\n\n  %s\n\nin any browser, and enter the code\n\n  %s\n",
		printable(at.Name), printable(at.Issuer), printable(code.VerificationURI), printable(code.UserCode))
	if code.VerificationURIComplete != "" {
		sayf(c.notes, "or open this, and check that it shows the same code:\n\n  %s\n", printable(code.VerificationURIComplete))
	}
	sayf(c.notes, "The code counts for %s. Waiting; Ctrl-C gives up.", time.Until(code.Expiry).Round(time.Second))
	for {
		t, err := p.DeviceAccessToken(ctx, code)
		var answer *oauth2.RetrieveError
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil:
			return nil, errInterrupted
		case !time.Now().Before(code.Expiry), errors.As(err, &answer) && answer.ErrorCode == "expired_token":
			return nil, &Exit{ExitFailed, errors.New("the code has expired: begin again with `weir login`")}
		case answer != nil && answer.ErrorCode == "access_denied":
			return nil, &Exit{ExitFailed, errors.New("the sign-in was refused at the provider")}
		case answer != nil && answer.Response.StatusCode < 500:
			return nil, &Exit{ExitFailed, fmt.Errorf("the provider %s gives no token: %w", printable(at.Name), said(err))}
		}
		code.Interval *= 2 // it cannot be reached now, and must not be pressed (RFC 8628, 3.5)
	}
}

// errInterrupted is for who gives up.
var errInterrupted = &Exit{ExitFailed, errors.New("given up; nobody is signed in")}

// keep stores tokens if the server takes them. Errors: *Exit.
func (c *call) keep(ctx context.Context, file *credentials, at offer, t *oauth2.Token) error {
	c.client.token = t.AccessToken
	v, err := viewerOperation.need(ctx, c, c.vars(), "viewer")
	var refused *APIError
	switch {
	case errors.As(err, &refused) && refused.Code == "UNAUTHENTICATED":
		return unreachable("UNAUTHENTICATED: the server does not take what the provider %s gives: it must be a signed token (JWT) for the audience %q", printable(at.Name), printable(at.Audience))
	case err != nil:
		return err
	}
	err = file.change(ctx, func(all map[string]credential) error {
		all[c.client.server] = credential{at.Issuer, at.ClientID, t.AccessToken, t.RefreshToken, t.Expiry}
		return nil
	})
	if err != nil {
		return &Exit{ExitFailed, err}
	}
	if c.variable("WEIR_TOKEN") != "" {
		sayf(c.notes, "WEIR_TOKEN is set, and counts before the sign-in.")
	}
	if done, err := c.emit(); done {
		return err
	}
	c.sayf("Signed in to %s as %s.", c.client.server, printable(v.Name))
	return nil
}

func logoutCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		file, err := credentialsFile()
		if err != nil {
			return &Exit{ExitFailed, err}
		}
		have, err := file.of(c.client.server)
		if err != nil {
			return &Exit{ExitFailed, err}
		}
		if have == nil {
			c.sayf("Nobody is signed in to %s.", c.client.server)
			return nil
		}
		err = file.change(ctx, func(all map[string]credential) error {
			if newest, ok := all[c.client.server]; ok {
				have = &newest
			}
			delete(all, c.client.server)
			return nil
		})
		if err != nil {
			return &Exit{ExitFailed, err}
		}
		c.sayf("Signed out of %s.", c.client.server)
		ctx, cancel := context.WithTimeout(ctx, c.client.timeout)
		defer cancel()
		p, err := findProvider(ctx, c.client.provider(), have.Issuer, have.ClientID, nil)
		if err == nil {
			err = p.revoke(ctx, have)
		}
		if err != nil {
			return unreachable("the tokens are forgotten here, but the provider has not taken them back: %w", err)
		}
		return nil
	}
}

// revoke has the provider take tokens back, where it can (RFC 7009): with a refresh token all that came of it.
func (p *identityProvider) revoke(ctx context.Context, have *credential) error {
	if p.revocation == "" {
		return nil
	}
	form := url.Values{"client_id": {have.ClientID}, "token": {have.RefreshToken}, "token_type_hint": {"refresh_token"}}
	if have.RefreshToken == "" {
		form.Set("token", have.AccessToken)
		form.Set("token_type_hint", "access_token")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.http.Do(req)
	if err != nil {
		return plain(err)
	}
	_ = resp.Body.Close()
	if !slices.Contains([]int{http.StatusOK, http.StatusNoContent}, resp.StatusCode) {
		return errors.New(resp.Status)
	}
	return nil
}
