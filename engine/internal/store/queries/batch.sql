-- The statements of a batch, in the order in which a batch runs them (engine/doc.go, "The batch"). They are
-- queued into one pipeline with one Sync, hence one implicit transaction. Arrays run in parallel: element i
-- of each belongs to unit i.
--
-- status IN (0, 6, 7) = live: running, pending, suspended.


-- B0: the fence of the lane, and the proof that this batch landed. Primary key lookup; locks the lane's row.
-- name: AdvanceLane :exec
WITH lane AS (
    UPDATE lanes SET batch = batch + 1, seen_at = now()
    WHERE worker_no = @worker_no AND lane = @lane AND inc = @inc AND batch = @previous
    RETURNING 1
)
SELECT expect('WE001', 1, (SELECT count(*) FROM lane));

-- B0, B2 and B4 of a batch of one turn.
-- name: CommitTurn :exec
SELECT commit_turn(
    @worker_no::integer, @lane::smallint, @inc::integer, @previous::bigint,
    @no::bigint, @base::bigint, @epoch::integer, @job::bigint, @seq::bigint, @status::smallint,
    @output::bytea, @output_ref::bigint, @failure::bytea, @custom_status::bytea, @count::integer, @events::bytea
);

-- B0, B3, B7 and B9 of a batch of one start.
-- name: CommitStart :exec
SELECT commit_start(
    @worker_no::integer, @lane::smallint, @inc::integer, @previous::bigint,
    @no::bigint, @hub::integer, @id::text, @name::text, @version::text, @input::bytea, @input_ref::bigint,
    @job::bigint, @priority::smallint, @kind::text, @queue::text, @args::jsonb, @max_attempts::smallint, @river_channel::text
);

-- B1: all existing instances the batch touches, in one statement, by ascending number: the lock order that
-- every transaction of Weir keeps. Flags are tested in later statements only, because this one still sees
-- the snapshot from before it waited.
-- name: LockInstances :exec
SELECT count(*) FROM (
    SELECT i.no FROM instances i WHERE i.no = ANY(@nos::bigint[]) ORDER BY i.no FOR NO KEY UPDATE
) AS locked;

-- Purge: instances, and all that belongs to them, if their status is one of those whose bits are set in the mask
-- (1 << status). Locked by B1; a later statement, so that the test of the status sees what the lock waited for. A
-- parent that waits for one of them is told here: whoever deletes a live instance answers for it. What comes back is
-- gone; the owner's session does not know yet.
-- name: PurgeInstances :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@masks::integer[]) AS mask, unnest(@answers::bytea[]) AS answer
), victim AS (
    SELECT i.no, i.status, i.owner, i.turn_job, i.parent_no, i.parent_gen, i.parent_task, unit.answer
    FROM instances i JOIN unit ON unit.no = i.no
    WHERE (1 << i.status::integer) & unit.mask <> 0
), told AS (
    INSERT INTO inbox (instance_no, gen, task, kind, payload)
    SELECT p.no, victim.parent_gen, victim.parent_task, 3, victim.answer
    FROM victim JOIN instances p ON p.no = victim.parent_no
    WHERE victim.status IN (0, 6, 7) AND p.status IN (0, 6, 7) AND p.gen = victim.parent_gen
), record AS (
    DELETE FROM history h USING victim WHERE h.instance_no = victim.no
), letters AS (
    DELETE FROM inbox x USING victim WHERE x.instance_no = victim.no
), alarms AS (
    DELETE FROM timers t USING victim WHERE t.instance_no = victim.no
), keys AS (
    DELETE FROM event_keys k USING victim WHERE k.instance_no = victim.no
), large AS (
    DELETE FROM payloads p USING victim WHERE p.instance_no = victim.no
), turn AS (
    DELETE FROM river_job j USING victim WHERE j.id = victim.turn_job
), beats AS (
    DELETE FROM heartbeats b USING victim WHERE b.instance_no = victim.no
), progress AS (
    DELETE FROM progress p USING victim WHERE p.instance_no = victim.no
), tasks AS (
    DELETE FROM river_job j USING victim
    WHERE j.unique_key >= int8send(victim.no) AND j.unique_key < int8send(victim.no + 1)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state)
), bounded AS (
    DELETE FROM limit_calls c USING victim WHERE c.instance_no = victim.no
), dead AS (
    DELETE FROM deaths d USING victim WHERE d.instance_no = victim.no
), gone AS (
    DELETE FROM instances i USING victim WHERE i.no = victim.no
    RETURNING i.no
)
SELECT gone.no, coalesce(victim.owner, 0)::integer AS owner FROM gone JOIN victim ON victim.no = gone.no;

-- B2: turns, those that end their instance among them (a status that is not live). Compare-and-set on (seq, epoch) and
-- on the right to commit: the owner once claimed (job 0), else the turn job. A null custom status leaves it; an
-- empty one clears it; likewise who has suspended it. A turn that takes in no start (6, 7) begins nothing. Units come by ascending number and are joined in that order, so a batch of nothing else
-- keeps the lock order without B1.
-- name: ApplyTurns :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@bases::bigint[]) AS base,
           unnest(@epochs::integer[]) AS epoch,
           unnest(@jobs::bigint[]) AS job,
           unnest(@seqs::bigint[]) AS seq,
           unnest(@statuses::smallint[]) AS status,
           unnest(@outputs::bytea[]) AS output,
           unnest(@output_refs::bigint[]) AS output_ref,
           unnest(@failures::bytea[]) AS failure,
           unnest(@custom_statuses::bytea[]) AS custom_status,
           unnest(@suspensions::bytea[]) AS suspended
), applied AS (
    UPDATE instances i
    SET seq = unit.seq, status = unit.status, outcome = CASE WHEN unit.status IN (0, 6, 7) THEN i.outcome ELSE unit.status END,
        owner = CASE WHEN unit.status IN (0, 6, 7) THEN @worker_no::integer END,
        turn_job = CASE WHEN unit.status IN (0, 6, 7) THEN i.turn_job END,
        started_at = CASE WHEN unit.status IN (6, 7) THEN i.started_at ELSE coalesce(i.started_at, now()) END, updated_at = now(),
        completed_at = CASE WHEN unit.status NOT IN (0, 6, 7) THEN now() END,
        waiting = NULL, held = NULL,
        output = unit.output, output_ref = nullif(unit.output_ref, 0), failure = unit.failure,
        custom_status = CASE WHEN unit.custom_status IS NULL THEN i.custom_status ELSE nullif(unit.custom_status, '') END,
        suspended = CASE WHEN unit.suspended IS NULL THEN i.suspended ELSE nullif(unit.suspended, '') END
    FROM unit
    WHERE i.no = unit.no AND i.seq = unit.base AND i.epoch = unit.epoch AND i.status IN (0, 6, 7)
      AND ((unit.job = 0 AND i.owner = @worker_no::integer)
        OR (unit.job <> 0 AND i.owner IS NULL AND i.turn_job = unit.job))
    RETURNING 1
)
SELECT expect('WE002', cardinality(@nos::bigint[]), (SELECT count(*) FROM applied));

-- B2: turns that continue as new. The start message of the new generation follows in B6.
-- name: ContinueInstances :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@bases::bigint[]) AS base,
           unnest(@epochs::integer[]) AS epoch,
           unnest(@jobs::bigint[]) AS job,
           unnest(@seqs::bigint[]) AS seq,
           unnest(@inputs::bytea[]) AS input,
           unnest(@input_refs::bigint[]) AS input_ref,
           unnest(@versions::text[]) AS version,
           unnest(@custom_statuses::bytea[]) AS custom_status
), applied AS (
    UPDATE instances i
    SET seq = unit.seq, base_seq = unit.seq + 1, gen = i.gen + 1, status = 0, owner = @worker_no::integer,
        started_at = coalesce(i.started_at, now()), updated_at = now(), waiting = NULL, held = NULL,
        suspended = NULL,
        input = unit.input, input_ref = nullif(unit.input_ref, 0), version = nullif(unit.version, ''),
        custom_status = CASE WHEN unit.custom_status IS NULL THEN i.custom_status ELSE nullif(unit.custom_status, '') END
    FROM unit
    WHERE i.no = unit.no AND i.seq = unit.base AND i.epoch = unit.epoch AND i.status IN (0, 6, 7)
      AND ((unit.job = 0 AND i.owner = @worker_no::integer)
        OR (unit.job <> 0 AND i.owner IS NULL AND i.turn_job = unit.job))
    RETURNING 1
)
SELECT expect('WE002', cardinality(@nos::bigint[]), (SELECT count(*) FROM applied));

-- B2: claims, promotions, parks and hand-overs: the compare-and-set of a turn without a history row. It
-- makes the worker the owner; a hand-over gives that up again in B8.
-- name: ClaimInstances :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@bases::bigint[]) AS base,
           unnest(@epochs::integer[]) AS epoch,
           unnest(@jobs::bigint[]) AS job,
           unnest(@waitings::bytea[]) AS waiting
), applied AS (
    UPDATE instances i
    SET owner = @worker_no::integer, waiting = coalesce(unit.waiting, i.waiting)
    FROM unit
    WHERE i.no = unit.no AND i.seq = unit.base AND i.epoch = unit.epoch AND i.status IN (0, 6, 7)
      AND ((unit.job = 0 AND i.owner = @worker_no::integer)
        OR (unit.job <> 0 AND i.owner IS NULL AND i.turn_job = unit.job))
    RETURNING 1
)
SELECT expect('WE002', cardinality(@nos::bigint[]), (SELECT count(*) FROM applied));

-- B2: holds. The turn job stays: River hands it out again later.
-- name: HoldInstances :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@bases::bigint[]) AS base,
           unnest(@epochs::integer[]) AS epoch,
           unnest(@jobs::bigint[]) AS job,
           unnest(@helds::bytea[]) AS held
), applied AS (
    UPDATE instances i
    SET owner = NULL, held = unit.held, waiting = NULL, updated_at = now()
    FROM unit
    WHERE i.no = unit.no AND i.seq = unit.base AND i.epoch = unit.epoch AND i.status IN (0, 6, 7)
      AND ((unit.job = 0 AND i.owner = @worker_no::integer)
        OR (unit.job <> 0 AND i.owner IS NULL AND i.turn_job = unit.job))
    RETURNING 1
)
SELECT expect('WE002', cardinality(@nos::bigint[]), (SELECT count(*) FROM applied));

-- B2: take-overs: whoever holds the turn job an instance names may make itself the owner. The rows that
-- come back won; the others open nothing.
-- name: TakeOverInstances :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@jobs::bigint[]) AS job
)
UPDATE instances i
SET owner = @worker_no::integer, epoch = i.epoch + 1
FROM unit
WHERE i.no = unit.no AND i.turn_job = unit.job AND i.status IN (0, 6, 7)
RETURNING i.no;

-- B2: terminations by the control plane. No compare-and-set: it is applied to whatever the instance is at,
-- and the epoch it bumps makes the session that is at work lose. Where children are to go too, each that lives gets a
-- job that does the same to it, with what all of them are told: no child can come behind it, because the parent's
-- session has lost. Returns those that were live.
-- name: TerminateInstances :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@counts::integer[]) AS n,
           unnest(@events::bytea[]) AS events,
           unnest(@outputs::bytea[]) AS output,
           unnest(@failures::bytea[]) AS failure,
           unnest(@children::jsonb[]) AS children
), before AS (
    SELECT i.no, i.turn_job, i.owner FROM instances i JOIN unit ON unit.no = i.no
), applied AS (
    UPDATE instances i
    SET seq = i.seq + unit.n, epoch = i.epoch + 1, status = 5, outcome = 5, owner = NULL, turn_job = NULL,
        updated_at = now(), completed_at = now(), waiting = NULL, held = NULL, suspended = NULL,
        output = unit.output, failure = unit.failure
    FROM unit
    WHERE i.no = unit.no AND i.status IN (0, 6, 7)
    RETURNING i.no, i.seq, unit.n, unit.events, unit.children, i.gen, i.started_at
), record AS (
    INSERT INTO history (instance_no, seq, n, codec, events)
    SELECT applied.no, applied.seq, applied.n, 1, applied.events FROM applied
), told AS (
    INSERT INTO river_job (state, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    SELECT 'available', 32767, now(), now(), 1, 'weir.control', 'weir_system',
           applied.children || jsonb_build_object('no', c.no, 'parent', c.parent_no), '{}', '{}'
    FROM applied JOIN instances c ON c.parent_no = applied.no AND c.outcome IS NULL
    WHERE applied.children IS NOT NULL
), turn AS (
    DELETE FROM river_job j USING before, applied WHERE before.no = applied.no AND j.id = before.turn_job
)
SELECT applied.no, applied.seq, coalesce(before.owner, 0)::integer AS owner, applied.gen, applied.started_at
FROM applied JOIN before ON before.no = applied.no;

-- B2: suspensions (kind 5) and resumptions (6) by the control plane. Of an instance that nobody has, and that has no
-- such message unread, the row itself is changed, and the seq makes whoever has only just opened it lose. Else the
-- session is told by a message, so that what it has in memory is not lost. A resumed instance that has not begun is
-- pending again. What is suspended already, or is not, stays as it is. Returns what the instances were.
-- name: ControlInstances :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@kinds::smallint[]) AS kind,
           unnest(@counts::integer[]) AS n,
           unnest(@events::bytea[]) AS events,
           unnest(@payloads::bytea[]) AS payload,
           unnest(@suspensions::bytea[]) AS suspended
), before AS (
    SELECT i.no, i.gen, i.status, i.owner IS NOT NULL OR EXISTS (
               SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND x.kind IN (5, 6)
           ) AS busy
    FROM unit JOIN instances i ON i.no = unit.no
), applied AS (
    UPDATE instances i
    SET seq = i.seq + unit.n, updated_at = now(), suspended = unit.suspended,
        status = CASE WHEN unit.kind = 5 THEN 7 WHEN i.started_at IS NULL THEN 6 ELSE 0 END
    FROM unit JOIN before ON before.no = unit.no AND NOT before.busy
    WHERE i.no = unit.no AND ((unit.kind = 5 AND i.status IN (0, 6)) OR (unit.kind = 6 AND i.status = 7))
    RETURNING i.no, i.seq, i.status, unit.n, unit.events
), record AS (
    INSERT INTO history (instance_no, seq, n, codec, events)
    SELECT applied.no, applied.seq, applied.n, 1, applied.events FROM applied
), told AS (
    INSERT INTO inbox (instance_no, gen, task, kind, payload)
    SELECT unit.no, before.gen, 0, unit.kind, unit.payload
    FROM unit JOIN before ON before.no = unit.no AND before.busy AND before.status IN (0, 6, 7)
)
SELECT before.no, before.status, coalesce(applied.seq, 0)::bigint AS seq, coalesce(applied.status, before.status)::smallint AS now_status
FROM before LEFT JOIN applied ON applied.no = before.no;

-- B2: restarts by the control plane of instances that have ended: a new generation, which is to start like a new
-- instance and belongs to no parent. seq and epoch go on, so that whoever still holds the old one loses. The record of
-- the generation that has ended stays, that of the ones before it goes. The row itself says that it is to start, so
-- B9 makes its turn job. Returns those that had ended.
-- name: RestartInstances :many
WITH before AS (
    SELECT i.no, i.base_seq FROM instances i WHERE i.no = ANY(@nos::bigint[]) AND i.outcome IS NOT NULL
), record AS (
    DELETE FROM history h USING before WHERE h.instance_no = before.no AND h.seq < before.base_seq
), keys AS (
    DELETE FROM event_keys k USING before WHERE k.instance_no = before.no
), tagged AS (
    UPDATE instance_tags t SET created_at = now() FROM before WHERE t.instance_no = before.no
)
UPDATE instances i
SET gen = i.gen + 1, epoch = i.epoch + 1, base_seq = i.seq + 1, status = 6, outcome = NULL, created_at = now(), updated_at = now(),
    started_at = NULL, completed_at = NULL, scheduled_at = NULL, parent_no = NULL, parent_gen = NULL, parent_task = NULL,
    output = NULL, output_ref = NULL, failure = NULL, custom_status = NULL, waiting = NULL, held = NULL
FROM before WHERE i.no = before.no
RETURNING i.no, i.seq;

-- B2: cancellations of instances that nobody has begun; one that somebody has is a loser, and is asked by a message.
-- name: CancelPending :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@counts::integer[]) AS n,
           unnest(@events::bytea[]) AS events,
           unnest(@failures::bytea[]) AS failure
), before AS (
    SELECT i.no, i.turn_job FROM instances i JOIN unit ON unit.no = i.no
), applied AS (
    UPDATE instances i
    SET seq = i.seq + unit.n, epoch = i.epoch + 1, status = 4, outcome = 4, turn_job = NULL,
        updated_at = now(), completed_at = now(), waiting = NULL, held = NULL, failure = unit.failure
    FROM unit
    WHERE i.no = unit.no AND i.status = 6 AND i.owner IS NULL
    RETURNING i.no, i.seq, unit.n, unit.events
), record AS (
    INSERT INTO history (instance_no, seq, n, codec, events)
    SELECT applied.no, applied.seq, applied.n, 1, applied.events FROM applied
), turn AS (
    DELETE FROM river_job j USING before, applied WHERE before.no = applied.no AND j.id = before.turn_job
)
SELECT expect('WE002', cardinality(@nos::bigint[]), (SELECT count(*) FROM applied));

-- B3: new instances, in (hub, id) order so that two batches that start the same ids cannot deadlock. An id
-- that is taken makes its unit a loser: the unique index says so. (ON CONFLICT would make each insert a speculative
-- one, which costs a third more.)
-- name: InsertInstances :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@hubs::integer[]) AS hub,
           unnest(@ids::text[]) AS id,
           unnest(@names::text[]) AS name,
           unnest(@versions::text[]) AS version,
           unnest(@inputs::bytea[]) AS input,
           unnest(@input_refs::bigint[]) AS input_ref,
           unnest(@scheduled_ats::timestamptz[]) AS scheduled_at,
           unnest(@turn_jobs::bigint[]) AS turn_job,
           unnest(@parent_nos::bigint[]) AS parent_no,
           unnest(@parent_gens::integer[]) AS parent_gen,
           unnest(@parent_tasks::integer[]) AS parent_task,
           unnest(@priorities::smallint[]) AS priority,
           unnest(@tags::jsonb[]) AS tags,
           unnest(@traces::text[]) AS trace
)
INSERT INTO instances (no, hub, id, name, version, input, input_ref, scheduled_at, turn_job, parent_no, parent_gen,
                       parent_task, priority, tags, trace, outcome, created_at, updated_at)
SELECT unit.no, unit.hub, unit.id, unit.name, nullif(unit.version, ''), unit.input, nullif(unit.input_ref, 0),
       CASE WHEN unit.turn_job = 0 THEN unit.scheduled_at END, nullif(unit.turn_job, 0), nullif(unit.parent_no, 0),
       CASE WHEN unit.parent_no <> 0 THEN unit.parent_gen END,
       CASE WHEN unit.parent_no <> 0 THEN unit.parent_task END, unit.priority, unit.tags, nullif(unit.trace, ''),
       CASE WHEN left(unit.id, 1) = '@' THEN 100 END, now(), now()
FROM unit ORDER BY unit.hub, unit.id;

-- B4: history rows.
-- name: InsertHistory :exec
INSERT INTO history (instance_no, seq, n, codec, events)
SELECT unnest(@nos::bigint[]), unnest(@seqs::bigint[]), unnest(@counts::integer[]), 1, unnest(@events::bytea[]);

-- B4: which event holds a large value; the last one counts, because what a generation hands to the next is recorded again
-- there. Values of other instances are not theirs to keep.
-- name: RecordValues :exec
WITH unit AS (
    SELECT unnest(@ids::bigint[]) AS id, unnest(@nos::bigint[]) AS no, unnest(@seqs::bigint[]) AS seq
)
UPDATE payloads p SET seq = unit.seq FROM unit WHERE p.id = unit.id AND p.instance_no = unit.no;

-- B4: history of the generations before the last one, dropped when an instance continues as new, so that an
-- eternal instance does not grow for ever.
-- The large values that only those events held go with them.
-- name: CutHistory :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@befores::bigint[]) AS before
), large AS (
    DELETE FROM payloads p USING unit WHERE p.instance_no = unit.no AND p.seq > 0 AND p.seq < unit.before
)
DELETE FROM history h USING unit WHERE h.instance_no = unit.no AND h.seq < unit.before;

-- B5: consumed messages. A missing one can only be a bug.
-- name: DeleteConsumed :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@ids::bigint[]) AS id
), gone AS (
    DELETE FROM inbox x USING unit WHERE x.instance_no = unit.no AND x.id = unit.id RETURNING 1
)
SELECT expect('WE009', cardinality(@nos::bigint[]), (SELECT count(*) FROM gone));

-- B5: the whole inbox of instances that end.
-- name: DropInbox :exec
DELETE FROM inbox WHERE instance_no = ANY(@nos::bigint[]);

-- B6: results of tasks whose token is a River row. One statement: whoever deletes the token delivers.
-- name: FinishTasks :many
WITH unit AS (
    SELECT unnest(@tokens::bigint[]) AS token,
           unnest(@nos::bigint[]) AS no,
           unnest(@gens::integer[]) AS gen,
           unnest(@tasks::integer[]) AS task,
           unnest(@payloads::bytea[]) AS payload
), gone AS (
    DELETE FROM river_job j USING unit WHERE j.id = unit.token RETURNING j.id
)
INSERT INTO inbox (instance_no, gen, task, kind, payload)
SELECT unit.no, unit.gen, unit.task, 3, unit.payload
FROM gone JOIN unit ON unit.token = gone.id JOIN instances i ON i.no = unit.no
WHERE i.status IN (0, 6, 7) AND i.gen = unit.gen
RETURNING instance_no;

-- B6: due timers of orchestrations, and due starts. now() is the start of this transaction: never early.
-- name: FireTimers :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task,
           unnest(@kinds::smallint[]) AS kind
), gone AS (
    DELETE FROM timers t USING unit
    WHERE t.instance_no = unit.no AND t.gen = unit.gen AND t.task = unit.task AND t.kind = unit.kind AND t.fire_at <= now()
    RETURNING t.instance_no, t.gen, t.task, t.kind, t.fire_at
)
INSERT INTO inbox (instance_no, gen, task, kind)
SELECT gone.instance_no, gone.gen, gone.task, CASE WHEN gone.kind = 1 THEN 1 ELSE 4 END
FROM gone JOIN instances i ON i.no = gone.instance_no
WHERE i.status IN (0, 6, 7) AND i.gen = gone.gen
ORDER BY gone.fire_at
RETURNING instance_no;

-- B6: due retries: the parked River row becomes available again. A call that a limit bounds waits to be let through
-- again: those buckets come back; hub 0 stands for a notification, so that the executor runs it.
-- name: FireRetries :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task
), gone AS (
    DELETE FROM timers t USING unit
    WHERE t.instance_no = unit.no AND t.gen = unit.gen AND t.task = unit.task AND t.kind = 2 AND t.fire_at <= now()
    RETURNING t.instance_no, t.gen, t.task
), bounded AS (
    UPDATE limit_calls c SET granted_at = NULL, ready = true, queued_at = now()
    FROM gone
    WHERE c.instance_no = gone.instance_no AND c.gen = gone.gen AND c.task = gone.task
    RETURNING c.instance_no, c.gen, c.task, c.hub, c.name, c.key
), ready AS (
    UPDATE river_job j SET scheduled_at = now(), state = CASE WHEN EXISTS (
            SELECT 1 FROM bounded b WHERE b.instance_no = gone.instance_no AND b.gen = gone.gen AND b.task = gone.task
        ) THEN 'pending'::river_job_state ELSE 'available'::river_job_state END
    FROM gone
    WHERE j.unique_key = int8send(gone.instance_no) || int4send(gone.gen) || int4send(gone.task)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state)
      AND j.state::text = 'scheduled'
    RETURNING j.queue, j.state
), told AS (
    SELECT pg_notify(@river_channel::text, json_build_object('queue', q.queue)::text) AS ok
    FROM (SELECT DISTINCT ready.queue FROM ready WHERE ready.state::text = 'available') AS q
)
SELECT b.hub, b.name, b.key FROM bounded b
UNION
SELECT CASE WHEN told.ok IS NULL THEN 0 ELSE 0 END::integer, '', '' FROM told;

-- B6: raised events. The statuses of their targets are read first, for the callers' answers.
-- name: ReadStatuses :many
SELECT i.no, i.status, i.seq FROM instances i WHERE i.no = ANY(@nos::bigint[]);

-- B6: raised events; those with a key only where the key is new.
-- name: RaiseEvents :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@keys::text[]) AS key, unnest(@payloads::bytea[]) AS payload,
           unnest(@ords::integer[]) AS ord
), fresh AS (
    INSERT INTO event_keys (instance_no, key)
    SELECT unit.no, unit.key FROM unit JOIN instances i ON i.no = unit.no
    WHERE unit.key <> '' AND i.status IN (0, 6, 7)
    ON CONFLICT DO NOTHING
    RETURNING instance_no, key
)
INSERT INTO inbox (instance_no, gen, task, kind, payload)
SELECT unit.no, i.gen, 0, 2, unit.payload
FROM unit JOIN instances i ON i.no = unit.no
LEFT JOIN fresh ON fresh.instance_no = unit.no AND fresh.key = unit.key
WHERE i.status IN (0, 6, 7) AND (unit.key = '' OR fresh.key IS NOT NULL)
ORDER BY unit.ord
RETURNING instance_no;

-- B6: events raised in users' transactions: all of each target's, in the order they were raised. Rows whose
-- target is unknown or has ended are dropped; rows with a key that is known are dropped.
-- name: DeliverOutbox :many
WITH unit AS (
    SELECT unnest(@hubs::integer[]) AS hub, unnest(@targets::text[]) AS target, unnest(@nos::bigint[]) AS no
), gone AS (
    DELETE FROM outbox o USING unit WHERE o.hub = unit.hub AND o.target = unit.target
    RETURNING o.id, o.hub, o.target, o.key, o.payload, o.ref, o.kind
), raised AS (
    SELECT gone.id, gone.key, gone.payload, gone.ref, gone.kind, unit.no
    FROM gone JOIN unit ON unit.hub = gone.hub AND unit.target = gone.target
), fresh AS (
    INSERT INTO event_keys (instance_no, key)
    SELECT DISTINCT raised.no, raised.key FROM raised JOIN instances i ON i.no = raised.no
    WHERE raised.key IS NOT NULL AND i.status IN (0, 6, 7)
    ON CONFLICT DO NOTHING
    RETURNING instance_no, key
), first_of_key AS (
    SELECT min(raised.id) AS id FROM raised JOIN fresh ON fresh.instance_no = raised.no AND fresh.key = raised.key
    GROUP BY raised.no, raised.key
), kept AS (
    UPDATE payloads p SET instance_no = i.no FROM raised JOIN instances i ON i.no = raised.no
    WHERE p.id = raised.ref AND i.status IN (0, 6, 7)
), dropped AS (
    DELETE FROM payloads p USING raised
    WHERE p.id = raised.ref AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = raised.no AND i.status IN (0, 6, 7))
)
INSERT INTO inbox (instance_no, gen, task, kind, payload)
SELECT raised.no, i.gen, 0, raised.kind, raised.payload
FROM raised JOIN instances i ON i.no = raised.no
WHERE i.status IN (0, 6, 7) AND (raised.key IS NULL OR raised.id IN (SELECT first_of_key.id FROM first_of_key))
ORDER BY raised.id
RETURNING instance_no;

-- B6: plain messages: start messages, outcomes of children, results spilled by a suspended session. A gen
-- of -1 stands for any; a result is for the generation that asked for it.
-- name: InsertMessages :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task,
           unnest(@kinds::smallint[]) AS kind, unnest(@payloads::bytea[]) AS payload, unnest(@ords::integer[]) AS ord
)
INSERT INTO inbox (instance_no, gen, task, kind, payload)
SELECT unit.no, i.gen, unit.task, unit.kind, unit.payload
FROM unit JOIN instances i ON i.no = unit.no
WHERE i.status IN (0, 6, 7) AND (unit.gen = -1 OR i.gen = unit.gen)
ORDER BY unit.ord
RETURNING instance_no;

-- B6: events that orchestrations raise to others: into the outbox, so that this batch need not lock their
-- targets. The jobs that deliver them are among B7's.
-- name: InsertOutbox :exec
INSERT INTO outbox (hub, target, kind, payload, ref)
SELECT unnest(@hubs::integer[]), unnest(@targets::text[]), unnest(@kinds::smallint[]), unnest(@payloads::bytea[]),
       nullif(unnest(@refs::bigint[]), 0);

-- B7: tasks and timers that the code has given up: their rows and alarms, by key. Whoever runs such a task finds no
-- token. One key a task, like all that answers it.
-- name: CancelTasks :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task
), alarms AS (
    DELETE FROM timers t USING unit WHERE t.instance_no = unit.no AND t.gen = unit.gen AND t.task = unit.task
)
DELETE FROM river_job j USING unit
WHERE j.unique_key = int8send(unit.no) || int4send(unit.gen) || int4send(unit.task)
  AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
  AND river_job_state_in_bitmask(j.unique_states, j.state);

-- B7: timers created.
-- name: InsertTimers :exec
INSERT INTO timers (instance_no, fire_at, gen, task, kind, holder)
SELECT unnest(@nos::bigint[]), unnest(@fire_ats::timestamptz[]), unnest(@gens::integer[]), unnest(@tasks::integer[]),
       unnest(@kinds::smallint[]), unnest(@holders::integer[])
ON CONFLICT DO NOTHING;

-- B7: all timers of instances that end or continue as new.
-- name: DropTimers :exec
DELETE FROM timers WHERE instance_no = ANY(@nos::bigint[]);

-- B7: River rows: turn jobs of new instances (no unique key) and tasks. A task row is inserted available for
-- anybody, running in this worker's name, or scheduled until its retry timer fires. The conflict arm is for
-- a promotion that was committed by a batch of unknown outcome.
-- name: InsertJobs :exec
WITH unit AS (
    SELECT unnest(@ids::bigint[]) AS id,
           unnest(@states::text[]) AS state,
           unnest(@attempts::smallint[]) AS attempt,
           unnest(@priorities::smallint[]) AS priority,
           unnest(@kinds::text[]) AS kind,
           unnest(@queues::text[]) AS queue,
           unnest(@args::jsonb[]) AS args,
           unnest(@errors::jsonb[]) AS error,
           unnest(@unique_keys::bytea[]) AS unique_key,
           unnest(@max_attempts::smallint[]) AS max_attempts
)
INSERT INTO river_job (id, state, attempt, max_attempts, attempted_at, attempted_by, scheduled_at, created_at, priority, kind, queue, args,
                       errors, metadata, tags, unique_key, unique_states)
SELECT unit.id, unit.state::river_job_state, unit.attempt, unit.max_attempts,
       CASE WHEN unit.state = 'running' THEN now() END,
       CASE WHEN unit.state = 'running' THEN ARRAY[@client::text] END,
       CASE WHEN unit.state = 'scheduled' THEN now() + interval '100 years' ELSE now() END,
       now(), unit.priority, unit.kind, unit.queue, unit.args,
       CASE WHEN unit.error IS NOT NULL THEN ARRAY(SELECT e FROM jsonb_array_elements(unit.error) AS e) END, '{}', '{}',
       unit.unique_key, CASE WHEN unit.unique_key IS NOT NULL THEN B'11111111' END
FROM unit;

-- B7: River rows of tasks recorded, parked or handed over, and turn jobs of instances that ended: by id only,
-- in id order.
-- name: DeleteJobs :exec
DELETE FROM river_job WHERE id = ANY(@ids::bigint[]);

-- B7: all task rows of instances that end or continue as new, waiting and running: whoever runs one finds no
-- token and drops the result. Returns the limits in which that frees places.
-- name: DropTaskJobs :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no
), gone AS (
    DELETE FROM river_job j USING unit
    WHERE j.unique_key >= int8send(unit.no) AND j.unique_key < int8send(unit.no + 1)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state)
)
DELETE FROM limit_calls c USING unit WHERE c.instance_no = unit.no
RETURNING c.hub, c.name, c.key;

-- B7: rows that stand for tasks running in this worker's name, replaced on hand-over: a new id for each that
-- is still there, so that the old execution finds no token.
-- name: ReplaceJobs :exec
WITH unit AS (
    SELECT unnest(@olds::bigint[]) AS old, unnest(@news::bigint[]) AS new
), gone AS (
    DELETE FROM river_job j USING unit WHERE j.id = unit.old
    RETURNING j.id, j.attempt, j.max_attempts, j.priority, j.kind, j.queue, j.args, j.errors, j.unique_key
)
INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, errors, metadata,
                       tags, unique_key, unique_states)
SELECT unit.new, 'available', greatest(gone.attempt - 1, 0), gone.max_attempts, now(), now(), gone.priority, gone.kind, gone.queue,
       gone.args, gone.errors, '{}', '{}', gone.unique_key, B'11111111'
FROM gone JOIN unit ON unit.old = gone.id;

-- B7: a task whose attempt failed and is to be tried again later: its row is replaced by one that waits. error is
-- an array: the failures since the row was written, some of which were tried again at once; the last of them says
-- how many attempts were made. Returns what was parked; nothing comes back for a token that is gone.
-- name: ParkJobs :many
WITH unit AS (
    SELECT unnest(@tokens::bigint[]) AS token, unnest(@news::bigint[]) AS new, unnest(@nos::bigint[]) AS no,
           unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task,
           unnest(@fire_ats::timestamptz[]) AS fire_at, unnest(@errors::jsonb[]) AS error
), gone AS (
    DELETE FROM river_job j USING unit WHERE j.id = unit.token
    RETURNING j.id, j.attempt, j.max_attempts, j.priority, j.kind, j.queue, j.args, j.errors, j.unique_key
), parked AS (
    INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, errors,
                           metadata, tags, unique_key, unique_states)
    SELECT unit.new, 'scheduled', coalesce((unit.error->-1->>'attempt')::smallint, gone.attempt), gone.max_attempts, now() + interval '100 years',
           now(), gone.priority, gone.kind, gone.queue, gone.args,
           gone.errors || ARRAY(SELECT e FROM jsonb_array_elements(unit.error) AS e), '{}', '{}', gone.unique_key, B'11111111'
    FROM gone JOIN unit ON unit.token = gone.id JOIN instances i ON i.no = unit.no
    WHERE i.status IN (0, 6, 7) AND i.gen = unit.gen
    RETURNING id
), timer AS (
    INSERT INTO timers (instance_no, fire_at, gen, task, kind, holder)
    SELECT unit.no, unit.fire_at, unit.gen, unit.task, 2, @holder::integer
    FROM unit JOIN parked ON parked.id = unit.new
    ON CONFLICT DO NOTHING
)
SELECT unit.token::bigint AS token FROM unit JOIN parked ON parked.id = unit.new;

-- B8: hand-overs: the epoch makes every execution of this session stale; the turn job goes. A new one is among
-- B7's where tasks are left that only a session can run; else B9 makes one where there is something to read.
-- name: HandOverInstances :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@waitings::bytea[]) AS waiting, unnest(@turn_jobs::bigint[]) AS turn_job
), over AS (
    UPDATE instances i SET owner = NULL, turn_job = nullif(unit.turn_job, 0), epoch = i.epoch + 1,
        waiting = coalesce(unit.waiting, i.waiting)
    FROM unit WHERE i.no = unit.no
    RETURNING 1
)
SELECT expect('WE009', cardinality(@nos::bigint[]), (SELECT count(*) FROM over));

-- B8: releases: let go of an instance unless its inbox holds something a session could act on. The rows that
-- come back are released; the others are not.
-- name: ReleaseInstances :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@seqs::bigint[]) AS seq,
           unnest(@epochs::integer[]) AS epoch,
           unnest(@jobs::bigint[]) AS job,
           unnest(@claims::boolean[]) AS claimed,
           unnest(@waitings::bytea[]) AS waiting
), released AS (
    UPDATE instances i SET owner = NULL, turn_job = NULL, waiting = unit.waiting, held = NULL
    FROM unit
    WHERE i.no = unit.no AND i.seq = unit.seq AND i.epoch = unit.epoch AND i.turn_job = unit.job
      AND i.status IN (0, 6, 7)
      AND i.owner IS NOT DISTINCT FROM CASE WHEN unit.claimed THEN @worker_no::integer END
      AND NOT is_to_start(i.status, i.scheduled_at)
      AND NOT EXISTS (
          SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND NOT is_held(i.status, i.scheduled_at, x.kind)
      )
    RETURNING i.no, unit.job
), gone AS (
    DELETE FROM river_job j USING released WHERE j.id = released.job
)
SELECT released.no FROM released;

-- B9: wake-ups. Targets nobody owns get a turn job each, if one is due and none is queued. Targets that other workers
-- own are told to their owner, in one notification an owner, "*" when the list is too long. Targets that this worker
-- owns come back, to be woken in memory; a 0 stands for a notification, so that the executor runs it. A statement
-- after B6 and B8, so that it sees their rows.
-- name: WakeInstances :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@jobs::bigint[]) AS job
), woken AS (
    UPDATE instances i SET turn_job = unit.job
    FROM unit
    WHERE i.no = unit.no AND i.status IN (0, 6, 7) AND i.owner IS NULL AND i.turn_job IS NULL
      AND (is_to_start(i.status, i.scheduled_at) OR EXISTS (
          SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND NOT is_held(i.status, i.scheduled_at, x.kind)
      ))
    RETURNING i.no, unit.job, i.hub, i.name, i.version, i.priority
), queued AS (
    INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    SELECT woken.job, 'available', 0, 32767, now(), now(), woken.priority, turn_kind(woken.name, woken.version), 'h' || woken.hub || '_orch',
           jsonb_build_object('no', woken.no), '{}', '{}'
    FROM woken
    RETURNING queue
), owned AS (
    SELECT i.owner, i.no FROM unit JOIN instances i ON i.no = unit.no
    WHERE i.owner IS NOT NULL AND i.status IN (0, 6, 7)
)
SELECT owned.no FROM owned WHERE owned.owner = @worker_no::integer
UNION ALL
SELECT CASE WHEN sent.ok IS NULL THEN 0 ELSE 0 END::bigint
FROM (
    SELECT pg_notify(
        current_schema() || '.wake.' || g.owner,
        CASE WHEN length(g.nos) <= 7500 THEN g.nos ELSE '*' END
    ) AS ok
    FROM (
        SELECT owned.owner, string_agg(owned.no::text, ',') AS nos
        FROM owned WHERE owned.owner <> @worker_no::integer GROUP BY owned.owner
    ) AS g
    UNION ALL
    SELECT pg_notify(@river_channel::text, json_build_object('queue', q.queue)::text)
    FROM (SELECT DISTINCT queued.queue FROM queued) AS q
) AS sent;

-- B9: sessions elsewhere whose instance was taken from them (terminated): told, so that they stop early.
-- name: NotifyChannel :exec
SELECT pg_notify(@channel::text, @payload::text);

-- B10: what arrived in the inboxes of sessions that have just become owners, or could not be released.
-- name: ReadInboxes :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@afters::bigint[]) AS after
)
SELECT x.instance_no, x.id, x.gen, x.task, x.kind, x.payload
FROM unit JOIN inbox x ON x.instance_no = unit.no AND x.id > unit.after
ORDER BY x.instance_no, x.id;

-- B2: tags of instances, live or ended, at most max_tags each. Returns how many each would have, and whether that
-- fits; those that do not are left as they are.
-- name: SetTags :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@sets::jsonb[]) AS set, unnest(@removes::jsonb[]) AS remove
), merged AS (
    SELECT i.no, coalesce(i.tags, '{}') - ARRAY(SELECT jsonb_array_elements_text(unit.remove)) || unit.set AS tags
    FROM unit JOIN instances i ON i.no = unit.no
), counted AS (
    SELECT merged.no, merged.tags, (SELECT count(*) FROM jsonb_object_keys(merged.tags)) AS n FROM merged
), applied AS (
    UPDATE instances i SET tags = nullif(counted.tags, '{}'), updated_at = now()
    FROM counted WHERE i.no = counted.no AND counted.n <= @max_tags::integer
)
SELECT counted.no, counted.n, (counted.n <= @max_tags::integer)::boolean AS fits FROM counted;
