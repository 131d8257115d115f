package durable

import (
	"cmp"

	"github.com/weir-dev/weir/engine"
)

// Version is a version of code: up to 40 characters, "" for none. An instance stays with the version that its start
// named, until a ContinueAsNew names another. On a handler it says which version the function is; on a start, a child or
// a call of an activity, which version is asked for; there "" asks for none, whatever the default is (DTS: versioning,
// O-40, O-44).
type Version string

func (v Version) applyCall(o *callOptions)       { o.version = &v }
func (v Version) applyHandler(o *handlerOptions) { o.version = v }
func (v Version) applyStart(o *startOptions)     { o.version = &v }

func (v Version) applySchedule(o *scheduleOptions) { o.version = &v }

// or is the version that an option names, else another.
func (v *Version) or(other Version) string {
	if v == nil {
		return string(other)
	}
	return string(*v)
}

// checkVersion tests the version that a call of an activity asks for.
func (o *callOptions) checkVersion(native bool) error {
	if native && o.version.or("") != "" {
		return &engine.Error{Code: engine.CodeInvalid, Field: "version", Message: "must be none for a plain River job, which has no versions"}
	}
	return engine.CheckVersion("version", o.version.or(""))
}

// CompareVersions is the order of versions: negative if a is older than b, positive if it is newer, 0 if neither. No
// version is older than any. Numeric versions, such as 1.9 and 1.10, compare number by number, and a number that is
// missing counts as 0; they are older than others, which compare as text without regard to case (DTS: O-41).
func CompareVersions(a, b Version) int { return engine.CompareVersions(string(a), string(b)) }

// DefaultVersion is the version of instances that a client starts without the option Version; the default is none.
// Schedules that the client puts have it, too.
type DefaultVersion Version

func (v DefaultVersion) applyClient(c *Client) { c.version = Version(v) }

// Versions says how a worker deals with versions of orchestrations. The zero value takes exactly what it has handlers
// for.
type Versions struct {
	// Current is the version of handlers of orchestrations that have no option Version; the default is none.
	Current Version
	// Default is the version of child orchestrations whose call has no option Version, and of instances that entities
	// start without one; the default is none.
	Default Version
	// Match says which versions of an orchestration the worker takes; the zero value is MatchStrict.
	Match Match
	// Unmatched says what becomes of instances whose version no worker takes; the zero value is RejectUnmatched.
	Unmatched Unmatched
}

// Match is a way to tell which versions of an orchestration a worker takes, by those that it has handlers for (DTS:
// match strategies, O-42). A worker inside a River application (AddTo) can only have MatchStrict.
type Match string

// The ways.
const (
	// MatchStrict takes what there is a handler for, letter for letter.
	MatchStrict = Match(engine.MatchStrict)
	// MatchCurrentOrOlder takes older instances, too: of the handlers that are not older than the instance the oldest
	// runs it.
	MatchCurrentOrOlder = Match(engine.MatchCurrentOrOlder)
	// MatchNone takes any: as MatchCurrentOrOlder, and what is newer than all handlers goes to the newest.
	MatchNone = Match(engine.MatchNone)
)

// Unmatched is what becomes of an instance of an orchestration that a worker has, in a version that no worker of the hub
// takes (DTS: failure strategies, O-43).
type Unmatched string

const (
	// RejectUnmatched leaves it where it is: its wait reason says what it waits for, and the first worker that takes its
	// version begins at once.
	RejectUnmatched Unmatched = "REJECT"
	// FailUnmatched ends it as FAILED, with ErrVersionMismatch, once no worker that lives takes its version.
	FailUnmatched Unmatched = "FAIL"
)

func (v *Versions) check() error {
	if err := cmp.Or(
		engine.CheckVersion("Versions.Current", string(v.Current)), engine.CheckVersion("Versions.Default", string(v.Default)),
		engine.Match(v.Match).Check("Versions.Match"),
	); err != nil {
		return err
	}
	switch v.Unmatched {
	case "", RejectUnmatched, FailUnmatched:
		return nil
	}
	return &engine.Error{Code: engine.CodeInvalid, Field: "Versions.Unmatched", Message: "is not one of REJECT and FAIL"}
}
