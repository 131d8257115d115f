package alerts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Bounds of one attempt.
const (
	sendTime    = 15 * time.Second
	connectTime = 5 * time.Second
	maxAnswer   = 4 << 10 // bytes of an answer that are read
	quoted      = 200     // bytes of it that are kept
)

// notPublic are the networks besides private, loopback, link-local and multicast ones that receivers on the internet do not have:
// those by which a public name could lead inside.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// errNetwork says that a webhook's name leads to an address that nothing may be sent to.
var errNetwork = errors.New("is not a public address: WEIR_WEBHOOK_NETWORKS allows others")

// guard says which addresses may be connected to.
type guard struct{ allowed []netip.Prefix }

func (g *guard) check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	for _, n := range g.allowed {
		if n.Contains(address) {
			return nil
		}
	}
	inside := !address.IsGlobalUnicast() || address.IsPrivate()
	for _, n := range notPublic {
		inside = inside || n.Contains(address)
	}
	if inside {
		return fmt.Errorf("%s %w", address, errNetwork)
	}
	return nil
}

// control is asked with the very address that is about to be connected to, after the name was resolved: what the name leads to at
// another time does not matter.
func (g *guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s %w", address, errNetwork)
	}
	return g.check(a.Addr())
}

// newClient makes requests to webhooks: to allowed addresses, through no proxy, following no redirect, each on a connection of
// its own.
func newClient(cfg *Config) *http.Client {
	g := &guard{cfg.Networks}
	dialer := &net.Dialer{Timeout: connectTime, ControlContext: g.control, Resolver: cfg.Resolver}
	return &http.Client{
		Timeout:       sendTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		},
	}
}

// answer reads the beginning of an answer's body, for people.
func answer(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, maxAnswer))
	return strings.ToValidUTF8(string(text[:min(len(text), quoted)]), "?")
}
