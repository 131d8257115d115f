package graph_test

import (
	"strings"
	"testing"
)

// TestAlerts: rules and webhooks are made, changed, listed and deleted; what is refused names its field.
func TestAlerts(t *testing.T) {
	a := serve(t)
	type answer struct {
		payload

		Rule *struct {
			RuleID, Kind, State, Severity, InstanceID string
			Window, MutedUntil                        *string
			Threshold                                 float64
			Webhooks                                  []string
		}
		Webhook *struct {
			WebhookID, URL, Format string
			Disabled               *string
			Deliveries             []struct{ DeliveryID, State string }
		}
		Secret, DeliveryID *string
	}
	const (
		rule = "{ rule { ruleId kind state severity instanceId window mutedUntil threshold webhooks } errors { code message path retryable } requestId }"
		hook = "{ webhook { webhookId url format disabled deliveries { deliveryId state } } secret deliveryId errors { code message path retryable } requestId }"
	)
	mutate := func(field string, in vars) answer {
		t.Helper()
		if in["hub"] == nil {
			in["hub"] = "default"
		}
		of, input := rule, strings.ToUpper(field[:1])+field[1:]+"Input"
		if strings.Contains(field, "ebhook") {
			of = hook
		}
		if field == "createAlertRule" || field == "updateAlertRule" {
			input = "AlertRuleInput"
		}
		return ask[map[string]answer](a, "mutation($input: "+input+"!) { "+field+"(input: $input) "+of+" }", vars{"input": in})[field]
	}
	made := mutate("createWebhook", vars{"webhookId": "ops", "url": "https://example.com/hook"})
	if len(made.Errors) > 0 || made.Webhook == nil || made.Webhook.Format != "GENERIC" || made.Secret == nil || !strings.HasPrefix(*made.Secret, "whsec_") {
		t.Fatalf("made %+v", made)
	}
	if p := mutate("rotateWebhookSecret", vars{"webhookId": "ops"}); p.Secret == nil || *p.Secret == *made.Secret {
		t.Errorf("rotated %+v", p)
	}
	if p := mutate("testWebhook", vars{"webhookId": "ops"}); p.DeliveryID == nil || p.Secret != nil || len(p.Webhook.Deliveries) != 1 ||
		p.Webhook.Deliveries[0].DeliveryID != *p.DeliveryID || p.Webhook.Deliveries[0].State != "PENDING" {
		t.Errorf("tested %+v", p)
	}
	if p := mutate("updateWebhook", vars{"webhookId": "ops", "url": "https://example.com/other", "format": "SLACK", "disabled": "moved"}); p.Webhook == nil ||
		p.Webhook.URL != "https://example.com/other" || p.Webhook.Format != "SLACK" || p.Webhook.Disabled == nil {
		t.Errorf("updated %+v", p)
	}
	in := vars{"ruleId": "r1", "kind": "FAILURE_RATE", "threshold": 5, "window": "15m", "webhooks": []string{"ops"}}
	if p := mutate("createAlertRule", in); len(p.Errors) > 0 || p.Rule.State != "OK" || p.Rule.Severity != "WARNING" || *p.Rule.Window != "15m0s" ||
		p.Rule.InstanceID != "alert/default/r1" || len(p.Rule.Webhooks) != 1 {
		t.Errorf("made %+v", p)
	}
	if p := mutate("updateAlertRule", vars{"ruleId": "r1", "kind": "STUCK", "threshold": 2, "window": "2d", "severity": "CRITICAL"}); len(p.Errors) > 0 ||
		p.Rule.Kind != "STUCK" || *p.Rule.Window != "48h0m0s" || len(p.Rule.Webhooks) != 0 {
		t.Errorf("updated %+v", p)
	}
	if p := mutate("muteAlertRule", vars{"ruleId": "r1", "until": "2026-01-01T00:00:00Z"}); len(p.Errors) > 0 || p.Rule.MutedUntil == nil {
		t.Errorf("muted %+v", p)
	}
	if p := mutate("muteAlertRule", vars{"ruleId": "r1"}); len(p.Errors) > 0 || p.Rule.MutedUntil != nil {
		t.Errorf("unmuted %+v", p)
	}
	for _, c := range []struct {
		field      string
		in         vars
		code, path string
	}{
		{"createAlertRule", in, "ALREADY_EXISTS", "ruleId"},
		{"createAlertRule", vars{"ruleId": "r2", "kind": "NO_WORKER", "threshold": 0}, "INVALID_ARGUMENT", "threshold"},
		{"createAlertRule", vars{"ruleId": "r2", "kind": "NO_WORKER", "threshold": 1, "interval": "0s"}, "INVALID_ARGUMENT", "interval"},
		{"createAlertRule", vars{"ruleId": "r2", "kind": "NO_WORKER", "threshold": 1, "for": "soon"}, "INVALID_ARGUMENT", "for"},
		{"createAlertRule", vars{"ruleId": "r2", "kind": "NO_WORKER", "threshold": 1, "webhooks": []string{"x"}}, "INVALID_ARGUMENT", "webhooks"},
		{"updateAlertRule", vars{"ruleId": "r2", "kind": "NO_WORKER", "threshold": 1}, "NOT_FOUND", "ruleId"},
		{"muteAlertRule", vars{"ruleId": "r2"}, "NOT_FOUND", "ruleId"},
		{"muteAlertRule", vars{"ruleId": "r1", "until": "2100-01-01T00:00:00Z"}, "INVALID_ARGUMENT", "until"},
		{"deleteAlertRule", vars{"ruleId": "r2"}, "NOT_FOUND", "ruleId"},
		{"createWebhook", vars{"webhookId": "ops", "url": "https://example.com"}, "ALREADY_EXISTS", "webhookId"},
		{"createWebhook", vars{"webhookId": "two", "url": "http://example.com"}, "INVALID_ARGUMENT", "url"},
		{"testWebhook", vars{"webhookId": "ops"}, "FAILED_PRECONDITION", "webhookId"},
		{"rotateWebhookSecret", vars{"webhookId": "two"}, "NOT_FOUND", "webhookId"},
		{"updateWebhook", vars{"webhookId": "two", "url": "https://example.com"}, "NOT_FOUND", "webhookId"},
		{"deleteWebhook", vars{"webhookId": "two"}, "NOT_FOUND", "webhookId"},
	} {
		if p := mutate(c.field, c.in); len(p.Errors) != 1 || p.Errors[0].Code != c.code || p.Errors[0].Path[len(p.Errors[0].Path)-1] != c.path {
			t.Errorf("%s %v: %+v", c.field, c.in, p.Errors)
		}
	}
	mutate("createAlertRule", vars{"ruleId": "r0", "kind": "DEAD_LETTERS", "threshold": 1})
	type page struct {
		Nodes    []struct{ RuleID string }
		PageInfo struct {
			HasNextPage bool
			EndCursor   *string
		}
	}
	const list = `query($after: String) { alertRules(hub: "default", first: 1, after: $after) { nodes { ruleId } pageInfo { hasNextPage endCursor } } }`
	one := ask[struct{ AlertRules page }](a, list, nil).AlertRules
	if len(one.Nodes) != 1 || one.Nodes[0].RuleID != "r0" || !one.PageInfo.HasNextPage {
		t.Fatalf("listed %+v", one)
	}
	if two := ask[struct{ AlertRules page }](a, list, vars{"after": *one.PageInfo.EndCursor}).AlertRules; len(two.Nodes) != 1 || two.Nodes[0].RuleID != "r1" || two.PageInfo.HasNextPage {
		t.Errorf("listed %+v", two)
	}
	if e := a.refused(`query($after: String) { webhooks(hub: "default", after: $after) { nodes { url } } }`, vars{"after": *one.PageInfo.EndCursor}); e.Extensions.Code != "BAD_CURSOR" {
		t.Errorf("a foreign cursor: %+v", e)
	}
	for _, c := range []struct {
		field string
		in    vars
	}{{"deleteAlertRule", vars{"ruleId": "r0"}}, {"deleteAlertRule", vars{"ruleId": "r1"}}, {"deleteWebhook", vars{"webhookId": "ops"}}} {
		if p := mutate(c.field, c.in); len(p.Errors) > 0 || p.Rule != nil || p.Webhook != nil {
			t.Errorf("%s: %+v", c.field, p)
		}
	}
}
