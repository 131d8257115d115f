package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

// WebhookFormat is what a webhook is sent.
type WebhookFormat int16

// The formats.
const (
	// WebhookGeneric is the document that docs/alerts.md describes.
	WebhookGeneric WebhookFormat = iota
	// WebhookSlack is a text, as Slack's incoming webhooks and those of others that follow them take it.
	WebhookSlack
)

var webhookFormats = []string{"GENERIC", "SLACK"}

// String is the format's name in the API.
func (f WebhookFormat) String() string { return enumName("WebhookFormat", webhookFormats, int16(f)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *WebhookFormat) UnmarshalText(text []byte) error {
	n, err := enumNumber("format", webhookFormats, string(text))
	*f = WebhookFormat(n)
	return err
}

// WebhookSpec is what people say about a webhook.
type WebhookSpec struct {
	// URL is https, at most 2000 characters, and names neither user nor password. For a receiver on the server's own machine,
	// it may be http.
	URL    string
	Format WebhookFormat
	// Disabled says why nothing is to be sent there, at most 200 characters; empty: it is enabled.
	Disabled string
}

// Webhook is where alerts are sent to.
type Webhook struct {
	WebhookSpec
	Hub                  string
	ID                   string
	DisabledAt           time.Time // zero if it is enabled
	CreatedAt, UpdatedAt time.Time
	// OldUntil is until when the secret before the last rotation signs too; zero if it was never rotated.
	OldUntil time.Time

	no int64
}

// Bounds of webhooks.
const (
	maxWebhooks   = 100
	maxWebhookURL = 2000
	// secretOverlap is how long the secret before a rotation signs too.
	secretOverlap = day
)

func (s *WebhookSpec) check() error {
	if s.Format < 0 || int(s.Format) >= len(webhookFormats) {
		return invalid("format", "%d is no format", s.Format)
	}
	if err := first(checkText("url", s.URL, maxWebhookURL, false), checkText("disabled", s.Disabled, 200, true)); err != nil {
		return err
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Hostname() == "":
		return invalid("url", "is not an absolute URL, such as https://example.com/hook")
	case u.User != nil:
		return invalid("url", "must not name a user or password: receivers know by the signature who sends")
	case u.Fragment != "":
		return invalid("url", "must not have a fragment")
	case u.Scheme == "https" || u.Scheme == "http" && isLoopbackHost(u.Hostname()):
		return nil
	}
	return invalid("url", "has the scheme %.20q, allowed is https, and http for receivers on localhost", u.Scheme)
}

func isLoopbackHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback() || strings.EqualFold(host, "localhost")
}

func webhookNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "id", Message: fmt.Sprintf("there is no webhook %.100q", id)}
}

// CreateWebhook makes a webhook, and returns the secret that signs what is sent there: it is not told again. A hub has at most
// 100. Errors: INVALID_ARGUMENT, NOT_FOUND (hub), ALREADY_EXISTS, FAILED_PRECONDITION when there are too many.
func (e *Engine) CreateWebhook(ctx context.Context, hubName, id string, s WebhookSpec) (w *Webhook, secret string, err error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, "", err
	}
	if err := first(checkAlertID(id), s.check()); err != nil {
		return nil, "", err
	}
	if s.Disabled != "" {
		return nil, "", invalid("disabled", "is for a webhook that exists")
	}
	secret, sealed, err := e.newWebhookSecret(ctx, hub.no, id)
	if err != nil {
		return nil, "", err
	}
	row, err := e.q.InsertWebhook(ctx, e.pool, store.InsertWebhookParams{
		Hub: hub.no, ID: id, Url: s.URL, Format: int16(s.Format), Secret: sealed, Most: maxWebhooks,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := e.Webhook(ctx, hubName, id); !errors.Is(err, ErrNotFound) {
			return nil, "", errors.Join(err, &Error{Code: CodeAlreadyExists, Field: "id", Message: fmt.Sprintf("there is a webhook %q already", id)})
		}
		return nil, "", &Error{Code: CodeWrongState, Field: "hub", Message: fmt.Sprintf("the hub has %d webhooks already", maxWebhooks)}
	}
	if err != nil {
		return nil, "", fmt.Errorf("create webhook: %w", err)
	}
	return readWebhook(hubName, &row), secret, nil
}

// UpdateWebhook replaces what a webhook says. Errors: INVALID_ARGUMENT, NOT_FOUND.
func (e *Engine) UpdateWebhook(ctx context.Context, hubName, id string, s WebhookSpec) (*Webhook, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	row, err := e.q.UpdateWebhook(ctx, e.pool, store.UpdateWebhookParams{
		Hub: hub.no, ID: printable(id), Url: s.URL, Format: int16(s.Format), Enabled: s.Disabled == "", Reason: s.Disabled,
	})
	return foundWebhook(hubName, id, &row, err)
}

// RotateWebhookSecret gives a webhook a new secret, which is not told again. For a day what is sent is signed with the one before
// too, so that receivers can be told meanwhile. Errors: NOT_FOUND.
func (e *Engine) RotateWebhookSecret(ctx context.Context, hubName, id string) (w *Webhook, secret string, err error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, "", err
	}
	secret, sealed, err := e.newWebhookSecret(ctx, hub.no, id)
	if err != nil {
		return nil, "", err
	}
	row, err := e.q.RotateWebhook(ctx, e.pool, store.RotateWebhookParams{Hub: hub.no, ID: printable(id), Secret: sealed, Overlap: secretOverlap.Seconds()})
	w, err = foundWebhook(hubName, id, &row, err)
	if err != nil {
		return nil, "", err
	}
	return w, secret, nil
}

// DeleteWebhook deletes a webhook, and what was to be sent there. Rules that name it tell the others. Errors: NOT_FOUND.
func (e *Engine) DeleteWebhook(ctx context.Context, hubName, id string) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	n, err := e.q.DeleteWebhook(ctx, e.pool, store.DeleteWebhookParams{Hub: hub.no, ID: printable(id)})
	if err != nil {
		return fmt.Errorf("delete webhook: %w", err)
	}
	if n == 0 {
		return webhookNotFound(id)
	}
	return nil
}

// Webhook reads a webhook. Errors: NOT_FOUND.
func (e *Engine) Webhook(ctx context.Context, hubName, id string) (*Webhook, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	row, err := e.q.GetWebhook(ctx, e.pool, store.GetWebhookParams{Hub: hub.no, ID: printable(id)})
	return foundWebhook(hubName, id, &row, err)
}

// Webhooks lists a hub's webhooks by id: at most limit, 1 to 1000, after an id. Errors: NOT_FOUND (hub), INVALID_ARGUMENT.
func (e *Engine) Webhooks(ctx context.Context, hubName, after string, limit int) ([]*Webhook, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := inRange("limit", int64(limit), 1, maxAlertList); err != nil {
		return nil, err
	}
	rows, err := e.q.ListWebhooks(ctx, e.pool, store.ListWebhooksParams{Hub: hub.no, After: after, Chunk: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	out := make([]*Webhook, len(rows))
	for i := range rows {
		out[i] = readWebhook(hubName, &rows[i])
	}
	return out, nil
}

func foundWebhook(hub, id string, row *store.Webhook, err error) (*Webhook, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, webhookNotFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return readWebhook(hub, row), nil
}

func readWebhook(hub string, row *store.Webhook) *Webhook {
	return &Webhook{
		WebhookSpec: WebhookSpec{row.Url, WebhookFormat(row.Format), row.Disabled}, Hub: hub, ID: row.ID, DisabledAt: orZero(row.DisabledAt),
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(), OldUntil: orZero(row.OldUntil), no: row.No,
	}
}
