// Package uptime watches an HTTP endpoint for as long as it is told to: an eternal orchestration that keeps a
// window of results, raises an alarm when the endpoint goes down or comes up again, and takes commands.
package uptime

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/weir-dev/weir/durable"
)

// What this package defines.
const (
	Monitor durable.Orchestration[Watch, Summary] = "monitor"

	Check durable.Activity[string, Result]      = "check_http"
	Alert durable.Activity[Alarm, durable.None] = "alert"

	Control durable.Event[Command] = "control"
)

// ErrInvalid is a watch that cannot be kept.
const ErrInvalid durable.Failure = "invalid_watch"

// Bounds of a watch.
const (
	DefaultWindow = 60
	MaxWindow     = 1000
	// DefaultGeneration is how many rounds one generation lasts: its history, some six events a round, is what a
	// worker has to replay.
	DefaultGeneration = 50
)

// Duration is a duration that people write as text, such as "30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Watch is what to watch, and what a generation hands to the next.
type Watch struct {
	URL   string   `json:"url"`
	Every Duration `json:"every"`
	// Window is how many results are kept, Generation how many rounds a generation lasts; 0 means the default.
	Window     int `json:"window,omitempty"`
	Generation int `json:"generation,omitempty"`

	Paused bool       `json:"paused,omitempty"`
	Down   bool       `json:"down,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // of the present state, up or down; nil before the first check
	Recent []Result   `json:"recent,omitempty"`
	Checks int        `json:"checks,omitempty"`
	Alarms int        `json:"alarms,omitempty"`
}

// Result is one look at the endpoint. An endpoint that is down is a result, not an error.
type Result struct {
	At      time.Time `json:"at"`
	Up      bool      `json:"up"`
	Code    int       `json:"code,omitempty"`
	Latency Duration  `json:"latency"`
	Error   string    `json:"error,omitempty"`
}

// Alarm tells of a change.
type Alarm struct {
	URL   string    `json:"url"`
	Up    bool      `json:"up"`
	At    time.Time `json:"at"`
	After Duration  `json:"after"` // how long the state before had lasted
	Error string    `json:"error,omitempty"`
}

// Command is what one may tell a monitor, as event "control".
type Command struct {
	Do    Verb     `json:"do"`
	Every Duration `json:"every,omitempty"` // for interval
	URL   string   `json:"url,omitempty"`   // for watch
}

// Verb is what a command asks for.
type Verb string

// The verbs. All but pause and stop are followed by a check at once.
const (
	Pause    Verb = "pause"
	Resume   Verb = "resume"
	CheckNow Verb = "check-now"
	Interval Verb = "interval"
	Target   Verb = "watch" // another URL
	Stop     Verb = "stop"
)

// Status is a monitor's custom status.
type Status struct {
	State   string     `json:"state"` // up, down, paused, starting
	URL     string     `json:"url"`
	Every   Duration   `json:"every"`
	Since   *time.Time `json:"since,omitempty"`
	Last    *Result    `json:"last,omitempty"`
	Checks  int        `json:"checks"`
	Alarms  int        `json:"alarms"`
	UpShare string     `json:"upShare,omitempty"` // of the window
	Refused string     `json:"refused,omitempty"` // the last command, if it made no sense
}

// Summary is what is left of a monitor that was told to stop.
type Summary struct {
	Checks int `json:"checks"`
	Alarms int `json:"alarms"`
}

func monitor(ctx *durable.Context, w Watch) (Summary, error) {
	if err := w.check(); err != nil {
		return Summary{}, err
	}
	var refused string
	for range w.Generation {
		if !w.Paused {
			if err := w.look(ctx); err != nil {
				return Summary{}, err
			}
		}
		ctx.SetStatus(w.status(refused))
		refused = ""
		// One event for all commands keeps them in order, and one wait at a time takes each of them exactly once: what
		// comes while nobody waits is kept, across generations too.
		command, told, err := w.wait(ctx)
		if err != nil {
			return Summary{}, err
		}
		if !told {
			continue
		}
		if command.Do == Stop {
			return Summary{w.Checks, w.Alarms}, nil
		}
		refused = w.apply(command)
	}
	return Monitor.ContinueAsNew(ctx, w)
}

// wait waits for a command; unless the watch is paused, no longer than until the next check is due.
func (w *Watch) wait(ctx *durable.Context) (Command, bool, error) {
	if w.Paused {
		c, err := Control.Wait(ctx)
		return c, true, err
	}
	return Control.WaitFor(ctx, time.Duration(w.Every))
}

// look checks the endpoint, and raises an alarm if its state has changed.
func (w *Watch) look(ctx *durable.Context) error {
	r, err := Check.Call(ctx, w.URL)
	if err != nil {
		return err
	}
	now := ctx.Now()
	r.At = now
	w.Checks++
	w.Recent = append(w.Recent, r)
	w.Recent = w.Recent[max(0, len(w.Recent)-w.Window):]
	first := w.Since == nil
	if !first && w.Down == !r.Up {
		return nil
	}
	alarm := Alarm{URL: w.URL, Up: r.Up, At: now, Error: r.Error}
	if !first {
		alarm.After = Duration(now.Sub(*w.Since))
	}
	w.Down, w.Since = !r.Up, &now
	if first && r.Up {
		return nil // as it should be: nothing to tell
	}
	w.Alarms++
	// Whoever is to be told may be unreachable for a while; that must not stop the watch for good.
	if _, err := Alert.Call(ctx, alarm); err != nil {
		ctx.Logger().Warn("nobody could be alarmed", "error", err)
	}
	return nil
}

// apply does what a command says. If it makes no sense, the answer tells why.
func (w *Watch) apply(c Command) (refused string) {
	next := *w
	switch c.Do {
	case Pause:
		next.Paused = true
	case Resume:
		next.Paused = false
	case CheckNow:
		if w.Paused {
			return "check-now: the monitor is paused"
		}
	case Interval:
		next.Every = c.Every
	case Target:
		if c.URL != w.URL { // another endpoint, another story
			next.URL, next.Down, next.Since, next.Recent = c.URL, false, nil, nil
		}
	default:
		return fmt.Sprintf("%q: want pause, resume, check-now, interval, watch or stop", c.Do)
	}
	if err := next.check(); err != nil {
		return fmt.Sprintf("%s: %v", c.Do, err)
	}
	*w = next
	return ""
}

// check fills in defaults and finds what makes a watch impossible.
func (w *Watch) check() error {
	if w.Window == 0 {
		w.Window = DefaultWindow
	}
	if w.Generation == 0 {
		w.Generation = DefaultGeneration
	}
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: %q is not an http or https address", ErrInvalid, w.URL)
	case time.Duration(w.Every) < 100*time.Millisecond:
		return fmt.Errorf("%w: every %s is too often, want at least 100ms", ErrInvalid, time.Duration(w.Every))
	case w.Window < 1 || w.Window > MaxWindow:
		return fmt.Errorf("%w: a window of %d, want 1 to %d", ErrInvalid, w.Window, MaxWindow)
	case w.Generation < 1:
		return fmt.Errorf("%w: generations of %d rounds, want at least 1", ErrInvalid, w.Generation)
	}
	return nil
}

func (w *Watch) status(refused string) Status {
	s := Status{
		State: "up", URL: w.URL, Every: w.Every, Since: w.Since, Checks: w.Checks, Alarms: w.Alarms, Refused: refused,
	}
	switch {
	case w.Paused:
		s.State = "paused"
	case w.Down:
		s.State = "down"
	}
	if n := len(w.Recent); n > 0 {
		s.Last = &w.Recent[n-1]
		up := 0
		for _, r := range w.Recent {
			if r.Up {
				up++
			}
		}
		s.UpShare = fmt.Sprintf("%d of %d", up, n)
	}
	return s
}

// Handlers binds the definitions. alert tells people of a change.
func Handlers(alert func(context.Context, Alarm) error) []durable.Handler {
	return []durable.Handler{
		Monitor.Handler(monitor),
		Check.Handler(checkHTTP),
		Alert.Handler(func(ctx context.Context, a Alarm) (durable.None, error) {
			return durable.None{}, alert(ctx, a)
		}, durable.Retry{Attempts: 5, Initial: time.Second, Factor: 2}),
	}
}
