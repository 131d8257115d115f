package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/internal/weirtest"
)

// TestAlertStep: a rule fires once its threshold has been reached for long enough, and is resolved once it has not been.
func TestAlertStep(t *testing.T) {
	t.Parallel()
	r := &AlertRule{AlertSpec: AlertSpec{Threshold: 5, For: 10 * time.Second, Calm: 20 * time.Second}}
	began := time.Now()
	for _, s := range []struct {
		after   int // seconds
		value   float64
		state   AlertState
		changed bool
	}{
		{0, 4, AlertOK, false},
		{1, 5, AlertPending, false},
		{5, 4, AlertOK, false}, // not for long enough
		{6, 9, AlertPending, false},
		{15, 9, AlertPending, false},
		{16, 9, AlertFiring, true},
		{17, 9, AlertFiring, false},
		{18, 1, AlertFiring, false},
		{30, 9, AlertFiring, false}, // not calm for long enough
		{40, 1, AlertFiring, false},
		{60, 1, AlertOK, true},
		{61, 1, AlertOK, false},
	} {
		changed := r.step(s.value, "", began.Add(time.Duration(s.after)*time.Second))
		if r.State != s.state || changed != s.changed {
			t.Errorf("after %d s: %s, changed %v", s.after, r.State, changed)
		}
	}
	if r.Incident != 1 || !r.FiringSince.IsZero() {
		t.Errorf("in the end it is %+v", r)
	}
}

// TestAlertInput: each field of rules and webhooks is checked, and named.
func TestAlertInput(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), weirtest.Pool(t)
	e, err := Open(ctx, Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const hub = "default"
	refused := func(what string, err error, code Code, field string) {
		t.Helper()
		var ours *Error
		if !errors.As(err, &ours) || ours.Code != code || ours.Field != field {
			t.Errorf("%s: %v, want %s of %s", what, err, code, field)
		}
	}
	good := AlertSpec{Kind: AlertFailureRate, Threshold: 50, Window: time.Hour}
	for _, c := range []struct {
		field  string
		change func(*AlertSpec)
	}{
		{"kind", func(s *AlertSpec) { s.Kind = 9 }},
		{"severity", func(s *AlertSpec) { s.Severity = -1 }},
		{"names", func(s *AlertSpec) { s.Names = []string{""} }},
		{"names", func(s *AlertSpec) { s.Names = slices.Repeat([]string{"a"}, 21) }},
		{"names", func(s *AlertSpec) { *s = AlertSpec{Kind: AlertDeadLetters, Threshold: 1, Names: []string{"a"}} }},
		{"threshold", func(s *AlertSpec) { s.Threshold = 0 }},
		{"threshold", func(s *AlertSpec) { s.Threshold = 101 }},
		{"threshold", func(s *AlertSpec) { *s = AlertSpec{Kind: AlertNoWorker} }},
		{"threshold", func(s *AlertSpec) { *s = AlertSpec{Kind: AlertBacklogAge, Threshold: 604_801} }},
		{"window", func(s *AlertSpec) { s.Window = time.Second }},
		{"window", func(s *AlertSpec) { s.Window = 8 * day }},
		{"window", func(s *AlertSpec) { *s = AlertSpec{Kind: AlertStuck, Threshold: 1} }},
		{"window", func(s *AlertSpec) { *s = AlertSpec{Kind: AlertNoWorker, Threshold: 1, Window: time.Hour} }},
		{"minimum", func(s *AlertSpec) { s.Minimum = -1 }},
		{"minimum", func(s *AlertSpec) { *s = AlertSpec{Kind: AlertNoWorker, Threshold: 1, Minimum: 1} }},
		{"interval", func(s *AlertSpec) { s.Interval = time.Millisecond }},
		{"interval", func(s *AlertSpec) { s.Interval = 25 * time.Hour }},
		{"for", func(s *AlertSpec) { s.For = -1 }},
		{"calm", func(s *AlertSpec) { s.Calm = 25 * time.Hour }},
		{"webhooks", func(s *AlertSpec) { s.Webhooks = []string{"nowhere"} }},
		{"webhooks", func(s *AlertSpec) { s.Webhooks = slices.Repeat([]string{"a"}, 11) }},
	} {
		s := good
		c.change(&s)
		_, err := e.CreateAlertRule(ctx, hub, "rule", s)
		refused(c.field, err, CodeInvalid, c.field)
	}
	_, err = e.CreateAlertRule(ctx, hub, "", good)
	refused("no id", err, CodeInvalid, "id")
	_, err = e.CreateAlertRule(ctx, hub, strings.Repeat("x", 101), good)
	refused("long id", err, CodeInvalid, "id")
	_, err = e.CreateAlertRule(ctx, "nowhere", "rule", good)
	refused("no hub", err, CodeNotFound, "hub")
	if r, err := e.CreateAlertRule(ctx, hub, "rule", good); err != nil || r.Interval != DefaultAlertInterval {
		t.Errorf("made %+v, %v", r, err)
	}
	twice := AlertSpec{Kind: AlertNoWorker, Threshold: 1, Names: []string{"b", "a", "b"}}
	if r, err := e.CreateAlertRule(ctx, hub, "twice", twice); err != nil || !slices.Equal(r.Names, []string{"a", "b"}) {
		t.Errorf("made %+v, %v", r, err)
	}
	_, err = e.CreateAlertRule(ctx, hub, "rule", good)
	refused("twice", err, CodeAlreadyExists, "id")
	_, err = e.UpdateAlertRule(ctx, hub, "other", good)
	refused("update", err, CodeNotFound, "id")
	_, err = e.MuteAlertRule(ctx, hub, "rule", time.Now().Add(367*day))
	refused("mute", err, CodeInvalid, "until")
	refused("delete", e.DeleteAlertRule(ctx, hub, "other"), CodeNotFound, "id")
	refused("system hub", e.CreateHub(ctx, SystemHub), CodeInvalid, "name")

	for _, url := range []string{
		"", "x", "https://", "http://example.com", "ftp://localhost", "https://a:b@example.com", "https://example.com/#x",
		"file:///etc/passwd", "http://127.0.0.1.example.com", "https://example.com/\n", "https://example.com/" + strings.Repeat("x", 2000),
	} {
		_, _, err := e.CreateWebhook(ctx, hub, "hook", WebhookSpec{URL: url})
		refused(url, err, CodeInvalid, "url")
	}
	_, _, err = e.CreateWebhook(ctx, hub, "hook", WebhookSpec{URL: "https://example.com", Format: 7})
	refused("format", err, CodeInvalid, "format")
	_, err = e.UpdateWebhook(ctx, hub, "hook", WebhookSpec{URL: "https://example.com"})
	refused("update", err, CodeNotFound, "id")
	if _, _, err := e.CreateWebhook(ctx, hub, "hook", WebhookSpec{URL: "http://localhost:1/"}); err != nil {
		t.Error(err)
	}
	_, _, err = e.CreateWebhook(ctx, hub, "hook", WebhookSpec{URL: "https://example.com"})
	refused("twice", err, CodeAlreadyExists, "id")
	if _, err = e.UpdateWebhook(ctx, hub, "hook", WebhookSpec{URL: "https://example.com", Disabled: "moved"}); err != nil {
		t.Error(err)
	}
	_, err = e.TestWebhook(ctx, hub, "hook")
	refused("test", err, CodeWrongState, "id")
	if err := e.DeleteWebhook(ctx, hub, "hook"); err != nil {
		t.Error(err)
	}
	_, _, err = e.RotateWebhookSecret(ctx, hub, "hook")
	refused("rotate", err, CodeNotFound, "id")
}
