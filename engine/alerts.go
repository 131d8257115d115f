package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

// SystemHub is the hub of the orchestrations that servers run themselves. It is made when the first is needed, and Hubs does
// not list it.
const SystemHub = "weir-system"

// AlertKind is what a rule watches.
type AlertKind int16

// The kinds of rules, and the unit of their thresholds.
const (
	// AlertFailureRate is the share, in percent, of the instances ended within the window as COMPLETED or FAILED that failed.
	AlertFailureRate AlertKind = iota
	// AlertStuck counts live instances to which nothing has happened for the window, although they are neither suspended,
	// nor to start later, nor wait for a timer.
	AlertStuck
	// AlertNoWorker counts turns and activities that are due and that no worker which lives takes.
	AlertNoWorker
	// AlertBacklogAge is for how many seconds the oldest turn or activity has been due that nobody has taken up.
	AlertBacklogAge
	// AlertDeadLetters counts dead letters.
	AlertDeadLetters
)

var alertKinds = []string{"FAILURE_RATE", "STUCK", "NO_WORKER", "BACKLOG_AGE", "DEAD_LETTERS"}

// String is the kind's name in the API.
func (k AlertKind) String() string { return enumName("AlertKind", alertKinds, int16(k)) }

// MarshalText implements encoding.TextMarshaler.
func (k AlertKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *AlertKind) UnmarshalText(text []byte) error {
	n, err := enumNumber("kind", alertKinds, string(text))
	*k = AlertKind(n)
	return err
}

// Severity says how much an alert matters, for its receivers.
type Severity int16

// The severities.
const (
	SeverityInfo Severity = iota
	SeverityWarning
	SeverityCritical
)

var severities = []string{"INFO", "WARNING", "CRITICAL"}

// String is the severity's name in the API.
func (s Severity) String() string { return enumName("Severity", severities, int16(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(text []byte) error {
	n, err := enumNumber("severity", severities, string(text))
	*s = Severity(n)
	return err
}

// AlertState is how a rule stands.
type AlertState int16

// The states of rules.
const (
	AlertOK AlertState = iota
	// AlertPending has reached its threshold, but not for as long as For says.
	AlertPending
	AlertFiring
)

var alertStates = []string{"OK", "PENDING", "FIRING"}

// String is the state's name in the API.
func (s AlertState) String() string { return enumName("AlertState", alertStates, int16(s)) }

func enumName(what string, names []string, n int16) string {
	if n < 0 || int(n) >= len(names) {
		return fmt.Sprintf("%s(%d)", what, n)
	}
	return names[n]
}

func enumNumber(field string, names []string, name string) (int16, error) {
	n := slices.Index(names, name)
	if n < 0 {
		return 0, invalid(field, "%.40q is not allowed, allowed are %s", name, strings.Join(names, ", "))
	}
	return int16(n), nil
}

// Bounds of rules.
const (
	maxAlertRules    = 200
	maxAlertNames    = 20
	maxAlertWebhooks = 10
	maxAlertID       = 100
	maxAlertList     = 1000

	// DefaultAlertInterval is how often a rule is looked at that does not say.
	DefaultAlertInterval = time.Minute
)

// AlertSpec is what people say about a rule.
type AlertSpec struct {
	Kind AlertKind `json:"kind"`
	// Names are the orchestrations it is about, at most 20; none: all. For NO_WORKER and BACKLOG_AGE they may be activities
	// too. DEAD_LETTERS takes none.
	Names []string `json:"names,omitempty"`
	// Threshold is the value at which it fires, in the unit of its kind: percent above 0 to 100, seconds from 1 to 604,800, or a
	// number from 1 to 10,000.
	Threshold float64 `json:"threshold"`
	// Window is for FAILURE_RATE, a minute to 7 days, and STUCK, a minute to 90 days; for others 0.
	Window time.Duration `json:"window,omitempty"`
	// Minimum is for FAILURE_RATE: the rate of fewer ended instances, 0 to 100,000, counts as 0.
	Minimum int64 `json:"minimum,omitempty"`
	// Interval is how often it is looked at, a second to a day; 0 means a minute.
	Interval time.Duration `json:"interval,omitempty"`
	// For is how long the threshold must be reached before it fires, Calm how long it must not be before it is resolved: 0 to a
	// day each.
	For  time.Duration `json:"for,omitempty"`
	Calm time.Duration `json:"calm,omitempty"`

	Severity Severity `json:"severity"`
	// Webhooks are the ids of those that are told, at most 10.
	Webhooks []string `json:"webhooks,omitempty"`
}

// AlertRule is a rule and how it stands.
type AlertRule struct {
	AlertSpec
	Hub string
	// ID names the rule in its hub: 1 to 100 characters, as CheckID says.
	ID    string
	State AlertState
	// MutedUntil is until when nobody is told; zero or past = it is not muted.
	MutedUntil time.Time
	// Value is what was measured last, Detail says more in words; nil if nothing was yet.
	Value  *float64
	Detail string
	// Error is why the last look failed; the state stays as it was then.
	Error       string
	EvaluatedAt time.Time // zero if it was not looked at since it was made or changed
	FiringSince time.Time // zero if it does not fire
	// Incident counts how often it began to fire.
	Incident             int64
	CreatedAt, UpdatedAt time.Time

	turningAt time.Time
	no        int64
}

// InstanceID is the id of the orchestration in SystemHub that watches the rule.
func (r *AlertRule) InstanceID() string { return "alert/" + r.Hub + "/" + r.ID }

// Muted tells whether nobody is to be told now.
func (r *AlertRule) Muted(now time.Time) bool { return now.Before(r.MutedUntil) }

func inRange[T time.Duration | int64](field string, v, least, most T) error {
	if v < least || v > most {
		return invalid(field, "is %v, allowed are %v to %v", v, least, most)
	}
	return nil
}

const day = 24 * time.Hour

// check tests a rule, and fills in what is not said.
func (s *AlertSpec) check() error {
	if s.Kind < 0 || int(s.Kind) >= len(alertKinds) {
		return invalid("kind", "%d is no kind of rule", s.Kind)
	}
	if s.Severity < 0 || int(s.Severity) >= len(severities) {
		return invalid("severity", "%d is no severity", s.Severity)
	}
	if len(s.Names) > maxAlertNames {
		return invalid("names", "are %d, at most %d are allowed", len(s.Names), maxAlertNames)
	}
	if s.Kind == AlertDeadLetters && len(s.Names) > 0 {
		return invalid("names", "are not for DEAD_LETTERS")
	}
	for _, name := range s.Names {
		if err := CheckName("names", name); err != nil {
			return err
		}
	}
	if len(s.Webhooks) > maxAlertWebhooks {
		return invalid("webhooks", "are %d, at most %d are allowed", len(s.Webhooks), maxAlertWebhooks)
	}
	if s.Interval == 0 {
		s.Interval = DefaultAlertInterval
	}
	s.Names = slices.Compact(slices.Sorted(slices.Values(s.Names))) // one that is named twice counts once
	return first(s.checkThreshold(), s.checkWindow(), inRange("interval", s.Interval, time.Second, day),
		inRange("for", s.For, 0, day), inRange("calm", s.Calm, 0, day))
}

func (s *AlertSpec) checkThreshold() error {
	least, most := 1.0, 10_000.0
	switch s.Kind {
	case AlertFailureRate:
		if !(s.Threshold > 0 && s.Threshold <= 100) {
			return invalid("threshold", "is %v, allowed is a percentage above 0 to 100", s.Threshold)
		}
		return nil
	case AlertBacklogAge:
		most = (7 * day).Seconds()
	}
	if !(s.Threshold >= least && s.Threshold <= most) {
		return invalid("threshold", "is %v, allowed are %v to %v", s.Threshold, least, most)
	}
	return nil
}

func (s *AlertSpec) checkWindow() error {
	if s.Kind != AlertFailureRate && s.Minimum != 0 {
		return invalid("minimum", "is for FAILURE_RATE, not for %s", s.Kind)
	}
	switch s.Kind {
	case AlertFailureRate:
		return first(inRange("window", s.Window, time.Minute, 7*day), inRange("minimum", s.Minimum, 0, 100_000))
	case AlertStuck:
		return inRange("window", s.Window, time.Minute, 90*day)
	}
	if s.Window != 0 {
		return invalid("window", "is for FAILURE_RATE and STUCK, not for %s", s.Kind)
	}
	return nil
}

// checkAlertSpec tests a rule of a hub.
func (e *Engine) checkAlertSpec(ctx context.Context, hub *Hub, s *AlertSpec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if len(s.Webhooks) > 0 {
		found, err := e.q.FindWebhooks(ctx, e.pool, store.FindWebhooksParams{Hub: hub.no, Ids: s.Webhooks})
		if err != nil {
			return nil, fmt.Errorf("find webhooks: %w", err)
		}
		for _, id := range s.Webhooks {
			if !slices.ContainsFunc(found, func(w store.Webhook) bool { return w.ID == id }) {
				return nil, invalid("webhooks", "there is no webhook %.100q in the hub", id)
			}
		}
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write rule: %w", err)
	}
	return spec, nil
}

func checkAlertID(id string) error {
	if len(id) > maxAlertID {
		return invalid("id", "has %d characters, at most %d are allowed", len(id), maxAlertID)
	}
	return CheckID("id", id)
}

func alertNotFound(id string) error {
	return &Error{Code: CodeNotFound, Field: "id", Message: fmt.Sprintf("there is no rule %.100q", id)}
}

// CreateAlertRule makes a rule. A server looks at it within seconds. A hub has at most 200. Errors: INVALID_ARGUMENT, NOT_FOUND (hub),
// ALREADY_EXISTS, FAILED_PRECONDITION when there are too many.
func (e *Engine) CreateAlertRule(ctx context.Context, hubName, id string, s AlertSpec) (*AlertRule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := checkAlertID(id); err != nil {
		return nil, err
	}
	spec, err := e.checkAlertSpec(ctx, hub, &s)
	if err != nil {
		return nil, err
	}
	row, err := e.q.InsertAlertRule(ctx, e.pool, store.InsertAlertRuleParams{Hub: hub.no, ID: id, Spec: spec, Most: maxAlertRules})
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := e.AlertRule(ctx, hubName, id); !errors.Is(err, ErrNotFound) {
			return nil, errors.Join(err, &Error{Code: CodeAlreadyExists, Field: "id", Message: fmt.Sprintf("there is a rule %q already", id)})
		}
		return nil, &Error{Code: CodeWrongState, Field: "hub", Message: fmt.Sprintf("the hub has %d rules already", maxAlertRules)}
	}
	if err != nil {
		return nil, fmt.Errorf("create rule: %w", err)
	}
	return readAlertRule(hubName, &row)
}

// UpdateAlertRule replaces what a rule says. One that fires goes on to; others begin anew. Errors: INVALID_ARGUMENT, NOT_FOUND.
func (e *Engine) UpdateAlertRule(ctx context.Context, hubName, id string, s AlertSpec) (*AlertRule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	old, err := e.AlertRule(ctx, hubName, id)
	if err != nil {
		return nil, err
	}
	spec, err := e.checkAlertSpec(ctx, hub, &s)
	if err != nil {
		return nil, err
	}
	row, err := e.q.UpdateAlertRule(ctx, e.pool, store.UpdateAlertRuleParams{Hub: hub.no, ID: id, Spec: spec, MutedUntil: orNil(old.MutedUntil)})
	return foundAlertRule(hubName, id, &row, err)
}

// MuteAlertRule has nobody told of a rule's changes until then, at most a year from now; a time that is zero or past ends that.
// Errors: INVALID_ARGUMENT, NOT_FOUND.
func (e *Engine) MuteAlertRule(ctx context.Context, hubName, id string, until time.Time) (*AlertRule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if time.Until(until) > 366*day {
		return nil, invalid("until", "is more than a year from now")
	}
	row, err := e.q.MuteAlertRule(ctx, e.pool, store.MuteAlertRuleParams{Hub: hub.no, ID: id, MutedUntil: orNil(until)})
	return foundAlertRule(hubName, id, &row, err)
}

// DeleteAlertRule deletes a rule; nobody is told. Errors: NOT_FOUND.
func (e *Engine) DeleteAlertRule(ctx context.Context, hubName, id string) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	n, err := e.q.DeleteAlertRule(ctx, e.pool, store.DeleteAlertRuleParams{Hub: hub.no, ID: printable(id)})
	if err != nil {
		return fmt.Errorf("delete rule: %w", err)
	}
	if n == 0 {
		return alertNotFound(id)
	}
	return nil
}

// AlertRule reads a rule. Errors: NOT_FOUND.
func (e *Engine) AlertRule(ctx context.Context, hubName, id string) (*AlertRule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	row, err := e.q.GetAlertRule(ctx, e.pool, store.GetAlertRuleParams{Hub: hub.no, ID: printable(id)})
	return foundAlertRule(hubName, id, &row, err)
}

// AlertRules lists a hub's rules by id: at most limit, 1 to 1000, after an id. Errors: NOT_FOUND (hub), INVALID_ARGUMENT.
func (e *Engine) AlertRules(ctx context.Context, hubName, after string, limit int) ([]*AlertRule, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := inRange("limit", int64(limit), 1, maxAlertList); err != nil {
		return nil, err
	}
	rows, err := e.q.ListAlertRules(ctx, e.pool, store.ListAlertRulesParams{Hub: hub.no, After: after, Chunk: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	out := make([]*AlertRule, len(rows))
	for i := range rows {
		if out[i], err = readAlertRule(hubName, &rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func foundAlertRule(hub, id string, row *store.AlertRule, err error) (*AlertRule, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, alertNotFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	return readAlertRule(hub, row)
}

func readAlertRule(hub string, row *store.AlertRule) (*AlertRule, error) {
	r := &AlertRule{
		Hub: hub, ID: row.ID, State: AlertState(row.State), MutedUntil: orZero(row.MutedUntil), Value: row.Value, Detail: row.Detail, Error: row.Error,
		EvaluatedAt: orZero(row.EvaluatedAt), FiringSince: orZero(row.FiringSince), Incident: row.Incident,
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(), turningAt: orZero(row.TurningAt), no: row.No,
	}
	if err := json.Unmarshal(row.Spec, &r.AlertSpec); err != nil {
		return nil, fmt.Errorf("read rule %s: %w", row.ID, err)
	}
	return r, nil
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// reached tells whether a value is one to fire at.
func (r *AlertRule) reached(value float64) bool { return !math.IsNaN(value) && value >= r.Threshold }

// step is what becomes of a rule when a value has been measured. Changed tells whether people are to hear of it: it has begun
// to fire, or is resolved.
func (r *AlertRule) step(value float64, detail string, now time.Time) (changed bool) {
	r.Value, r.Detail, r.Error, r.EvaluatedAt = &value, detail, "", now
	reached, firing := r.reached(value), r.State == AlertFiring
	if reached == firing { // as it should be
		r.turningAt = time.Time{}
		if !firing {
			r.State = AlertOK
		}
		return false
	}
	if r.turningAt.IsZero() {
		r.turningAt = now
	}
	wait := r.For
	if firing {
		wait = r.Calm
	}
	if now.Sub(r.turningAt) < wait {
		if !firing {
			r.State = AlertPending
		}
		return false
	}
	r.turningAt = time.Time{}
	if firing {
		r.State, r.FiringSince = AlertOK, time.Time{}
		return true
	}
	r.State, r.FiringSince = AlertFiring, now
	r.Incident++
	return true
}
