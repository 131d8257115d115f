package model

import "strings"

// rule is one rule of the protocol, or a set of rules. Each can be turned off,
// to see that the model notices: a rule whose absence no world notices is
// redundant within the bounds, or not modelled. What the rules say is in
// ruleTable.
type rule uint64

const (
	// Sending, waking and releasing.

	lockThenTest rule = 1 << iota
	releaseLooks
	heldDoesNotBlock
	readBack
	statementOrder
	targetExists
	eventKeys
	spillWhenReleased

	// Sessions.

	turnJobCompared
	takeOver
	claimBeforeStart
	claimIfBusy
	reloadLosers
	snoozeNotNil
	adoptOwnRows
	adoptPromoted
	redispatchRowless
	adoptKeepsID
	loadDisowns

	// Results and timers.

	tokenDeleted
	txToken
	resultsHaveGen
	timerRow
	seqNeverBack

	// Death.

	laneFence
	newRowID
	sweepBumpsEpoch
	sweepBumpsAlways
	sweepForEver
	sweepDeliveries
	fenceOldLane
	handOverBumps

	// Control.

	terminateBumps
	rewindRelinks

	// Refinement 1: continue-as-new in two commits.

	renewInOneCommit
	startFirst
	carriedInStart
	readBackRenewal
	renewDropsRows

	// Refinement 2: two units in flight.

	namesPredecessor
	discardLater
	startAfterCommit
	letGoAlone

	// Refinement 3: hold.

	holdReplacesRows
	holdQueuesRowless
	holdSpills
	holdQueuesTurn
	holdKeepsTurn

	// Refinement 4: promotion and export.

	recordDeletesRow
	deletesByKey
	spillDeletesRow
	promoteOnce
	goneMeansDone
	exportLeaves

	// Refinement 5: raise in the user's transaction.

	deliverInTx
	deliverAll
	deliverDeletes

	// Refinement 6: parked retries.

	parkNewRow
	parkNeedsToken
	retryIfParked
	endDropsRetries
)

// ruleTable says what each rule demands, and where it is written: a section of
// protocol.md, a statement of the batch (B0-B10), a statement rule (S1-S7) or,
// for a refinement of the implementation, R1-R6.
var ruleTable = []struct {
	rule  rule
	name  string
	where string
	text  string
}{
	{lockThenTest, "lockThenTest", "S1", "a sender tests owner and turn_job in a statement after the lock"},
	{releaseLooks, "releaseLooks", "B8", "a release tests under the lock that nothing is deliverable"},
	{heldDoesNotBlock, "heldDoesNotBlock", "B8", "a message that is held neither blocks a release nor wakes"},
	{readBack, "readBack", "B10", "a first commit or claim returns the messages that came since the load"},
	{statementOrder, "statementOrder", "S2", "inserts, then releases, then wake-ups, each in its own statement"},
	{targetExists, "targetExists", "S4", "an insert for an instance selects from its row"},
	{eventKeys, "eventKeys", "4.3", "idempotency keys of events outlive the inbox row"},
	{spillWhenReleased, "spillWhenReleased", "4.6", "results that finish while suspended go to the inbox with the release"},
	{turnJobCompared, "turnJobCompared", "B2, 4.5", "a session must hold the very turn job that the instance names"},
	{takeOver, "takeOver", "4.5", "whoever holds the turn job takes over from any owner"},
	{claimBeforeStart, "claimBeforeStart", "4.5, I6", "local activities start only after a commit that set owner"},
	{claimIfBusy, "claimIfBusy", "4.5", "so does a session that is not the owner and finds local work that still runs: it claims"},
	{reloadLosers, "reloadLosers", "4.6", "a session that lost reloads, and ends only by snoozing"},
	{snoozeNotNil, "snoozeNotNil", "4.6", "Work returns nil only if our commit deleted the row"},
	{adoptOwnRows, "adoptOwnRows", "4.5", "a load adopts token rows in the own name that nobody here runs"},
	{adoptPromoted, "adoptPromoted", "R4, 4.5", "so does it rows of promoted tasks"},
	{redispatchRowless, "redispatchRowless", "4.5", "a load starts again only tasks that have no row"},
	{adoptKeepsID, "adoptKeepsID", "4.5", "an adopted task is bound to the id of the row that it was adopted with"},
	{loadDisowns, "loadDisowns", "4.5, 4.6", "a load disowns local attempts whose task has a result, or a row that does not run in the own name"},
	{tokenDeleted, "tokenDeleted", "B6, I2", "a result is delivered only by the deletion of its token"},
	{txToken, "txToken", "4.9", "a TxHandler always has a token row"},
	{resultsHaveGen, "resultsHaveGen", "B6, 4.6", "results are matched by generation, not by task number alone"},
	{timerRow, "timerRow", "4.13", "a timer fires only by the deletion of its row"},
	{seqNeverBack, "seqNeverBack", "1.1", "seq goes on counting over continue-as-new and restart"},
	{laneFence, "laneFence", "B0", "a fenced worker commits nothing through a lane"},
	{newRowID, "newRowID", "4.14", "the sweep replaces a row by one with a new id"},
	{sweepBumpsEpoch, "sweepBumpsEpoch", "4.14", "the sweep of a turn row bumps the epoch"},
	{sweepBumpsAlways, "sweepBumpsAlways", "4.14", "it does so wherever turn_job is the row, not only where owner = the dead worker"},
	{sweepForEver, "sweepForEver", "4.14", "rows in the name of a dead client are swept whenever they appear"},
	{sweepDeliveries, "sweepDeliveries", "R5, 4.14", "the sweep replaces deliver jobs too"},
	{fenceOldLane, "fenceOldLane", "4.14", "after an unknown outcome the lane is taken over before anything is read"},
	{handOverBumps, "handOverBumps", "4.12", "a hand-over bumps the epoch"},
	{terminateBumps, "terminateBumps", "4.7", "terminate bumps seq and epoch and deletes what belongs to the instance"},
	{rewindRelinks, "rewindRelinks", "4.11", "rewind looks at the children still pending"},
	{renewInOneCommit, "renewInOneCommit", "R1, 4.10", "the start message of the new generation is inserted with the last row of the old one"},
	{startFirst, "startFirst", "R1, 4.6", "the start message is consumed before all others"},
	{carriedInStart, "carriedInStart", "R1, 4.10", "carried-over events travel inside the start message"},
	{readBackRenewal, "readBackRenewal", "R1, B10", "the unit that continues as new gets its start message back"},
	{renewDropsRows, "renewDropsRows", "R1, 4.10", "task rows and timers of the old generation go with it"},
	{namesPredecessor, "namesPredecessor", "R2, 3", "a unit names the seq of its predecessor"},
	{discardLater, "discardLater", "R2, 4.6", "when a unit loses or its outcome is unknown, the later units of its session are discarded"},
	{startAfterCommit, "startAfterCommit", "R2, 3", "local activities start only when the unit that schedules them has committed"},
	{letGoAlone, "letGoAlone", "R2, 4.6", "a release, hand-over or hold is submitted only when no other unit of the session is in flight"},
	{holdReplacesRows, "holdReplacesRows", "R3", "a hold replaces the task rows that run in the own name by available ones"},
	{holdQueuesRowless, "holdQueuesRowless", "R3", "a hold inserts available rows for local tasks that have none"},
	{holdSpills, "holdSpills", "R3", "a hold writes results that nobody has recorded to the inbox"},
	{holdQueuesTurn, "holdQueuesTurn", "R3", "a hold of an instance without a turn job inserts one"},
	{holdKeepsTurn, "holdKeepsTurn", "R3", "a hold leaves turn_job as it is"},
	{recordDeletesRow, "recordDeletesRow", "R4, 4.9", "the turn that records a result deletes the row of a promoted task"},
	{deletesByKey, "deletesByKey", "R4, 4.9", "it finds that row by key, not by an id that it may not know yet"},
	{spillDeletesRow, "spillDeletesRow", "R4, 4.6", "so does whoever writes such a result to the inbox"},
	{promoteOnce, "promoteOnce", "R4, 4.9", "a load learns which running tasks have a row, so that none is promoted twice"},
	{goneMeansDone, "goneMeansDone", "R4, 4.12", "a local task whose row is gone has delivered: it is not parked, handed over or written to the inbox"},
	{exportLeaves, "exportLeaves", "R4, 4.9", "an exported task leaves the session's local set"},
	{deliverInTx, "deliverInTx", "R5, 4.4", "the deliver job is inserted in the user's transaction"},
	{deliverAll, "deliverAll", "R5, 4.4", "a deliver job moves all outbox rows of its target, in order"},
	{deliverDeletes, "deliverDeletes", "R5, 4.4", "rows are deleted by the statement that delivers them"},
	{parkNewRow, "parkNewRow", "R6, 4.9", "parking replaces the row by one with a new id, or else Work must not return nil"},
	{parkNeedsToken, "parkNeedsToken", "R6, 4.9", "parking needs the row it replaces"},
	{retryIfParked, "retryIfParked", "R6, 4.9", "a retry timer makes only a waiting row available"},
	{endDropsRetries, "endDropsRetries", "R6, 4.7, 4.10", "retry timers go with their generation"},
}

// String lists the names of the rules in a set.
func (r rule) String() string {
	var names []string
	for _, entry := range ruleTable {
		if r&entry.rule != 0 {
			names = append(names, entry.name)
		}
	}
	return strings.Join(names, ", ")
}
