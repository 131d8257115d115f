// Package model checks Weir's commit protocol by exploring every state of small
// worlds.
//
// The protocol itself is described in engine/doc.go and, statement by statement,
// in the design's protocol.md; numbers such as 4.6, B8, S2 and I4 refer to it,
// R1-R6 to the refinements listed below. This package is that text once more, as
// a program whose every run is tried.
//
//	go test ./test/model                       the worlds of CI and all seeds
//	go run ./test/model/cmd/model -full        all worlds, as a Markdown table
//	go run ./test/model/cmd/model -seeds -trace -only hold
//	go run ./test/model/cmd/model -ablate      which rules are redundant?
//
// RESULTS.md holds the last full run.
//
// # What a step is
//
// A state is all rows of the database that matter and the memory of all
// processes (state.go, rows.go, memory.go). A step is one atomic transaction, or
// one thing that a process does in memory. Transactions of Weir lock their
// instance rows first and test flags in later statements (S1, L1), so nothing
// can come between their statements, and the model may take each as one step.
// Every delay is an interleaving of steps; a stopped or partitioned process is a
// worker whose fence is shut while it goes on taking steps.
//
// Steps are of three kinds. Progress is what a live system does sooner or later.
// The environment is users, operators and clocks, which may never act. Faults
// are kills, lost connections, panics. What the environment and faults may do in
// a world is bounded by its budget.
//
// # How to read it
//
// Begin with protocol.go: next lists all steps of a state, by the part of the
// system that takes them. Then follow one instance:
//
//   - worker.go: River hands a row to a worker; Work returns.
//   - session.go: a session opens, loads, takes over, reloads, is woken.
//   - plan.go: what it wants committed: turns, claims, releases, promotions,
//     holds. The turn is computed here, from the session's memory only.
//   - unit.go: units are submitted, committed and acknowledged; what waits for the
//     acknowledgement (local tasks) and what does not (the next turn).
//   - commit.go: the batch, in the order of its statements B0-B9; B10 is in
//     unit.go, because its rows go to sessions.
//   - inbox.go, raise.go: messages, wake-ups, raised events, the outbox.
//   - local.go, call.go, timers.go: tasks in the session's process, River jobs,
//     timers.
//   - control.go, faults.go, reaper.go: operators, misfortune, death.
//
// Throughout, s is the state, w, i and t are the numbers of a worker, an instance
// and a task, and inst, wk, sess and loc are what they point at. A rule that can
// be turned off is asked for by name: p.on(laneFence). rules.go says what each
// rule demands; faulty.go has the steps that exist only without a rule.
//
// # What is checked
//
//   - Safety, in every state (properties.go): I1 (a unit is applied to the
//     history it was computed from), I2 (one result for each task, none of an
//     older generation, a TxHandler's writes once), I3 (events once and in order:
//     those accepted are always those recorded, carried over and waiting), I5-I8,
//     no owner that is deaf to a message (part of I4), one River row for each
//     task, the assertion of B5.
//   - Rests: a state without a progress step must be a good rest. Nothing is
//     queued, owned, stranded or leaked; every instance has ended, is suspended,
//     waits for something that only a user can send, or is held while nobody's
//     code fits.
//   - No cycles: progress steps cannot go round. Then every run of progress steps
//     ends, and by the previous point in a good rest; so from every state a rest
//     is reachable, and no message, result or task is stranded for ever, with no
//     assumption on fairness but that enabled steps are taken. A cycle is
//     reported as LIVELOCK if no rest can be reached from it, else as CYCLE.
//
// # Abstractions
//
//   - User code is a function of the history (program.go): it runs up to two
//     tasks in each generation, waits for events, may continue as new at the
//     first one or fail.
//   - Events are numbered when they are accepted, so that order and loss show.
//   - River completes, snoozes and sweeps by row id and state only; attempts play
//     no part.
//   - A fenced worker may fetch one more River job before it learns that it is
//     fenced: its next read or commit says so. Without that bound fetch and sweep
//     could alternate for ever; the protocol demands the check for this reason.
//   - "Retry a held turn later" is: a worker whose code does not fit tries a held
//     row once for each state of its instance, since a retry that finds nothing
//     changed changes nothing. A worker whose code fits may fetch it at any time.
//   - Time is not modelled: a timer that is known may fire; a deadline may pass.
//     That nothing fires early is the business of fire_at <= now().
//   - A local task is queued if the world has one slot and it is taken; otherwise
//     it starts at once. A process holds one attempt of each task of an instance.
//   - In worlds with one unit in flight, submission, commit and acknowledgement
//     are one step. In the others they are three, and a unit may be submitted and
//     even committed before the session learns of the previous one's commit.
//
// Not modelled: entities and their locks, recursive terminate and rewind, the
// audit, delayed start, versions and routing, partitions, several lanes of one
// worker, parking of units on a lock timeout, retention of event keys.
//
// # States that count as one
//
// The explorer visits one representative of all states that differ in names only
// (canon.go): workers are interchangeable, ids of rows are only compared for
// equality, seq and epoch only with the row's. That is sound if a state and its
// representative have the same successors up to such differences, which
// TestCanonicalIsACongruence checks on random walks. Counterexamples are replayed
// with the original names.
//
// States are known by fingerprints of 128 bits. Their contents are kept, packed,
// only until their successors are known.
//
// # Refinements
//
// Where the implementation refines the design, the model follows it:
//
//   - R1: continue-as-new takes two commits. The first writes the last row of the
//     old generation and inserts the start message of the new one, in which the
//     events travel that the old one carries over; the second consumes it.
//   - R2: a session may have two units in flight.
//   - R3: code that panics or does not match the history leads to a hold: the
//     session lets go, turn_job stays, River hands the row out again later. A
//     hold is a hand-over that keeps the turn job: results that nobody has
//     recorded go to the inbox, and local tasks become rows for any process. At
//     the least, rows that run in the own name must be replaced: promoted tasks
//     deliver through the session, and once it is gone nobody else would end
//     them. A session that opens unclaimed and finds tasks of its own still
//     running must claim (claimIfBusy), or it is deaf while it waits.
//   - R4: a rowless local task may be promoted (a row in the own name) or, while
//     queued, exported (a row for any process). A load must look at rows and
//     results before it keeps a local attempt (loadDisowns), and a task that is
//     known to have had a row is never given another by its session once that
//     row is gone (goneMeansDone).
//   - R5: an event raised in a user's transaction goes through the outbox. The
//     sweep must replace deliver jobs of the dead (sweepDeliveries).
//   - R6: a task that is to be tried again later waits as a parked row with a
//     retry timer. The row is a new one (parkNewRow), because River completes by
//     id: if it were the old one, the return of the first attempt could complete
//     the second.
//
// With R2 and R4 the fence B0 carries load: a sweep replaces the rows of an
// instance one by one, so a fenced session can still match the instance row when
// its task rows have gone to others already.
//
// # Adding a rule
//
// Add it to rules.go, with what it demands, and ask for it where it acts. Add a
// world in which it matters (worlds_list.go) and a seed that turns it off
// (seeds.go); TestSeeds fails until some world notices. Mark a world large if it
// has more than about 150,000 states: go test is to take less than a minute on
// two cores. If the model refutes a rule, do not bend the model: correct the rule
// there, and then in the engine.
package model
