package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

const (
	// MinKeep is the shortest time that a rule may have instances kept.
	MinKeep = time.Minute
	// MaxKeep is the longest, besides for ever.
	MaxKeep = 100 * 365 * 24 * time.Hour
	// maxRetention is how many rules a hub may have.
	maxRetention = 1000
	// anyStatus stands for no status in the rows of rules.
	anyStatus = -1
)

// Retention is a rule for how long instances are kept that have ended. Of the rules that fit an instance the one that says
// most counts: name and status, before name, before status, before neither. Without a rule it is kept for ever.
type Retention struct {
	// Name is the orchestration's; empty = any.
	Name string
	// Status is a final one; nil = any.
	Status *history.Status
	// Keep is how long, from its end, a minute to a hundred years; 0 = for ever.
	Keep time.Duration
	// UpdatedAt is when the rule was set.
	UpdatedAt time.Time
}

// check tests what a rule is about.
func (r *Retention) check() error {
	if r.Name != "" {
		if err := CheckName("name", r.Name); err != nil {
			return err
		}
	}
	if r.Status != nil && !endedStatuses.has(*r.Status) {
		return invalid("status", "%s is not final, allowed are COMPLETED, FAILED, CANCELED and TERMINATED", *r.Status)
	}
	return nil
}

// status is the column.
func (r *Retention) status() int16 {
	if r.Status == nil {
		return anyStatus
	}
	return int16(*r.Status)
}

// SetRetention makes a rule, or replaces the one of that name and status. Within about a minute the leader begins to purge
// what the rules of the hub no longer keep, a hundred at a time, as Purge does without Recursive: children go by the rules
// themselves, also while their parent is live. Errors: INVALID_ARGUMENT, NOT_FOUND (hub), FAILED_PRECONDITION when the hub
// has 1000 rules already.
func (e *Engine) SetRetention(ctx context.Context, hubName string, r Retention) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.Keep != 0 && (r.Keep < MinKeep || r.Keep > MaxKeep) {
		return invalid("keep", "is %s, allowed are a minute to 876000h, a hundred years, and for ever", r.Keep)
	}
	keep := r.Keep.Seconds()
	if r.Keep == 0 {
		keep = -1
	}
	n, err := e.q.SetRetention(ctx, e.pool, store.SetRetentionParams{Hub: hub.no, Name: r.Name, Status: r.status(), Keep: keep, Most: maxRetention})
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	if n == 0 {
		return &Error{Code: CodeWrongState, Field: "hub", Message: fmt.Sprintf("the hub has %d rules of retention already", maxRetention)}
	}
	return nil
}

// DeleteRetention takes back the rule of a name (empty = any) and a status (nil = any). Errors: INVALID_ARGUMENT, NOT_FOUND
// (hub, or rule).
func (e *Engine) DeleteRetention(ctx context.Context, hubName, name string, status *history.Status) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	r := Retention{Name: name, Status: status}
	if err := r.check(); err != nil {
		return err
	}
	n, err := e.q.DeleteRetention(ctx, e.pool, store.DeleteRetentionParams{Hub: hub.no, Name: name, Status: r.status()})
	if err != nil {
		return fmt.Errorf("delete retention: %w", err)
	}
	if n == 0 {
		return &Error{Code: CodeNotFound, Field: "name", Message: "there is no rule of retention for this name and status"}
	}
	return nil
}

// Retentions lists a hub's rules by name and status, those for any first. Errors: NOT_FOUND (hub).
func (e *Engine) Retentions(ctx context.Context, hubName string) ([]Retention, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	return e.retentions(ctx, hub.no)
}

func (e *Engine) retentions(ctx context.Context, hub int32) ([]Retention, error) {
	rows, err := e.q.ListRetention(ctx, e.pool, hub)
	if err != nil {
		return nil, fmt.Errorf("read retention: %w", err)
	}
	out := make([]Retention, len(rows))
	for n, row := range rows {
		out[n] = Retention{Name: row.Name, UpdatedAt: row.UpdatedAt.UTC()}
		if row.Status != anyStatus {
			status := statusOf(row.Status)
			out[n].Status = &status
		}
		if row.Keep >= 0 {
			out[n].Keep = time.Duration(row.Keep * float64(time.Second)).Round(time.Microsecond)
		}
	}
	return out, nil
}

// retentionKey is what a rule is about.
type retentionKey struct {
	name   string
	status int16
}

// retentionRules are a hub's rules.
type retentionRules map[retentionKey]time.Duration

func rulesOf(all []Retention) retentionRules {
	rules := make(retentionRules, len(all))
	for _, r := range all {
		rules[retentionKey{r.Name, r.status()}] = r.Keep
	}
	return rules
}

// keep is how long instances are kept of a name that ended so; 0 = for ever.
func (rules retentionRules) keep(name string, status history.Status) time.Duration {
	for _, key := range []retentionKey{{name, int16(status)}, {name, anyStatus}, {"", int16(status)}, {"", anyStatus}} {
		if keep, ok := rules[key]; ok {
			return keep
		}
	}
	return 0
}
