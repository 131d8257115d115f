-- Registration, liveness and death of processes (engine/doc.go, "Death").

-- name: TakeWorkerNo :one
SELECT nextval('worker_no')::integer AS no;

-- The advisory lock that says "this process lives". Held by its lock connection for as long as that lasts.
-- name: LockWorker :exec
SELECT pg_advisory_lock(hashtext(current_schema() || '.workers'), @no::integer);

-- name: InsertWorker :exec
INSERT INTO workers (no, hub, name, build, river_client, caps, lock_pid, lock_backend_start)
VALUES (@no, nullif(@hub::integer, 0), @name, @build, @river_client, @caps, @lock_pid, @lock_backend_start);

-- name: SetRiverClient :exec
UPDATE workers SET river_client = @river_client WHERE no = @no;

-- name: InsertLane :exec
INSERT INTO lanes (worker_no, lane, inc, batch, pid, backend_start)
VALUES (@worker_no, @lane, 0, 0, @pid, @backend_start);

-- Takes a lane over for a new connection. It waits for a batch in flight and then tells its fate: batch is the
-- number of the last one that landed. No row: the lane is fenced.
-- name: TakeOverLane :one
UPDATE lanes SET inc = inc + 1, pid = @pid, backend_start = @backend_start
WHERE worker_no = @worker_no AND lane = @lane AND inc = @inc
RETURNING batch;

-- The beat says two things: still here (no row back means fenced), and what the database's clock shows.
-- name: Heartbeat :one
UPDATE workers SET heartbeat_at = now()
WHERE no = @no AND state = 0
RETURNING coalesce((SELECT max(CASE WHEN everything THEN 2 ELSE 1 END) FROM watchers WHERE until > now()), 0)::integer AS watched,
    clock_timestamp()::timestamptz AS now;

-- What is watched by anybody: 0 nothing, 1 that instances end, 2 everything.
-- name: Watched :one
SELECT coalesce((SELECT max(CASE WHEN everything THEN 2 ELSE 1 END) FROM watchers WHERE until > now()), 0)::integer AS watched;

-- name: Now :one
SELECT clock_timestamp()::timestamptz AS now;

-- name: Watch :exec
WITH mark AS (
    INSERT INTO watchers (id, until, everything) VALUES (@id::uuid, now() + interval '60 seconds', @everything)
    ON CONFLICT (id) DO UPDATE SET until = excluded.until, everything = excluded.everything
)
SELECT pg_notify(@channel::text, CASE WHEN @everything THEN 'everything' ELSE '' END);

-- name: Unwatch :exec
DELETE FROM watchers WHERE id = @id::uuid OR until < now() - interval '1 hour';

-- Workers whose advisory lock is free: their lock connection is gone, hence they are dead. The locks taken to
-- find out end with this statement's transaction.
-- name: FindDeadWorkers :many
WITH other AS MATERIALIZED (
    SELECT w.no FROM workers w WHERE w.state = 0 AND w.no <> @me
)
SELECT other.no::integer AS no FROM other
WHERE pg_try_advisory_xact_lock(hashtext(current_schema() || '.workers'), other.no);

-- Workers that hold their lock but have not been heard of: hung, stopped or cut off.
-- name: FindSilentWorkers :many
SELECT w.no, w.lock_pid, w.lock_backend_start FROM workers w
WHERE w.state = 0 AND w.no <> @me AND w.heartbeat_at < now() - make_interval(secs => @seconds::float8);

-- name: FenceWorker :one
SELECT w.no FROM workers w
WHERE w.no = @no AND w.state = 0 AND pg_try_advisory_xact_lock(hashtext(current_schema() || '.workers'), w.no)
FOR UPDATE;

-- name: FenceLanes :exec
UPDATE lanes SET inc = inc + 1 WHERE worker_no = @worker_no;

-- name: MarkWorker :exec
UPDATE workers SET state = @state, ended_at = now() WHERE no = @no;

-- name: ListLaneBackends :many
SELECT pid, backend_start FROM lanes WHERE worker_no = @worker_no;

-- Turn and task rows of ours that run in the name of a worker that no longer lives. One chunk. A client that
-- never was a worker of ours (a River program of another kind, serving a plain River job) is let alone.
-- name: FindOrphans :many
SELECT j.id, j.kind, (j.unique_key IS NOT NULL)::boolean AS is_task,
       coalesce((j.args->>'no')::bigint, 0)::bigint AS no,
       coalesce(('x' || encode(substr(j.unique_key, 1, 8), 'hex'))::bit(64)::bigint, 0)::bigint AS task_no
FROM river_job j
WHERE j.state = 'running' AND (j.kind LIKE 'turn:%' OR octet_length(j.unique_key) = 16 OR j.kind LIKE 'weir.%')
  AND j.queue ~ '^(h[0-9]+_|weir_)'
  AND NOT EXISTS (
      SELECT 1 FROM workers w WHERE w.state = 0 AND w.river_client = j.attempted_by[cardinality(j.attempted_by)]
  )
  AND (j.attempted_by[cardinality(j.attempted_by)] LIKE 'weir-%' OR EXISTS (
      SELECT 1 FROM workers w WHERE w.state <> 0 AND w.river_client = j.attempted_by[cardinality(j.attempted_by)]
  ))
ORDER BY j.id
LIMIT 500;

-- name: LockOrphanInstances :exec
SELECT count(*) FROM (
    SELECT i.no FROM instances i WHERE i.no = ANY(@nos::bigint[]) ORDER BY i.no FOR NO KEY UPDATE
) AS locked;

-- Whether suspects are among the rows of the dead that were given out to be tested: if so, they alone are to blame.
-- name: AnyTested :one
SELECT EXISTS (
    SELECT 1 FROM deaths d JOIN instances i ON i.no = d.instance_no AND i.gen = d.gen AND i.status IN (0, 6, 7)
    JOIN river_job j ON j.id = ANY(@ids::bigint[]) AND CASE WHEN d.task = -1 THEN j.id = i.turn_job AND d.seq = i.seq
        ELSE j.unique_key = int8send(d.instance_no) || int4send(d.gen) || int4send(d.task) END
    WHERE d.instance_no = ANY(@nos::bigint[]) AND d.given_at > now() - tested_for(d.deaths)
)::boolean AS tested;

-- Turn jobs of the dead: the row goes, and where it was the instance's turn job a new row, with a new id, takes
-- its place, so that nothing the dead process still does by id can touch it. client names a worker that lives and
-- does not run them, or nobody. A death counts against the turn, unless others are to blame: suspects that were tested, or
-- an activity of the instance that the dead had in hand too. Sessions learn of deaths by the new row's arguments.
-- name: SweepTurns :many
WITH gone AS (
    DELETE FROM river_job j
    WHERE j.id = ANY(@ids::bigint[]) AND j.state::text = 'running' AND j.kind LIKE 'turn:%'
      AND (j.attempted_by[cardinality(j.attempted_by)] = @client::text OR NOT EXISTS (
          SELECT 1 FROM workers w WHERE w.state = 0 AND w.river_client = j.attempted_by[cardinality(j.attempted_by)]
      ))
    RETURNING j.id, j.attempted_by[cardinality(j.attempted_by)] AS client
), found AS (
    SELECT i.no, i.gen, i.seq, i.hub, h.max_deaths,
           coalesce((SELECT max(w.name) FROM workers w WHERE w.river_client = gone.client), gone.client) AS worker,
           coalesce(d.deaths, 0) AS before,
           @client::text = '' AND NOT i.no = ANY(@blamed::bigint[])
               AND (NOT @tested::boolean OR coalesce(d.given_at > now() - tested_for(d.deaths), false)) AS counts
    FROM gone JOIN instances i ON i.turn_job = gone.id JOIN hubs h ON h.no = i.hub
    LEFT JOIN deaths d ON d.instance_no = i.no AND d.gen = i.gen AND d.task = -1 AND d.seq = i.seq AND d.last_at > now() - interval '1 hour'
    WHERE i.no = ANY(@nos::bigint[]) AND i.status IN (0, 6, 7)
), dead AS (
    INSERT INTO deaths (instance_no, gen, task, seq, hub, deaths, worker, last_at, until, given_at, held_at)
    SELECT f.no, f.gen, -1, f.seq, f.hub, f.before + 1, f.worker, now(), now() + pause_after(f.before + 1),
           CASE WHEN f.before = 0 THEN now() END, CASE WHEN f.max_deaths > 0 AND f.before + 1 >= f.max_deaths THEN now() END
    FROM found AS f
    WHERE f.counts
    ON CONFLICT (instance_no, gen, task) DO UPDATE
    SET seq = excluded.seq, deaths = excluded.deaths, worker = excluded.worker, last_at = excluded.last_at, until = excluded.until,
        given_at = excluded.given_at, held_at = excluded.held_at
    RETURNING instance_no, deaths, given_at, held_at
), moved AS (
    UPDATE instances i
    SET owner = NULL, epoch = i.epoch + 1, turn_job = nextval('river_job_id_seq'),
        held = CASE WHEN dead.held_at IS NULL THEN i.held ELSE convert_to(json_build_object('kind', 'dead_letter', 'step', -1,
            'message', 'worker after worker died with its turn in hand: ' || dead.deaths || ', the last one ' || found.worker)::text, 'UTF8') END,
        waiting = CASE WHEN dead.held_at IS NULL THEN i.waiting END,
        updated_at = CASE WHEN dead.held_at IS NULL THEN i.updated_at ELSE now() END
    FROM found LEFT JOIN dead ON dead.instance_no = found.no
    WHERE i.no = found.no
    RETURNING i.no, i.turn_job, i.hub, i.id, i.name, i.version, coalesce(dead.deaths, found.before) AS deaths,
              dead.instance_no IS NOT NULL AND (dead.given_at IS NULL OR dead.held_at IS NOT NULL) AS rests, dead.held_at
), queued AS (
    INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    SELECT moved.turn_job, CASE WHEN moved.rests THEN 'pending'::river_job_state ELSE 'available'::river_job_state END,
           0, 32767, now(), now(), 1, turn_kind(moved.name, moved.version), 'h' || moved.hub || '_orch',
           CASE WHEN moved.deaths > 0 THEN jsonb_build_object('no', moved.no, 'deaths', moved.deaths) ELSE jsonb_build_object('no', moved.no) END,
           '{}', '{}'
    FROM moved
)
SELECT ('h' || moved.hub || '_orch')::text AS queue, moved.id, moved.deaths::integer AS deaths, moved.rests::boolean AS rests,
       (moved.held_at IS NOT NULL)::boolean AS held
FROM moved;

-- Task rows of the dead: likewise, as long as their instance still waits for them. A call that rests, or is a dead letter,
-- gives back its place in a limit.
-- name: SweepTasks :many
WITH gone AS (
    DELETE FROM river_job j
    WHERE j.id = ANY(@ids::bigint[]) AND j.state::text = 'running' AND j.unique_key IS NOT NULL
      AND (j.attempted_by[cardinality(j.attempted_by)] = @client::text OR NOT EXISTS (
          SELECT 1 FROM workers w WHERE w.state = 0 AND w.river_client = j.attempted_by[cardinality(j.attempted_by)]
      ))
    RETURNING j.id, j.attempt, j.max_attempts, j.priority, j.kind, j.queue, j.args, j.errors, j.unique_key,
              j.attempted_by[cardinality(j.attempted_by)] AS client,
              ('x' || encode(substr(j.unique_key, 1, 8), 'hex'))::bit(64)::bigint AS no,
              ('x' || encode(substr(j.unique_key, 9, 4), 'hex'))::bit(32)::integer AS gen,
              ('x' || encode(substr(j.unique_key, 13, 4), 'hex'))::bit(32)::integer AS task
), found AS (
    SELECT gone.*, i.hub, i.id AS instance, h.max_deaths,
           coalesce((SELECT max(w.name) FROM workers w WHERE w.river_client = gone.client), gone.client) AS worker,
           coalesce(d.deaths, 0) AS before,
           @client::text = '' AND (NOT @tested::boolean OR coalesce(d.given_at > now() - tested_for(d.deaths), false)) AS counts
    FROM gone JOIN instances i ON i.no = gone.no JOIN hubs h ON h.no = i.hub
    LEFT JOIN deaths d ON d.instance_no = gone.no AND d.gen = gone.gen AND d.task = gone.task AND d.last_at > now() - interval '1 hour'
    WHERE i.status IN (0, 6, 7) AND i.gen = gone.gen
), dead AS (
    INSERT INTO deaths (instance_no, gen, task, seq, hub, deaths, worker, last_at, until, given_at, held_at)
    SELECT f.no, f.gen, f.task, 0, f.hub, f.before + 1, f.worker, now(), now() + pause_after(f.before + 1),
           CASE WHEN f.before = 0 THEN now() END, CASE WHEN f.max_deaths > 0 AND f.before + 1 >= f.max_deaths THEN now() END
    FROM found AS f
    WHERE f.counts
    ON CONFLICT (instance_no, gen, task) DO UPDATE
    SET deaths = excluded.deaths, worker = excluded.worker, last_at = excluded.last_at, until = excluded.until,
        given_at = excluded.given_at, held_at = excluded.held_at
    RETURNING instance_no, gen, task, given_at, held_at
), resting AS (
    SELECT dead.instance_no, dead.gen, dead.task, dead.held_at FROM dead WHERE dead.given_at IS NULL OR dead.held_at IS NOT NULL
), placeless AS (
    UPDATE limit_calls c SET granted_at = NULL, ready = false
    FROM resting AS r
    WHERE c.instance_no = r.instance_no AND c.gen = r.gen AND c.task = r.task
), queued AS (
    INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, errors, metadata, tags,
                           unique_key, unique_states)
    SELECT nextval('river_job_id_seq'), CASE WHEN r.task IS NULL THEN 'available'::river_job_state ELSE 'pending'::river_job_state END,
           greatest(found.attempt - 1, 0), found.max_attempts, now(), now(), found.priority, found.kind,
           found.queue, found.args, found.errors, '{}', '{}', found.unique_key, B'11111111'
    FROM found LEFT JOIN resting AS r ON r.instance_no = found.no AND r.gen = found.gen AND r.task = found.task
)
SELECT found.queue, found.no::bigint AS no, found.instance, found.kind, (found.before + CASE WHEN found.counts THEN 1 ELSE 0 END)::integer AS deaths,
       (r.task IS NOT NULL)::boolean AS rests, (r.held_at IS NOT NULL)::boolean AS held
FROM found LEFT JOIN resting AS r ON r.instance_no = found.no AND r.gen = found.gen AND r.task = found.task;

-- Jobs of ours that are no instance's (deliveries, control), left running by the dead.
-- name: SweepSystem :many
WITH gone AS (
    DELETE FROM river_job j
    WHERE j.id = ANY(@ids::bigint[]) AND j.state::text = 'running' AND j.kind LIKE 'weir.%'
      AND (j.attempted_by[cardinality(j.attempted_by)] = @client::text OR NOT EXISTS (
          SELECT 1 FROM workers w WHERE w.state = 0 AND w.river_client = j.attempted_by[cardinality(j.attempted_by)]
      ))
    RETURNING j.kind, j.queue, j.args
)
INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
SELECT nextval('river_job_id_seq'), 'available', 0, 32767, now(), now(), 1, gone.kind, gone.queue, gone.args, '{}', '{}'
FROM gone
RETURNING queue;

-- name: NotifyQueues :exec
SELECT pg_notify(@river_channel::text, json_build_object('queue', q.name)::text)
FROM (SELECT DISTINCT unnest(@queues::text[]) AS name) AS q;

-- What is left of processes long gone.
-- name: ForgetWorkers :exec
DELETE FROM workers WHERE state <> 0 AND ended_at < now() - interval '24 hours';

-- name: ForgetLanes :exec
DELETE FROM lanes l WHERE l.seen_at < now() - interval '24 hours'
  AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.no = l.worker_no AND w.state = 0);

-- Large values whose commit never came. Those of instance 0 are of events that wait in the outbox.
-- name: ForgetPayloads :exec
DELETE FROM payloads p WHERE p.created_at < now() - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = p.instance_no)
  AND NOT (p.instance_no = 0 AND EXISTS (SELECT 1 FROM outbox o WHERE o.ref IS NOT NULL));

-- name: ListWorkers :many
SELECT w.no, coalesce(w.hub, 0)::integer AS hub, w.name, w.build, w.state, w.started_at, w.heartbeat_at, w.ended_at, w.caps
FROM workers w
WHERE (w.hub = @hub OR @hub = 0) AND (w.state = 0 OR w.ended_at > now() - make_interval(secs => @ended_within::float8))
  AND w.no > @after::integer AND (w.state = ANY(@states::smallint[]) OR cardinality(@states::smallint[]) = 0)
ORDER BY w.no
LIMIT @max_rows::integer;

-- Scheduled timers that nobody holds, up to the horizon, and any that are overdue: their holder has died or is
-- slow. Index timers_due.
-- name: ScanTimers :many
SELECT t.instance_no, t.gen, t.task, t.kind, t.fire_at FROM timers t
WHERE t.fire_at <= now() + make_interval(secs => @horizon::float8)
  AND (t.holder = 0 OR t.fire_at < now() - interval '200 milliseconds')
ORDER BY t.fire_at
LIMIT 5000;

-- Plain River jobs that served as activities and are finalized, within so many seconds: in the tables of another
-- application there may be millions of its own that are older. Index river_job_state_and_finalized_at_index.
-- name: FindFinalized :many
SELECT j.id, j.unique_key, j.state::text AS state, j.attempt, j.attempted_at, j.finalized_at, j.metadata, j.errors,
       coalesce(j.attempted_by[cardinality(j.attempted_by)], '')::text AS client,
       EXISTS (
           SELECT 1 FROM limit_calls c
           WHERE c.instance_no = ('x' || encode(substr(j.unique_key, 1, 8), 'hex'))::bit(64)::bigint
             AND c.gen = ('x' || encode(substr(j.unique_key, 9, 4), 'hex'))::bit(32)::integer
             AND c.task = ('x' || encode(substr(j.unique_key, 13, 4), 'hex'))::bit(32)::integer
       )::boolean AS bounded
FROM river_job j
WHERE j.state IN ('completed', 'discarded', 'cancelled') AND j.finalized_at IS NOT NULL AND octet_length(j.unique_key) = 16
  AND j.finalized_at > now() - make_interval(secs => @within::float8) AND j.queue ~ '^h[0-9]+_'
ORDER BY j.finalized_at
LIMIT 500;

-- Turn jobs that River has lately finalized: somebody cancelled them. Older ones the audit finds by their instance,
-- so that what others keep in River's table need not be read. Index river_job_state_and_finalized_at_index.
-- name: FindFinalizedTurns :many
SELECT j.id, coalesce((j.args->>'no')::bigint, 0)::bigint AS no
FROM river_job j
WHERE j.state IN ('completed', 'discarded', 'cancelled') AND j.finalized_at IS NOT NULL
  AND j.finalized_at > now() - interval '10 minutes' AND j.kind LIKE 'turn:%' AND j.queue ~ '^h[0-9]+_orch$'
LIMIT 500;

-- name: NextHub :one
SELECT coalesce(min(h.no), 0)::integer AS no FROM hubs h WHERE h.no > @after;

-- The audit's next stretch of a hub's live instances, by index instances_outcome. Of those untouched for a while it
-- returns what breaks a promise: 1 = the turn job is no row, or a finalized one; 2 = nothing is due, and an activity
-- that is waited for has neither a row nor a result. Of many tasks the first three are known by number; of the
-- others it is known how many there are, children included. The last instance comes back in any case.
-- The JSON is read only where its text does not tell enough, for that costs more than all the rest. Counts stand for
-- tests of existence, of which the planner would make joins without an index.
-- name: AuditInstances :many
SELECT seen.no, seen.created_at, seen.turn_job, seen.seq, seen.found::integer AS found, seen.ord::integer AS ord
FROM (
    SELECT i.no, i.created_at, coalesce(i.turn_job, 0)::bigint AS turn_job, i.seq,
           row_number() OVER w AS ord, lead(i.no) OVER w IS NULL AS is_last,
           CASE
           WHEN i.updated_at > now() - make_interval(secs => @age::float8) THEN 0
           WHEN i.turn_job IS NOT NULL THEN
               CASE WHEN EXISTS (SELECT 1 FROM river_job j WHERE j.id = i.turn_job AND j.finalized_at IS NULL) THEN 0 ELSE 1 END
           WHEN i.owner IS NOT NULL OR i.waiting IS NULL OR position('"tasks":'::bytea IN i.waiting) = 0
               OR (i.few AND position('"kind":"activity"'::bytea IN i.waiting) = 0)
               OR position('\\u0000'::bytea IN i.waiting) > 0 THEN 0
           WHEN EXISTS (
               SELECT 1 FROM json_array_elements(convert_from(i.waiting, 'UTF8')::json->'tasks') AS t
               WHERE t->>'kind' = 'activity'
                 AND 0 = (
                     SELECT count(*) FROM river_job j
                     WHERE j.unique_key = int8send(i.no) || int4send(i.gen) || int4send((t->>'id')::integer)
                       AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
                       AND river_job_state_in_bitmask(j.unique_states, j.state)
                 )
                 AND 0 = (
                     SELECT count(*) FROM inbox x
                     WHERE x.instance_no = i.no AND x.gen = i.gen AND x.task = (t->>'id')::integer AND x.kind = 3
                 )
           ) THEN 2
           WHEN i.few THEN 0
           WHEN (convert_from(i.waiting, 'UTF8')::json->>'count')::bigint
               <= (SELECT count(*) FROM river_job j
                   WHERE j.unique_key >= int8send(i.no) || int4send(i.gen) AND j.unique_key < int8send(i.no) || int4send(i.gen + 1)
                     AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
                     AND river_job_state_in_bitmask(j.unique_states, j.state))
                + (SELECT count(*) FROM inbox x WHERE x.instance_no = i.no AND x.gen = i.gen AND x.kind = 3)
                + (SELECT count(*) FROM instances c WHERE c.parent_no = i.no AND c.parent_gen = i.gen AND c.outcome IS NULL)
               THEN 0
           ELSE 2
           END AS found
    FROM (
        SELECT s.no, s.hub, s.outcome, s.created_at, s.updated_at, s.turn_job, s.seq, s.gen, s.owner, s.waiting,
               position('"count":1,'::bytea IN s.waiting) > 0 OR position('"count":2,'::bytea IN s.waiting) > 0
                   OR position('"count":3,'::bytea IN s.waiting) > 0 AS few
        FROM instances s
        WHERE s.hub = @hub AND s.outcome IS NULL AND (s.created_at, s.no) > (@after_at::timestamptz, @after_no::bigint)
        ORDER BY s.hub, s.outcome, s.created_at, s.no
        LIMIT @chunk
    ) AS i
    WINDOW w AS (ORDER BY i.hub, i.outcome, i.created_at, i.no)
) AS seen
WHERE seen.found <> 0 OR seen.is_last;

-- Locks those of the instances that nobody else has locked: the audit never waits for those who work.
-- name: LockFreeInstances :many
SELECT i.no FROM instances i WHERE i.no = ANY(@nos::bigint[]) ORDER BY i.no FOR NO KEY UPDATE SKIP LOCKED;

-- Live instances whose turn job is no row, or a finalized one, get a new one, as those of the dead do.
-- name: ReplaceLostTurns :many
WITH lost AS (
    SELECT i.no, i.turn_job, i.owner FROM instances i
    WHERE i.no = ANY(@nos::bigint[]) AND i.status IN (0, 6, 7) AND i.turn_job IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM river_job j WHERE j.id = i.turn_job AND j.finalized_at IS NULL)
), moved AS (
    UPDATE instances i SET owner = NULL, epoch = i.epoch + 1, turn_job = nextval('river_job_id_seq')
    FROM lost
    WHERE i.no = lost.no
    RETURNING i.no, i.turn_job, i.hub, i.id, i.name, i.version, lost.turn_job AS lost_job, lost.owner AS lost_owner
), queued AS (
    INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    SELECT moved.turn_job, 'available', 0, 32767, now(), now(), 1, turn_kind(moved.name, moved.version), 'h' || moved.hub || '_orch',
           jsonb_build_object('no', moved.no), '{}', '{}'
    FROM moved
)
SELECT moved.no, moved.hub, moved.id, moved.lost_job::bigint AS lost_job, coalesce(moved.lost_owner, 0)::integer AS owner FROM moved;

-- Then the finalized rows that no instance names, or no longer.
-- name: DeleteFinalizedTurns :many
DELETE FROM river_job j
WHERE j.id = ANY(@ids::bigint[]) AND j.finalized_at IS NOT NULL AND j.kind LIKE 'turn:%'
  AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = (j.args->>'no')::bigint AND i.turn_job = j.id)
RETURNING j.id;

-- Instances of which nothing is due get a turn job, if they are still where they were: opening a session dispatches
-- again what nobody runs. updated_at keeps the audit away for a while.
-- name: WakeForTasks :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@seqs::bigint[]) AS seq
), woken AS (
    UPDATE instances i SET turn_job = nextval('river_job_id_seq'), updated_at = now()
    FROM unit
    WHERE i.no = unit.no AND i.seq = unit.seq AND i.status IN (0, 6, 7) AND i.owner IS NULL AND i.turn_job IS NULL
    RETURNING i.no, i.turn_job, i.hub, i.id, i.name, i.version, i.priority
), queued AS (
    INSERT INTO river_job (id, state, attempt, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    SELECT woken.turn_job, 'available', 0, 32767, now(), now(), woken.priority, turn_kind(woken.name, woken.version), 'h' || woken.hub || '_orch',
           jsonb_build_object('no', woken.no), '{}', '{}'
    FROM woken
)
SELECT woken.no, woken.hub, woken.id FROM woken;

-- Our rows that have been running in a client's name for a while: those of one hub's queues, and the system's.
-- name: FindRunning :many
SELECT j.id, j.kind, j.attempted_at, coalesce(j.unique_key, '')::bytea AS unique_key,
       coalesce((j.args->>'no')::bigint, 0)::bigint AS no
FROM river_job j
WHERE j.state = 'running' AND j.attempted_by[cardinality(j.attempted_by)] = @client::text
  AND (j.kind LIKE 'turn:%' OR octet_length(j.unique_key) = 16 OR j.kind LIKE 'weir.%')
  AND (j.queue = 'weir_system' OR j.queue LIKE 'h' || @hub::integer || '\_%')
  AND j.attempted_at < now() - make_interval(secs => @age::float8);

-- Those that still run as they did when they were found. Locked, so that it stays like that.
-- name: LockRunning :many
WITH found AS (
    SELECT unnest(@ids::bigint[]) AS id, unnest(@attempted_ats::timestamptz[]) AS attempted_at
)
SELECT j.id FROM river_job j JOIN found ON found.id = j.id
WHERE j.state::text = 'running' AND j.attempted_at = found.attempted_at
  AND j.attempted_by[cardinality(j.attempted_by)] = @client::text
ORDER BY j.id
FOR UPDATE OF j SKIP LOCKED;
