package alerts_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/alerts"
	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const hub = durable.DefaultHub

// bundle is a database with an engine, and a receiver of webhooks.
type bundle struct {
	t        *testing.T
	ctx      context.Context
	pool     *pgxpool.Pool
	e        *engine.Engine
	receiver *httptest.Server
	got      chan received
	// answer is what the receiver answers to its n-th request, from 1; nil means 204.
	answer func(n int, w http.ResponseWriter)
}

// received is a request that the receiver got.
type received struct {
	n       int
	header  http.Header
	body    []byte
	message engine.AlertMessage
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	b := &bundle{t: t, ctx: ctx, pool: weirtest.Pool(t), got: make(chan received, 100)}
	e, err := engine.Open(ctx, engine.Config{Pool: b.pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	b.e = e
	var (
		mu sync.Mutex
		n  int
	)
	b.receiver = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := received{header: r.Header, body: body}
		_ = json.Unmarshal(body, &got.message)
		mu.Lock()
		n++
		got.n = n
		mu.Unlock()
		b.got <- got
		if b.answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		b.answer(got.n, w)
	}))
	b.receiver.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	b.receiver.StartTLS()
	t.Cleanup(b.receiver.Close)
	return b
}

// serve runs a server's share of the alerts, until the test ends or stop is called.
func (b *bundle) serve(change ...func(*alerts.Config)) (stop func()) {
	b.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(b.receiver.Certificate())
	cfg := alerts.Config{
		Engine: b.e, Pool: b.pool, Logger: slog.New(slog.DiscardHandler), RootCAs: roots, Poll: 100 * time.Millisecond,
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Pace:     alerts.Pace{First: 20 * time.Millisecond, Most: 50 * time.Millisecond, For: time.Hour},
	}
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- alerts.New(cfg).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("alerts: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// webhook makes one that leads to the receiver, and returns its secret.
func (b *bundle) webhook(f engine.WebhookFormat) string {
	b.t.Helper()
	_, secret, err := b.e.CreateWebhook(b.ctx, hub, "hook", engine.WebhookSpec{URL: b.receiver.URL, Format: f})
	if err != nil {
		b.t.Fatal(err)
	}
	return secret
}

// next waits for a request.
func (b *bundle) next() received {
	b.t.Helper()
	select {
	case r := <-b.got:
		return r
	case <-b.ctx.Done():
		b.t.Fatal("nothing is received")
		return received{}
	}
}

// verify is what receivers do, as docs/alerts.md has it.
func verify(r received, secret string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", r.header.Get("Webhook-Id"), r.header.Get("Webhook-Timestamp"), r.body)
	for one := range strings.FieldsSeq(r.header.Get("Webhook-Signature")) {
		version, signature, _ := strings.Cut(one, ",")
		got, err := base64.StdEncoding.DecodeString(signature)
		if version == "v1" && err == nil && hmac.Equal(got, mac.Sum(nil)) {
			return nil
		}
	}
	return fmt.Errorf("signature %q does not fit", r.header.Get("Webhook-Signature"))
}

// awaitDelivery waits until a delivery is over.
func (b *bundle) awaitDelivery(id string) *engine.Delivery {
	b.t.Helper()
	c, err := durable.NewClient(b.pool, durable.Hub(engine.SystemHub))
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	for {
		w, err := b.e.Webhook(b.ctx, hub, "hook")
		if err != nil {
			b.t.Fatal(err)
		}
		all, err := b.e.Deliveries(b.ctx, w, 100)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, d := range all {
			if d.ID == id && d.State != engine.DeliveryPending {
				return d
			}
		}
		// Once its orchestration is there, that ends with the delivery; until then it is asked for again.
		if _, err := durable.Orchestration[any, any]("deliver").Instance(c, id).Wait(b.ctx); err == nil {
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-b.ctx.Done():
			b.t.Fatal("the delivery does not end")
		}
	}
}

// unserved makes a rule that fires as long as an instance waits that no worker takes, and starts one.
func (b *bundle) unserved(s engine.AlertSpec) (end func()) {
	b.t.Helper()
	s.Kind, s.Threshold, s.Interval = engine.AlertNoWorker, 1, time.Second
	if _, err := b.e.CreateAlertRule(b.ctx, hub, "unserved", s); err != nil {
		b.t.Fatal(err)
	}
	c, err := durable.NewClient(b.pool)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	if _, err := durable.Orchestration[string, string]("nobody's").Start(b.ctx, c, "in", durable.ID("one")); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		if err := b.e.Terminate(b.ctx, engine.TerminateRequest{Hub: hub, Instance: "one"}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestAlert: a rule that has reached its threshold tells once, and once more when it is resolved; both are signed.
func TestAlert(t *testing.T) {
	b := setup(t)
	b.serve()
	secret := b.webhook(engine.WebhookGeneric)
	end := b.unserved(engine.AlertSpec{Severity: engine.SeverityCritical, Webhooks: []string{"hook"}})
	firing := b.next()
	if err := verify(firing, secret); err != nil {
		t.Error(err)
	}
	m := firing.message
	if m.Version != 1 || m.Type != "weir.alert.firing" || m.Data.Rule != "unserved" || m.Data.Severity != "CRITICAL" || m.Data.Value != 1 ||
		m.Data.Incident != 1 || !strings.Contains(m.Data.Detail, "no worker takes nobody's") {
		t.Errorf("it tells %s", firing.body)
	}
	r, err := b.e.AlertRule(b.ctx, hub, "unserved")
	if err != nil || r.State != engine.AlertFiring || r.FiringSince.IsZero() {
		t.Errorf("the rule is %+v, %v", r, err)
	}
	i, err := b.e.Get(b.ctx, engine.SystemHub, r.InstanceID())
	if err != nil || i.Name != "alert" {
		t.Errorf("the rule's orchestration is %+v, %v", i, err)
	}
	end()
	resolved := b.next()
	if err := verify(resolved, secret); err != nil {
		t.Error(err)
	}
	if m := resolved.message; m.Type != "weir.alert.resolved" || m.Data.Incident != 1 || resolved.header.Get("Webhook-Id") == firing.header.Get("Webhook-Id") {
		t.Errorf("it tells %s", resolved.body)
	}
	if names, err := b.e.Hubs(b.ctx); err != nil || len(names) != 1 {
		t.Errorf("hubs are %q, %v", names, err)
	}
}

// TestServerDies: what was decided is sent although the server died before it sent it, and what was sent while it died is sent
// again under the same id.
func TestServerDies(t *testing.T) {
	b := setup(t)
	b.webhook(engine.WebhookGeneric)
	b.unserved(engine.AlertSpec{Webhooks: []string{"hook"}})
	for range 2 { // a look by nobody who could send, and another
		r, err := b.e.EvaluateAlert(b.ctx, hub, "unserved")
		if err != nil || r.State != engine.AlertFiring || r.Incident != 1 {
			t.Fatalf("the rule is %+v, %v", r, err)
		}
	}
	hang := make(chan struct{})
	b.answer = func(n int, w http.ResponseWriter) {
		if n == 1 {
			<-hang
		}
		w.WriteHeader(http.StatusOK)
	}
	stop := b.serve()
	one := b.next()
	stop()
	close(hang)
	b.serve()
	two := b.next()
	if a, b := one.header.Get("Webhook-Id"), two.header.Get("Webhook-Id"); a == "" || a != b || one.message.Type != "weir.alert.firing" {
		t.Errorf("ids %q and %q of %s", a, b, one.body)
	}
	if d := b.awaitDelivery(one.header.Get("Webhook-Id")); d.State != engine.DeliveryDone || d.Answer != http.StatusOK {
		t.Errorf("the delivery is %+v", d)
	}
	if len(b.got) != 0 {
		t.Errorf("%d more are received", len(b.got))
	}
}

// TestRetries: what is not received is sent again under the same id, until it is, or is given up; 410 disables the webhook.
func TestRetries(t *testing.T) {
	for _, c := range []struct {
		what     string
		pace     time.Duration
		answers  []int
		state    engine.DeliveryState
		attempts int
		disabled bool
	}{
		{"errors, then success", time.Hour, []int{500, 302, 429, 204}, engine.DeliveryDone, 4, false},
		{"given up", 30 * time.Millisecond, []int{503, 503, 503, 503, 503, 503}, engine.DeliveryGivenUp, 0, false},
		{"gone", time.Hour, []int{410}, engine.DeliveryGivenUp, 1, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := setup(t)
			b.answer = func(n int, w http.ResponseWriter) {
				w.Header().Set("Location", b.receiver.URL+"/elsewhere")
				w.WriteHeader(c.answers[min(n, len(c.answers))-1])
			}
			b.webhook(engine.WebhookGeneric)
			id, err := b.e.TestWebhook(b.ctx, hub, "hook")
			if err != nil {
				t.Fatal(err)
			}
			b.serve(func(cfg *alerts.Config) { cfg.Pace.For = c.pace })
			d := b.awaitDelivery(id)
			if d.State != c.state || c.attempts != 0 && d.Attempts != c.attempts || d.Attempts != len(b.got) || !d.NextAttemptAt.IsZero() {
				t.Errorf("the delivery is %+v, %d were received", d, len(b.got))
			}
			if d.State == engine.DeliveryGivenUp && !strings.Contains(d.Error, fmt.Sprint(c.answers[0])) {
				t.Errorf("the error is %q", d.Error)
			}
			for range d.Attempts {
				if r := b.next(); r.header.Get("Webhook-Id") != id || r.message.Type != "weir.alert.test" {
					t.Errorf("received %v %s", r.header, r.body)
				}
			}
			w, err := b.e.Webhook(b.ctx, hub, "hook")
			if err != nil || w.DisabledAt.IsZero() == c.disabled {
				t.Errorf("the webhook is %+v, %v", w, err)
			}
		})
	}
}

// TestRotation: for a while both secrets sign.
func TestRotation(t *testing.T) {
	b := setup(t)
	b.serve()
	old := b.webhook(engine.WebhookGeneric)
	w, secret, err := b.e.RotateWebhookSecret(b.ctx, hub, "hook")
	if err != nil || secret == old || time.Until(w.OldUntil) < time.Hour {
		t.Fatalf("rotated to %q, %+v, %v", secret, w, err)
	}
	if _, err := b.e.TestWebhook(b.ctx, hub, "hook"); err != nil {
		t.Fatal(err)
	}
	r := b.next()
	for _, s := range []string{old, secret} {
		if err := verify(r, s); err != nil {
			t.Error(err)
		}
	}
	if verify(r, "whsec_AAAA") == nil {
		t.Error("any secret verifies")
	}
	if _, err := b.pool.Exec(b.ctx, "UPDATE weir.webhooks SET old_until = now()"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.e.TestWebhook(b.ctx, hub, "hook"); err != nil {
		t.Fatal(err)
	}
	if r := b.next(); verify(r, old) == nil || verify(r, secret) != nil {
		t.Error("the old secret is good for too long, or the new one is not")
	}
}

// TestSlack: Slack is sent a text.
func TestSlack(t *testing.T) {
	b := setup(t)
	b.serve()
	b.webhook(engine.WebhookSlack)
	b.unserved(engine.AlertSpec{Webhooks: []string{"hook"}})
	var body map[string]string
	if r := b.next(); json.Unmarshal(r.body, &body) != nil || !strings.HasPrefix(body["text"], "*Firing* INFO: unserved (hub default): no worker takes") {
		t.Errorf("received %s", r.body)
	}
}
