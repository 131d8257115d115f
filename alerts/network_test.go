package alerts_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-dev/weir/alerts"
	"github.com/weir-dev/weir/engine"
)

// nameServer answers every question for an IPv4 address with what next says, and has no others.
func nameServer(t *testing.T, next func() netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12
			for buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5 // the root, type and class
			if end > n {
				continue
			}
			out := append([]byte{}, buf[:end]...)
			out[2], out[3] = 0x81, 0x80 // an answer
			copy(out[4:12], []byte{0, 1, 0, 0, 0, 0, 0, 0})
			if binary.BigEndian.Uint16(buf[end-4:]) == 1 {
				out[7] = 1
				out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				out = append(out, next().AsSlice()...)
			}
			_, _ = conn.WriteTo(out, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestRebinding: a name that leads to an allowed address first and to another later is followed to the first only.
func TestRebinding(t *testing.T) {
	b := setup(t)
	var asked atomic.Int32
	resolver := nameServer(t, func() netip.Addr {
		if asked.Add(1) == 1 {
			return netip.MustParseAddr("127.0.0.1")
		}
		return netip.MustParseAddr("127.0.0.2") // the receiver is there for no one
	})
	b.answer = func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }
	_, port, _ := net.SplitHostPort(b.receiver.Listener.Addr().String())
	// The receiver's certificate is for example.com too.
	if _, _, err := b.e.CreateWebhook(b.ctx, hub, "hook", engine.WebhookSpec{URL: "https://example.com:" + port}); err != nil {
		t.Fatal(err)
	}
	id, err := b.e.TestWebhook(b.ctx, hub, "hook")
	if err != nil {
		t.Fatal(err)
	}
	b.serve(func(cfg *alerts.Config) {
		cfg.Resolver, cfg.Networks = resolver, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		cfg.Pace.For = 200_000_000 // 200 ms
	})
	d := b.awaitDelivery(id)
	if d.State != engine.DeliveryGivenUp || !strings.Contains(d.Error, "127.0.0.2 is not a public address") || len(b.got) != 1 {
		t.Errorf("the delivery is %+v, %d were received", d, len(b.got))
	}
}
