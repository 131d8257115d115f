// Package alerts runs what watches the rules of alerts, and tells webhooks of their changes: as orchestrations of Weir, in a hub of
// the servers' own (engine.SystemHub), so that it survives every restart and its history can be read like any other.
//
// One orchestration for each rule is the rule's clock: it has the rule looked at, and waits. How a rule stands is in the rule's row,
// and what is to be sent is written down in the commit that changes it; so nothing is lost if a server dies between the two, and
// nothing is sent twice under different ids. One orchestration for each delivery sends it, and tries again.
package alerts

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
)

// Config says how alerts work. The zero value of all but Engine and Pool is good.
type Config struct {
	Engine *engine.Engine
	// Pool names the database, for the worker.
	Pool    *pgxpool.Pool
	Schemas durable.Schemas
	Logger  *slog.Logger
	// Networks are those besides public ones that webhooks may be in.
	Networks []netip.Prefix
	// Resolver finds the addresses of webhooks; nil means the machine's. RootCAs are who vouches for them; nil means those of the
	// machine.
	Resolver *net.Resolver
	RootCAs  *x509.CertPool
	// Pace says when an attempt to send is repeated; zero means DefaultPace.
	Pace Pace
	// Poll is how often the database is asked whether there is something new; 0 means 3 s.
	Poll time.Duration
	// Build is shown of the worker.
	Build string
}

// Pace says when an attempt to send is repeated: after First, then after three times as long each time, at most Most, as long as
// the next attempt is within For of the first.
type Pace struct {
	First time.Duration `json:"first"`
	Most  time.Duration `json:"most"`
	For   time.Duration `json:"for"`
}

// DefaultPace goes on for a day, with some dozen attempts.
var DefaultPace = Pace{First: 5 * time.Second, Most: 4 * time.Hour, For: 24 * time.Hour}

// wait is the wait after the n-th attempt.
func (p Pace) wait(n int) time.Duration {
	return time.Duration(min(float64(p.First)*math.Pow(3, float64(n-1)), float64(p.Most)))
}

// What the worker runs.
const (
	watchRule durable.Orchestration[engine.AlertRef, durable.None] = "alert"
	deliver   durable.Orchestration[delivery, result]              = "deliver"

	evaluate durable.Activity[engine.AlertRef, evaluated] = "evaluate"
	send     durable.Activity[attempt, result]            = "send"

	changed durable.Event[durable.None] = "changed"
)

// evaluated is how a rule stands after a look.
type evaluated struct {
	State    string        `json:"state"`
	Value    *float64      `json:"value,omitempty"`
	Detail   string        `json:"detail,omitempty"`
	Error    string        `json:"error,omitempty"`
	Incident int64         `json:"incident"`
	Interval time.Duration `json:"interval"`
	// Gone says that there is no such rule any more.
	Gone bool `json:"gone,omitempty"`
}

// lookPatience is how long one look may take, lookAgain how long until one that could not be taken is tried again.
const (
	lookPatience = 30 * time.Second
	lookAgain    = 10 * time.Second
	// generation is how many looks one generation lasts: what a worker has to replay.
	generation = 100
)

// watch has a rule looked at, again and again, until there is none.
func watch(ctx *durable.Context, rule engine.AlertRef) (durable.None, error) {
	for range generation {
		seen, err := evaluate.Call(ctx, rule, durable.Retry{Initial: lookAgain, Max: lookAgain})
		if err != nil {
			return durable.None{}, err
		}
		if seen.Gone {
			return durable.None{}, nil
		}
		ctx.SetStatus(seen)
		if _, _, err := changed.WaitFor(ctx, seen.Interval); err != nil {
			return durable.None{}, err
		}
	}
	return watchRule.ContinueAsNew(ctx, rule)
}

func (s *Service) evaluate(ctx context.Context, rule engine.AlertRef) (evaluated, error) {
	r, err := s.cfg.Engine.EvaluateAlert(ctx, rule.Hub, rule.ID)
	if errors.Is(err, engine.ErrNotFound) {
		return evaluated{Gone: true}, nil
	}
	if err != nil {
		return evaluated{}, err
	}
	s.wake()
	return evaluated{
		State: r.State.String(), Value: r.Value, Detail: r.Detail, Error: r.Error, Incident: r.Incident, Interval: r.Interval,
	}, nil
}

// delivery is what to send, and how patiently.
type delivery struct {
	ID   string `json:"id"`
	Pace Pace   `json:"pace"`
}

// attempt is one attempt to send: the N-th. If it fails, the next follows after Wait; negative: none does.
type attempt struct {
	ID   string        `json:"id"`
	N    int           `json:"n"`
	Wait time.Duration `json:"wait"`
}

// result is what became of an attempt.
type result struct {
	Over   bool   `json:"over"`
	Answer int    `json:"answer,omitempty"` // HTTP status
	Error  string `json:"error,omitempty"`
}

// sendAll sends until it is received, or given up.
func sendAll(ctx *durable.Context, d delivery) (result, error) {
	began := ctx.Now()
	for n := 1; ; n++ {
		wait := d.Pace.wait(n)
		wait += time.Duration(ctx.Rand().Int64N(int64(wait)/10 + 1))
		if ctx.Now().Add(wait).After(began.Add(d.Pace.For)) {
			wait = -1
		}
		got, err := send.Call(ctx, attempt{d.ID, n, wait}, durable.Retry{Initial: lookAgain, Max: time.Minute})
		if err != nil || got.Over {
			return got, err
		}
		if err := ctx.Sleep(wait); err != nil {
			return got, err
		}
	}
}

// send makes one attempt, and stores what became of it. Errors are those of the database: the receiver's are results.
func (s *Service) send(ctx context.Context, a attempt) (result, error) {
	what, err := s.cfg.Engine.Sending(ctx, a.ID)
	if errors.Is(err, engine.ErrNotFound) { // the webhook was deleted
		return result{Over: true, Error: "its webhook is gone"}, nil
	}
	if err != nil {
		return result{}, err
	}
	did := engine.Attempted{Attempts: a.N, Wait: a.Wait}
	if w := what.Webhook; !w.DisabledAt.IsZero() {
		did.Attempts, did.Error = a.N-1, "its webhook is disabled: "+w.Disabled
	} else {
		did.Answer, err = s.post(ctx, what)
		if ctx.Err() != nil {
			return result{}, context.Cause(ctx) // it is this server that stops: another one sends
		}
		if err != nil {
			did.Error = err.Error()
		}
	}
	switch {
	case did.Error == "":
		did.State = engine.DeliveryDone
	case did.Answer == http.StatusGone:
		did.State, did.Disable = engine.DeliveryGivenUp, "it answered 410 Gone"
	case a.Wait < 0 || did.Attempts < a.N:
		did.State = engine.DeliveryGivenUp
	}
	if err := s.cfg.Engine.RecordDelivery(ctx, what, &did); err != nil {
		return result{}, err
	}
	return result{Over: did.State != engine.DeliveryPending, Answer: did.Answer, Error: did.Error}, nil
}

// post sends a message. It returns the HTTP status, 0 if there was no answer, and what is wrong with it.
func (s *Service) post(ctx context.Context, what *engine.Sending) (int, error) {
	body := what.Delivery.Body
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, what.Webhook.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("no request can be made of its URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir")
	sign(req.Header, what.Delivery.ID, time.Now(), body, what.Secrets)
	res, err := s.client.Do(req)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) { // without the URL, which may be a secret itself
			err = named.Err
		}
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	text := answer(res.Body)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return res.StatusCode, fmt.Errorf("it answered %s: %s", res.Status, text)
	}
	return res.StatusCode, nil
}
