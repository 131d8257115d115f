package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Errors of who cannot be known, or not now.
var (
	// ErrUnknown is for a token or session that is none, has expired or has been revoked: which of these is not told.
	ErrUnknown = errors.New("the credentials are not valid, or not any more")
	// ErrMissing is for a request that shows nothing.
	ErrMissing = errors.New("the request shows no credentials: send a token as `Authorization: Bearer <token>`, or sign in")
	// ErrUnavailable is for credentials that cannot be checked now, for the database or the provider does not answer.
	ErrUnavailable = errors.New("the credentials cannot be checked at the moment")
)

// Verifier finds the principal that a bearer token stands for. It returns nil for a token of another kind, which the
// next verifier may know. Errors: ErrUnknown, ErrUnavailable.
type Verifier func(ctx context.Context, token string) (*Principal, error)

// Session finds the principal of a browser's session by its cookie. It returns nil for a request without one. Errors:
// ErrUnknown, ErrUnavailable.
type Session func(req *http.Request) (*Principal, error)

// Refuse answers a request that is not let in, in the form of what it was for.
type Refuse func(w http.ResponseWriter, req *http.Request, status int, code, message string)

// The codes of Refuse.
const (
	CodeUnauthenticated = "UNAUTHENTICATED"
	CodeForbidden       = "FORBIDDEN"
	CodeUnavailable     = "UNAVAILABLE"
)

// Gate lets those in whom it knows.
type Gate struct {
	// Verifiers are asked in order.
	Verifiers []Verifier
	// Session reads cookies; nil where there are no sessions.
	Session Session
	// Anybody is who comes without credentials, where everybody is let in; nil where nobody is.
	Anybody *Principal
	// Proxies are those whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// Refused is told of every request that is not let in; it may be nil.
	Refused func(req *http.Request, address string, err error)
}

// Protect serves only who is known, and has Who find the principal in the context.
func (g *Gate) Protect(next http.Handler, refuse Refuse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		address := g.address(req)
		p, browser, err := g.identify(req.Context(), req)
		if err != nil {
			if g.Refused != nil {
				g.Refused(req, address, err)
			}
			switch {
			case errors.Is(err, ErrCrossSite):
				refuse(w, req, http.StatusForbidden, CodeForbidden, err.Error())
			case errors.Is(err, ErrUnavailable):
				w.Header().Set("Retry-After", "5")
				refuse(w, req, http.StatusServiceUnavailable, CodeUnavailable, ErrUnavailable.Error())
			default:
				// What exactly is wrong with a token is for the log.
				challenge, why := "Bearer", ErrMissing
				if errors.Is(err, ErrUnknown) {
					challenge, why = `Bearer error="invalid_token"`, ErrUnknown
				}
				w.Header().Set("WWW-Authenticate", challenge)
				refuse(w, req, http.StatusUnauthorized, CodeUnauthenticated, why.Error())
			}
			return
		}
		ctx := With(req.Context(), p)
		ctx = context.WithValue(ctx, callKey{}, &call{address: address, browser: browser, again: func(ctx context.Context) (*Principal, error) {
			p, _, err := g.identify(ctx, req)
			return p, err
		}})
		next.ServeHTTP(w, req.WithContext(ctx))
	})
}

// identify finds who asks, and whether by a browser's session. A bearer token counts before a cookie: it was put there on purpose.
func (g *Gate) identify(ctx context.Context, req *http.Request) (who *Principal, browser bool, err error) {
	if header := req.Header.Get("Authorization"); header != "" {
		kind, token, _ := strings.Cut(header, " ")
		if token = strings.TrimSpace(token); !strings.EqualFold(kind, "Bearer") || token == "" || len(token) > maxBearer {
			return nil, false, ErrUnknown
		}
		for _, verify := range g.Verifiers {
			if p, err := verify(ctx, token); p != nil || err != nil {
				return p, false, err
			}
		}
		return nil, false, ErrUnknown
	}
	if g.Session != nil {
		if p, err := g.Session(req.WithContext(ctx)); p != nil || err != nil {
			return p, true, err
		}
	}
	if g.Anybody == nil {
		return nil, false, ErrMissing
	}
	return g.Anybody, false, nil
}

// maxBearer is the longest token that is looked at, in bytes.
const maxBearer = 16 << 10

type callKey struct{}

// call is what is known of a request beside its principal.
type call struct {
	address string
	browser bool
	again   func(context.Context) (*Principal, error)
}

// Address is where a request came from, or empty.
func Address(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.address
	}
	return ""
}

// InBrowser tells whether a request is known by a cookie: of a browser that has signed in, at a provider or with a token.
func InBrowser(ctx context.Context) bool {
	c, ok := ctx.Value(callKey{}).(*call)
	return ok && c.browser
}

// Again finds the principal of a request anew, by what it has shown: for connections that stay open. Errors: ErrUnknown,
// ErrUnavailable.
func Again(ctx context.Context) (*Principal, error) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.again(ctx)
	}
	return From(ctx), nil
}

// address is where a request came from: the peer, or whom a trusted proxy names, the last one that is none itself.
func (g *Gate) address(req *http.Request) string {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		host = req.RemoteAddr
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	via := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
	for n := len(via) - 1; n >= 0 && g.trusted(at); n-- {
		next, err := netip.ParseAddr(strings.TrimSpace(via[n]))
		if err != nil {
			break
		}
		at = next.Unmap()
	}
	return at.Unmap().String()
}

func (g *Gate) trusted(at netip.Addr) bool {
	for _, p := range g.Proxies {
		if p.Contains(at.Unmap()) {
			return true
		}
	}
	return false
}

// ParseProxies reads addresses and networks with commas between. Errors name the part that is none.
func ParseProxies(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if at, err := netip.ParseAddr(part); err == nil {
			out = append(out, netip.PrefixFrom(at, at.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network, such as 10.0.0.0/8", part)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
