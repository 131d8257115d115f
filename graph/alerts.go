package graph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// alertSpec reads the API's form of a rule. Errors: INVALID_ARGUMENT.
func alertSpec(in *model.AlertRuleInput) (engine.AlertSpec, error) {
	s := engine.AlertSpec{
		Names: in.Names.Value(), Threshold: in.Threshold, Webhooks: in.Webhooks.Value(), Minimum: int64(deref(in.Minimum.Value())),
	}
	if err := errors.Join(s.Kind.UnmarshalText([]byte(in.Kind)), s.Severity.UnmarshalText([]byte(in.Severity))); err != nil {
		return s, err
	}
	for _, l := range []struct {
		field string
		value *string
		into  *time.Duration
	}{{"window", in.Window.Value(), &s.Window}, {"interval", in.Interval.Value(), &s.Interval}, {"for", in.For.Value(), &s.For}, {"calm", in.Calm.Value(), &s.Calm}} {
		if l.value == nil {
			continue
		}
		var err error
		if *l.into, err = engine.ParseLength(l.field, *l.value); err != nil {
			return s, err
		}
		if l.field == "interval" && s.Interval == 0 { // which is a minute to the engine
			return s, &engine.Error{Code: engine.CodeInvalid, Field: "interval", Message: "is 0s, allowed are 1s to 24h; leave it out for a minute"}
		}
	}
	return s, nil
}

// alertRule reads a rule; nil if there is none.
func (r *Resolver) alertRule(ctx context.Context, hub, id string) (*model.AlertRule, error) {
	rule, err := absent(r.engine.AlertRule(ctx, hub, id))
	if rule == nil || err != nil {
		return nil, err
	}
	return &model.AlertRule{AlertRule: rule}, nil
}

// alertChanged is the payload of a mutation: the rule as it is afterwards.
func (r *Resolver) alertChanged(ctx context.Context, hub, id string, err error) (*model.AlertRulePayload, error) {
	errs, err := userErrors(renamed(err, map[string]string{"id": "ruleId"}))
	if err != nil {
		return nil, err
	}
	rule, err := r.alertRule(ctx, hub, id)
	if err != nil {
		return nil, err
	}
	return &model.AlertRulePayload{Rule: rule, Errors: errs, RequestID: requestID(ctx)}, nil
}

// alertRules reads a page of a hub's rules.
func (r *Resolver) alertRules(ctx context.Context, hub string, first int, after *string) (*model.AlertRuleConnection, error) {
	list := fmt.Sprintf("alert rules %q", hub)
	from, err := r.listFrom(list, first, after)
	if err != nil {
		return nil, err
	}
	found, err := r.engine.AlertRules(ctx, hub, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(rule *engine.AlertRule) string { return r.cursors.seal(list, rule.ID) },
		func(rule *engine.AlertRule) *model.AlertRule { return &model.AlertRule{AlertRule: rule} },
		func(cursor string, node *model.AlertRule) *model.AlertRuleEdge {
			return &model.AlertRuleEdge{Cursor: cursor, Node: node}
		})
	return &model.AlertRuleConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

// listFrom reads where a page of a list by id begins.
func (r *Resolver) listFrom(list string, first int, after *string) (from string, err error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return "", err
	}
	if after != nil {
		err = r.cursors.open(list, *after, &from)
	}
	return from, err
}

// webhookChanged is the payload of a mutation: the webhook as it is afterwards.
func (r *Resolver) webhookChanged(ctx context.Context, hub, id, secret, delivery string, err error) (*model.WebhookPayload, error) {
	errs, err := userErrors(renamed(err, map[string]string{"id": "webhookId"}))
	if err != nil {
		return nil, err
	}
	out := &model.WebhookPayload{Secret: text(secret), DeliveryID: text(delivery), Errors: errs, RequestID: requestID(ctx)}
	w, err := absent(r.engine.Webhook(ctx, hub, id))
	if w != nil {
		out.Webhook = &model.Webhook{Webhook: w}
	}
	return out, err
}

// webhooks reads a page of a hub's webhooks.
func (r *Resolver) webhooks(ctx context.Context, hub string, first int, after *string) (*model.WebhookConnection, error) {
	list := fmt.Sprintf("webhooks %q", hub)
	from, err := r.listFrom(list, first, after)
	if err != nil {
		return nil, err
	}
	found, err := r.engine.Webhooks(ctx, hub, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(w *engine.Webhook) string { return r.cursors.seal(list, w.ID) },
		func(w *engine.Webhook) *model.Webhook { return &model.Webhook{Webhook: w} },
		func(cursor string, node *model.Webhook) *model.WebhookEdge {
			return &model.WebhookEdge{Cursor: cursor, Node: node}
		})
	return &model.WebhookConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}
