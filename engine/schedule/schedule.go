// Package schedule computes when a schedule fires: every so often, or by cron expressions in a time zone. It is pure:
// no clock, no database, and the same answers on every machine with the same time zone data, which is compiled in for
// those that have none.
//
// # Daylight saving time
//
// Cron expressions name wall times, and where clocks are set forward or back a wall time does not exist, or exists
// twice. An expression whose minute and hour are both given ("30 2 * * *") means once at each of its wall times: one
// that is skipped is made up for at the moment the clocks are set forward, one that is repeated counts the first time
// only. So a daily job runs every day, and once. An expression whose minute or hour begins with * ("*/20 * * * *")
// means a distance instead, and fires whenever a clock on the wall shows one of its times: through a repeated hour
// twice, and in a skipped one not at all.
//
// Intervals count elapsed time and know no zones.
package schedule

import (
	"fmt"
	"hash/fnv"
	"time"
	_ "time/tzdata" // images without zone data must know the same zones
	"unicode/utf8"
)

// Limits on what a Spec may say.
const (
	// MinEvery is the shortest interval (as in the Durable Task Scheduler), MaxEvery the longest.
	MinEvery = time.Second
	MaxEvery = 10 * 365 * 24 * time.Hour
	// MaxJitter bounds the jitter.
	MaxJitter = 24 * time.Hour
	// MaxCron is how many expressions a Spec may have, and maxExpression how many bytes one.
	MaxCron       = 20
	maxExpression = 200
	maxZone       = 64
	// horizon is how far ahead a firing is looked for: every date that exists comes within it, on each weekday.
	horizon = 41 * 366 * 24 * time.Hour
)

// Spec says when to fire: Every or Cron, exactly one of them.
type Spec struct {
	// Every is the distance of two firings, from MinEvery to MaxEvery, in whole milliseconds. Firings are at From, or
	// if that is zero at Anchor, and at all whole distances from there.
	Every time.Duration
	// Anchor is what Every counts from where there is no From; it is no firing itself then. Zero is 1970.
	Anchor time.Time
	// Cron are expressions of five fields: minute, hour, day of the month, month, day of the week. It fires at the
	// times of any of them.
	Cron []string
	// Zone is the IANA name of the time zone that Cron is read in; empty is UTC.
	Zone string
	// Jitter delays each firing by a part of it, which differs from firing to firing and from schedule to schedule
	// but is always the same for one, so that schedules of the same times do not all start at once. A firing is never
	// delayed beyond the next.
	Jitter time.Duration
	// From and Until bound the firings, both included; zero is no bound.
	From  time.Time
	Until time.Time
}

// Error is what is wrong with a Spec.
type Error struct {
	// Field is the field of the Spec: every, cron[0], zone, jitter, from, until.
	Field string
	// Message says what is wrong with it, where, and what is allowed.
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Field + ": " + e.Message }

func bad(field, format string, args ...any) error {
	return &Error{Field: field, Message: fmt.Sprintf(format, args...)}
}

// Schedule is a Spec that was found good. It is safe for use by many goroutines.
type Schedule struct {
	spec Spec
	cron []*expression
	zone *time.Location
	seed uint64
}

// New reads a Spec. The seed, such as the schedule's id, tells the jitter of one schedule from another's. Errors are
// of type *Error.
func New(spec Spec, seed string) (*Schedule, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed))
	s := &Schedule{spec: spec, zone: time.UTC, seed: h.Sum64()}
	if err := s.checkTimes(); err != nil {
		return nil, err
	}
	if err := s.readZone(); err != nil {
		return nil, err
	}
	for i, text := range spec.Cron {
		field := fmt.Sprintf("cron[%d]", i)
		x, err := parse(field, text)
		if err != nil {
			return nil, err
		}
		if x.next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), s.zone).IsZero() {
			return nil, bad(field, "%q is never true: no month of it has such a day", text)
		}
		s.cron = append(s.cron, x)
	}
	return s, nil
}

func (s *Schedule) checkTimes() error {
	spec := &s.spec
	switch {
	case spec.Every == 0 && len(spec.Cron) == 0:
		return bad("cron", "is missing: give an interval (every) or at least one cron expression")
	case spec.Every != 0 && len(spec.Cron) > 0:
		return bad("cron", "must not be given together with an interval (every)")
	case len(spec.Cron) > MaxCron:
		return bad("cron", "has %d expressions, at most %d are allowed", len(spec.Cron), MaxCron)
	case spec.Every != 0 && (spec.Every < MinEvery || spec.Every > MaxEvery):
		return bad("every", "is %s, allowed are %s to %s", spec.Every, MinEvery, MaxEvery)
	case spec.Every%time.Millisecond != 0:
		return bad("every", "is %s, want whole milliseconds", spec.Every)
	case spec.Jitter < 0 || spec.Jitter > MaxJitter:
		return bad("jitter", "is %s, allowed are 0 to %s", spec.Jitter, MaxJitter)
	}
	for _, t := range []struct {
		field string
		at    time.Time
	}{{"from", spec.From}, {"until", spec.Until}} {
		if year := t.at.UTC().Year(); !t.at.IsZero() && (year < 1970 || year > 9999) {
			return bad(t.field, "is in the year %d, allowed are 1970 to 9999", year)
		}
	}
	// Postgres keeps microseconds; a time that comes back from there must be the same.
	spec.From, spec.Until = spec.From.UTC().Truncate(time.Microsecond), spec.Until.UTC().Truncate(time.Microsecond)
	spec.Anchor = spec.Anchor.UTC().Truncate(time.Microsecond)
	if !spec.Until.IsZero() && spec.Until.Before(spec.From) {
		return bad("until", "is before from")
	}
	return nil
}

func (s *Schedule) readZone() error {
	name := s.spec.Zone
	switch {
	case name == "":
		return nil
	case s.spec.Every != 0:
		return bad("zone", "has no meaning for an interval (every), which counts elapsed time")
	case len(name) > maxZone || !utf8.ValidString(name):
		return bad("zone", "is no time zone, want an IANA name such as Europe/Berlin")
	case name == "Local": // differs from machine to machine
		return bad("zone", `must not be "Local", want an IANA name such as Europe/Berlin`)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return bad("zone", "%q is no time zone, want an IANA name such as Europe/Berlin", name)
	}
	s.zone = zone
	return nil
}

// Next returns the first firing after a time, zero when there is none any more. Jitter is not in it: see Due.
func (s *Schedule) Next(after time.Time) time.Time {
	after = after.UTC()
	if from := s.spec.From; !from.IsZero() && after.Before(from) {
		after = from.Add(-time.Nanosecond)
	}
	var next time.Time
	if s.spec.Every != 0 {
		next = s.nextInterval(after)
	}
	for _, x := range s.cron {
		if t := x.next(after, s.zone); next.IsZero() || !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if until := s.spec.Until; !until.IsZero() && next.After(until) {
		return time.Time{}
	}
	return next
}

func (s *Schedule) nextInterval(after time.Time) time.Time {
	anchor := s.spec.From
	if anchor.IsZero() {
		anchor = s.spec.Anchor
	}
	if anchor.IsZero() {
		anchor = time.Unix(0, 0).UTC()
	}
	if after.Before(anchor) && !s.spec.From.IsZero() {
		return anchor
	}
	// In milliseconds and the rest: a duration holds 292 years only.
	passed := after.UnixMicro() - anchor.UnixMicro()
	every := s.spec.Every.Microseconds()
	n := passed / every
	if passed%every != 0 && passed < 0 {
		n--
	}
	next := time.UnixMicro(anchor.UnixMicro() + (n+1)*every).UTC()
	if !next.After(after) {
		next = next.Add(s.spec.Every)
	}
	return next
}

// Between returns the firings from one time to another, both included, the first n at most.
func (s *Schedule) Between(from, to time.Time, n int) []time.Time {
	var out []time.Time
	for t := s.Next(from.Add(-time.Nanosecond)); !t.IsZero() && !t.After(to) && len(out) < n; t = s.Next(t) {
		out = append(out, t)
	}
	return out
}

// Due is when a firing is to start: its time, and its share of the jitter.
func (s *Schedule) Due(firing time.Time) time.Time {
	most := s.spec.Jitter
	if most == 0 {
		return firing
	}
	if next := s.Next(firing); !next.IsZero() {
		most = min(most, next.Sub(firing))
	}
	// A finisher of splitmix64: neighbouring times must not have neighbouring shares.
	x := s.seed ^ uint64(firing.UnixMicro())
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return firing.Add(time.Duration(x % uint64(max(most, 1))).Truncate(time.Microsecond))
}
