package engine

import (
	"cmp"
	"slices"
	"strings"
)

// CompareVersions is the order of versions: negative if a is older than b, positive if it is newer, 0 if neither. It is
// a total order (DTS: versioning, O-41):
//
//   - no version is older than any;
//   - a numeric version (digits, or groups of digits with a dot between each two) is compared group by group, as
//     numbers; a group that is missing counts as 0, so 1.0 and 1.0.0 are equal, and 1.9 is older than 1.10;
//   - others are compared as text, without regard to case;
//   - a numeric version is older than one that is not. (If those two were compared as text there would be circles: 9
//     before 10 as numbers, 10 before 1x and 1x before 9 as text.)
func CompareVersions(a, b string) int {
	numericA, numericB := isNumeric(a), isNumeric(b)
	switch {
	case a == "" || b == "":
		return cmp.Compare(min(len(a), 1), min(len(b), 1))
	case numericA && numericB:
		return compareNumeric(a, b)
	case numericA:
		return -1
	case numericB:
		return 1
	}
	return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
}

func isNumeric(v string) bool {
	digit := false // before this character
	for i := range len(v) {
		switch c := v[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c == '.' && digit:
			digit = false
		default:
			return false
		}
	}
	return digit
}

func compareNumeric(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		// As text, because a group may be longer than any integer.
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
			return c
		}
	}
	return 0
}

// Match is which versions of an orchestration a worker takes, by those it has a handler for (DTS: match strategies,
// O-42).
type Match string

// The strategies. The zero value is MatchStrict.
const (
	// MatchStrict takes the versions of its handlers, letter for letter.
	MatchStrict Match = "STRICT"
	// MatchCurrentOrOlder takes older ones too: the oldest handler that is not older than the instance runs it.
	MatchCurrentOrOlder Match = "CURRENT_OR_OLDER"
	// MatchNone takes any: as MatchCurrentOrOlder, and what is newer than all handlers goes to the newest.
	MatchNone Match = "NONE"
)

// Check tells whether there is such a strategy. Errors: INVALID_ARGUMENT.
func (m Match) Check(field string) error {
	switch m {
	case "", MatchStrict, MatchCurrentOrOlder, MatchNone:
		return nil
	}
	return invalid(field, "%q is not one of %s, %s and %s", string(m), MatchStrict, MatchCurrentOrOlder, MatchNone)
}

// loose tells whether the versions that are taken cannot be listed.
func (m Match) loose() bool { return m == MatchCurrentOrOlder || m == MatchNone }

// Choose picks, of the versions that have a handler, the one that runs an instance of a version; false if none does.
func (m Match) Choose(have []string, version string) (string, bool) {
	if slices.Contains(have, version) {
		return version, true
	}
	if !m.loose() || len(have) == 0 {
		return "", false
	}
	newest, best, found := have[0], "", false
	for _, h := range have {
		if later(h, newest) {
			newest = h
		}
		if CompareVersions(h, version) >= 0 && (!found || later(best, h)) {
			best, found = h, true
		}
	}
	if !found && m == MatchNone {
		return newest, true
	}
	return best, found
}

// later is the order of versions, and of those that are equal by it, such as 1.0 and 1.0.0, the one of their text: so that
// the choice does not depend on the order in which they are listed.
func later(a, b string) bool { return cmp.Or(CompareVersions(a, b), cmp.Compare(a, b)) > 0 }

// Accepts tells whether the worker runs instances of an orchestration in a version.
func (c *Capabilities) Accepts(name, version string) bool {
	_, ok := c.Match.Choose(c.versionsOf(name), version)
	return ok
}

// versionsOf lists the versions in which the worker has an orchestration.
func (c *Capabilities) versionsOf(name string) []string {
	var have []string
	for _, d := range c.Orchestrations {
		if d.Name == name {
			have = append(have, d.Version)
		}
	}
	return have
}

// describe says what the worker takes of an orchestration, for people.
func (c *Capabilities) describe(name string) string {
	have := c.versionsOf(name)
	slices.SortFunc(have, func(a, b string) int { return cmp.Or(CompareVersions(a, b), cmp.Compare(a, b)) })
	for i, v := range have {
		if v == "" {
			have[i] = noVersion
		}
	}
	text := strings.Join(have, ", ")
	if text != "" && c.Match == MatchCurrentOrOlder {
		return text + " or older"
	}
	return text
}

// noVersion stands where instances are meant that have no version.
const noVersion = "instances without a version"

// versionText names a version to people.
func versionText(version string) string {
	if version == "" {
		return noVersion
	}
	return "version " + version
}
