package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

// AlertMessage is the body that is sent to a webhook of format GENERIC: version 1. Fields are only ever added.
type AlertMessage struct {
	Version int `json:"version"`
	// Type is weir.alert.firing, weir.alert.resolved, or weir.alert.test.
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      AlertData `json:"data"`
}

// AlertData is what an alert is about.
type AlertData struct {
	Hub      string   `json:"hub"`
	Rule     string   `json:"rule"`
	Kind     string   `json:"kind,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Names    []string `json:"names,omitempty"`
	// Incident counts how often the rule began to fire: the alert that resolves has that of the one that fired.
	Incident  int64   `json:"incident"`
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	Detail    string  `json:"detail"`
}

// alertMessageVersion is that of AlertMessage.
const alertMessageVersion = 1

// encode writes the body in a webhook's format.
func (m *AlertMessage) encode(f WebhookFormat) ([]byte, error) {
	if f == WebhookSlack {
		what := map[string]string{"weir.alert.firing": "Firing", "weir.alert.resolved": "Resolved", "weir.alert.test": "Test"}[m.Type]
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
		text := fmt.Sprintf("*%s* %s: %s (hub %s): %s", what, m.Data.Severity, escape(m.Data.Rule), m.Data.Hub, escape(m.Data.Detail))
		return json.Marshal(map[string]string{"text": text})
	}
	return json.Marshal(m)
}

// EvaluateAlert looks at what a rule is about, and stores how the rule stands then; in the same commit it writes down what
// webhooks are to be told, which Deliveries gives out. A look that fails leaves the state as it is, and is told by the rule's Error.
// Errors: NOT_FOUND when there is no such rule any more.
func (e *Engine) EvaluateAlert(ctx context.Context, hubName, id string) (*AlertRule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	looked, err := e.AlertRule(ctx, hubName, id)
	if err != nil {
		return nil, err
	}
	m, failed := e.measureAlert(ctx, hub, &looked.AlertSpec)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	now, err := e.Now(ctx)
	if err != nil {
		return nil, err
	}
	var r *AlertRule
	err = pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		row, err := e.q.LockAlertRule(ctx, tx, store.LockAlertRuleParams{Hub: hub.no, ID: id})
		if r, err = foundAlertRule(hubName, id, &row, err); err != nil {
			return err
		}
		if !r.UpdatedAt.Equal(looked.UpdatedAt) { // it was changed meanwhile: what was measured is not what it asks for
			return nil
		}
		if failed != nil {
			r.Error, r.EvaluatedAt = printable(failed.Error()), now
		} else if r.step(m.value, printable(m.detail), now) && !r.Muted(now) {
			if err := e.tell(ctx, tx, hub, r, now); err != nil {
				return err
			}
		}
		return e.q.RecordAlert(ctx, tx, store.RecordAlertParams{
			No: r.no, EvaluatedAt: &r.EvaluatedAt, TurningAt: orNil(r.turningAt), FiringSince: orNil(r.FiringSince), Incident: r.Incident,
			State: int16(r.State), Value: r.Value, Detail: r.Detail, Error: r.Error,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate rule: %w", err)
	}
	return r, nil
}

// tell writes down what the webhooks of a rule are to be told of its change.
func (e *Engine) tell(ctx context.Context, tx pgx.Tx, hub *Hub, r *AlertRule, now time.Time) error {
	event := "resolved"
	if r.State == AlertFiring {
		event = "firing"
	}
	m := r.message("weir.alert."+event, now)
	return e.deliver(ctx, tx, hub, r, m)
}

func (r *AlertRule) message(kind string, now time.Time) *AlertMessage {
	return &AlertMessage{Version: alertMessageVersion, Type: kind, Timestamp: now.UTC(), Data: AlertData{
		Hub: r.Hub, Rule: r.ID, Kind: r.Kind.String(), Severity: r.Severity.String(), Names: r.Names, Incident: r.Incident,
		Value: deref(r.Value), Threshold: r.Threshold, Detail: r.Detail,
	}}
}

// deliver writes a message down for each webhook of a rule that is enabled.
func (e *Engine) deliver(ctx context.Context, db store.DBTX, hub *Hub, r *AlertRule, m *AlertMessage) error {
	found, err := e.q.FindWebhooks(ctx, db, store.FindWebhooksParams{Hub: hub.no, Ids: slices.Clone(r.Webhooks)})
	if err != nil {
		return fmt.Errorf("find webhooks: %w", err)
	}
	for i := range found {
		w := &found[i]
		if w.DisabledAt != nil {
			continue
		}
		body, err := m.encode(WebhookFormat(w.Format))
		if err != nil {
			return fmt.Errorf("write alert: %w", err)
		}
		if err := e.q.InsertDelivery(ctx, db, store.InsertDeliveryParams{
			ID: "alert_" + newUUID(), Webhook: w.No, Rule: r.ID, Body: body,
		}); err != nil {
			return fmt.Errorf("write delivery: %w", err)
		}
	}
	return nil
}

// TestWebhook has a message sent that says that it is a test, and returns the id of the delivery. Errors: NOT_FOUND,
// FAILED_PRECONDITION when the webhook is disabled.
func (e *Engine) TestWebhook(ctx context.Context, hubName, id string) (string, error) {
	w, err := e.Webhook(ctx, hubName, id)
	if err != nil {
		return "", err
	}
	if !w.DisabledAt.IsZero() {
		return "", &Error{Code: CodeWrongState, Field: "id", Message: fmt.Sprintf("the webhook %q is disabled: %s", id, w.Disabled)}
	}
	m := &AlertMessage{Version: alertMessageVersion, Type: "weir.alert.test", Timestamp: time.Now().UTC(), Data: AlertData{Hub: hubName, Detail: "This is a test."}}
	body, err := m.encode(w.Format)
	if err != nil {
		return "", fmt.Errorf("write test: %w", err)
	}
	delivery := "test_" + newUUID()
	if err := e.q.InsertDelivery(ctx, e.pool, store.InsertDeliveryParams{ID: delivery, Webhook: w.no, Body: body}); err != nil {
		return "", fmt.Errorf("write delivery: %w", err)
	}
	return delivery, nil
}

// DeliveryState is how a delivery stands.
type DeliveryState int16

// The states of deliveries.
const (
	DeliveryPending DeliveryState = iota
	DeliveryDone
	DeliveryGivenUp
)

// String is the state's name in the API.
func (s DeliveryState) String() string {
	return enumName("DeliveryState", []string{"PENDING", "DELIVERED", "GIVEN_UP"}, int16(s))
}

// Delivery is a message for a webhook.
type Delivery struct {
	// ID is sent as webhook-id, the same with every attempt; its orchestration in SystemHub has that id.
	ID string
	// Rule is the id of the rule; empty for a test.
	Rule     string
	State    DeliveryState
	Attempts int
	// Answer is the HTTP status of the last attempt; 0 if there was none. Error says what went wrong.
	Answer        int
	Error         string
	CreatedAt     time.Time
	NextAttemptAt time.Time // zero if there is none
	FinishedAt    time.Time // zero if it is pending
	Body          []byte
}

func readDelivery(row *store.WebhookDelivery) *Delivery {
	return &Delivery{
		ID: row.ID, Rule: row.Rule, State: DeliveryState(row.State), Attempts: int(row.Attempts), Answer: int(row.Answer), Error: row.Error,
		CreatedAt: row.CreatedAt.UTC(), NextAttemptAt: orZero(row.NextAt), FinishedAt: orZero(row.FinishedAt), Body: row.Body,
	}
}

// Deliveries lists the newest deliveries to a webhook, at most limit, 1 to 1000. They are kept for 30 days after they are over.
func (e *Engine) Deliveries(ctx context.Context, w *Webhook, limit int) ([]*Delivery, error) {
	if err := inRange("limit", int64(limit), 1, maxAlertList); err != nil {
		return nil, err
	}
	rows, err := e.q.ListDeliveries(ctx, e.pool, store.ListDeliveriesParams{Webhook: w.no, Chunk: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	out := make([]*Delivery, len(rows))
	for i := range rows {
		out[i] = readDelivery(&rows[i])
	}
	return out, nil
}

// Sending is what it takes to send a delivery.
type Sending struct {
	Delivery *Delivery
	Webhook  *Webhook
	// Secrets sign it: that of the webhook, and for a while the one before.
	Secrets [][]byte
}

// Sending reads what it takes to send a delivery. Errors: NOT_FOUND when it, or its webhook, is gone.
func (e *Engine) Sending(ctx context.Context, id string) (*Sending, error) {
	row, err := e.q.GetDelivery(ctx, e.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, &Error{Code: CodeNotFound, Field: "id", Message: fmt.Sprintf("there is no delivery %.100q", id)}
	}
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	hub, err := e.hubByNo(ctx, row.Webhook.Hub)
	if err != nil {
		return nil, err
	}
	s := &Sending{Delivery: readDelivery(&row.WebhookDelivery), Webhook: readWebhook(hub.Name, &row.Webhook)}
	sealed := [][]byte{row.Webhook.Secret}
	if u := row.Webhook.OldUntil; u != nil && time.Now().Before(*u) {
		sealed = append(sealed, row.Webhook.OldSecret)
	}
	for _, one := range sealed {
		secret, err := e.openSecret(ctx, hub.no, row.Webhook.ID, one)
		if err != nil {
			return nil, err
		}
		s.Secrets = append(s.Secrets, secret)
	}
	return s, nil
}

// Attempted is what became of an attempt to send a delivery.
type Attempted struct {
	// Attempts counts those that were made, this one included.
	Attempts int
	State    DeliveryState
	Answer   int
	Error    string
	// Wait is until the next attempt.
	Wait time.Duration
	// Disable is why nothing is to be sent to the webhook any more; empty: it is.
	Disable string
}

// RecordDelivery stores what became of an attempt. A delivery that is over stays as it is.
func (e *Engine) RecordDelivery(ctx context.Context, s *Sending, a *Attempted) error {
	err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if a.Disable != "" {
			if err := e.q.DisableWebhook(ctx, tx, store.DisableWebhookParams{No: s.Webhook.no, Reason: a.Disable}); err != nil {
				return err
			}
		}
		return e.q.RecordDelivery(ctx, tx, store.RecordDeliveryParams{
			ID: s.Delivery.ID, Attempts: int32(a.Attempts), State: int16(a.State), Answer: int16(a.Answer), Error: printable(a.Error), Wait: a.Wait.Seconds(),
		})
	})
	if err != nil {
		return fmt.Errorf("record delivery: %w", err)
	}
	return nil
}

// deliveriesKept is how long deliveries are kept that are over.
const deliveriesKept = 30 * day

// AlertWork is what the orchestrations of alerts have to be started for, or told.
type AlertWork struct {
	// Any tells whether there are rules, deliveries, or orchestrations that live.
	Any bool
	// Unwatched are rules that no orchestration watches, Changed those that were changed since theirs looked.
	Unwatched, Changed []AlertRef
	// Deliveries are the ids of those that no orchestration has.
	Deliveries []string
}

// AlertRef names a rule.
type AlertRef struct {
	Hub string `json:"hub"`
	ID  string `json:"id"`
}

// InstanceID is as AlertRule's.
func (r AlertRef) InstanceID() string { return (&AlertRule{Hub: r.Hub, ID: r.ID}).InstanceID() }

// AlertWork looks for what is to be done, and forgets old deliveries.
func (e *Engine) AlertWork(ctx context.Context) (*AlertWork, error) {
	var (
		w   AlertWork
		err error
	)
	if w.Any, err = e.q.AnyAlerts(ctx, e.pool, SystemHub); err != nil || !w.Any {
		return &w, wrap("look for alerts", err)
	}
	if err := e.EnsureHub(ctx, SystemHub); err != nil {
		return nil, err
	}
	hub, err := e.hub(ctx, SystemHub)
	if err != nil {
		return nil, err
	}
	rows, err := e.q.UnwatchedAlertRules(ctx, e.pool, hub.no)
	if err != nil {
		return nil, fmt.Errorf("look for alerts: %w", err)
	}
	for _, r := range rows {
		if ref := (AlertRef{r.Hub, r.ID}); r.Watched {
			w.Changed = append(w.Changed, ref)
		} else {
			w.Unwatched = append(w.Unwatched, ref)
		}
	}
	if _, err := e.q.ForgetDeliveries(ctx, e.pool, deliveriesKept.Seconds()); err != nil {
		return nil, fmt.Errorf("forget deliveries: %w", err)
	}
	w.Deliveries, err = e.q.WaitingDeliveries(ctx, e.pool)
	return &w, wrap("look for deliveries", err)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// DeliveriesStarted notes that orchestrations have these deliveries.
func (e *Engine) DeliveriesStarted(ctx context.Context, ids []string) error {
	return wrap("note deliveries", e.q.SetDeliveriesStarted(ctx, e.pool, ids))
}
