// Package engine is the product: instances, sessions, turns, timers, recovery, live views. It speaks no HTTP and
// knows neither River's types nor anybody's code: user code is behind Executor, River behind package jobs.
//
// # The model
//
// An instance is one execution of an orchestration. What it has done is in its history, an append-only record of
// events; what it has been sent and not yet taken in is in its inbox. A turn takes messages from the inbox, lets
// the orchestration's code go on until it waits again, and records what arrived and what the code decided:
//
//	messages -> Executor -> decisions -> decide -> unit -> commit -> activities start, callers are answered
//
// decide is a pure function. The unit is everything the turn wants changed; the committer (lane) brings the units
// of many instances into the database in one transaction.
//
// An instance can be asked to end by itself: a message that its code is told of like of an event. What it gives up then,
// or by itself, is a decision too (TaskCanceled); rows and timers go in the commit that records it, children get the
// same message. One that nobody has begun ends at once.
//
// A turn job is a River job that entitles one process to open a session on one instance. A session loads the
// instance once and then runs turn after turn in memory for as long as there is work, so a River job stands for
// a lease, not for a turn. Activities start in the session's own process right after the commit that scheduled
// them, while it has free slots; the others become River jobs in that same commit, for any worker.
//
//	            start                 first commit                   nothing left to do
//	(no row) ----------> PENDING ------------------> RUNNING, owned ---------------------> RUNNING, released
//	                       |                           |  ^                                   |
//	                       |                           |  '--- message: a new turn job -------'
//	                       v                           v
//	             TERMINATED, CANCELED     COMPLETED, FAILED, CANCELED, TERMINATED
//
// Each of these that is live may be SUSPENDED, with or without an owner, until it is resumed.
//
// # Who may write
//
// Four columns of an instance decide who may change it:
//
//   - turn_job is the id of the one River row that entitles to a session; null means that nothing is due.
//   - owner is the worker whose session has committed since it opened. Messages wake the owner.
//   - seq is the number of the last history event. It never goes back, not on continue-as-new either.
//   - epoch grows whenever somebody other than the running session makes it invalid, and on take-over.
//
// A unit is applied only to the (seq, epoch) it was computed from, and only if its worker owns the instance, or
// nobody does and turn_job is the session's job. Whoever holds the job an instance names may take it over, under
// a new epoch. So of two processes that believe to hold an instance one loses its next commit, whatever the
// clocks say; it reloads, or lets go.
//
// # Invariants
//
//	I1  A unit is applied only to the state it was computed from.
//	I2  One result per (instance, generation, task). It needs its token deleted in the same transaction: the River
//	    row of a task that has one, the timers row, the outbox row; for a task of this process without a row the
//	    token is its pending entry together with I1. River's attempts are no fence.
//	I3  An inbox row is deleted by the commit that consumes it, in the order of the ids.
//	I4  A live instance with a message it could act on has a turn job that is available or running in a process
//	    that will read the inbox from now on, or a wake-up is on its way to its owner.
//	I5  The River row that turn_job names exists; an owner is set only beside a turn_job.
//	I6  Nothing of a session runs before a commit made this worker the owner under the session's epoch.
//	I7  An instance that has ended has no owner, turn job, inbox, timers or task rows. Of one that was purged
//	    nothing is left.
//	I8  TERMINATED is left only by a restart, or a purge.
//	I9  A fenced worker commits nothing through its lanes.
//
// # The batch
//
// A batch holds units of many instances, of each instance at most one that writes its row. Its statements are
// queued into one pipeline with one Sync, hence one implicit transaction and one round trip:
//
//	B0   advance the lane's counter: the fence, and the proof that this batch landed
//	     lock and move on schedules that fire                    compare-and-set: a row that does not match: a loser
//	B1   lock all instances the batch touches, in one statement, by ascending number
//	     delete instances: purged, or giving way to a start      those in the wrong status stay: asked again, or told
//	B2   compare-and-set of the units' own rows                  a row that does not match: a loser
//	B3   insert new instances                                    an id that is taken: decided by the unit
//	B4   history rows
//	B5   delete consumed messages
//	B6   tokens to messages (results, due timers, outbox), then plain messages
//	B7   timers and River rows, in and out
//	B8   releases and hand-overs                                 refused if a message has come
//	B9   wake-ups: a turn job for targets without one, a notification to the owners of others, and to those who wait
//	     for instances that end
//	B10  read back what reached the inboxes of first commits and of refused releases
//
// Activities start, sessions go on and callers are answered only after its success. A batch of turns alone has no B1:
// its one statement of B2 takes the same locks in the same order before it compares. A batch of one turn or one start
// does its first statements in one function (commit_turn, commit_start), in the same order.
//
// The order is the point. Locks are taken in one order by everybody: a lane's own row, schedules by number, instances by
// number, new instances by (hub, id), what hangs on an instance, River rows by id. Flags are tested in a later statement than
// the lock, because a statement that waited for a lock still sees the snapshot from before (inside one statement
// a second look is no better). A statement that deletes a token delivers its message too: a second deleter waits
// and gets nothing. Everything inserted for an instance selects from its row, so that nothing outlives it.
// Inserts come before releases, releases before wake-ups, each a statement of its own: the parts of one statement
// do not see each other's changes, and a wake-up would be lost.
//
// A batch is at most 256 KB, because a pipeline that stops in the middle keeps its locks and no timeout of
// Postgres ends it; larger values are written before, into payloads. A transaction of a user never holds an
// instance's row while user code runs: StartTx inserts rows that nobody else can see, RaiseTx writes to the
// outbox, and a TxHandler locks in the pipeline that also commits (the function finish_task).
//
// Plans of these statements are pinned, and made anew when a table has doubled (planAge).
//
// What can go wrong with a batch:
//
//   - Losers: it is rolled back; units whose instance has moved on are told, the others are sent again in their
//     order. A mismatch is for good, so each round removes a unit.
//   - A row that somebody else keeps locked: after lock_timeout the units that touch it are parked for 100 ms, the
//     others go on.
//   - The connection breaks and the outcome is unknown: the old backend is ended, the lane's row is taken over on
//     a new connection (which waits for a batch in flight), and its counter says whether the batch landed. If it
//     did, the sessions reload; if not, it is sent again. Never guessed.
//
// Who watches more than ends is told after the commit, by the herald of the process: a notification in a commit
// makes Postgres wake every listener of the database before it answers.
//
// # Versions
//
// River hands a worker only the kinds of jobs that it knows, and a turn job's kind has the version in it: what nobody takes
// is fetched by nobody. Versions that a worker takes and cannot list stand in the table versions, which has every version
// that was ever started and is noted beside the start, not in its batch: whoever comes to know a version looks for its
// jobs then, so it does not matter which of the two is seen first. A worker that is to fail what nobody takes fetches those
// versions that no live worker accepts, and asks once more before it opens the instance; the turn that ends it is decided
// by unmatched in place of the code.
//
// # The session
//
// open reads the instance, its inbox and its task rows in one snapshot; the history only if the cache has not
// exactly this (generation, seq, epoch). An owner that is set is taken over first. An instance that was only just
// started need not be read: its turn job brings what was started, and if that is true no more, the first commit
// loses. Its start is no message either: the row says so itself (PENDING and not delayed), and counts as one. Tasks that nobody runs are
// started only after a claim, a commit that makes this worker the owner (I6). The first commit of a session reads
// the inbox again (B10), because until then nobody knew whom to wake.
//
// Units are submitted without waiting; up to two are on their way. When one is lost everything in memory may be
// wrong, except the activities that run: the session reloads under a new epoch and keeps those whose task is
// still pending.
//
// An instance is suspended and resumed by its row, if nobody has it; else by a message, which goes before all others,
// so that a session loses nothing it has in memory. A suspended session takes in nothing else. Its tasks go on, and
// results that exist only in memory are written to the inbox, where they wait like all that arrives: for resuming, a
// message that counts as one a session can act on.
//
// With nothing to do for Config.IdleRelease the instance is released: in one statement, if its inbox holds
// nothing it could act on, owner and turn_job become null and the River row is deleted. Its state stays in the
// cache. The River worker returns nil only when a commit of ours deleted its row, or the row was not the
// instance's turn job; in every other case the job is snoozed, which spends no attempt.
//
// Code that does not fit its history, or panics, holds the turn: nothing is committed but the reason, and the job
// comes back later, or at once when a worker with other code joins. A drain lets go of idle sessions, gives
// activities time, and hands over the rest: running tasks become available River rows, tokens are replaced, the
// epoch grows.
//
// # Limits
//
// A call that names a limit waits as a pending River row, which River hands to nobody, with a row in limit_calls (B7). After
// the commit that made it wait, or that freed a place, the limiter asks the database's function let_through, which locks
// the bucket of (hub, limit, key), counts the places and makes rows available. Its lock comes before those of River rows,
// and it waits for none of these. The place is the call's: it is free when the River row is gone, or waits for the call's
// next attempt. The leader sweeps for what a process that died has not told.
//
// # Entities
//
// An entity is an instance that never ends: id @name@key, outcome 100. Its turn is a batch of requests: operations, and at
// most one change of its lock, which ends the batch. Its history is one row that holds all of it, and each commit replaces
// it. While it is locked its status is suspended; messages of kind 8, from the holder, pass. A request for a lock goes
// from entity to entity in the order of their ids, and the last one grants it. Who ends or gives up sends the unlocking in
// that commit; a grant that nobody waits for any more is sent back; and a leader unlocks what the dead have left.
//
// Messages to other instances go through the outbox. Whoever has committed them delivers them then; the River row in its
// name is for whoever sweeps up after its death. Delivery makes an entity that is not there.
//
// # Results
//
// A task without a row delivers in memory, and the turn that records it commits under I1. After a second it is
// promoted to a River row in this worker's name, so that tools see it; one that waits for a slot for more than
// 100 ms is given to River. A task that came through River delivers by deleting its row. A TxHandler always has a
// row: the user's writes, the deletion of the row and the result commit together or not at all.
//
// # Traces
//
// Whether an instance is traced is decided at its start and stored with it. The session makes the spans of a turn from its events
// and from what was pending before it, and puts them into the turn's unit; the lane hands those of a batch to the sink once it
// has landed, before anybody is answered. So spans share the fate of units: none twice, and none of a unit that lost.
//
// # Timers
//
// A timers row is the right to fire: whoever deletes it delivers, and only if it is due by the database's clock.
// What is due within 30 seconds is held in memory by the process that made it; the rest is read ahead by one
// leader. Hints may be stale or doubled without harm.
//
// The deadlines of a call are timers too, but only beside its River row: they end the call by deleting that, its token,
// in the statement that delivers the failure. A call without a row is bounded by the process that runs it.
//
// # Schedules
//
// A schedule's row says what its next firing is. The leader reads which are due and decides what to do (planFirings); one
// unit moves the row on, from the seq it was read at, and starts the instances. Whoever else fires or changes the
// schedule meanwhile makes the batch lose: the firing's unit is dropped, and the row read again. So a firing is acted on
// once, whoever leads and whoever believes to; others than the leader take what is overdue. What waits for an instance
// to end is in the row, and looked at twice a second.
//
// # Operations on many
//
// An operation's row says which page of instances is at work, written before the first of them is touched, and how far it
// is. One node has it, by its number and a count of claims; when that node is dead, or has left, any other claims it. What
// is done to an instance is what anybody may do to it, in a commit of its own; so a page may be done again, also by a node
// that has lost the operation and does not know yet. Whoever stores the page's end compares the claim, and what is found as
// it was to become counts as done: each instance counts once. Pages are ordered by (created_at, no), and end where the
// operation began.
//
// Retention is the leader's: it reads the rules anew for each page, finds what ended long enough ago by (name, outcome,
// completed_at), and purges it.
//
// # Death
//
// Every worker holds an advisory lock on a connection on which it also listens for wake-ups, so it cannot miss
// one and live. Others try that lock four times a second; success means that the worker is dead. One transaction then
// fences it: its lanes' incarnation grows, which waits for a batch in flight. A worker that is silent for 15 s
// has its connections ended first. River rows that run in the name of workers that do not live are swept, for
// ever and not once, because a fenced process may fetch once more: each is deleted and replaced by a row with a
// new id, because River completes rows by id and state alone. The transaction of a TxHandler holds a shared lock on
// its worker's number; those of workers that do not live are ended, because a stopped process would keep their row
// locks. A fenced process stops, drops its sessions and joins again under a new number.
//
// # What workers die of
//
// The sweep counts, in the table deaths, what was in hand. The second time it leaves the new row pending, which River gives
// to nobody, and the leader gives such suspects out apart from each other; for a while they alone are to blame when their
// worker dies. What gets on is none any more, because the count belongs to the instance's seq, or to the task's row. After as
// many deaths as the hub allows the row stays pending: a dead letter, whose instance says so, until Redrive. Nothing of this is
// in the commits of sessions. A turn that follows a death carries the count in its job's arguments, and its session gives each
// activity a row from the start, so that the next death is known to be its.
//
// # Archives
//
// Export reads instances that have ended with all their rows, a few in one snapshot; package archive is their form in a file.
// Archive purges, under their locks, those whose seq and updated_at are as they were when they were read. Import writes an
// instance in one transaction: it has ended, so no session, timer or job has to know.
//
// # The audit
//
// What no rule above brings about, others do: an operator cancels or deletes a River job, the answer to River's fetch
// is lost. A turn job that nobody will ever work is the worst of it, because no message makes another one while
// turn_job is set. Three nets, each of which tests what it found again under the instance's lock, never waits for a
// lock, and counts and logs what it mends:
//
//   - every sweep replaces turn jobs that were finalized in the last ten minutes (finalized tasks are delivered);
//   - one leader walks the live instances by key, a thousand every 10 s. Of those untouched for a minute it
//     replaces turn jobs that are no row, or a finalized one, and gives a turn job to those that wait for an activity
//     without a row and without a result: findRedispatch does the rest;
//   - every node gives away the rows that run in its name and that it has not known in two rounds.
//
// The promises are kept by single commits, so one snapshot is enough to see one broken: age only saves work.
//
// # Rehearsals
//
// A Rehearsal runs instances in memory and in virtual time, for tests of orchestrations. It has state, admit and decide
// in common with sessions, and what they make of a plan (answers, openings, outcomes); it has no lanes, units and
// tokens, because nothing in it can be lost. Package durabletest holds its histories against those on Postgres.
//
// test/model explores these rules exhaustively in small worlds, and finds each of the faults that leaving one out
// brings. TestSimulation runs sessions, lanes, slots and timers themselves, by a seed, on a store in memory.
package engine
