package engine

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits on what callers may send. Payload sizes are a setting (Config.PayloadLimit); these are not.
const (
	maxID      = 200
	maxName    = 80
	maxVersion = 40
	maxEvent   = 200
	maxKey     = 200
	maxReason  = 2000
	maxBy      = 200
)

// CheckID tests an instance id: 1 to 200 printable ASCII characters, not starting with "@", which is how the
// ids of entities start. (The Durable Task Scheduler allows 100.)
func CheckID(field, id string) error {
	switch {
	case id == "":
		return invalid(field, "must not be empty")
	case len(id) > maxID:
		return invalid(field, "has %d characters, at most %d are allowed", len(id), maxID)
	case id[0] == '@':
		return invalid(field, "must not start with @, as the ids of entities do")
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return invalid(field, "has a character at position %d that is not printable ASCII", i+1)
		}
	}
	return nil
}

// CheckHub tests the name of a task hub: 3 to 45 letters, digits and hyphens, the first a letter.
func CheckHub(field, name string) error {
	if len(name) < 3 || len(name) > 45 {
		return invalid(field, "has %d characters, want 3 to 45", len(name))
	}
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r != '-' && (r < '0' || r > '9'))) {
			return invalid(field, "has %q at position %d: want letters, digits and hyphens, the first a letter", r, i+1)
		}
	}
	return nil
}

// printable makes text that came from outside safe for a jsonb column and for people's terminals.
func printable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// CheckName tests the name of an orchestration or activity: 1 to 80 characters, none of them control
// characters.
func CheckName(field, name string) error {
	if strings.HasPrefix(name, entityKind) {
		return invalid(field, "must not start with %s, which is for entities", entityKind)
	}
	return checkText(field, name, maxName, false)
}

// CheckVersion tests a version: empty, or up to 40 characters.
func CheckVersion(field, version string) error { return checkText(field, version, maxVersion, true) }

// CheckEvent tests the name of an event: 1 to 200 characters.
func CheckEvent(field, name string) error { return checkText(field, name, maxEvent, false) }

func checkText(field, s string, limit int, mayBeEmpty bool) error {
	if s == "" && mayBeEmpty {
		return nil
	}
	if s == "" {
		return invalid(field, "must not be empty")
	}
	if !utf8.ValidString(s) {
		return invalid(field, "is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return invalid(field, "has %d characters, at most %d are allowed", n, limit)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return invalid(field, "has a control character (U+%04X)", r)
		}
	}
	return nil
}

// ParseLength reads a length of time that people write: as Go does, such as 500ms, 90m or 1h30m, or in whole days, such as
// 30d. It may be negative or zero; who asks decides whether that makes sense. Errors: INVALID_ARGUMENT.
func ParseLength(field, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil {
			n = max(-maxDays, min(n, maxDays)) // which is refused wherever there is a bound, and does not overflow
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil {
		return 0, invalid(field, "%.40q is no length of time, want such as 500ms, 90m, 1h30m or 30d", text)
	}
	return d, nil
}

// maxDays is the most days that a time.Duration holds.
const maxDays = int(math.MaxInt64 / (24 * time.Hour))
