package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// ReusePolicy says what a start does when its id is taken (DTS: dedupeStatuses, O-51). The zero policy refuses.
// Whatever it says holds under races: of the starts of one id that come together, each is answered as if they had
// come one after another.
type ReusePolicy struct {
	// Replace lists the statuses in which the present instance gives way: it is deleted with all that belongs to it,
	// and the new one takes its place, in one commit. A live one is ended as if terminated: what it runs is told to
	// stop, and its parent hears that it was terminated; its children run on. Who allows that for a live status has
	// to allow it for TERMINATED too.
	Replace []history.Status
	// Existing has a start whose id is taken by an instance that does not give way answer with that instance. Whether
	// it is of the same orchestration, or has the same input, is not looked at. Without it such a start is refused.
	Existing bool
}

func (p *ReusePolicy) isZero() bool { return len(p.Replace) == 0 && !p.Existing }

// check tests a policy. id is the id that the caller chose.
func (p *ReusePolicy) check(field, id string) error {
	if p.isZero() {
		return nil
	}
	if id == "" {
		return invalid(field, "needs an id: one that is made up is never taken")
	}
	for _, s := range p.Replace {
		if !(liveStatuses | endedStatuses).has(s) {
			return invalid(field, "an instance is never %s, only its generations are", s)
		}
		if s.Live() && !slices.Contains(p.Replace, history.Terminated) {
			return invalid(field, "who replaces instances that are %s has to replace those that are TERMINATED, too", s)
		}
	}
	return nil
}

// decide says what a start does about the instance that has its id: it takes its place, by the purge that is returned,
// or answers with it, or is refused.
func (p *ReusePolicy) decide(taken store.FindInstancesRow) (replaced *purge, existing bool, err error) {
	if mask := maskOf(p.Replace...); mask.has(statusOf(taken.Status)) {
		replaced = &purge{no: taken.No, mask: mask}
		if taken.ParentNo == 0 {
			return replaced, false, nil
		}
		why := replacedFailure()
		replaced.parent = taken.ParentNo
		replaced.answer, err = history.Encode([]history.Event{&history.SubOrchestrationInstanceFailed{
			Header: history.Header{At: time.Now().UTC().Truncate(time.Microsecond)}, TaskID: taken.ParentTask, Failure: why,
		}})
		return replaced, false, err
	}
	return nil, p.Existing, nil
}

// replacedFailure is what the parent of a live instance hears that gave way to another.
func replacedFailure() *history.Failure {
	return &history.Failure{
		Type: history.Terminated.String(), Message: "terminated: another instance was started in its place", NonRetriable: true,
	}
}

func idTaken(field, id string) error {
	return &Error{Code: CodeAlreadyExists, Field: field, Message: fmt.Sprintf("an instance with the id %q exists", id)}
}
