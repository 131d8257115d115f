package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Failure says why an activity, a child or an orchestration failed, in a form that crosses processes and
// languages.
type Failure struct {
	// Type names the class of failure. For a declared failure it is its text, which is how the failure keeps
	// its identity.
	Type    string `json:"type"`
	Message string `json:"message"`
	// Stack is where it happened, if known.
	Stack string   `json:"stack,omitempty"`
	Inner *Failure `json:"inner,omitempty"`
	// NonRetriable stops the retry policy.
	NonRetriable bool                       `json:"nonRetriable,omitempty"`
	Properties   map[string]json.RawMessage `json:"properties,omitempty"`
}

// Error implements error.
func (f *Failure) Error() string { return f.Message }

// Retry says how often and when a failed attempt is tried again.
type Retry struct {
	// Attempts is the greatest number of attempts, the first included; 0 means no limit of this kind.
	Attempts int `json:"attempts,omitempty"`
	// Initial is the wait before the second attempt.
	Initial Duration `json:"initial,omitzero"`
	// Factor multiplies the wait after each further attempt; at least 1.
	Factor float64 `json:"factor,omitempty"`
	// Max bounds one wait; zero means an hour.
	Max Duration `json:"max,omitzero"`
	// Until bounds the time since the first attempt after which no further one starts; zero means none.
	Until Duration `json:"until,omitzero"`
	// Jitter is the share of each wait that is drawn at random, 0 to 1.
	Jitter float64 `json:"jitter,omitempty"`
	// Except are types of failures after which no attempt follows.
	Except []string `json:"except,omitempty"`
}

// Ends tells whether no attempt follows a failure, whatever the limits: it, or what it comes from, is of a type that the
// policy excepts.
func (r *Retry) Ends(f *Failure) bool {
	for ; f != nil && len(r.Except) > 0; f = f.Inner {
		if slices.Contains(r.Except, f.Type) {
			return true
		}
	}
	return false
}

// Duration is a time.Duration that reads as text in JSON: "1m30s".
type Duration time.Duration

// IsZero tells whether there is nothing to write.
func (d Duration) IsZero() bool { return d == 0 }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Status) UnmarshalText(text []byte) error {
	for i, name := range statusNames {
		if name == string(text) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("unknown status %q", text)
}
