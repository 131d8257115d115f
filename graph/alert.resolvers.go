package graph

// The resolvers of alert.graphqls. A field that is new there does not compile until it has its method here.

import (
	"context"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// CreateAlertRule is the resolver for the createAlertRule field.
func (r *mutationResolver) CreateAlertRule(ctx context.Context, input model.AlertRuleInput) (*model.AlertRulePayload, error) {
	s, err := alertSpec(&input)
	if err == nil {
		_, err = r.engine.CreateAlertRule(ctx, input.Hub, input.RuleID, s)
	}
	return r.alertChanged(ctx, input.Hub, input.RuleID, err)
}

// UpdateAlertRule is the resolver for the updateAlertRule field.
func (r *mutationResolver) UpdateAlertRule(ctx context.Context, input model.AlertRuleInput) (*model.AlertRulePayload, error) {
	s, err := alertSpec(&input)
	if err == nil {
		_, err = r.engine.UpdateAlertRule(ctx, input.Hub, input.RuleID, s)
	}
	return r.alertChanged(ctx, input.Hub, input.RuleID, err)
}

// MuteAlertRule is the resolver for the muteAlertRule field.
func (r *mutationResolver) MuteAlertRule(ctx context.Context, input model.MuteAlertRuleInput) (*model.AlertRulePayload, error) {
	_, err := r.engine.MuteAlertRule(ctx, input.Hub, input.RuleID, deref(input.Until.Value()))
	return r.alertChanged(ctx, input.Hub, input.RuleID, err)
}

// DeleteAlertRule is the resolver for the deleteAlertRule field.
func (r *mutationResolver) DeleteAlertRule(ctx context.Context, input model.DeleteAlertRuleInput) (*model.AlertRulePayload, error) {
	return r.alertChanged(ctx, input.Hub, input.RuleID, r.engine.DeleteAlertRule(ctx, input.Hub, input.RuleID))
}

// CreateWebhook is the resolver for the createWebhook field.
func (r *mutationResolver) CreateWebhook(ctx context.Context, input model.CreateWebhookInput) (*model.WebhookPayload, error) {
	s, err := webhookSpec(input.URL, input.Format)
	var secret string
	if err == nil {
		_, secret, err = r.engine.CreateWebhook(ctx, input.Hub, input.WebhookID, s)
	}
	return r.webhookChanged(ctx, input.Hub, input.WebhookID, secret, "", err)
}

// UpdateWebhook is the resolver for the updateWebhook field.
func (r *mutationResolver) UpdateWebhook(ctx context.Context, input model.UpdateWebhookInput) (*model.WebhookPayload, error) {
	s, err := webhookSpec(input.URL, input.Format)
	s.Disabled = deref(input.Disabled.Value())
	if err == nil {
		_, err = r.engine.UpdateWebhook(ctx, input.Hub, input.WebhookID, s)
	}
	return r.webhookChanged(ctx, input.Hub, input.WebhookID, "", "", err)
}

// RotateWebhookSecret is the resolver for the rotateWebhookSecret field.
func (r *mutationResolver) RotateWebhookSecret(ctx context.Context, input model.RotateWebhookSecretInput) (*model.WebhookPayload, error) {
	_, secret, err := r.engine.RotateWebhookSecret(ctx, input.Hub, input.WebhookID)
	return r.webhookChanged(ctx, input.Hub, input.WebhookID, secret, "", err)
}

// TestWebhook is the resolver for the testWebhook field.
func (r *mutationResolver) TestWebhook(ctx context.Context, input model.TestWebhookInput) (*model.WebhookPayload, error) {
	delivery, err := r.engine.TestWebhook(ctx, input.Hub, input.WebhookID)
	return r.webhookChanged(ctx, input.Hub, input.WebhookID, "", delivery, err)
}

// DeleteWebhook is the resolver for the deleteWebhook field.
func (r *mutationResolver) DeleteWebhook(ctx context.Context, input model.DeleteWebhookInput) (*model.WebhookPayload, error) {
	return r.webhookChanged(ctx, input.Hub, input.WebhookID, "", "", r.engine.DeleteWebhook(ctx, input.Hub, input.WebhookID))
}

// AlertRule is the resolver for the alertRule field.
func (r *queryResolver) AlertRule(ctx context.Context, hub, ruleID string) (*model.AlertRule, error) {
	return r.alertRule(ctx, hub, ruleID)
}

// AlertRules is the resolver for the alertRules field.
func (r *queryResolver) AlertRules(ctx context.Context, hub string, first int32, after *string) (*model.AlertRuleConnection, error) {
	return r.alertRules(ctx, hub, int(first), after)
}

// Webhooks is the resolver for the webhooks field.
func (r *queryResolver) Webhooks(ctx context.Context, hub string, first int32, after *string) (*model.WebhookConnection, error) {
	return r.webhooks(ctx, hub, int(first), after)
}

// Deliveries is the resolver for the deliveries field.
func (r *webhookResolver) Deliveries(ctx context.Context, obj *model.Webhook, first int32) ([]*model.WebhookDelivery, error) {
	if err := check("first", int(first), 1, maxPage); err != nil {
		return nil, err
	}
	found, err := r.engine.Deliveries(ctx, obj.Webhook, int(first))
	if err != nil {
		return nil, err
	}
	out := make([]*model.WebhookDelivery, len(found))
	for i, d := range found {
		out[i] = &model.WebhookDelivery{Delivery: d}
	}
	return out, nil
}

// Webhook returns generated.WebhookResolver implementation.
func (r *Resolver) Webhook() generated.WebhookResolver { return &webhookResolver{r} }

type webhookResolver struct{ *Resolver }

func webhookSpec(url string, format model.WebhookFormat) (engine.WebhookSpec, error) {
	s := engine.WebhookSpec{URL: url}
	return s, s.Format.UnmarshalText([]byte(format))
}
