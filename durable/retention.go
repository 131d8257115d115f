package durable

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Retention is a rule for how long instances of the client's hub are kept that have ended. Of the rules that fit an
// instance the one that says most counts: name and status, before name, before status, before neither. Without a rule it
// is kept for ever.
type Retention struct {
	// Name is the orchestration's; empty = any.
	Name string
	// Status is COMPLETED, FAILED, CANCELED or TERMINATED; empty = any.
	Status string
	// Keep is how long, from its end, a minute to a hundred years; 0 = for ever.
	Keep time.Duration
}

// SetRetention makes a rule, or replaces the one of that name and status. From then on workers and servers purge what is no
// longer to be kept, within about a minute, a hundred in a commit; children go by the rules themselves. Errors: ErrInvalid,
// ErrWrongState when there are 1000 rules.
func (c *Client) SetRetention(ctx context.Context, r Retention) error {
	e, err := c.engine(ctx)
	if err != nil {
		return err
	}
	status, err := r.status()
	if err != nil {
		return err
	}
	return e.SetRetention(ctx, c.hub, engine.Retention{Name: r.Name, Status: status, Keep: r.Keep})
}

// DeleteRetention takes back the rule of a name and a status, each empty for any. Errors: ErrInvalid, ErrNotFound.
func (c *Client) DeleteRetention(ctx context.Context, name, status string) error {
	e, err := c.engine(ctx)
	if err != nil {
		return err
	}
	s, err := (&Retention{Status: status}).status()
	if err != nil {
		return err
	}
	return e.DeleteRetention(ctx, c.hub, name, s)
}

// Retentions lists the rules by name and status, those for any first.
func (c *Client) Retentions(ctx context.Context) ([]Retention, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := e.Retentions(ctx, c.hub)
	if err != nil {
		return nil, err
	}
	out := make([]Retention, len(rules))
	for n, r := range rules {
		out[n] = Retention{Name: r.Name, Keep: r.Keep}
		if r.Status != nil {
			out[n].Status = r.Status.String()
		}
	}
	return out, nil
}

func (r *Retention) status() (*history.Status, error) {
	if r.Status == "" {
		return nil, nil
	}
	s, err := statusNamed("status", r.Status)
	return &s, err
}
