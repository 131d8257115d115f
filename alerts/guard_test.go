package alerts

import (
	"net/netip"
	"testing"
	"time"
)

// TestGuard: addresses that are not public are refused, however they are written, unless their network is allowed.
func TestGuard(t *testing.T) {
	t.Parallel()
	g := &guard{allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for address, ok := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "10.1.2.3": true, "::ffff:10.1.2.3": true,
		"10.2.0.1": false, "127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "169.254.169.254": false, "fe80::1%eth0": false,
		"192.168.1.1": false, "172.16.0.1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false, "100.64.0.1": false, "224.0.0.1": false,
		"255.255.255.255": false, "240.0.0.1": false, "fd00:ec2::254": false, "fc00::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
		"::127.0.0.1": false, "ff02::1": false, "fec0::1": false, "198.18.0.1": false, "192.0.0.192": false,
	} {
		if err := g.check(netip.MustParseAddr(address)); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestPace: attempts come ever later, but for a day only.
func TestPace(t *testing.T) {
	t.Parallel()
	var total time.Duration
	n := 0
	for ; total+DefaultPace.wait(n+1) <= DefaultPace.For; n++ {
		total += DefaultPace.wait(n + 1)
	}
	if n < 8 || n > 20 || total < 20*time.Hour {
		t.Errorf("%d waits in %s", n, total)
	}
	if w := DefaultPace.wait(1000); w != DefaultPace.Most {
		t.Errorf("waits %s", w)
	}
}
