package model

import (
	"time"

	"github.com/weir-dev/weir/engine"
)

// AlertRule is a rule that watches a hub.
type AlertRule struct{ *engine.AlertRule }

// TaskHub is the hub it watches.
func (r *AlertRule) TaskHub() *TaskHub { return &TaskHub{r.Hub} }

// RuleID is the id that people know.
func (r *AlertRule) RuleID() string { return r.AlertRule.ID }

// Kind is what it watches.
func (r *AlertRule) Kind() AlertKind { return AlertKind(r.AlertRule.Kind.String()) }

// Severity is how much it matters.
func (r *AlertRule) Severity() AlertSeverity { return AlertSeverity(r.AlertRule.Severity.String()) }

// State is how it stands.
func (r *AlertRule) State() AlertState { return AlertState(r.AlertRule.State.String()) }

// Names are what it is about.
func (r *AlertRule) Names() []string { return append([]string{}, r.AlertRule.Names...) }

// Webhooks are who is told.
func (r *AlertRule) Webhooks() []string { return append([]string{}, r.AlertRule.Webhooks...) }

// Window is null where its kind has none.
func (r *AlertRule) Window() *string {
	if r.AlertRule.Window == 0 {
		return nil
	}
	return optional(r.AlertRule.Window.String())
}

// Minimum is of ended instances.
func (r *AlertRule) Minimum() int32 { return int32(r.AlertRule.Minimum) }

// Interval is how often it is looked at.
func (r *AlertRule) Interval() string { return r.AlertRule.Interval.String() }

// For is before it fires.
func (r *AlertRule) For() string { return r.AlertRule.For.String() }

// Calm is before it is resolved.
func (r *AlertRule) Calm() string { return r.AlertRule.Calm.String() }

// MutedUntil is null if it was never muted.
func (r *AlertRule) MutedUntil() *time.Time { return moment(r.AlertRule.MutedUntil) }

// Error is null if the last look did not fail.
func (r *AlertRule) Error() *string { return optional(r.AlertRule.Error) }

// EvaluatedAt is null if it was not looked at.
func (r *AlertRule) EvaluatedAt() *time.Time { return moment(r.AlertRule.EvaluatedAt) }

// FiringSince is null if it does not fire.
func (r *AlertRule) FiringSince() *time.Time { return moment(r.AlertRule.FiringSince) }

// Incident counts how often it began to fire.
func (r *AlertRule) Incident() int32 { return int32(r.AlertRule.Incident) }

// Webhook is where alerts are sent to.
type Webhook struct{ *engine.Webhook }

// TaskHub is the hub whose alerts these are.
func (w *Webhook) TaskHub() *TaskHub { return &TaskHub{w.Hub} }

// WebhookID is the id that people know.
func (w *Webhook) WebhookID() string { return w.Webhook.ID }

// Format is what it is sent.
func (w *Webhook) Format() WebhookFormat { return WebhookFormat(w.Webhook.Format.String()) }

// Disabled is null if it is enabled.
func (w *Webhook) Disabled() *string { return optional(w.Webhook.Disabled) }

// DisabledAt is null if it is enabled.
func (w *Webhook) DisabledAt() *time.Time { return moment(w.Webhook.DisabledAt) }

// OldSecretUntil is null if it was never rotated.
func (w *Webhook) OldSecretUntil() *time.Time { return moment(w.OldUntil) }

// WebhookDelivery is a message for a webhook.
type WebhookDelivery struct{ *engine.Delivery }

// DeliveryID is its webhook-id.
func (d *WebhookDelivery) DeliveryID() string { return d.Delivery.ID }

// RuleID is null for a test.
func (d *WebhookDelivery) RuleID() *string { return optional(d.Rule) }

// State is how it stands.
func (d *WebhookDelivery) State() WebhookDeliveryState {
	return WebhookDeliveryState(d.Delivery.State.String())
}

// Attempts is how many were made.
func (d *WebhookDelivery) Attempts() int32 { return int32(d.Delivery.Attempts) }

// Answer is null if there was none.
func (d *WebhookDelivery) Answer() *int32 { return bound(d.Delivery.Answer) }

// Error is null if nothing was wrong.
func (d *WebhookDelivery) Error() *string { return optional(d.Delivery.Error) }

// NextAttemptAt is null if there is none.
func (d *WebhookDelivery) NextAttemptAt() *time.Time { return moment(d.Delivery.NextAttemptAt) }

// FinishedAt is null if it is pending.
func (d *WebhookDelivery) FinishedAt() *time.Time { return moment(d.Delivery.FinishedAt) }
