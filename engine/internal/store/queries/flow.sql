-- Deadlines, heartbeats and limits of calls.

-- B6: deadlines of calls. A timers row of kind 3 ends a call that has not begun, one of kind 4 a call however far it is:
-- by deleting its River row, the token, in the statement that delivers the failure. A call without a row is bounded by the
-- process that runs it; its deadline came too early then, and comes again with the row. Returns the instances that were told,
-- and the limits in which that frees places.
-- name: FireDeadlines :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task,
           unnest(@kinds::smallint[]) AS kind, unnest(@payloads::bytea[]) AS payload
), gone AS (
    DELETE FROM timers t USING unit
    WHERE t.instance_no = unit.no AND t.gen = unit.gen AND t.task = unit.task AND t.kind = unit.kind AND t.fire_at <= now()
    RETURNING t.instance_no, t.gen, t.task, t.kind
), ended AS (
    DELETE FROM river_job j USING gone
    WHERE j.unique_key = int8send(gone.instance_no) || int4send(gone.gen) || int4send(gone.task)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state)
      AND (gone.kind = 4 OR j.attempt = 0 AND j.state::text IN ('available', 'pending'))
    RETURNING j.unique_key
), bounded AS (
    DELETE FROM limit_calls c USING gone JOIN ended
      ON int8send(gone.instance_no) || int4send(gone.gen) || int4send(gone.task) = ended.unique_key
    WHERE c.instance_no = gone.instance_no AND c.gen = gone.gen AND c.task = gone.task
    RETURNING c.hub, c.name, c.key
), delivered AS (
    INSERT INTO inbox (instance_no, gen, task, kind, payload)
    SELECT DISTINCT ON (unit.no, unit.gen, unit.task) unit.no, unit.gen, unit.task, 3, unit.payload
    FROM ended JOIN unit ON int8send(unit.no) || int4send(unit.gen) || int4send(unit.task) = ended.unique_key
    JOIN instances i ON i.no = unit.no
    WHERE i.status IN (0, 6, 7) AND i.gen = unit.gen
    RETURNING instance_no
)
SELECT delivered.instance_no, 0::integer AS hub, ''::text AS name, ''::text AS key FROM delivered
UNION ALL
SELECT 0, bounded.hub, bounded.name, bounded.key FROM bounded;

-- B7: what calls leave behind that have ended: their deadlines and their last heartbeats.
-- name: SettleTasks :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task
), deadlines AS (
    DELETE FROM timers t USING unit
    WHERE t.instance_no = unit.no AND t.gen = unit.gen AND t.task = unit.task AND t.kind IN (3, 4)
)
DELETE FROM heartbeats b USING unit
WHERE b.instance_no = unit.no AND b.gen = unit.gen AND b.task = unit.task;

-- Heartbeats of a node's tasks. The instances are locked as everybody locks them, so that no row comes after the end of
-- its instance; the condition on the locked row is tested again once it is locked.
-- name: SaveHeartbeats :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task,
           unnest(@attempts::smallint[]) AS attempt, unnest(@ats::timestamptz[]) AS at, unnest(@details::bytea[]) AS details
), live AS (
    SELECT i.no, i.gen FROM instances i
    WHERE i.no = ANY(@nos::bigint[]) AND i.status IN (0, 6, 7)
    ORDER BY i.no FOR NO KEY UPDATE
)
INSERT INTO heartbeats (instance_no, gen, task, attempt, at, details)
SELECT unit.no, unit.gen, unit.task, unit.attempt, unit.at, unit.details
FROM unit JOIN live ON live.no = unit.no AND live.gen = unit.gen
ON CONFLICT (instance_no, gen, task) DO UPDATE SET attempt = excluded.attempt, at = excluded.at, details = excluded.details
WHERE heartbeats.at <= excluded.at;

-- name: ReadHeartbeat :one
SELECT b.details FROM heartbeats b WHERE b.instance_no = @no AND b.gen = @gen AND b.task = @task;

-- name: ListHeartbeats :many
SELECT b.task, b.attempt, b.at, b.details FROM heartbeats b WHERE b.instance_no = @no AND b.gen = @gen ORDER BY b.task;

-- Heartbeats of generations that have ended.
-- name: ForgetHeartbeats :exec
DELETE FROM heartbeats b
WHERE b.at < now() - interval '1 minute'
  AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = b.instance_no AND i.outcome IS NULL AND i.gen = b.gen);

-- Which of the tokens that a node works by are gone: nobody waits for those tasks any more.
-- name: LostTokens :many
SELECT unit.id::bigint AS id FROM (SELECT unnest(@ids::bigint[]) AS id) AS unit
WHERE NOT EXISTS (SELECT 1 FROM river_job j WHERE j.id = unit.id);
