package model

// seed is a fault planted in the protocol: rules turned off, and a world in
// which that must be found.
type seed struct {
	text  string
	world string
	off   rule
}

// explore looks for the fault.
func (s *seed) explore(maxStates int) result {
	for _, w := range worlds() {
		if w.name == s.world {
			return w.explore(s.off, maxStates)
		}
	}
	panic("no world " + s.world)
}

// seeds is one seed or more for each rule that some world notices.
func seeds() []seed {
	return []seed{
		// From the design.
		{"flags tested before the lock", "events-release", lockThenTest},
		{"release without looking at the inbox", "events-release", releaseLooks},
		{"first commit does not re-read the inbox", "events-release", readBack},
		{"in one batch, wake-ups and release tests before inserts", "child", statementOrder},
		{"the first design read literally: same River row made available, epoch bumped only where owner = dead worker, no worker fence, flag instead of turn_job, losers evicted and Work returns nil", "events-zombie", newRowID | sweepBumpsAlways | laneFence | turnJobCompared | snoozeNotNil | reloadLosers},
		{"first commit of a fenced worker: same row, epoch bumped only where owner = dead worker, no worker fence, no take-over", "events-zombie", newRowID | sweepBumpsAlways | laneFence | turnJobCompared | takeOver},
		{"the same, and no epoch bump at all, but job ids compared", "events-zombie", newRowID | sweepBumpsEpoch | laneFence | takeOver},
		{"same River row reused", "two-deaths", newRowID},
		{"a turn job whose instance names another owner is deleted as stale", "unknown-outcome-zombie", takeOver},
		{"same River row reused, and Work of a fenced worker returns nil", "events-zombie", newRowID | snoozeNotNil},
		{"Work returns nil without having deleted its row", "river-zombie", snoozeNotNil},
		{"turn_job is a flag: a session does not compare it with its job", "restart-tx", turnJobCompared},
		{"River completion without token (plain activity)", "river-zombie", tokenDeleted | laneFence},
		{"River completion without token (TxHandler)", "tx-river", tokenDeleted},
		{"dead worker's rows collected only once", "river-zombie", sweepForEver},
		{"loser evicted for good: Work returns nil, the row keeps its owner", "batch-losers", reloadLosers | snoozeNotNil},
		{"evicted session dropped after an unknown outcome", "unknown-outcome", reloadLosers},
		{"unknown outcome: seq read without fencing the old connection", "unknown-outcome", fenceOldLane | reloadLosers},
		{"token rows in the own name not adopted after an unknown outcome", "unknown-outcome", adoptOwnRows},
		{"TxHandler without a token row (epoch and dedup key only)", "tx-local-event", txToken},
		{"TxHandler without a token row, and hand-over without epoch bump", "drain-tx", txToken | handOverBumps},
		{"local activities started after the load, before a commit set owner", "events-release", claimBeforeStart},
		{"results matched by task number only (River)", "renew-river", resultsHaveGen},
		{"results matched by task number only (local)", "renew-local-tx", resultsHaveGen},
		{"results matched by task number only, and old timers stay", "renew-timer", resultsHaveGen | renewDropsRows},
		{"seq starts at 0 again on continue-as-new and restart", "restart-tx", seqNeverBack},
		{"timer delivered without requiring its row", "timers", timerRow},
		{"event key lives only in the inbox row", "raise-unknown", eventKeys},
		{"a suspended instance may not release with held messages", "suspend", heldDoesNotBlock},
		{"results that finish while suspended are kept in memory only", "suspend-tx", spillWhenReleased},
		{"terminate sets the status only", "terminate", terminateBumps},
		{"a sender does not check that the target exists", "purge", targetExists},
		{"rewind ignores pending children", "rewind-child", rewindRelinks},

		// Refinement 1: continue-as-new in two commits.
		{"start message of the new generation in a commit of its own", "renew-local-tx", renewInOneCommit},
		{"B10 does not return it to the session", "renew-local-tx", readBackRenewal},
		{"next turn takes messages by id, not the start message first", "renew-carry", startFirst},
		{"carried-over events put back into the inbox as events", "renew-carry", carriedInStart},
		{"task rows and timers of the old generation stay", "renew-lose", renewDropsRows},

		// Refinement 2: two units in flight.
		{"later unit of an evicted session is not discarded", "retry-flight-lose", discardLater},
		{"later unit of an evicted session is not discarded, and does not name its predecessor's seq", "flight-lose", discardLater | namesPredecessor},
		{"local activities start when their unit is submitted", "flight", startAfterCommit},
		{"a release follows a unit that is in flight", "flight", letGoAlone},

		// Refinement 3: hold.
		{"hold as first drafted: compare-and-set and owner = null, nothing else", "panic-promoted", holdReplacesRows | holdQueuesRowless | holdSpills},
		{"the same, and a session that finds its tasks still running here does not claim", "panic-local", holdReplacesRows | holdQueuesRowless | holdSpills | claimIfBusy},
		{"the same as the first, after an unknown outcome", "panic-tx-lose", holdReplacesRows | holdQueuesRowless | holdSpills},
		{"a session that opens unclaimed waits for a task that still runs here, and does not claim", "panic-slow", claimIfBusy},
		{"hold clears turn_job", "hold", holdKeepsTurn},
		{"Work of a held turn returns nil", "hold", snoozeNotNil},
		{"hold of a locally started instance inserts no turn job", "hold-local-start", holdQueuesTurn},

		// Refinement 4: promotion and export.
		{"turn that records the result leaves the promoted row", "promote-event", recordDeletesRow},
		{"it deletes the row by an id that it may not know yet", "flight-promote", deletesByKey},
		{"result written to the inbox while suspended leaves the promoted row", "promote-suspend", spillDeletesRow},
		{"promoted rows in the own name not adopted after an unknown outcome", "promote-lose", adoptPromoted},
		{"a load does not learn which running tasks have a row", "promote-lose", promoteOnce},
		{"a load starts tasks again that have a row", "promote-event", redispatchRowless},
		{"an adopted task is not bound to the row that it was adopted with", "promote-slow-work", adoptKeepsID},
		{"a local task whose row is gone is written to the inbox all the same", "promote-slow-work", goneMeansDone},
		{"a load keeps local attempts of tasks that have become River tasks", "mix-hold-child-rewind", loadDisowns},
		{"an exported task stays in the local queue", "export", exportLeaves},

		// Refinement 5: raise in a user's transaction.
		{"deliver job inserted outside the user's transaction", "outbox-drain", deliverInTx},
		{"deliver job moves only the row that it came with", "outbox-drain", deliverAll},
		{"outbox rows are not deleted by the statement that delivers them", "outbox-drain", deliverDeletes},
		{"the sweep deletes deliver jobs of the dead", "outbox", sweepDeliveries},

		// Refinement 6: parked retries.
		{"parking keeps the River row, and Work returns nil", "retry-river", parkNewRow},
		{"a fenced worker's lane stays open: it parks a task that has been swept and done", "retry-flight", laneFence},
		{"parking does not need the row that it replaces", "retry-river", parkNeedsToken | laneFence},
		{"retry timers outlive their generation", "retry-terminate-restart", endDropsRetries},
	}
}
